# SPDX-License-Identifier: Apache-2.0
"""Whatever a query is called and whatever the rules are: the reply has the client's question, and nothing raises."""

import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st
from support.directives import make
from support.serving import client

from clusterdns.dns import names
from clusterdns.dns.types import SRV
from clusterdns.dns.wire import Record
from clusterdns.serving.finish import finish
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

LABELS = st.one_of(st.sampled_from([b"a", b"www", b"test", b"a.b", b"{1}", b"x-y"]), st.binary(min_size=1, max_size=12))
NAMES = st.lists(LABELS, max_size=6).map(names.from_labels)
RULES = (
    "name suffix .test .example.org answer auto",
    "name regex (.*)-(.*) {2}.{1} answer auto",
    "name substring a {1}bb answer auto",
    "name prefix www. a. answer value (.*)\\.a {1}.{1}.b",
    "name regex ^a(.*)$ b{1} answer name (.*)b(.*) {2}a{1}",
    "name regex (.*) {0}{0}",
    "type A SRV",
    "class IN CH",
    "ttl regex a 5-10",
    "rcode substring a NOERROR SERVFAIL",
    "edns0 local set 0xffee {qname}",
    "edns0 subnet set 20 50",
)


def answer(query):
    data = b"\0\1\0\2\0\3" + query.name
    reply = Reply.authoritative(
        "behind", 0, (Record(query.name, SRV, 7, data), Record(b"\4ends\4test\0", SRV, 7, data))
    )
    reply.reusable = True
    return reply


@settings(max_examples=300, deadline=None)
@given(NAMES, st.lists(st.sampled_from(RULES), max_size=4), st.booleans())
def test_the_reply_has_the_clients_question(name, rules, edns):
    plugin = make("\n".join(f"rewrite continue {rule}" for rule in rules or RULES[:1]), answer=answer)
    opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if edns else b""
    question = name + b"\0\1\0\1"
    packet = b"\x12\x34\1\0\0\1\0\0\0\0\0" + bytes([edns]) + question + opt
    query = Query(packet, client())
    query.resolve = lambda query, name, qtype: Reply()
    messages = finish(query, plugin.handle(query))
    for message in messages:
        assert message[12 : 12 + len(question)] == question
        assert dns.message.from_wire(message).edns == (0 if edns else -1)
