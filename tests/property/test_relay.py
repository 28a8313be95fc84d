# SPDX-License-Identifier: Apache-2.0
"""The short way of forwarded queries gives what the long way gives: octets, questions to upstreams, entries, counts."""

import struct

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from support.relaying import Relaying, run

from clusterdns.dns.peek import HEADER_BYTES

NAMES = ["www.example.org.", "WWW.Example.ORG.", "a.b.c.example.org."]
ODD_NAMES = ["example.org.", "corp.test.", "x.corp.test.", ".", f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}."]
DIRECTIVES = {
    "errors": "errors",
    "prometheus": "prometheus",
    "loadbalance": "loadbalance",
    "prefer": "loadbalance round_robin {\n prefer 192.0.2.0/30\n}",
    "cache": "cache 30",
    "cache some": "cache 30 corp.test {\n success 2000 60 9\n}",
    "cache less": "cache {\n success 2000 100 0\n disable denial corp.test\n}",
    "keepttl": "cache 3600 {\n keepttl\n}",
    "loop": "loop",
    "any": "any",
    "nsid": "nsid x",
    "minimal": "minimal",
    "bufsize": "bufsize 512",
    "chaos": "chaos x y",
    "hosts": "hosts /nonexistent {\n 192.0.2.9 www.example.org x.corp.test\n fallthrough\n}",
    "hosts some": "hosts /nonexistent corp.test {\n 192.0.2.9 x.corp.test\n}",
}
PLAIN = ["errors", "prometheus", "loadbalance", "cache", "keepttl", "loop", "any", "nsid", "chaos"]
OPTIONS = [
    "",
    "except corp.test",
    "prefer_udp",
    "next_on_nodata",
    "failover SERVFAIL",
    "policy round_robin",
    "force_tcp",
]


def seldom(draw, times=12):
    """True once in so many times."""
    return draw(st.sampled_from([False] * (times - 1) + [True]))


@st.composite
def corefiles(draw):
    known = sorted(DIRECTIVES) if seldom(draw, 3) else PLAIN
    chosen = draw(st.lists(st.sampled_from(known), unique_by=lambda key: DIRECTIVES[key].split()[0]))
    option = draw(st.sampled_from(OPTIONS)) if seldom(draw, 3) else ""
    forward = (
        f"forward {draw(st.sampled_from(['.', 'example.org'])) if seldom(draw, 4) else '.'} 192.0.2.2 {{\n {option}\n}}"
    )
    return "\n".join([*(DIRECTIVES[each] for each in chosen), forward])


@st.composite
def queries(draw):
    """A query in wire form, mostly a plain one."""
    edns = draw(st.sampled_from([None, None, 1232, 4096, 512, 100]))
    message = dns.message.make_query(
        draw(st.sampled_from(ODD_NAMES if seldom(draw, 8) else NAMES)),
        draw(st.sampled_from(["TXT", "ANY", "HINFO"] if seldom(draw) else ["A", "AAAA"])),
        use_edns=False if edns is None else 0,
        payload=edns or 1232,
        want_dnssec=edns is not None and draw(st.booleans()),
        id=draw(st.integers(0, 65535)),
    )
    message.flags = draw(st.sampled_from([0, 0x0140, 0x0400, 0x0900] if seldom(draw) else [0x0100, 0x0120, 0x0110]))
    if edns is not None and seldom(draw):
        message.use_edns(0, message.ednsflags, edns, options=[dns.edns.GenericOption(10, b"12345678")])
    wire = message.to_wire()
    return wire + b"\0" if seldom(draw, 20) else wire


