# SPDX-License-Identifier: Apache-2.0
import dns.message
import pytest
from support.directives import check, make, parse, query

from clusterdns.dns.masterfile import parse_record
from clusterdns.serving.finish import finish
from clusterdns.serving.reply import Reply


def asked(text, **options):
    """The query that the rest of the chain sees, and the reply."""
    seen = []

    def answer(question):
        seen.append(question)
        return Reply(plugin="behind")

    reply = make(text, answer=answer).handle(query(**options))
    return seen[0], reply


def test_a_larger_size_is_lowered_for_everybody():
    seen, reply = asked("bufsize 1000", use_edns=0, payload=4096, want_dnssec=True)
    assert (seen.edns.size, seen.edns.do, reply.edns_size) == (1000, True, 1000)


@pytest.mark.parametrize("payload", [512, 1000])
def test_a_smaller_size_stays(payload):
    seen, reply = asked("bufsize 1000", use_edns=0, payload=payload)
    assert (seen.edns.size, reply.edns_size) == (payload, 0)


def test_a_query_without_edns_stays_without():
    seen, reply = asked("bufsize 1000")
    assert (seen.edns, reply.edns_size) == (None, 0)


def test_the_reply_is_bounded_and_says_so():
    records = tuple(parse_record(f"www.example.org. TXT {'x' * 200} {number}") for number in range(4))
    question = query("www.example.org.", "TXT", use_edns=0, payload=4096)
    plugin = make("bufsize 512", answer=lambda query: Reply.authoritative("x", answer=records))
    (message,) = finish(question, plugin.handle(question))
    reply = dns.message.from_wire(message)
    assert len(message) <= 512
    assert (reply.payload, bool(reply.flags & dns.flags.TC)) == (512, True)


def test_options():
    assert [parse(text).size for text in ("bufsize", "bufsize 512", "bufsize +4096")] == [1232, 512, 4096]


def test_of_several_lines_the_first_counts():
    text = "bufsize 512\nbufsize x"
    assert parse(text).size == 512
    (warning,) = check(text).warnings
    assert (warning.line, warning.message) == (3, "this bufsize has no effect: the one of line 2 counts")


@pytest.mark.parametrize("size", ["511", "4097", "100", "x", "-1", "1e3", "²"])
def test_other_sizes_are_refused(size):
    (error,) = check(f"bufsize {size}").errors
    assert error.message == f"Wrong argument count or unexpected line ending after '{size}'"
    assert (error.line, error.column) == (2, 9)


def test_two_sizes_are_refused():
    (error,) = check("bufsize 512 1024").errors
    assert error.message == "Wrong argument count or unexpected line ending after '1024'"
