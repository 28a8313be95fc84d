# SPDX-License-Identifier: Apache-2.0
"""What a query gets, on a store in memory."""

import asyncio

import pytest
from support.directives import FakeSetup, client, finished, make, query
from support.etcd_memory import MemoryStore
from support.serving import make_engine, wire

from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.names import ROOT
from clusterdns.dns.types import FLAG_AA, FLAG_TC, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, SOA
from clusterdns.errors import LifecycleError, UpstreamError
from clusterdns.plugins import etcd
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Trace, watch

KEYS = {"org/example/a/x": {"host": "10.0.0.1"}, "org/example/out": {"host": "www.example.net"}}


def plugin_with(text="etcd", store=None):
    plugin = make(text, answer=lambda query: Reply(plugin="behind"))
    plugin._store = store or MemoryStore(KEYS)
    return plugin


def ask(plugin, name, rtype="A", *, resolve=None, **options):
    async def steps():
        question = query(name, rtype, **options)
        question.resolve = resolve or (lambda query, name, qtype: Reply())
        result = plugin.handle(question)
        reply = result if isinstance(result, Reply) else await result
        return reply, reply.records(question)

    return asyncio.run(steps())


def test_an_answer_is_authoritative_and_never_reused():
    reply, records = ask(plugin_with(), "a.example.org.")
    assert [record_text(record).split("\t")[-1] for record in records.answer] == ["10.0.0.1"]
    assert (reply.rcode, reply.flags, reply.plugin, reply.reusable) == (NOERROR, FLAG_AA, "etcd", False)


@pytest.mark.parametrize(
    ("name", "rtype", "rcode"),
    [("a.example.org.", "AAAA", NOERROR), ("b.example.org.", "A", NXDOMAIN), ("example.org.", "MX", NOERROR)],
)
def test_what_is_not_there_has_the_soa_record_of_the_zone(name, rtype, rcode):
    reply, records = ask(plugin_with(), name, rtype)
    assert (reply.rcode, reply.flags, records.answer) == (rcode, FLAG_AA, ())
    assert [(record.rtype, record.ttl, record.name) for record in records.authority] == [(SOA, 30, b"\7example\3org\0")]


def test_a_zone_exists_though_nothing_is_in_it():
    assert ask(plugin_with(store=MemoryStore({})), "example.org.")[0].rcode == NOERROR
    assert ask(plugin_with(store=MemoryStore({})), "a.example.org.")[0].rcode == NXDOMAIN


@pytest.mark.parametrize(
    ("text", "passed_on"),
    [
        ("fallthrough", ["b.example.org.", "c.d.example.org.", "example.org."]),
        ("fallthrough d.example.org", ["c.d.example.org."]),
    ],
)
def test_names_that_do_not_exist_fall_through(text, passed_on):
    plugin = plugin_with(f"etcd {{\n {text}\n}}", MemoryStore({"org/example/dns/ns": b"null"} if "d." in text else {}))
    asked = ["b.example.org.", "c.d.example.org.", "example.org."]
    assert [name for name in asked if ask(plugin, name)[0].plugin == "behind"] == passed_on


def test_names_without_data_do_not_fall_through():
    plugin = plugin_with("etcd {\n fallthrough\n}")
    assert ask(plugin, "a.example.org.", "AAAA")[0].plugin == "etcd"


def test_what_is_behind_is_not_reused_where_etcd_was_asked():
    plugin = plugin_with("etcd {\n fallthrough\n}")

    def reusable(query):
        reply = Reply(plugin="behind")
        reply.reusable = True
        return reply

    plugin.next = reusable
    assert not ask(plugin, "b.example.org.")[0].reusable
    assert ask(plugin, "example.com.")[0].reusable


def test_other_zones_and_classes_are_for_the_next_directive():
    plugin = plugin_with()
    assert ask(plugin, "example.com.")[0].plugin == "behind"
    assert ask(plugin, "notexample.org.")[0].plugin == "behind"
    assert ask(plugin, "a.example.org.", rdclass="CH")[0].plugin == "behind"
    assert plugin._store.reads.total() == 0


def test_there_is_nothing_to_transfer():
    assert ask(plugin_with(), "example.org.", "AXFR")[0].rcode == REFUSED


def test_the_longest_zone_counts():
    store = MemoryStore({"org/example/sub/dns/apex": {"host": "10.0.0.9"}})
    plugin = plugin_with("etcd example.org sub.example.org", store)
    assert len(ask(plugin, "sub.example.org.")[1].answer) == 1


