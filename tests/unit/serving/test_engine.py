# SPDX-License-Identifier: Apache-2.0
"""The engine: dispatch, recovery, what is remembered, what is counted."""

import asyncio
from time import perf_counter

import dns.flags
import dns.message
import dns.rcode
import pytest
from support.serving import Answering, Counting, Passing, Plugin, client, wire

from clusterdns.dns import names, types
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.fastpath.memo import UNTIL
from clusterdns.serving.engine import MAX_LOOKUP_DEPTH
from clusterdns.serving.later import Later
from clusterdns.serving.plugin import after
from clusterdns.serving.reply import Reply

ONE_A = CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\12\0\0\1", rotating=1, record_bytes=16)


def compiled(query):
    return Reply.of_compiled("answering", ONE_A)


def ask(engine, packet, **where):
    output = engine.handle(packet, client(**where))
    if output is not None and not isinstance(output, bytes):
        output = asyncio.run(output)
    return None if output is None else dns.message.from_wire(output)


def test_compiled_answer_keeps_id_case_and_flags(make_engine):
    engine = make_engine({".": [Answering(compiled)]})
    packet = wire("WwW.Example.ORG.", id=0xBEEF)
    reply = ask(engine, packet)
    assert reply.id == 0xBEEF
    assert reply.answer[0].to_text() == "WwW.Example.ORG. 5 IN A 10.0.0.1"
    assert dns.flags.to_text(reply.flags) == "QR AA RD"


def test_longest_zone_answers_and_ds_at_the_cut_goes_to_the_parent(make_engine):
    parent, child = Answering(compiled), Answering(compiled)
    engine = make_engine({"example.org.": [parent], "sub.example.org.": [child]})
    ask(engine, wire("a.sub.example.org."))
    ask(engine, wire("sub.example.org."))
    assert (parent.asked, child.asked) == (0, 2)
    ask(engine, wire("sub.example.org.", "DS"))
    ask(engine, wire("a.sub.example.org.", "DS"))
    assert (parent.asked, child.asked) == (1, 3)


def test_name_in_no_zone_and_class_other_than_in_are_refused_and_counted(make_engine, faults):
    engine = make_engine({"example.org.": [Answering(compiled)]})
    assert ask(engine, wire("example.net.")).rcode() == dns.rcode.REFUSED
    assert ask(engine, wire("example.org.", rdclass="CH")).rcode() == dns.rcode.REFUSED
    assert faults.refused == [("example.net.", 5), ("example.org.", 5)]


def test_other_classes_are_answered_where_a_block_of_the_listener_can(make_engine, faults):
    asked = []

    def answer(query):
        asked.append(query.qclass)
        return Reply(plugin="answering")

    engine = make_engine({"example.org.": [Answering(answer)]}, any_class=True)
    assert ask(engine, wire("example.org.", rdclass="CH")).rcode() == dns.rcode.NOERROR
    assert ask(engine, wire("example.net.", rdclass="CH")).rcode() == dns.rcode.REFUSED
    assert (asked, faults.refused) == ([types.CH], [("example.net.", 5)])


def test_block_without_plugins_refuses(make_engine):
    assert ask(make_engine({".": []}), wire()).rcode() == dns.rcode.REFUSED


def test_block_with_observers_alone_comes_to_the_end_of_the_chain(make_engine):
    watching = Counting()
    errors = []
    watching.observe = lambda query, reply, size, duration: errors.append(reply.error)
    assert ask(make_engine({".": [watching]}), wire()).rcode() == dns.rcode.SERVFAIL
    assert errors == ["plugin/counting: no next plugin found"]


def test_truncation_shows_in_the_flags_that_observers_see(make_engine):
    watching = Counting()
    flags = []
    watching.observe = lambda query, reply, size, duration: flags.append(dns.flags.to_text(reply.flags))

    def large(query):
        return Reply.authoritative(
            "x", 0, tuple(Record(query.name, types.A, 5, bytes([10, 0, 0, i])) for i in range(99))
        )

    ask(make_engine({".": [watching, Answering(large)]}), wire())
    assert flags == ["AA TC"]


@pytest.mark.parametrize("zones", [{".": [Answering(compiled)]}, {}], ids=["served", "unserved"])
def test_unknown_edns_version_gets_badvers(make_engine, zones):
    reply = ask(make_engine(zones), wire(use_edns=1))
    assert (reply.rcode(), reply.edns, reply.payload) == (dns.rcode.BADVERS, 0, 0)


