# SPDX-License-Identifier: Apache-2.0
"""Which queries take the short way, and through which server blocks there is one."""

import dns.edns
import dns.message
import pytest
from support.relaying import Relaying, run
from support.serving import Answering, Counting, wire

from clusterdns.dns import names
from clusterdns.plugins.header import Header
from clusterdns.serving.chain import Block
from clusterdns.serving.relay import PlainStep, Unless
from clusterdns.serving.router import Router
from clusterdns.serving.shortcut import Shortcut

FORWARD = "forward . 192.0.2.2"
KUBERNETES = "kubernetes cluster.local in-addr.arpa {\n manifests d\n fallthrough\n}\n"


def takes(text, packet=None, *, zones="."):
    """True if a query through a server block takes the short way."""
    server = Relaying(text, zones=zones)
    return server.engine.shortcut.take(wire() if packet is None else packet, 0.0) is not None


def with_flags(flags):
    packet = bytearray(wire())
    packet[2:4] = flags.to_bytes(2, "big")
    return bytes(packet)


PLAIN = {
    "A": wire(),
    "AAAA": wire(rtype="AAAA"),
    "EDNS": wire(use_edns=0, payload=1232),
    "DO": wire(want_dnssec=True),
    "letters": wire("WWW.eXample.org."),
    "no RD": with_flags(0),
    "AD": with_flags(0x0120),
    "CD": with_flags(0x0110),
    "the longest name": wire(f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}."),
}
ODD = {
    "another type": wire(rtype="TXT"),
    "DS": wire(rtype="DS"),
    "class CH": wire(rdclass="CH"),
    "a response": with_flags(0x8100),
    "NOTIFY": with_flags(0x2000),
    "AA": with_flags(0x0500),
    "TC": with_flags(0x0300),
    "RA": with_flags(0x0180),
    "Z": with_flags(0x0140),
    "an rcode": with_flags(0x0101),
    "the root": wire("."),
    "octets behind": wire() + b"\0",
    "octets behind the OPT": wire(use_edns=0) + b"\0",
    "an option": wire(use_edns=0, options=[dns.edns.GenericOption(10, b"12345678")]),
    "EDNS version 1": wire(use_edns=1),
    "an EDNS flag": wire(use_edns=0, ednsflags=0x4000),
    "no OPT where one is counted": wire()[:11] + b"\1" + wire()[12:],
    "an OPT that isn't counted": wire(use_edns=0)[:11] + b"\0" + wire(use_edns=0)[12:],
    "two questions": wire()[:5] + b"\2" + wire()[6:],
    "an answer": wire()[:7] + b"\1" + wire()[8:],
    "a name without end": wire()[:20],
    "a pointer": wire()[:12] + b"\xc0\x0c\0\1\0\1",
    "a label too long": wire()[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
    "a name too long": wire()[:12] + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "no question": wire()[:12],
    "nothing": b"",
}


@pytest.mark.parametrize("packet", PLAIN.values(), ids=PLAIN.keys())
def test_plain_queries(packet):
    assert takes(FORWARD, packet)


@pytest.mark.parametrize("packet", ODD.values(), ids=ODD.keys())
def test_queries_that_are_not_plain(packet):
    assert not takes(FORWARD, packet)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (FORWARD, "www.example.org.", True),
        ("errors\nprometheus\nloadbalance\ncache 30\nloop\nreload\nhealth\nready\n" + FORWARD, "www.test.", True),
        ("any\nnsid\nchaos\ndebug\n" + FORWARD, "www.test.", True),
        ("forward example.org 192.0.2.2", "www.example.org.", True),
        ("forward example.org 192.0.2.2", "example.org.", False),
        ("forward example.org 192.0.2.2", "www.example.com.", False),
        (FORWARD + " {\n except corp.test\n}", "www.corp.test.", False),
        (FORWARD + " {\n except corp.test\n}", "www.test.", True),
        ("forward corp.test 192.0.2.3 {\n force_tcp\n}\n" + FORWARD, "www.corp.test.", False),
        ("forward corp.test 192.0.2.3 {\n force_tcp\n}\n" + FORWARD, "www.test.", True),
        (FORWARD + " {\n use_caps_for_id\n}", "www.test.", False),
        (FORWARD + " {\n hedge 1s\n}", "www.test.", False),
        (FORWARD + " {\n next SERVFAIL\n}", "www.test.", False),
        (FORWARD + " {\n failover NXDOMAIN\n}", "www.test.", False),
        (FORWARD + " {\n failover SERVFAIL\n}", "www.test.", True),
        (KUBERNETES + FORWARD, "www.test.", True),
        (KUBERNETES + FORWARD, "a.cluster.local.", False),
        (KUBERNETES + FORWARD, "1.2.0.192.in-addr.arpa.", False),
        ("loadbalance round_robin {\n prefer 192.0.2.0/24\n}\n" + FORWARD, "www.test.", False),
        ("cache 30 corp.test\n" + FORWARD, "www.corp.test.", True),
        ("cache {\n disable success corp.test\n}\n" + FORWARD, "www.corp.test.", False),
        ("cache {\n disable success corp.test\n}\n" + FORWARD, "www.test.", True),
        ("hosts /nonexistent {\n 192.0.2.1 a.test\n fallthrough\n}\n" + FORWARD, "b.test.", True),
        ("hosts /nonexistent {\n 192.0.2.1 a.test\n fallthrough\n}\n" + FORWARD, "A.test.", False),
        ("hosts /nonexistent {\n 192.0.2.1 a.test\n}\n" + FORWARD, "b.test.", False),
        ("log\n" + FORWARD, "www.test.", False),
        ("metadata\n" + FORWARD, "www.test.", False),
        ("rewrite name a b\n" + FORWARD, "www.test.", False),
        ("acl {\n allow\n}\n" + FORWARD, "www.test.", False),
        ("view v {\n expr true\n}\n" + FORWARD, "www.test.", False),
        ("minimal\n" + FORWARD, "www.test.", False),
        ("template IN A {\n rcode NXDOMAIN\n}\n" + FORWARD, "www.test.", False),
    ],
)  # fmt: skip
def test_what_the_directives_of_a_block_leave_as_it_is(text, name, expected):
    assert takes(text, wire(name)) == expected