def test_a_failure_is_told():
    store = MemoryStore(KEYS)
    store.failure = UpstreamError("http://localhost:2379: connection refused")
    reply, records = ask(plugin_with("etcd {\n fallthrough\n}", store), "a.example.org.")
    assert (reply.rcode, reply.flags, reply.error) == (SERVFAIL, 0, "etcd: http://localhost:2379: connection refused")
    assert records == Sections()


def test_no_more_queries_wait_than_may(monkeypatch):
    monkeypatch.setattr(etcd, "MOST_QUERIES", 2)
    gate = asyncio.Event()

    class Waiting(MemoryStore):
        async def get_below(self, prefix):
            await gate.wait()
            return await super().get_below(prefix)

    plugin = plugin_with(store=Waiting(KEYS))

    async def steps():
        waiting = [asyncio.ensure_future(plugin.handle(query("a.example.org."))) for _ in range(2)]
        await asyncio.sleep(0)
        refused = plugin.handle(query("a.example.org."))
        gate.set()
        assert [reply.rcode for reply in await asyncio.gather(*waiting)] == [NOERROR, NOERROR]
        return refused, await plugin.handle(query("a.example.org."))

    refused, later = asyncio.run(steps())
    assert (refused.rcode, refused.error) == (SERVFAIL, "etcd: 2 queries wait for etcd already")
    assert later.rcode == NOERROR


def test_an_alias_is_followed_by_asking_this_server():
    def resolve(query, name, qtype):
        assert (name, qtype) == (b"\3www\7example\3net\0", 1)
        return Reply(
            records=Sections((parse_record("www.example.net. 5 A 192.0.2.1"),)), flags=FLAG_TC, plugin="forward"
        )

    reply, records = ask(plugin_with(), "out.example.org.", resolve=resolve)
    assert [record_text(record).split("\t")[-1] for record in records.answer] == ["www.example.net.", "192.0.2.1"]
    assert reply.flags == FLAG_AA | FLAG_TC


def test_silence_about_a_target_is_a_failure():
    reply, _ = ask(plugin_with(), "out.example.org.", resolve=lambda query, name, qtype: Reply.no_reply("erratic"))
    assert reply.rcode == SERVFAIL


def test_a_stop_waits_for_what_is_under_way():
    gate = asyncio.Event()

    class Waiting(MemoryStore):
        async def get_below(self, prefix):
            await gate.wait()
            return await super().get_below(prefix)

    plugin = plugin_with(store=Waiting(KEYS))

    async def steps():
        asked = asyncio.ensure_future(plugin.handle(query("a.example.org.")))
        await asyncio.sleep(0)
        stopped = asyncio.ensure_future(plugin.stop(False))
        await asyncio.sleep(0.01)
        assert not stopped.done()
        gate.set()
        await stopped
        return await asked

    assert asyncio.run(steps()).rcode == NOERROR


def test_what_was_read_is_explained():
    plugin = plugin_with("etcd {\n endpoint http://etcd:2379\n}")
    engine = make_engine({".": [plugin]})
    for block in engine.router.blocks[ROOT]:
        block.watch(watch)

    def notes(name):
        trace = Trace()
        output = engine.handle(wire(name), client(), trace)
        if not isinstance(output, bytes):
            asyncio.run(output)
        return [note.text for note in trace.visits[0].notes]

    asks = "asks etcd at http://etcd:2379 for keys of this name and what is below it"
    assert notes("a.example.org.") == [asks, "keys below /skydns/org/example/a/: 1"]
    nothing = ["keys below /skydns/org/example/b/: 0", "keys at /skydns/org/example/b: 0"]
    assert notes("b.example.org.") == [asks, *nothing]
    assert notes("example.com.") == ["passed on: the name is not in example.org."]
    assert notes("a/b.example.org.") == ["a label of the name has a slash in it, so no key is for it"]


def test_a_bad_value_is_logged_once(caplog):
    plugin = plugin_with(store=MemoryStore({"org/example/a/x": b"{", "org/example/a/y": {"host": "10.0.0.1"}}))
    for _ in range(3):
        assert len(ask(plugin, "a.example.org.")[1].answer) == 1
    assert [message.partition(":")[0] for message in caplog.messages] == ["/skydns/org/example/a/x is left out"]


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        ("/no/ca", "error reading /no/ca: open /no/ca: no such file or directory"),
        ("/no/c /no/k", "error reading /no/c: open /no/c: no such file or directory"),
    ],
)
def test_tls_files_that_are_not_there_end_the_start(tls, reason):
    plugin = make(f"etcd {{\n endpoint https://a\n tls {tls}\n}}", setup=FakeSetup())
    with pytest.raises(LifecycleError, match=f"plugin/etcd: {reason}"):
        finished(plugin.start())
