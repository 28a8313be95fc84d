# SPDX-License-Identifier: Apache-2.0
"""The ``coredns_cache_*`` metrics."""

from __future__ import annotations

from typing import Final

from clusterdns.observability.metrics import Registry

_KINDS: Final = ("success", "denial")


class ServerCounters:
    """The counters of one listener. ``hits`` and ``evictions`` are by kind: success at False, denial at True."""

    __slots__ = ("drops", "evictions", "hits", "misses", "prefetches", "requests", "served_stale")

    def __init__(self, counters: Counters, server: str, zones: str, view: str) -> None:
        labels = (server, zones, view)
        self.requests = counters.requests.labels(*labels)
        self.misses = counters.misses.labels(*labels)
        self.drops = counters.drops.labels(*labels)
        self.prefetches = counters.prefetches.labels(*labels)
        self.served_stale = counters.served_stale.labels(*labels)
        self.hits = tuple(counters.hits.labels(server, kind, zones, view) for kind in _KINDS)
        self.evictions = tuple(counters.evictions.labels(server, kind, zones, view) for kind in _KINDS)


class Counters:
    """The counters of one cache, by listener, and how much is in it."""

    def __init__(self, registry: Registry, zones: str, view: str) -> None:
        self._zones = zones
        self._view = view
        labels = ("server", "zones", "view")
        with_type = ("server", "type", "zones", "view")
        self.entries = registry.gauge("coredns_cache_entries", "The number of elements in the cache.", with_type)
        self.hits = registry.counter("coredns_cache_hits_total", "The count of cache hits.", with_type)
        self.evictions = registry.counter("coredns_cache_evictions_total", "The count of cache evictions.", with_type)
        self.requests = registry.counter("coredns_cache_requests_total", "The count of cache requests.", labels)
        self.misses = registry.counter("coredns_cache_misses_total", "The count of cache misses.", labels)
        self.drops = registry.counter(
            "coredns_cache_drops_total",
            "The number of replies that are not for the question and are not cached.",
            labels,
        )
        self.prefetches = registry.counter(
            "coredns_cache_prefetch_total", "The number of times the cache has asked for a cached item again.", labels
        )
        self.served_stale = registry.counter(
            "coredns_cache_served_stale_total", "The number of requests served from stale cache entries.", labels
        )
        self._servers: dict[str, ServerCounters] = {}

    def of(self, server: str) -> ServerCounters:
        """The counters of a listener."""
        found = self._servers.get(server)
        if found is None:
            found = self._servers[server] = ServerCounters(self, server, self._zones, self._view)
        return found

    def show_entries(self, success: int, denial: int) -> None:
        """Export the number of entries."""
        for server in self._servers:
            for kind, number in zip(_KINDS, (success, denial), strict=True):
                self.entries.labels(server, kind, self._zones, self._view).value = number

    def hide_entries(self) -> None:
        """Export it no more."""
        for server in self._servers:
            for kind in _KINDS:
                self.entries.children.pop((server, kind, self._zones, self._view), None)