@pytest.mark.parametrize(("size", "expected"), [(0, True), (512, False), (4096, False)])
def test_bufsize_bars_queries_with_edns(size, expected):
    packet = wire(use_edns=0, payload=size) if size else wire()
    assert takes("bufsize 512\n" + FORWARD, packet) == expected


FAULTS = []


class Sending(Answering):
    """The end of a way: a relay that keeps what it is to send."""

    plugin = "sending"

    def __init__(self, rest=0):
        super().__init__(lambda query: None)
        self.sent = []
        self._rest = rest

    def plain(self, zone):
        return self

    def send(self, tickets):
        first = len(tickets) - self._rest
        self.sent += tickets[:first]
        return tickets[first:]


class Saying(Answering):
    """A plugin that says what it does."""

    def __init__(self, plain, zones=()):
        super().__init__(lambda query: None)
        self.plain = plain
        self.plain_zones = lambda: zones


def shortcut(zones):
    """One for blocks by zone: lists of plugins, or several of them that share the zone."""
    blocks = {
        names.from_text(zone): [Block(each) for each in (plugins if isinstance(plugins[0], list) else [plugins])]
        for zone, plugins in zones.items()
    }
    return Shortcut("dns://:53", Router(blocks), lambda block, error: FAULTS.append(error))


def test_the_block_with_the_longest_zone_decides():
    one, other = Sending(), Sending()
    made = shortcut({".": [one], "example.org.": [other], "deep.example.org.": [Answering(lambda query: None)]})
    for name in ("a.test.", "a.example.org.", "b.a.example.org."):
        assert made.take(wire(name), 0.0)
    assert made.take(wire("example.org."), 0.0) is None
    assert made.take(wire("a.deep.example.org."), 0.0) is None
    made.send()
    assert (len(one.sent), len(other.sent)) == (1, 2)


def test_blocks_that_share_a_zone_have_no_short_way():
    assert shortcut({".": [[Sending()], [Sending()]]}).take(wire(), 0.0) is None


def test_a_plugin_is_asked_for_each_zone_where_it_changes():
    corp = names.from_text("corp.test.")
    saying = Saying(lambda zone: None if names.is_in(zone, corp) else PlainStep.TRANSPARENT, [corp])
    made = shortcut({".": [saying, Sending()]})
    assert made.take(wire("www.test."), 0.0)
    assert made.take(wire("www.corp.test."), 0.0) is None
    assert made.take(wire("corp.test."), 0.0) is None, "a zone's own name may be something else than names below it"


def test_nothing_is_taken_where_nobody_asks_others():
    assert shortcut({".": [Answering(lambda query: None)]}).take(wire(), 0.0) is None
    assert shortcut({".": [Saying(lambda zone: PlainStep.TRANSPARENT)]}).take(wire(), 0.0) is None
    assert shortcut({"example.org.": [Sending()]}).take(wire("www.test."), 0.0) is None


@pytest.mark.parametrize("observer", [Counting(), Header.__new__(Header)], ids=["counts hits only", "edits replies"])
def test_a_plugin_that_has_to_see_each_query_prevents_it(observer):
    assert shortcut({".": [observer, Sending()]}).take(wire(), 0.0) is None


def test_what_changes_replies_behind_the_cache_prevents_it():
    class Keeping(Saying):
        def board(self, ticket, name): ...
        def keep(self, ticket, flags, shape, body): ...
        def lend(self, ticket, attempt): ...
        def reclaim(self, attempt): ...

    keeping = Keeping(lambda zone: keeping)
    shuffling = Saying(lambda zone: PlainStep.SHUFFLING)
    assert shortcut({".": [shuffling, keeping, Sending()]})._path(names.ROOT)
    assert shortcut({".": [keeping, shuffling, Sending()]})._path(names.ROOT) is None


def test_what_cannot_be_sent_takes_the_long_way():
    class Origin:
        family = 1
        detours = ()

        def detour(self, ticket, attempt):
            self.detours = (*self.detours, (ticket, attempt.came))

    origin = Origin()
    sending = Sending(rest=1)
    made = shortcut({".": [sending]})
    tickets = [made.take(wire(), number) for number in range(3)]
    for ticket in tickets:
        ticket.origin = origin
    made.send()
    made.send()
    assert sending.sent == tickets[:2]
    assert origin.detours == ((tickets[2], 2),)


def test_queries_that_are_odd_get_their_reply_on_the_long_way():
    def work():
        server = Relaying(FORWARD)
        server.take({number: packet for number, packet in enumerate(ODD.values()) if len(packet) > 11})
        while server.upstream.waiting:
            server.deliver([b"\x81\x82\0\1\0\0\0\0\0\0" + server.upstream.asked[0][10:]])
        assert server.faults.panics == 0
        assert server.short == 0

    run(work)


def test_a_fault_of_a_plugin_leads_to_the_long_way():
    FAULTS.clear()
    made = shortcut({".": [Saying(lambda zone: Unless(lambda name: name[99])), Sending()]})
    assert made.take(wire(), 0.0) is None
    assert [type(fault) for fault in FAULTS] == [IndexError]
