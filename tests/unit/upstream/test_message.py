# SPDX-License-Identifier: Apache-2.0
"""From an upstream's message to the reply that the client gets."""

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.directives import query

from clusterdns.errors import WireError
from clusterdns.serving.finish import finish
from clusterdns.serving.reply import read_sections
from clusterdns.upstream.message import answers, read_reply

NAME = "www.example.org."


def upstream_message(asked, *records, rcode=0, flags="QR AA RD RA", authority=(), additional=(), options=None):
    message = dns.message.make_response(dns.message.from_wire(asked.packet))
    message.flags = dns.flags.from_text(flags)
    for section, texts in ((message.answer, records), (message.authority, authority), (message.additional, additional)):
        for text in texts:
            owner, ttl, rtype, data = text.split(" ", 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, data))
    if options is not None:
        message.use_edns(0, 0, 1232, options=options)
    else:
        message.use_edns(-1)
    message.set_rcode(rcode)
    return message


def passed(asked, message):
    """What the client gets of the message."""
    return dns.message.from_wire(finish(asked, read_reply(asked, message.to_wire(), "forward"))[0])


@pytest.mark.parametrize(
    "records",
    [
        (f"{NAME} 30 A 10.0.0.1",),
        (f"{NAME} 30 AAAA fd00::1",),
        (f"{NAME} 30 A 10.0.0.1", f"{NAME} 30 A 10.0.0.2"),
        (f"{NAME} 30 CNAME a.example.org.", "a.example.org. 30 A 10.0.0.1"),
        (f"{NAME} 30 CNAME a.example.org.", "a.example.org. 30 A 10.0.0.1", "a.example.org. 30 A 10.0.0.2"),
        ("other.test. 30 A 10.0.0.1",),
        (f"{NAME} 30 TXT one",),
        (f"{NAME} 30 MX 10 mail.example.org.",),
        (),
    ],
)
@pytest.mark.parametrize("options", [None, [], [dns.edns.EDEOption(22)]])
def test_records_are_passed_on_as_they_are(records, options):
    asked = query(NAME, "A", **({} if options is None else {"use_edns": 0}))
    message = upstream_message(asked, *records, options=options)
    reply = passed(asked, message)
    message = dns.message.from_wire(message.to_wire())
    assert (reply.answer, reply.authority, reply.additional) == (message.answer, message.authority, message.additional)
    assert (reply.id, dns.flags.to_text(reply.flags)) == (asked.id, "QR AA RD RA")
    assert list(reply.options) == (options or [])


def test_flags_and_rcodes_are_the_upstreams_but_rd_and_cd_the_clients():
    asked = query(NAME, "A", use_edns=0)
    reply = passed(asked, upstream_message(asked, rcode=3, flags="QR TC RA AD CD"))
    assert (dns.flags.to_text(reply.flags), reply.rcode()) == ("QR TC RD RA AD", 3)
    extended = passed(asked, upstream_message(asked, rcode=23, options=[]))
    assert extended.rcode() == 23


def test_an_opt_among_other_records_is_taken_out():
    asked = query(NAME, "A", use_edns=0)
    message = upstream_message(asked, f"{NAME} 30 A 10.0.0.1")
    wire = bytearray(message.to_wire())
    wire[11] = 2
    opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
    target = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x1e\x00\x02\x01x"
    reply = dns.message.from_wire(finish(asked, read_reply(asked, bytes(wire) + opt + target, "forward"))[0])
    assert [rrset.to_text() for rrset in reply.additional] == [f'{NAME} 30 IN TXT "x"']


def test_addresses_of_the_name_may_change_places():
    asked = query(NAME, "A")
    reply = read_reply(asked, upstream_message(asked, *(f"{NAME} 30 A 10.0.0.{n}" for n in range(3))).to_wire(), "x")
    assert (reply.compiled.rotating, reply.compiled.record_bytes) == (3, 16)
    one = read_reply(asked, upstream_message(asked, f"{NAME} 30 A 10.0.0.1").to_wire(), "x")
    assert one.compiled.rotating == 0
    assert not one.reusable


