# SPDX-License-Identifier: Apache-2.0
"""Entries that are asked for again: ``prefetch`` and ``serve_stale``."""

import asyncio

import pytest
from support.caching import Server, Tasks, address, lines, nodata, nxdomain, rcode, reply, ttls

from clusterdns.dns.types import FLAG_AA, FLAG_TC, NOTIMP, REFUSED, SERVFAIL
from clusterdns.plugins.cache import renewal
from clusterdns.serving.reply import Reply

OLD = "192.0.2.1"
NEW = "192.0.2.2"


def new_address(ttl=300):
    return address(ttl, NEW)


def failure():
    return Reply.failure("no upstream", plugin="forward")


def servfail():
    return reply(rcode=SERVFAIL)


def truncated():
    return address(flags=FLAG_AA | FLAG_TC)


class Slow:
    """Answers when the test says so, or at once with ``ready``."""

    def __init__(self):
        self.ready = None
        self.waiting = []

    def __call__(self, query):
        if self.ready is not None:
            return self.ready()
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return self._answer(future)

    async def _answer(self, future):
        return await future


def run(options, scenario):
    """A scenario with a server that has the old address, which has just expired unless the scenario turns back."""
    upstream = Slow()
    upstream.ready = address
    server = Server(f"{{\n{options}\n}}", answer=upstream, services=Tasks())

    async def prepared():
        await server.ask_later()
        server.clock.advance(300)
        upstream.ready = None
        await scenario(server, upstream)
        for task in server.services.spawned:
            task.cancel()

    asyncio.run(asyncio.wait_for(prepared(), 30))


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def data(found):
    return [line.split()[-1] for line in lines(found)]


# immediate


def test_an_expired_entry_is_the_reply_and_is_renewed():
    async def scenario(server, upstream):
        stale = await server.ask_later(use_edns=0)
        assert (data(stale), ttls(stale)) == ([OLD], {0})
        assert [(option.otype, option.code) for option in stale.options] == [(15, 3)]
        await settle()
        assert data(await server.ask_later()) == [OLD]
        assert len(upstream.waiting) == 1, "one attempt at a time"
        upstream.waiting[0].set_result(new_address())
        await settle()
        fresh = await server.ask_later()
        assert (data(fresh), ttls(fresh)) == ([NEW], {300})
        assert server.metric("served_stale_total") == 2
        assert server.metric("prefetch_total") == 1
        assert server.metric("hits_total", "success") == 3

    run("serve_stale", scenario)


def test_a_denial_that_has_expired_is_used_as_well():
    async def scenario(server, upstream):
        upstream.ready = nxdomain
        await server.ask_later("gone.example.org.")
        server.clock.advance(300)
        upstream.ready = None
        found = await server.ask_later("gone.example.org.", use_edns=0)
        assert (rcode(found), ttls(found)) == ("NXDOMAIN", {0})
        assert [(option.otype, option.code) for option in found.options] == [(15, 19)]

    run("serve_stale", scenario)


@pytest.mark.parametrize(("options", "ttl"), [("serve_stale 1h immediate 30s", 30), ("serve_stale\nkeepttl", 0)])
def test_the_ttl_of_expired_answers(options, ttl):
    async def scenario(server, upstream):
        assert ttls(await server.ask_later()) == {ttl}

    run(options, scenario)


@pytest.mark.parametrize(("seconds", "used"), [(599, True), (600, False)])
def test_how_long_an_expired_entry_is_used(seconds, used):
    async def scenario(server, upstream):
        server.clock.advance(seconds)
        upstream.ready = new_address
        assert data(await server.ask_later()) == [OLD if used else NEW]

    run("serve_stale 10m", scenario)


def test_without_serve_stale_nothing_expired_is_used():
    async def scenario(server, upstream):
        upstream.ready = servfail
        assert rcode(await server.ask_later()) == "SERVFAIL"

    run("keepttl", scenario)


@pytest.mark.parametrize("answer", [failure, servfail, truncated, lambda: reply(rcode=REFUSED)])
def test_a_vain_attempt_leaves_the_entry(answer):
    async def scenario(server, upstream):
        upstream.ready = answer
        for _ in range(3):
            assert data(await server.ask_later()) == [OLD]
            await settle()
        assert server.metric("prefetch_total") == 3

    run("serve_stale", scenario)


@pytest.mark.parametrize("answer", [nxdomain, nodata])
def test_a_denial_takes_the_place_of_an_expired_answer(answer):
    async def scenario(server, upstream):
        upstream.ready = answer
        assert data(await server.ask_later()) == [OLD]
        await settle()
        assert data(await server.ask_later()) == []
        server.clock.advance(300)
        assert data(await server.ask_later()) == [], "the old answer is gone for good"

    run("serve_stale", scenario)


