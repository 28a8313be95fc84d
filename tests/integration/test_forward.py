# SPDX-License-Identifier: Apache-2.0
"""``forward`` over real sockets, with upstreams on loopback that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import time
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
import uvloop
from support.directives import FakeServices, FakeSetup, metric, parse
from support.ports import free_port
from support.serving import client as client_of
from support.upstream import Faults, Upstream, address_text

from clusterdns.errors import LifecycleError
from clusterdns.plugins.forward import Forward
from clusterdns.serving.finish import finish
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.upstream.shared import upstreams_of


class Server:
    """A started ``forward``."""

    def __init__(self, text: str, services: FakeServices | None = None) -> None:
        self.services = services or FakeServices()
        self.plugin = Forward(parse(text, zones="."), FakeSetup(self.services, zones=(".",)))
        self.plugin.next = lambda query: Reply(plugin="behind")

    async def __aenter__(self) -> Server:
        await self.plugin.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.plugin.stop(True)

    async def reply(self, name: str, rtype: str = "A", *, protocol: str = "udp", **options: object) -> Reply:
        wire = dns.message.make_query(name, rtype, **options).to_wire()
        return await self.reply_to(Query(wire, client_of(protocol)))

    async def reply_to(self, query: Query) -> Reply:
        result = self.plugin.handle(query)
        return result if isinstance(result, Reply) else await result

    async def ask(self, name: str, rtype: str = "A", *, protocol: str = "udp", **options: object):
        """The reply as the client gets it."""
        wire = dns.message.make_query(name, rtype, **options).to_wire()
        query = Query(wire, client_of(protocol))
        return dns.message.from_wire(finish(query, await self.reply_to(query))[0])


def run(work, new_event_loop=uvloop.new_event_loop):
    """Run a coroutine in an event loop of its own; nothing of it may be left."""

    async def checked():
        await asyncio.wait_for(work, 60)
        await asyncio.sleep(0.05)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert others == []

    before = open_sockets()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(checked())
    assert open_sockets() == before


async def until(condition) -> None:
    """Wait until a condition holds."""
    for _ in range(250):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came true")


def open_sockets() -> int:
    """How many sockets and epoll instances this process has."""
    count = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{each}").startswith(("socket:", "anon_inode:[eventpoll]"))
    return count


@contextlib.asynccontextmanager
async def started(*faults: Faults | None, tls: ssl.SSLContext | None = None):
    """Upstreams that run."""
    upstreams = [await Upstream(each, tls=tls).start() for each in faults or (None,)]
    try:
        yield upstreams[0] if len(upstreams) == 1 else upstreams
    finally:
        for upstream in upstreams:
            await upstream.stop()


def answer_of(message) -> list[str]:
    return [item.address for rrset in message.answer for item in rrset if rrset.rdtype == 1]


def test_the_upstreams_reply_is_passed_on_under_the_clients_id():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask("www.Example.org.", id=4711)
            assert (message.id, answer_of(message)) == (4711, [address_text("www.example.org.")])
            assert dns.flags.to_text(message.flags) == "QR AA RD RA"
            assert message.answer[0].name.to_text() == "www.Example.org."
            [question] = upstream.questions
            assert question.wire[2:] == dns.message.make_query("www.Example.org.", "A").to_wire()[2:]
            assert (await server.reply("nx.test.")).rcode == dns.rcode.NXDOMAIN

    run(work())


@pytest.mark.parametrize("name", ["lieid.a.test.", "liename-drop.a.test.", "lieport.a.test.", "notreply.a.test."])
def test_what_is_no_reply_to_the_question_is_not_believed(name):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n read_timeout 200ms\n}}") as server:
            message = await server.ask(name)
            expected = [address_text(name)] if name.startswith("lie") and "drop" not in name else []
            assert answer_of(message) == expected

    run(work())


@pytest.mark.parametrize("word", ["wrongname", "wrongtype", "noquestion"])
def test_a_reply_to_another_question_is_formerr(word):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask(f"{word}.test.")
            assert message.rcode() == dns.rcode.FORMERR
            assert not message.answer

    run(work())


def test_a_timeout_is_told_as_coredns_tells_it():
    async def work():
        async with started() as upstream:
            text = f"forward . {upstream.address} {{\n read_timeout 100ms\n max_connect_attempts 2\n}}"
            async with Server(text) as server:
                began = time.monotonic()
                reply = await server.reply("drop.test.")
                assert 0.15 < time.monotonic() - began < 1.5
                first, _, last = reply.error.partition("->")
                assert first.startswith("read udp 127.0.0.1:")
                assert last == f"{upstream.address}: i/o timeout"
                assert (reply.rcode, reply.plugin) == (dns.rcode.SERVFAIL, "forward")
                assert [question.name for question in upstream.questions if question.qtype == 1] == 2 * [
                    b"\4drop\4test\0"
                ]
                tcp = await server.reply("drop.test.", protocol="tcp")
                assert tcp.error.startswith("read tcp 127.0.0.1:")
                assert tcp.error.endswith(f"->{upstream.address}: i/o timeout")

    run(work())


def test_a_refused_port_fails_at_once():
    async def work():
        port = free_port()
        async with Server(f"forward . 127.0.0.1:{port}") as server:
            began = time.monotonic()
            reply = await server.reply("www.test.")
            assert reply.error.startswith("read udp 127.0.0.1:")
            assert reply.error.endswith(f"->127.0.0.1:{port}: read: connection refused")
            reply = await server.reply("www.test.", protocol="tcp")
            assert reply.error == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
            assert time.monotonic() - began < 1

    run(work())


def test_the_next_upstream_is_asked_where_one_fails():
    async def work():
        async with started(Faults(silent=True), None) as (dead, alive):
            text = f"forward . 127.0.0.1:{free_port()} {dead.address} {alive.address} {{\n policy sequential\n"
            async with Server(text + " read_timeout 100ms\n}") as server:
                assert answer_of(await server.ask("www.test.")) == [address_text("www.test.")]
                assert dead.names().count(b"\3www\4test\0") == 1

    run(work())


def test_an_upstream_whose_probes_fail_is_left_out_until_it_answers():
    async def work():
        async with started(Faults(silent=True), None) as (flaky, good):
            text = f"forward . {flaky.address} {good.address} {{\n policy sequential\n read_timeout 100ms\n"
            text += " health_check 50ms domain probe.test\n max_fails 1\n}"
            async with Server(text) as server, Server(text, server.services):
                assert answer_of(await server.ask("one.test.")) == [address_text("one.test.")]
                health = server.plugin._forwarders[0].client.servers[0].health
                await until(lambda: health.down(1))
                asked = flaky.names().count(b"\3two\4test\0")
                assert answer_of(await server.ask("two.test.")) == [address_text("two.test.")]
                assert flaky.names().count(b"\3two\4test\0") == asked == 0
                assert metric(server.services, "coredns_forward_healthcheck_failures_total", flaky.address) >= 2
                assert metric(
                    server.services, "coredns_proxy_healthcheck_failures_total", "forward", flaky.address
                ) == metric(server.services, "coredns_forward_healthcheck_failures_total", flaky.address)
                flaky.faults.silent = False
                await until(lambda: not health.probing)
                await server.ask("three.test.")
                assert flaky.names()[-1] == b"\5three\4test\0"
                probes = [question for question in flaky.questions if question.name == b"\5probe\4test\0"]
                assert {(question.qtype, question.wire[2] & 1) for question in probes} == {(2, 1)}

    run(work())


def test_one_prober_serves_all_blocks():
    async def work():
        async with started(Faults(silent=True)) as upstream:
            text = f"forward . {upstream.address} {{\n read_timeout 50ms\n health_check 20ms\n"
            services = FakeServices()
            async with contextlib.AsyncExitStack() as stack:
                servers = [
                    await stack.enter_async_context(Server(f"{text} expire {number}s\n}}", services))
                    for number in range(1, 11)
                ]
                await asyncio.gather(*(server.reply("www.test.") for server in servers for _ in range(5)))
                await asyncio.sleep(0.2)
                probing = [task for task in asyncio.all_tasks() if "_probe_until" in repr(task.get_coro())]
                assert len(probing) == 1
                assert len([question for question in upstream.questions if question.qtype == 2]) == 1

    run(work())


@pytest.mark.parametrize(("fast", "asked"), [(False, 1), (True, 0)])
def test_when_all_are_left_out_one_is_tried_once_unless_that_is_not_wanted(fast, asked):
    async def work():
        async with started(Faults(silent=True), Faults(silent=True)) as upstreams:
            addresses = " ".join(each.address for each in upstreams)
            text = f"forward . {addresses} {{\n read_timeout 60ms\n"
            async with Server(text + ("failfast_all_unhealthy_upstreams\n}" if fast else "}")) as server:
                for each in server.plugin._forwarders[0].client.servers:
                    each.health.fails = 3
                reply = await server.reply("www.test.")
                assert reply.rcode == dns.rcode.SERVFAIL
                assert sum(each.names().count(b"\3www\4test\0") for each in upstreams) == asked
                assert reply.error == "no healthy proxies" if fast else reply.error.endswith("i/o timeout")
                assert metric(server.services, "coredns_forward_healthcheck_broken_total") == 1

    run(work())


def test_truncated_replies_are_passed_on_or_asked_again_over_tcp():
    async def work():
        async with started() as upstream:
            async with Server(f"forward . {upstream.address}") as server:
                assert (await server.ask("trunc.test.")).flags & dns.flags.TC
            async with Server(f"forward . {upstream.address} {{\n prefer_udp\n}}") as server:
                message = await server.ask("trunc.test.")
                assert answer_of(message) == [address_text("trunc.test.")]
                assert not message.flags & dns.flags.TC
                assert [question.tcp for question in upstream.questions] == [False, False, True]
                await server.ask("www.test.", protocol="tcp")
                assert not upstream.questions[-1].tcp
            async with Server(f"forward . {upstream.address} {{\n force_tcp\n prefer_udp\n}}") as server:
                await server.ask("www.test.")
                assert upstream.questions[-1].tcp

    run(work())


def test_a_datagram_that_cannot_be_read_to_its_end_is_a_truncated_reply():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask("garbled.test.")
            assert message.flags & dns.flags.TC
            assert not message.answer
            reply = await server.reply("garbled.test.", protocol="tcp")
            assert reply.error == "dns: overflow unpacking data"

    run(work())


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_such_a_datagram_is_asked_for_again_over_tcp_where_a_truncated_one_is(protocol):
    async def work():
        async with (
            started() as upstream,
            Server(f"forward . {upstream.address} {{\n prefer_udp\n max_connect_attempts 1\n}}") as server,
        ):
            reply = await server.reply("garbled.test.", protocol=protocol)
            assert (reply.rcode, reply.error) == (dns.rcode.SERVFAIL, "dns: overflow unpacking data")
            assert [question.tcp for question in upstream.questions] == [False, True]

    run(work())


def test_a_large_reply_is_cut_to_what_the_client_takes():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask("big.test.")
            assert message.flags & dns.flags.TC
            assert 0 < len(message.to_wire()) <= 512
            assert len(answer_of(await server.ask("big.test.", use_edns=0, payload=4096))) == 40

    run(work())


def test_options_of_the_upstream_reach_the_client_but_not_those_of_its_connection():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask("opt.test.", use_edns=0, payload=1400)
            assert ([option.to_text() for option in message.options], message.payload) == (
                ["EDE 22 (No Reachable Authority)"],
                1400,
            )
            assert (await server.ask("opt.test.")).edns == -1
            assert (await server.ask("keepalive.test.", use_edns=0)).options == ()

    run(work())


@pytest.mark.parametrize("word", ["reset", "close"])
def test_a_broken_connection_is_an_error_and_the_next_attempt_has_another(word):
    async def work():
        async with (
            started() as upstream,
            Server(f"forward . {upstream.address} {{\n max_connect_attempts 2\n}}") as server,
        ):
            reply = await server.reply(f"{word}.test.", protocol="tcp")
            assert reply.rcode == dns.rcode.SERVFAIL
            assert reply.error == "EOF" if word == "close" else "reset" in reply.error or reply.error == "EOF"
            assert upstream.connections >= 2
            assert (await server.reply("www.test.", protocol="tcp")).error == ""

    run(work())


def test_a_connection_that_the_upstream_closed_while_idle_costs_nothing():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            await server.ask("one.test.", protocol="tcp")
            await server.ask("two.test.", protocol="tcp")
            assert upstream.connections == 1
            for connection in list(upstream.open_connections):
                connection.close()
            assert answer_of(await server.ask("three.test.", protocol="tcp")) == [address_text("three.test.")]
            assert upstream.connections == 2
            health = server.plugin._forwarders[0].client.servers[0].health
            assert not health.probing

    run(work())


def test_a_late_reply_on_a_stream_meets_nobody():
    async def work():
        async with started() as upstream:
            text = f"forward . {upstream.address} {{\n force_tcp\n read_timeout 200ms\n max_connect_attempts 1\n}}"
            async with Server(text) as server:
                assert (await server.reply("slow.test.")).error.endswith("i/o timeout")
                for number in range(20):
                    name = f"n{number}.test."
                    assert answer_of(await server.ask(name)) == [address_text(name)]
                    await asyncio.sleep(0.02)
                assert upstream.connections >= 2

    run(work())


def test_queries_share_connections_only_when_there_are_many():
    async def work():
        async with (
            started(Faults(delay_seconds=0.3)) as upstream,
            Server(f"forward . {upstream.address} {{\n force_tcp\n}}") as server,
        ):
            names = [f"n{number}.test." for number in range(500)]
            messages = await asyncio.gather(*(server.ask(name) for name in names))
            assert [answer_of(message) for message in messages] == [[address_text(name)] for name in names]
            assert upstream.connections <= 64

    run(work())


@pytest.mark.parametrize(("max_age", "connections"), [("200ms", range(2, 5)), ("10s", range(1, 2))])
def test_a_connection_takes_queries_until_max_age(max_age, connections):
    async def work():
        block = f"force_tcp\n expire 100ms\n max_age {max_age}"
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n {block}\n}}") as server:
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                assert answer_of(await server.ask("www.test.")) == [address_text("www.test.")]
                await asyncio.sleep(0.02)
            assert upstream.connections in connections

    run(work())


@pytest.mark.parametrize(("option", "kept"), [("max_idle_conns 2", range(3)), ("expire 10s", range(3, 65))])
def test_no_more_connections_than_max_idle_conns_are_kept(option, kept):
    async def work():
        block = f"force_tcp\n {option}"
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n {block}\n}}") as server:
            await asyncio.gather(*(server.ask(f"slow.n{number}.test.") for number in range(10)))
            assert upstream.connections > 2
            await until(lambda: len(upstream.open_connections) in kept)

    run(work())


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_queries_leave_from_the_source_address(protocol):
    async def work():
        block = "source_address 127.0.0.2"
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n {block}\n}}") as server:
            reply = await server.reply("www.test.", protocol=protocol)
            assert reply.error == ""
            assert [question.source_address for question in upstream.questions] == ["127.0.0.2"]

    run(work())


def test_an_upstream_is_never_left_out_with_max_fails_0():
    async def work():
        async with started(Faults(silent=True)) as upstream:
            block = "max_fails 0\n read_timeout 20ms\n health_check 20ms\n max_connect_attempts 1"
            async with Server(f"forward . {upstream.address} {{\n {block}\n}}") as server:
                for number in range(5):
                    assert (await server.reply(f"n{number}.test.")).rcode == dns.rcode.SERVFAIL
                assert len(upstream.questions) == 5
                assert {question.qtype for question in upstream.questions} == {1}
                assert metric(server.services, "coredns_forward_healthcheck_broken_total") == 0

    run(work())


def test_source_ports_are_many_and_are_replaced():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n expire 100ms\n}}") as server:
            for number in range(300):
                await server.reply(f"n{number}.test.")
            assert len(upstream.source_ports) == 300
            ids = {question.wire[:2] for question in upstream.questions}
            assert len(ids) > 290
            await asyncio.sleep(1.3)
            ports = server.plugin._forwarders[0].client.servers[0]._ports._ports
            assert ports == []

    run(work())


@pytest.mark.slow
@pytest.mark.parametrize("tcp", [False, True])
def test_two_thousand_clients_each_get_their_own_answer_once(tcp):
    async def work():
        faults = [Faults(lost=0.05, twice=0.05, delay_seconds=0.2) for _ in range(3)]
        async with started(*faults) as upstreams:
            text = f"forward . {' '.join(each.address for each in upstreams)} {{\n read_timeout 600ms\n"
            async with Server(text + ("force_tcp\n}" if tcp else "}")) as server:
                wrong: list[str] = []
                failed = 0

                async def one(number: int) -> None:
                    nonlocal failed
                    name = f"client{number}.zone{number % 7}.test."
                    message = await server.ask(name, id=number)
                    if message.rcode() == dns.rcode.SERVFAIL:
                        failed += 1
                    elif (message.id, answer_of(message)) != (number, [address_text(name)]):
                        wrong.append(name)

                for _ in range(2):
                    await asyncio.gather(*(one(number) for number in range(2000)))
                assert wrong == []
                assert failed <= 400  # 4 where the machine has time
                assert server.plugin._forwarders[0].client.under_way == 0

    run(work())


def test_too_many_at_a_time_are_refused():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n max_concurrent 2\n}}") as server:
            replies = await asyncio.gather(*(server.reply(f"slow.n{number}.test.") for number in range(5)))
            assert sorted(reply.rcode for reply in replies) == [0, 0, 5, 5, 5]
            assert [reply.error for reply in replies if reply.error] == 3 * ["concurrent queries exceeded maximum 2"]
            assert metric(server.services, "coredns_forward_max_concurrent_rejects_total") == 3
            assert (await server.reply("www.test.")).rcode == 0

    run(work())


def test_failover_asks_the_next_and_passes_the_last_reply_on():
    async def work():
        async with started(Faults(words=frozenset({"servfail"})), None) as (bad, good):
            block = "{\n policy sequential\n failover SERVFAIL REFUSED\n}"
            async with Server(f"forward . {bad.address} {good.address} {block}") as server:
                assert answer_of(await server.ask("www.test.")) == [address_text("www.test.")]
                reply = await server.reply("refused.test.")
                assert (reply.rcode, reply.error) == (dns.rcode.REFUSED, "")
                assert (len(bad.questions), len(good.questions)) == (2, 2)

    run(work())


def test_next_hands_over_to_the_next_forward_alone():
    async def work():
        async with started(None, None) as (one, two):
            block = "{\n next NXDOMAIN\n next_on_nodata\n}"
            text = f"forward . {one.address} {block}\nforward test {two.address} {block}"
            async with Server(text) as server:
                assert (await server.reply("nx.test.")).rcode == dns.rcode.NXDOMAIN
                assert two.names() == [b"\2nx\4test\0"]
                await server.reply("www.test.", "AAAA")
                assert (len(one.questions), len(two.questions)) == (2, 2)
                assert (await server.reply("nx.other.")).plugin == "behind"

    run(work())


def test_names_left_out_go_on():
    async def work():
        async with (
            started() as upstream,
            Server(f"forward example.org {upstream.address} {{\n except a.example.org\n}}") as server,
        ):
            for name, plugin in {
                "example.org.": "forward",
                "A.eXample.org.": "behind",
                "b.a.example.org.": "behind",
                "other.org.": "behind",
            }.items():
                assert (await server.reply(name)).plugin == plugin

    run(work())


@pytest.mark.parametrize(("two", "expected"), [(True, [1, 1]), (False, [2])])
def test_a_hedge_asks_another_besides(two, expected):
    async def work():
        async with contextlib.AsyncExitStack() as stack:
            slow = await stack.enter_async_context(started(Faults(words=frozenset({"late"}))))
            upstreams = [slow] + ([await stack.enter_async_context(started())] if two else [])
            text = f"forward . {' '.join(each.address for each in upstreams)} {{\n policy sequential\n hedge 50ms\n}}"
            async with Server(text) as server:
                began = time.monotonic()
                assert answer_of(await server.ask("www.test.")) == [address_text("www.test.")]
                assert (time.monotonic() - began < 0.4) == two
                await asyncio.sleep(0.7)
                assert [len(each.questions) for each in upstreams] == expected

    run(work())


def test_letters_are_mixed_and_must_come_back():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n use_caps_for_id\n}}") as server:
            message = await server.ask("a-rather-long-name.Example.test.")
            assert answer_of(message) == [address_text("a-rather-long-name.example.test.")]
            assert message.question[0].name.to_text() == "a-rather-long-name.Example.test."
            [question] = upstream.questions
            assert question.name.lower() == b"\x12a-rather-long-name\7example\4test\0"
            assert question.name not in (question.name.lower(), b"\x12a-rather-long-name\7Example\4test\0")

    run(work())


def test_a_resolv_conf_is_read_again_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("clusterdns.plugins.forward._WATCH_SECONDS", 0.05)

    async def work():
        async with started(None, None) as (one, two):
            path = tmp_path / "resolv.conf"
            monkeypatch.setattr("clusterdns.upstream.address.PORTS", {"dns": one.port, "tls": 853, "https": 443})
            path.write_text("search test\nnameserver 127.0.0.1\n")
            async with Server(f"forward . {path}") as server:
                forwarder = server.plugin._forwarders[0]
                assert [str(each.endpoint) for each in forwarder.client.servers] == ["127.0.0.1:53"]
                path.write_text("nameserver 127.0.0.2\nnameserver ::1\n; nameserver 127.0.0.9\n")
                await forwarder.refresh()
                assert [str(each.endpoint) for each in forwarder.client.servers] == ["127.0.0.2:53", "[::1]:53"]
                path.write_text("# nothing\n")
                with pytest.raises(Exception, match="no valid upstream addresses found"):
                    await forwarder.refresh()
                assert len(forwarder.client.servers) == 2
                assert two.questions == []

    run(work())


def test_host_names_are_looked_up_through_the_resolver():
    async def work():
        async with started() as upstream:
            text = f"forward . dns.example.test:5300 {{\n resolver {upstream.address}\n}}"
            async with Server(text) as server:
                [found] = server.plugin._forwarders[0].client.servers
                assert str(found.endpoint) == f"{address_text('dns.example.test.')}:5300"
            unknown = Server(f"forward . nx.example.test {{\n resolver {upstream.address}\n}}")
            with pytest.raises(LifecycleError, match=r'plugin/forward: failed to resolve "nx\.example\.test": lookup'):
                await unknown.plugin.start()
            await unknown.plugin.stop(True)

    run(work())


def test_a_new_configuration_takes_over_sockets_and_health():
    async def work():
        async with started() as upstream:
            services = FakeServices()
            old = Server(f"forward . {upstream.address}", services)
            await old.plugin.start()
            await old.reply("one.test.")
            new = Server(f"forward . {upstream.address} {{\n max_concurrent 7\n}}", services)
            await new.plugin.start()
            assert new.plugin._forwarders[0].client.servers == old.plugin._forwarders[0].client.servers
            pending = asyncio.ensure_future(old.reply("slow.test."))
            await asyncio.sleep(0.05)
            await old.plugin.stop(False)
            assert (await pending).error == ""
            assert (await new.reply("two.test.")).error == ""
            await new.plugin.stop(True)
            assert upstreams_of(services)._receiver is None

    run(work())


def test_what_is_under_way_at_the_end_fails_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr("clusterdns.plugins.forward._DRAIN_SECONDS", 0.1)

    async def work():
        async with started(Faults(silent=True)) as upstream:
            server = Server(f"forward . {upstream.address}")
            await server.plugin.start()
            pending = [asyncio.ensure_future(server.reply("www.test.", protocol=each)) for each in ("udp", "tcp")]
            await asyncio.sleep(0.05)
            await server.plugin.stop(True)
            assert {(await each).error for each in pending} == {"proxy: transport stopped"}

    run(work())


def test_both_families_of_metrics_count(tmp_path: Path):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            for name in ("a.test.", "b.test.", "nx.test."):
                await server.reply(name)
            await server.reply("c.test.", protocol="tcp")
            to, services = upstream.address, server.services
            assert metric(services, "coredns_proxy_request_duration_seconds", "forward", to, "NOERROR") == 3
            assert metric(services, "coredns_forward_request_duration_seconds", to, "NXDOMAIN") == 1
            assert metric(services, "coredns_forward_requests_total", to) == 4
            assert metric(services, "coredns_forward_responses_total", to, "NOERROR") == 3
            assert metric(services, "coredns_proxy_conn_cache_misses_total", "forward", to, "tcp") == 1
            assert metric(services, "coredns_forward_conn_cache_misses_total", to, "udp") == 3

    run(work())


TLS = Path(__file__).parents[1] / "data" / "tls"


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    return context


@pytest.mark.parametrize(
    ("name", "block", "error"),
    [
        ("", f"tls {TLS}/server.pem", ""),
        ("%dns.example.test", f"tls {TLS}/server.pem", ""),
        ("", f"tls {TLS}/server.pem\n tls_servername dns.example.test", ""),
        ("%other.test", f"tls {TLS}/server.pem", "tls: failed to verify certificate of ADDRESS: Hostname mismatch"),
        ("", f"tls {TLS}/stranger.pem", "tls: failed to verify certificate of ADDRESS: self-signed certificate"),
        ("", "tls", "tls: failed to verify certificate of ADDRESS: self-signed certificate"),
    ],
)
def test_tls_upstreams_are_verified(name, block, error):
    async def work():
        async with started(tls=server_context()) as upstream:
            text = f"forward . tls://127.0.0.1{name}:{upstream.port} {{\n {block}\n max_connect_attempts 1\n}}"
            async with Server(text) as server:
                reply = await server.reply("www.test.")
                assert reply.error.startswith(error.replace("ADDRESS", upstream.address))
                assert (reply.rcode, bool(reply.error)) == ((2, True) if error else (0, False))
                if not error:
                    await server.reply("two.test.", protocol="tcp")
                    assert upstream.connections == 1
                    assert metric(server.services, "coredns_forward_conn_cache_hits_total", upstream.address, "tcp-tls")

    run(work())


def test_tls_files_that_are_not_there_end_the_start():
    async def work():
        server = Server("forward . tls://127.0.0.1 {\n tls /nowhere.pem\n}")
        words = r"plugin/forward: error reading /nowhere\.pem: open /nowhere\.pem: no such file or directory"
        with pytest.raises(LifecycleError, match=words):
            await server.plugin.start()
        await server.plugin.stop(True)

    run(work())


def test_the_event_loop_of_the_standard_library_does_as_well():
    async def work():
        async with started() as plain, started(tls=server_context()) as encrypted:
            text = f"forward . {plain.address} {{\n read_timeout 100ms\n max_connect_attempts 1\n}}"
            async with Server(text) as server:
                for protocol in ("udp", "tcp"):
                    message = await server.ask("www.test.", protocol=protocol)
                    assert answer_of(message) == [address_text("www.test.")]
                    assert (await server.reply("drop.test.", protocol=protocol)).error.endswith("i/o timeout")
            block = f"{{\n tls {TLS}/server.pem\n}}"
            async with Server(f"forward . tls://127.0.0.1:{encrypted.port} {block}") as server:
                assert answer_of(await server.ask("www.test.")) == [address_text("www.test.")]

    run(work(), asyncio.new_event_loop)
