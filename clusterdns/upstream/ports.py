# SPDX-License-Identifier: Apache-2.0
"""UDP to one upstream, from source ports that can't be guessed and never get another's reply.

Theory of operation. A forged reply has to hit the port and the ID of a query (RFC 5452). So up to MOST_PORTS connected
sockets are kept open, each on a random port of the system's choice, and each query, or the few of a volley together,
draws one of them; the system drops what other addresses send. A port is used for a while and for USES queries, then it
is replaced: so balancers that go by ports spread the queries anew, and an upstream's late or repeated reply finds no
taker, because *an ID is used once in the life of a port*, and a port on which a query timed out is not drawn again.

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
from clusterdns.serving.relay import Ticket
from clusterdns.sockets.mmsg import HEADER_WORDS, LENGTH_WORD, MessageBatch
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.exchange import Exchange
from clusterdns.upstream.receiver import MOST_PORTS, Allowance, Receiver
from clusterdns.upstream.unguessable import draw
from clusterdns.upstream.volley import Volley

USES: Final = 128
_READ_BYTES: Final = 65535
_READ_ERRORS: Final = (BlockingIOError, InterruptedError)
_SWEEP_SECONDS: Final = 1.0


class Port:
    """One connected socket. ``ids`` has every ID that was used on it; who asked, while the reply is awaited."""

    __slots__ = ("expires", "ids", "number", "pool", "retired", "sock", "waiting")

    def __init__(self, pool: Ports, sock: socket.socket, expires: float) -> None:
        self.pool = pool
        self.sock = sock
        self.number = sock.fileno()
        self.expires = expires
        self.ids: dict[int, Exchange | Ticket | None] = {}
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

    def fire(self, volley: Volley, batch: MessageBatch) -> int:
        """Send the questions of a volley, each under an ID; how many of the first could be sent."""
        ids = self.ids
        tickets = volley.tickets
        for i, ticket in enumerate(tickets):
            message_id = draw() & 0xFFFF
            while message_id in ids:
                message_id = draw() & 0xFFFF
            ids[message_id] = None
            ticket.message_id = message_id
            ticket.volley = volley
            batch.write(i, message_id.to_bytes(2, "big") + ticket.wire)
        volley.port = self
        self.waiting += len(tickets)  # so that nothing that fails meanwhile closes the socket
        sent = self._send_batch(batch, len(tickets))
        for ticket in tickets[:sent]:
            ids[ticket.message_id] = ticket
        self.waiting -= len(tickets) - sent
        self._close_if_done()
        return sent

    def _send_batch(self, batch: MessageBatch, count: int) -> int:
        first = 0
        refused = False
        while first < count:
            sent = batch.send(self.number, first, count - first)
            if sent > 0:
                first += sent
            elif sent == -errno.ECONNREFUSED and not refused:
                refused = True  # see ``send``
                self._fail(OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
            elif sent != -errno.EINTR:
                break
        return first

    def read(self) -> None:
        """Take what is there; messages that nobody waits for are dropped."""
        batch = self.pool.incoming
        if batch is None:
            self._read_one()
            return
        count = batch.receive(self.number)
        if count < 0:
            if -count not in (errno.EAGAIN, errno.EINTR):
                self._fail(OSError(-count, os.strerror(-count)))
            return
        now = self.pool.now()
        slots, headers, ids = batch.slots, batch.headers, self.ids
        current: tuple[Volley, int] | None = None
        answered = 0
        detours: list[tuple[Ticket, bytes]] = []
        for i in range(count):
            start = i * batch.slot_bytes
            message = slots[start : start + headers[HEADER_WORDS * i + LENGTH_WORD]].tobytes()
            if len(message) < HEADER_BYTES or not message[2] & 0x80:
                continue
            message_id = message[0] << 8 | message[1]
            waiting = ids.get(message_id)
            if waiting is None:
                continue
            if isinstance(waiting, Exchange):
                self._take(waiting, message)
                continue
            ids[message_id] = None
            self.waiting -= 1
            if not waiting.path.arrive(waiting, message):
                detours.append((waiting, message))
                continue
            kind = waiting.volley, message[3] & 15
            if kind != current:
                if current is not None:
                    current[0].answered(current[1], answered, now)
                current = kind
                answered = 0
            answered += 1
        if current is not None:
            current[0].answered(current[1], answered, now)
        for ticket, message in detours:
            ticket.volley.replied(ticket, message)
        self._close_if_done()

    def _read_one(self) -> None:
        try:
            message = self.sock.recv(_READ_BYTES)
        except _READ_ERRORS:
            return
        except OSError as error:
            self._fail(error)
            return
        if len(message) < HEADER_BYTES or not message[2] & 0x80:
            return
        waiting = self.ids.get(message[0] << 8 | message[1])
        if isinstance(waiting, Exchange):
            self._take(waiting, message)
            self._close_if_done()

    def _take(self, exchange: Exchange, message: bytes) -> None:
        exact = exchange.exact
        if exact and message[HEADER_BYTES : HEADER_BYTES + len(exact)] != exact:
            return
        self._forget(exchange)
        exchange.asker.replied(exchange, message)

    def _forget(self, exchange: Exchange) -> None:
        self.ids[exchange.message_id] = None
        exchange.carrier = None
        if exchange.deadline is not None:
            exchange.deadline.discard(exchange)
            exchange.deadline = None
        self.waiting -= 1

    def _close_if_done(self) -> None:
        if self.retired and not self.waiting:
            self.pool.close_port(self)

    def end(self, exchange: Exchange) -> None:
        """The exchange waits for no reply any more; its ID stays taken."""
        self._forget(exchange)
        self._close_if_done()

    def timed_out(self, volley: Volley) -> None:
        """There are no replies to some of a volley in time."""
        reason = UpstreamError(f"{self.describe()}: i/o timeout")
        if not self.retired:
            self.pool.retire(self)
        ids = self.ids
        self._fail_tickets([ticket for ticket in volley.tickets if ids[ticket.message_id] is ticket], reason)

    def _fail_tickets(self, tickets: list[Ticket], reason: UpstreamError) -> None:
        for ticket in tickets:
            self.ids[ticket.message_id] = None
        self.waiting -= len(tickets)
        self._close_if_done()
        for ticket in tickets:
            ticket.volley.failed(ticket, reason)

    def gave_up(self, exchange: Exchange, *, timed_out: bool) -> None:
        """See Carrier."""
        if timed_out and not self.retired:
            self.pool.retire(self)
        self.end(exchange)

    def _fail(self, error: OSError) -> None:
        self.fail(UpstreamError(f"{self.describe()}: read: {error_text(error)}"))

    def fail(self, reason: UpstreamError) -> None:
        """There will be no replies on this port."""
        waiting = [each for each in self.ids.values() if each is not None]
        self._fail_tickets([each for each in waiting if isinstance(each, Ticket)], reason)
        for each in waiting:
            if isinstance(each, Exchange):
                self.end(each)
                each.asker.failed(each, reason)

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
        self.incoming = receiver.incoming
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
            port = self._pick(number >> 16, exchange.started)
            port.send(exchange, number & 0xFFFF)
        except OSError as error:
            operation = "write" if ports else "dial"
            return UpstreamError(f"{operation} udp {self.endpoint}: {error_text(error)}")
        if len(port.ids) >= USES and not port.retired:
            self.retire(port)
        return None

    def fire(self, volley: Volley, started: float) -> int:
        """Send a volley from a port drawn at random; how many of its questions could be sent."""
        batch = self._receiver.outgoing
        if batch is None:
            return 0
        try:
            port = self._pick(draw() >> 16, started)
        except OSError:
            return 0
        sent = port.fire(volley, batch)
        self._reused.value += max(0, sent - 1)
        if len(port.ids) >= USES and not port.retired:
            self.retire(port)
        return sent

    def now(self) -> float:
        """The event loop's time."""
        return self._loop.time()

    def _pick(self, number: int, now: float) -> Port:
        """A new port as long as there may be more, else one drawn by a random number. Raises OSError."""
        if len(self._ports) < MOST_PORTS and self._may_open():
            return self._open()
        return self._draw(number, now)

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
        """Close a retired port, unless that is done."""
        if port.sock.fileno() < 0:
            return
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
            if not port.retired:
                self.retire(port)
            port.fail(reason)
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
