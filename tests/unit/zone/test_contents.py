# SPDX-License-Identifier: Apache-2.0
"""That a transfer has the records of queries is a property test; here is what a zone looks like."""

import pytest
from support.dns_cluster import endpoints, line, namespace, pod, put, service, store_of

from clusterdns.cluster.objects import EndpointPort, EndpointSlice
from clusterdns.dns import names
from clusterdns.zone.compiler import ZoneOptions
from clusterdns.zone.snapshot import Snapshot

ZONE = names.from_text("cluster.local.")
DNS = (
    namespace("kube-system"),
    service("kube-dns", "10.96.0.10", ports="dns:53/UDP", namespace="kube-system"),
    endpoints("kube-dns", "10.244.0.2", ports=None, namespace="kube-system"),
)
OBJECTS = (
    namespace("testns"),
    service("web", "10.96.0.1", "fd00::1", ports="http:80 :81"),
    endpoints("web", "w=10.1.0.1", ports="http:8080"),
    service("hl", "None"),
    endpoints("hl", "a=10.1.1.1", "10.1.1.2", "!10.1.1.3", name="hl-1"),
    endpoints("hl", "10.1.1.2", name="hl-2"),
    service("ext", target="example.org"),
    service("elsewhere", "10.96.0.9", namespace="missing"),
)


def snapshot_of(*objects, zones=("cluster.local.",), clock=lambda: 100.0, **options):
    wire = tuple(names.from_text(zone) for zone in zones)
    store = store_of(objects)
    snapshot = Snapshot(ZoneOptions(wire, wire[0], **options), store, clock, ("10.244.0.2",))
    store.subscribe(snapshot.apply)
    return snapshot


def lines(snapshot, zone=ZONE):
    """The records, names relative to the cluster's zone; those of the name server and the version left out."""
    found = [line(record).replace("cluster.local.", "Z") for record in snapshot.records(zone)]
    return [text for text in found if "SOA" not in text and "dns" not in text]


def test_services_and_endpoints():
    assert lines(snapshot_of(*DNS, *OBJECTS)) == [
        "ext.testns.svc.Z 5 IN CNAME example.org.",
        "hl.testns.svc.Z 5 IN A 10.1.1.1",
        "hl.testns.svc.Z 5 IN A 10.1.1.2",
        "hl.testns.svc.Z 5 IN SRV 0 33 80 a.hl.testns.svc.Z",
        "hl.testns.svc.Z 5 IN SRV 0 33 80 10-1-1-2.hl.testns.svc.Z",
        "_http._tcp.hl.testns.svc.Z 5 IN A 10.1.1.1",
        "_http._tcp.hl.testns.svc.Z 5 IN A 10.1.1.2",
        "_http._tcp.hl.testns.svc.Z 5 IN SRV 0 33 80 a.hl.testns.svc.Z",
        "_http._tcp.hl.testns.svc.Z 5 IN SRV 0 33 80 10-1-1-2.hl.testns.svc.Z",
        "a.hl.testns.svc.Z 5 IN A 10.1.1.1",
        "a.hl.testns.svc.Z 5 IN SRV 0 100 80 a.hl.testns.svc.Z",
        "10-1-1-2.hl.testns.svc.Z 5 IN A 10.1.1.2",
        "10-1-1-2.hl.testns.svc.Z 5 IN SRV 0 50 80 10-1-1-2.hl.testns.svc.Z",
        "web.testns.svc.Z 5 IN A 10.96.0.1",
        "web.testns.svc.Z 5 IN AAAA fd00::1",
        "web.testns.svc.Z 5 IN SRV 0 25 80 web.testns.svc.Z",
        "web.testns.svc.Z 5 IN SRV 0 25 81 web.testns.svc.Z",
        "_http._tcp.web.testns.svc.Z 5 IN A 10.96.0.1",
        "_http._tcp.web.testns.svc.Z 5 IN AAAA fd00::1",
        "_http._tcp.web.testns.svc.Z 5 IN SRV 0 50 80 web.testns.svc.Z",
        "w.web.testns.svc.Z 5 IN A 10.1.0.1",
        "w.web.testns.svc.Z 5 IN SRV 0 100 8080 w.web.testns.svc.Z",
    ]


def test_a_service_without_ports_and_a_host_name_have_no_srv():
    hosts = EndpointSlice("testns", "fq", "fq", "FQDN", endpoints("fq", "host.example").endpoints, ())
    numberless = EndpointSlice(
        "testns", "hl", "hl", "IPv4", endpoints("hl", "10.1.1.1").endpoints, (EndpointPort("http", "TCP", None),)
    )
    found = lines(
        snapshot_of(
            *(namespace("testns"), service("bare", "10.96.0.1", ports=""), service("fq", "None"), hosts),
            *(service("hl", "None"), numberless),
        )
    )
    assert found == [
        "bare.testns.svc.Z 5 IN A 10.96.0.1",
        "fq.testns.svc.Z 5 IN CNAME host.example.",
        "hl.testns.svc.Z 5 IN A 10.1.1.1",
        "_http._tcp.hl.testns.svc.Z 5 IN A 10.1.1.1",
        "10-1-1-1.hl.testns.svc.Z 5 IN A 10.1.1.1",
    ]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("insecure", []),
        ("disabled", []),
        ("verified", ["10-1-0-1.testns.pod.Z 5 IN A 10.1.0.1", "fd00--1.testns.pod.Z 5 IN AAAA fd00::1"]),
    ],
)
def test_pods_are_there_where_they_are_known(mode, expected):
    pods = (pod("p", "10.1.0.1", "fd00:0::1"), pod("q", "10.1.0.1"), pod("r", "10.1.0.9", namespace="missing"))
    assert lines(snapshot_of(namespace("testns"), *pods, pods=mode)) == expected


