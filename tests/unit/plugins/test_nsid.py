# SPDX-License-Identifier: Apache-2.0
import socket

import dns.edns
import dns.message
import pytest
from support.directives import check, make, query

from clusterdns.serving.finish import finish
from clusterdns.serving.reply import Reply

ASKED = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")


def written(text, answer=None, **options):
    question = query("www.example.org.", "A", **options)
    (message,) = finish(question, make(text, answer=answer).handle(question))
    return dns.message.from_wire(message)


def nsids(reply):
    return [option.nsid for option in reply.options if option.otype == dns.edns.OptionType.NSID]


@pytest.mark.parametrize(
    ("text", "data"),
    [("nsid a b", b"a b"), ('nsid ""', b""), ("nsid", socket.gethostname().encode())],
)
def test_those_who_ask_learn_the_name_once(text, data):
    reply = written(text, use_edns=0, payload=1400, options=[ASKED])
    assert (nsids(reply), reply.payload, reply.ednsflags) == ([data], 1400, 0)


def test_the_do_flag_is_the_clients():
    assert written("nsid a", use_edns=0, want_dnssec=True, options=[ASKED]).ednsflags == dns.flags.DO


def test_a_failure_has_it_too():
    reply = written("nsid a", lambda query: Reply.failure("x"), use_edns=0, options=[ASKED])
    assert (reply.rcode(), nsids(reply)) == (2, [b"a"])


def test_nobody_else_does():
    assert written("nsid a").edns == -1
    assert nsids(written("nsid a", use_edns=0)) == []


def test_once():
    messages = [error.message for error in check("nsid a\nnsid b").errors]
    assert messages == ["this plugin can only be used once per Server Block"]
    assert check("nsid a {\nx\n}").errors
