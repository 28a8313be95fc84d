# SPDX-License-Identifier: Apache-2.0
"""Metrics of upstreams: the names that CoreDNS has now, and those that published alerts still ask for."""

from __future__ import annotations

from typing import Final

from clusterdns.dns.types import rcode_text
from clusterdns.observability.metrics import Histogram, Registry, Value

PROXY_NAME: Final = "forward"
_SECONDS_BOUNDS: Final = tuple(0.00025 * 2**power for power in range(16))


class ForwardMetrics:
    """The metrics of all upstreams of a process. ``broken`` and ``rejects`` have no labels."""

    def __init__(self, registry: Registry) -> None:
        to = ("to",)
        proxy = ("proxy_name", "to")
        text = "Histogram of the time each request took."
        self._durations = registry.histogram(
            "coredns_proxy_request_duration_seconds", text, (*proxy, "rcode"), bounds=_SECONDS_BOUNDS
        )
        self._forward_durations = registry.histogram(
            "coredns_forward_request_duration_seconds", text, (*to, "rcode"), bounds=_SECONDS_BOUNDS
        )
        self._requests = registry.counter(
            "coredns_forward_requests_total", "Counter of requests made per upstream.", to
        )
        self._responses = registry.counter(
            "coredns_forward_responses_total", "Counter of responses received per upstream.", (*to, "rcode")
        )
        text = "Counter of the number of failed healthchecks."
        self._failures = registry.counter("coredns_proxy_healthcheck_failures_total", text, proxy)
        self._forward_failures = registry.counter("coredns_forward_healthcheck_failures_total", text, to)
        text = "Counter of queries sent on a socket that was open, per upstream and protocol."
        self._hits = registry.counter("coredns_proxy_conn_cache_hits_total", text, (*proxy, "proto"))
        self._forward_hits = registry.counter("coredns_forward_conn_cache_hits_total", text, (*to, "proto"))
        text = "Counter of queries that a socket was opened for, per upstream and protocol."
        self._misses = registry.counter("coredns_proxy_conn_cache_misses_total", text, (*proxy, "proto"))
        self._forward_misses = registry.counter("coredns_forward_conn_cache_misses_total", text, (*to, "proto"))
        self.broken = registry.counter(
            "coredns_forward_healthcheck_broken_total",
            "Counter of the number of complete failures of the healthchecks.",
        ).labels()
        self.rejects = registry.counter(
            "coredns_forward_max_concurrent_rejects_total",
            "Counter of the number of queries rejected because the concurrent queries were at maximum.",
        ).labels()

    def durations(self, to: str, rcode: int) -> tuple[Histogram, Value]:
        """The histogram, which is shown in both families, and the counter for replies of one upstream and rcode."""
        name = rcode_text(rcode)
        histogram = self._durations.labels(PROXY_NAME, to, name)
        self._forward_durations.children[to, name] = histogram
        return histogram, self._responses.labels(to, name)

    def requests(self, to: str) -> Value:
        """Counts the questions sent to an upstream."""
        return self._requests.labels(to)

    def failures(self, to: str) -> Value:
        """Counts failed probes."""
        value = self._failures.labels(PROXY_NAME, to)
        self._forward_failures.children[to,] = value
        return value

    def reused(self, to: str, protocol: str) -> Value:
        """Counts questions on a socket that was open."""
        value = self._hits.labels(PROXY_NAME, to, protocol)
        self._forward_hits.children[to, protocol] = value
        return value

    def opened(self, to: str, protocol: str) -> Value:
        """Counts sockets opened."""
        value = self._misses.labels(PROXY_NAME, to, protocol)
        self._forward_misses.children[to, protocol] = value
        return value
