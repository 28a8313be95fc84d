# SPDX-License-Identifier: Apache-2.0
"""DNS over UDP: datagrams in batches between a socket and an engine.

A reply that the memo holds is copied over its query in the buffer of the batch; everything else goes through
``Engine.handle``. Only what has to wait becomes a task.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import select
import socket
import sys
from collections.abc import Awaitable
from time import perf_counter
from typing import Any, Final, Literal

from clusterdns.serving.engine import Engine, Messages, Output
from clusterdns.serving.later import Later
from clusterdns.serving.query import Client
from clusterdns.serving.relay import Attempt, Ticket
from clusterdns.sockets import mmsg

MAX_WAITING: Final = 20_000
"""Queries that may wait for something else at a time; more are dropped, as a full socket buffer would.

It's more than what a *forward* lets wait (16,384), which tells clients so instead of leaving them without a reply.
"""

_BATCHES_AT_ONCE: Final = 8
_TURN_SECONDS: Final = 0.002
"""Full batches, and time, before other work of the process gets a turn."""

_SEND_WAIT_SECONDS: Final = 0.005
_LAST_READ_SECONDS: Final = 1.0
"""A listener that is to close reads on for so long, if queries keep coming."""

_BURST: Final = 256

_NOTHING_THERE: Final = (0, errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED)
"""What taking messages may come to; the last one is about a reply that found nobody."""

log = logging.getLogger("clusterdns.udp")


class UdpListener:
    """One UDP socket. ``engine`` may be exchanged at any time; ``dropped`` counts replies that could not be sent."""

    def __init__(self, sock: socket.socket, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.socket = sock
        self.engine = engine
        self.dropped = 0
        self.packets = 0
        self._loop = loop
        self._waiting: set[asyncio.Task[None]] = set()
        self.family: Literal[1, 2] = 2 if sock.family == socket.AF_INET6 else 1
        address = sock.getsockname()
        self.local_address: str = address[0]
        self.local_port: int = address[1]
        self.wildcard = self.local_address in ("0.0.0.0", "::")
        if self.wildcard:
            _ask_for_destination(sock)
        self._number = sock.fileno()
        self._batch = mmsg.MessageBatch(sock.family) if mmsg.available() else None
        self._outgoing = mmsg.MessageBatch(sock.family) if mmsg.available() else None
        self._outbox: list[tuple[bytes, bytes, bytes]] = []
        self._due = 0
        self._drained: asyncio.Future[None] | None = None
        self._closed = False
        loop.add_reader(sock, self._on_readable if self._batch is not None else self._on_readable_plain)

    async def close(self, drain_seconds: float) -> None:
        """Answer what has arrived, wait for what is under way at most ``drain_seconds``, and close."""
        began = self._loop.time()
        end = began + drain_seconds
        before = -1
        while self.packets != before:  # what has come meanwhile, too, as long as there is time
            before = self.packets
            self._on_readable() if self._batch is not None else self._on_readable_plain()
            if self._loop.time() >= min(end, began + _LAST_READ_SECONDS):
                break
            await asyncio.sleep(0)
        self._loop.remove_reader(self.socket)
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=drain_seconds)
        for task in self._waiting:
            task.cancel()
        if self._due:
            self._drained = self._loop.create_future()
            await asyncio.wait([self._drained], timeout=max(0.0, end - self._loop.time()))
        if self._outbox:
            self._send_outbox()
        self._closed = True
        self.socket.close()

    def _on_readable(self) -> None:
        batch = self._batch
        assert batch is not None
        turn_ends = perf_counter() + _TURN_SECONDS
        for _ in range(_BATCHES_AT_ONCE):
            count = batch.receive(self._number)
            if count > 0:
                self._answer(batch, count)
            elif -count not in _NOTHING_THERE:
                log.error("receiving on %s: %s", self.local_address, os.strerror(-count))
            if count < mmsg.BATCH or perf_counter() > turn_ends:
                return

    def _answer(self, batch: mmsg.MessageBatch, count: int) -> None:
        started = perf_counter()
        slots, headers, iovecs = batch.slots, batch.headers, batch.iovecs
        memo = self.engine.memo("udp", self.family)
        remembered, revive = memo.entries.get, memo.revive
        size = mmsg.SLOT_BYTES
        hits = 0
        ready = 0
        start = 2
        words, length_word = mmsg.HEADER_WORDS, mmsg.LENGTH_WORD
        for i in range(count):
            length = headers[words * i + length_word]
            query = slots[start : start + length - 2].tobytes()
            entry = remembered(query)
            if entry is not None and (entry[3] > started or (entry := revive(query, started)) is not None):
                use = entry[0] + 1
                reply = entry[2][use % entry[1]]
                end = start + len(reply)
                if end - start <= size - 2:
                    entry[0] = use
                    slots[start:end] = reply
                    iovecs[2 * i + 1] = len(reply) + 2
                    hits += 1
                    if i > ready:
                        batch.move(i, ready)
                    ready += 1
                    start += size
                    continue
            if self._has_reply(batch, i, slots[start - 2 : start - 2 + length].tobytes(), started):
                if i > ready:
                    batch.move(i, ready)
                ready += 1
            start += size
        self.engine.shortcut.send()
        if ready:
            self._send(batch, 0, ready)
        self.packets += count
        if hits:
            self.engine.count_batch(hits, perf_counter() - started)

    def _has_reply(self, batch: mmsg.MessageBatch, i: int, packet: bytes, now: float) -> bool:
        """Handle the query in slot ``i``; True if its reply now stands in the slot."""
        peer, control = batch.peer(i), batch.control(i) if self.wildcard else b""
        if self._due < MAX_WAITING:
            ticket = self.engine.shortcut.take(packet, now)
            if ticket is not None:
                ticket.origin, ticket.peer, ticket.control = self, peer, control
                self._due += 1
                return False
        client = _UdpClient(self, peer, control)
        output = self.engine.handle(packet, client)
        if not isinstance(output, bytes):
            self._send_when_ready(output, client, peer, control)
        elif len(output) <= mmsg.SLOT_BYTES:
            batch.write(i, output)
            return True
        else:
            self._send_one(output, client)
        return False

    def answer(self, ticket: Ticket, reply: bytes) -> None:
        """See Origin."""
        self._arrived()
        self._post(reply, ticket.peer, ticket.control)

    def detour(self, ticket: Ticket, attempt: Attempt) -> None:
        """See Origin."""
        self._arrived()
        client = _UdpClient(self, ticket.peer, ticket.control)
        output = self.engine.handle(ticket.packet, client, attempt=attempt)
        if isinstance(output, bytes):
            self._post(output, ticket.peer, ticket.control)
        else:
            self._send_when_ready(output, client, ticket.peer, ticket.control)

    def _send_when_ready(self, output: Output, client: Client, peer: bytes, control: bytes) -> None:
        if isinstance(output, Later):
            self._send_later(output, peer, control)
        elif isinstance(output, Awaitable):
            self._wait_for(output, client)

    def _send_later(self, output: Later[Messages | None], peer: bytes, control: bytes) -> None:
        """Send the reply when it is there, with others that come at the same time."""
        if self._due >= MAX_WAITING:
            self.dropped += 1
            return
        self._due += 1

        def put(reply: Messages | None) -> None:
            self._arrived()
            if isinstance(reply, bytes):
                self._post(reply, peer, control)

        output.consume(put)

    def _arrived(self) -> None:
        """One of those that are due is no more."""
        self._due -= 1
        if not self._due and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _post(self, reply: bytes, peer: bytes, control: bytes) -> None:
        """Send a reply with others that come at the same time."""
        if len(reply) > mmsg.SLOT_BYTES:
            self._send_one(reply, _UdpClient(self, peer, control))
            return
        if not self._outbox:
            self._loop.call_soon(self._send_outbox)
        self._outbox.append((reply, peer, control))

    def _send_outbox(self) -> None:
        batch = self._outgoing
        assert batch is not None
        outbox, self._outbox = self._outbox, []
        if self._closed:
            return
        for first in range(0, len(outbox), mmsg.BATCH):
            some = outbox[first : first + mmsg.BATCH]
            for i, (reply, peer, control) in enumerate(some):
                batch.put(i, reply, peer, control)
            self._send(batch, 0, len(some))

    def _send(self, batch: mmsg.MessageBatch, first: int, end: int) -> None:
        waited = False
        while first < end:
            sent = batch.send(self._number, first, end - first)
            if sent > 0:
                first += sent
            elif sent in (-errno.EAGAIN, -errno.ENOBUFS) and not waited:
                waited = True
                select.select([], [self.socket], [], _SEND_WAIT_SECONDS)
            elif sent != -errno.EINTR:
                self.dropped += 1
                first += 1

    def _wait_for(self, output: Awaitable[Messages | None], client: Client) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            _discard(output)
            return
        task = self._loop.create_task(self._reply_later(output, client))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _reply_later(self, output: Awaitable[Messages | None], client: Client) -> None:
        reply = await output
        if isinstance(reply, bytes):
            self._send_one(reply, client)

    def _send_one(self, reply: bytes, client: Client) -> None:
        ancillary = _source_control(client.local_address) if self.wildcard else []
        target: tuple[object, ...] = (client.address, client.port)
        if self.socket.family == socket.AF_INET6:
            host, _, scope = client.address.partition("%")
            target = (host, client.port, 0, int(scope or 0))
        try:
            self.socket.sendmsg([reply], ancillary, 0, target)
        except OSError as error:
            self.dropped += 1
            log.debug("replying to %s: %s", client.address, error)

    def _on_readable_plain(self) -> None:
        """The same, one datagram a call, for systems without ``recvmmsg``."""
        for _ in range(_BURST):
            try:
                packet, ancillary, _, address = self.socket.recvmsg(mmsg.SLOT_BYTES, 64)
            except (BlockingIOError, ConnectionRefusedError):
                return
            except OSError as error:
                log.error("receiving on %s: %s", self.local_address, error)
                return
            self.packets += 1
            local = _destination(ancillary[0][2]) if ancillary and self.wildcard else self.local_address
            host = f"{address[0]}%{address[3]}" if len(address) > 2 and address[3] else address[0]
            client = Client("udp", host, address[1], local, self.local_port)
            output = self.engine.handle(packet, client)
            if isinstance(output, bytes):
                self._send_one(output, client)
            elif isinstance(output, Awaitable):
                self._wait_for(output, client)


class _UdpClient(Client):
    """A client whose addresses are read when somebody asks for them; most queries are answered without."""

    __slots__ = ("_control", "_listener", "_peer")

    def __init__(self, listener: UdpListener, peer: bytes, control: bytes) -> None:
        self.protocol = "udp"
        self.local_port = listener.local_port
        self._listener = listener
        self._peer = peer
        self._control = control

    def __getattr__(self, name: str) -> Any:
        """The addresses, once; only what isn't set comes here."""
        if name not in ("address", "port", "local_address"):
            raise AttributeError(name)
        listener = self._listener
        host, port = _read_address(self._peer)
        local = _read_destination(self._control) if listener.wildcard else ""
        super().__init__("udp", host, port, local or listener.local_address, listener.local_port)
        return getattr(self, name)