def test_addresses_behind_aliases_may_change_places():
    asked = query(NAME, "A")
    addresses = [f"b.test. 30 A 10.0.0.{n}" for n in range(3)]
    chain = (f"{NAME} 30 CNAME a.test.", "a.test. 9 CNAME b.test.", *addresses)
    reply = read_reply(asked, upstream_message(asked, *chain).to_wire(), "x")
    before, rotating, after = reply.compiled.split()
    assert len(rotating) == 3
    turned = before + b"".join(reversed(rotating)) + after
    found = read_sections(asked, reply.compiled.counts, turned).answer
    assert [record.data[-1] for record in found[2:]] == [2, 1, 0]
    assert {record.name for record in found[2:]} == {b"\1b\4test\0"}


@pytest.mark.parametrize(
    "records",
    [
        (f"{NAME} 30 A 10.0.0.1", "a.test. 30 A 10.0.0.2"),
        (f"{NAME} 30 A 10.0.0.1", f"{NAME} 30 TXT x", f"{NAME} 30 A 10.0.0.2"),
        (f"{NAME} 30 TXT x", f"{NAME} 30 A 10.0.0.1", f"{NAME} 30 A 10.0.0.2"),
        (f"{NAME} 30 A 10.0.0.1", f"{NAME} 30 AAAA ::1"),
        (f"{NAME} 30 A 10.0.0.1", f"{NAME} 30 A 10.0.0.2", f"{NAME} 30 CNAME a.test."),
    ],
)
def test_addresses_that_are_not_alike_are_records(records):
    asked = query(NAME, "A")
    assert read_reply(asked, upstream_message(asked, *records).to_wire(), "x").compiled is None


def test_what_stands_behind_the_last_record_is_left_out():
    asked = query(NAME, "A")
    wire = upstream_message(asked, f"{NAME} 30 TXT one").to_wire()
    assert finish(asked, read_reply(asked, wire + b"rest", "x")) == finish(asked, read_reply(asked, wire, "x"))


@pytest.mark.parametrize("cut", [1, 3, 8, 14])
def test_a_message_that_ends_too_early_is_an_error(cut):
    asked = query(NAME, "A")
    wire = upstream_message(asked, f"{NAME} 30 A 10.0.0.1", f"{NAME} 30 MX 1 mail.test.").to_wire()
    with pytest.raises(WireError):
        read_reply(asked, wire[:-cut], "x")


def test_a_pointer_that_leads_nowhere_is_an_error():
    asked = query(NAME, "A")
    wire = upstream_message(asked, f"{NAME} 30 CNAME a.example.org.").to_wire()
    with pytest.raises(WireError):
        read_reply(asked, wire[:-1] + b"\xff", "x")


def test_a_reply_answers_the_question_in_any_letters():
    asked = query(NAME, "A")
    question = asked.packet[12 : asked.question_end]
    for name, rtype, good in ((NAME, "A", True), ("WWW.example.ORG.", "A", True), (NAME, "AAAA", False)):
        message = dns.message.make_response(dns.message.make_query(name, rtype))
        assert answers(message.to_wire(), question) == good
    assert not answers(dns.message.make_response(dns.message.make_query("xww.example.org.", "A")).to_wire(), question)
    assert not answers(asked.packet[:4] + b"\0\0" + asked.packet[6:], question)


@settings(max_examples=300)
@given(st.binary(max_size=120), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_any_octets_behind_the_question_are_a_reply_or_an_error(body, answer, authority, additional):
    asked = query(NAME, "A", use_edns=0)
    wire = asked.packet[:2] + b"\x81\x80\0\1" + bytes([0, answer, 0, authority, 0, additional])
    wire += asked.packet[12 : asked.question_end] + body
    try:
        reply = read_reply(asked, wire, "x")
    except WireError:
        return
    assert len(finish(asked, reply)[0]) <= 1232
    reply.records(asked)
