# SPDX-License-Identifier: Apache-2.0
"""What ``cache`` keeps, for how long, and what clients get of it."""

import asyncio

import dns.flags
import pytest
from support.caching import SOA, Server, Tasks, address, flags, lines, nodata, nxdomain, rcode, reply, ttls
from support.directives import query

from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import FLAG_AA, FLAG_AD, FLAG_RA, FLAG_TC, NOTIMP, REFUSED, SERVFAIL
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.plugins.cache.arrival import FLIGHT_SECONDS
from clusterdns.serving.later import Later
from clusterdns.serving.reply import Reply

ANSWER = ["www.example.org. 300 IN A 192.0.2.1"]


def asked_after(server, seconds):
    """How often the rest of the chain is asked if the same query comes twice, ``seconds`` apart."""
    server.ask()
    server.clock.advance(seconds)
    server.ask()
    return len(server.asked)


# TTLs


def test_a_reply_is_kept_and_ages():
    server = Server()
    assert lines(server.ask()) == ANSWER
    server.clock.advance(100.9)
    assert lines(server.ask()) == ["www.example.org. 200 IN A 192.0.2.1"]
    server.clock.advance(199)
    assert lines(server.ask()) == ["www.example.org. 1 IN A 192.0.2.1"]
    assert len(server.asked) == 1
    server.clock.advance(0.2)
    assert lines(server.ask()) == ANSWER
    assert len(server.asked) == 2


def test_all_records_get_the_smallest_ttl_on_a_miss_and_on_a_hit():
    found = reply(
        "www.example.org. 300 CNAME cdn.example.net.",
        "cdn.example.net. 60 A 192.0.2.1",
        authority=("example.net. 3600 NS ns.example.net.",),
        additional=("ns.example.net. 50 A 192.0.2.53",),
    )
    server = Server(answer=found)
    miss = server.ask()
    server.clock.advance(10)
    hit = server.ask()
    assert (ttls(miss), ttls(hit)) == ({50}, {40})
    for section in ("answer", "authority", "additional"):
        assert [line.replace(" 50 ", " 40 ") for line in lines(miss, section)] == lines(hit, section)


@pytest.mark.parametrize(
    ("options", "ttl", "shown"),
    [
        ("", 0, 5),
        ("", 5, 5),
        ("", 100000, 3600),
        ("30", 100000, 30),
        ("30", 7, 7),
        ("{\n success 9984 100 10\n}", 0, 10),
        ("{\n success 9984 100 10\n}", 3600, 100),
        ("{\n success 9984 100 0\n}", 0, 0),
        ("", 2**32 - 1, 5),
    ],
)
def test_ttls_of_answers_are_put_between_the_bounds(options, ttl, shown):
    answer = reply("www.example.org. 1 A 192.0.2.1")
    answer.set_records(type(answer.records(None))((answer.records(None).answer[0].with_ttl(ttl),)))
    server = Server(options, answer=lambda query: answer)
    assert ttls(server.ask()) == {shown}


@pytest.mark.parametrize("denial", [nodata, nxdomain])
@pytest.mark.parametrize(
    ("options", "ttl", "minimum", "shown"),
    [
        ("", 300, 300, 300),
        ("", 300, 60, 60),
        ("", 60, 300, 60),
        ("", 300, 0, 5),
        ("", 86400, 86400, 1800),
        ("30", 300, 300, 30),
        ("{\n denial 9984 100 10\n}", 1, 1, 10),
    ],
)
def test_denials_are_kept_no_longer_than_the_soa_record_says(denial, options, ttl, minimum, shown):
    server = Server(options, answer=lambda query: denial(ttl, minimum))
    assert ttls(server.ask()) == {shown}
    server.clock.advance(shown - 1)
    assert ttls(server.ask()) == {1}
    server.clock.advance(1)
    assert ttls(server.ask()) == {shown}
    assert len(server.asked) == 2


def test_a_denial_that_is_not_kept_has_the_ttl_of_its_record():
    server = Server("{\n disable denial\n}", answer=lambda query: nxdomain(300, 60))
    assert ttls(server.ask()) == {300}


def test_keepttl_shows_the_first_ttl_until_the_end():
    server = Server("{\n keepttl\n}")
    server.ask()
    server.clock.advance(299)
    assert lines(server.ask()) == ANSWER
    server.clock.advance(1)
    server.ask()
    assert len(server.asked) == 2


