# SPDX-License-Identifier: Apache-2.0
"""Records made from services, on a store in memory. What CoreDNS makes of the same is in tests/conformance."""

import asyncio

import pytest
from support.etcd_memory import MemoryStore

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.types import FLAG_TC, NXDOMAIN, SERVFAIL, TYPE_NUMBERS
from clusterdns.errors import UpstreamError
from clusterdns.plugins.etcd.records import MOST_TARGETS, Elsewhere, Synthesis
from clusterdns.plugins.etcd.service import Tree
from clusterdns.plugins.etcd.store import MOST_LEASES, LeaseBounds, Services

ZONE = names.from_text("z.")


class Others:
    """Answers about names elsewhere; what was asked is kept."""

    def __init__(self, replies=None):
        self.replies = replies or {}
        self.asked = []

    async def resolve(self, name, qtype):
        self.asked.append((names.to_text(name), qtype))
        return self.replies.get(names.to_text(name), Elsewhere())


def find(store, name, rtype, *, others=None, complaints=None, bounds=None):
    def complain(key, reason):
        (complaints if complaints is not None else []).append((key, reason))

    services = Services(store, Tree("/skydns"), bounds or LeaseBounds(), complain)
    synthesis = Synthesis(services, ZONE, (others or Others()).resolve)
    return asyncio.run(synthesis.find(names.from_text(name), TYPE_NUMBERS[rtype]))


def texts(records):
    return [record_text(record).replace("\t", " ") for record in records]


def answer(store, name, rtype, **options):
    found = find(store, name, rtype, **options)
    return None if found is None else texts(found.answer)


def record(text):
    return parse_record(text)


def test_the_name_has_the_letters_that_it_was_asked_with():
    store = MemoryStore({"z/a/x": {"host": "10.0.0.1"}})
    assert answer(store, "A.z.", "A") == ["A.z. 300 IN A 10.0.0.1"]


def test_what_is_below_a_name_comes_before_what_is_at_it():
    store = MemoryStore({"z/a": {"host": "10.0.0.1"}, "z/b": {"host": "10.0.0.2"}, "z/b/x": {"host": "10.0.0.3"}})
    assert answer(store, "a.z.", "A") == ["a.z. 300 IN A 10.0.0.1"]
    assert answer(store, "b.z.", "A") == ["b.z. 300 IN A 10.0.0.3"]
    assert answer(store, "c.z.", "A") is None
    assert answer(store, "a.z.", "AAAA") == []


def test_each_key_is_read_once():
    aliases = {"z/a/x1": {"host": "b.z"}, "z/a/x2": {"host": "c.z"}, "z/b": {"host": "d.z"}, "z/c": {"host": "d.z"}}
    store = MemoryStore({**aliases, "z/d": {"host": "10.0.0.1"}})
    assert len(answer(store, "a.z.", "A")) == 5
    assert set(store.reads.values()) == {1}


def test_a_web_of_aliases_costs_no_more_than_it_may():
    store = MemoryStore({f"z/n{one}/x{two}": {"host": f"n{two}.z"} for one in range(12) for two in range(12)})
    with pytest.raises(UpstreamError, match="more than 200 aliases"):
        find(store, "n0.z.", "A")
    assert sum(store.reads.values()) < 50


def test_too_many_names_are_a_failure():
    store = MemoryStore({f"z/a/x{number}": {"host": f"b{number}.z"} for number in range(150)})
    with pytest.raises(UpstreamError, match="more than 100 names"):
        find(store, "a.z.", "A")


def test_a_chain_has_an_end():
    store = MemoryStore({f"z/n{number}": {"host": f"n{number + 1}.z"} for number in range(30)})
    assert answer(store, "n0.z.", "A") == []
    store.values[b"/skydns/z/n9"] = b'{"host":"10.0.0.1"}'
    assert len(answer(store, "n0.z.", "A")) == 10


