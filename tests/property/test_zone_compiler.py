# SPDX-License-Identifier: Apache-2.0
"""After any order of events, what was compiled step by step equals what is compiled at once."""

from __future__ import annotations

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dns_cluster import endpoints, kind_of, namespace, pod, service

from clusterdns.cluster.changes import Apply, Delete, Event, Replace
from clusterdns.cluster.objects import KINDS, Object
from clusterdns.cluster.store import Store
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, CNAME, NS, PTR, SOA, SRV, TXT, A
from clusterdns.dns.wire import Record, read_record
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.zone.compiler import Alias, ZoneOptions
from clusterdns.zone.snapshot import Snapshot

ZONES = tuple(names.from_text(zone) for zone in ("cluster.local.", "in-addr.arpa.", "ip6.arpa."))
TYPES = (A, AAAA, SRV, TXT, PTR, NS, SOA)

# Few names and addresses, so that events meet each other.
namespaces = st.sampled_from(["n1", "n2"])
service_names = st.sampled_from(["s1", "s2"])
ipv4 = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.1.0.1"])
ipv6 = st.sampled_from(["fd00::1", "fd00:0:0::1", "fd00:1::"])
ports = st.sampled_from(["", "http:80", "http:80 dns:53/UDP", ":80"])
words = st.builds(
    lambda unready, owner, address: unready + owner + address,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "h=", "p@", "q.r@"]),
    ipv4,
)
words6 = st.builds(lambda unready, address: unready + address, st.sampled_from(["", "!"]), ipv6)


def slices(family: str, address: st.SearchStrategy[str]) -> st.SearchStrategy[Object]:
    return st.builds(
        lambda name, found, ports, label, place: endpoints(
            name, *found, ports=ports, family=family, name=f"{label}-{family}", namespace=place
        ),
        service_names,
        st.lists(address, max_size=3),
        st.sampled_from([None, "http:80", "http: dns:53"]),
        st.sampled_from(["a", "b"]),
        namespaces,
    )


objects: st.SearchStrategy[Object] = st.one_of(
    st.builds(namespace, namespaces),
    st.builds(
        lambda name, addresses, ports, place: service(name, *addresses, ports=ports, namespace=place),
        service_names,
        st.one_of(st.just(["None"]), st.just([""]), st.lists(st.one_of(ipv4, ipv6), max_size=2, unique=True)),
        ports,
        namespaces,
    ),
    st.builds(
        lambda name, target, place: service(name, target=target, namespace=place),
        service_names,
        st.sampled_from(["example.org", "s1.n1.svc.cluster.local", "10.0.0.1"]),
        namespaces,
    ),
    slices("IPv4", words),
    slices("IPv6", words6),
    slices("FQDN", st.sampled_from(["a.example", "b.example"])),
    st.builds(
        lambda name, addresses, place: pod(name, *addresses, namespace=place),
        st.sampled_from(["p", "q"]),
        st.lists(st.one_of(ipv4, ipv6), max_size=2),
        namespaces,
    ),
)


def listing(held: list[Object]) -> Event:
    kind = kind_of(held[0])
    return Replace(kind, tuple({item.key: item for item in held if kind_of(item) == kind}.values()))


events: st.SearchStrategy[Event] = st.one_of(
    st.builds(lambda item: Apply(kind_of(item), item), objects),
    st.builds(lambda item: Delete(kind_of(item), item.key), objects),
    st.builds(listing, st.lists(objects, min_size=1, max_size=4)),
    st.builds(lambda kind: Replace(kind, ()), st.sampled_from(KINDS)),
)

options = st.builds(
    lambda pods, pod_names, with_endpoints, only, ignore: ZoneOptions(
        zones=ZONES,
        primary=ZONES[0],
        pods=pods,
        endpoint_pod_names=pod_names,
        endpoints=with_endpoints,
        namespaces=only,
        ignore_empty=ignore,
    ),
    st.sampled_from(["disabled", "insecure", "verified"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, frozenset({"n1"})]),
    st.booleans(),
)


