# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import check, make, query

from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import NXDOMAIN, REFUSED
from clusterdns.dns.wire import Writer
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.reply import Reply

SOA = parse_record("example.org. SOA ns. admin. 1 2 3 4 5")
NS = parse_record("example.org. NS ns.example.org.")
SRV = parse_record("www.example.org. SRV 0 0 80 a.example.org.")
A = parse_record("a.example.org. A 1.2.3.4")


def minimized(reply):
    question = query("www.example.org.", "SRV")
    got = make("minimal", answer=lambda query: reply).handle(question)
    assert got is reply
    records = got.records(question)
    return records.answer, records.authority, records.additional


def test_an_answer_loses_what_is_around_it():
    assert minimized(Reply.authoritative("x", answer=(SRV,), authority=(NS,), additional=(A,))) == ((SRV,), (), ())


def test_an_empty_reply_does_too():
    assert minimized(Reply.authoritative("x", additional=(A,))) == ((), (), ())


@pytest.mark.parametrize(
    "reply",
    [
        Reply.authoritative("x", authority=(SOA,), additional=(A,)),
        Reply.authoritative("x", NXDOMAIN, authority=(SOA,)),
        Reply.authoritative("x", authority=(NS,), additional=(A,)),
        Reply.authoritative("x", REFUSED, additional=(A,)),
    ],
    ids=["nodata", "nxdomain", "delegation", "refused"],
)
def test_denials_delegations_and_errors_stay(reply):
    question = query("www.example.org.", "SRV")
    before = reply.records(question)
    assert minimized(reply) == (before.answer, before.authority, before.additional)


def compile_reply(answer, authority=(), additional=()):
    question = query("www.example.org.", "SRV")
    writer = Writer(question.packet, question.name)
    for record in (*answer, *authority, *additional):
        writer.write_record(record)
    body = bytes(writer.buffer[question.question_end :])
    return CompiledAnswer(0, counts(len(answer), len(authority), len(additional)), body)


def test_compiled_answers_are_cut_and_stay_compiled():
    reply = Reply.of_compiled("x", compile_reply((SRV, SRV), (NS,), (A,)))
    assert minimized(reply) == ((SRV, SRV), (), ())
    assert reply.reusable
    assert reply.compiled.counts == counts(2)


def test_compiled_answers_with_nothing_to_cut_stay():
    answer = compile_reply((SRV,))
    reply = Reply.of_compiled("x", answer)
    minimized(reply)
    assert reply.compiled is answer


def test_compiled_denials_stay():
    answer = compile_reply((), (SOA,))
    reply = Reply.of_compiled("x", answer)
    assert minimized(reply) == ((), (SOA,), ())
    assert reply.compiled is answer


def test_it_has_no_arguments():
    (error,) = check("minimal x").errors
    assert error.coredns_text() == (
        "plugin/minimal: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'"
    )
