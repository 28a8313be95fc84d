# SPDX-License-Identifier: Apache-2.0
"""A server process that has its cluster from an API server, with endpoints to look at it from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.zone
import pytest

from support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 15.0
_SAMPLE = re.compile(r"(?m)^([a-z_]+)(?:\{(.*?)\})? (\S+)$")

COREFILE = """\
.:{dns} {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:{health} {{
        {lameduck}
    }}
    ready 127.0.0.1:{ready} {{
        {monitor}
    }}
    kubernetes cluster.local in-addr.arpa {{
{options}
    }}
    prometheus 127.0.0.1:{metrics}
    {more}
}}
{blocks}
"""


class ApiProcess:
    """``python -m clusterdns`` with one Corefile: a context manager, which stops it.

    options: lines of *kubernetes*; more: directives behind it; blocks: further server blocks, after ``configure`` too.
    environ: what is added to the environment; prefix: a command that runs the rest of the line.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        more: str = "transfer {\n to *\n }",
        blocks: str = "",
        lameduck: str = "",
        monitor: str = "",
        environ: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.ports = {name: free_port() for name in ("dns", "health", "ready", "metrics")}
        self._folder = folder
        self._corefile = folder / f"Corefile-{self.ports['dns']}"
        self._output = folder / f"output-{self.ports['dns']}"
        self._more, self._blocks, self._lameduck, self._monitor = more, blocks, lameduck, monitor
        self._environ = {**os.environ, **(environ or {})}
        self._prefix = list(prefix)
        self.configure(*options)
        self.process: subprocess.Popen[bytes]

    def configure(self, *options: str, blocks: str | None = None) -> None:
        """Write the Corefile."""
        self._blocks = self._blocks if blocks is None else blocks
        text = COREFILE.format(
            **self.ports, options="\n".join(options), more=self._more, blocks=self._blocks.format(**self.ports),
            lameduck=self._lameduck, monitor=self._monitor,
        )  # fmt: skip
        self._corefile.write_text(text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and wait until it says where it listens."""
        self.launch()
        self.wait(lambda: "clusterdns-" in self.output() or self.process.poll() is not None)
        if self.process.poll() is not None:
            pytest.fail(f"the server ended:\n{self.output()}")

    def launch(self) -> None:
        """Start, and don't wait."""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "clusterdns", "-conf", str(self._corefile)],
                cwd=REPOSITORY, env=self._environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)

    def terminate(self) -> None:
        """End it as a kubelet does, and wait for that."""
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0, self.output()

    def reload(self) -> None:
        """Read the Corefile again, and wait until that is over."""
        before = self.output().count("Reloading complete")
        self.process.send_signal(signal.SIGUSR1)
        self.wait(lambda: self.output().count("Reloading complete") > before)

    def output(self) -> str:
        """Everything printed so far."""
        return self._output.read_text()

    def query(self, name: str, rtype: str = "A", *, port: int = 0) -> dns.message.Message:
        """The reply to one query over UDP."""
        query = dns.message.make_query(name, rtype, use_edns=0)
        return dns.query.udp(query, "127.0.0.1", port=port or self.ports["dns"], timeout=5)

    def ask(self, name: str, rtype: str = "A", *, port: int = 0) -> list[str]:
        """The data of the answer, sorted; the rcode where there is none."""
        reply = self.query(name, rtype, port=port)
        found = sorted(record.to_text() for rrset in reply.answer for record in rrset)
        return found or [dns.rcode.to_text(reply.rcode())]

    def refusal(self, name: str, rtype: str = "A") -> tuple[str, list[int]]:
        """The rcode, and the extended errors."""
        reply = self.query(name, rtype)
        extended = [option for option in reply.options if isinstance(option, dns.edns.EDEOption)]
        return dns.rcode.to_text(reply.rcode()), [int(option.code) for option in extended]

    def zone(self) -> set[str]:
        """All records of the cluster's zone, but for its serial number."""
        zone = dns.zone.from_xfr(
            dns.query.xfr("127.0.0.1", "cluster.local", port=self.ports["dns"], timeout=5, lifetime=30)
        )
        return {f"{name} {ttl} {data}" for name, ttl, data in zone.iterate_rdatas() if data.rdtype != dns.rdatatype.SOA}

    def page(self, port: str, path: str) -> tuple[int, str]:
        """Status and text of a page; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def ready(self) -> tuple[int, str]:
        return self.page("ready", "/ready")

    def metrics(self, name: str) -> dict[str, float]:
        """The samples of a metric by their labels, as they are written."""
        _, text = self.page("metrics", "/metrics")
        return {labels: float(value) for found, labels, value in _SAMPLE.findall(text) if found == name}

    def by_resource(self, name: str) -> dict[str, float]:
        """The samples of a metric of ours by the resource."""
        samples = self.metrics(f"clusterdns_kubernetes_{name}")
        found: dict[str, float] = {}
        for labels, value in samples.items():
            match = re.search(r'resource="(\w+)"', labels)
            assert match is not None
            found[match[1]] = found.get(match[1], 0) + value
        return found

    def until(self, expected: list[str], name: str, rtype: str = "A", *, seconds: float = SECONDS) -> None:
        """Wait for an answer."""
        end = time.monotonic() + seconds
        while (found := self._try(name, rtype)) != expected:
            if time.monotonic() > end:
                pytest.fail(f"{name} {rtype}: {found} instead of {expected}\n{self.output()}")
            time.sleep(0.005)

    def until_ready(self, status: int = 200) -> None:
        """Wait until /ready answers so."""
        self.wait(lambda: self.ready()[0] == status)

    def until_logged(self, text: str, *, seconds: float = SECONDS) -> None:
        """Wait until a text is in the log."""
        self.wait(lambda: text in self.output(), seconds)

    def wait(self, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait until the condition holds; fails with what was printed."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"not so within {seconds} s; the server printed:\n{self.output()}")
            time.sleep(0.01)

    def _try(self, name: str, rtype: str) -> list[str]:
        try:
            return self.ask(name, rtype)
        except (dns.exception.Timeout, OSError) as error:
            return [repr(error)]
