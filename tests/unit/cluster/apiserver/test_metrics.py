# SPDX-License-Identifier: Apache-2.0
from clusterdns.cluster.apiserver.metrics import BOUNDS, RestMetrics
from clusterdns.observability.exposition import render
from clusterdns.observability.metrics import Registry


def test_requests_are_counted_under_the_names_of_coredns():
    registry = Registry()
    metrics = RestMetrics(registry, "127.0.0.1:6443")
    metrics.waited(0.0)
    metrics.answered(200, 0.02)
    metrics.answered(0, 3.0)
    text = render(registry)[1].decode()
    prefix = "coredns_kubernetes_rest_client_"
    assert f'{prefix}requests_total{{code="200",method="GET",host="127.0.0.1:6443"}} 1' in text
    assert f'{prefix}requests_total{{code="<error>",method="GET",host="127.0.0.1:6443"}} 1' in text
    assert f'{prefix}request_duration_seconds_count{{verb="GET",host="127.0.0.1:6443"}} 2' in text
    assert f'{prefix}request_duration_seconds_bucket{{verb="GET",host="127.0.0.1:6443",le="0.025"}} 1' in text
    assert f'{prefix}rate_limiter_duration_seconds_count{{verb="GET",host="127.0.0.1:6443"}} 1' in text
    assert BOUNDS == (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