# What is kept


def incomplete():
    return reply("www.example.org. 300 CNAME gone.example.net.")


def referral():
    return reply(authority=("example.org. 300 NS ns.example.org.",), flags=0)


def alias_to_nothing():
    return reply("www.example.org. 300 CNAME gone.example.net.", authority=(SOA.format(ttl=300, minimum=60),))


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (address, 300),
        (nodata, 300),
        (nxdomain, 300),
        (reply, 5),
        (referral, 5),
        (alias_to_nothing, 60),
        (lambda: reply(rcode=SERVFAIL), 5),
        (lambda: reply(rcode=NOTIMP), 5),
        (lambda: reply("www.example.org. 300 CNAME a.b.", "a.b. 300 A 192.0.2.1"), 300),
        (lambda: reply("a.b. 300 A 192.0.2.1", "WWW.example.org. 300 CNAME A.b."), 300),
        (lambda: reply(rcode=REFUSED), 0),
        (lambda: reply(rcode=3), 0),
        (lambda: reply("www.example.org. 300 A 192.0.2.1", rcode=3, authority=(SOA.format(ttl=9, minimum=9),)), 0),
        (incomplete, 0),
        (lambda: reply("www.example.org. 300 CNAME www.example.org."), 0),
        (lambda: reply("www.example.org. 9 CNAME a.", "www.example.org. 9 CNAME b.", "a. 9 A 192.0.2.1"), 0),
        (lambda: reply("other.example.org. 300 A 192.0.2.1"), 0),
        (lambda: address(flags=FLAG_AA | FLAG_TC), 0),
        (lambda: Reply.failure("no upstream", plugin="forward"), 0),
        (lambda: Reply(REFUSED), 0),
    ],
)
def test_what_is_kept_and_for_how_long(answer, seconds):
    if seconds:
        assert asked_after(Server(answer=lambda query: answer()), seconds - 1) == 1
    assert asked_after(Server(answer=lambda query: answer()), seconds) == 2


@pytest.mark.parametrize(("option", "seconds"), [("servfail 1s", 1), ("servfail 0", 0), ("servfail 5m", 300)])
def test_how_long_failures_are_kept(option, seconds):
    def failing(query):
        return reply(rcode=SERVFAIL)

    assert asked_after(Server(f"{{\n {option}\n}}", answer=failing), seconds) == 2
    if seconds:
        assert asked_after(Server(f"{{\n {option}\n}}", answer=failing), seconds - 0.5) == 1


@pytest.mark.parametrize("rcode", [SERVFAIL, NOTIMP])
@pytest.mark.parametrize("plugin", ["template", "hosts", "file"])
def test_failures_of_other_directives_than_those_that_ask_servers_are_not_kept(plugin, rcode):
    server = Server(answer=lambda query: reply(rcode=rcode, plugin=plugin, flags=0))
    assert [flags(server.ask()) for _ in range(2)] == ["QR RD", "QR RD"]
    assert len(server.asked) == 2


def test_expired_signatures_are_not_kept_for_those_who_look_at_them():
    expiration, inception = 1_600_000_000, 1_500_000_000
    record = rf"www.example.org. 300 RRSIG \# 20 00010d020000012c{expiration:08x}{inception:08x}000100ff"
    server = Server(answer=lambda query: reply("www.example.org. 300 A 192.0.2.1", record))
    for _ in range(2):
        server.ask(use_edns=0, want_dnssec=True)
    assert len(server.asked) == 2
    for _ in range(2):
        server.ask()
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("option", "answer", "name", "asked"),
    [
        ("disable success", address, "www.example.org.", 2),
        ("disable success example.org", address, "www.example.org.", 2),
        ("disable success a.example.org", address, "www.example.org.", 1),
        ("disable success", nxdomain, "www.example.org.", 1),
        ("disable denial", nxdomain, "www.example.org.", 2),
        ("disable denial", address, "www.example.org.", 1),
        ("disable denial", lambda query: reply(rcode=SERVFAIL), "www.example.org.", 2),
    ],
)
def test_disable(option, answer, name, asked):
    server = Server(f"30 {{\n {option}\n}}", answer=answer)
    for _ in range(2):
        assert ttls(server.ask(name)) <= {30}
    assert len(server.asked) == asked