def test_end_of_the_chain_is_a_servfail_that_names_the_last_plugin(make_engine):
    watching = Counting()
    seen = []
    watching.observe = lambda query, reply, size, duration: seen.append(reply.error)
    engine = make_engine({".": [watching, Passing()]})
    reply = ask(engine, wire())
    assert (reply.rcode(), dns.flags.to_text(reply.flags)) == (dns.rcode.SERVFAIL, "QR RD")
    assert seen == ["plugin/passing: no next plugin found"]


@pytest.mark.parametrize("late", [False, True])
def test_a_plugins_fault_is_a_servfail_and_counted(make_engine, faults, late):
    def fail(query):
        async def later():
            raise ZeroDivisionError("x")

        if late:
            return later()
        raise ZeroDivisionError("x")

    assert ask(make_engine({".": [Answering(fail)]}), wire()).rcode() == dns.rcode.SERVFAIL
    assert faults.panics == 1


@pytest.mark.parametrize("stacktrace", [False, True])
def test_a_fault_is_logged_with_its_traceback_where_that_is_asked_for(make_engine, caplog, stacktrace):
    engine = make_engine({".": [Answering(lambda query: 1 / 0)]})
    engine.router.blocks[names.ROOT][0].stacktrace = stacktrace
    ask(engine, wire())
    (record,) = caplog.records
    assert record.getMessage() == 'Recovered from panic in server: "dns://:53" ZeroDivisionError: division by zero'
    assert bool(record.exc_info) == stacktrace


def test_an_observers_fault_costs_no_reply(make_engine, faults):
    watching = Counting()
    watching.observe = lambda *arguments: 1 / 0
    assert ask(make_engine({".": [watching, Answering(compiled)]}), wire()).rcode() == 0
    assert faults.panics == 1


def test_dropped_reply_is_silence(make_engine):
    assert ask(make_engine({".": [Answering(lambda query: Reply.no_reply("x"))]}), wire()) is None


def test_reusable_reply_is_remembered_until_something_is_published(make_engine):
    engine = make_engine({".": [Answering(compiled)]})
    packet = wire()
    first = engine.handle(packet, client())
    assert packet[2:] not in engine.memo("udp", 1).entries, "what comes once only is not worth an entry"
    assert engine.handle(packet, client()) == first
    entry = engine.memo("udp", 1).entries[packet[2:]]
    assert packet[:2] + entry[2][0] == first
    assert packet[2:] not in engine.memo("udp", 2).entries
    assert packet[2:] not in engine.memo("tcp", 1).entries
    engine.published()
    assert packet[2:] not in engine.memo("udp", 1).entries


def test_transient_reply_is_remembered_for_a_second(make_engine):
    def ageing(query):
        reply = compiled(query)
        reply.transient = True
        return reply

    engine = make_engine({".": [Answering(ageing)]})
    packet = wire()
    ask(engine, packet)
    before = perf_counter()
    ask(engine, packet)
    memo = engine.memo("udp", 1)
    assert before < memo.entries[packet[2:]][UNTIL] - 1.0 < perf_counter()
    assert memo.revive(packet[2:], before + 0.9)
    assert memo.revive(packet[2:], perf_counter() + 1.0) is None


def records_reply(query):
    return Reply.authoritative("answering", 0, (Record(query.name, types.A, 5, b"\x0a\0\0\1"),))


@pytest.mark.parametrize(
    "plugins", [[Passing(), Answering(compiled)], [Answering(records_reply)]], ids=["impure", "records"]
)
def test_what_depends_on_more_than_the_query_is_not_remembered(make_engine, plugins):
    engine = make_engine({".": plugins})
    packet = wire()
    ask(engine, packet)
    ask(engine, packet)
    assert not engine.memo("udp", 1).entries


def test_an_observer_of_single_queries_prevents_remembering(make_engine):
    class Logging(Plugin):
        name = "logging"

        def __init__(self):
            pass

        def observe(self, query, reply, size_bytes, duration_seconds):
            pass

    engine = make_engine({".": [Logging(), Answering(compiled)]})
    packet = wire()
    ask(engine, packet)
    ask(engine, packet)
    assert not engine.memo("udp", 1).entries


