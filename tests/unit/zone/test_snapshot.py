# SPDX-License-Identifier: Apache-2.0
"""What is kept compiled, for how long, and what each change does to the serial number."""

import pytest
from support.dns_cluster import endpoints, namespace, pod, put, remove, service, store_of

from clusterdns.cluster.changes import Replace
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, NXDOMAIN, PTR, SRV, TXT, A
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.zone import schema
from clusterdns.zone import snapshot as module
from clusterdns.zone.compiler import Alias, ZoneOptions
from clusterdns.zone.snapshot import Snapshot, split_labels

ZONES = tuple(names.from_text(zone) for zone in ("cluster.local.", "in-addr.arpa."))
START = 1_700_000_000


class Clock:
    def __init__(self):
        self.seconds = START

    def __call__(self):
        return self.seconds + 0.9


class Cluster:
    def __init__(self, *objects, kinds=None, **options):
        self.store = store_of(objects) if kinds is None else store_of(objects, kinds)
        self.clock = Clock()
        self.snapshot = Snapshot(
            ZoneOptions(zones=ZONES, primary=ZONES[0], **options), self.store, self.clock, ("192.0.2.53",)
        )
        self.applied = []
        self.store.subscribe(lambda changes: self.applied.append(self.snapshot.apply(changes)))

    def find(self, name, qtype=A):
        wire = names.from_text(name if name.endswith(".") else f"{name}.cluster.local.")
        return self.snapshot.find(wire, wire.lower(), qtype)

    def serial_after(self, *objects, change=put):
        self.clock.seconds += 10
        change(self.store, *objects)
        return self.snapshot.serial - START


BASE = (namespace("testns"), service("s", "10.0.0.1"), endpoints("s", "10.1.0.1"))


@pytest.mark.parametrize("qtype", [A, AAAA, SRV, TXT])
@pytest.mark.parametrize("name", ["s.testns.svc", "10-1-0-1.s.testns.svc", "_http._tcp.s.testns.svc", "nope"])
def test_a_second_query_gets_the_same_object(name, qtype):
    cluster = Cluster(*BASE)
    assert cluster.find(name, qtype) is cluster.find(name, qtype)


def test_made_up_names_below_a_large_service_cost_no_walk_through_it(monkeypatch):
    addresses = [f"10.1.{number >> 8}.{number & 255}" for number in range(1000)]
    cluster = Cluster(namespace("testns"), service("big", "None"), endpoints("big", *addresses))
    made = []
    monkeypatch.setattr(schema, "endpoint_name", lambda *arguments: made.append(1) or "a-1")
    for number in range(50):
        assert cluster.find(f"x{number}.big.testns.svc").rcode == NXDOMAIN
        assert cluster.find(f"_x{number}._tcp.big.testns.svc").rcode == NXDOMAIN
    assert len(made) == 1000
    monkeypatch.undo()
    put(cluster.store, endpoints("big", "10.9.9.9"))
    assert cluster.find("10-9-9-9.big.testns.svc").rcode == 0
    assert cluster.find("10-1-0-1.big.testns.svc").rcode == NXDOMAIN


def test_a_change_voids_what_it_touches_and_nothing_else():
    cluster = Cluster(*BASE, service("t", "10.0.0.2"))
    before = {name: cluster.find(f"{name}.testns.svc") for name in ("s", "10-1-0-1.s", "t")}
    put(cluster.store, endpoints("s", "10.1.0.1", "10.1.0.2"))
    assert cluster.find("s.testns.svc") is not before["s"]
    assert cluster.find("10-1-0-1.s.testns.svc") is not before["10-1-0-1.s"]
    assert cluster.find("t.testns.svc") is before["t"]


def test_a_slice_that_changes_its_service_touches_both():
    cluster = Cluster(
        namespace("testns"), service("a", "None"), service("b", "None"), endpoints("a", "10.1.0.1", name="x")
    )
    assert [cluster.find(f"{name}.testns.svc").rcode for name in ("a", "b")] == [0, NXDOMAIN]
    put(cluster.store, endpoints("b", "10.1.0.1", name="x"))
    assert [cluster.find(f"{name}.testns.svc").rcode for name in ("a", "b")] == [NXDOMAIN, 0]


def test_a_namespace_hides_and_shows_its_services():
    cluster = Cluster(*BASE)
    assert cluster.find("s.testns.svc").rcode == 0
    assert cluster.find("10.in-addr.arpa.").rcode == 0
    remove(cluster.store, namespace("testns"))
    assert cluster.find("s.testns.svc").rcode == NXDOMAIN
    assert cluster.find("1.0.0.10.in-addr.arpa.", PTR).rcode == NXDOMAIN
    assert cluster.find("10.in-addr.arpa.").rcode == NXDOMAIN
    put(cluster.store, namespace("testns"))
    assert cluster.find("s.testns.svc").rcode == 0
    assert cluster.find("10.in-addr.arpa.").rcode == 0


def test_names_above_addresses_come_and_go_with_them():
    cluster = Cluster(*BASE)
    assert [cluster.find(f"{name}.in-addr.arpa.").rcode for name in ("10", "12")] == [0, NXDOMAIN]
    put(cluster.store, service("t", "12.0.0.1"))
    assert cluster.find("12.in-addr.arpa.").rcode == 0
    remove(cluster.store, service("t"))
    assert cluster.find("12.in-addr.arpa.").rcode == NXDOMAIN


