# SPDX-License-Identifier: Apache-2.0
"""UDP and TCP over real sockets on loopback, with an engine of the test's own."""

import asyncio
import contextlib
import socket
import sys

import dns.message
import pytest
from support.serving import Answering, make_engine, wire

from clusterdns.app.listeners import Listeners
from clusterdns.dns import types
from clusterdns.dns.wire import Record
from clusterdns.errors import LifecycleError
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.observability.metrics import Registry
from clusterdns.serving.limits import ConnectionLimits
from clusterdns.serving.reply import Reply
from clusterdns.sockets import mmsg
from clusterdns.transports import listen as listening
from clusterdns.transports import tcp, udp
from clusterdns.transports.listen import has_ipv6, is_taken, open_listen_sockets

ONE_A = CompiledAnswer(0, counts(1), b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\12\0\0\1")


def answer(query):
    """Names that start with ``late`` are answered by a task, ``big`` with 300 records, ``no`` not at all."""
    label = query.name[1 : 1 + query.name[0]]
    if label == b"late":
        return late(query)
    if label == b"no":
        return Reply.no_reply("x")
    if label == b"big":
        return Reply.authoritative(
            "x", 0, tuple(Record(query.name, types.A, 5, bytes([10, 0, i >> 8, i & 255])) for i in range(300))
        )
    if label == b"where":
        return Reply.authoritative("x", 0, (Record(query.name, types.TXT, 0, text(query.client.local_address)),))
    return Reply.of_compiled("x", ONE_A)


def text(value):
    return bytes([len(value)]) + value.encode()


async def late(query):
    await asyncio.sleep(0.02)
    return Reply.of_compiled("x", ONE_A)


class Listening:
    """UDP and TCP listeners on one address, for the time of a ``with``."""

    def __init__(self, address="127.0.0.1", **options):
        self.engine = make_engine({".": [Answering(answer)]}, **options)
        self.sockets = open_listen_sockets(address, 0)
        self.port = self.sockets.port

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.udp = [udp.UdpListener(sock, self.engine, loop) for sock in self.sockets.udp]
        self.tcp = [tcp.TcpListener(sock, self.engine, loop) for sock in self.sockets.tcp]
        for listener in self.tcp:
            await listener.start()
        return self

    async def __aexit__(self, *reason):
        await asyncio.gather(*(listener.close(1) for listener in (*self.udp, *self.tcp)))


@contextlib.contextmanager
def udp_client(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((address, port))
        yield sock


async def ask(sock, packet, seconds=2.0):
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, packet)
    return await asyncio.wait_for(loop.sock_recv(sock, 65535), seconds)


@pytest.fixture(params=["batches", "plain"])
def way(request, monkeypatch):
    """Both ways of reading datagrams."""
    if request.param == "plain":
        monkeypatch.setattr(mmsg, "available", lambda: False)
    elif not mmsg.available():
        pytest.skip("this system has no recvmmsg")
    return request.param


def test_udp_answers_fresh_remembered_late_and_large(way):
    async def scenario():
        async with Listening() as server:
            with udp_client("127.0.0.1", server.port) as sock:
                for number in range(3):
                    reply = dns.message.from_wire(await ask(sock, wire("Name.", id=number)))
                    assert (reply.id, reply.answer[0].to_text()) == (number, "Name. 5 IN A 10.0.0.1")
                assert dns.message.from_wire(await ask(sock, wire("late.", id=9))).id == 9
                large = dns.message.from_wire(await ask(sock, wire("big.", use_edns=0, payload=8192)))
                assert len(large.answer[0]) == 300
                with pytest.raises(TimeoutError):
                    await ask(sock, wire("no."), 0.05)

    asyncio.run(scenario())


def test_silences_within_a_batch_cost_no_other_reply(way):
    async def scenario():
        async with Listening() as server:
            with udp_client("127.0.0.1", server.port) as sock:
                for number in range(200):
                    sock.send(wire("no." if number % 3 == 0 else "yes.", id=number))
                loop = asyncio.get_running_loop()
                expected = [number for number in range(200) if number % 3]
                replies = [await asyncio.wait_for(loop.sock_recv(sock, 512), 2) for _ in expected]
                assert sorted(int.from_bytes(reply[:2], "big") for reply in replies) == expected

    asyncio.run(scenario())


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1"])
def test_reply_leaves_from_the_address_that_was_asked(way, address):
    if ":" in address and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    if sys.platform != "linux" and address == "127.0.0.2":
        pytest.skip("loopback has one address here")

    async def scenario():
        async with Listening("") as server:
            with udp_client(address, server.port) as sock:  # a connected socket takes replies from its peer only
                reply = dns.message.from_wire(await ask(sock, wire("where.", "TXT")))
                assert reply.answer[0][0].strings == (address.encode(),)
                assert dns.message.from_wire(await ask(sock, wire("late."))).answer
                large = await ask(sock, wire("big.", use_edns=0, payload=8192))
                assert len(large) > mmsg.SLOT_BYTES

    asyncio.run(scenario())


def test_query_of_four_thousand_octets_is_taken(way):
    import dns.edns

    async def scenario():
        async with Listening() as server:
            with udp_client("127.0.0.1", server.port) as sock:
                padded = wire("name.", use_edns=0, payload=8192, options=[dns.edns.GenericOption(12, bytes(4000))])
                assert dns.message.from_wire(await ask(sock, padded)).answer

    asyncio.run(scenario())


def test_address_in_use_says_what_to_do():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(LifecycleError, match=rf"listen 127.0.0.1:{port}: .*in use.*choose another port"):
            open_listen_sockets("127.0.0.1", port)


def test_sharing_an_address_with_another_listener_is_noticed():
    first = open_listen_sockets("127.0.0.1", 0)
    assert is_taken("127.0.0.1", first.port)
    for sock in (*first.udp, *first.tcp):
        sock.close()
    assert not is_taken("127.0.0.1", first.port)
    assert not is_taken("127.0.0.1", 0)


def test_machine_without_ipv6_gets_ipv4_wildcard(monkeypatch):
    monkeypatch.setattr(socket, "has_ipv6", False)
    sockets = open_listen_sockets("", 0)
    try:
        assert [sock.getsockname()[0] for sock in sockets.udp] == ["0.0.0.0"]
    finally:
        for sock in (*sockets.udp, *sockets.tcp):
            sock.close()


async def read_reply(reader, seconds=2.0):
    size = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), seconds), "big")
    return dns.message.from_wire(await reader.readexactly(size))


