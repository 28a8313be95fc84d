# SPDX-License-Identifier: Apache-2.0
"""Replies of several messages over real TCP connections: nothing is made that the client doesn't read."""

import asyncio
import socket

import dns.message
import pytest
from support.serving import Answering, make_engine, wire

from clusterdns.dns import types
from clusterdns.dns.wire import Record
from clusterdns.serving.reply import Reply
from clusterdns.transports.listen import open_listen_sockets
from clusterdns.transports.tcp import TcpListener

RECORDS = 50_000
"""Some 13 MB, more than the buffers of both ends of a connection take."""


class Long:
    """Answers with a stream, and counts what is taken of it."""

    def __init__(self, fails_after=RECORDS):
        self.taken = 0
        self.fails_after = fails_after

    def answer(self, query):
        if query.qtype != types.AXFR:
            return Reply.authoritative("x", 0, (Record(query.name, types.A, 5, bytes(4)),))
        reply = Reply.authoritative("x")
        reply.stream = self.records(query.name)
        return reply

    def records(self, name):
        for number in range(RECORDS):
            if number == self.fails_after:
                raise ValueError("the zone is gone")
            self.taken += 1
            yield Record(name, types.TXT, 5, b"\xff" + number.to_bytes(255, "big"))


class Listening:
    def __init__(self, long):
        self.engine = make_engine({".": [Answering(long.answer)]})
        self.sockets = open_listen_sockets("127.0.0.1", 0)

    async def __aenter__(self):
        for sock in self.sockets.udp:
            sock.close()
        self.listener = TcpListener(self.sockets.tcp[0], self.engine, asyncio.get_running_loop())
        await self.listener.start()
        return self

    async def __aexit__(self, *reason):
        await self.listener.close(0.1)

    async def connect(self):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.sockets.port))
        return await asyncio.open_connection(sock=sock, limit=65536)


def framed(packet):
    return len(packet).to_bytes(2, "big") + packet


async def read_message(reader):
    size = int.from_bytes(await reader.readexactly(2), "big")
    return dns.message.from_wire(await reader.readexactly(size), one_rr_per_rrset=True)


async def read_to_the_end(reader):
    while True:
        await read_message(reader)


async def settled(long):
    """Wait until nothing more is taken."""
    before = -1
    while before != long.taken:
        before = long.taken
        await asyncio.sleep(0.2)
    return before


def test_a_client_that_reads_gets_all_in_order_and_may_go_on():
    async def run():
        long = Long()
        async with Listening(long) as listening:
            reader, writer = await listening.connect()
            writer.write(framed(wire("example.org.", "AXFR")) + framed(wire("a.example.org.")))
            count = 0
            while count < RECORDS:
                for rrset in (await read_message(reader)).answer:
                    assert int.from_bytes(rrset[0].strings[0], "big") == count
                    count += 1
            assert (await read_message(reader)).question[0].name.to_text() == "a.example.org."
            writer.close()

    asyncio.run(run())


def test_nothing_is_made_that_the_client_does_not_read():
    async def run():
        long = Long()
        async with Listening(long) as listening:
            reader, writer = await listening.connect()
            writer.write(framed(wire("example.org.", "AXFR")))
            assert 0 < await settled(long) < RECORDS * 3 / 4
            for _ in range(20):
                await read_message(reader)
            writer.close()

    asyncio.run(run())


def test_others_are_answered_meanwhile():
    async def run():
        async with Listening(Long()) as listening:
            reader, writer = await listening.connect()
            writer.write(framed(wire("example.org.", "AXFR")))
            await read_message(reader)
            other_reader, other = await listening.connect()
            other.write(framed(wire("a.example.org.")))
            assert len((await asyncio.wait_for(read_message(other_reader), 1)).answer) == 1
            writer.close()
            other.close()

    asyncio.run(run())


def test_a_client_that_leaves_ends_the_reply():
    async def run():
        long = Long()
        async with Listening(long) as listening:
            reader, writer = await listening.connect()
            writer.write(framed(wire("example.org.", "AXFR")))
            await read_message(reader)
            writer.transport.abort()
            assert await settled(long) < RECORDS
            assert listening.listener.connections == {}

    asyncio.run(run())


def test_a_fault_in_between_ends_the_connection():
    async def run():
        async with Listening(Long(fails_after=5000)) as listening:
            reader, writer = await listening.connect()
            writer.write(framed(wire("example.org.", "AXFR")))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await read_to_the_end(reader)
            writer.close()

    asyncio.run(run())
