# SPDX-License-Identifier: Apache-2.0
"""What must hold for every reply that goes through ``cache``, whatever its records, bounds and age."""

from unittest import mock

import dns.flags
from hypothesis import given, settings
from hypothesis import strategies as st
from support.caching import Server, flags
from support.serving import Faults, client, wire

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import AAAA, FLAG_AA, FLAG_RA, FLAG_TC, MX, A
from clusterdns.dns.wire import Writer
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.fastpath.memo import BODIES
from clusterdns.serving.chain import Block
from clusterdns.serving.engine import Engine
from clusterdns.serving.reply import Reply, Sections, read_sections
from clusterdns.serving.router import Router

QNAME = "www.example.org."
OWNERS = [QNAME, "cdn.example.org.", "cdn.example.net.", "example.org.", "org.", ".", "WWW.example.ORG."]
DATA = [
    "A 192.0.2.1",
    "A 192.0.2.2",
    "AAAA 2001:db8::1",
    "CNAME cdn.example.org.",
    "CNAME cdn.example.net.",
    "MX 10 mail.example.org.",
    "NS ns.example.org.",
    "TXT a b",
    "SOA ns.example.org. admin.example.org. 1 2 3 4 60",
    "SRV 1 2 80 cdn.example.org.",
]

ttls = st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))
records = st.builds(
    lambda owner, data, ttl: parse_record(f"{owner} 1 {data}").with_ttl(ttl),
    st.sampled_from(OWNERS),
    st.sampled_from(DATA),
    ttls,
)
sections = st.lists(records, max_size=5).map(tuple)
bounds = st.tuples(st.integers(1, 5000), st.integers(0, 100))


@st.composite
def replies(draw):
    """A reply, as records or as octets; its owner names may be pointers into the question or written out."""
    parts = Sections(draw(sections), draw(sections), draw(sections))
    rcode = draw(st.sampled_from([0, 0, 0, 2, 3, 4, 5]))
    flags = draw(st.sampled_from([FLAG_AA, FLAG_RA, FLAG_AA | FLAG_RA, FLAG_AA | FLAG_TC]))
    compiled = draw(st.booleans())

    def make(question):
        if not compiled:
            return Reply(rcode, parts, flags=flags, plugin="forward")
        start = question.packet[: question.question_end]
        writer = Writer(start, question=question.name)
        for record in (*parts.answer, *parts.authority, *parts.additional):
            writer.write_record(record)
        number = counts(len(parts.answer), len(parts.authority), len(parts.additional))
        answer = CompiledAnswer(rcode, number, bytes(writer.buffer[len(start) :]), flags=flags)
        reply = Reply.of_compiled("forward", answer)
        reply.reusable = False
        return reply

    return make


def content(found):
    """The records without their TTLs, in order."""
    return [
        [(rrset.name, rrset.rdtype, tuple(rrset)) for rrset in section]
        for section in (found.answer, found.authority, found.additional)
    ]


def shown(found):
    return {rrset.ttl for section in (found.answer, found.authority, found.additional) for rrset in section}


@settings(deadline=None, max_examples=300)
@given(
    make=replies(),
    success=bounds,
    denial=bounds,
    rtype=st.sampled_from(["A", "AAAA", "CNAME", "MX", "TXT", "ANY"]),
    ages=st.lists(st.floats(0, 4000), max_size=4),
)
def test_a_hit_is_the_miss_but_for_the_time_that_has_passed(make, success, denial, rtype, ages):
    text = "{{\n success 2000 {} {}\n denial 2000 {} {}\n}}".format(*success, *denial)
    server = Server(text, answer=make)
    miss = server.ask(rtype=rtype, use_edns=0, payload=4096)
    assert len(shown(miss)) <= 1
    stored = server.clock.now
    for age in sorted(ages):
        server.clock.now = max(server.clock.now, stored + age)
        asked = len(server.asked)
        found = server.ask(rtype=rtype, use_edns=0, payload=4096)
        assert found.rcode() == miss.rcode()
        assert content(found) == content(miss)
        if len(server.asked) > asked:
            assert shown(found) == shown(miss)
            assert flags(found) == flags(miss)
            stored = server.clock.now
            continue
        assert shown(found) == {ttl - int(server.clock.now - stored) for ttl in shown(miss)}
        assert all(ttl > 0 for ttl in shown(found))
        assert found.flags == miss.flags | dns.flags.AA
        assert not found.flags & dns.flags.TC


