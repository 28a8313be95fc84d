# SPDX-License-Identifier: Apache-2.0
"""What every command that serves has in common: logging, the event loop, the lines at start, exit codes."""

from __future__ import annotations

import asyncio
import gc
import platform
import resource
import sys

from clusterdns._version import __version__
from clusterdns.app.corefile import STDIN, Corefile
from clusterdns.app.server import EXIT_FAILED, Server
from clusterdns.config.keys import follows_preferred_syntax, syntax_warning
from clusterdns.config.plan import Plan
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.observability.log import configure

# CoreDNS's words in front of the reason.
_UNREADABLE = "loading Caddyfile via flag: "


def version_text() -> str:
    """The two lines of ``-version``, in the form of CoreDNS's."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"clusterdns-{__version__}\n{sys.platform}/{machine}, python{platform.python_version()}\n"


def serve_corefile(
    path: str,
    *,
    text: str | None = None,
    default_port: int = 53,
    pidfile: str = "",
    quiet: bool = False,
    manifests: str = "",
    unreadable_hint: str = "give the Corefile's path with -conf",
) -> int:
    """Serve a Corefile until a signal ends it; the exit code.

    path: the file, ``stdin``, or empty for ``text`` (the built-in configuration where that is None).
    manifests: the directory that stands in for the API server where the Corefile names no source of the cluster.
    unreadable_hint: what to do if the file can't be read.
    """
    configure(1)
    gc.disable()  # until the server has started: most of what is made before stays
    if path == STDIN and sys.stdin.isatty():
        sys.stderr.write("-conf stdin: standard input is a terminal; pipe the Corefile in\n")
        return EXIT_FAILED
    corefile = Corefile(path, text=text if path else text or "", default_port=default_port, manifests=manifests)

    def announce(plan: Plan, ports: dict[tuple[str, int], int]) -> None:
        if not quiet:
            sys.stdout.write("".join(f"{line}\n" for line in zone_lines(plan, ports)) + version_text())
            sys.stdout.flush()

    try:
        return _run(Server(corefile, pidfile=pidfile, announce=announce))
    except ConfigErrors as errors:
        for error in errors.errors:
            unreadable = not error.file
            hint = unreadable_hint if unreadable else error.hint
            sys.stderr.write(f"{_UNREADABLE if unreadable else ''}{error.coredns_text()}\n")
            sys.stderr.write(f"    hint: {hint}\n" if hint else "")
    except ClusterDNSError as error:
        sys.stderr.write(f"{error}\n")
    return EXIT_FAILED


def zone_lines(plan: Plan, ports: dict[tuple[str, int], int]) -> list[str]:
    """One line for each zone and address that is served, in CoreDNS's form: ``cluster.local.:53 on 127.0.0.1``.

    A zone that is no host name has a warning in front.
    """
    served = sorted(
        (key.zone, f"{key.zone}:{ports[address, key.port]}" + (f" on {address}" if address else ""))
        for block in plan.blocks
        for key in block.keys
        for address in block.binds or ("",)
    )
    lines = []
    for zone, line in served:
        if not follows_preferred_syntax(zone):
            lines.append(f"Warning: {syntax_warning(zone)}")
        lines.append(line)
    return lines


def _run(server: Server) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # the soft limit is for programs that use select(2); connections need more
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        import uvloop
    except ImportError:
        return asyncio.run(server.run())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(server.run())
