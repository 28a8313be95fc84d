# SPDX-License-Identifier: Apache-2.0
"""The short way of forwarded queries over real sockets: a listener, a server block, and upstreams that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter

import dns.flags
import dns.message
import dns.rcode
import pytest
import uvloop
from support.directives import FakeServices, FakeSetup, check, metric
from support.ports import free_port
from support.serving import make_engine
from support.upstream import Faults, Upstream, address_text

from clusterdns.plugins import table
from clusterdns.plugins.forward import Forward
from clusterdns.sockets import mmsg
from clusterdns.transports.listen import open_listen_sockets
from clusterdns.transports.udp import UdpListener
from clusterdns.upstream.ports import USES
from clusterdns.upstream.volley import MOST_QUESTIONS

pytestmark = pytest.mark.skipif(not mmsg.available(), reason="this system doesn't take several datagrams at once")


class Server:
    """A listener with one block. ``long`` counts the queries that took the long way."""

    def __init__(self, text: str, address: str = "127.0.0.1") -> None:
        self.services = FakeServices()
        verdict = check(text, zones=".")
        assert verdict.plan is not None, [str(error) for error in verdict.errors]
        setup = FakeSetup(self.services, zones=(".",))
        for directive in verdict.plan.blocks[0].directives:
            setup.siblings[directive.name] = table.load(directive.name)(directive.options, setup)
        self.plugins = setup.siblings
        self.engine = make_engine({".": list(self.plugins.values())})
        self.long = 0
        handle = self.engine.handle

        def counted(*arguments: object, **options: object):
            self.long += 1
            return handle(*arguments, **options)

        self.engine.handle = counted
        self.sockets = open_listen_sockets(address, 0)
        self.port = self.sockets.port

    async def __aenter__(self) -> Server:
        for plugin in reversed(self.plugins.values()):
            await plugin.start()
        loop = asyncio.get_running_loop()
        self.listeners = [UdpListener(sock, self.engine, loop) for sock in self.sockets.udp]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.gather(*(plugin.stop(True) for plugin in self.plugins.values()))
        await asyncio.gather(*(listener.close(2) for listener in self.listeners))
        for sock in self.sockets.tcp:
            sock.close()
        assert self.forward.client.under_way == 0
        assert [listener._due for listener in self.listeners] == [0] * len(self.listeners)

    @property
    def forward(self):
        return self.plugins["forward"]._forwarders[0]

    @contextlib.contextmanager
    def client(self, address: str = "127.0.0.1"):
        """A socket that asks the listener."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sock.setblocking(False)
            sock.connect((address, self.port))
            yield sock

    async def ask(self, name: str, rtype: str = "A", seconds: float = 6.0, **options: object):
        """The reply to one query."""
        with self.client() as sock:
            sock.send(dns.message.make_query(name, rtype, **options).to_wire())
            return dns.message.from_wire(await receive(sock, seconds))


async def receive(sock: socket.socket, seconds: float = 6.0) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 65535), seconds)


async def receive_all(sock: socket.socket, pause: float = 0.4) -> list[bytes]:
    """What comes until there is a pause."""
    found = []
    with contextlib.suppress(TimeoutError):
        while True:
            found.append(await receive(sock, pause))
    return found


def run(work, new_event_loop=uvloop.new_event_loop):
    async def checked():
        await asyncio.wait_for(work, 60)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(checked())


@contextlib.asynccontextmanager
async def started(*faults: Faults | None):
    upstreams = [await Upstream(each).start() for each in faults or (None,)]
    try:
        yield upstreams[0] if len(upstreams) == 1 else upstreams
    finally:
        for upstream in upstreams:
            await upstream.stop()


def addresses(message) -> list[str]:
    return [item.address for rrset in message.answer for item in rrset if rrset.rdtype == 1]


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_plain_query_takes_the_short_way(new_event_loop):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask("www.Example.org.", id=4711)
            assert (message.id, addresses(message)) == (4711, [address_text("www.example.org.")])
            assert dns.flags.to_text(message.flags) == "QR AA RD RA"
            assert message.answer[0].name.to_text() == "www.Example.org."
            [question] = upstream.questions
            assert question.wire[2:] == dns.message.make_query("www.Example.org.", "A").to_wire()[2:]
            assert server.long == 0
            assert (await server.ask("nx.test.")).rcode() == dns.rcode.NXDOMAIN
            assert not (await server.ask("nodata.test.")).answer
            assert len(addresses(await server.ask("chain.test."))) == 2
            assert server.long == 0
            assert (await server.ask("servfail.test.")).rcode() == dns.rcode.SERVFAIL
            assert server.long == 1
            assert len(upstream.questions) == 5, "what was asked on the short way isn't asked again"

    run(work(), new_event_loop)


