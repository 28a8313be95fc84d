# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from clusterdns.cluster.reflector import requests
from clusterdns.cluster.reflector.requests import METADATA, Request, resource_of


def test_what_is_watched_of_each_kind():
    found = {
        kind: resource_of(kind, "app=web", "env=prod") for kind in ("Namespace", "Service", "Pod", "ServiceImport")
    }
    assert {kind: (one.name, one.labels) for kind, one in found.items()} == {
        "Namespace": ("namespaces", "env=prod"),
        "Service": ("services", "app=web"),
        "Pod": ("pods", "app=web"),
        "ServiceImport": ("serviceimports", ""),
    }
    assert found["Pod"].fields == "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
    assert [one.whole for one in found.values()] == [False, False, False, True]
    assert resource_of("Service").whole
    assert not resource_of("Pod").whole
    assert resource_of("EndpointSlice").path == "/apis/discovery.k8s.io/v1/endpointslices"


def test_the_queries():
    services = resource_of("Service", "app in (a,b)")
    selector = {"labelSelector": "app in (a,b)"}
    bookmarks = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "400"}
    assert requests.stream(services, 400) == Request(
        "watch",
        "/api/v1/services",
        selector | bookmarks | {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
    )
    assert requests.watch(services, "12", 400).query == selector | bookmarks | {"resourceVersion": "12"}
    assert requests.page(services).query == selector | {"limit": "500"}
    assert requests.page(services, "t", 1, METADATA) == Request(
        "list", "/api/v1/services", selector | {"limit": "1", "continue": "t"}, METADATA
    )
    assert requests.cached_list(resource_of("Namespace")).query == {"resourceVersion": "0"}