def test_names_outside_of_the_zones_pass_untouched():
    server = Server("30 a.example.org")
    assert lines(server.ask()) == ANSWER
    assert lines(server.ask()) == ANSWER
    assert len(server.asked) == 2
    assert server.metric("requests_total") is None


@pytest.mark.parametrize("options", [{"rtype": "AXFR"}, {"rtype": "IXFR"}])
def test_transfers_pass_untouched(options):
    server = Server("30")
    assert lines(server.ask(**options)) == ANSWER
    assert len(server.asked) == 1


# What is one query


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"rtype": "AAAA"}),
        ({}, {"name": "a.example.org."}),
        ({}, {"use_edns": 0, "want_dnssec": True}),
        ({}, {"flags": dns.flags.RD | dns.flags.CD}),
        ({}, {"rdclass": "CH"}),
    ],
)
def test_what_is_kept_apart(first, second):
    server = Server()
    server.ask(**first)
    server.ask(**second)
    assert len(server.asked) == 2


@pytest.mark.parametrize("second", [{"name": "WWW.Example.ORG."}, {"flags": 0}, {"use_edns": 0}, {"protocol": "tcp"}])
def test_what_is_the_same(second):
    server = Server()
    server.ask()
    server.ask(**second)
    assert len(server.asked) == 1


def test_records_have_the_letters_of_the_query():
    server = Server(answer=lambda query: reply(f"{names.to_text(query.name)} 300 A 192.0.2.1"))
    for name in ("WwW.eXample.org.", "www.EXAMPLE.org."):
        assert lines(server.ask(name)) == [f"{name} 300 IN A 192.0.2.1"]
    assert len(server.asked) == 1


def test_letters_that_are_not_those_of_the_query_stay():
    server = Server()
    for _ in range(2):
        assert lines(server.ask("WwW.eXample.org.")) == ANSWER


# Flags


def test_a_miss_has_the_flags_of_the_reply_and_a_hit_is_authoritative():
    server = Server(answer=lambda query: address(flags=FLAG_RA))
    assert flags(server.ask()) == "QR RD RA"
    assert flags(server.ask()) == "QR AA RD RA"
    assert flags(server.ask(flags=0)) == "QR AA RA"
    assert flags(server.ask(flags=dns.flags.CD)) == "QR RA CD"


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, False), ({"flags": dns.flags.RD | dns.flags.AD}, True), ({"use_edns": 0, "want_dnssec": True}, True)],
)
def test_authenticated_data_is_told_to_those_who_ask(options, told):
    server = Server(answer=lambda query: address(flags=FLAG_RA | FLAG_AD))
    for _ in range(2):
        assert bool(server.ask(**options).flags & dns.flags.AD) == told


def test_it_is_always_asked_for_and_remembered():
    server = Server(answer=lambda query: address(flags=FLAG_RA | FLAG_AD))
    server.ask()
    (asked,) = server.asked
    assert asked.flags & FLAG_AD
    assert asked.message()[3] & FLAG_AD
    assert server.ask(flags=dns.flags.AD).flags & dns.flags.AD


def test_options_of_the_reply_are_not_for_the_next_client():
    def answer(query):
        found = address()
        found.options = extended_error(22)
        return found

    server = Server(answer=answer)
    assert [server.ask(use_edns=0).options for _ in range(2)] == [(), ()]


# Forms


def test_a_reply_of_ready_octets_is_kept_as_it_is():
    body = b"\xc0\x0c\0\5\0\1\0\0\1\0\0\4\1a\xc0\x10" + b"".join(
        b"\xc0\x2d\0\1\0\1\0\0\0\x80\0\4\xc0\0\2%c" % last for last in (1, 2, 3)
    )

    def answer(query):
        found = Reply.of_compiled("forward", CompiledAnswer(0, counts(4), body, flags=FLAG_RA))
        found.reusable = False
        return found

    server = Server(answer=answer)
    miss, hit = server.ask(), server.ask()
    assert lines(miss) == lines(hit)
    assert set(lines(hit)) == {
        "www.example.org. 128 IN CNAME a.example.org.",
        *(f"a.example.org. 128 IN A 192.0.2.{last}" for last in (1, 2, 3)),
    }
    _, found = server.handle()
    assert (found.compiled.rotating, found.compiled.record_bytes, found.compiled.rotating_start) == (3, 16, 16)


