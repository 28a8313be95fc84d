# SPDX-License-Identifier: Apache-2.0
import dns.flags
import dns.message
import pytest
from support.directives import FakeSetup, check, make, parse, query
from support.serving import Answering, client, make_engine, wire

from clusterdns.dns.types import FLAG_AA, FLAG_RA, FLAG_RD, REFUSED
from clusterdns.serving.reply import Reply


def answered(options, reply=None, before=(), **options_of_query):
    """The flags of the reply to a client, and those of the query that the rest of the chain saw."""
    seen = []

    def answer(question):
        seen.append(question)
        return reply or Reply.authoritative("behind")

    plugin = make(f"header {{\n{options}\n}}", setup=FakeSetup())
    engine = make_engine({".": [*before, plugin, Answering(answer)]})
    written = dns.message.from_wire(engine.handle(wire(**options_of_query), client()))
    return dns.flags.to_text(written.flags), seen and seen[0].flags


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ("response set ra", "QR AA RD RA"),
        ("response clear aa", "QR RD"),
        ("response clear rd", "QR AA"),
        ("response set ra aa\nresponse clear rd", "QR AA RA"),
        ("response clear aa\nresponse set aa", "QR AA RD"),
        ("response set aa\nresponse clear aa", "QR RD"),
        ("RESPONSE Clear AA RD", "QR"),
    ],
)
def test_replies(options, flags):
    assert answered(options)[0] == flags


def test_rd_can_be_set_in_the_reply_to_a_query_without_it():
    assert answered("response set rd", flags=0)[0] == "QR AA RD"


def test_every_reply_of_the_block_is_changed():
    refusal = Answering(lambda query: Reply(REFUSED, plugin="first"))
    assert answered("response set ra\nresponse clear rd", before=(refusal,))[0] == "QR RA"
    assert answered("response set ra", reply=Reply.failure("x"))[0] == "QR RD RA"


def test_what_is_done_to_a_query_shows_behind_and_not_in_the_reply():
    flags, seen = answered("query set rd aa ra", flags=0)
    assert (flags, seen) == ("QR AA", FLAG_RD | FLAG_AA | FLAG_RA)
    flags, seen = answered("query clear rd")
    assert (flags, seen) == ("QR AA RD", 0)


def test_other_servers_are_asked_with_the_changed_flags():
    asked = []
    plugin = make("header {\nquery set rd\n}", answer=lambda query: asked.append(query.message()) or Reply())
    plugin.handle(query("www.example.org.", flags=0, id=7))
    assert asked == [wire("www.example.org.", flags=dns.flags.RD, id=7)]


def test_a_query_that_needs_no_change_is_not_copied():
    question = query("www.example.org.", flags=0)
    seen = []
    make("header {\nquery clear rd\n}", answer=lambda query: seen.append(query) or Reply()).handle(question)
    assert seen[0] is question


def test_several_add_up():
    options = parse("header {\nquery set rd\n}\nheader {\nresponse set ra\nquery clear rd\n}")
    assert (options.query, options.response) == ((0, FLAG_RD), (FLAG_RA, 0))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("foo", "setting up rule: invalid selector=foo should be query or response"),
        ("set aa", "setting up rule: invalid selector=set should be query or response"),
        ("response", "setting up rule: no flag action provided"),
        ("response set", "setting up rule: invalid length for flags, at least one should be provided"),
        ("response foo", "setting up rule: invalid length for flags, at least one should be provided"),
        ("response nope aa", "setting up rule: unknown flag action=nope, should be set or clear"),
        ("response set aa zz", "setting up rule: unknown/unsupported flag=zz"),
        ("query set tc", "setting up rule: unknown/unsupported flag=tc"),
    ],
)
def test_faults(option, message):
    (error,) = check(f"header {{\n{option}\n}}").errors
    assert (error.coredns_text(), error.line) == (f"plugin/header: {message}", 3)


@pytest.mark.parametrize(("text", "word"), [("header", "header"), ("header {\n}", "}"), ("header x", "x")])
def test_there_is_at_least_one_rule(text, word):
    (error,) = check(text).errors
    assert error.message == f"Wrong argument count or unexpected line ending after '{word}'"
