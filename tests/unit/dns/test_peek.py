# SPDX-License-Identifier: Apache-2.0
"""Which messages are queries, and what is read from them."""

import dns.edns
import dns.message
import pytest

from clusterdns.dns import names
from clusterdns.dns.peek import Peek
from clusterdns.dns.types import FORMERR, NOTIMP
from clusterdns.errors import QueryError

PLAIN = dns.message.make_query("WWW.Example.org.", "A", id=7).to_wire()


def refusal(packet):
    with pytest.raises(QueryError) as caught:
        Peek(packet)
    return caught.value


def test_question_is_read_with_its_case():
    peek = Peek(PLAIN)
    assert (peek.name, peek.key) == (names.from_text("WWW.Example.org."), names.from_text("www.example.org."))
    assert (peek.qtype, peek.qclass, peek.question_end, peek.edns) == (1, 1, len(PLAIN), None)


def test_edns_is_read():
    option = dns.edns.GenericOption(10, b"cookie!!")
    query = dns.message.make_query("a.", "A", use_edns=0, payload=1400, want_dnssec=True, options=[option])
    edns = Peek(query.to_wire()).edns
    assert (edns.size, edns.version, edns.do, list(edns.option_list())) == (1400, 0, True, [(10, b"cookie!!")])


@pytest.mark.parametrize(
    "packet", [b"", PLAIN[:11], PLAIN[:2] + b"\x80" + PLAIN[3:]], ids=["empty", "short", "response"]
)
def test_no_reply_to(packet):
    assert refusal(packet).rcode is None


def with_counts(*counts):
    return PLAIN[:4] + b"".join(count.to_bytes(2, "big") for count in counts) + PLAIN[12:]


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (2, 0, 0, 0), (1, 2, 0, 0), (1, 0, 2, 0), (1, 0, 0, 3)])
def test_counts_that_no_query_has(counts):
    error = refusal(with_counts(*counts))
    assert (error.rcode, error.question_end) == (FORMERR, 12)


def test_promised_record_that_is_not_there_leaves_the_question():
    error = refusal(with_counts(1, 0, 0, 1))
    assert (error.rcode, error.question_end) == (FORMERR, len(PLAIN))


@pytest.mark.parametrize("opcode", [1, 2, 3, 5, 6, 15])
def test_other_opcodes(opcode):
    assert refusal(PLAIN[:2] + bytes([opcode << 3]) + PLAIN[3:]).rcode == NOTIMP


def test_notify_is_a_query():
    assert Peek(PLAIN[:2] + bytes([4 << 3]) + PLAIN[3:]).opcode == 4


@pytest.mark.parametrize(
    "question",
    [
        b"\xc0\x0c\x00\x01\x00\x01",
        b"\x40a\x00\x00\x01\x00\x01",
        b"\x03ab",
        b"\x01a\x00\x00\x01",
        b"\x01a" * 128 + b"\x00" * 5,
    ],
    ids=["pointer", "label-type", "cut", "cut-class", "too-long"],
)
def test_question_that_cannot_be_read(question):
    error = refusal(PLAIN[:12] + question)
    assert (error.rcode, error.question_end) == (FORMERR, 12)


@pytest.mark.parametrize("options", [b"\x00", b"\x00\x0a\x00\x05abcd", b"\x00\x0a\x00\x00\x00"])
def test_options_that_are_not_whole_are_refused(options):
    opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00" + len(options).to_bytes(2, "big") + options
    assert refusal(with_counts(1, 0, 0, 1) + opt).rcode == FORMERR


def test_two_opts_are_refused():
    opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
    assert Peek(with_counts(1, 0, 0, 1) + opt).edns is not None
    assert refusal(with_counts(1, 0, 0, 2) + opt + opt).rcode == FORMERR
