# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from clusterdns.cluster.decode import decode_object
from clusterdns.testing.apiserver import Storage, generate
from clusterdns.testing.apiserver.resources import PODS, SLICES


@pytest.fixture(scope="module")
def storage():
    found = Storage()
    generate(found, services=250, endpoints=3, headless=2, pods=120)
    return found


def test_generated_objects_are_of_use(storage):
    for kind, count in (("Service", 250), ("EndpointSlice", 250), ("Pod", 120)):
        objects = storage.objects(kind)
        slim = [decode_object(each) for each in objects]
        assert len({each.key for each in slim}) == count
        assert {each["kind"] for each in objects} == {kind}


def test_addresses_are_used_once(storage):
    services = storage.objects("Service")
    addresses = [each["spec"]["clusterIP"] for each in services if each["spec"]["clusterIP"] != "None"]
    endpoints = [
        endpoint["addresses"][0] for each in storage.objects("EndpointSlice") for endpoint in each["endpoints"]
    ]
    pods = [each["status"]["podIP"] for each in storage.objects("Pod")]
    assert (len(addresses), len(endpoints), len(pods)) == (248, 750, 120)
    assert len({*addresses, *endpoints, *pods}) == 248 + 750 + 120


def test_labels_and_fields_are_those_of_the_object(storage):
    for resource in (SLICES, PODS):
        for each in storage.ordered(resource, storage.revision)[:5]:
            value = each.decode()
            assert value["metadata"]["labels"] == each.labels
            assert (value["metadata"]["namespace"], value["metadata"]["name"]) == each.key
            assert value["metadata"]["resourceVersion"] == str(each.revision)
            assert each.fields["metadata.name"] == each.key[1]
    assert each.fields["status.phase"] == value["status"]["phase"]
    assert each.fields["spec.nodeName"] == value["spec"]["nodeName"]


def test_generated_objects_are_as_large_as_real_ones(storage):
    slices = storage.ordered(SLICES, storage.revision)
    assert 1000 < len(slices[0].body) < 4000
    json.loads(slices[0].whole)
    assert json.loads(slices[0].metadata).keys() == {"kind", "apiVersion", "metadata"}


def test_generated_objects_can_be_changed_and_deleted(storage):
    value = storage.get("Service", "ns-1", "svc-100").decode()
    value["spec"]["ports"][0]["port"] = 8080
    assert storage.update(value).decode()["spec"]["ports"][0]["port"] == 8080
    assert storage.delete("Service", "svc-101", "ns-1").decode()["metadata"]["name"] == "svc-101"
