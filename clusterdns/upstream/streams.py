# SPDX-License-Identifier: Apache-2.0
"""TCP and TLS to one upstream (RFC 7766, RFC 7858).

A question goes over an idle connection, else over a new one; only when there are MOST_CONNECTIONS they are shared, and
replies are told apart by their IDs. A connection on which a reply didn't come in time takes no further questions: it is
closed when those on it are through, so that a late reply finds nobody. Connections are closed when they have been idle
for a while, and are replaced by age, so that a balancer in front of several servers gets its chance.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import Final, cast

from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.errors import UpstreamError
from clusterdns.observability.metrics import Value
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.exchange import ClosedError, Exchange
from clusterdns.upstream.ports import error_text
from clusterdns.upstream.unguessable import draw

MOST_CONNECTIONS: Final = 64
CONNECT_SECONDS: Final = 4.0
_MOST_WAITING: Final = 4096
"""Questions under way on one connection."""

_SWEEP_SECONDS: Final = 1.0


class Connection(asyncio.Protocol):
    """One connection, from the first question that it was opened for.

    used: how many questions it has carried; idle_since, opened: in the event loop's time.
    """

    def __init__(self, pool: Streams, opened: float) -> None:
        self.pool = pool
        self.opened = opened
        self.idle_since = opened
        self.accepting = True
        self.used = 0
        self.waiting: dict[int, Exchange] = {}
        self._transport: asyncio.Transport | None = None
        self._unsent: list[Exchange] = []
        self._buffer = b""
        self._local = ("", 0)
        self.task: asyncio.Task[None] | None = None

    def send(self, exchange: Exchange) -> None:
        """Send a question, or keep it until the connection is there."""
        message_id = draw() & 0xFFFF
        while message_id in self.waiting:
            message_id = draw() & 0xFFFF
        exchange.message_id = message_id
        exchange.carrier = self
        exchange.reused = self.used > 0
        self.waiting[message_id] = exchange
        self.used += 1
        if self._transport is None:
            self._unsent.append(exchange)
        else:
            self._transport.write(_frame(exchange))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, with TLS after the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self._local = (host, port)
        unsent, self._unsent = self._unsent, []
        frames = [_frame(exchange) for exchange in unsent if exchange.carrier is self]
        if frames:
            self._transport.write(b"".join(frames))
        if not self.accepting and not self.waiting:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Some octets of replies."""
        buffer = self._buffer + data if self._buffer else data
        position = 0
        while position + 2 <= len(buffer):
            end = position + 2 + (buffer[position] << 8 | buffer[position + 1])
            if end > len(buffer):
                break
            self._message(buffer[position + 2 : end])
            position = end
        self._buffer = buffer[position:]

    def _message(self, message: bytes) -> None:
        if len(message) < HEADER_BYTES or not message[2] & 0x80:
            return
        exchange = self.waiting.get(message[0] << 8 | message[1])
        if exchange is None:
            return
        exact = exchange.exact
        if exact and message[HEADER_BYTES : HEADER_BYTES + len(exact)] != exact:
            return
        self._end(exchange)
        exchange.asker.replied(exchange, message)

    def _end(self, exchange: Exchange) -> None:
        del self.waiting[exchange.message_id]
        exchange.carrier = None
        if exchange.deadline is not None:
            exchange.deadline.discard(exchange)
            exchange.deadline = None
        if not self.waiting:
            self.idle_since = self.pool.now()
            if self.accepting:
                self.pool.became_idle(self)
            else:
                self.close()

    def gave_up(self, exchange: Exchange, *, timed_out: bool) -> None:
        """See Carrier. Without knowing whether a reply is still to come, the connection can't be used for others."""
        self.accepting = False
        self._end(exchange)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is None:
            self.lost(ClosedError("EOF"))
        else:
            text = error_text(exc) if isinstance(exc, OSError) else str(exc)
            self.lost(ClosedError(f"{self.describe()}: read: {text}"))

    def lost(self, reason: UpstreamError) -> None:
        """All that is under way fails."""
        self.accepting = False
        self.pool.forget(self)
        for exchange in list(self.waiting.values()):
            self._end(exchange)
            exchange.asker.failed(exchange, reason)

    def close(self) -> None:
        """Close; what is under way fails."""
        self.accepting = False
        if self.task is not None:
            self.task.cancel()
        if self._transport is not None:
            self._transport.abort() if self.waiting else self._transport.close()
        self.pool.forget(self)

    def describe(self) -> str:
        """See Carrier."""
        if self._transport is None:
            return f"dial tcp {self.pool.endpoint}"
        return f"read tcp {Endpoint(*self._local)}->{self.pool.endpoint}"

    def local(self) -> tuple[str, int]:
        """See Carrier."""
        return self._local