def framed(*packets):
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def test_tcp_pipelines_and_answers_as_ready():
    async def scenario():
        async with Listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(framed(wire("late.", id=1), wire("a.", id=2), wire("a.", id=3), wire("big.", id=4)))
            replies = [await read_reply(reader) for _ in range(4)]
            assert [reply.id for reply in replies] == [2, 3, 4, 1]
            assert len(replies[2].answer[0]) == 300
            writer.close()

    asyncio.run(scenario())


def test_tcp_message_may_come_octet_by_octet_and_half_closed():
    async def scenario():
        async with Listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for octet in framed(wire("late.", id=7)):
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write_eof()
            assert (await read_reply(reader)).id == 7
            assert await asyncio.wait_for(reader.read(), 2) == b""

    asyncio.run(scenario())


def test_tcp_closes_idle_and_slow_connections():
    async def scenario():
        async with Listening(limits=ConnectionLimits(read_seconds=0.1, idle_seconds=0.3)) as server:
            loop = asyncio.get_running_loop()
            silent, _ = await asyncio.open_connection("127.0.0.1", server.port)
            started = loop.time()
            assert await asyncio.wait_for(silent.read(), 2) == b""
            assert loop.time() - started < 0.25

            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(framed(wire("a.")))
            await read_reply(reader)
            started = loop.time()
            writer.write(b"\x00")
            await asyncio.sleep(0.06)
            writer.write(b"\x20")
            await asyncio.wait_for(reader.read(), 2)
            assert loop.time() - started < 0.25, "octets that trickle in must not extend the time for a message"

            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(framed(wire("a.")))
            await read_reply(reader)
            started = loop.time()
            assert await asyncio.wait_for(reader.read(), 2) == b""
            assert 0.25 < loop.time() - started < 0.6

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["a.", "late."])
def test_tcp_connection_ends_after_the_queries_that_are_granted(name):
    async def scenario():
        async with Listening(limits=ConnectionLimits(read_seconds=0.5, max_queries=3)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(framed(*[wire(name, id=number) for number in range(200)]))
            assert {(await read_reply(reader)).id for _ in range(3)} == {0, 1, 2}
            writer.write(framed(wire(name)))  # unread octets must not reset the connection before its end is read
            assert await asyncio.wait_for(reader.read(), 2) == b""
            assert server.tcp[0].packets == 3
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.02)
            assert not server.tcp[0].connections

    asyncio.run(scenario())


def test_limits_of_a_new_engine_hold_for_connections_that_are_there():
    async def scenario():
        async with Listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(framed(wire("a.")))
            await read_reply(reader)
            limits = ConnectionLimits(idle_seconds=0.05)
            server.tcp[0].engine = make_engine({".": [Answering(answer)]}, limits=limits)
            writer.write(framed(wire("a.")))
            await read_reply(reader)
            assert await asyncio.wait_for(reader.read(), 2) == b""

    asyncio.run(scenario())


