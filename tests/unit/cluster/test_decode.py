# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clusterdns.cluster.decode import WANTED_KEYS, declare, declare_json, declared_kind, decode_object
from clusterdns.cluster.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Namespace,
    Pod,
    Service,
    ServiceImport,
    ServicePort,
)
from clusterdns.errors import ObjectError

DATA = Path(__file__).parents[2] / "data" / "golden"


def recorded(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / name) as file:
        objects: list[dict[str, Any]] = json.load(file)["objects"]
    return objects


SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "dev", "labels": {"a": "b"}, "managedFields": [1]},
    "spec": {
        "type": "NodePort",
        "clusterIP": "10.96.0.9",
        "clusterIPs": ["10.96.0.9", "fd00::9"],
        "ports": [
            {"name": "http", "port": 80, "targetPort": "web", "nodePort": 30002},
            {"port": 53, "protocol": "UDP"},
        ],
    },
}
SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "web-x", "namespace": "dev", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "endpoints": [
        {"addresses": ["10.0.0.1"], "hostname": "web-0", "targetRef": {"kind": "Pod", "name": "web-abc"}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}, "targetRef": {"kind": "Node", "name": "n"}},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": None}},
    ],
    "ports": [{"name": "http", "port": 8080}, {"name": "", "protocol": "SCTP", "port": None}],
}


def changed(value: dict[str, Any], path: str, new: object) -> dict[str, Any]:
    result = copy.deepcopy(value)
    *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
    place: Any = result
    for step in steps:
        place = place[step]
    place[last] = new
    return result


def test_a_service():
    assert decode_object(SERVICE) == Service(
        "dev",
        "web",
        "NodePort",
        ("10.96.0.9", "fd00::9"),
        (ServicePort("http", "TCP", 80, 30002), ServicePort("", "UDP", 53)),
    )


def test_an_endpoint_slice():
    assert decode_object(SLICE) == EndpointSlice(
        "dev",
        "web-x",
        "web",
        "IPv4",
        (
            Endpoint(("10.0.0.1",), True, "web-0", "web-abc"),
            Endpoint(("10.0.0.2",), False, serving=False),
            Endpoint(("10.0.0.3",), True),
        ),
        (EndpointPort("http", "TCP", 8080), EndpointPort("", "SCTP", None)),
    )


@pytest.mark.parametrize(
    ("conditions", "ready", "serving", "terminating"),
    [
        (None, True, True, False),
        ({}, True, True, False),
        ({"ready": False}, False, False, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True, True),
        ({"serving": False}, True, False, False),
    ],
)
def test_conditions_that_are_missing(conditions, ready, serving, terminating):
    piece = decode_object(changed(SLICE, "endpoints.0.conditions", conditions))
    assert isinstance(piece, EndpointSlice)
    first = piece.endpoints[0]
    assert (first.ready, first.serving, first.terminating) == (ready, serving, terminating)


def test_a_slice_of_another_cluster_and_the_zone_of_an_endpoint():
    labels = {"multicluster.kubernetes.io/service-name": "web", "multicluster.kubernetes.io/source-cluster": "west"}
    piece = decode_object(changed(changed(SLICE, "metadata.labels", labels), "endpoints.0.zone", "west-1a"))
    assert isinstance(piece, EndpointSlice)
    assert (piece.service, piece.imported, piece.cluster) == ("", "web", "west")
    assert [endpoint.zone for endpoint in piece.endpoints] == ["west-1a", "", ""]


def test_a_service_import():
    value = {
        "apiVersion": "multicluster.x-k8s.io/v1alpha1",
        "kind": "ServiceImport",
        "metadata": {"name": "web", "namespace": "dev"},
        "spec": {"type": "ClusterSetIP", "ips": ["10.42.0.1"], "ports": [{"name": "http", "port": 80}]},
    }
    ports = (ServicePort("http", "TCP", 80),)
    assert decode_object(value) == ServiceImport("dev", "web", "ClusterSetIP", ("10.42.0.1",), ports)
    headless = decode_object(changed(value, "spec", {"type": "Headless"}))
    assert isinstance(headless, ServiceImport)
    assert headless.headless
    with pytest.raises(ObjectError, match=r"spec.ips\[0\]: '10.42' is not an IP address"):
        decode_object(changed(value, "spec.ips.0", "10.42"))


def test_null_lists_are_empty_ones():
    empty = decode_object(changed(changed(SLICE, "endpoints", None), "ports", None))
    assert isinstance(empty, EndpointSlice)
    assert (empty.endpoints, empty.ports) == ((), ())


