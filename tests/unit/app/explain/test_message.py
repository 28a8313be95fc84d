# SPDX-License-Identifier: Apache-2.0
"""Replies as text, and what they mean to a resolver."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from clusterdns.app.explain.message import decode_message, message_text


def reply(*records, rtype="A", rcode=dns.rcode.NOERROR, authority=(), flags=0, options=()):
    query = dns.message.make_query("www.example.org.", rtype, use_edns=bool(options))
    made = dns.message.make_response(query)
    made.answer = [dns.rrset.from_text(*record.split(None, 4)) for record in records]
    made.authority = [dns.rrset.from_text(*record.split(None, 4)) for record in authority]
    made.flags |= flags
    if options:
        made.use_edns(0, options=list(options))
    made.set_rcode(rcode)
    return decode_message(made.to_wire())


ADDRESS = "www.example.org. 30 IN A 192.0.2.1"
ALIAS = "www.example.org. 30 IN CNAME other.example.org."
SOA = "example.org. 30 IN SOA ns.example.org. admin.example.org. 1 2 3 4 5"


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (reply(ADDRESS), "answer"),
        (reply(ALIAS), "no data"),
        (reply(ALIAS, rtype="CNAME"), "answer"),
        (reply(ADDRESS, rtype="ANY"), "answer"),
        (reply(authority=(SOA,)), "no data"),
        (reply(rcode=dns.rcode.NXDOMAIN), "no name"),
        (reply(rcode=dns.rcode.SERVFAIL), "failure"),
        (reply(rcode=dns.rcode.REFUSED), "refusal"),
        (reply(rcode=dns.rcode.NOTIMP), "refusal"),
    ],
)
def test_what_a_reply_means(message, outcome):
    assert message.outcome() == outcome


def test_the_data_of_the_wanted_type():
    assert reply(ALIAS, "other.example.org. 5 IN A 192.0.2.9").data() == ["192.0.2.9"]


def test_an_alias_is_followed_to_its_end():
    assert reply(ALIAS, "other.example.org. 5 IN CNAME last.example.org.").alias() == "last.example.org."
    assert reply(ADDRESS).alias() == ""


def test_text_is_in_the_form_of_dig():
    text = message_text(reply(ADDRESS, authority=(SOA,), flags=dns.flags.AA | dns.flags.TC))
    assert text.splitlines() == [
        ";; ->>HEADER<<- opcode: QUERY, status: NOERROR; flags: qr aa tc rd",
        ";; QUESTION SECTION:",
        ";www.example.org.\tIN\tA",
        ";; ANSWER SECTION:",
        "www.example.org.\t30\tIN\tA\t192.0.2.1",
        ";; AUTHORITY SECTION:",
        "example.org.\t30\tIN\tSOA\tns.example.org. admin.example.org. 1 2 3 4 5",
    ]


def test_extended_errors_are_shown():
    option = dns.edns.EDEOption(14, "not yet")
    assert "; EDE: 14: not yet" in message_text(reply(options=(option,))).splitlines()


def test_extended_rcodes():
    assert reply(rcode=dns.rcode.BADVERS, options=(dns.edns.EDEOption(0),)).rcode == 16
