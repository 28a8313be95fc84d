# SPDX-License-Identifier: Apache-2.0
"""Replies of several messages."""

from collections.abc import Iterator

import dns.flags
import dns.message
import pytest
from support.serving import Answering, Counting, client, make_engine, query, wire

from clusterdns.dns import types
from clusterdns.dns.wire import Record
from clusterdns.errors import WireError
from clusterdns.serving.finish import STREAM_MESSAGE_BYTES, finish_stream
from clusterdns.serving.reply import Reply


def records(number, size_bytes=100):
    owner = b"\x01a\x07example\x03org\x00"
    return (
        Record(owner, types.TXT, 5, bytes([size_bytes - 1]) + i.to_bytes(size_bytes - 1, "big")) for i in range(number)
    )


def streaming(stream, first=()):
    reply = Reply.authoritative("transfer", answer=first)
    reply.stream = stream
    return reply


def test_records_are_spread_over_messages_in_order():
    messages = list(finish_stream(query("example.org.", "AXFR"), streaming(records(1000), tuple(records(1)))))
    assert len(messages) > 5
    assert all(len(message) <= STREAM_MESSAGE_BYTES for message in messages)
    parsed = [dns.message.from_wire(message, one_rr_per_rrset=True) for message in messages]
    assert sum(len(message.answer) for message in parsed) == 1001
    numbers = [int.from_bytes(rrset[0].strings[0], "big") for message in parsed for rrset in message.answer]
    assert numbers == [0, *range(1000)]
    assert {(m.id, m.flags, m.question[0].name.to_text()) for m in parsed} == {
        (parsed[0].id, dns.flags.QR | dns.flags.AA | dns.flags.RD, "example.org.")
    }


def test_every_message_has_an_opt_where_the_query_has_one():
    messages = list(finish_stream(query("example.org.", "AXFR", use_edns=0), streaming(records(500))))
    assert len(messages) > 1
    assert all(len(message) <= STREAM_MESSAGE_BYTES for message in messages)
    assert [dns.message.from_wire(message).edns for message in messages] == [0] * len(messages)


def test_nothing_is_one_message():
    assert len(list(finish_stream(query("example.org.", "AXFR"), streaming(())))) == 1


def test_a_record_longer_than_a_part_has_its_own_message():
    big = Record(b"\x01a\x00", 65280, 5, bytes(40_000))
    messages = list(finish_stream(query("example.org.", "AXFR"), streaming([*records(1), big, *records(1)])))
    assert [len(dns.message.from_wire(message).answer) for message in messages] == [1, 1, 1]


def test_a_record_that_no_message_can_hold_is_a_fault():
    with pytest.raises(WireError):
        list(finish_stream(query("example.org.", "AXFR"), streaming([Record(b"\x01a\x00", 65280, 5, bytes(65_530))])))


def test_messages_are_made_as_they_are_asked_for():
    taken = []

    def watched():
        for record in records(10_000):
            taken.append(record)
            yield record

    counting = Counting()
    engine = make_engine({".": [Answering(lambda query: streaming(watched())), counting]})
    output = engine.handle(wire("example.org.", "AXFR"), client("tcp"))
    assert isinstance(output, Iterator)
    next(output)
    assert len(taken) < 200
    assert len(counting.seen) == 1
    assert counting.seen[0][2] > STREAM_MESSAGE_BYTES - 200


def test_over_udp_there_is_one_message_with_tc():
    engine = make_engine({".": [Answering(lambda query: streaming(records(1000)))]})
    output = engine.handle(wire("example.org.", "AXFR"), client("udp"))
    message = dns.message.from_wire(output)
    assert message.flags & dns.flags.TC
    assert message.answer == []


def test_a_stream_is_never_remembered():
    def answer(query):
        reply = streaming(records(1))
        reply.reusable = True
        return reply

    engine = make_engine({".": [Answering(answer), Counting()]})
    for _ in range(3):
        assert len(list(engine.handle(wire("example.org.", "AXFR", id=1), client("tcp")))) == 1
    assert engine.memo("tcp", 1).entries == {}


def test_a_fault_before_the_first_message_is_servfail():
    def broken():
        raise KeyError("x")
        yield

    engine = make_engine({".": [Answering(lambda query: streaming(broken()))]})
    output = engine.handle(wire("example.org.", "AXFR"), client("tcp"))
    assert dns.message.from_wire(output).rcode() == types.SERVFAIL