class Streams:
    """The connections to one upstream.

    expire_seconds: an idle connection is closed after it; max_age_seconds: a connection takes no questions after it.
    most_idle: idle connections kept, 0 for no bound.
    context: for TLS, None without; server_name: what the certificate must say.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        loop: asyncio.AbstractEventLoop,
        *,
        context: ssl.SSLContext | None,
        server_name: str,
        expire_seconds: float,
        max_age_seconds: float,
        most_idle: int,
        source: str,
        reused: Value,
        opened: Value,
    ) -> None:
        self.endpoint = endpoint
        self._loop = loop
        self._context = context
        self._server_name = server_name
        self._expire_seconds = expire_seconds
        self._max_age_seconds = max_age_seconds
        self._most_idle = most_idle
        self._source = source
        self._reused = reused
        self._opened = opened
        self._connections: dict[Connection, None] = {}
        self._idle: deque[Connection] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The event loop's time."""
        return self._loop.time()

    def send(self, exchange: Exchange, *, fresh: bool = False) -> UpstreamError | None:
        """Send a question, over a new connection if ``fresh``; the error if there is no room for it."""
        connection = None if fresh else self._idle_connection()
        if connection is None and len(self._connections) < MOST_CONNECTIONS:
            connection = self._open()
        if connection is None:
            shared = [each for each in self._connections if each.accepting and not self._is_old(each)]
            connection = min(shared, key=lambda each: len(each.waiting), default=None)
            if connection is None or len(connection.waiting) >= _MOST_WAITING:
                return UpstreamError(f"dial tcp {self.endpoint}: too many connections")
            self._reused.value += 1
        connection.send(exchange)
        return None

    def _idle_connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.popleft()
            if self._is_old(connection) or self.now() - connection.idle_since > self._expire_seconds:
                connection.close()
            elif connection.accepting and not connection.waiting:
                self._reused.value += 1
                return connection
        return None

    def _is_old(self, connection: Connection) -> bool:
        return 0 < self._max_age_seconds < self.now() - connection.opened

    def _open(self) -> Connection:
        connection = Connection(self, self.now())
        self._connections[connection] = None
        self._opened.value += 1
        connection.task = self._loop.create_task(self._connect(connection))
        self._tasks.add(connection.task)
        connection.task.add_done_callback(self._tasks.discard)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        return connection

    async def _connect(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(
                    lambda: connection,
                    self.endpoint.host,
                    self.endpoint.port,
                    ssl=self._context,
                    server_hostname=(self._server_name or None) if self._context is not None else None,
                    local_addr=(self._source, 0) if self._source else None,
                    flags=socket.AI_NUMERICHOST,
                )
        except TimeoutError:
            connection.lost(UpstreamError(f"dial tcp {self.endpoint}: i/o timeout"))
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message or error.reason
            connection.lost(UpstreamError(f"tls: failed to verify certificate of {self.endpoint}: {reason}"))
        except ssl.SSLError as error:
            connection.lost(UpstreamError(f"tls: handshake with {self.endpoint}: {error.reason}"))
        except OSError as error:
            connection.lost(UpstreamError(f"dial tcp {self.endpoint}: connect: {error_text(error)}"))
        finally:
            connection.task = None

    def became_idle(self, connection: Connection) -> None:
        """All its questions are answered."""
        if self._is_old(connection) or (self._most_idle and len(self._idle) >= self._most_idle):
            connection.close()
        else:
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        if self._connections.pop(connection, self) is None and connection in self._idle:
            self._idle.remove(connection)

    def _sweep(self) -> None:
        deadline = self.now() - self._expire_seconds
        for connection in [each for each in self._idle if each.idle_since < deadline or self._is_old(each)]:
            connection.close()
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep) if self._connections else None

    async def close(self, reason: UpstreamError) -> None:
        """Close all; what is under way fails."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._connections):
            connection.close()
            connection.lost(reason)
        if self._tasks:
            await asyncio.wait(self._tasks)


def _frame(exchange: Exchange) -> bytes:
    return (len(exchange.wire) + 2).to_bytes(2, "big") + exchange.message_id.to_bytes(2, "big") + exchange.wire