def test_pods_that_run_have_all_their_addresses():
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    }
    assert decode_object(pod) == Pod("default", "p", ("10.0.0.1", "fd00::1"))
    assert decode_object(changed(pod, "status.podIPs", None)) == Pod("default", "p", ("10.0.0.1",))
    assert decode_object(changed(pod, "status", None)) is None
    for phase in ("Succeeded", "Failed", "Unknown"):
        assert decode_object(changed(pod, "status.phase", phase)) is None


def test_pods_have_what_their_clients_are_known_by():
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "1-2", "labels": {"app": "web"}},
        "spec": {"hostNetwork": True},
        "status": {"podIP": "10.0.0.1"},
    }
    assert decode_object(pod) == Pod("default", "p", ("10.0.0.1",), "1-2", True, (("app", "web"),))


def test_pods_tell_whether_their_search_list_is_the_clusters():
    pod = {"kind": "Pod", "metadata": {"name": "p"}, "spec": {}, "status": {"podIP": "10.0.0.1"}}

    def search(**spec: object) -> bool:
        found = decode_object(changed(pod, "spec", spec))
        assert isinstance(found, Pod)
        return found.cluster_search

    assert search()
    assert search(dnsPolicy="ClusterFirst", dnsConfig={"options": [{"name": "ndots", "value": "2"}]})
    assert search(dnsPolicy="ClusterFirstWithHostNet", dnsConfig={"searches": []})
    assert not search(dnsPolicy="Default")
    assert not search(dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.9"]})
    assert not search(dnsConfig={"searches": ["corp.example"]})


def test_pods_tell_since_when_they_have_addresses_and_that_they_end():
    pod = {
        "kind": "Pod",
        "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {
            "podIP": "10.0.0.1",
            "startTime": "1970-01-01T00:01:00Z",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:59Z"},
                {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "1970-01-01T00:02:00Z"},
            ],
        },
    }

    def decoded(value: dict[str, Any]) -> Pod:
        found = decode_object(value)
        assert isinstance(found, Pod)
        return found

    assert (decoded(pod).network_seconds, decoded(pod).terminating) == (120, True)
    assert decoded(changed(pod, "status.conditions.1.status", "False")).network_seconds == 60
    assert decoded(changed(pod, "status.conditions", None)).network_seconds == 60
    assert decoded(changed(pod, "status", {"podIP": "10.0.0.1"})).network_seconds == 0
    assert not decoded(changed(pod, "metadata.deletionTimestamp", None)).terminating
    with pytest.raises(ObjectError, match=r"status\.startTime: 'noon' is not a time"):
        decode_object(changed(changed(pod, "status.conditions", None), "status.startTime", "noon"))


def test_addresses_outside_of_the_cluster():
    service = changed(SERVICE, "spec.externalIPs", ["192.0.2.1", "2001:db8::1"])
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "lb.example.com"}, {}]}}
    found = decode_object(service)
    assert isinstance(found, Service)
    assert found.external_ips == ("192.0.2.1", "2001:db8::1")
    assert found.ingress == ("192.0.2.2", "lb.example.com")
    with pytest.raises(ObjectError, match=r"spec\.externalIPs\[1\]: 'x' is not an IP address"):
        decode_object(changed(service, "spec.externalIPs.1", "x"))
    with pytest.raises(ObjectError, match=r"ingress\[0\]\.ip: 'x' is not an IP address"):
        decode_object(changed(service, "status.loadBalancer.ingress.0.ip", "x"))
    with pytest.raises(ObjectError, match=r"ingress\[1\]\.hostname: 'a b' is not a domain name"):
        decode_object(changed(service, "status.loadBalancer.ingress.1.hostname", "a b"))


def test_headless_external_name_and_unallocated_services():
    headless = decode_object({"kind": "Service", "metadata": {"name": "h"}, "spec": {"clusterIP": "None"}})
    assert isinstance(headless, Service)
    assert headless.headless
    external = {"type": "ExternalName", "externalName": "www.example.com.", "clusterIP": ""}
    assert decode_object({"kind": "Service", "metadata": {"name": "e"}, "spec": external}) == Service(
        "default", "e", "ExternalName", external_name="www.example.com."
    )
    bare = decode_object({"kind": "Service", "metadata": {"name": "b"}})
    assert bare == Service("default", "b")


def test_kinds_without_a_slim_object_and_other_api_groups_give_none():
    assert decode_object({"kind": "Node", "metadata": {"name": "n"}}) is None
    assert decode_object({"kind": "Endpoints", "metadata": {"name": "n"}}) is None
    assert decode_object({"apiVersion": "apps/v1", "kind": "Deployment"}) is None
    assert decode_object({"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": 7}}) is None
    assert declared_kind("discovery.k8s.io/v1", "EndpointSlice") == "EndpointSlice"
    assert declared_kind("v1", "EndpointSlice") is None
    assert declared_kind(None, "Pod") == "Pod"
    assert decode_object({"kind": "Namespace", "metadata": {"name": "dev"}}) == Namespace("dev")