@pytest.mark.parametrize(
    "records",
    [
        ("www.example.org. 9 MX 1 a.", "www.example.org. 9 MX 2 b."),
        ("www.example.org. 9 A 192.0.2.1", "a. 9 A 192.0.2.2"),
        ("www.example.org. 9 A 192.0.2.1", "www.example.org. 9 AAAA ::1"),
        ("www.example.org. 9 A 192.0.2.1", "www.example.org. 9 TXT x", "www.example.org. 9 A 192.0.2.2"),
    ],
)
def test_records_that_others_may_put_into_other_orders_are_records(records):
    server = Server(answer=lambda query: reply(*records))
    for _ in range(2):
        _, found = server.handle(rtype="ANY")
        assert found.compiled is None
        assert len(found.records(None).answer) == len(records)


def test_a_hit_may_be_answered_again_for_a_moment():
    server = Server()
    _, miss = server.handle()
    assert not miss.reusable
    _, hit = server.handle()
    assert (hit.reusable, hit.transient) == (True, True)


def ages_of(server, **options):
    """What knows how the reply to a hit goes on."""
    return server.handle(**options)[1].ages


def test_a_hit_knows_its_ttl_from_second_to_second():
    server = Server(answer=lambda query: address(ttl=10))
    server.ask()
    server.clock.advance(2.25)
    ages = ages_of(server)
    assert ages.seconds == 0.75
    server.clock.advance(0.75)
    assert (ages.show(), ages.seconds) == (7, 1.0)
    server.clock.advance(6.5)
    assert (ages.show(), ages.seconds) == (1, 0.5)
    server.clock.advance(0.5)
    assert ages.show() is None
    assert len(server.asked) == 1


def test_keepttl_holds_while_a_hit_ages():
    server = Server("{\n keepttl\n}", answer=lambda query: address(ttl=10))
    server.ask()
    ages = ages_of(server)
    server.clock.advance(9.5)
    assert (ages.show(), ages.seconds) == (10, 0.5)
    server.clock.advance(0.5)
    assert ages.show() is None


def test_a_hit_ages_no_further_than_its_entry_stays():
    server = Server(answer=lambda query: address(ttl=10))
    server.ask()
    ages = ages_of(server)
    server.clock.advance(10)
    server.ask()
    assert ages.show() is None
    assert ages_of(server).show() == 10


def test_a_hit_that_others_have_changed_does_not_age():
    server = Server()
    server.ask()
    _, hit = server.handle()
    assert hit.ages is hit
    hit.set_records(hit.records(query("www.example.org.")))
    assert hit.ages is None


def test_a_reply_from_an_expired_entry_does_not_age():
    server = Server("{\n serve_stale\n}", services=Tasks(), answer=lambda query: address(ttl=10))

    async def scenario():
        await server.ask_later()
        server.clock.advance(11)
        return server.handle()[1]

    hit = asyncio.run(scenario())
    assert (hit.stale, hit.transient, hit.ages) == (True, True, None)


def test_a_hit_that_is_due_for_a_renewal_is_asked_for_anew():
    server = Server("{\n prefetch 5 1m 50%\n}", services=Tasks(), answer=lambda query: address(ttl=10))

    async def scenario():
        await server.ask_later()
        question, hit = server.handle()
        assert hit.wants_uses
        server.clock.advance(1)
        assert hit.show() == 9
        server.clock.advance(5)
        assert hit.show() == 4
        server.cache.observe_hits(question, hit, 50, 9)
        assert hit.show() is None

    asyncio.run(scenario())


def test_a_large_reply_is_truncated_for_those_who_cannot_take_it():
    records = [f"www.example.org. 60 A 192.0.2.{number}" for number in range(1, 100)]
    server = Server(answer=lambda query: reply(*records))
    assert not server.ask(protocol="tcp").flags & dns.flags.TC
    assert server.ask().flags & dns.flags.TC
    assert len(server.ask(use_edns=0, payload=4096).answer[0]) == 99
    assert len(server.asked) == 1


# Names that come and go by events