def test_a_host_that_is_no_name_is_left_out():
    store = MemoryStore({"z/a/x1": {"host": "b..c"}, "z/a/x2": {"host": "10.0.0.1"}, "z/a/x3": {"host": "x" * 64}})
    assert answer(store, "a.z.", "A") == ["a.z. 300 IN A 10.0.0.1"]
    assert len(answer(store, "a.z.", "SRV")) == 1
    assert answer(store, "x1.a.z.", "CNAME") == []


# Elsewhere

HERE = MemoryStore({"z/a": {"host": "www.example.org"}})


def test_a_target_elsewhere_is_asked_for():
    others = Others({"www.example.org.": Elsewhere(answer=(record("www.example.org. 9 A 192.0.2.1"),), flags=FLAG_TC)})
    found = find(HERE, "a.z.", "A", others=others)
    assert texts(found.answer) == ["a.z. 300 IN CNAME www.example.org.", "www.example.org. 9 IN A 192.0.2.1"]
    assert found.flags == FLAG_TC
    assert others.asked == [("www.example.org.", 1)]


def test_the_end_of_an_alias_says_what_the_reply_is():
    soa = record("example.org. 60 SOA ns. admin. 1 2 3 4 5")
    others = Others({"www.example.org.": Elsewhere(NXDOMAIN, authority=(soa,))})
    found = find(HERE, "a.z.", "A", others=others)
    assert (found.rcode, found.authority, len(found.answer)) == (NXDOMAIN, (soa,), 1)


def test_a_target_that_nobody_knows_is_an_alias_alone():
    found = find(HERE, "a.z.", "A")
    assert (found.rcode, texts(found.answer)) == (0, ["a.z. 300 IN CNAME www.example.org."])


def test_a_target_that_fails_is_a_failure_unless_there_is_another():
    others = Others({"www.example.org.": Elsewhere(SERVFAIL, error="no healthy proxies")})
    with pytest.raises(UpstreamError, match="no healthy proxies"):
        find(HERE, "a.z.", "A", others=others)
    store = MemoryStore({"z/a/x1": {"host": "www.example.org"}, "z/a/x2": {"host": "10.0.0.1"}})
    found = find(store, "a.z.", "A", others=others)
    assert found.rcode == 0
    assert "a.z. 300 IN A 10.0.0.1" in texts(found.answer)


def test_addresses_of_targets_that_can_not_be_had_are_left_out():
    store = MemoryStore({"z/a/x1": {"host": "b.z"}, "z/a/x2": {"host": "10.0.0.1"}, "z/b/bad": b"{"})
    found = find(store, "a.z.", "SRV")
    assert texts(found.answer) == ["a.z. 300 IN SRV 10 50 0 b.z.", "a.z. 300 IN SRV 10 50 0 x2.a.z."]
    assert texts(found.additional) == ["x2.a.z. 300 IN A 10.0.0.1"]


def test_the_addresses_of_so_many_targets_are_looked_up():
    store = MemoryStore({f"z/a/x{number:02}": {"host": f"h{number}.example.org"} for number in range(30)})
    others = Others()
    assert len(find(store, "a.z.", "SRV", others=others).answer) == 30
    assert len(others.asked) == 2 * MOST_TARGETS


# Numbers


def test_weights_are_parts_of_a_hundred_for_each_priority():
    store = MemoryStore({
        "z/a/x1": {"host": "10.0.0.1", "priority": 1, "weight": 1},
        "z/a/x2": {"host": "10.0.0.2", "priority": 1, "weight": 2},
        "z/a/x3": {"host": "10.0.0.3", "priority": 2, "weight": 1},
        "z/a/x4": {"host": "10.0.0.4", "priority": 2},
        "z/a/x5": {"host": "10.0.0.5", "priority": 3, "weight": -7},
        "z/a/x6": {"host": "10.0.0.6", "priority": 4, "weight": 1},
        "z/a/x7": {"host": "10.0.0.7", "priority": 4, "weight": 1000},
    })  # fmt: skip
    shares = [line.split()[4:6] for line in answer(store, "a.z.", "SRV")]
    assert shares == [["1", "33"], ["1", "66"], ["2", "1"], ["2", "99"], ["3", "100"], ["4", "1"], ["4", "99"]]


