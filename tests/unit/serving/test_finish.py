# SPDX-License-Identifier: Apache-2.0
"""Flags, EDNS, size limits and truncation of replies."""

import dns.edns
import dns.flags
import dns.message
import pytest
from support.serving import client, query, wire

from clusterdns.dns import names, types
from clusterdns.dns.edns import encode_option, extended_error
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.finish import finish
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply


def addresses(name, number):
    return tuple(Record(name, types.A, 30, bytes([10, 0, i >> 8, i & 255])) for i in range(number))


def parse(message):
    return dns.message.from_wire(message)


def written(asked, reply):
    messages = finish(asked, reply)
    assert len(messages) == 1
    return parse(messages[0])


def test_rd_and_cd_are_copied_and_others_are_not():
    asked = query(flags=dns.flags.RD | dns.flags.CD | dns.flags.AD)
    assert dns.flags.to_text(written(asked, Reply()).flags) == "QR RD CD"


def test_no_opt_unless_the_client_sent_one():
    reply = Reply()
    reply.options = extended_error(14, "not ready")
    assert written(query(), reply).edns == -1


def test_opt_echoes_size_and_do_and_carries_our_options():
    reply = Reply()
    reply.options = extended_error(14, "not ready")
    message = written(query(use_edns=0, payload=4000, want_dnssec=True), reply)
    assert (message.payload, bool(message.ednsflags & dns.flags.DO)) == (4000, True)
    assert message.options[0].to_text() == "EDE 14 (Not Ready): not ready"


def test_only_known_options_of_the_client_come_back():
    options = [dns.edns.GenericOption(10, b"12345678"), dns.edns.GenericOption(8, b"\0\1\0\0")]
    message = written(query(use_edns=0, options=options), Reply())
    assert [int(option.otype) for option in message.options] == [10]


def test_a_smaller_size_that_a_plugin_wants_is_told_and_kept():
    asked = query(use_edns=0, payload=4096)
    reply = Reply.authoritative("x", 0, addresses(asked.name, 100))
    reply.edns_size = 1232
    message = written(asked, reply)
    assert message.payload == 1232
    assert message.flags & dns.flags.TC


@pytest.mark.parametrize(
    ("edns", "limit"), [({}, 512), ({"use_edns": 0, "payload": 100}, 512), ({"use_edns": 0, "payload": 1232}, 1232)]
)
def test_udp_reply_keeps_the_clients_limit_and_says_what_is_missing(edns, limit):
    asked = query(**edns)
    (message,) = finish(asked, Reply.authoritative("x", 0, addresses(asked.name, 200)))
    assert limit - 16 < len(message) <= limit
    assert parse(message).flags & dns.flags.TC
    assert len(parse(message).answer[0]) >= 20


def test_tcp_reply_is_whole():
    asked = query(protocol="tcp")
    message = written(asked, Reply.authoritative("x", 0, addresses(asked.name, 2000)))
    assert not message.flags & dns.flags.TC
    assert len(message.answer[0]) == 2000


def test_dropped_additional_records_are_a_truncation_too():
    asked = query()
    extra = addresses(names.from_text("other.example.net."), 40)
    message = written(asked, Reply.authoritative("x", 0, addresses(asked.name, 1), additional=extra))
    assert message.flags & dns.flags.TC
    assert len(message.answer[0]) == 1


def body(number):
    return b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4" + bytes([10, 0, i >> 8, i & 255]) for i in range(number))


@pytest.mark.parametrize("edns", [{}, {"use_edns": 0, "payload": 1232}])
def test_compiled_answer_equals_the_same_records(edns):
    asked = query("Www.Example.Org.", **edns)
    compiled = Reply.of_compiled("x", CompiledAnswer(0, counts(5), body(5)))
    assert finish(asked, compiled) == finish(asked, Reply.authoritative("x", 0, addresses(asked.name, 5)))


def test_compiled_answer_that_does_not_fit_is_cut_in_each_of_its_orders():
    asked = query()
    reply = Reply.of_compiled("x", CompiledAnswer(0, counts(40), body(40)))
    reply.variants = (body(40), body(40)[16:] + body(40)[:16])
    first, second = (parse(message) for message in finish(asked, reply))
    assert first.flags & dns.flags.TC
    assert second.flags & dns.flags.TC
    assert next(iter(first.answer[0])).address == "10.0.0.0"
    assert next(iter(second.answer[0])).address == "10.0.0.1"


@pytest.mark.parametrize("room", range(480, 560, 7))
def test_cut_bytes_equal_cut_records(room):
    asked = query(use_edns=0, payload=max(512, room))
    compiled = CompiledAnswer(0, counts(40), body(40), rotating=40, record_bytes=16)
    expected = finish(asked, Reply.authoritative("x", 0, addresses(asked.name, 40)))
    assert finish(asked, Reply.of_compiled("x", compiled)) == expected
    plain = CompiledAnswer(0, counts(40), body(40))
    assert finish(asked, Reply.of_compiled("x", plain)) == expected


def test_cut_keeps_whole_sections_in_their_order():
    asked = query()
    compiled = CompiledAnswer(0, counts(2, 1, 50), body(53))
    message = parse(finish(asked, Reply.of_compiled("x", compiled))[0])
    kept = [sum(len(rrset) for rrset in section) for section in (message.answer, message.authority, message.additional)]
    assert kept[:2] == [2, 1]
    assert 20 < kept[2] < 50
    assert message.flags & dns.flags.TC


def test_udp_reply_fits_a_datagram():
    asked = query(use_edns=0, payload=65535)
    (message,) = finish(asked, Reply.authoritative("x", 0, addresses(asked.name, 4095)))
    assert len(message) <= 65507


def test_notify_reply_has_no_rd():
    packet = wire()
    asked = Query(packet[:2] + b"\x21\x00" + packet[4:], client())
    message = parse(finish(asked, Reply())[0])
    assert dns.flags.to_text(message.flags) == "QR"
    assert message.opcode() == 4


def test_an_option_of_the_reply_is_not_echoed_a_second_time():
    cookie = dns.edns.GenericOption(10, b"12345678")
    reply = Reply()
    reply.options = encode_option(10, b"12345678abcdefgh")
    message = written(query(use_edns=0, options=[cookie, dns.edns.GenericOption(3, b"")]), reply)
    assert [(int(option.otype), option.to_wire()) for option in message.options] == [
        (10, b"12345678abcdefgh"),
        (3, b""),
    ]


@pytest.mark.parametrize("payload", [1232, 512])
def test_a_flag_of_the_query_can_be_kept_out_of_the_reply(payload):
    question = query("www.example.org.", "TXT", use_edns=0, payload=payload)
    body = b"".join(b"\xc0\x0c\0\x10\0\1\0\0\0\5\0\x0a\x09" + b"x" * 9 for _ in range(40))
    reply = Reply.of_compiled("x", CompiledAnswer(0, counts(40), body))
    assert written(question, reply).flags & dns.flags.RD
    reply.cleared = types.FLAG_RD
    assert not written(question, reply).flags & dns.flags.RD
