# SPDX-License-Identifier: Apache-2.0
"""What the samples come to: a table, the ratios that count, and all figures as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from load_generator import Sample, Search
from settings import CLUSTERDNS
from workloads import WORKLOADS

Rounds = dict[str, list[Sample]]
"""Samples of one workload by server, in the order of the rounds."""


@dataclass(frozen=True)
class Verdict:
    """How clusterdns stands to a bar: ``ratio`` times as many queries a second, ``wanted`` at least.

    cpu_ratio: how many times its own CPU time the other takes for a query; 0 where that was too little to be measured.
    """

    workload: str
    server: str
    wanted: float
    ratio: float
    cpu_ratio: float

    @property
    def met(self) -> bool:
        return self.ratio >= self.wanted

    @property
    def text(self) -> str:
        verdict = "met" if self.met else "NOT met"
        found = f"{self.ratio:.2f} × {self.server} ({self.cpu_ratio:.2f} by CPU time)"
        return f"{WORKLOADS[self.workload].title}: {found}, wanted {self.wanted:g}: {verdict}"


def rounds_of(samples: list[Sample], workload: str) -> Rounds:
    """The samples of one workload."""
    rounds: Rounds = {}
    for sample in samples:
        if sample.workload == workload:
            rounds.setdefault(sample.server, []).append(sample)
    return rounds


def ratio(own: list[Sample], other: list[Sample]) -> float:
    """Queries per second of one server to those of another, compared within each round before the median is taken."""
    pairs = zip(own, other, strict=True)
    return statistics.median(one.queries_per_second / max(two.queries_per_second, 1) for one, two in pairs)


def verdicts(samples: list[Sample]) -> Iterator[Verdict]:
    """All bars whose server was there."""
    for name, workload in WORKLOADS.items():
        rounds = rounds_of(samples, name)
        for bar in workload.bars:
            if bar.server in rounds:
                own, other = rounds[CLUSTERDNS], rounds[bar.server]
                own_us, other_us = (_median(rows, lambda row: row.cpu_us_per_query) for rows in (own, other))
                cpu_ratio = other_us / own_us if own_us else 0.0
                yield Verdict(name, bar.server, bar.times, round(ratio(own, other), 3), round(cpu_ratio, 3))


def print_report(samples: list[Sample], memory: dict[str, int]) -> None:
    """Medians per workload and server, the bars, and the resident bytes of the servers."""
    for name in dict.fromkeys(sample.workload for sample in samples):
        rounds = rounds_of(samples, name)
        _print_search(name, rounds) if isinstance(WORKLOADS[name].load, Search) else _print_queries(name, rounds)
    print("\nResident memory: " + ", ".join(f"{server} {size / 2**20:.0f} MiB" for server, size in memory.items()))
    for verdict in verdicts(samples):
        print(verdict.text)


def _print_queries(name: str, rounds: Rounds) -> None:
    first = next(iter(rounds))
    print(
        f"\n{WORKLOADS[name].title:32} queries/s {'of ' + first:>14}   CPU µs/query   p50 µs   p99 µs     lost",
    )
    for server, rows in rounds.items():
        print(
            f"  {server:30} {_median(rows, lambda row: row.queries_per_second):9,.0f}"
            f" {ratio(rows, rounds[first]):14.2f}"
            f" {_median(rows, lambda row: row.cpu_us_per_query):14.2f}"
            f" {_median(rows, lambda row: row.p50_us):8.0f}"
            f" {_median(rows, lambda row: row.p99_us):8.0f}"
            f" {sum(row.lost for row in rows):8d}"
        )


def _print_search(name: str, rounds: Rounds) -> None:
    title = f"{WORKLOADS[name].title:32}"
    print(f"\n{title} queries/s  CPU µs/query   last query p50, p99 µs   whole list p50, p99 µs     lost")
    for server, rows in rounds.items():
        print(
            f"  {server:30} {_median(rows, lambda row: row.queries_per_second):9,.0f}"
            f" {_median(rows, lambda row: row.cpu_us_per_query):13.2f}"
            f" {_median(rows, lambda row: row.p50_us):15.0f} {_median(rows, lambda row: row.p99_us):8.0f}"
            f" {_median(rows, lambda row: row.attempt_p50_us):15.0f}"
            f" {_median(rows, lambda row: row.attempt_p99_us):8.0f}"
            f" {sum(row.lost for row in rows):8d}"
        )


def _median(rows: list[Sample], figure: Callable[[Sample], float]) -> float:
    return statistics.median(figure(row) for row in rows)


def keep(samples: list[Sample], memory: dict[str, int], results: Path, **options: int | float) -> Path:
    """Write all figures, and what they were taken on, to a file of their own."""
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"benchmark-{taken}.json"
    document = {
        "taken": taken,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        **options,
        "resident_bytes": memory,
        "bars": [dataclasses.asdict(verdict) | {"met": verdict.met} for verdict in verdicts(samples)],
        "samples": [dataclasses.asdict(sample) for sample in samples],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