@st.composite
def outcomes(draw):
    """What an upstream does with a question: a function from the question to a message without its ID, or None."""
    if seldom(draw):
        return None
    number = draw(st.sampled_from([1, 2, 3, 16, 17, 0]))
    ttls = draw(st.lists(st.sampled_from([0, 3, 60, 300, 2**31]), min_size=17, max_size=17))
    odd_flags = [0x8190, 0x8080, 0x8380, 0x81C0, 0x8980, 0x8184]
    flags = draw(st.sampled_from(odd_flags if seldom(draw) else [0x8180, 0x8580, 0x81A0]))
    kind = draw(st.sampled_from(["addresses", "addresses", "aliases", "denial"]))
    rcode = (
        draw(st.sampled_from([2, 3, 5])) if seldom(draw) else draw(st.sampled_from([0, 3])) if kind == "denial" else 0
    )
    opt = draw(st.sampled_from(["none", "always", "option", "extended"])) if seldom(draw, 6) else "echo"
    wrongs = ["name", "type", "case", "cut", "longer", "count", "pointer"]
    wrong = draw(st.sampled_from(wrongs)) if seldom(draw, 8) else ""
    owner, other_type = seldom(draw), seldom(draw)
    targets = draw(
        st.lists(st.sampled_from([b"\1x\xc0\x0c", b"\1y\xc0\x0c", b"\3cdn\0", b"\1Z\0"]), min_size=1, max_size=3)
    )
    if seldom(draw, 8):
        targets.append(draw(st.sampled_from([b"\xc0\x0c", b"\1z\0", b"\xc0\xff", b"\1q"])))
    soa = draw(st.sampled_from([b"\2ns\xc0\x0c\5admin\xc0\x0c", b"\0\0", b"\2ns\3org\0\xc0\x0c"]))
    minimum = draw(st.sampled_from([0, 4, 60, 5000]))

    def answer(question):
        query = dns.message.from_wire(b"\0\0" + question, ignore_trailing=True)
        rtype = query.question[0].rdtype
        asked = b"\0\0" + question
        end = HEADER_BYTES
        while asked[end]:
            end += 1 + asked[end]
        end += 5
        body = b""
        records = authorities = 0
        pointer = asked[HEADER_BYTES : end - 4] if owner else b"\xc0\x0c"
        if kind == "aliases":
            for each, target in enumerate(targets):
                body += pointer + b"\0\5\0\1" + ttls[-each].to_bytes(4, "big") + len(target).to_bytes(2, "big")
                pointer = (0xC000 | end + len(body)).to_bytes(2, "big")
                body += target
                records += 1
        if kind == "denial":
            data = soa + struct.pack("!5I", 1, 2, 3, 4, minimum)
            body += pointer + b"\0\6\0\1" + ttls[0].to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
            authorities = 1
        else:
            family, size = (28, 16) if (rtype == 28) != other_type else (1, 4)
            for each in range(number):
                body += pointer + family.to_bytes(2, "big") + b"\0\1" + ttls[each].to_bytes(4, "big")
                body += size.to_bytes(2, "big") + bytes(size - 1) + bytes([each])
                records += 1
        additional = 0
        if opt in ("always", "option", "extended") or (opt == "echo" and query.edns >= 0):
            extended = 1 if opt == "extended" else 0
            data = b"\0\x0f\0\2\0\x16" if opt == "option" else b""
            body += b"\0\0\x29\x04\xd0" + bytes([extended, 0, 0x80 if query.ednsflags else 0, 0])
            body += len(data).to_bytes(2, "big") + data
            additional = 1
        header = (flags & ~0x0100 | (question[0] & 1) << 8 if flags & 0x0100 else flags) | rcode
        message = bytearray(header.to_bytes(2, "big") + struct.pack("!HHHH", 1, records, authorities, additional))
        message += asked[HEADER_BYTES:end] + body
        if wrong == "name" and message[10]:
            message[11] ^= 1
        elif wrong == "case" and message[10]:
            message[11] ^= 32
        elif wrong == "type":
            message[end - 5] ^= 2
        elif wrong == "cut":
            del message[-3:]
        elif wrong == "longer":
            message += b"xyz"
        elif wrong == "count":
            message[5] += 1
        elif wrong == "pointer" and body:
            message[end - 1] = 0xFF
        return bytes(message)

    return answer


def settle(server, outcome_list):
    """Let the upstream answer each question with the next outcome.

    Of those that wait the least one is answered, as both ways send what comes together in an order of their own.
    """
    waiting = server.upstream.waiting
    rest = list(outcome_list)
    while waiting:
        least = min(range(len(waiting)), key=lambda each: waiting[each].wire)
        waiting.rotate(-least)
        outcome = rest.pop(0) if len(rest) > 1 else rest[0]
        server.upstream.deliver(None if outcome is None else outcome(waiting[0].wire))


def content(wire):
    """A reply whose addresses may be in any order; of a truncated one any of them may be left."""
    if wire is None:
        return None
    message = dns.message.from_wire(wire, ignore_trailing=True)
    sections = [
        sorted((str(rrset.name), rrset.rdtype, rrset.ttl, str(item)) for rrset in section for item in rrset)
        for section in (message.answer, message.authority, message.additional)
    ]
    if message.flags & dns.flags.TC:
        sections = [{each[:3] for each in section} for section in sections]
    return wire[:12], len(wire), message.question, sections, message.edns, message.payload, message.ednsflags


def entries(server):
    """What the cache has."""
    cache = server.plugins.get("cache")
    if cache is None:
        return {}
    return {
        (kind, key): (entry.ttl_seconds, entry.flags, entry.rcode, entry.answered, entry.compiled.body,
                      entry.compiled.counts, entry.compiled.rotating, entry.compiled.record_bytes,
                      entry._positions, entry.plugin, entry.contested, entry._other_orders)
        for kind, store in (("success", cache.shelves.success), ("denial", cache.shelves.denial))
        for key, entry in store._entries.items()
    }  # fmt: skip


