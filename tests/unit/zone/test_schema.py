# SPDX-License-Identifier: Apache-2.0
import pytest
from support.dns_cluster import endpoints, service

from clusterdns.cluster.objects import Endpoint
from clusterdns.zone import schema
from clusterdns.zone.schema import Name, Target


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", Name("apex")),
        ("svc", Name("parent")),
        ("pod", Name("parent")),
        ("dns", Name("parent")),
        ("ns.dns", Name("nameserver")),
        ("dns-version", Name("version")),
        ("x.dns-version", Name("none")),
        ("x", Name("none")),
        ("x.ns.dns", Name("none")),
        ("ns.svc", Name("services", "ns")),
        ("ns.pod", Name("pods", "ns")),
        ("s.ns.svc", Name("service", "ns", "s")),
        ("e.s.ns.svc", Name("endpoint", "ns", "s", "e")),
        ("_tcp.s.ns.svc", Name("endpoint", "ns", "s", "_tcp")),
        ("_http._tcp.s.ns.svc", Name("port", "ns", "s", "", "http", "tcp")),
        ("http.tcp.s.ns.svc", Name("port", "ns", "s", "", "http", "tcp")),
        ("__http._.s.ns.svc", Name("port", "ns", "s", "", "_http", "")),
        ("a._http._tcp.s.ns.svc", Name("none")),
        ("1-2-3-4.ns.pod", Name("pod", "ns", "", "1-2-3-4")),
        ("a.1-2-3-4.ns.pod", Name("none")),
        ("svc.pod", Name("pods", "svc")),
        ("svc.svc", Name("services", "svc")),
    ],
)
def test_names_are_read_from_the_right(text, name):
    assert schema.parse_name([label.encode() for label in text.split(".") if label]) == name


def test_octets_that_are_not_ascii_are_kept_apart():
    name = schema.parse_name([b"\xff\x00", b"n\xe9", b"svc"])
    assert (name.service, name.namespace) == ("\xff\x00", "n\xe9")


@pytest.mark.parametrize(
    ("label", "address"),
    [
        ("10-1-2-3", "10.1.2.3"),
        ("fd00-1--1", "fd00:1::1"),
        ("--1", "::1"),
        ("1-2-3", None),
        ("1--2-3", "1::2:3"),
        ("256-1-1-1", None),
        ("01-1-1-1", None),
        ("", None),
        ("nosuch", None),
        ("fe80--1%eth0", None),
        ("--ffff-1.2.3.4", None),
    ],
)
def test_addresses_in_names_of_pods(label, address):
    assert schema.pod_address(label) == address


@pytest.mark.parametrize(
    ("endpoint", "address", "pod_names", "label"),
    [
        (Endpoint((), True, "host", "pod"), "10.0.0.1", True, "host"),
        (Endpoint((), True, "", "pod"), "10.0.0.1", True, "pod"),
        (Endpoint((), True, "", "pod"), "10.0.0.1", False, "10-0-0-1"),
        (Endpoint((), True, "", "p" * 63), "10.0.0.1", True, "p" * 63),
        (Endpoint((), True, "", "p" * 64), "10.0.0.1", True, "10-0-0-1"),
        (Endpoint((), True, "", "a.b"), "10.0.0.1", True, "10-0-0-1"),
        (Endpoint(()), "fd00:1::", False, "fd00-1--0"),
        (Endpoint(()), "FD00::1", False, "fd00--1"),
    ],
)
def test_endpoints_have_a_name(endpoint, address, pod_names, label):
    assert schema.endpoint_name(endpoint, address, pod_names) == label


def test_ready_addresses_come_in_the_order_of_slices_with_repetitions():
    slices = [endpoints("s", "a=10.0.0.1", "!10.0.0.2"), endpoints("s", "10.0.0.1"), endpoints("s", "x", family="FQDN")]
    found = [(row.name, row.address) for row in schema.endpoint_addresses(slices, False)]
    assert found == [("a", "10.0.0.1"), ("10-0-0-1", "10.0.0.1")]
    assert schema.host_names(slices) == ["x"]


def test_readiness_is_of_any_endpoint():
    assert not schema.has_ready([])
    assert not schema.has_ready([endpoints("s", "!10.0.0.1")])
    assert schema.has_ready([endpoints("s", "!10.0.0.1"), endpoints("s", "10.0.0.2")])


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("www.example.com", "www.example.com."),
        ("www.Example.com.", "www.Example.com."),
        ("10.0.0.1", None),
        ("10.0.0.1.", None),
        ("10.0.0", "10.0.0."),
        ("fd00::1", None),
    ],
)
def test_an_external_name_is_a_name(target, name):
    assert schema.external_name(service("s", target=target)) == name


def test_an_external_name_may_be_missing():
    assert schema.external_name(service("s")) is None


PORTS = "http:80 https:443 dns:53/UDP"


@pytest.mark.parametrize(
    ("port", "protocol", "numbers"),
    [
        ("", "", [80, 443, 53]),
        ("http", "tcp", [80]),
        ("", "tcp", [80, 443]),
        ("dns", "", [53]),
        ("dns", "tcp", []),
        ("nope", "", []),
    ],
)
def test_ports_are_found_by_name_and_protocol(port, protocol, numbers):
    name = Name("port", "ns", "s", "", port, protocol)
    assert schema.service_targets(service("s", "10.0.0.1", ports=PORTS), name) == [
        Target("", number, "10.0.0.1") for number in numbers
    ]


def test_endpoint_ports_without_number_have_no_srv_record():
    rows = schema.endpoint_addresses([endpoints("s", "10.0.0.1", ports="a: b:9")], False)
    assert schema.endpoint_targets(rows, Name("service")) == [Target("10-0-0-1", 9, "10.0.0.1")]


@pytest.mark.parametrize(("rows", "weight"), [(1, 100), (2, 50), (3, 33), (4, 25), (100, 1), (101, 1), (5000, 1)])
def test_weights_share_a_hundred(rows, weight):
    assert schema.srv_weight(rows) == weight
