# SPDX-License-Identifier: Apache-2.0
"""CoreDNS' metrics of requests to the API server: ``coredns_kubernetes_rest_client_…``."""

from __future__ import annotations

from clusterdns.observability.metrics import Registry

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PREFIX = "coredns_kubernetes_rest_client_"
NO_ANSWER = "<error>"
"""The ``code`` of a request that got no answer."""


class RestMetrics:
    """Counts the requests to one host, ``address:port`` as in the URL. All are GETs."""

    def __init__(self, registry: Registry, host: str) -> None:
        self._host = host
        self._requests = registry.counter(
            f"{PREFIX}requests_total", "Number of requests to the API server.", ("code", "method", "host")
        )
        self._duration = registry.histogram(
            f"{PREFIX}request_duration_seconds",
            "Time from a request to the API server to the header of its answer.",
            ("verb", "host"),
            bounds=BOUNDS,
        ).labels("GET", host)
        self._limiter = registry.histogram(
            f"{PREFIX}rate_limiter_duration_seconds",
            "Time that a request to the API server waited for apiserver_qps.",
            ("verb", "host"),
            bounds=BOUNDS,
        ).labels("GET", host)

    def waited(self, seconds: float) -> None:
        """A request waited for the rate limit."""
        self._limiter.observe(seconds)

    def answered(self, status: int, seconds: float) -> None:
        """A request was answered after so long; status 0 if it wasn't."""
        self._requests.labels(str(status) if status else NO_ANSWER, "GET", self._host).inc()
        self._duration.observe(seconds)