def test_numbers_that_a_record_can_not_hold_are_made_to_fit():
    store = MemoryStore(
        {"z/a/x": {"host": "10.0.0.1", "port": 70000, "priority": -5}, "z/b": {"host": "10.0.0.2", "port": -1}}
    )
    assert answer(store, "a.z.", "SRV") == ["a.z. 300 IN SRV 0 100 65535 x.a.z."]
    assert answer(store, "b.z.", "SRV") == []


def test_texts_are_cut_into_strings():
    store = MemoryStore({"z/a": {"text": "é" * 200}, "z/b": {"text": "x" * 510}})
    data = find(store, "a.z.", "TXT").answer[0].data
    assert [data[0], data[256], len(data)] == [255, 145, 402]
    assert len(find(store, "b.z.", "TXT").answer[0].data) == 512


@pytest.mark.parametrize(
    ("seconds", "ttl"), [(40, 40), (5, 30), (200, 100), (0, 30), (-1, 30), (UpstreamError("no leader"), 300)]
)
def test_the_ttl_of_a_lease_has_bounds(seconds, ttl):
    store = MemoryStore({"z/a": {"host": "10.0.0.1"}}, {"z/a": seconds})
    assert answer(store, "a.z.", "A", bounds=LeaseBounds(30, 100)) == [f"a.z. {ttl} IN A 10.0.0.1"]


def test_leases_are_asked_for_once_and_not_too_many_of_them():
    keys = {f"z/a/x{number:03}": {"host": f"10.0.{number // 250}.{number % 250}"} for number in range(150)}
    store = MemoryStore(keys, dict.fromkeys(keys, 50))
    lines = answer(store, "a.z.", "A")
    leases = [what for what in store.reads if isinstance(what, tuple) and what[0] == "lease"]
    assert len(leases) == MOST_LEASES
    assert [line.split()[1] for line in lines] == ["50"] * MOST_LEASES + ["30"] * (150 - MOST_LEASES)


# Values that aren't messages


def test_a_value_that_is_no_message_is_complained_about_and_left_out():
    complaints = []
    store = MemoryStore({"z/a/bad": b"{", "z/a/good": {"host": "10.0.0.1"}})
    assert answer(store, "a.z.", "A", complaints=complaints) == ["a.z. 300 IN A 10.0.0.1"]
    assert [key for key, _ in complaints] == ["/skydns/z/a/bad"]
    with pytest.raises(UpstreamError, match="/skydns/z/a/bad: "):
        find(store, "bad.a.z.", "A")


# Existence


@pytest.mark.parametrize("rtype", ["A", "AAAA", "TXT", "SRV", "MX", "CNAME", "PTR", "NS", "ANY", "CAA"])
def test_a_name_exists_for_all_types_or_for_none(rtype):
    store = MemoryStore({"z/a/b/x": {"host": "10.0.0.1"}})
    assert find(store, "nothing.z.", rtype) is None
    assert find(store, "a.z.", rtype) is not None
    assert find(store, "a.z.", rtype).rcode == 0


def test_a_zone_without_keys():
    store = MemoryStore({})
    assert [find(store, "z.", rtype) for rtype in ("A", "NS", "MX", "CNAME")] == [None] * 4
    assert texts(find(store, "z.", "SOA").answer)[0].startswith("z. 30 IN SOA ns.dns.z. hostmaster.z. ")


def test_a_name_with_a_slash_has_no_keys():
    store = MemoryStore({"z/a/b": {"host": "10.0.0.1"}})
    assert find(store, "b/a.z.", "A") is None
    assert find(store, "b/a.z.", "CNAME") is None
    assert store.reads.total() == 0


def test_name_servers_must_be_addresses():
    store = MemoryStore({"z/dns/ns/a": {"host": "ns.example.org"}})
    with pytest.raises(UpstreamError, match=r"NS record must be an IP address: ns\.example\.org"):
        find(store, "z.", "NS")
