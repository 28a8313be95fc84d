# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from clusterdns.testing.apiserver.discovery import describe
from clusterdns.testing.apiserver.resources import RESOURCES, parse_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/services", ("services", "", "", "")),
        ("/api/v1/services/", ("services", "", "", "")),
        ("/api/v1/namespaces", ("namespaces", "", "", "")),
        ("/api/v1/namespaces/dev", ("namespaces", "", "dev", "")),
        ("/api/v1/namespaces/dev/status", ("namespaces", "", "dev", "status")),
        ("/api/v1/namespaces/dev/services", ("services", "dev", "", "")),
        ("/api/v1/namespaces/dev/pods/a/status", ("pods", "dev", "a", "status")),
        ("/apis/discovery.k8s.io/v1/endpointslices", ("endpointslices", "", "", "")),
        ("/apis/discovery.k8s.io/v1/namespaces/dev/endpointslices/a", ("endpointslices", "dev", "a", "")),
    ],
)
def test_paths_name_objects(path, expected):
    found = parse_path(path, RESOURCES)
    assert (found.resource.plural, found.namespace, found.name, found.subresource) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/version",
        "/api/v1",
        "/api/v1/endpointslices",
        "/api/v2/services",
        "/apis/discovery.k8s.io/v1beta1/endpointslices",
        "/api/v1/namespaces/dev/nodes",
        "/api/v1/namespaces/dev/services/a/status/more",
        "/api/v1/namespaces//services",
    ],
)
def test_other_paths_name_none(path):
    assert parse_path(path, RESOURCES) is None


def test_what_there_is_can_be_discovered():
    assert json.loads(describe("/api", RESOURCES))["versions"] == ["v1"]
    groups = json.loads(describe("/apis", RESOURCES))["groups"]
    assert [group["name"] for group in groups] == ["discovery.k8s.io", "multicluster.x-k8s.io"]
    assert json.loads(describe("/apis/discovery.k8s.io", RESOURCES))["preferredVersion"]["version"] == "v1"
    listed = json.loads(describe("/apis/discovery.k8s.io/v1", RESOURCES))
    assert [each["name"] for each in listed["resources"]] == ["endpointslices"]
    assert listed["groupVersion"] == "discovery.k8s.io/v1"
    assert describe("/readyz", RESOURCES) == b"ok"
    assert json.loads(describe("/version", RESOURCES))["major"] == "1"
    assert describe("/openapi/v2", RESOURCES) is None
