# SPDX-License-Identifier: Apache-2.0
"""What is measured with an API server: one table of clusters, with the bars that clusterdns has to meet on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 2**20


@dataclass(frozen=True)
class Bar:
    """``figure`` of clusterdns is to be at most ``limit``, or with ``beside`` at most so many times CoreDNS's.

    ready: seconds from the start to ``/ready``. resident: bytes at rest. service, endpoint: seconds from the writer's
    HTTP answer to the DNS answer, the 99th percentile. peak: bytes during a relist, times those before it. apply:
    seconds from an event to the new answer, the 99th percentile by the server's own metric.
    """

    figure: Literal["ready", "resident", "service", "endpoint", "peak", "apply"]
    limit: float
    beside: bool = False


@dataclass(frozen=True)
class ClusterSize:
    """What the API server holds: Services, 3 in 10 of them headless, with so many endpoints each; and Pods."""

    title: str
    services: int
    endpoints: int = 10
    pods: int = 0
    bars: tuple[Bar, ...] = ()

    @property
    def headless(self) -> int:
        return self.services * 3 // 10


_CHANGES = (Bar("service", 1.0, beside=True), Bar("endpoint", 1.0, beside=True))
_RESIDENT = Bar("resident", 1.0, beside=True)
_PEAK = Bar("peak", 1.1)

CLUSTERS: dict[str, ClusterSize] = {
    "20": ClusterSize("20 Services × 10", 20),
    "1000": ClusterSize("1,000 Services × 10", 1000, bars=(*_CHANGES, _PEAK)),
    "5000": ClusterSize(
        "5,000 Services × 10", 5000, bars=(Bar("ready", 1.5, beside=True), _RESIDENT, *_CHANGES, _PEAK)
    ),
    "10000": ClusterSize("10,000 Services × 10", 10_000, bars=(_RESIDENT, *_CHANGES, _PEAK, Bar("apply", 0.001))),
    "pods": ClusterSize(
        "5,000 Services × 10, 150,000 Pods", 5000, pods=150_000, bars=(Bar("resident", 170 * MIB), *_CHANGES, _PEAK)
    ),
}
"""By a short name. Those without bars are for a quick try."""