class Owner:
    """A plugin with names of its own."""

    relays = False

    def __init__(self):
        self.names = set()

    def owns(self, query):
        return query.key in self.names if query.key.endswith(b"\3org\0") else None


def reusable(query):
    found = Reply.of_compiled("kubernetes", CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\x70\x80\0\4\12\0\0\1"))
    found.reusable = True
    return found


def test_reusable_replies_are_not_kept_but_get_their_ttl():
    server = Server("30", answer=reusable)
    for _ in range(2):
        assert lines(server.ask()) == ["www.example.org. 30 IN A 10.0.0.1"]
    _, found = server.handle()
    assert found.reusable
    assert not found.transient
    assert len(server.asked) == 3
    assert server.metric("misses_total") == 3


def test_the_ttl_of_a_compiled_answer_is_set_once():
    answer = CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\x70\x80\0\4\12\0\0\1", rotating=1, record_bytes=16)
    server = Server("30", answer=lambda query: Reply.of_compiled("kubernetes", answer))
    first, second = server.handle()[1].compiled, server.handle()[1].compiled
    assert first is second
    assert first is not answer
    assert (first.rotating, first.record_bytes, first.flags) == (1, 16, FLAG_AA)
    fitting = Server("28800", answer=lambda query: Reply.of_compiled("kubernetes", CompiledAnswer(0, counts(0), b"")))
    assert fitting.handle()[1].compiled.body == b""


def test_an_answer_with_the_right_ttl_stays_the_same_object():
    answer = CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\12\0\0\1")
    server = Server("30", answer=lambda query: Reply.of_compiled("kubernetes", answer))
    assert [server.handle()[1].compiled for _ in range(2)] == [answer, answer]


def test_replies_of_an_owner_are_never_kept():
    server = Server("30", answer=lambda query: address(plugin="kubernetes"), siblings={"kubernetes": Owner()})
    for _ in range(2):
        assert ttls(server.ask()) == {30}
    assert len(server.asked) == 2


@pytest.mark.parametrize("option", ["", "{\n serve_stale\n}"])
@pytest.mark.parametrize("answer", [address, nxdomain])
def test_what_came_from_elsewhere_goes_when_the_name_gets_an_owner(option, answer):
    owner = Owner()
    server = Server(option, answer=answer, siblings={"kubernetes": owner})
    server.ask()
    server.ask()
    assert len(server.asked) == 1
    owner.names.add(b"\3www\7example\3org\0")
    server.answer = reusable
    assert lines(server.ask()) == ["www.example.org. 3600 IN A 10.0.0.1"]
    owner.names.clear()
    server.answer = answer
    server.ask()
    assert len(server.asked) == 3


# Bounds


def test_the_number_of_entries_is_bounded_and_what_is_used_stays():
    server = Server("{\n success 1024\n}")

    def answer(query):
        return reply(f"{query_name(query)} 300 A 192.0.2.1")

    def query_name(query):
        return query.name[1 : 1 + query.name[0]].decode() + ".example.org."

    server.answer = answer
    server.ask("busy.example.org.")
    for number in range(3000):
        server.ask(f"n{number}.example.org.")
        if number % 100 == 0:
            server.ask("busy.example.org.")
    assert len(server.cache.shelves.success) == 1024
    asked = len(server.asked)
    server.ask("busy.example.org.")
    server.ask("n2999.example.org.")
    assert len(server.asked) == asked
    assert server.metric("evictions_total", "success") == 3001 - 1024
    asyncio.run(server.cache.stop(True))


def test_octets_are_bounded():
    text = " ".join(['"' + "x" * 250 + '"'] * 200)

    def answer(query):
        name = query.name[1 : 1 + query.name[0]].decode()
        return reply(f"{name}.example.org. 300 TXT {text}")

    server = Server("{\n success 1024\n}", answer=answer)
    for number in range(100):
        server.ask(f"n{number}.example.org.", "TXT", protocol="tcp")
    store = server.cache.shelves.success
    assert 30 < len(store) < 50
    assert store.size_bytes <= 2048 * 1024
    for number in range(100):
        store.remove(b"%c" % len(f"n{number}") + f"n{number}".encode() + b"\7example\3org\0\0\x10\0\1\0")
    assert (len(store), store.size_bytes) == (0, 0)


# Metrics


def test_queries_are_counted():
    server = Server()
    for _ in range(3):
        server.ask()
    server.answer = nxdomain
    for _ in range(2):
        server.ask("a.example.org.")
    server.services.metrics.collect()
    assert server.metric("requests_total") == 5
    assert server.metric("misses_total") == 2
    assert server.metric("hits_total", "success") == 2
    assert server.metric("hits_total", "denial") == 1
    assert server.metric("entries", "success") == 1
    assert server.metric("entries", "denial") == 1
    asyncio.run(server.cache.stop(True))
    assert server.metric("entries", "success") is None


def test_what_was_answered_from_memory_is_counted():
    server = Server()
    server.ask()
    question, found = server.handle()
    server.cache.observe_hits(question, found, 50, 10)
    assert server.metric("requests_total") == 12
    assert server.metric("hits_total", "success") == 11
    server.cache.observe_hits(question, Reply(plugin="kubernetes"), 50, 7)
    assert server.metric("requests_total") == 19
    assert server.metric("misses_total") == 8
    outside = Server("30 a.example.org")
    outside.cache.observe_hits(question, Reply(), 50, 7)
    assert outside.metric("requests_total") is None


# Identical queries


class Upstream:
    """Answers when the test says so."""

    def __init__(self):
        self.waiting = []

    def __call__(self, query):
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return self._answer(future)

    async def _answer(self, future):
        return await future


def run(scenario):
    """A scenario with a server whose upstream is slow."""
    upstream = Upstream()
    server = Server(answer=upstream, services=Tasks())
    return asyncio.run(asyncio.wait_for(scenario(server, upstream), 30))


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_identical_queries_are_asked_once():
    async def scenario(server, upstream):
        tasks = [asyncio.ensure_future(server.ask_later(id=number)) for number in range(50)]
        await settle()
        assert len(upstream.waiting) == 1
        upstream.waiting[0].set_result(address())
        replies = await asyncio.gather(*tasks)
        assert [found.id for found in replies] == list(range(50))
        assert all(lines(found) == ANSWER for found in replies)
        assert len(server.cache._asking.flights) == 0

    run(scenario)


def test_replies_that_come_without_a_coroutine_are_kept_and_shared():
    async def scenario(server, upstream):
        later = Later(asyncio.get_running_loop().create_future)
        server.answer = lambda query: later
        results = [server.handle()[1] for _ in range(3)]
        assert [type(result) for result in results] == [Later] * 3
        assert len(server.asked) == 1
        seen = []
        for result in results:
            result.conclude(lambda reply, error: (reply.rcode, len(reply.records(query()).answer), error))
            result.consume(seen.append)
        later.set(address())
        assert seen == [(0, 1, None)] * 3
        assert (len(server.cache._asking.flights), server.cache._asking.flights.followers) == (0, 0)
        assert isinstance(server.handle()[1], Reply)

    run(scenario)


def test_a_fault_without_a_coroutine_is_a_failure_for_those_who_wait():
    async def scenario(server, upstream):
        later = Later(asyncio.get_running_loop().create_future)
        server.answer = lambda query: later
        results = [server.handle()[1] for _ in range(2)]
        later.fail(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await results[0]
        assert (await results[1]).rcode == SERVFAIL
        assert len(server.cache._asking.flights) == 0

    run(scenario)


def test_each_gets_a_reply_of_its_own():
    async def scenario(server, upstream):
        results = [server.handle()[1] for _ in range(2)]
        tasks = [asyncio.ensure_future(result) for result in results]
        await settle()
        upstream.waiting[0].set_result(address(flags=FLAG_RA))
        first, second = await asyncio.gather(*tasks)
        assert first is not second
        first.set_records(type(first.records(query()))())
        first.flags = 0
        assert len(second.records(query()).answer) == 1
        assert second.flags == FLAG_RA

    run(scenario)


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "tcp"},
        {"use_edns": 0, "payload": 4096},
        {"flags": 0},
        {"name": "a.example.org."},
        {"rtype": "HINFO"},
    ],
)
def test_queries_that_would_be_asked_differently_go_on_themselves(other):
    async def scenario(server, upstream):
        tasks = [asyncio.ensure_future(server.ask_later(**options)) for options in ({}, other)]
        await settle()
        assert len(upstream.waiting) == 2
        for future in upstream.waiting:
            future.set_result(address())
        await asyncio.gather(*tasks)

    run(scenario)


