# SPDX-License-Identifier: Apache-2.0
"""DNS over TCP (RFC 7766): pipelined queries, replies as they are ready, idle connections closed.

How long a connection may take is the engine's to say (``Engine.limits``); octets that trickle in don't extend the time
that a message has. A connection holds at most one unfinished message and MAX_PIPELINED queries that wait; while its
client doesn't read, nothing more is read from it. A reply of several messages is made while it is sent, in turns.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Final, cast

from clusterdns.fastpath.memo import UNTIL
from clusterdns.serving.engine import Engine, Messages
from clusterdns.serving.limits import ConnectionLimits
from clusterdns.serving.query import Client
from clusterdns.transports.listen import TCP_BACKLOG

MAX_CONNECTIONS: Final = 4096
"""For one listener, and no more than half of the files that the process may open; the one that has been idle longest
makes room for a new one."""

MAX_PIPELINED: Final = 128
"""Queries of one connection that may wait for something else at a time."""

_MESSAGES_AT_ONCE: Final = 2
"""Messages of a long reply made before other work of the process gets a turn: some milliseconds."""

_TURN_SECONDS: Final = 0.002
"""Of answering one client's queries before others get their turn."""

MAX_QUERY_BYTES: Final = 4096
"""As over UDP; a client that announces more is cut off, before its octets take memory."""

_READ_LIMIT: Final = 65536

log = logging.getLogger("clusterdns.tcp")