def rotating(query):
    bodies = tuple(b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\12\0\0%c" % last for last in range(5))
    reply = Reply.of_compiled("answering", CompiledAnswer(0, counts(1), bodies[0]))
    reply.variants = bodies
    return reply


@pytest.mark.parametrize("plugins", [[], [Passing()]], ids=["once", "impure"])
def test_replies_that_are_not_remembered_come_in_every_order(make_engine, plugins):
    engine = make_engine({".": [*plugins, Answering(rotating)]})
    firsts = {ask(engine, wire(f"n{number}.", id=1)).answer[0][0].address for number in range(200)}
    assert len(firsts) == 5


def test_every_reused_reply_is_counted_with_its_size_and_duration(make_engine):
    watching = Counting()
    engine = make_engine({".": [watching, Answering(compiled)]})
    packet = wire()
    engine.handle(packet, client())
    size = len(engine.handle(packet, client()))
    engine.memo("udp", 1).entries[packet[2:]][0] += 7
    engine.count_batch(4, 0.0001)
    engine.count_batch(3, 0.001)
    engine.flush()
    engine.flush()
    assert watching.hits == {("www.example.org.", size): 7}
    assert sum(count for _, count in watching.durations) == 7
    assert sum(seconds * count for seconds, count in watching.durations) == pytest.approx(0.0034)


def test_blocks_share_the_durations_of_a_listener(make_engine):
    first, second = Counting(), Counting()
    engine = make_engine({"a.": [first, Answering(compiled)], "b.": [second, Answering(compiled)]})
    for name, hits in (("x.a.", 1), ("x.b.", 9)):
        packet = wire(name)
        engine.handle(packet, client())
        engine.handle(packet, client())
        engine.memo("udp", 1).entries[packet[2:]][0] += hits
    engine.count_batch(10, 0.0001)
    engine.flush()
    assert [sum(count for _, count in block.durations) for block in (first, second)] == [1, 9]


def test_a_reply_made_before_something_was_published_is_not_remembered_after_it(make_engine):
    async def scenario():
        gate = asyncio.Event()

        async def late(query):
            await gate.wait()
            return compiled(query)

        engine = make_engine({".": [Answering(late)]})
        packet = wire()
        for _ in range(2):  # what comes once is not remembered anyway
            pending = asyncio.ensure_future(engine.handle(packet, client()))
            await asyncio.sleep(0)
            engine.published()
            gate.set()
            await pending
            gate.clear()
        assert not engine.memo("udp", 1).entries
        gate.set()
        for _ in range(2):
            await engine.handle(packet, client())
        assert engine.memo("udp", 1).entries

    asyncio.run(scenario())


def test_internal_look_ups_that_lead_to_one_another_end(make_engine):
    engine = make_engine({".": [Answering(lambda query: query.resolve(query, query.name, query.qtype))]})
    plugin = engine.router.blocks[names.ROOT][0].plugins[0]
    assert ask(engine, wire()).rcode() == dns.rcode.SERVFAIL
    assert plugin.asked == MAX_LOOKUP_DEPTH + 1


def test_messages_that_are_no_queries(make_engine):
    engine = make_engine({".": [Answering(compiled)]})
    assert engine.handle(b"\x12\x34\x81\x00" + bytes(8), client()) is None
    status = wire(id=0x1234)
    status = status[:2] + b"\x11\x00" + status[4:]
    assert engine.handle(status, client()) == b"\x12\x34\x91\x04" + bytes(8)
    broken = wire(id=0x1234)[:-1]
    assert engine.handle(broken, client()) == b"\x12\x34\x81\x01" + bytes(8)


def test_a_reply_that_comes_later_is_written_when_it_is_there(make_engine):
    later = Later(lambda: pytest.fail("nobody awaits"))
    seen = []
    make_engine({"example.org.": [Answering(lambda query: later)]}).handle(wire(), client()).consume(seen.append)
    assert seen == []
    later.set(Reply(5))
    assert dns.message.from_wire(seen[0]).rcode() == 5


def test_a_fault_in_what_is_done_to_a_later_reply_is_servfail(make_engine, faults):
    later = Later(lambda: pytest.fail("nobody awaits"))
    broken = Answering(lambda query: after(later, lambda reply: reply.nothing))
    seen = []
    make_engine({"example.org.": [broken]}).handle(wire(), client()).consume(seen.append)
    later.set(Reply())
    assert dns.message.from_wire(seen[0]).rcode() == 2
    assert faults.panics == 1