@pytest.mark.parametrize("name", ["lieid.a.test.", "liename-drop.a.test.", "lieport.a.test.", "notreply.a.test."])
def test_what_is_no_reply_to_the_question_is_not_believed(name):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n read_timeout 200ms\n}}") as server:
            message = await server.ask(name)
            expected = [address_text(name)] if name.startswith("lie") and "drop" not in name else []
            assert addresses(message) == expected

    run(work())


@pytest.mark.parametrize("word", ["wrongname", "wrongtype", "noquestion"])
def test_a_reply_to_another_question_is_formerr(word):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            message = await server.ask(f"{word}.test.")
            assert message.rcode() == dns.rcode.FORMERR
            assert not message.answer

    run(work())


@pytest.mark.parametrize("block", ["", "cache"])
def test_where_one_upstream_is_silent_the_next_one_is_asked(block):
    async def work():
        async with started(Faults(silent=True), None) as (dead, alive):
            text = f"{block}\nforward . {dead.address} {alive.address} {{\n policy sequential\n read_timeout 150ms\n}}"
            async with Server(text) as server:
                assert addresses(await server.ask("www.test.")) == [address_text("www.test.")]
                assert server.long == 1
                assert dead.names().count(b"\3www\4test\0") == alive.names().count(b"\3www\4test\0") == 1
                assert server.forward.client.servers[0].health.probing

    run(work())


def test_a_port_that_refuses_fails_at_once():
    async def work():
        text = f"errors\nforward . 127.0.0.1:{free_port()} {{\n max_connect_attempts 1\n}}"
        async with Server(text) as server:
            assert (await server.ask("www.test.", seconds=1.0)).rcode() == dns.rcode.SERVFAIL

    run(work())


def test_truncated_replies_are_passed_on_or_asked_again_over_tcp():
    async def work():
        async with started() as upstream:
            async with Server(f"forward . {upstream.address}") as server:
                assert (await server.ask("trunc.test.")).flags & dns.flags.TC
            async with Server(f"forward . {upstream.address} {{\n prefer_udp\n}}") as server:
                message = await server.ask("trunc.test.")
                assert addresses(message) == [address_text("trunc.test.")]
                assert [question.tcp for question in upstream.questions] == [False, False, True]

    run(work())


def test_each_query_has_an_id_and_a_port_of_its_own_and_ids_are_used_once():
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address} {{\n expire 300ms\n}}") as server:
            for number in range(100):
                await server.ask(f"n{number}.test.")
            assert len(upstream.source_ports) == 100, "queries that don't come together share no port"
            with server.client() as sock:
                for burst in range(40):
                    for number in range(128):
                        sock.send(dns.message.make_query(f"b{burst}x{number}.test.", "A", id=number).to_wire())
                    await receive_all(sock, 0.02)
                await receive_all(sock)
            assert server.long == 0
            used = Counter((question.source_port, question.wire[:2]) for question in upstream.questions)
            assert max(used.values()) == 1
            assert max(upstream.source_ports.values()) <= USES + MOST_QUESTIONS
            assert len({question.wire[:2] for question in upstream.questions}) > 4500
            await asyncio.sleep(1.5)
            ports = server.forward.client.servers[0]._ports
            assert (ports._ports, ports._retired) == ([], set())

    run(work())