class TcpListener:
    """One listening socket. ``engine`` may be exchanged at any time; its limits hold from then on."""

    def __init__(self, sock: socket.socket, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self.socket = sock
        self.engine = engine
        self.loop = loop
        self.family = 2 if sock.family == socket.AF_INET6 else 1
        self.connections: dict[Connection, None] = {}
        """In the order of their last message, longest idle first."""
        self._server: asyncio.Server | None = None
        self._drained: asyncio.Event | None = None
        self._most = min(MAX_CONNECTIONS, max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self.packets = 0

    async def start(self) -> None:
        """Accept connections."""
        self._server = await self.loop.create_server(lambda: Connection(self), sock=self.socket, backlog=TCP_BACKLOG)

    async def close(self, drain_seconds: float) -> None:
        """Accept no more; let what is under way finish for at most ``drain_seconds``."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close_when_done()
        if self.connections:
            self._drained = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), drain_seconds)
        for connection in list(self.connections):
            connection.abort()

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        if self._drained is not None and not self.connections:
            self._drained.set()

    def make_room(self) -> None:
        """Close the connections that have been idle longest until there is room for one more."""
        while len(self.connections) >= self._most:
            next(iter(self.connections)).abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._waiting = 0
        self._streams: deque[Iterator[bytes]] = deque()
        self._going_on = False
        self._closing = False
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._client: Client | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._begun = False
        self._queries = 0
        self._spent = False

    @property
    def _limits(self) -> ConnectionLimits:
        return self._listener.engine.limits

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not peer or not local:
            self.abort()
            return
        self._client = Client("tcp", peer[0], peer[1], local[0], local[1])
        self._listener.make_room()
        self._listener.connections[self] = None
        self._expire_in(self._limits.read_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._listener.forget(self)
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._transport = None
        self._buffer.clear()
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        """Octets have arrived: answer each whole message. Those of a client that has asked enough are thrown away."""
        if self._spent:
            return
        buffer = self._buffer
        buffer += data
        self._work()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read (half-close)."""
        self.close_when_done()
        return True

    def pause_writing(self) -> None:
        """The client reads more slowly than we answer."""
        self._paused = True
        self._update_reading()
        self._write_timer = self._listener.loop.call_later(self._limits.write_seconds, self.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if self._streams:
            self._go_on_later()
        else:
            self._work()

    def close_when_done(self) -> None:
        """Close after the replies to what has arrived."""
        self._closing = True
        self._close_if_done()

    def abort(self) -> None:
        """Close at once."""
        self._listener.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        """Answer the whole messages in the buffer, as far as the client's reading and waiting queries allow."""
        buffer = self._buffer
        most = self._limits.max_queries
        position = 0
        answered = False
        turn_ends = perf_counter() + _TURN_SECONDS
        while not self._busy and self._transport is not None and not self._spent:
            if len(buffer) < position + 2:
                break
            size = buffer[position] << 8 | buffer[position + 1]
            if size > MAX_QUERY_BYTES:
                self.abort()
                return
            end = position + 2 + size
            if len(buffer) < end:
                break
            self._answer(bytes(buffer[position + 2 : end]))
            answered = True
            position = end
            self._queries += 1
            self._spent = most > 0 and self._queries >= most
            if perf_counter() > turn_ends:
                self._listener.loop.call_soon(self._work)
                break
        del buffer[: len(buffer) if self._spent else position]
        if self._transport is None:
            return
        self._watch_time(answered)
        self._update_reading()
        self._close_if_done()

    def _watch_time(self, answered: bool) -> None:
        """Start the clock that fits: idle, or a message that has begun (which more of its octets don't extend)."""
        begun = bool(self._buffer)
        if answered:
            connections = self._listener.connections
            connections.pop(self, None)
            connections[self] = None
        if answered or begun != self._begun:
            self._expire_in(self._limits.read_seconds if begun else self._limits.idle_seconds)
        self._begun = begun

    def _answer(self, packet: bytes) -> None:
        listener = self._listener
        listener.packets += 1
        started = perf_counter()
        memo = listener.engine.memo("tcp", listener.family)
        entry = memo.entries.get(packet[2:])
        if entry is not None and (entry[UNTIL] > started or (entry := memo.revive(packet[2:], started)) is not None):
            entry[0] = use = entry[0] + 1
            self._write(packet[:2] + entry[2][use % entry[1]])
            listener.engine.count_batch(1, perf_counter() - started)
            return
        assert self._client is not None
        output = listener.engine.handle(packet, self._client)
        if not isinstance(output, Awaitable):
            self._send(output)
        else:
            self._waiting += 1
            task = listener.loop.create_task(self._answer_later(output))
            task.add_done_callback(self._answered)

    async def _answer_later(self, output: Awaitable[Messages | None]) -> None:
        self._send(await output)

    def _send(self, reply: Messages | None) -> None:
        if isinstance(reply, bytes):
            self._write(reply)
        elif reply is not None:
            self._streams.append(reply)
            self._go_on_later()

    def _go_on_later(self) -> None:
        if not self._going_on and not self._paused:
            self._going_on = True
            self._listener.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Send some messages of a long reply; while the client doesn't read them, no more are made."""
        self._going_on = False
        for _ in range(_MESSAGES_AT_ONCE):
            if self._paused or not self._streams or self._transport is None:
                break
            try:
                message = next(self._streams[0], None)
            except Exception as error:
                log.error("a reply of several messages ends early: %s", error)
                self.abort()
                return
            if message is None:
                self._streams.popleft()
            else:
                self._write(message)
        if self._streams:
            self._go_on_later()
        else:
            self._work()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._waiting -= 1
        if not task.cancelled() and task.exception() is not None:
            log.error("answering over TCP: %s", task.exception())
        if self._transport is not None:
            self._work()

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(reply).to_bytes(2, "big") + reply)

    @property
    def _busy(self) -> bool:
        """True while no more queries are taken: the client has enough to read, or to wait for."""
        return self._paused or bool(self._streams) or self._waiting >= MAX_PIPELINED

    def _close_if_done(self) -> None:
        if self._transport is None or self._waiting or self._paused or self._transport.is_closing():
            return
        if self._closing:
            self._transport.close()
        elif self._spent and self._transport.can_write_eof():
            # Closing with unread octets would reset the connection, and the last replies would be lost with it.
            self._transport.write_eof()

    def _update_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._busy or len(self._buffer) > _READ_LIMIT:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _expire_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._listener.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        if self._waiting or self._streams:
            self._expire_in(self._limits.idle_seconds)
        elif self._transport is not None:
            self._transport.close()
