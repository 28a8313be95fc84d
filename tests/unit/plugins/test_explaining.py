# SPDX-License-Identifier: Apache-2.0
"""What the directives say about a query is what they then do with it."""

import asyncio

import pytest
from support.directives import FakeSetup, make
from support.serving import client, wire

from clusterdns.dns import names
from clusterdns.dns.types import SERVFAIL
from clusterdns.plugins import table
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Explainer

BEHIND = "behind"


def asked(plugin, name, rtype="A", **where):
    query = Query(wire(name, rtype), client(**where))
    query.zone = names.from_text("example.org.")
    query.resolve = lambda query, name, qtype: Reply()
    query.server = "dns://:53"
    return query


def told(text, name="www.example.org.", rtype="A", *, start=False, setup=None, **where):
    """What a directive says, and the reply that it then gives; ``behind`` answers what it passes on."""
    plugin = make(text, setup=setup)
    if start:
        asyncio.run(plugin.start())
    query = asked(plugin, name, rtype, **where)
    notes = list(plugin.explain(query))
    result = plugin.handle(query)
    return notes, result if isinstance(result, Reply) else asyncio.run(wait(result))


async def wait(result):
    return await result


def texts(notes):
    return [note.text for note in notes]


HOSTS = "hosts nowhere {{\n192.0.2.1 www.example.org\n{}\n}}"
TEMPLATE = 'template IN A {{\nmatch ^www\nanswer "{{{{ .Name }}}} 60 IN A 192.0.2.1"\n{}\n}}'


@pytest.mark.parametrize(
    ("text", "question", "says"),
    [
        ("any", ("www.example.org.", "ANY"), "queries of type ANY get one HINFO record"),
        ("whoami", ("www.example.org.", "A"), "answers every query with the address and port"),
        ("chaos v1", ("version.bind.", "TXT"), "passed on"),
        ("erratic", ("www.example.org.", "A"), "this one is its turn to drop"),
        ("local", ("localhost.", "A"), "localhost is this machine"),
        ("local", ("localhost.example.org.", "A"), "a name that begins with localhost"),
        ("local", ("1.0.0.127.in-addr.arpa.", "PTR"), "the reverse zones of"),
        (HOSTS.format(""), ("www.example.org.", "A"), "has 1 IPv4 and 0 IPv6 addresses"),
        (HOSTS.format(""), ("no.example.org.", "A"), "has no such name, and without fallthrough that is SERVFAIL"),
        (HOSTS.format(""), ("1.2.0.192.in-addr.arpa.", "PTR"), "the address is in nowhere (with the Corefile)"),
        (TEMPLATE.format(""), ("www.example.org.", "A"), "template 1, for IN A in example.org., matches"),
        (TEMPLATE.format(""), ("no.example.org.", "A"), "and it has no fallthrough: SERVFAIL"),
        ("acl {\nblock type A\n}", ("www.example.org.", "A"), "block: policy 1 of acl 1, for example.org."),
        ("acl {\nallow net 10.0.0.0/8\nfilter\n}", ("www.example.org.", "A"), "filter: policy 2 of acl 1"),
        (
            "families v4",
            ("www.example.org.", "AAAA"),
            "there is no IPv6 here, as the Corefile says",
        ),
        ("transfer {\nto *\n}", ("example.org.", "AXFR"), "zones are transferred over TCP only"),
    ],
)
def test_what_is_answered_is_explained(text, question, says):
    notes, reply = told(text, *question)
    assert any(says in each for each in texts(notes)), texts(notes)
    assert (reply.plugin == BEHIND) is (says == "passed on")


