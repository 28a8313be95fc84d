# SPDX-License-Identifier: Apache-2.0
import dns.message
import pytest
from support.directives import check, make, query

from clusterdns.serving.finish import finish


def test_any_gets_one_record_without_authority():
    question = query("Www.Example.org.", "ANY")
    reply = make("any").handle(question)
    (message,) = finish(question, reply)
    assert [rrset.to_text() for rrset in dns.message.from_wire(message).answer] == [
        'Www.Example.org. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"'
    ]
    assert (reply.flags, reply.plugin) == (0, "any")


def test_every_other_type_is_passed_on():
    assert make("any").handle(query("www.example.org.", "HINFO")).plugin == "behind"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("any x", "Wrong argument count or unexpected line ending after 'x'"),
        ("any {\nx\n}", "Unexpected token '{', expecting argument"),
    ],
)
def test_it_has_no_arguments(text, message):
    assert [error.message for error in check(text).errors] == [message]