@pytest.mark.slow
@pytest.mark.parametrize("block", ["", "cache"])
def test_two_thousand_clients_each_get_their_own_answer_once(block):
    async def work():
        faults = [Faults(lost=0.05, twice=0.05, delay_seconds=0.1) for _ in range(3)]
        async with started(*faults) as upstreams:
            text = f"{block}\nforward . {' '.join(each.address for each in upstreams)} {{\n read_timeout 600ms\n}}"
            async with Server(text) as server:
                got: dict[int, list[bytes]] = {}

                async def one(first: int) -> None:
                    with server.client() as sock:
                        for number in range(first, 2000, 50):
                            sock.send(query(number))
                        got[first] = await receive_all(sock, 5.5)

                def query(number: int) -> bytes:
                    return dns.message.make_query(f"c{number}.zone{number % 7}.test.", "A", id=number).to_wire()

                await asyncio.gather(*(one(first) for first in range(50)))
                failed = 0
                for first, replies in got.items():
                    assert sorted(int.from_bytes(reply[:2], "big") for reply in replies) == list(range(first, 2000, 50))
                    for reply in replies:
                        message = dns.message.from_wire(reply)
                        name = f"c{message.id}.zone{message.id % 7}.test."
                        assert message.question[0].name.to_text() == name
                        failed += message.rcode() == dns.rcode.SERVFAIL
                        assert message.rcode() == dns.rcode.SERVFAIL or addresses(message) == [address_text(name)]
                assert failed <= 40
                assert server.long > 0  # what was lost is asked again on the long way; how much depends on the machine

    run(work())


def test_identical_queries_are_asked_once_and_kept():
    async def work():
        async with started() as upstream, Server(f"cache\nforward . {upstream.address}") as server:
            name = "slow.test."
            with server.client() as sock:
                for number in range(100):
                    sock.send(dns.message.make_query(name if number % 2 else name.upper(), "A", id=number).to_wire())
                replies = [dns.message.from_wire(each) for each in await receive_all(sock, 1.0)]
            assert sorted(message.id for message in replies) == list(range(100))
            assert {message.question[0].name.to_text() for message in replies} == {name, name.upper()}
            assert all(addresses(message) == [address_text(name)] for message in replies)
            assert len(upstream.questions) == 1
            assert server.long == 0
            assert metric(server.services, "coredns_cache_misses_total", "dns://:53", ".", "") == 100
            await server.ask(name)
            assert len(upstream.questions) == server.long == 1
            assert metric(server.services, "coredns_cache_hits_total", "dns://:53", "success", ".", "") == 1

    run(work())


def test_identical_queries_share_a_failure():
    async def work():
        async with started() as upstream:
            text = f"cache\nforward . {upstream.address} {{\n read_timeout 150ms\n max_connect_attempts 1\n}}"
            async with Server(text) as server:
                with server.client() as sock:
                    for number in range(50):
                        sock.send(dns.message.make_query("drop.test.", "A", id=number).to_wire())
                    replies = [dns.message.from_wire(each) for each in await receive_all(sock, 1.0)]
                assert sorted(message.id for message in replies) == list(range(50))
                assert {message.rcode() for message in replies} == {dns.rcode.SERVFAIL}
                assert upstream.names().count(b"\4drop\4test\0") == 1

    run(work())


def test_a_late_reply_meets_nobody():
    async def work():
        async with started() as upstream:
            text = f"forward . {upstream.address} {{\n read_timeout 150ms\n max_connect_attempts 1\n}}"
            async with Server(text) as server:
                with server.client() as sock:
                    sock.send(dns.message.make_query("late.test.", "A", id=1).to_wire())
                    replies = await receive_all(sock, 1.0)
                assert [dns.message.from_wire(each).rcode() for each in replies] == [dns.rcode.SERVFAIL]

    run(work())


def test_too_many_at_a_time_are_refused():
    async def work():
        options = "{\n max_concurrent 20\n}"
        async with started() as upstream, Server(f"forward . {upstream.address} {options}") as server:
            with server.client() as sock:
                for number in range(50):
                    sock.send(dns.message.make_query(f"slow.n{number}.test.", "A", id=number).to_wire())
                replies = [dns.message.from_wire(each) for each in await receive_all(sock, 1.0)]
            found = Counter(message.rcode() for message in replies)
            assert found == {dns.rcode.NOERROR: 20, dns.rcode.REFUSED: 30}
            assert metric(server.services, "coredns_forward_max_concurrent_rejects_total") == 30

    run(work())