def all_names() -> list[bytes]:
    endpoint_labels = ["h", "p", "10-0-0-1", "10-1-0-1", "fd00--1", "fd00-1--0", "_tcp"]
    fronts = ["", *(f"{label}." for label in endpoint_labels), "_http._tcp.", "_dns._udp.", "_._tcp.", "x._http._tcp."]
    found = [f"{front}{name}.{place}.svc" for front in fronts for name in ("s1", "s2") for place in ("n1", "n2", "n3")]
    found += [f"{address}.{place}.pod" for address in ("10-0-0-1", "fd00--1", "x") for place in ("n1", "n2")]
    found += ["n1.svc", "n2.pod", "svc", "pod", "dns", "ns.dns", "dns-version", "x"]
    forward = ["cluster.local.", *(f"{name}.cluster.local." for name in found)]
    tail = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa."
    reverse = ["1.0.0.10", "2.0.0.10", "1.0.1.10", "0.0.10", "1.10", "10", "11", "ns.dns", "dns", "x.10"]
    return [
        names.from_text(name)
        for name in (*forward, *(f"{name}.in-addr.arpa." for name in reverse), f"1.{tail}", tail, "d.f.ip6.arpa.")
    ]


NAMES = all_names()


def answers(snapshot: Snapshot) -> dict[tuple[bytes, int], object]:
    found: dict[tuple[bytes, int], object] = {}
    for name in NAMES:
        for qtype in TYPES:
            answer = snapshot.find(name, name, qtype)
            assert answer is not None
            if isinstance(answer, Alias):
                found[name, qtype] = answer.target
            else:
                found[name, qtype] = (answer.rcode, answer.counts, answer.body, answer.rotating)
    return found


START: list[Object] = [
    namespace("n1"),
    namespace("n2"),
    service("s1", "10.0.0.1", "fd00::1", namespace="n1"),
    service("s2", "None", namespace="n1"),
    service("s1", "None", namespace="n2"),
    endpoints("s1", "h=10.0.0.2", "p@10.1.0.1", name="a-IPv4", namespace="n1"),
    endpoints("s2", "10.0.0.1", "!10.0.0.2", name="b-IPv4", namespace="n1"),
    endpoints("s1", "fd00:1::", family="IPv6", name="a-IPv6", namespace="n2"),
    pod("p", "10.0.0.1", namespace="n1"),
]
"""Where each run of events begins: made-up objects alone would seldom meet."""


def clock() -> float:
    """Serial numbers tell of the past, so they are kept at 0."""
    return 0.0


@settings(max_examples=150, deadline=None)
@given(options, st.lists(events, min_size=1, max_size=8))
def test_compiling_step_by_step_is_compiling_at_once(zone_options: ZoneOptions, steps: list[Event]) -> None:
    store = Store()
    snapshot = Snapshot(zone_options, store, clock, ("10.1.0.1",))
    store.subscribe(snapshot.apply)
    for item in START:
        store.apply(Apply(kind_of(item), item), 0.0)
    answers(snapshot)
    for event in steps:
        if store.apply(event, 0.0):
            assert answers(snapshot) == answers(Snapshot(zone_options, store, clock, ("10.1.0.1",)))


@settings(max_examples=100, deadline=None)
@given(st.lists(objects, max_size=10), st.randoms())
def test_the_order_in_which_objects_come_does_not_matter(held: list[Object], random: object) -> None:
    zone_options = ZoneOptions(zones=ZONES, primary=ZONES[0], pods="verified")
    unique = list({(kind_of(item), item.key): item for item in [*START, *held]}.values())
    found = []
    for order in (unique, unique[::-1]):
        store = Store()
        snapshot = Snapshot(zone_options, store, clock, ("10.1.0.1",))
        store.subscribe(snapshot.apply)
        for item in order:
            store.apply(Apply(kind_of(item), item), 0.0)
        found.append(answers(snapshot))
    assert found[0] == found[1]


