# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest
from support.directives import FakeSetup, check, finished, make, query

from clusterdns.dns import names
from clusterdns.plugins import loop
from clusterdns.serving.query import Client, Query
from clusterdns.serving.reply import Reply


def reusable(query):
    reply = Reply(plugin="behind")
    reply.reusable = True
    return reply


def probing(plugin, answers, monkeypatch, pauses=None):
    """Run the probe; ``answers`` are what each attempt gets."""
    attempts = []

    async def ask(message, host, port):
        attempts.append((message, host, port))
        return answers(message, len(attempts))

    async def sleep(seconds):
        if pauses is not None:
            pauses.append(seconds)

    monkeypatch.setattr(loop, "ask", ask)
    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def work():
        await plugin.start()
        await plugin.services.spawned[0][0]

    finished(work())
    return attempts


def own(message, address="127.0.0.1"):
    return Query(message, Client("udp", address, 48544, "127.0.0.1", 53))


def test_it_asks_its_first_address_for_a_random_hinfo_in_its_first_zone(monkeypatch):
    plugin = make("loop", setup=FakeSetup(zones=("a.test.", "b.test."), listen=(("127.0.0.7", 5353), ("", 53))))
    ((message, host, port),) = probing(plugin, lambda *_: True, monkeypatch)
    question = own(message)
    assert (host, port) == ("127.0.0.7", 5353)
    assert question.qtype == 13
    assert names.is_in(question.key, names.from_text("a.test."))
    assert len(names.labels(question.key)) == 4


def test_an_answer_ends_it_without_a_finding(monkeypatch):
    plugin = make("loop", answer=reusable)
    attempts = probing(plugin, lambda message, _: plugin.handle(own(message)) is not None, monkeypatch)
    assert plugin.services.fatalities == []
    for _ in range(5):
        assert plugin.handle(own(attempts[0][0])).reusable


def test_a_query_that_is_seen_more_than_twice_is_fatal(monkeypatch):
    plugin = make("loop", setup=FakeSetup(zones=(".",)), answer=reusable)
    seen = []

    def answers(message, _):
        seen.append(message)
        replies = [plugin.handle(own(message)) for _ in range(5)]
        assert not replies[0].reusable
        return True

    probing(plugin, answers, monkeypatch)
    name = names.to_text(own(seen[0]).key)
    assert plugin.services.fatalities == [
        'plugin/loop: Loop (127.0.0.1:48544 -> :53) detected for zone ".", '
        f'see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO {name}"'
    ]


def test_each_attempt_counts_for_itself(monkeypatch):
    plugin = make("loop", answer=reusable)
    pauses = []

    def answers(message, attempt):
        plugin.handle(own(message))
        plugin.handle(own(message))
        return attempt == 3

    assert len(probing(plugin, answers, monkeypatch, pauses)) == 3
    assert pauses == [1, 1]
    assert plugin.services.fatalities == []


def test_other_queries_do_not_count(monkeypatch):
    plugin = make("loop", answer=reusable)

    def answers(message, _):
        for rtype in ("A", "HINFO"):
            for _ in range(5):
                assert plugin.handle(query("123.456.example.org.", rtype)).reusable
        return True

    probing(plugin, answers, monkeypatch)
    assert plugin.services.fatalities == []


def test_it_ends_with_its_block():
    plugin = make("loop")
    finished(plugin.start())
    finished(plugin.stop(False))
    assert plugin.services.spawned[0][1].released


def test_a_long_zone_does_not_make_a_name_that_is_too_long():
    zone = names.from_text(".".join(["a" * 60] * 4))
    assert len(loop.probe_name(zone)) <= 255


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("loop x", "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'"),
        ("loop\nloop", "this plugin can only be used once per Server Block"),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/loop: {says}"]
