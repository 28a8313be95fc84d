# SPDX-License-Identifier: Apache-2.0
"""The ``coredns_dns_*`` metrics: one place for their names, labels and buckets.

``prometheus`` counts the queries of its block here, the server those that no block is asked about (zone ``dropped``).
"""

from __future__ import annotations

from typing import Final, TypeAlias

from clusterdns.dns import names
from clusterdns.dns.types import TYPE_NUMBERS, rcode_text
from clusterdns.observability.metrics import Histogram, Registry, Value
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

DROPPED: Final = "dropped"
"""Label ``zone`` of queries that were refused before a server block was asked."""

SECONDS_BOUNDS: Final = tuple(0.00025 * 2**power for power in range(16))
SIZE_BOUNDS: Final = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)

_OTHER: Final = "other"
_TYPES: Final = (
    "A", "AAAA", "CNAME", "DNSKEY", "DS", "MX", "NSEC", "NSEC3", "NS", "PTR", "RRSIG", "SOA", "SRV", "TXT", "HTTPS",
    "SVCB", "IXFR", "AXFR", "ANY",
)  # fmt: skip
_TYPE_LABELS: Final = {TYPE_NUMBERS[name]: name for name in _TYPES}

_BLOCK: Final = ("server", "zone", "view")
_FAMILIES: Final = {1: "1", 2: "2"}

_Metrics: TypeAlias = tuple[Value, Histogram, Histogram, Histogram, Value | None]


class Traffic:
    """Counts queries and replies in a registry; all objects over one registry count together.

    view: label of the queries of a block with a view, empty without one.
    """

    def __init__(self, registry: Registry, view: str = "") -> None:
        self._view = view
        self._requests = registry.counter(
            "coredns_dns_requests_total",
            "Counter of DNS requests made per zone, protocol and family.",
            (*_BLOCK, "proto", "family", "type"),
        )
        self._durations = registry.histogram(
            "coredns_dns_request_duration_seconds",
            "Histogram of the time (in seconds) each request took per zone.",
            _BLOCK,
            bounds=SECONDS_BOUNDS,
        )
        self._request_sizes = registry.histogram(
            "coredns_dns_request_size_bytes",
            "Size of the request in bytes, as received.",
            (*_BLOCK, "proto"),
            bounds=SIZE_BOUNDS,
        )
        self._response_sizes = registry.histogram(
            "coredns_dns_response_size_bytes",
            "Size of the written response in bytes.",
            (*_BLOCK, "proto"),
            bounds=SIZE_BOUNDS,
        )
        self._do_requests = registry.counter(
            "coredns_dns_do_requests_total", "Counter of DNS requests with the DO bit set per zone.", _BLOCK
        )
        self._responses = registry.counter(
            "coredns_dns_responses_total",
            "Counter of responses per zone, rcode and the plugin that answered.",
            (*_BLOCK, "rcode", "plugin"),
        )
        self._panics = registry.counter("coredns_panics_total", "Number of queries that a plugin failed on.").labels()
        # Few: names and numbers that a client makes up are not part of the keys.
        self._by_query: dict[tuple[object, ...], _Metrics] = {}
        self._by_reply: dict[tuple[object, ...], Value] = {}

    def panic(self) -> None:
        """A plugin failed."""
        self._panics.inc()

    def dropped(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """No block was asked about the query."""
        self.count(query, reply, size_bytes, zone=DROPPED)
        self.durations(query.server, DROPPED, [(duration_seconds, 1)])

    def answered(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """A block made the reply; ``size_bytes`` is 0 where none was sent."""
        self.count(query, reply, size_bytes)[1].observe(duration_seconds)

    def count(self, query: Query, reply: Reply, size_bytes: int, *, times: int = 1, zone: str = "") -> _Metrics:
        """Count a query that came ``times`` times, without its duration."""
        client = query.client
        do = query.edns is not None and query.edns.do
        qtype = _TYPE_LABELS.get(query.qtype, _OTHER)
        key = (query.server, zone or query.zone, client.protocol, client.family, qtype, do)
        metrics = self._by_query.get(key)
        if metrics is None:
            labels = (query.server, zone or names.to_text(query.zone), self._view)
            metrics = self._by_query[key] = (
                self._requests.labels(*labels, client.protocol, _FAMILIES[client.family], qtype),
                self._durations.labels(*labels),
                self._request_sizes.labels(*labels, client.protocol),
                self._response_sizes.labels(*labels, client.protocol),
                self._do_requests.labels(*labels) if do else None,
            )
        requests, _, request_sizes, response_sizes, do_requests = metrics
        requests.value += times
        request_sizes.observe(len(query.packet), times)
        if do_requests is not None:
            do_requests.value += times
        if size_bytes:
            response_sizes.observe(size_bytes, times)
            self._response(query, reply, zone).value += times
        return metrics

    def durations(self, server: str, zone: str, durations: list[tuple[float, int]]) -> None:
        """Count durations alone: pairs of seconds and a number of queries."""
        histogram = self._durations.labels(server, zone, self._view)
        for seconds, queries in durations:
            histogram.observe(seconds, queries)

    def _response(self, query: Query, reply: Reply, zone: str) -> Value:
        key = (query.server, zone or query.zone, reply.rcode, reply.plugin)
        value = self._by_reply.get(key)
        if value is None:
            zone = zone or names.to_text(query.zone)
            value = self._responses.labels(query.server, zone, self._view, rcode_text(reply.rcode), reply.plugin)
            self._by_reply[key] = value
        return value
