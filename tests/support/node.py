# SPDX-License-Identifier: Apache-2.0
"""A node of a cluster for one test: addresses, ports and an /etc of its own, and a world outside with other servers.

A Corefile can be tried as it is there, beside whatever else runs on the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import dns.exception
import dns.message
import dns.query
import pytest

from support.namespaces import Namespaces
from support.upstream import Faults, Upstream, UpstreamThread

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
_NODE, _WORLD = "node", "world"
_NODE_ADDRESS, _WORLD_ADDRESS = "198.18.0.1", "198.18.0.2"

# The real /etc stays in reach below another path, and what the test doesn't have of its own leads there.
_ENTER = """
set -e
mount --make-rprivate /
mount --rbind /etc "$1/real"
for entry in "$1"/real/* "$1"/real/.[!.]*; do
    name="${entry##*/}"
    [ -e "$1/etc/$name" ] || ln -sf "$entry" "$1/etc/$name"
done
mount --bind "$1/etc" /etc
shift
exec "$@"
"""

T = TypeVar("T")


class Node:
    """A context manager. ``etc`` is the server's /etc, to be written at any time.

    addresses: of the node; outside: those of the world outside.
    """

    def __init__(self, directory: Path, *, addresses: tuple[str, ...], outside: tuple[str, ...]) -> None:
        self.etc = directory / "etc"
        self.output_file = directory / "output"
        self._directory = directory
        self._addresses = {_NODE: addresses, _WORLD: outside}
        self._namespaces = Namespaces(_NODE, _WORLD)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.etc.mkdir()
        (self._directory / "real").mkdir()
        self._stack.enter_context(self._namespaces)
        self._namespaces.connect(_NODE, f"{_NODE_ADDRESS}/30", _WORLD, f"{_WORLD_ADDRESS}/30")
        self._namespaces.run(_NODE, "ip", "route", "add", "default", "via", _WORLD_ADDRESS)
        for name, addresses in self._addresses.items():
            for address in addresses:
                self._namespaces.run(name, "ip", "addr", "add", address, "dev", "lo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, path: str, text: str) -> None:
        """Write a file below /etc."""
        file = self.etc / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def inside(self, work: Callable[[], T]) -> T:
        """Call ``work`` on the node."""
        return self._namespaces.inside(_NODE, work)

    def upstream(self, host: str, port: int = 53, **options: object) -> UpstreamThread:
        """A fake server at an address of the world outside, not started yet."""
        upstream = Upstream(Faults(), host=host, **options)  # type: ignore[arg-type]
        return UpstreamThread(upstream=upstream, port=port, within=self._outside)

    def _outside(self, work: Callable[[], None]) -> None:
        self._namespaces.inside(_WORLD, work)

    def start(self, *arguments: str, environment: Mapping[str, str], asked: tuple[str, int]) -> subprocess.Popen[bytes]:
        """Start the server, and wait until it answers at an address and port."""
        with self.output_file.open("wb") as output:
            process = self._namespaces.start(
                _NODE,
                *("unshare", "--mount", "sh", "-c", _ENTER, "sh", str(self._directory)),
                *(sys.executable, "-m", "clusterdns", *arguments),
                cwd=REPOSITORY,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + START_SECONDS
        query = dns.message.make_query("health-check.localdns.local.", "SOA")
        while time.monotonic() < end and process.poll() is None:
            try:
                self.inside(lambda: dns.query.udp(query, asked[0], port=asked[1], timeout=0.1))
            except (dns.exception.Timeout, OSError):
                continue
            return process
        pytest.fail(f"the server does not answer (exit code {process.poll()}):\n{self.output()}")

    def output(self) -> str:
        """Everything the server has printed so far."""
        return self.output_file.read_text()

    def get(self, url: str) -> tuple[int, str]:
        """Status and body of a page."""

        def fetch() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(url, timeout=5) as reply:
                    return reply.status, reply.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        return self.inside(fetch)
