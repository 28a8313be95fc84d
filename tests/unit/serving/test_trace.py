# SPDX-License-Identifier: Apache-2.0
"""A query that is explained is answered like any other, and tells what happened to it."""

import asyncio

import pytest
from support.serving import Answering, Counting, Passing, client, make_engine, wire

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import NXDOMAIN
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.plugin import Plugin, then
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import MAX_NOTES, Note, Trace, watch

COMPILED = CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4")


class Telling(Plugin):
    """Passes queries on, and says so."""

    name = "telling"
    pure = True
    in_chain = True

    def __init__(self):
        self.explained = 0

    def explain(self, query):
        self.explained += 1
        yield Note("passed on: it always is", hint="look behind it")


class Renaming(Plugin):
    """Asks the next one for another name."""

    name = "renaming"
    pure = True
    in_chain = True

    def __init__(self):
        pass

    def handle(self, query):
        return self.next(query.derive(name=names.from_text("other.test.")))


class Leading(Plugin):
    """Answers with what the server has for another name."""

    name = "leading"
    pure = True
    in_chain = True

    def __init__(self):
        pass

    def handle(self, query):
        return then(query.resolve(query, names.from_text("a.inner."), query.qtype), lambda reply: reply)


def compiled(query):
    return Reply.of_compiled("answering", COMPILED)


def refused_name(query):
    return Reply(NXDOMAIN, plugin="answering")


async def late(query):
    await asyncio.sleep(0)
    return Reply.authoritative("answering", answer=(parse_record("www.example.org. 5 A 1.2.3.4"),))


def traced(engine, name="www.example.org.", **options):
    """The trace of a query, and the octets of its reply."""
    trace = Trace()
    for sharing in engine.router.blocks.values():
        for block in sharing:
            block.watch(watch)
    output = engine.handle(wire(name, id=7), client(**options), trace)
    if output is not None and not isinstance(output, bytes):
        output = asyncio.run(wait(output))
    for sharing in engine.router.blocks.values():
        for block in sharing:
            block.watch(None)
    return trace, output


async def wait(output):
    return await output


def test_every_directive_on_the_way_is_visited_in_order():
    trace, _ = traced(make_engine({".": [Passing(), Telling(), Answering(compiled), Renaming()]}))
    assert [(visit.plugin, visit.passed_on) for visit in trace.visits] == [
        ("passing", True), ("telling", True), ("answering", False),
    ]  # fmt: skip
    assert trace.skipped == ["renaming"]
    assert (trace.question, trace.zone) == ("www.example.org. A", ".")


def test_a_directive_says_what_it_decides_and_is_asked_once():
    telling = Telling()
    trace, _ = traced(make_engine({".": [telling, Answering(compiled)]}))
    assert [note.text for note in trace.visits[0].notes] == ["passed on: it always is"]
    assert telling.explained == 1


def test_a_reply_is_summed_up_where_it_is_given():
    trace, _ = traced(make_engine({".": [Answering(refused_name)]}))
    reply = trace.visits[0].reply
    assert (reply.rcode, reply.records, reply.plugin) == ("NXDOMAIN", (0, 0, 0), "answering")
    assert trace.reply.rcode == "NXDOMAIN"


def test_a_reply_that_comes_later_is_summed_up_too():
    trace, output = traced(make_engine({".": [Telling(), Answering(late)]}))
    assert [visit.reply.records for visit in trace.visits] == [(1, 0, 0), (1, 0, 0)]
    assert output is not None


def test_a_changed_question_shows_where_it_changed():
    trace, _ = traced(make_engine({".": [Renaming(), Answering(compiled)]}))
    assert [visit.question for visit in trace.visits] == ["www.example.org. A", "other.test. A"]


def test_the_end_of_the_chain_is_a_visit():
    trace, _ = traced(make_engine({".": [Telling()]}))
    assert [visit.plugin for visit in trace.visits] == ["telling", ""]
    assert trace.visits[-1].reply.rcode == "SERVFAIL"


