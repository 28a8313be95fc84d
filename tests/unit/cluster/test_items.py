# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clusterdns.cluster.decode import decode_object
from clusterdns.cluster.items import Event, Item, ItemDecoder
from clusterdns.cluster.objects import Endpoint, EndpointSlice, Namespace, Pod, Service, ServiceImport, ServicePort

DATA = Path(__file__).parents[2] / "data" / "golden"


def meta(name: str, revision: str = "7", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "dev", "resourceVersion": revision, **more}


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": meta(name), "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], **spec}}


def line(type_: str, value: dict[str, Any]) -> bytes:
    return json.dumps({"type": type_, "object": value}).encode()


POD = {
    "metadata": meta("web-1", uid="1-2", labels={"b": "2", "a": "1"}, deletionTimestamp="2026-09-01T10:00:00Z"),
    "spec": {"hostNetwork": True, "dnsPolicy": "Default"},
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        "startTime": "2026-09-01T10:00:00Z",
    },
}
SLICE = {
    "metadata": meta(
        "web-x",
        labels={"kubernetes.io/service-name": "web", "app": "web"},
        annotations={"endpoints.kubernetes.io/last-change-trigger-time": "2026-09-01T10:00:00.5Z"},
        managedFields=[{"fieldsV1": {"f:x": {}}}],
    ),
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "web-1"}, "zone": "z"}],
    "ports": [{"name": "http", "port": 8080}],
}


@pytest.mark.parametrize("name", ["cluster-1.json.gz", "cluster-2.json.gz"])
def test_every_recorded_object_is_the_same_as_out_of_a_manifest(name):
    with gzip.open(DATA / name) as file:
        values = json.load(file)["objects"]
    compared = 0
    for value in values:
        decoder = ItemDecoder(value["kind"], ("pod_names", "clients", "labels"))
        [item] = decoder.items(msgspec.json.encode([value]))
        assert item.fault is None
        assert item.object == decode_object(value)
        assert item == decoder.item(msgspec.json.encode(value))
        compared += item.object is not None
    assert compared > 10


def test_what_repeats_is_shared():
    decoder = ItemDecoder("Service")
    ports = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    first, second = decoder.items(json.dumps([service("a", ports=ports), service("b", ports=ports)]).encode())
    assert isinstance(first.object, Service)
    assert isinstance(second.object, Service)
    assert first.object.ports is second.object.ports
    assert first.namespace is second.namespace is first.object.namespace
    piece = ItemDecoder("EndpointSlice").item(json.dumps(SLICE).encode()).object
    web = ItemDecoder("Service").item(json.dumps(service("web")).encode()).object
    assert isinstance(piece, EndpointSlice)
    assert isinstance(web, Service)
    assert piece.service is web.name


def test_details_are_read_only_if_they_are_asked_for():
    pod = json.dumps(POD).encode()
    ips = ("10.0.0.1", "fd00::1")
    assert ItemDecoder("Pod").item(pod).object == Pod("dev", "web-1", ips, "", True)
    assert ItemDecoder("Pod", ["labels"]).item(pod).object == Pod(
        "dev", "web-1", ips, "", True, (("a", "1"), ("b", "2"))
    )
    assert ItemDecoder("Pod", ["clients"]).item(pod).object == Pod(
        "dev", "web-1", ips, "1-2", True, (), True, False, 1788256800
    )
    piece = json.dumps(SLICE).encode()
    plain, named = ItemDecoder("EndpointSlice").item(piece).object, ItemDecoder("EndpointSlice", ["pod_names"])
    assert isinstance(plain, EndpointSlice)
    assert plain.endpoints == (Endpoint(("10.0.0.1",), zone="z"),)
    with_names = named.item(piece).object
    assert isinstance(with_names, EndpointSlice)
    assert [endpoint.pod for endpoint in with_names.endpoints] == ["web-1"]


def test_kinds_without_namespace_and_of_other_clusters():
    namespace = {"metadata": {"name": "dev", "resourceVersion": "3"}}
    assert ItemDecoder("Namespace").item(json.dumps(namespace).encode()) == Item("", "dev", "3", Namespace("dev"))
    imported = {"metadata": meta("web"), "spec": {"type": "ClusterSetIP", "ips": ["10.1.0.1"], "ports": [{"port": 80}]}}
    assert ItemDecoder("ServiceImport").item(json.dumps(imported).encode()).object == ServiceImport(
        "dev", "web", "ClusterSetIP", ("10.1.0.1",), (ServicePort("", "TCP", 80),)
    )


@pytest.mark.parametrize(
    "status",
    [None, {"podIP": ""}, {"phase": "Succeeded", "podIP": "10.0.0.1"}, {"phase": "Other", "podIP": "10.0.0.1"}],
)
def test_pods_that_have_no_address_or_have_ended_have_no_object(status):
    item = ItemDecoder("Pod").item(json.dumps({"metadata": meta("p"), "status": status}).encode())
    assert item == Item("dev", "p", "7")


