# SPDX-License-Identifier: Apache-2.0
"""NSD and Knot DNS as processes of a test, and this server beside them, with the same zone files."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from support.ports import free_port

START_SECONDS = 15.0
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))

_NSD = """\
server:
    ip-address: 127.0.0.1@{port}
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    server-count: 1
    rrl-ratelimit: 0
remote-control:
    control-enable: no
"""
_NSD_ZONE = """\
zone:
    name: "{zone}"
    zonefile: "{zone}"
    provide-xfr: 127.0.0.1 NOKEY
"""
_KNOT = """\
server:
    listen: 127.0.0.1@{port}
    rundir: "{folder}"
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{folder}"
acl:
  - id: all
    action: transfer
template:
  - id: default
    storage: "{folder}"
    file: "%s"
    zonefile-sync: -1
    journal-content: none
    acl: all
zone:
"""
_KNOT_ZONE = '  - domain: "{zone}."\n'
_NSD_COPY = """\
zone:
    name: "{zone}"
    zonefile: "{zone}.copy"
    allow-notify: 127.0.0.1 NOKEY
    request-xfr: 127.0.0.1@{primary} NOKEY
    provide-xfr: 127.0.0.1 NOKEY
"""
_KNOT_COPY = '  - domain: "{zone}."\n    file: "{zone}.copy"\n    master: primary\n'
_KNOT_PRIMARY = "    action: [transfer, notify]\nremote:\n  - id: primary\n    address: 127.0.0.1@{primary}\n"
PEERS = {
    "nsd": (_NSD, _NSD_ZONE, ("nsd", "-d", "-c"), "nsd"),
    "knot": (_KNOT, _KNOT_ZONE, ("knotd", "-c"), "knot"),
}


@contextmanager
def peer(kind: str, folder: Path, zones: list[str], *, port: int = 0, primary: int = 0) -> Iterator[int]:
    """The port of ``nsd`` or ``knot``, with the zones whose files, of the same name, are in ``folder``, or with copies
    of those of a primary server, given its port.

    Skips the test where it isn't installed.
    """
    head, each, command, package = PEERS[kind]
    program = shutil.which(command[0], path=_PATH)
    if program is None:
        pytest.skip(f"{command[0]} is not installed (Debian package {package})")
    port = port or free_port()
    if primary:
        head = head.replace("    action: transfer\n", _KNOT_PRIMARY)
        each = _NSD_COPY if kind == "nsd" else _KNOT_COPY
    conf, output_file = folder / f"{kind}.conf", folder / f"{kind}.output"
    text = head + "".join(each.replace("{zone}", zone) for zone in zones)
    conf.write_text(text.format(port=port, folder=folder, primary=primary))
    with output_file.open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:], str(conf)], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        for zone in zones:
            _wait_for(zone, process, port, output_file)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def own_corefile(folder: Path, zones: list[str]) -> str:
    """A Corefile that serves the same zones at ``PORT``."""
    lines = [f"    file {folder / zone} {zone}\n" for zone in zones]
    return f".:PORT {{\n    bind 127.0.0.1\n{''.join(lines)}    transfer {{\n        to *\n    }}\n}}\n"


def _wait_for(zone: str, process: subprocess.Popen[bytes], port: int, output_file: Path) -> None:
    end = time.monotonic() + START_SECONDS
    query = dns.message.make_query(zone, "SOA")
    while time.monotonic() < end and process.poll() is None:
        try:
            if dns.query.udp(query, "127.0.0.1", port=port, timeout=0.5).answer:
                return
        except (dns.exception.Timeout, OSError):
            pass
        time.sleep(0.05)
    faults = [line for line in output_file.read_text().splitlines() if "error" in line]
    pytest.fail("\n".join([f"the other server does not answer for {zone}:", *faults]))
