# SPDX-License-Identifier: Apache-2.0
"""UDP to one upstream, from source ports that can't be guessed and never get another's reply.

Theory of operation. A forged reply has to hit the port and the ID of a query (RFC 5452). So up to MOST_PORTS connected
sockets are kept open, each on a random port of the system's choice, and each query draws one of them; the system drops
what other addresses send. A port is used for a while and for USES queries, then it is replaced: so balancers that go by
ports spread the queries anew, and an upstream's late or repeated reply finds no taker, because *an ID is used once in
the life of a port*, and a port on which a query timed out is not drawn again.

All sockets of a process wait in one epoll instance, which the event loop watches as a single file: registering a socket
costs one system call, and one callback of the loop reads from all that are ready.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Final

from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.errors import UpstreamError
from clusterdns.observability.metrics import Value
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.exchange import Exchange
from clusterdns.upstream.receiver import MOST_PORTS, Allowance, Receiver
from clusterdns.upstream.unguessable import draw

USES: Final = 128
_READ_BYTES: Final = 65535
_READ_ERRORS: Final = (BlockingIOError, InterruptedError)
_SWEEP_SECONDS: Final = 1.0


class Port:
    """One connected socket. ``ids`` has every ID that was used on it; the exchange while its reply is awaited."""

    __slots__ = ("expires", "ids", "number", "pool", "retired", "sock", "waiting")

    def __init__(self, pool: Ports, sock: socket.socket, expires: float) -> None:
        self.pool = pool
        self.sock = sock
        self.number = sock.fileno()
        self.expires = expires
        self.ids: dict[int, Exchange | None] = {}
        self.waiting = 0
        self.retired = False

    def send(self, exchange: Exchange, message_id: int) -> None:
        """Send the question under an ID, or another where that one was used. Raises OSError."""
        ids = self.ids
        while message_id in ids:
            message_id = draw() & 0xFFFF
        exchange.message_id = message_id
        ids[message_id] = None
        data = message_id.to_bytes(2, "big") + exchange.wire
        try:
            self.sock.send(data)
        except ConnectionRefusedError as error:
            # What an earlier datagram met is told with this one, which was not sent.
            self._fail(error)
            self.sock.send(data)
        ids[message_id] = exchange
        exchange.carrier = self
        self.waiting += 1

    def read(self) -> None:
        """Take one datagram; one that nobody waits for is dropped."""
        try:
            message = self.sock.recv(_READ_BYTES)
        except _READ_ERRORS:
            return
        except OSError as error:
            self._fail(error)
            return
        if len(message) < HEADER_BYTES or not message[2] & 0x80:
            return
        exchange = self.ids.get(message[0] << 8 | message[1])
        if exchange is None:
            return
        exact = exchange.exact
        if exact and message[HEADER_BYTES : HEADER_BYTES + len(exact)] != exact:
            return
        self.ids[exchange.message_id] = None
        exchange.carrier = None
        if exchange.deadline is not None:
            exchange.deadline.discard(exchange)
            exchange.deadline = None
        self.waiting -= 1
        exchange.asker.replied(exchange, message)
        if self.retired and not self.waiting:
            self.pool.close_port(self)

    def end(self, exchange: Exchange) -> None:
        """The exchange waits for no reply any more; its ID stays taken."""
        self.ids[exchange.message_id] = None
        exchange.carrier = None
        if exchange.deadline is not None:
            exchange.deadline.discard(exchange)
            exchange.deadline = None
        self.waiting -= 1
        if self.retired and not self.waiting:
            self.pool.close_port(self)

    def gave_up(self, exchange: Exchange, *, timed_out: bool) -> None:
        """See Carrier."""
        if timed_out and not self.retired:
            self.pool.retire(self)
        self.end(exchange)

    def _fail(self, error: OSError) -> None:
        reason = UpstreamError(f"{self.describe()}: read: {error_text(error)}")
        for exchange in [exchange for exchange in self.ids.values() if exchange is not None]:
            self.end(exchange)
            exchange.asker.failed(exchange, reason)

    def describe(self) -> str:
        """See Carrier."""
        return f"read udp {Endpoint(*self.local())}->{self.pool.endpoint}"

    def local(self) -> tuple[str, int]:
        """See Carrier."""
        host, port = self.sock.getsockname()[:2]
        return host, port


class Ports:
    """The sockets to one upstream.

    lifetime_seconds: how long a port is drawn.
    source: local address, empty for the system's choice.
    reused, opened: counters of queries on a port that was open, and on a new one.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        receiver: Receiver,
        allowance: Allowance,
        loop: asyncio.AbstractEventLoop,
        *,
        lifetime_seconds: float,
        source: str,
        reused: Value,
        opened: Value,
    ) -> None:
        self.endpoint = endpoint
        self._receiver = receiver
        self._allowance = allowance
        self._loop = loop
        self._lifetime_seconds = lifetime_seconds
        self._source = source
        self._reused = reused
        self._opened = opened
        self._family, self._target = socket_address(endpoint)
        self._ports: list[Port] = []
        self._retired: set[Port] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        allowance.holders += 1

    def send(self, exchange: Exchange) -> UpstreamError | None:
        """Send a question from a port drawn at random; the error if that can't be done."""
        ports = self._ports
        number = draw()
        try:
            if len(ports) < MOST_PORTS and self._may_open():
                port = self._open()
            else:
                port = self._draw(number >> 16, exchange.started)
            port.send(exchange, number & 0xFFFF)
        except OSError as error:
            operation = "write" if ports else "dial"
            return UpstreamError(f"{operation} udp {self.endpoint}: {error_text(error)}")
        if len(port.ids) >= USES and not port.retired:
            self.retire(port)
        return None

    def _may_open(self) -> bool:
        allowance = self._allowance
        used = len(self._ports) + len(self._retired)
        return (used < allowance.share() and allowance.open < allowance.most) or not used

    def _draw(self, number: int, now: float) -> Port:
        ports = self._ports
        if not ports:  # all that may be open wait for replies only
            return min(self._retired, key=lambda port: len(port.ids))
        port = ports[number % len(ports)]
        if port.expires < now:
            self.retire(port)
            return self._open() if self._may_open() else self._draw(number, now)
        self._reused.value += 1
        return port

    def _open(self) -> Port:
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if self._source:
                sock.bind((self._source, 0))
            sock.connect(self._target)
        except OSError:
            sock.close()
            raise
        port = Port(self, sock, self._loop.time() + self._lifetime_seconds)
        self._receiver.add(port.number, port)
        self._ports.append(port)
        self._allowance.open += 1
        self._opened.value += 1
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        return port

    def retire(self, port: Port) -> None:
        """Draw the port no more; it is closed when nobody waits for a reply on it."""
        self._ports.remove(port)
        port.retired = True
        if port.waiting:
            self._retired.add(port)
        else:
            self.close_port(port)

    def close_port(self, port: Port) -> None:
        """Close a retired port."""
        self._retired.discard(port)
        self._receiver.remove(port.number)
        port.sock.close()
        self._allowance.open -= 1

    def _sweep(self) -> None:
        now = self._loop.time()
        for port in [port for port in self._ports if port.expires < now]:
            self.retire(port)
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep) if self._ports else None

    def close(self, reason: UpstreamError) -> None:
        """Close all; what is under way fails."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for port in [*self._ports, *self._retired]:
            waiting = [exchange for exchange in port.ids.values() if exchange is not None]
            if not port.retired:
                self.retire(port)
            for exchange in waiting:
                port.end(exchange)
                exchange.asker.failed(exchange, reason)
        self._allowance.holders -= 1


def socket_address(endpoint: Endpoint) -> tuple[socket.AddressFamily, tuple[str | int, ...]]:
    """The family and address to connect to. Raises OSError for a scope that isn't an interface."""
    if ":" not in endpoint.host:
        return socket.AF_INET, (endpoint.host, endpoint.port)
    host, _, scope = endpoint.host.partition("%")
    index = 0
    if scope:
        index = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    return socket.AF_INET6, (host, endpoint.port, 0, index)


def error_text(error: OSError) -> str:
    """What went wrong, in the words that Go has for it."""
    if error.errno == errno.ETIMEDOUT:
        return "i/o timeout"
    if error.errno is None or error.errno <= 0:
        return str(error) or type(error).__name__
    return os.strerror(error.errno).lower()
