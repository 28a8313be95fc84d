# SPDX-License-Identifier: Apache-2.0
"""The message that a query is for others."""

import dns.edns
import dns.flags
import dns.message
import msgspec
from support.directives import query

from clusterdns.dns import names


def test_a_clients_query_is_passed_on_as_it_came():
    options = [dns.edns.GenericOption(8, b"\0\1\0\0")]
    asked = query("wWw.example.org.", "AAAA", use_edns=0, options=options)
    assert asked.message() == asked.packet


def test_a_query_with_another_name_is_a_message_with_the_clients_opt():
    asked = query(use_edns=0, want_dnssec=True, payload=1400)
    message = dns.message.from_wire(asked.derive(name=names.from_text("other.test."), qtype=28).message())
    assert message.question[0].to_text() == "other.test. IN AAAA"
    assert (message.id, message.payload, message.ednsflags) == (asked.id, 1400, dns.flags.DO)
    assert dns.flags.to_text(message.flags) == "RD"


def test_a_query_with_another_opt_is_a_message_with_that():
    asked = query(use_edns=0, payload=4096)
    assert asked.edns is not None
    derived = asked.derive(edns=msgspec.structs.replace(asked.edns, size=1232))
    assert dns.message.from_wire(derived.message()).payload == 1232
    assert dns.message.from_wire(derived.derive(name=names.from_text("a.")).message()).payload == 1232


def test_a_query_without_opt_stays_without():
    assert dns.message.from_wire(query().derive(qtype=16).message()).edns == -1
