# SPDX-License-Identifier: Apache-2.0
"""What the rounds against API servers come to: a table, the bars, and all figures as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from api_clusters import CLUSTERS, MIB, Bar
from api_probes import Round
from settings import CLUSTERDNS, COREDNS

Rounds = list[Round]

_LEAST_SECONDS = 0.0001
"""What times of changes are known to."""


@dataclass(frozen=True)
class Verdict:
    """How clusterdns stands to a bar; ``figure`` is a ratio beside CoreDNS, else in the unit of the bar."""

    cluster: str
    apiserver: str
    bar: Bar
    figure: float

    @property
    def met(self) -> bool:
        return self.figure <= self.bar.limit

    @property
    def text(self) -> str:
        unit, size = (f"× {COREDNS}'s", 1.0) if self.bar.beside else _UNITS[self.bar.figure]
        figures = f"{self.figure / size:.3g} {unit}, at most {self.bar.limit / size:g}"
        place = f"{CLUSTERS[self.cluster].title}, {self.apiserver}"
        return f"{place}: {_TITLES[self.bar.figure]}: {figures}: {'met' if self.met else 'NOT met'}"


_TITLES = {
    "ready": "start to ready",
    "resident": "resident memory",
    "service": "p99 from the HTTP answer to a new Service's DNS answer",
    "endpoint": "p99 from the HTTP answer to a moved endpoint's DNS answer",
    "peak": "peak of a relist",
    "apply": "p99 from an event to its answer in the server",
}
_UNITS = {"resident": ("MiB", float(MIB)), "peak": ("× steady", 1.0), "apply": ("ms", 0.001)}


def percentile(values: list[float], share: float) -> float:
    """The least value that at least ``share`` of the values don't exceed; nan without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def apply_bound(rounds: Rounds, share: float) -> float:
    """The upper bound in seconds of the bucket that this share of the changes was applied in; nan without any."""
    counts: dict[str, int] = {}
    for each in rounds:
        for bound, count in each.apply_counts.items():
            counts[bound] = counts.get(bound, 0) + count
    whole = counts.get("+Inf", 0)
    reached = [float(bound) for bound, count in counts.items() if count >= share * whole]
    return min(reached) if whole else math.nan


def groups(rounds: Rounds) -> Iterator[tuple[str, str, dict[str, Rounds]]]:
    """The rounds of each cluster and API server, by DNS server."""
    for cluster, apiserver in dict.fromkeys((each.cluster, each.apiserver) for each in rounds):
        found: dict[str, Rounds] = {}
        for each in rounds:
            if (each.cluster, each.apiserver) == (cluster, apiserver):
                found.setdefault(each.server, []).append(each)
        yield cluster, apiserver, found


def faults(rounds: Rounds) -> list[str]:
    """What must not happen, however fast it is."""
    own = [each for each in rounds if each.server == CLUSTERDNS]
    found = {f"{each.cluster}: ready before the DNS port answered" for each in own if each.refused_when_ready}
    found |= {f"{each.cluster}: no relist was seen" for each in own if not each.relists}
    return sorted(found)


def verdicts(rounds: Rounds) -> Iterator[Verdict]:
    """All bars that the rounds tell of. Bars beside CoreDNS are missing without it."""
    for cluster, apiserver, found in groups(rounds):
        own, other = found[CLUSTERDNS], found.get(COREDNS, [])
        for bar in CLUSTERS[cluster].bars:
            if not bar.beside:
                yield Verdict(cluster, apiserver, bar, _FIGURES[bar.figure](own))
            elif other:
                yield Verdict(cluster, apiserver, bar, _ratio(bar, own, other))


def _ratio(bar: Bar, own: Rounds, other: Rounds) -> float:
    """Compared within each round, and then the median, but for percentiles, which need all changes of all rounds."""
    figure = _FIGURES[bar.figure]
    if bar.figure in ("service", "endpoint"):
        return figure(own) / max(figure(other), _LEAST_SECONDS)
    return statistics.median(figure([one]) / figure([two]) for one, two in zip(own, other, strict=True))


def _services(rounds: Rounds) -> list[float]:
    return [seconds for each in rounds for seconds in each.service_seconds]


def _endpoints(rounds: Rounds) -> list[float]:
    return [seconds for each in rounds for seconds in each.endpoint_seconds]


_FIGURES: dict[str, Callable[[Rounds], float]] = {
    "ready": lambda rounds: _median(rounds, lambda row: row.ready_seconds),
    "resident": lambda rounds: _median(rounds, lambda row: row.resident_bytes),
    "service": lambda rounds: percentile(_services(rounds), 0.99),
    "endpoint": lambda rounds: percentile(_endpoints(rounds), 0.99),
    "peak": lambda rounds: _median(rounds, lambda row: row.peak_bytes / row.steady_bytes),
    "apply": lambda rounds: apply_bound(rounds, 0.99),
}


def print_report(rounds: Rounds) -> None:
    """Medians per cluster and server, and the bars."""
    for cluster, apiserver, found in groups(rounds):
        print(
            f"\n{CLUSTERS[cluster].title}, {apiserver}\n{'':12} ready s  answer s  CPU s, synced  stall ms     MiB"
            "   new Service p50, p99 ms   endpoint p50, p99 ms   relist peak  stall ms"
        )
        for server, rows in found.items():
            services, endpoints = _services(rows), _endpoints(rows)
            print(
                f"  {server:10}"
                f" {_median(rows, lambda row: row.ready_seconds):7.3f}"
                f" {_median(rows, lambda row: row.answer_seconds):9.3f}"
                f" {_median(rows, lambda row: row.ready_cpu_seconds):6.2f}"
                f" {_median(rows, lambda row: row.synced_cpu_seconds):7.2f}"
                f" {_median(rows, lambda row: row.stall_seconds * 1000):9.1f}"
                f" {_median(rows, lambda row: row.resident_bytes / MIB):7.1f}"
                f" {1000 * percentile(services, 0.5):15.2f} {1000 * percentile(services, 0.99):9.2f}"
                f" {1000 * percentile(endpoints, 0.5):12.2f} {1000 * percentile(endpoints, 0.99):9.2f}"
                f" {_median(rows, lambda row: row.peak_bytes / max(row.steady_bytes, 1)):13.3f}"
                f" {_median(rows, lambda row: row.relist_stall_seconds * 1000):9.1f}"
            )
    print()
    for verdict in verdicts(rounds):
        print(verdict.text)


def _median(rows: Rounds, figure: Callable[[Round], float]) -> float:
    return statistics.median(figure(row) for row in rows)


def keep(rounds: Rounds, results: Path, **options: int | float) -> Path:
    """Write all figures, and what they were taken on, to a file of their own."""
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"apiserver-{taken}.json"
    document = {
        "taken": taken,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        **options,
        "bars": [
            dataclasses.asdict(verdict) | {"met": verdict.met, "text": verdict.text} for verdict in verdicts(rounds)
        ],
        "rounds": [dataclasses.asdict(each) for each in rounds],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
