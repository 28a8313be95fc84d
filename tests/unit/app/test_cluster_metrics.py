# SPDX-License-Identifier: Apache-2.0
"""Which kind of Service a change of endpoints counts for (coredns_kubernetes_dns_programming_duration_seconds)."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from support.dns_cluster import store_of

from clusterdns.app.cluster_metrics import ClusterMetrics
from clusterdns.cluster.changes import Apply, Delete
from clusterdns.cluster.objects import Endpoint, EndpointSlice, Service
from clusterdns.observability.metrics import Histogram, Registry

NAME = "coredns_kubernetes_dns_programming_duration_seconds"


def counted(service: Service, *, triggered_seconds: float | None) -> dict[str, int]:
    """How many durations of each kind one new slice of the Service has added."""
    registry = Registry()
    store = store_of([service])
    metrics = ClusterMetrics(registry, "api", SimpleNamespace(states={}), lambda: None)
    metrics.watch(store)
    piece = EndpointSlice("ns", "web-1", "web", endpoints=(Endpoint(("10.1.0.1",)),))
    store.apply(Apply("EndpointSlice", piece, triggered_seconds=triggered_seconds), 0.0)
    store.apply(Delete("EndpointSlice", piece.key), 0.0)
    (family,) = [each for each in registry.collect() if each.name == NAME]
    counts = {labels[0]: sum(each.counts) for labels, each in family.children.items() if isinstance(each, Histogram)}
    return {kind: count for kind, count in counts.items() if count}


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        (Service("ns", "web", cluster_ips=("10.0.0.1",)), "cluster_ip"),
        (Service("ns", "web", cluster_ips=("None",), selects=True), "headless_with_selector"),
        (Service("ns", "web", cluster_ips=("None",)), "headless_without_selector"),
    ],
)
def test_a_change_counts_for_the_kind_of_its_service(service: Service, kind: str) -> None:
    assert counted(service, triggered_seconds=time.time() - 1) == {kind: 1}


def test_a_change_of_unknown_time_or_of_no_service_counts_for_none() -> None:
    assert counted(Service("ns", "web", cluster_ips=("10.0.0.1",)), triggered_seconds=None) == {}
    assert counted(Service("ns", "other", cluster_ips=("10.0.0.1",)), triggered_seconds=1.0) == {}