def test_the_server_is_the_dns_service_with_its_address_and_everywhere_the_same_ttl():
    records = list(snapshot_of(*DNS, ttl_seconds=30).records(ZONE))
    assert [line(record) for record in records] == [
        "cluster.local. 30 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. SERIAL 7200 1800 86400 30",
        "cluster.local. 30 IN NS kube-dns.kube-system.svc.cluster.local.",
        "ns.dns.cluster.local. 30 IN A 10.96.0.10",
        'dns-version.cluster.local. 28800 IN TXT "1.1.0"',
        "kube-dns.kube-system.svc.cluster.local. 30 IN A 10.96.0.10",
        "kube-dns.kube-system.svc.cluster.local. 30 IN SRV 0 100 53 kube-dns.kube-system.svc.cluster.local.",
        "_dns._udp.kube-dns.kube-system.svc.cluster.local. 30 IN A 10.96.0.10",
        "_dns._udp.kube-dns.kube-system.svc.cluster.local. 30 IN SRV 0 100 53 kube-dns.kube-system.svc.cluster.local.",
        "10-244-0-2.kube-dns.kube-system.svc.cluster.local. 30 IN A 10.244.0.2",
    ]


def test_a_hidden_dns_service_has_its_address_all_the_same():
    records = snapshot_of(*DNS, namespace("testns"), namespaces=frozenset(["testns"])).records(ZONE)
    found = [line(record) for record in records if b"kube-dns" in record.name]
    assert found == ["kube-dns.kube-system.svc.cluster.local. 5 IN A 10.96.0.10"]


def test_a_reverse_zone():
    snapshot = snapshot_of(*DNS, *OBJECTS, zones=("cluster.local.", "10.in-addr.arpa.", "ip6.arpa."))
    found = [line(record) for record in snapshot.records(names.from_text("10.in-addr.arpa."))]
    assert found == [
        "10.in-addr.arpa. 5 IN SOA ns.dns.10.in-addr.arpa. hostmaster.10.in-addr.arpa. SERIAL 7200 1800 86400 5",
        "10.in-addr.arpa. 5 IN NS kube-dns.kube-system.svc.cluster.local.",
        "ns.dns.10.in-addr.arpa. 5 IN A 10.96.0.10",
        "10.0.96.10.in-addr.arpa. 5 IN PTR kube-dns.kube-system.svc.cluster.local.",
        "1.0.96.10.in-addr.arpa. 5 IN PTR web.testns.svc.cluster.local.",
        "2.0.244.10.in-addr.arpa. 5 IN PTR 10-244-0-2.kube-dns.kube-system.svc.cluster.local.",
        "1.1.1.10.in-addr.arpa. 5 IN PTR a.hl.testns.svc.cluster.local.",
        "2.1.1.10.in-addr.arpa. 5 IN PTR 10-1-1-2.hl.testns.svc.cluster.local.",
        "1.0.1.10.in-addr.arpa. 5 IN PTR w.web.testns.svc.cluster.local.",
    ]
    six = [line(record) for record in snapshot.records(names.from_text("ip6.arpa."))]
    assert six[-1] == f"1.{'0.' * 29}d.f.ip6.arpa. 5 IN PTR web.testns.svc.cluster.local."


def test_a_zone_below_another_is_delegated():
    zones = ("cluster.local.", "10.in-addr.arpa.", "96.10.in-addr.arpa.", "0.96.10.in-addr.arpa.")
    snapshot = snapshot_of(*DNS, *OBJECTS, zones=zones)
    found = [line(record) for record in snapshot.records(names.from_text("10.in-addr.arpa."))]
    assert "96.10.in-addr.arpa. 5 IN NS kube-dns.kube-system.svc.cluster.local." in found
    assert not any(".96.10.in-addr.arpa." in text for text in found)
    nested = snapshot_of(*DNS, zones=("local.", "cluster.local."))
    above = [line(record) for record in nested.records(names.from_text("local."))]
    assert "cluster.local. 5 IN NS kube-dns.kube-system.svc.cluster.local." in above
    assert "kube-dns.kube-system.svc.cluster.local. 5 IN A 10.96.0.10" in above
    assert "kube-dns.kube-system.svc.local. 5 IN A 10.96.0.10" in above


def test_a_long_transfer_shows_one_moment_and_the_next_change_another_number():
    snapshot = snapshot_of(*DNS, *OBJECTS)
    records = snapshot.records(ZONE)
    soa = next(records)
    put(snapshot.compiler.store, service("aaa", "10.96.0.77"))
    rest = list(records)
    assert not any(record.name.startswith(b"\3aaa") for record in rest)
    again = snapshot.records(ZONE)
    assert int.from_bytes(soa.data[-20:-16], "big") == 100
    assert int.from_bytes(next(again).data[-20:-16], "big") == 101
    assert any(record.name.startswith(b"\3aaa") for record in again)


def test_what_no_name_shows_is_no_change():
    seconds = [100.0]
    snapshot = snapshot_of(*DNS, *OBJECTS, clock=lambda: seconds[0])
    store = snapshot.compiler.store
    web = store.get("Service", ("testns", "web"))
    seconds[0] = 200.0
    put(store, type(web)("testns", "web", "LoadBalancer", web.cluster_ips, web.ports, "", ("192.0.2.1",)))
    assert snapshot.serial == 100
    put(store, service("web", "10.96.0.1", ports="http:80"))
    assert snapshot.serial == 200