def test_names_that_do_not_exist_are_not_kept():
    cluster = Cluster(*BASE, pods="insecure")
    for number in range(100):
        for name in (f"x{number}.testns.svc", f"10-0-0-{number}.testns.pod", f"x{number}"):
            assert isinstance(cluster.find(name), CompiledAnswer)
    assert len(cluster.snapshot._views) == 0


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 10 * module.VIEW_BYTES)
    cluster = Cluster(namespace("testns"), *(service(f"s{n}", f"10.0.0.{n}") for n in range(25)))
    for _ in range(2):
        for number in range(25):
            assert cluster.find(f"s{number}.testns.svc").body.endswith(bytes([10, 0, 0, number]))
            assert len(cluster.snapshot._views) <= 10
    remove(cluster.store, *(service(f"s{n}") for n in range(25)))
    assert cluster.find("s24.testns.svc").rcode == NXDOMAIN
    assert (cluster.snapshot._kept_bytes, cluster.snapshot._views, cluster.snapshot._names_of) == (0, {}, {})


def test_large_answers_count_by_their_size(monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 20_000)
    many = endpoints("big", *(f"10.1.{n >> 8}.{n & 255}" for n in range(300)))
    cluster = Cluster(
        namespace("testns"), service("big", "None"), many, service("s", "10.0.0.1"), service("t", "10.0.0.2")
    )
    cluster.find("s.testns.svc")
    assert len(cluster.find("big.testns.svc", SRV).body) > 20_000
    cluster.find("t.testns.svc")
    assert len(cluster.snapshot._views) == 1
    put(cluster.store, service("t", "10.0.0.3"))
    assert cluster.snapshot._kept_bytes == 0


def test_an_alias_is_kept_until_the_service_changes():
    cluster = Cluster(namespace("testns"), service("e", target="a.example"))
    assert cluster.find("e.testns.svc") == cluster.find("e.testns.svc") == Alias(names.from_text("a.example."))
    put(cluster.store, service("e", "10.0.0.9"))
    assert isinstance(cluster.find("e.testns.svc"), CompiledAnswer)


# The serial number


def test_the_serial_is_zero_before_the_first_object_and_the_time_of_start_with_any():
    assert Cluster(kinds=()).snapshot.serial == 0
    assert Cluster(*BASE).snapshot.serial == START


@pytest.mark.parametrize(
    "changed",
    [
        service("new", "10.0.0.9"),
        service("s", "10.0.0.1", "fd00::1"),
        service("s", "10.0.0.1", ports="http:81"),
        endpoints("s", "10.1.0.2"),
        endpoints("s", "p@10.1.0.1"),
        endpoints("s", "10.1.0.1", ports="http:81"),
        namespace("new"),
    ],
)
def test_every_change_that_shows_bumps_the_serial(changed):
    cluster = Cluster(*BASE)
    assert cluster.serial_after(changed) == 10
    assert cluster.applied == [True]


@pytest.mark.parametrize("gone", BASE)
def test_so_does_everything_that_goes(gone):
    assert Cluster(*BASE).serial_after(gone, change=remove) == 10


def test_pods_bump_it_only_where_they_are_looked_at():
    assert Cluster(*BASE, pods="verified").serial_after(pod("p", "10.1.0.1")) == 10
    cluster = Cluster(*BASE, pods="insecure")
    assert cluster.serial_after(pod("p", "10.1.0.1")) == 0
    assert cluster.applied == [False]


def test_slices_do_not_where_there_are_no_endpoints():
    assert Cluster(*BASE, endpoints=False).serial_after(endpoints("s", "10.1.0.2")) == 0


def test_the_same_again_changes_nothing():
    assert Cluster(*BASE).serial_after(*BASE) == 0


def test_the_serial_never_goes_back():
    cluster = Cluster(*BASE)
    cluster.clock.seconds -= 100
    put(cluster.store, namespace("new"))
    assert cluster.snapshot.serial == START


# Being read


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, ("Namespace", "Service", "EndpointSlice")),
        ({"endpoints": False}, ("Namespace", "Service")),
        ({"pods": "verified"}, ("Namespace", "Service", "EndpointSlice", "Pod")),
    ],
)
def test_synced_means_that_every_kind_in_use_was_listed(options, kinds):
    cluster = Cluster(kinds=(), **options)
    for kind in kinds:
        assert not cluster.snapshot.synced
        cluster.store.apply(Replace(kind, ()), 0.0)
    assert cluster.snapshot.synced


def test_the_zone_of_a_name_and_its_failure():
    snapshot = Cluster(*BASE).snapshot
    assert snapshot.zone_of(names.from_text("a.cluster.local.")).name == ZONES[0]
    assert snapshot.failure(names.from_text("a.cluster.local.")).rcode == 2
    assert snapshot.failure(names.from_text("example.org.")) is None


@pytest.mark.parametrize(
    ("relative", "labels"), [(b"", []), (b"\x01a\x02bc", [b"a", b"bc"]), (b"\x03a", None), (b"\x01a\x05b", None)]
)
def test_labels_in_front_of_a_zone(relative, labels):
    assert split_labels(relative) == labels