def test_probes_of_the_loop_plugin_are_never_held_back():
    async def scenario(server, upstream):
        tasks = [asyncio.ensure_future(server.ask_later(rtype="HINFO")) for _ in range(3)]
        await settle()
        assert len(upstream.waiting) == 3
        for future in upstream.waiting:
            future.set_result(nxdomain())
        await asyncio.gather(*tasks)

    run(scenario)


def test_a_lookup_of_our_own_does_not_wait_for_what_waits_for_it():
    async def scenario(server, upstream):
        def ask(depth):
            question = query()
            question.server = "dns://:53"
            question.depth = depth
            return asyncio.ensure_future(server.cache.handle(question))

        tasks = [ask(0), ask(1), ask(2)]
        await settle()
        assert len(upstream.waiting) == 3
        for future in upstream.waiting:
            future.set_result(address())
        await asyncio.gather(*tasks)

    run(scenario)


def test_a_failure_is_everybodys():
    async def scenario(server, upstream):
        tasks = [asyncio.ensure_future(server.ask_later()) for _ in range(3)]
        await settle()
        upstream.waiting[0].set_result(Reply.failure("no upstream", plugin="forward"))
        assert [rcode(found) for found in await asyncio.gather(*tasks)] == ["SERVFAIL"] * 3
        assert len(upstream.waiting) == 1

    run(scenario)