def test_a_faulty_object_does_not_stop_the_others():
    values = [
        service("good"),
        service("wrong-value", clusterIPs=["10.96.0"], clusterIP=None),
        service("wrong-shape", ports="none"),
        {"metadata": meta("no-namespace") | {"namespace": ""}},
        {"metadata": {"name": 5}},
        {"spec": {}},
        service("last"),
    ]
    items = ItemDecoder("Service").items(json.dumps(values).encode())
    assert [(item.name, str(item.fault or "")) for item in items] == [
        ("good", ""),
        ("wrong-value", "spec.clusterIPs[0]: '10.96.0' is not an IP address"),
        ("wrong-shape", "spec.ports: expected array, got str"),
        ("no-namespace", "metadata.namespace: is missing"),
        ("", "metadata.name: expected str, got int"),
        ("", "metadata.name: is missing"),
        ("last", ""),
    ]
    assert [item.object is None for item in items] == [False, True, True, True, True, True, False]
    assert items[2].revision == "7"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"addressType": None}, "addressType: is missing"),
        ({"endpoints": [{"addresses": []}]}, "endpoints[0].addresses: is missing"),
        ({"endpoints": [{"addresses": ["fd00::1"]}]}, "endpoints[0].addresses[0]: 'fd00::1' is not an IPv4 address"),
        ({"endpoints": [{"addresses": ["1.2.3.4"], "hostname": "A"}]}, "endpoints[0].hostname: 'A' must be"),
        ({"ports": [{"port": 0}]}, "ports[0].port: 0 must be"),
        ({"addressType": "FQDN", "endpoints": [{"addresses": ["a b"]}]}, "endpoints[0].addresses[0]: 'a b' is not a"),
        ({"metadata": meta("A_b")}, "metadata.name: 'A_b' must be"),
    ],
)
def test_what_would_be_nonsense_in_a_slice_is_a_fault(change, fault):
    item = ItemDecoder("EndpointSlice").item(json.dumps(SLICE | change).encode())
    assert item.object is None
    assert str(item.fault).startswith(fault)


def test_texts_that_are_not_utf8_are_a_fault_of_their_object():
    good, bad = json.dumps(service("a")).encode(), json.dumps(service("b", externalName="X", type="ExternalName"))
    items = ItemDecoder("Service").items(b"[" + good + b"," + bad.encode().replace(b"X", b"\xff") + b"]")
    assert [item.name for item in items] == ["a", "b"]
    assert [str(item.fault) for item in items][1] == "it is not UTF-8"


def test_the_lines_of_a_watch():
    decoder = ItemDecoder("EndpointSlice")
    event = decoder.event(line("MODIFIED", SLICE))
    assert (event.type, event.item.name, event.item.revision) == ("MODIFIED", "web-x", "7")
    assert event.item.triggered_seconds == 1788256800.5
    bookmark = {"kind": "EndpointSlice", "metadata": {"resourceVersion": "9", "creationTimestamp": None}}
    assert decoder.event(line("BOOKMARK", bookmark)) == Event("BOOKMARK", Item("", "", "9"))
    bookmark["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
    assert decoder.event(line("BOOKMARK", bookmark)) == Event("BOOKMARK", Item("", "", "9"), initial_end=True)


@pytest.mark.parametrize("kind", ["Service", "Pod", "Namespace", "EndpointSlice", "ServiceImport"])
def test_errors_are_told_by_their_status(kind):
    status = {
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version: 1 (5)",
        "reason": "Expired",
        "code": 410,
    }
    event = ItemDecoder(kind).event(line("ERROR", status))
    assert (event.type, event.code, event.message) == ("ERROR", 410, "too old resource version: 1 (5)")


def test_a_faulty_object_of_a_watch_has_its_name():
    event = ItemDecoder("Service").event(line("ADDED", service("a", ports=5)))
    assert (event.type, event.item.name, event.item.revision) == ("ADDED", "a", "7")
    assert event.item.fault is not None


@pytest.mark.parametrize(
    "value",
    [
        {"type": "ADDED", "object": {"spec": {}}},
        {"type": "ADDED", "object": {"metadata": {"name": 5}}},
        {"type": "BOOKMARK", "object": 5},
        {"type": "CHANGED", "object": service("a")},
        {"object": service("a")},
        [],
    ],
)
def test_lines_about_nothing_that_has_a_name_are_refused(value):
    with pytest.raises(msgspec.DecodeError):
        ItemDecoder("Service").event(json.dumps(value).encode())


@pytest.mark.parametrize("trigger", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_times_that_cannot_be_read_are_none(trigger):
    assert Item("a", "b", "1", trigger=trigger).triggered_seconds is None


@pytest.mark.parametrize("data", [b"", b"[", b"[{]", b'[{"metadata":{"name":"a"', b"<html>"])
def test_what_is_not_json_is_refused(data):
    with pytest.raises(msgspec.DecodeError):
        ItemDecoder("Service").items(data)
    with pytest.raises(msgspec.DecodeError):
        ItemDecoder("Service").event(data)