def test_a_look_up_of_the_server_itself_has_a_trace_of_its_own():
    engine = make_engine({".": [Leading()], "inner.": [Telling(), Answering(compiled)]})
    trace, _ = traced(engine)
    (inner,) = trace.inner
    assert (inner.question, inner.by, inner.zone) == ("a.inner. A", "leading", "inner.")
    assert [visit.plugin for visit in inner.visits] == ["telling", "answering"]
    assert [visit.plugin for visit in trace.visits] == ["leading"]


def test_a_failing_directive_is_named(faults):
    def fail(query):
        raise ValueError("no way")

    trace, output = traced(make_engine({".": [Telling(), Answering(fail)]}, faults=faults))
    assert [note.text for note in trace.visits[-1].notes] == ["failed: ValueError: no way"]
    assert trace.visits[-1].reply is None
    assert output[3] & 15 == 2


def test_a_query_for_no_block_says_so():
    trace, output = traced(make_engine({"other.": [Answering(compiled)]}))
    assert (trace.place, trace.visits, trace.considered) == ("", [], [])
    assert trace.fast_path_reason == "no server block answers"
    assert output[3] & 15 == 5


@pytest.mark.parametrize("answer", [compiled, refused_name, late])
def test_the_reply_is_that_of_any_other_query(answer):
    plugins = [Passing(), Telling(), Renaming(), Answering(answer)]
    engine = make_engine({".": plugins})
    plain = engine.handle(wire(id=7), client())
    plain = plain if isinstance(plain, bytes) else asyncio.run(wait(plain))
    assert traced(engine)[1] == plain


def test_it_is_nobodys_query_neither_counted_nor_remembered():
    counting = Counting()
    engine = make_engine({".": [counting, Answering(compiled)]})
    for _ in range(5):
        traced(engine)
    assert counting.seen == []
    assert engine.memo("udp", 1).entries == {}


def test_other_queries_are_not_traced_while_one_is():
    answering = Answering(lambda query: Reply(plugin="answering") if query.trace is None else pytest.fail("traced"))
    engine = make_engine({".": [Telling(), answering]})
    (block,) = engine.router.blocks[names.ROOT]
    block.watch(watch)
    assert engine.handle(wire(), client()) is not None
    assert answering.asked == 1


def test_nothing_watches_afterwards():
    engine = make_engine({".": [Telling(), Answering(compiled)]})
    (block,) = engine.router.blocks[names.ROOT]
    before = block.handler
    traced(engine)
    assert block.handler == before


def test_a_normal_query_has_no_trace():
    assert Query(wire(), client()).trace is None


def test_derived_queries_keep_the_trace():
    trace = Trace()
    query = Query(wire(), client())
    query.trace = trace
    query.resolve = lambda query, name, qtype: Reply()
    assert query.derive(qtype=28).derive(name=names.ROOT).trace is trace


def test_notes_are_bounded():
    trace, _ = traced(make_engine({".": [Answering(compiled)]}))
    for number in range(2 * MAX_NOTES):
        trace.note("answering", f"note {number}", number=number)
    assert len(trace.visits[0].notes) == MAX_NOTES
    assert trace.visits[0].notes[3] == Note("note 3", facts={"number": 3})


@pytest.mark.parametrize(
    ("plugins", "fast", "reason"),
    [
        ([Answering(compiled)], True, "until an answer changes"),
        ([Passing(), Answering(compiled)], False, "what passing does depends on more than the octets of the query"),
        ([Answering(refused_name)], False, "this reply of answering is for this query alone"),
        ([Answering(lambda query: Reply.failure("broken"))], False, "a failure isn't remembered"),
    ],
)
def test_the_fast_path_is_taken_or_not_for_a_reason(plugins, fast, reason):
    trace, _ = traced(make_engine({".": plugins}))
    assert trace.fast_path is fast
    assert reason in trace.fast_path_reason


def test_an_observer_that_must_see_every_query_keeps_it_from_the_fast_path():
    class Watching(Plugin):
        name = "watching"

        def __init__(self):
            pass

        def observe(self, query, reply, size_bytes, duration_seconds):
            """Nothing."""

    trace, _ = traced(make_engine({".": [Watching(), Answering(compiled)]}))
    assert (trace.fast_path, trace.fast_path_reason) == (False, "watching must see every query")