@pytest.mark.parametrize(
    ("text", "question", "says"),
    [
        ("any", ("www.example.org.", "A"), "passed on: not of type ANY"),
        ("loop", ("www.example.org.", "A"), "passed on: only its own query"),
        ("local", ("www.example.org.", "A"), "passed on: no name of this machine itself"),
        ("nsid", ("www.example.org.", "A"), "passed on: the client doesn't ask"),
        ("minimal", ("www.example.org.", "A"), "takes the authority and additional sections away"),
        ("bufsize 512", ("www.example.org.", "A"), "passed on: without EDNS"),
        ("cancel 1s", ("www.example.org.", "A"), "gives up 1s after"),
        ("header {\nquery set aa\nresponse clear ra\n}", ("a.test.", "A"), "sets aa in the query"),
        ("loadbalance", ("www.example.org.", "A"), "another order for each client"),
        ("dns64", ("www.example.org.", "A"), "passed on: not of type AAAA"),
        ("dns64", ("www.example.org.", "AAAA"), "passed on: the client came over IPv4"),
        ("families v4", ("www.example.org.", "A"), "passed on: only AAAA records are denied"),
        (
            HOSTS.format("fallthrough"),
            ("no.example.org.", "A"),
            "passed on: nowhere (with the",
        ),
        (HOSTS.format(""), ("www.other.test.", "A"), "passed on: the name is not in example.org."),
        (HOSTS.format(""), ("9.2.0.192.in-addr.arpa.", "PTR"), "passed on: the address is not in"),
        (TEMPLATE.format("fallthrough"), ("no.example.org.", "A"), "isn't (fallthrough)"),
        (TEMPLATE.format(""), ("www.other.test.", "A"), "passed on: no template matches"),
        ("acl {\nblock type TXT\n}", ("www.example.org.", "A"), "allow: no policy fits"),
        ("acl {\nallow net 192.0.2.0/24\nblock\n}", ("www.example.org.", "A"), "allow: policy 1 of acl 1"),
        ("transfer {\nto *\n}", ("www.example.org.", "A"), "passed on: no zone transfer"),
        ("rewrite name other.test new.test", ("www.example.org.", "A"), "passed on: no rule is for this query"),
        ("rewrite type A TXT", ("a.example.org.", "A"), "rule 1 changes the type A to TXT, and ends the list"),
        ("rewrite continue ttl a.example.org 5", ("a.example.org.", "A"), "rule 1 applies to the reply"),
        ("cache other.test", ("www.example.org.", "A"), "passed on: not a name, or a kind of query"),
        ("cache", ("www.example.org.", "A"), "miss: nothing is kept"),
    ],
)
def test_what_is_passed_on_is_explained(text, question, says):
    notes, reply = told(text, *question)
    assert any(says in each for each in texts(notes)), texts(notes)
    assert reply.plugin == BEHIND


def test_a_rewritten_name_shows_before_and_after():
    notes, _ = told("rewrite name suffix .old.test .new.test", "www.old.test.")
    assert texts(notes) == ["rule 1 changes the name www.old.test. to www.new.test., and ends the list"]


def test_a_name_that_hosts_denies_has_a_hint():
    notes, reply = told(HOSTS.format(""), "no.example.org.")
    assert reply.rcode == SERVFAIL
    assert "add fallthrough" in notes[0].hint


def test_a_blocked_query_has_a_hint():
    notes, _ = told("acl {\nblock\n}")
    assert notes[0].hint == "acl blocks this query by policy 1 of acl 1, for example.org."


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("client_ip() == '192.0.2.1'", "client_ip() == '192.0.2.1': true"),
        ("type() == 'TXT'", "type() == 'TXT': false"),
        ("incidr('x', '10.0.0.0/8')", "incidr('x', '10.0.0.0/8'): fails, so it counts as false: "),
    ],
)
def test_a_view_tells_the_value_of_its_conditions(condition, says):
    plugin = make(f"view v {{\nexpr {condition}\n}}")
    query = asked(plugin, "www.example.org.")
    (note,) = plugin.explain(query)
    assert note.text.startswith(says)
    assert plugin.admits(query) is note.text.endswith("true")


def test_a_zone_file_tells_its_serial_and_what_it_has(tmp_path):
    path = tmp_path / "db"
    path.write_text(
        "$ORIGIN example.org.\n@ 60 SOA ns admin 7 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n*.w TXT x\nout CNAME a.test.\n"
    )
    plugin = make(f"file {path}")
    asyncio.run(plugin.start())

    def first(name, rtype="A"):
        return list(plugin.explain(asked(plugin, name, rtype)))

    (note,) = first("ns.example.org.")
    assert note.text == "zone example.org. has the name"
    assert [(origin.kind, origin.name, origin.revision) for origin in note.origins] == [
        ("Zone", "example.org.", "serial 7")
    ]
    assert first("ns.example.org.", "TXT")[0].text == "zone example.org. has the name, but no TXT record"
    assert first("no.example.org.")[0].text == "zone example.org. does not have the name, and no fallthrough is for it"
    assert first("a.w.example.org.", "TXT")[0].text == (
        "zone example.org. has the name by the wildcard *.w.example.org."
    )
    assert first("out.example.org.")[1].text == "an alias leads out of the zone, to a.test."
    assert first("www.other.test.")[0].text == "passed on: the name is not in example.org."


def test_a_zone_that_is_not_loaded_has_a_hint(tmp_path):
    plugin = make(f"file {tmp_path / 'db'}")
    (note,) = plugin.explain(asked(plugin, "www.example.org."))
    assert "its log tells why" in note.hint


def test_explaining_changes_nothing():
    for text in (HOSTS.format(""), TEMPLATE.format(""), "acl {\nblock\n}", "rewrite type A TXT", "cache", "erratic"):
        plugin = make(text, setup=FakeSetup())
        query = asked(plugin, "www.example.org.")
        first = texts(plugin.explain(query))
        assert texts(plugin.explain(query)) == first
        assert (query.qtype, query.derived) == (1, False)


@pytest.mark.parametrize("name", [name for name, target in table.DIRECTIVES.items() if target is not None])
def test_every_directive_that_sees_queries_explains_itself(name):
    plugin = table.load(name)
    assert not plugin.in_chain or issubclass(plugin, Explainer)
