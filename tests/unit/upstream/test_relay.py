# SPDX-License-Identifier: Apache-2.0
"""Whom plain queries are sent to, and how many together."""

from collections import Counter

import pytest
from support.relaying import FakeUpstream, Relaying, run
from support.serving import client as client_for
from support.serving import wire

from clusterdns.serving.relay import Attempt, Resumed
from clusterdns.upstream.client import Asked, ClientOptions
from clusterdns.upstream.relay import may_relay
from clusterdns.upstream.volley import MOST_QUESTIONS


class Upstream(FakeUpstream):
    """Notes how many questions come together."""

    def __init__(self, to="192.0.2.2:53"):
        super().__init__(to)
        self.volleys = []

    def fire(self, volley, started, seconds):
        self.volleys.append(len(volley.tickets))
        self.seconds = seconds
        return super().fire(volley, started, seconds)


def server_with(options="", number=3, block=""):
    return Relaying(
        f"{block}\nforward . 192.0.2.2 {{\n{options}\n}}",
        upstreams=[Upstream(f"192.0.2.{last}:53") for last in range(number)],
    )


def client_of(server):
    return server.plugins["forward"]._forwarders[0].client


def take(server, number):
    server.take({each: wire(f"n{each}.test.") for each in range(number)})


def asked(server):
    return [len(upstream.asked) for upstream in server.upstreams]


def fail_all(server):
    for upstream in server.upstreams:
        while upstream.waiting:
            upstream.deliver(None)


@pytest.mark.parametrize(
    ("policy", "least", "most"), [("random", 50, 150), ("round_robin", 100, 100), ("sequential", 0, 300)]
)
def test_the_policy_holds_for_each_query(policy, least, most):
    def work():
        server = server_with(f"policy {policy}")
        take(server, 300)
        assert sum(asked(server)) == 300
        assert all(least <= number <= most for number in asked(server))
        if policy == "sequential":
            assert asked(server) == [300, 0, 0]

    run(work)


@pytest.mark.parametrize("policy", ["random", "round_robin", "sequential"])
def test_upstreams_that_are_left_out_are_not_asked(policy):
    def work():
        server = server_with(f"policy {policy}")
        server.upstreams[0].health.fails = 3
        take(server, 100)
        assert asked(server)[0] == 0
        assert sum(asked(server)) == 100

    run(work)


def test_where_all_are_left_out_the_long_way_decides():
    def work():
        server = server_with("failfast_all_unhealthy_upstreams")
        for upstream in server.upstreams:
            upstream.health.fails = 3
        take(server, 3)
        assert sum(asked(server)) == 0
        assert {reply[3] & 15 for reply in server.replies.values()} == {2}
        assert client_of(server).broken.value == 3

    run(work)


def test_volleys_are_bounded():
    def work():
        server = server_with(number=1)
        take(server, 40)
        assert server.upstream.volleys == [MOST_QUESTIONS, MOST_QUESTIONS, 40 - 2 * MOST_QUESTIONS]
        assert client_of(server).under_way == 40

    run(work)


def test_the_wait_is_what_the_options_say():
    def work():
        for options, seconds in (("", 2.0), ("read_timeout 300ms", 0.3), ("read_timeout 20s", 5.0)):
            server = server_with(options, number=1)
            take(server, 1)
            assert server.upstream.seconds == seconds

    run(work)


def test_queries_above_the_bound_are_refused():
    def work():
        server = server_with("max_concurrent 10", number=1)
        take(server, 8)
        server.take({number: wire(f"m{number}.test.") for number in range(8, 12)})
        assert Counter(reply[3] & 15 for reply in server.replies.values()) == {5: 2}
        assert client_of(server).under_way == 10

    run(work)


def test_what_could_not_be_sent_is_asked_on_the_long_way():
    def work():
        server = server_with(number=1)
        server.upstream.most = 3
        take(server, 5)
        assert len(server.upstream.asked) == 5
        assert client_of(server).under_way == 5
        server.deliver([None])
        assert client_of(server).under_way == 0
        assert {reply[3] & 15 for reply in server.replies.values()} == {2}

    run(work)


def test_upstreams_over_tls_take_the_long_way():
    def work():
        server = server_with(number=2)
        server.upstreams[1].stream_only = True
        take(server, 20)
        assert server.upstreams[0].volleys == []
        assert sum(asked(server)) == 20

    run(work)


@pytest.mark.parametrize(("policy", "second"), [("sequential", [1]), ("round_robin", [1]), ("random", [1, 2])])
def test_after_a_failure_another_upstream_is_asked(policy, second):
    def work():
        for _ in range(10):
            server = server_with(f"policy {policy}")
            take(server, 1)
            first = asked(server).index(1)
            server.upstreams[first].deliver(None)
            then = next(number for number, count in enumerate(asked(server)) if count and number != first)
            assert (then - first) % 3 in second
            assert server.upstreams[first].health.suspected == 1
            fail_all(server)
            fail_all(server)
            fail_all(server)
            assert sum(asked(server)) == 6, "twice as often as there are upstreams, the first time included"

    run(work)


def test_upstreams_may_be_others_by_the_time_of_a_failure():
    def work():
        server = server_with(number=1)
        take(server, 2)
        new = Upstream("192.0.2.9:53")
        client_of(server).servers = [new]
        server.upstream.deliver(None)
        assert len(new.asked) == 1
        client_of(server).servers = ()
        server.upstream.deliver(None)
        assert [reply[3] & 15 for reply in server.replies.values()] == [2]

    run(work)


def test_what_was_asked_is_gone_on_with_once():
    def work():
        server = server_with(number=1)
        client = client_of(server)
        asked = Asked(0.0, client, server.upstream, 0.0, message=b"\0\0\x81\x85" + bytes(8))
        query = Resumed(wire(), client_for(), asked)
        client.ask(query)
        assert server.upstream.asked == []
        client.ask(query)
        client.ask(Resumed(wire(), client_for(), Attempt(0.0)))
        assert len(server.upstream.asked) == 2
        other = server_with(number=1)
        client_of(other).ask(Resumed(wire(), client_for(), Asked(0.0, client, server.upstream, 0.0)))
        assert len(other.upstream.asked) == 1, "it is the attempt of another directive"

    run(work)


def test_a_volley_ends_with_the_last_of_its_questions():
    def work():
        server = server_with(number=1)
        take(server, 5)
        upstream, client = server.upstream, client_of(server)
        volley = upstream.waiting[0].volley
        volley.deadline = {volley}
        volley.answered(0, 3, 0.0)
        assert (client.under_way, volley.left, volley.deadline) == (2, 2, {volley})
        volley.answered(3, 2, 0.0)
        assert (client.under_way, volley.left, volley.deadline, volley.tickets) == (0, 0, None, [])
        assert upstream.counted == [0, 0, 0, 3, 3]

    run(work)


@pytest.mark.parametrize(
    "options",
    [
        ClientOptions(force_tcp=True),
        ClientOptions(check_letters=True),
        ClientOptions(hedge_seconds=0.1),
        ClientOptions(failover=frozenset({0})),
        ClientOptions(failover=frozenset({3})),
    ],
)
def test_options_that_ask_for_more_than_the_short_way_does(options):
    assert not may_relay(options)
    assert may_relay(ClientOptions(prefer_udp=True, failover=frozenset({2}), most_fails=0))