def _discard(output: Awaitable[Messages | None]) -> None:
    close = getattr(output, "close", None)
    if close is not None:
        close()


def _ask_for_destination(sock: socket.socket) -> None:
    """Have the kernel tell the address that each datagram was sent to, so that the reply can leave from it."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif _has_pktinfo():
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


_IP_PKTINFO: Final = getattr(socket, "IP_PKTINFO", 8)


def _has_pktinfo() -> bool:
    """True where IPv4 sockets can tell and set the local address of a datagram (Linux)."""
    return sys.platform == "linux"


def _read_address(raw: bytes) -> tuple[str, int]:
    """Host and port of a struct sockaddr_in or sockaddr_in6; link-local hosts with their scope."""
    port = int.from_bytes(raw[2:4], "big")
    if len(raw) == 16:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
    scope = int.from_bytes(raw[24:28], sys.byteorder)
    return (f"{host}%{scope}" if scope else host), port


def _read_destination(control: bytes) -> str:
    """The local address in one raw control message (cmsghdr has 16 octets on 64-bit Linux)."""
    return _destination(control[16:]) if len(control) > 16 else ""


def _destination(data: bytes) -> str:
    """The address in a struct in_pktinfo (12 octets: index, local address, destination) or in6_pktinfo (20)."""
    if len(data) >= 20:
        return socket.inet_ntop(socket.AF_INET6, data[:16])
    return socket.inet_ntop(socket.AF_INET, data[4:8]) if len(data) >= 12 else ""


def _source_control(address: str) -> list[tuple[int, int, bytes]]:
    """Control messages that make a datagram leave from ``address``."""
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed + bytes(4))]
    if not _has_pktinfo() or address == "0.0.0.0":
        return []
    return [(socket.IPPROTO_IP, _IP_PKTINFO, bytes(4) + socket.inet_pton(socket.AF_INET, address) + bytes(4))]
