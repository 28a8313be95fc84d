# SPDX-License-Identifier: Apache-2.0
"""What is done on the short way to a reply; that it is the long way's is in tests/property/test_relay.py."""

import gc
from collections import Counter

import dns.message
import pytest
from support.directives import metric
from support.relaying import Relaying, run
from support.serving import client, wire

from clusterdns.dns.types import SERVFAIL
from clusterdns.serving import relay
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Attempt, Resumed

FORWARD = "forward . 192.0.2.2"


def answer(server, *addresses, ttl=60):
    """The upstream's reply to the last question."""
    question = server.upstream.asked[-1][10:]
    question = question[: question.index(b"\0") + 5]
    records = b"".join(
        b"\xc0\x0c\0\1\0\1" + ttl.to_bytes(4, "big") + b"\0\4\xc0\0\2" + bytes([last]) for last in addresses
    )
    return b"\x81\x80\0\1\0" + bytes([len(addresses)]) + b"\0\0\0\0" + question + records


def ask(server, packet, *addresses):
    server.take({0: packet})
    server.deliver([answer(server, *addresses)])
    return server.replies[0]


def test_every_address_comes_first_equally_often():
    def work():
        server = Relaying("loadbalance\n" + FORWARD)
        firsts = Counter()
        for number in range(600):
            made = dns.message.from_wire(ask(server, wire(f"n{number}.test."), 1, 2, 3))
            (rrset,) = made.answer
            assert len(rrset) == 3
            firsts[rrset[0].to_text()] += 1
        assert server.short == 600
        assert all(150 < count < 250 for count in firsts.values()), firsts

    run(work)


def test_without_loadbalance_addresses_stay_in_their_order():
    def work():
        server = Relaying(FORWARD)
        for _ in range(20):
            assert [item.to_text()[-1] for item in dns.message.from_wire(ask(server, wire(), 3, 1, 2)).answer[0]] == [
                *"312"
            ]

    run(work)


@pytest.mark.parametrize("family", [1, 2])
def test_queries_are_counted_by_kind(family):
    def work():
        server = Relaying("prometheus :0\n" + FORWARD)
        server.family = family
        for number in range(10):
            ask(server, wire(f"n{number}.test."), 1)
            ask(server, wire(f"n{number}.test.", want_dnssec=True), 1)
        assert server.short == 20
        server.engine.flush()
        labels = ("dns://:53", ".", "", "udp", str(family), "A")
        assert metric(server.services, "coredns_dns_requests_total", *labels) == 20
        assert metric(server.services, "coredns_dns_do_requests_total", "dns://:53", ".", "") == 10
        assert server.counts()["coredns_dns_request_duration_seconds", ("dns://:53", ".", "")] == 20

    run(work)


def test_what_is_counted_takes_bounded_memory(monkeypatch):
    monkeypatch.setattr(relay, "_MOST_TALLIES", 5)

    def work():
        server = Relaying("prometheus :0\n" + FORWARD)
        for number in range(40):
            ask(server, wire(f"{'n' * (number + 1)}.test."), 1)
        path = server.engine.shortcut._paths[b"\0"]
        assert len(path._tallies) <= 5
        assert len(path._durations) <= 5
        assert sum(value for (name, _), value in server.counts().items() if name == "coredns_dns_requests_total") == 40

    run(work)


@pytest.mark.parametrize("block", ["", "prometheus :0\nloadbalance\ncache\n"])
def test_the_garbage_collector_has_nothing_to_find(block):
    def work():
        server = Relaying(block + FORWARD)
        ask(server, wire("first.test."), 1, 2)
        gc.collect()
        gc.disable()
        try:
            for number in range(100):
                ask(server, wire(f"n{number}.test."), 1, 2)
            server.upstream.asked.clear()
            assert gc.collect() == 0
        finally:
            gc.enable()
        assert server.short == 101

    run(work)


def test_a_fault_on_the_short_way_costs_no_reply():
    def work():
        server = Relaying("prometheus :0\nloadbalance\ncache\n" + FORWARD)
        keeper = server.plugins["cache"]._keeper
        server.engine.shortcut.take(wire("first.test."), 0.0).path.waiting.clear()
        keeper.keep = lambda *arguments: [][0]
        made = dns.message.from_wire(ask(server, wire(), 1))
        assert [item.to_text() for item in made.answer[0]] == ["192.0.2.1"]
        assert (server.short, server.faults.panics) == (0, 1)
        assert len(server.upstream.asked) == 1

    run(work)


def test_a_fault_of_an_observer_costs_no_reply():
    def work():
        server = Relaying("prometheus :0\n" + FORWARD)
        server.plugins["prometheus"].observe_plain = lambda *arguments: [][0]
        ask(server, wire(), 1)
        server.engine.flush()
        assert (server.short, server.faults.panics) == (1, 1)

    run(work)


def test_the_time_that_a_detour_took_counts():
    query = Resumed(wire(), client(), Attempt(4.5))
    assert query.attempt.came == 4.5
    assert Query(wire(), client()).attempt is None


def test_an_attempt_is_for_the_question_that_was_asked():
    query = Resumed(wire(), client(), Attempt(0.0))
    query.resolve = None
    assert query.derive().attempt is query.attempt
    assert query.derive(edns=None).attempt is query.attempt
    assert query.derive(name=b"\1a\0").attempt is None
    assert query.derive(qtype=28).attempt is None


def test_nobody_waits_for_a_query_whose_long_way_leads_past_the_cache():
    def work():
        server = Relaying("cache\n" + FORWARD)
        handle = server.engine.handle
        server.take({number: wire("a.test.", id=number) for number in range(3)})
        server.engine.handle = lambda packet, client, attempt: None
        server.upstream.deliver(None)
        assert server.replies == dict.fromkeys(range(3))
        assert len(server.plugins["cache"]._asking.flights) == 0
        server.engine.handle = handle

    run(work)


def test_a_detour_goes_on_with_what_was_asked():
    def work():
        server = Relaying("errors\n" + FORWARD)
        server.take({0: wire(), 1: wire("b.test.")})
        server.deliver([b"\x81\x82" + answer(server, 1)[2:], None])
        replies = [dns.message.from_wire(server.replies[number]) for number in (0, 1)]
        assert replies[1].rcode() == SERVFAIL
        assert server.short == 0
        assert len(server.upstream.asked) == 2 + 1, "one upstream may fail twice for a query"
        assert server.plugins["forward"]._forwarders[0].client.under_way == 0

    run(work)