def compare(text, packets, outcome_list):
    """Run the same on both ways; how many queries took the short one."""

    def work():
        clock = lambda: 1000.0  # noqa: E731
        long, short = Relaying(text, clock=clock), Relaying(text, clock=clock)
        for number, packet in packets.items():
            long.ask(number, packet)
        settle(long, outcome_list)
        short.take(packets)
        settle(short, outcome_list)
        assert set(long.replies) == set(short.replies) == set(packets)
        if "loadbalance" in text:
            assert {key: content(each) for key, each in long.replies.items()} == {
                key: content(each) for key, each in short.replies.items()
            }
        else:
            assert long.replies == short.replies
        assert sorted(map(str, long.upstream.asked)) == sorted(map(str, short.upstream.asked))
        assert long.upstream.counted == short.upstream.counted
        assert long.upstream.health.suspected == short.upstream.health.suspected
        assert entries(long) == entries(short)
        assert long.counts() == short.counts()
        assert long.faults.panics == short.faults.panics == 0
        for server in (long, short):
            for forwarder in server.plugins["forward"]._forwarders:
                assert forwarder.client.under_way == 0
            if "cache" in server.plugins:
                assert len(server.plugins["cache"]._asking.flights) == 0
                assert server.plugins["cache"]._asking.flights.followers == 0
        return short.short

    return run(work)


@settings(deadline=None, max_examples=400)
@given(text=corefiles(), packet=queries(), outcome_list=st.lists(outcomes(), min_size=1, max_size=3))
def test_one_query_fares_alike(text, packet, outcome_list):
    event(f"short: {compare(text, {0: packet}, outcome_list)}")


BLOCKS = [
    "prometheus\nforward . 192.0.2.2",
    "prometheus\ncache 30\nforward . 192.0.2.2 {\n prefer_udp\n}",
    "loadbalance\ncache\nforward . 192.0.2.2",
]


def addresses(number, flags=0x8180, *, data=bytes(16), behind=b"", rcode=0):
    """An upstream that answers with so many AAAA records."""

    def answer(question):
        asked = b"\0\0" + question
        end = HEADER_BYTES + asked[HEADER_BYTES:].index(b"\0") + 5
        record = b"\xc0\x0c\0\x1c\0\1\0\0\0\x09" + len(data).to_bytes(2, "big") + data
        header = (flags | rcode).to_bytes(2, "big") + struct.pack("!HHHH", 1, number, 0, len(behind) > 0)
        return header + asked[HEADER_BYTES:end] + number * record + behind

    return answer


@pytest.mark.parametrize("text", BLOCKS)
@pytest.mark.parametrize("query_flags", [0x0100, 0, 0x0110, 0x0120])
def test_every_flag_of_a_reply_fares_alike(text, query_flags):
    query = dns.message.make_query("www.example.org.", "AAAA")
    query.flags = query_flags
    short = sum(compare(text, {0: query.to_wire()}, [addresses(1, 0x8180 ^ 1 << bit)]) for bit in range(16))
    short += sum(compare(text, {0: query.to_wire()}, [addresses(1, rcode=rcode)]) for rcode in range(16))
    assert 0 < short < 16


@pytest.mark.parametrize("text", BLOCKS)
@pytest.mark.parametrize("number", [1, 8, 9, 16])
@pytest.mark.parametrize("size", [None, 0, 511, 512, 513, 719, 729, 730, 731, 1232])
def test_every_size_fares_alike(text, number, size):
    name = f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}."
    query = dns.message.make_query(name, "AAAA", use_edns=False if size is None else 0, payload=size or 0)
    opt = b"" if size is None else b"\0\0\x29\x04\xd0" + bytes(6)
    compare(text, {0: query.to_wire()}, [addresses(number, behind=opt)])


@settings(deadline=None, max_examples=300)
@given(text=corefiles(), asked=st.lists(queries(), min_size=2, max_size=6), outcome=outcomes())
def test_queries_that_come_together_fare_alike(text, asked, outcome):
    event(f"short: {compare(text, dict(enumerate(asked)), [outcome])}")


@settings(deadline=None, max_examples=200)
@given(options=st.sampled_from(["", "30", "{\n keepttl\n}"]), first=queries(), outcome=outcomes(), data=st.data())
def test_queries_that_differ_in_little_fare_alike(options, first, outcome, data):
    """Identical ones are asked once, and get replies of their own: ID, letters, authenticated data."""
    packets = {}
    for number in range(data.draw(st.integers(2, 5))):
        packet = bytearray(first)
        packet[0] = number
        packet[2] ^= data.draw(st.sampled_from([0, 0, 0, 1]))
        packet[3] ^= data.draw(st.sampled_from([0, 0, 0x20, 0x10]))
        if packet[HEADER_BYTES] and data.draw(st.booleans()):
            packet[HEADER_BYTES + 1] ^= 32
        packets[number] = bytes(packet)
    text = f"prometheus\ncache {options}\nforward . 192.0.2.2"
    event(f"short: {compare(text, packets, [outcome])}")
