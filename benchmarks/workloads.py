# SPDX-License-Identifier: Apache-2.0
"""What is measured: one table of workloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import external_names
import generated_cluster
from generated_cluster import Service
from load_generator import CLOSED, Load, Paced, Sample, Search
from settings import COREDNS, ECHO_NAME, UNBOUND

_NXDOMAIN = 3
_SERVFAIL = "2"

MOST_FAILED = 0.01
"""Of the queries that an upstream is asked for: a machine that does other things, too, may let some time out."""

_MANY_PER_SECOND = 10_000


@dataclass(frozen=True)
class Bar:
    """clusterdns is to answer at least ``times`` as many queries a second as ``server``."""

    server: str
    times: float


@dataclass(frozen=True)
class Workload:
    """One kind of questions, and how they are asked.

    setting: key of ``settings.SETTINGS``. queries: whole messages, made from the cluster that is served.
    rcode: what each must be answered with; answered: True if the answer section must have records. Of a search both are
        about the last query; those before it must be answered with NXDOMAIN.
    """

    title: str
    setting: str
    queries: Callable[[tuple[Service, ...]], tuple[bytes, ...]]
    load: Load = CLOSED
    rcode: int = 0
    answered: bool = True
    bars: tuple[Bar, ...] = ()

    def fault(self, sample: Sample) -> str:
        """Why the figures don't count; empty if all replies were what they have to be."""
        if not sample.received:
            return f"{sample.server} answered nothing ({self.title})"
        if sample.server == ECHO_NAME:
            return ""
        failed = sample.rcodes.get(_SERVFAIL, 0) if self.setting != "cluster" else 0
        if failed > sample.received * MOST_FAILED:
            return f"{sample.server} failed {failed} of {sample.received} times ({self.title})"
        if set(sample.rcodes) - ({_SERVFAIL} if failed else set()) != {str(self.rcode)}:
            return f"{sample.server} answered with rcodes {sample.rcodes} in place of {self.rcode} ({self.title})"
        if set(sample.miss_rcodes) - {str(_NXDOMAIN)}:
            return f"{sample.server} answered misses with rcodes {sample.miss_rcodes} ({self.title})"
        final = (sample.attempts or sample.received) - failed
        if sample.answered != (final if self.answered else 0):
            return f"{sample.server} gave records in {sample.answered} of {final} replies ({self.title})"
        return ""


def _names(make: Callable[[], tuple[bytes, ...]]) -> Callable[[tuple[Service, ...]], tuple[bytes, ...]]:
    """Queries that don't depend on the cluster."""
    return lambda cluster: make()


WORKLOADS: dict[str, Workload] = {
    "a": Workload("known names, A", "cluster", generated_cluster.plain),
    "headless": Workload("headless names, A", "cluster", generated_cluster.headless),
    "nxdomain": Workload("search list, NXDOMAIN", "cluster", generated_cluster.misses, rcode=_NXDOMAIN, answered=False),
    "once": Workload(
        "names asked for once, NXDOMAIN", "cluster", generated_cluster.misses_once, rcode=_NXDOMAIN, answered=False
    ),
    "nodata": Workload("known names, AAAA, no data", "cluster", generated_cluster.plain_v6, answered=False),
    "srv": Workload("ports, SRV", "cluster", generated_cluster.ports),
    "edns": Workload("known names, A, with EDNS", "cluster", generated_cluster.plain_with_edns),
    "cached": Workload(
        "external names, cached",
        "cached",
        _names(external_names.busy),
        bars=(Bar(COREDNS, 5.0), Bar(UNBOUND, 0.8)),
    ),
    "uncached": Workload(
        "external names, without cache", "uncached", _names(external_names.busy), bars=(Bar(COREDNS, 1.5),)
    ),
    "unique": Workload("external names asked for once", "cached", _names(external_names.unique)),
    "paced": Workload(
        "10,000/s, 1 in 10 asked for once", "distant", _names(external_names.mixed), Paced(_MANY_PER_SECOND)
    ),
    "paced-uncached": Workload(
        "10,000/s, without cache", "distant-uncached", _names(external_names.busy), Paced(_MANY_PER_SECOND)
    ),
    "search": Workload(
        "16 clients, search list", "searching", _names(external_names.search_list), Search(16, pause_us=1000)
    ),
    "storm": Workload(
        "256 clients, search list at once", "searching", _names(external_names.search_list), Search(256, pause_us=0)
    ),
}
"""By a short name."""