def test_after_a_vain_attempt_there_is_a_pause():
    async def scenario(server, upstream):
        upstream.ready = servfail
        attempts = []
        for _ in range(7):
            assert data(await server.ask_later()) == [OLD]
            await settle()
            attempts.append(server.metric("prefetch_total"))
            server.clock.advance(10)
        assert attempts == [1, 1, 1, 2, 2, 2, 3]

    run("serve_stale 1h immediate 30s 30s", scenario)


def test_a_truncated_reply_is_asked_for_again_over_tcp():
    async def scenario(server, upstream):
        server.answer = lambda query: truncated() if query.client.protocol == "udp" else new_address()
        await server.ask_later()
        await settle()
        assert data(await server.ask_later()) == [NEW]

    run("serve_stale", scenario)


def test_an_expired_answer_may_be_given_again_for_a_moment_in_the_pause_and_is_counted():
    async def scenario(server, upstream):
        _, found = server.handle()
        assert not found.reusable, "a newer one is under way"
        await settle()
        upstream.waiting[0].set_result(servfail())
        await settle()
        question, found = server.handle()
        assert (found.reusable, found.transient) == (True, True)
        server.cache.observe_hits(question, found, 50, 9)
        assert server.metric("served_stale_total") == 11

    run("serve_stale 1h immediate 0s 30s", scenario)


def test_attempts_are_bounded_and_end_with_the_plugin(monkeypatch):
    monkeypatch.setattr(renewal, "MAX_RENEWALS", 2)

    async def scenario(server, upstream):
        upstream.ready = nxdomain
        for name in "abc":
            await server.ask_later(f"{name}.example.org.")
        server.clock.advance(300)
        upstream.ready = None
        for name in "abc":
            assert rcode(await server.ask_later(f"{name}.example.org.")) == "NXDOMAIN"
        await settle()
        assert len(upstream.waiting) == server.metric("prefetch_total") == 2
        await server.cache.stop(True)
        assert len(server.services.spawned) == 2
        assert all(task.done() for task in server.services.spawned)

    run("serve_stale", scenario)


# verify


def test_verify_asks_first():
    async def scenario(server, upstream):
        upstream.ready = new_address
        found = await server.ask_later()
        assert (data(found), ttls(found)) == ([NEW], {300})
        assert server.metric("served_stale_total") == 0

    run("serve_stale 1h verify", scenario)


def test_verify_waits_as_long_as_it_takes():
    async def scenario(server, upstream):
        task = asyncio.ensure_future(server.ask_later())
        other = asyncio.ensure_future(server.ask_later())
        await settle()
        assert len(upstream.waiting) == 1
        assert not task.done()
        upstream.waiting[0].set_result(new_address())
        assert data(await task) == data(await other) == [NEW]

    run("serve_stale 1h verify", scenario)


@pytest.mark.parametrize("mode", ["verify", "verify 10s", "verify 0 30s 10s"])
@pytest.mark.parametrize("answer", [failure, servfail, truncated, lambda: reply(rcode=NOTIMP)])
def test_where_nothing_newer_is_to_be_had_the_expired_entry_is_the_reply(mode, answer):
    async def scenario(server, upstream):
        task = asyncio.ensure_future(server.ask_later())
        await settle()
        upstream.ready = answer
        upstream.waiting[0].set_result(answer())
        found = await task
        assert (data(found), ttls(found)) == ([OLD], {30 if "30s" in mode else 0})
        assert server.metric("served_stale_total") == 1
        _, result = server.handle()
        assert not (result if isinstance(result, Reply) else await result).reusable

    run(f"serve_stale 1h {mode}", scenario)


def test_verify_gives_up_in_time_and_the_attempt_goes_on():
    async def scenario(server, upstream):
        for _ in range(2):
            assert data(await server.ask_later()) == [OLD]
        assert len(upstream.waiting) == 1
        upstream.waiting[0].set_result(new_address())
        await settle()
        assert data(await server.ask_later()) == [NEW]

    run("serve_stale 1h verify 20ms", scenario)


def test_verify_with_a_limit_uses_what_comes_in_time():
    async def scenario(server, upstream):
        task = asyncio.ensure_future(server.ask_later())
        await settle()
        upstream.waiting[0].set_result(nxdomain())
        assert rcode(await task) == "NXDOMAIN"

    run("serve_stale 1h verify 10s", scenario)


