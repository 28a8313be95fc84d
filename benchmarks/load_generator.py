# SPDX-License-Identifier: Apache-2.0
"""Runs the load generator ``load.c`` against a server and tells what one round of it showed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from generated_cluster import Queries
from servers import MeasuredServer, pin_to_core

GENERATOR_CORE = 1
WINDOW = 256
SOCKETS = 4


@dataclass(frozen=True)
class Sample:
    """One round: what ``server`` did with one kind of queries.

    received: replies, ``answered`` of them with records in the answer section; lost: queries without a reply.
    p50_us, p99_us: microseconds from sending to reply, in a closed loop of 256 queries on their way; so they tell how
    deep the queue is that the server works on, not how long an idle server takes.
    """

    server: str
    kind: str
    seconds: float
    received: int
    answered: int
    lost: int
    rcodes: dict[str, int]
    p50_us: int
    p99_us: int
    cpu_seconds: float

    @property
    def queries_per_second(self) -> float:
        return self.received / self.seconds

    @property
    def cpu_us_per_query(self) -> float:
        return self.cpu_seconds * 1e6 / max(self.received, 1)

    def fault(self, queries: Queries) -> str:
        """Why these figures don't count; empty if all replies were what they have to be."""
        if not self.received:
            return f"{self.server} answered nothing ({queries.title})"
        if self.server == "echo":
            return ""
        if set(self.rcodes) != {str(queries.rcode)}:
            return f"{self.server} answered with rcodes {self.rcodes} in place of {queries.rcode} ({queries.title})"
        if self.answered != (self.received if queries.answered else 0):
            return f"{self.server} gave records in {self.answered} of {self.received} replies ({queries.title})"
        return ""


def compile_program(compiler: str, source: Path, program: Path) -> None:
    """Compile if the source is newer. Raises subprocess.CalledProcessError."""
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=True)


def take_sample(program: Path, server: MeasuredServer, kind: str, wire: Sequence[bytes], seconds: float) -> Sample:
    """Ask ``server`` the queries ``wire`` in random order for ``seconds``."""
    framed = b"".join(len(query).to_bytes(2, "big") + query for query in wire)
    cpu_before = server.cpu_seconds()
    result = subprocess.run(
        [str(program), str(server.port), str(seconds), str(WINDOW), str(SOCKETS)],
        input=framed,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: pin_to_core(GENERATOR_CORE),
    )
    cpu_seconds = server.cpu_seconds() - cpu_before
    figures = json.loads(result.stdout)
    del figures["sent"]
    return Sample(server=server.name, kind=kind, cpu_seconds=cpu_seconds, **figures)
