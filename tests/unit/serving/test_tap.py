# SPDX-License-Identifier: Apache-2.0
"""What a Tap is shown: the octets that came and those that went, once each."""

import json

import dns.message
import msgspec
from support.serving import Answering, Counting, client, make_engine, wire

from clusterdns.dns.masterfile import parse_record
from clusterdns.serving.capabilities import HitObserver, Observer, Tap
from clusterdns.serving.chain import Block
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Trace


class Tapping(Plugin):
    """Keeps what it is shown."""

    name = "tapping"

    def __init__(self):
        self.seen = []

    def tap_query(self, query):
        query.received_ns = len(self.seen)
        self.seen.append(("query", query.packet))

    def tap_reply(self, query, message):
        self.seen.append(("reply", query.received_ns, message))

    def tap_exchange(self, query, hop, octets, asked_ns, replied_ns):
        raise AssertionError("nobody was asked")


def address(query):
    return Reply.authoritative("answering", answer=(parse_record("www.example.org. 5 A 192.0.2.1"),))


def test_a_query_and_its_reply_are_shown_as_they_are_on_the_wire():
    tap = Tapping()
    engine = make_engine({"example.org.": [tap, Answering(address)]})
    packet = wire(use_edns=0, payload=1400)
    message = engine.handle(packet, client())
    assert tap.seen == [("query", packet), ("reply", 0, message)]
    assert isinstance(tap, Tap)
    assert not isinstance(tap, Observer | HitObserver)


def test_no_reply_is_reused_where_somebody_wants_each():
    def reusable(query):
        reply = address(query)
        reply.reusable = True
        return reply

    tap, counting = Tapping(), Counting()
    engine = make_engine({"example.org.": [counting, tap, Answering(reusable)]})
    packet = wire()
    for _ in range(4):
        engine.handle(packet, client())
    assert [kind for kind, *_ in tap.seen] == ["query", "reply"] * 4
    assert not Block([counting, tap]).reuse
    assert Block([counting]).reuse


def test_failures_are_shown_and_silence_is_not():
    tap = Tapping()
    replies = iter([Reply.failure("broken"), Reply.no_reply("answering")])
    engine = make_engine({"example.org.": [tap, Answering(lambda query: next(replies))]})
    message = engine.handle(wire(), client())
    assert dns.message.from_wire(message).rcode() == 2
    assert engine.handle(wire(), client()) is None
    assert [kind for kind, *_ in tap.seen] == ["query", "reply", "query"]


def test_every_message_of_a_long_reply_is_shown():
    tap = Tapping()
    records = [parse_record(f'n{number}.example.org. 5 TXT "{"x" * 200}"') for number in range(200)]

    def transfer(query):
        reply = Reply(records=Sections(answer=(records[0],)))
        reply.stream = iter(records[1:])
        return reply

    engine = make_engine({"example.org.": [tap, Answering(transfer)]})
    messages = list(engine.handle(wire(), client("tcp")))
    assert len(messages) > 2
    assert [seen[-1] for seen in tap.seen[1:]] == messages


def test_look_ups_of_our_own_and_explained_queries_are_not_shown():
    tap = Tapping()

    def alias(query):
        return query.resolve(query, b"\4host\7example\3org\0", 1) if not query.depth else address(query)

    engine = make_engine({"example.org.": [tap, Answering(alias)]})
    engine.handle(wire(), client())
    assert [kind for kind, *_ in tap.seen] == ["query", "reply"]
    trace = Trace()
    engine.handle(wire(), client(), trace)
    assert len(tap.seen) == 2
    assert "tapping must see every query" in json.dumps(msgspec.to_builtins(trace))


def test_a_block_with_nothing_but_a_tap_has_no_answer():
    tap = Tapping()
    engine = make_engine({"example.org.": [tap]})
    message = engine.handle(wire(), client())
    assert dns.message.from_wire(message).rcode() == 2
    assert len(tap.seen) == 2
