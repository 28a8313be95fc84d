# SPDX-License-Identifier: Apache-2.0
"""What metrics tell of a watched cluster: how fresh it is, what went wrong on the way, how fast changes show."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from clusterdns.cluster.apiserver.source import ApiServerSource
from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.objects import RESOURCES, EndpointSlice, Service
from clusterdns.cluster.store import Store
from clusterdns.observability.metrics import Registry

_PROGRAMMING_BOUNDS: Final = tuple(0.001 * 2**power for power in range(20))
_APPLY_BOUNDS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_NAMES: Final = ("resource", "host")

PREFIX: Final = "clusterdns_kubernetes_"
_GAUGES: Final = {
    "synced": "1 once the resource has been read completely.",
    "watch_connected": "1 while a watch of the resource is open.",
    "last_event_age_seconds": "Time since the API server last said anything about the resource, bookmarks included.",
    "objects": "Objects held of the resource.",
}
_COUNTERS: Final = {
    "relists_total": "Complete lists after the first one.",
    "watch_gaps_repaired_total": "Objects that differed from the API server's without any event, and were put right.",
    "stale_lists_discarded_total": "Lists older than what was held, from a replica that lags behind.",
    "decode_errors_total": "Objects that could not be understood and are left out.",
}


class ClusterMetrics:
    """The metrics of one API server; ``host`` is its label.

    snapshot_age_seconds: how old the state from disk is that is answered from, None where none is.
    """

    def __init__(
        self,
        registry: Registry,
        host: str,
        source: ApiServerSource,
        snapshot_age_seconds: Callable[[], float | None],
    ) -> None:
        self._host = host
        self._source = source
        self._snapshot_age_seconds = snapshot_age_seconds
        self._store: Store | None = None
        self._began_seconds = time.monotonic()
        self._ends: list[Callable[[], None]] = []
        programming = registry.histogram(
            "coredns_kubernetes_dns_programming_duration_seconds",
            "Time from a change of an endpoint to its DNS records.",
            ("service_kind",),
            bounds=_PROGRAMMING_BOUNDS,
        )
        self._programming = {
            kind: programming.labels(kind)
            for kind in ("cluster_ip", "headless_with_selector", "headless_without_selector")
        }
        self._apply = registry.histogram(
            f"{PREFIX}event_apply_seconds",
            "Time from the arrival of a change to the new answers.",
            ("host",),
            bounds=_APPLY_BOUNDS,
        ).labels(host)
        self._gauges = {each: registry.gauge(PREFIX + each, text, _NAMES) for each, text in _GAUGES.items()}
        self._counters = {each: registry.counter(PREFIX + each, text, _NAMES) for each, text in _COUNTERS.items()}
        self._restarts = registry.counter(
            f"{PREFIX}watch_restarts_total", "Watches that ended, by reason.", (*_NAMES, "reason")
        )
        self._snapshot = registry.gauge(
            f"{PREFIX}snapshot_age_seconds",
            "Age of the saved state that is answered from; absent once the API server has been read.",
            ("host",),
        )
        self._ends.append(registry.on_collect(self._collect))

    def watch(self, store: Store) -> None:
        """Measure how long the changes of the store took. To be called before anybody else subscribes, or after all."""
        self._store = store
        self._ends.append(store.subscribe(self._measure))

    def applied(self, seconds: float) -> None:
        """A step with changes was applied, and all who care for changes have seen it."""
        self._apply.observe(seconds)

    def release(self) -> None:
        """Measure no more."""
        for end in self._ends:
            end()

    def _measure(self, changes: ChangeSet) -> None:
        store = self._store
        assert store is not None
        for change in changes:
            piece = change.new or change.old
            if change.triggered_seconds is None or not isinstance(piece, EndpointSlice):
                continue
            service = store.get("Service", (piece.namespace, piece.service))
            if service is not None:
                seconds = max(0.0, time.time() - change.triggered_seconds)
                self._programming[_service_kind(service)].observe(seconds)

    def _collect(self) -> None:
        now = time.monotonic()
        for kind, state in self._source.states.items():
            place = (RESOURCES[kind], self._host)
            gauges: dict[str, float] = {
                "synced": state.synced,
                "watch_connected": state.connected,
                "last_event_age_seconds": now - (state.last_event_seconds or self._began_seconds),
                "objects": self._store.count(kind) if self._store is not None else 0,
            }
            counters = {
                "relists_total": state.relists,
                "watch_gaps_repaired_total": state.gaps_repaired,
                "stale_lists_discarded_total": state.discarded_stale_lists,
                "decode_errors_total": state.decode_errors,
            }
            for each, value in gauges.items():
                self._gauges[each].labels(*place).value = value
            for each, count in counters.items():
                self._counters[each].labels(*place).value = count
            for reason, count in state.watch_restarts.items():
                self._restarts.labels(*place, reason).value = count
        age_seconds = self._snapshot_age_seconds()
        self._snapshot.clear()
        if age_seconds is not None:
            self._snapshot.labels(self._host).value = age_seconds


def _service_kind(service: Service) -> str:
    if not service.headless:
        return "cluster_ip"
    return "headless_with_selector" if service.selects else "headless_without_selector"