def test_all_upstreams_get_their_part():
    async def work():
        async with started(None, None, None) as upstreams:
            for policy, least, most in (("random", 60, 140), ("round_robin", 99, 101), ("sequential", 0, 300)):
                for upstream in upstreams:
                    upstream.questions.clear()
                text = f"forward . {' '.join(each.address for each in upstreams)} {{\n policy {policy}\n}}"
                async with Server(text) as server:
                    with server.client() as sock:
                        for number in range(300):
                            sock.send(dns.message.make_query(f"{policy}{number}.test.", "A", id=number).to_wire())
                            if number % 50 == 0:
                                await asyncio.sleep(0.01)
                        await receive_all(sock)
                    assert server.long == 0
                parts = [len(upstream.questions) for upstream in upstreams]
                assert sum(parts) == 300
                assert all(least <= part <= most for part in parts), (policy, parts)

    run(work())


@pytest.mark.parametrize(("listen", "target"), [("", "127.0.0.2"), ("::1", "::1")])
def test_replies_leave_from_the_address_that_was_asked(listen, target):
    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}", listen) as server:
            with server.client(target) as sock:  # connected: it hears nobody else
                sock.send(dns.message.make_query("www.test.", "A").to_wire())
                assert addresses(dns.message.from_wire(await receive(sock))) == [address_text("www.test.")]
            assert server.long == 0

    run(work())


def test_what_is_under_way_is_answered_when_the_listener_closes():
    async def work():
        async with started() as upstream:
            server = Server(f"forward . {upstream.address}")
            with server.client() as sock:
                async with server:
                    sock.send(dns.message.make_query("slow.test.", "A").to_wire())
                    await asyncio.sleep(0.05)
                assert addresses(dns.message.from_wire(await receive(sock, 0.1))) == [address_text("slow.test.")]

    run(work())


def test_a_query_that_is_under_way_outlives_its_configuration():
    async def work():
        async with started() as upstream:
            old, new = (Server(f"cache\nforward . {upstream.address} {{\n read_timeout 400ms\n}}") for _ in range(2))
            async with new, old:
                with old.client() as sock:
                    for number, name in enumerate(("slow.test.", "drop.test.", "drop.test.")):
                        sock.send(dns.message.make_query(name, "A", id=number).to_wire())
                    await asyncio.sleep(0.05)
                    old.listeners[0].engine = new.engine
                    await old.plugins["forward"].stop(False)
                    replies = [dns.message.from_wire(each) for each in await receive_all(sock, 2.0)]
                assert sorted((message.id, message.rcode()) for message in replies) == [(0, 0), (1, 2), (2, 2)]
                assert len(old.plugins["cache"]._asking.flights) == 0

    run(work())


def test_the_metrics_count():
    async def work():
        async with started() as upstream, Server(f"prometheus :0\ncache\nforward . {upstream.address}") as server:
            with server.client() as sock:
                for number in range(20):
                    sock.send(dns.message.make_query(f"n{number}.test.", "A", id=number).to_wire())
                await receive_all(sock)
            server.engine.flush()
            assert server.long == 0
            value = lambda name, *labels: metric(server.services, name, *labels)  # noqa: E731
            to = upstream.address
            assert value("coredns_forward_requests_total", to) == 20
            assert value("coredns_forward_responses_total", to, "NOERROR") == 20
            hits = value("coredns_forward_conn_cache_hits_total", to, "udp")
            assert hits + value("coredns_forward_conn_cache_misses_total", to, "udp") == 20
            assert value("coredns_dns_requests_total", "dns://:53", ".", "", "udp", "1", "A") == 20
            assert value("coredns_dns_responses_total", "dns://:53", ".", "", "NOERROR", "forward") == 20
            assert value("coredns_cache_misses_total", "dns://:53", ".", "") == 20
            families = server.services.metrics.families
            for name, labels in (
                ("coredns_dns_request_duration_seconds", ("dns://:53", ".", "")),
                ("coredns_proxy_request_duration_seconds", ("forward", to, "NOERROR")),
            ):
                assert sum(families[name].children[labels].counts) == 20

    run(work())


def test_without_system_calls_for_batches_the_long_way_serves(monkeypatch):
    monkeypatch.setattr(mmsg, "available", lambda: False)

    async def work():
        async with started() as upstream, Server(f"forward . {upstream.address}") as server:
            assert isinstance(server.plugins["forward"], Forward)
            assert addresses(await server.ask("www.test.")) == [address_text("www.test.")]
            assert server.long == 1

    run(work())