@settings(max_examples=100, deadline=None)
@given(options, st.lists(objects, max_size=10), st.sampled_from(NAMES), st.sampled_from(TYPES))
def test_every_answer_is_a_message(zone_options: ZoneOptions, held: list[Object], name: bytes, qtype: int) -> None:
    store = Store()
    for item in [*START, *held]:
        store.apply(Apply(kind_of(item), item), 0.0)
    snapshot = Snapshot(zone_options, store, clock, ("10.1.0.1",))
    for asked in (name, name.upper()):
        answer = snapshot.find(asked, name, qtype)
        if isinstance(answer, CompiledAnswer):
            question = asked + qtype.to_bytes(2, "big") + b"\0\1"
            message = dns.message.from_wire(b"\0\0\x84\0\0\1" + answer.counts + question + answer.body)
            assert message.answer or message.authority
            assert all(rrset.name == message.question[0].name for rrset in message.answer)


def answered(snapshot: Snapshot, name: bytes, rtype: int) -> list[Record]:
    """The records that a query for the name and type gets as its answer."""
    answer = snapshot.find(name, name, rtype)
    if isinstance(answer, Alias):
        return [Record(name, CNAME, snapshot.options.ttl_seconds, answer.target)] if rtype == CNAME else []
    assert answer is not None
    message = bytes(12) + name + bytes(4) + answer.body
    position = len(name) + 16
    found = []
    for _ in range(int.from_bytes(answer.counts[:2], "big")):
        record, position = read_record(message, position)
        found.append(record)
    return found


def listed(snapshot: Snapshot) -> dict[tuple[bytes, int], list[Record]]:
    """The records of all zones as transfers give them, by name and type."""
    found: dict[tuple[bytes, int], list[Record]] = {}
    for zone in snapshot.options.zones:
        records = list(snapshot.records(zone))
        assert [record.rtype for record in records].index(SOA) == 0
        assert all(names.is_in(record.name, zone) for record in records)
        for record in records:
            found.setdefault((record.name, record.rtype), []).append(record)
    return found


def unlistable(zone_options: ZoneOptions, name: bytes) -> bool:
    return b"\1_\4_tcp" in name or (zone_options.pods == "insecure" and b"\3pod" in name)


def same(some: list[Record], others: list[Record]) -> bool:
    return sorted(some, key=repr) == sorted(others, key=repr)


@settings(max_examples=150, deadline=None)
@given(options, st.lists(objects, max_size=10))
def test_a_transfer_holds_what_queries_get_and_nothing_else(zone_options: ZoneOptions, held: list[Object]) -> None:
    store = Store()
    for item in [*START, *held]:
        store.apply(Apply(kind_of(item), item), 0.0)
    snapshot = Snapshot(zone_options, store, clock, ("10.1.0.1",))
    found = listed(snapshot)
    servers = {record.data for (_, rtype), records in found.items() if rtype == NS for record in records}
    for name, rtype in {*found, *((name, rtype) for name in NAMES for rtype in (*TYPES, CNAME))}:
        if unlistable(zone_options, name):
            continue
        records = answered(snapshot, name, rtype)
        if name in servers and rtype in (A, AAAA) and not records:
            continue  # glue for the name of a Service that is hidden
        assert same(found.get((name, rtype), []), records)


@settings(max_examples=100, deadline=None)
@given(options, st.lists(objects, max_size=10))
def test_a_transferred_zone_is_one_that_others_can_load(zone_options: ZoneOptions, held: list[Object]) -> None:
    store = Store()
    for item in [*START, *held]:
        store.apply(Apply(kind_of(item), item), 0.0)
    found = listed(Snapshot(zone_options, store, clock, ("10.1.0.1",)))
    aliases = {name for name, rtype in found if rtype == CNAME}
    assert all(rtype == CNAME for name, rtype in found if name in aliases)
    for (_, rtype), records in found.items():
        assert len(set(records)) == len(records)
        assert rtype not in (SOA, CNAME) or len(records) == 1
    for zone in zone_options.zones:
        for record in found[zone, NS]:
            in_zone = names.is_in(record.data, zone)
            assert not in_zone or not found.keys().isdisjoint({(record.data, A), (record.data, AAAA)})