def test_tcp_makes_room_for_new_connections(monkeypatch):
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 3)

    async def scenario():
        async with Listening() as server:
            pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
            reader, writer = pairs[4]
            writer.write(framed(wire("a.", id=5)))
            assert (await read_reply(reader)).id == 5
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(pairs[0][0].read(), 2) == b""
            assert len(server.tcp[0].connections) == 3

    asyncio.run(scenario())


def test_tcp_client_that_announces_a_long_message_is_cut_off():
    async def scenario():
        async with Listening() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write((tcp.MAX_QUERY_BYTES + 1).to_bytes(2, "big") + b"x")
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 2) == b""
            writer.close()

    asyncio.run(scenario())


def test_one_tcp_clients_queries_leave_others_their_turn(monkeypatch):
    monkeypatch.setattr(tcp, "_TURN_SECONDS", 0)

    async def scenario():
        async with Listening() as server:
            first, other = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            first[1].write(framed(*[wire(f"n{number}.", id=number) for number in range(50)]))
            other[1].write(framed(wire("o.", id=99)))
            assert (await read_reply(other[0])).id == 99
            assert [(await read_reply(first[0])).id for _ in range(50)] == list(range(50))
            first[1].close()
            other[1].close()

    asyncio.run(scenario())


def test_tcp_client_that_does_not_read_is_not_read_from_and_dropped():
    async def scenario():
        async with Listening(limits=ConnectionLimits(write_seconds=0.2)) as server:
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            flood = framed(*[wire("big.", id=number) for number in range(2000)])
            await asyncio.wait_for(loop.sock_sendall(sock, flood), 2)
            await asyncio.sleep(0.1)
            assert len(server.tcp[0].connections) == 1
            assert server.tcp[0].packets < 2000, "no more may be answered than the client takes"
            async with asyncio.timeout(3):
                while server.tcp[0].connections:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            sock.close()

    asyncio.run(scenario())


def test_closing_waits_for_what_is_under_way():
    async def scenario():
        server = Listening()
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(framed(wire("late.", id=1)))
            with udp_client("127.0.0.1", server.port) as sock:
                sock.send(wire("late.", id=2))
                sock.send(wire("a.", id=3))
                await asyncio.sleep(0.005)
                await server.__aexit__()
                assert (await read_reply(reader)).id == 1
                assert {sock.recv(512)[1], sock.recv(512)[1]} == {2, 3}
            server.udp, server.tcp = [], []

    asyncio.run(scenario())


def test_udp_answers_all_that_has_arrived_before_it_closes(way):
    queries = 1500

    async def scenario():
        async with Listening() as server:
            clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(10)]
            for sock in clients:
                sock.setblocking(False)
                sock.connect(("127.0.0.1", server.port))
            # The event loop has no turn in between: all of them wait in the listener's socket.
            for number in range(queries):
                clients[number % 10].send(wire(f"name{number}.", id=number))
            await server.udp[0].close(5)
            server.udp.clear()
        replies = set()
        for sock in clients:
            with sock, contextlib.suppress(BlockingIOError):
                while True:
                    replies.add(int.from_bytes(sock.recv(512)[:2], "big"))
        return replies

    assert len(asyncio.run(scenario())) == queries


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_dropped_datagrams_are_counted_by_listener_and_reason(monkeypatch):
    monkeypatch.setattr(listening, "UDP_BUFFER_BYTES", 4096)
    monkeypatch.setattr(udp, "MAX_WAITING", 0)
    metrics = Registry()

    def dropped(port):
        family = {family.name: family for family in metrics.collect()}["clusterdns_udp_dropped_total"]
        return {labels: child.value for labels, child in family.children.items() if str(port) in labels[0]}

    async def scenario():
        listeners = Listeners()
        listeners.export(metrics)
        port = listeners.open([("127.0.0.1", 0)])["127.0.0.1", 0]
        await listeners.serve({("127.0.0.1", 0): make_engine({".": [Answering(answer)]})})
        unread, unsent = ((f"dns://127.0.0.1:{port}", reason) for reason in ("unread", "unsent"))
        with udp_client("127.0.0.1", port) as sock:
            assert dropped(port) == {unread: 0, unsent: 0}
            sock.send(wire("late."))
            await ask(sock, wire("name."))
            assert dropped(port) == {unread: 0, unsent: 1}
            for _ in range(100):  # nobody reads them meanwhile
                sock.send(wire("name."))
            first = dropped(port)
            assert 0 < first[unread] < 100
            assert dropped(port) == first
        await listeners.close()
        assert dropped(port) == {}

    asyncio.run(scenario())