def test_while_an_attempt_is_under_way_and_in_the_pause_nobody_waits():
    async def scenario(server, upstream):
        first = asyncio.ensure_future(server.ask_later())
        await settle()
        assert data(await server.ask_later()) == [OLD]
        upstream.waiting[0].set_result(servfail())
        assert data(await first) == [OLD]
        assert data(await server.ask_later()) == [OLD]
        assert len(upstream.waiting) == 1
        server.clock.advance(10)
        upstream.ready = new_address
        assert data(await server.ask_later()) == [NEW]

    run("serve_stale 1h verify 0 30s 10s", scenario)


def test_a_plugin_that_ends_lets_nobody_wait():
    async def scenario(server, upstream):
        task = asyncio.ensure_future(server.ask_later())
        await settle()
        await server.cache.stop(True)
        assert data(await task) == [OLD]

    run("serve_stale 1h verify 10s", scenario)


# serve_stale_policy


@pytest.mark.parametrize("mode", ["", "1h verify"])
@pytest.mark.parametrize("answer", [nxdomain, nodata, servfail, lambda: reply(), lambda: reply(rcode=NOTIMP)])
def test_a_good_answer_outlives_what_is_none(mode, answer):
    async def scenario(server, upstream):
        upstream.ready = answer
        for _ in range(3):
            assert data(await server.ask_later()) == [OLD]
            await settle()
            server.clock.advance(100)
        server.clock.advance(3600)
        found = await server.ask_later()
        assert data(found) == [], "but not for ever"
        upstream.ready = new_address
        server.clock.advance(301)
        for _ in range(2):
            found = await server.ask_later()
            await settle()
        assert data(await server.ask_later()) == [NEW]

    run(f"serve_stale {mode}\nserve_stale_policy prefer_positive", scenario)


def test_a_better_answer_replaces_a_good_one():
    async def scenario(server, upstream):
        upstream.ready = new_address
        await server.ask_later()
        await settle()
        assert data(await server.ask_later()) == [NEW]

    run("serve_stale\nserve_stale_policy prefer_positive", scenario)


# Failures beside answers


def test_a_failure_that_is_kept_does_not_hide_an_expired_answer():
    async def scenario(server, upstream):
        server.clock.advance(-300)
        entry = server.cache.shelves.success.get(b"\3www\7example\3org\0\0\1\0\1\0")
        upstream.ready = servfail
        server.cache.shelves.success.remove(b"\3www\7example\3org\0\0\1\0\1\0")
        assert rcode(await server.ask_later()) == "SERVFAIL"
        server.cache.shelves.success.put(b"\3www\7example\3org\0\0\1\0\1\0", entry)
        assert data(await server.ask_later()) == [OLD]

    run("serve_stale", scenario)


# prefetch


def test_a_busy_entry_is_renewed_before_it_expires():
    async def scenario(server, upstream):
        server.clock.advance(-300)
        upstream.ready = new_address
        for _ in range(5):
            assert data(await server.ask_later()) == [OLD]
        server.clock.advance(269)
        await server.ask_later()
        await settle()
        assert server.metric("prefetch_total") == 0
        server.clock.advance(1)
        assert ttls(await server.ask_later()) == {30}
        await settle()
        found = await server.ask_later()
        assert (data(found), ttls(found)) == ([NEW], {300})
        assert server.metric("prefetch_total") == 1
        entry = server.cache.shelves.success.get(b"\3www\7example\3org\0\0\1\0\1\0")
        assert entry.hits == 8, "the count goes on"

    run("prefetch 3 300s", scenario)


@pytest.mark.parametrize(
    ("hits", "pause", "prefetched"), [(2, 1, 0), (3, 1, 1), (3, 11, 0)], ids=["too few", "enough", "too slow"]
)
def test_what_is_busy(hits, pause, prefetched):
    async def scenario(server, upstream):
        server.clock.advance(-30 - (hits - 1) * pause)
        for number in range(hits):
            server.clock.advance(pause if number else 0)
            await server.ask_later()
        await settle()
        assert server.metric("prefetch_total") == prefetched

    run("prefetch 3 10s 10%", scenario)


def test_what_was_answered_from_memory_makes_an_entry_busy():
    async def scenario(server, upstream):
        server.clock.advance(-20)
        question, found = server.handle()
        server.cache.observe_hits(question, found, 50, 100)
        assert server.metric("prefetch_total") == 0
        await server.ask_later()
        await settle()
        assert server.metric("prefetch_total") == 1

    run("prefetch 50 10s", scenario)


@pytest.mark.parametrize("answer", [failure, servfail, truncated])
def test_a_vain_prefetch_leaves_the_entry_and_is_tried_again(answer):
    async def scenario(server, upstream):
        server.clock.advance(-20)
        upstream.ready = answer
        for number in range(1, 4):
            assert data(await server.ask_later()) == [OLD]
            await settle()
            assert server.metric("prefetch_total") == number

    run("prefetch 1", scenario)