def test_a_fault_behind_is_a_failure_for_those_who_wait():
    async def scenario(server, upstream):
        leader = asyncio.ensure_future(server.ask_later())
        followers = [asyncio.ensure_future(server.ask_later()) for _ in range(3)]
        await settle()
        upstream.waiting[0].set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await leader
        assert [rcode(found) for found in await asyncio.gather(*followers)] == ["SERVFAIL"] * 3
        assert len(server.cache._asking.flights) == 0

    run(scenario)


def test_if_the_first_client_goes_away_another_asks():
    async def scenario(server, upstream):
        leader = asyncio.ensure_future(server.ask_later())
        followers = [asyncio.ensure_future(server.ask_later()) for _ in range(3)]
        await settle()
        leader.cancel()
        await settle()
        assert len(upstream.waiting) == 2
        upstream.waiting[1].set_result(address())
        assert [lines(found) for found in await asyncio.gather(*followers)] == [ANSWER] * 3

    run(scenario)


def test_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr("clusterdns.plugins.cache.arrival.FLIGHT_SECONDS", 0.05)

    async def scenario(server, upstream):
        leader = asyncio.ensure_future(server.ask_later())
        followers = [asyncio.ensure_future(server.ask_later()) for _ in range(3)]
        assert [rcode(found) for found in await asyncio.gather(*followers)] == ["SERVFAIL"] * 3
        server.clock.advance(FLIGHT_SECONDS + 1)
        late = asyncio.ensure_future(server.ask_later())
        await settle()
        assert len(upstream.waiting) == 2, "who comes late asks again"
        for future in upstream.waiting:
            future.set_result(address())
        assert lines(await late) == lines(await leader) == ANSWER

    run(scenario)


def test_those_who_wait_are_bounded(monkeypatch):
    monkeypatch.setattr("clusterdns.plugins.cache.arrival.MAX_FOLLOWERS", 3)

    async def scenario(server, upstream):
        tasks = [asyncio.ensure_future(server.ask_later()) for _ in range(6)]
        await settle()
        upstream.waiting[0].set_result(address())
        codes = [rcode(found) for found in await asyncio.gather(*tasks)]
        assert codes == ["NOERROR"] * 4 + ["SERVFAIL"] * 2
        assert server.cache._asking.flights.followers == 0

    run(scenario)


def test_a_client_that_stops_waiting_leaves_the_others_alone():
    async def scenario(server, upstream):
        tasks = [asyncio.ensure_future(server.ask_later()) for _ in range(3)]
        await settle()
        tasks[1].cancel()
        await settle()
        upstream.waiting[0].set_result(address())
        assert lines(await tasks[0]) == lines(await tasks[2]) == ANSWER

    run(scenario)