@settings(deadline=None, max_examples=200)
@given(
    make=replies(),
    bound=st.integers(1, 60),
    options=st.sampled_from(["", "keepttl", "serve_stale 1h immediate 3s"]),
    steps=st.lists(st.floats(0, 20), min_size=1, max_size=8),
)
def test_a_remembered_reply_is_what_would_be_said_anew(make, bound, options, steps):
    """While its TTLs count down, what the memo has under a query are the octets that the long way gives."""
    server = Server(f"{{\n success 2000 {bound} 0\n denial 2000 {bound} 0\n {options}\n}}", answer=make)
    server.cache._renewals.begin = lambda entry, work: False
    engine = Engine("dns://:53", Router({names.ROOT: [Block([server.cache])]}), Faults())
    packet = wire("www.example.org.", "A", use_edns=0, payload=1232)
    with mock.patch("clusterdns.serving.engine.perf_counter", server.clock):
        for step in [0.0, 0.0, *steps]:
            server.clock.advance(step)
            entry = engine.memo("udp", 1).revive(packet[2:], server.clock())
            remembered = None if entry is None else packet[:2] + entry[BODIES][0]
            asked = len(server.asked)
            said = engine.handle(packet, client())
            assert remembered in (None, said)
            assert remembered is None or len(server.asked) == asked


@settings(deadline=None, max_examples=200)
@given(make=replies(), ttl=st.integers(0, 30), age=st.floats(0, 100_000))
def test_no_ttl_is_ever_negative_nor_above_the_bound(make, ttl, age):
    server = Server(f"30 {{\n serve_stale 24h immediate {ttl}s\n}}", answer=make)
    server.cache._renewals.begin = lambda entry, work: False
    server.ask()
    server.clock.advance(age)
    assert all(0 <= each <= max(30, ttl) for each in shown(server.ask()))


@given(
    chain=st.lists(st.sampled_from(["a.example.org.", "b.example.net.", "c."]), unique=True, max_size=3),
    number=st.integers(2, 6),
    family=st.sampled_from(["A 192.0.2.{}", "AAAA 2001:db8::{}"]),
    rest=sections,
    turn=st.integers(1, 5),
)
def test_addresses_can_change_places_as_octets(chain, number, family, rest, turn):
    owners = [QNAME, *chain]
    aliases = [parse_record(f"{owner} 9 CNAME {target}") for owner, target in zip(owners, chain, strict=False)]
    addresses = [parse_record(f"{owners[-1]} 9 {family.format(last)}") for last in range(number)]
    rest = tuple(record for record in rest if record.rtype not in (A, AAAA, MX))
    parts = Sections((*aliases, *addresses), rest)
    server = Server(answer=lambda query: Reply(0, parts, plugin="forward"))
    rtype = family.split()[0]
    server.ask(rtype=rtype)
    question, reply = server.handle(rtype=rtype)
    assert (reply.compiled.rotating, reply.compiled.counts[1]) == (number, len(aliases) + number)
    before, rotating, after = reply.compiled.split()
    body = b"".join((before, *rotating[turn:], *rotating[:turn], after))
    found = read_sections(question, reply.compiled.counts, body)
    ttl = found.answer[0].ttl
    turned = [*aliases, *addresses[turn:], *addresses[:turn]]
    assert list(found.answer) == [record.with_ttl(ttl) for record in turned]
    assert list(found.authority) == [record.with_ttl(ttl) for record in rest]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 60), st.floats(0, 30)), max_size=40))
def test_the_cache_says_what_was_said_and_nothing_else(steps):
    """Each query is answered with what the server behind said at a time when that was still good."""
    server = Server("{\n success 2000 3600 0\n}")
    said = {}

    def answer(asked):
        label = asked.name[1:2].decode()
        ttl = ttl_of[label]
        version = len(said.setdefault(label, [])) + 1
        said[label].append((server.clock.now, ttl, version))
        return Reply(0, Sections((parse_record(f"{names.to_text(asked.name)} {ttl} A 192.0.2.{version}"),)), plugin="x")

    ttl_of = {}
    server.answer = answer
    for label, ttl, pause in steps:
        ttl_of[label] = ttl
        server.clock.advance(pause)
        (rrset,) = server.ask(f"{label}.example.org.").answer
        when, ttl, version = said[label][-1]
        assert rrset[0].to_text() == f"192.0.2.{version}"
        assert rrset.ttl == ttl - int(server.clock.now - when) > 0
