# SPDX-License-Identifier: Apache-2.0
"""``clusterdns serve``: answer DNS queries."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clusterdns.cli.serving import serve_corefile

_COREFILE = """\
{zone}:{port} in-addr.arpa:{port} ip6.arpa:{port} {{
    bind {address}
    errors
    log
    kubernetes {{
        manifests {directory}
        service_cidr {service_cidr}
        pods insecure
        ttl 30
    }}
    loadbalance
}}
"""


def run(words: Sequence[str]) -> int:
    """Serve; the exit code."""
    parser = argparse.ArgumentParser(prog="clusterdns serve", description="Answer DNS queries.")
    parser.add_argument("--conf", metavar="FILE", help="Corefile (default ./Corefile)")
    parser.add_argument(
        "--manifests",
        metavar="DIR",
        help="serve the cluster that these manifests describe; with --conf they stand in for the API server",
    )
    parser.add_argument("--port", metavar="N", type=_port, help="port (default 53; with --manifests alone 1053)")
    parser.add_argument("--address", metavar="IP", help="with --manifests alone: listen here (default 127.0.0.1)")
    parser.add_argument("--zone", metavar="ZONE", help="with --manifests alone: the zone (default cluster.local)")
    parser.add_argument("--service-cidr", metavar="CIDR", help="with --manifests alone: (default 10.96.0.0/12)")
    parser.add_argument("--pidfile", metavar="FILE", default="", help="write the process ID there")
    parser.add_argument("--quiet", action="store_true", help="don't print zones and version at start")
    options = parser.parse_args(words)
    if options.manifests is not None and not Path(options.manifests).is_dir():
        sys.stderr.write(f"--manifests {options.manifests}: is not a directory\n")
        return 1
    if options.manifests is None or options.conf is not None:
        for name in ("address", "zone", "service_cidr"):
            if getattr(options, name) is not None:
                parser.error(
                    f"--{name.replace('_', '-')} goes with --manifests alone; in a Corefile a directive says it"
                )
        port = 53 if options.port is None else options.port
        return serve_corefile(
            options.conf or "Corefile",
            default_port=port,
            pidfile=options.pidfile,
            quiet=options.quiet,
            manifests=options.manifests or "",
            unreadable_hint="give the Corefile's path with --conf, or a directory of manifests with --manifests",
        )
    text = _COREFILE.format(
        port=1053 if options.port is None else options.port,
        address=options.address or "127.0.0.1",
        zone=options.zone or "cluster.local",
        directory=f'"{options.manifests}"',
        service_cidr=options.service_cidr or "10.96.0.0/12",
    )
    return serve_corefile("", text=text, pidfile=options.pidfile, quiet=options.quiet)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)