@pytest.mark.parametrize(
    ("value", "path", "new", "message"),
    [
        (SERVICE, "metadata", None, "metadata.name: is missing"),
        (SERVICE, "metadata", [], "metadata: expected object, got array"),
        (SERVICE, "metadata.name", 5, "metadata.name: expected str, got int, which YAML reads as text only in quotes"),
        (SERVICE, "metadata.name", "We_b", "metadata.name: 'We_b' must be 1–63 characters"),
        (SERVICE, "metadata.namespace", "a.b", "metadata.namespace: 'a.b' must be"),
        (SERVICE, "metadata.labels", {"a": True}, "metadata.labels: expected str, got bool"),
        (SERVICE, "spec.type", "clusterip", "spec.type: 'clusterip' must be one of ClusterIP, NodePort"),
        (SERVICE, "spec.clusterIPs.1", "10.0.0", "spec.clusterIPs[1]: '10.0.0' is not an IP address"),
        (SERVICE, "spec.clusterIPs.0", "None", "spec.clusterIP: '10.96.0.9' must be the first of clusterIPs"),
        (SERVICE, "spec.clusterIP", "10.96.0.8", "spec.clusterIP: '10.96.0.8' must be the first of clusterIPs"),
        (SERVICE, "spec.ports.0.port", "80", "spec.ports[0].port: expected int, got str"),
        (SERVICE, "spec.ports.0.port", None, "spec.ports[0].port: is missing"),
        (SERVICE, "spec.ports.1.port", 65536, "spec.ports[1].port: 65536 must be 1–65535"),
        (SERVICE, "spec.ports.1.targetPort", -1, "spec.ports[1].targetPort: -1 must be 1–65535"),
        (
            SERVICE,
            "spec.ports.1.targetPort",
            "80",
            "spec.ports[1].targetPort: '80' is not the name of a port, and a num",
        ),
        (SERVICE, "spec.ports.1.targetPort", "web_1", "spec.ports[1].targetPort: 'web_1' is not the name of a port"),
        (SERVICE, "spec.ports.0.nodePort", 70000, "spec.ports[0].nodePort: 70000 must be 1–65535"),
        (SERVICE, "spec.ports.0.name", "HTTP", "spec.ports[0].name: 'HTTP' must be"),
        (SERVICE, "spec.ports.0.protocol", "tcp", "spec.ports[0].protocol: 'tcp' must be one of TCP, UDP, SCTP"),
        (SERVICE, "spec.ipFamilies", ["IPv5"], "spec.ipFamilies[0]: 'IPv5' must be one of IPv4, IPv6"),
        (SERVICE, "spec", {"type": "ExternalName"}, "spec.externalName: is missing"),
        (SERVICE, "spec", {"type": "ExternalName", "externalName": "a b"}, "spec.externalName: 'a b' is not a domain"),
        (SLICE, "addressType", None, "addressType: is missing"),
        (SLICE, "endpoints.1.addresses", [], r"endpoints[1].addresses: is missing"),
        (SLICE, "endpoints.1.addresses", ["fd00::1"], "endpoints[1].addresses[0]: 'fd00::1' is not an IPv4 address"),
        (SLICE, "endpoints.0.hostname", "a.b", "endpoints[0].hostname: 'a.b' must be"),
        (SLICE, "ports.0.port", 0, "ports[0].port: 0 must be 1–65535"),
    ],
)
def test_what_would_be_nonsense_is_refused_with_its_field(value, path, new, message):
    with pytest.raises(ObjectError) as caught:
        decode_object(changed(value, path, new))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["cluster-1.json.gz", "cluster-2.json.gz"])
def test_every_recorded_object_decodes_the_same_from_dicts_and_from_json(name):
    for value in recorded(name):
        kind = declared_kind(value["apiVersion"], value["kind"])
        assert kind is not None
        assert decode_object(value) is not None
        assert declare(kind, value) == declare_json(kind, msgspec.json.encode(value))


@pytest.mark.parametrize("name", ["cluster-1.json.gz", "cluster-2.json.gz"])
def test_the_wanted_keys_are_enough(name):
    def reduce(value: Any, keys: Any) -> Any:
        if isinstance(value, list):
            return [reduce(item, keys) for item in value]
        if isinstance(value, dict) and keys is not None:
            return {key: reduce(below, keys[key]) for key, below in value.items() if key in keys}
        return value

    for value in recorded(name):
        assert decode_object(reduce(value, WANTED_KEYS)) == decode_object(value)
