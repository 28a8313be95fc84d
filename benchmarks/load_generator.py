# SPDX-License-Identifier: Apache-2.0
"""Kinds of load, and what one round of one of them showed about a server."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from programs import LOAD, SEARCH
from servers import LOAD_CORE, MeasuredServer, pin_to_core

SOCKETS = 4
_NUMBERS = itertools.count(1, 10_000_000)
"""Where the unique names of each round begin, so that none is asked for twice."""


@dataclass(frozen=True)
class Closed:
    """As many queries as are answered, with at most ``window`` on their way."""

    window: int = 256

    def command(self, port: int, seconds: float) -> list[str]:
        return [str(LOAD), str(port), str(seconds), str(self.window), str(SOCKETS), "0", str(next(_NUMBERS))]


@dataclass(frozen=True)
class Paced:
    """``rate`` queries in a second, whatever comes back."""

    rate: int

    def command(self, port: int, seconds: float) -> list[str]:
        return [str(LOAD), str(port), str(seconds), "0", str(SOCKETS), str(self.rate), str(next(_NUMBERS))]


@dataclass(frozen=True)
class Search:
    """``clients`` that try their search list, with ``pause_us`` microseconds between a reply and the next query."""

    clients: int
    pause_us: int

    def command(self, port: int, seconds: float) -> list[str]:
        first = str(next(_NUMBERS))
        return [str(SEARCH), str(port), str(seconds), str(self.clients), str(self.pause_us), str(SOCKETS), first]


Load = Closed | Paced | Search
CLOSED = Closed()


@dataclass(frozen=True)
class Sample:
    """One round: what ``server`` did with a workload.

    received: replies, ``answered`` of them with records in the answer section; lost: queries without a reply.
    rcodes: of the replies; of a search only of those to the last query of each attempt.
    p50_us, p99_us: microseconds from sending to reply. In a closed loop they tell how deep the queue is that the server
        works on, not how long an idle server takes. Of a search they are those of the last queries.
    attempts, attempt_p50_us, attempt_p99_us, miss_rcodes: of a search: how often a client came to the end of its list,
        how long that took, pauses included, and the rcodes on the way.
    """

    server: str
    workload: str
    seconds: float
    received: int
    answered: int
    lost: int
    rcodes: dict[str, int]
    p50_us: int
    p99_us: int
    cpu_seconds: float
    attempts: int = 0
    attempt_p50_us: int = 0
    attempt_p99_us: int = 0
    miss_rcodes: dict[str, int] = field(default_factory=dict)

    @property
    def queries_per_second(self) -> float:
        return self.received / self.seconds

    @property
    def cpu_us_per_query(self) -> float:
        return self.cpu_seconds * 1e6 / max(self.received, 1)


def take_sample(workload: str, load: Load, server: MeasuredServer, wire: Sequence[bytes], seconds: float) -> Sample:
    """Put ``load`` of the queries ``wire`` on ``server`` for ``seconds``."""
    framed = b"".join(len(query).to_bytes(2, "big") + query for query in wire)
    cpu_before = server.cpu_seconds()
    result = subprocess.run(
        load.command(server.port, seconds),
        input=framed,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: pin_to_core(LOAD_CORE),
    )
    cpu_seconds = server.cpu_seconds() - cpu_before
    figures = json.loads(result.stdout)
    figures.pop("sent", None)
    return Sample(server=server.name, workload=workload, cpu_seconds=cpu_seconds, **figures)
