# SPDX-License-Identifier: Apache-2.0
"""One query to several upstreams: which is asked next, when to stop, which reply is the client's.

No coroutine and no task runs for a query: an ``Inquiry`` is moved on by the sockets that it asks, and the reply that
the chain of plugins waits for is set at its end. The attempts, the time and the number under way are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import REFUSED, SERVFAIL
from clusterdns.errors import UpstreamError, WireError
from clusterdns.observability.metrics import Value
from clusterdns.serving.later import Later
from clusterdns.serving.metadata import NO_METADATA
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Attempt
from clusterdns.serving.reply import Reply
from clusterdns.upstream import message as messages
from clusterdns.upstream.exchange import ClosedError, Exchange
from clusterdns.upstream.policy import RANDOM, SEQUENTIAL, Policy, make_policy
from clusterdns.upstream.traced import note_failure, note_reply
from clusterdns.upstream.unguessable import draw

if TYPE_CHECKING:
    from clusterdns.upstream.server import Server

INQUIRY_SECONDS: Final = 5.0
"""As long as most clients wait."""

MOST_INQUIRIES: Final = 16384
"""Under way at a time, unless something else is said: more than a listener lets wait."""

ATTEMPTS_PER_UPSTREAM: Final = 2

_NO_REPLY: Final = "no healthy proxies"


class ClientOptions(msgspec.Struct, frozen=True):
    """See the options of ``forward``. Zero means no bound for ``most_inquiries``, ``most_attempts``, ``most_fails``.

    most_attempts: None for two for each upstream.
    hedge_seconds: 0 for never.
    """

    policy: str = RANDOM
    force_tcp: bool = False
    prefer_udp: bool = False
    most_fails: int = 2
    most_attempts: int | None = None
    most_inquiries: int = MOST_INQUIRIES
    read_seconds: float = 2.0
    failover: frozenset[int] = frozenset()
    fail_fast: bool = False
    hedge_seconds: float = 0.0
    check_letters: bool = False


class Asked(Attempt):
    """A question that was sent to an upstream on the short way: with an error, or else a message that has its ID.

    started: in the event loop's time; used: True once an inquiry goes on with it.
    """

    __slots__ = ("client", "error", "message", "server", "started", "used")

    def __init__(
        self,
        came: float,
        client: Client,
        server: Server,
        started: float,
        *,
        message: bytes = b"",
        error: UpstreamError | None = None,
    ) -> None:
        super().__init__(came)
        self.client = client
        self.server = server
        self.started = started
        self.message = message
        self.error = error
        self.used = False


class Client:
    """Asks a set of upstreams.

    plugin: the directive that the replies are from; servers: may be replaced at any time.
    inquire: begins an Inquiry, or one that somebody looks at (``upstream.tapped``).
    """

    def __init__(
        self,
        plugin: str,
        options: ClientOptions,
        *,
        broken: Value,
        rejects: Value,
        random: Random | None = None,
    ) -> None:
        self.plugin = plugin
        self.options = options
        self.servers: Sequence[Server] = ()
        self.under_way = 0
        self.broken = broken
        self.random = random or Random()
        self.order: Policy[Server] = make_policy(options.policy, self.random)
        self.inquire: Callable[[Client, Query, asyncio.AbstractEventLoop], Inquiry] = Inquiry
        self._rejects = rejects
        self._idle: asyncio.Future[None] | None = None

    def ask(self, query: Query) -> Reply | Later[Reply]:
        """The upstreams' reply, or one that says why there is none."""
        attempt = query.attempt
        if isinstance(attempt, Asked) and attempt.client is self and self.servers and not attempt.used:
            attempt.used = True
            inquiry = self.inquire(self, query, asyncio.get_running_loop())
            self.under_way += 1
            inquiry.resume(attempt)
            return inquiry.reply or inquiry.result
        most = self.options.most_inquiries
        if most and self.under_way >= most:
            self._rejects.value += 1
            return Reply.failure(f"concurrent queries exceeded maximum {most}", REFUSED, plugin=self.plugin)
        if not self.servers:
            return Reply.failure(_NO_REPLY, plugin=self.plugin)
        loop = asyncio.get_running_loop()
        inquiry = self.inquire(self, query, loop)
        self.under_way += 1
        inquiry.go_on(inquiry.started)
        return inquiry.reply or inquiry.result

    def order_from(self, server: Server) -> Sequence[Server]:
        """The upstreams in an order of the policy that begins with one of them, or is as written."""
        servers = self.servers
        if server not in servers:
            return self.order(servers)
        if self.options.policy == SEQUENTIAL:
            return servers
        at = servers.index(server)
        rest = [*servers[at + 1 :], *servers[:at]]
        if self.options.policy == RANDOM:
            self.random.shuffle(rest)
        return [server, *rest]

    def ended(self, number: int = 1) -> None:
        """So many inquiries are over."""
        self.under_way -= number
        if not self.under_way and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def drain(self, seconds: float) -> None:
        """Wait until nothing is under way, at most ``seconds``."""
        if not self.under_way:
            return
        self._idle = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._idle], timeout=seconds)


class Inquiry:
    """One query on its way to a reply."""

    # As in Exchange: what seldom changes stands in the class.
    reply: Reply | None = None
    _attempts = 0
    _error = ""
    _failovers = 0
    _hedge: asyncio.TimerHandle | None = None
    _last = False
    _over = False
    _position = 0
    _skipped = 0

    def __init__(self, client: Client, query: Query, loop: asyncio.AbstractEventLoop) -> None:
        options = client.options
        self.result: Later[Reply] = Later(loop.create_future)
        self._client = client
        self._query = query
        self._loop = loop
        self._order = client.order(client.servers)
        self.started = loop.time()
        self._stream = options.force_tcp or (not options.prefer_udp and query.client.protocol != "udp")
        self._under_way: list[Exchange] = []
        wire = query.message()
        self._wire = _mixed_case(wire, query) if options.check_letters else wire[2:]

    def resume(self, attempt: Asked) -> None:
        """Go on with what was asked on the short way, as if it had been the first step of this inquiry."""
        server = attempt.server
        self._order = self._client.order_from(server)
        self._position = self._order.index(server) + 1 if server in self._order else 0
        self.started = attempt.started
        exchange = Exchange(self, self._wire, b"", attempt.started, server)
        self._under_way.append(exchange)
        if attempt.error is None:
            self.replied(exchange, attempt.message)
        else:
            self.failed(exchange, attempt.error)

    def go_on(self, now: float) -> None:
        """Ask the next upstream, or give up."""
        client, options = self._client, self._client.options
        most = options.most_attempts
        if most is None:
            most = ATTEMPTS_PER_UPSTREAM * len(self._order)
        while not self._last and (not most or self._attempts < most):
            if now - self.started >= INQUIRY_SECONDS:
                break
            server = self._next_server()
            if server is None:
                break
            error = self._ask(server, now, stream=self._stream)
            if error is None:
                if options.hedge_seconds and self._hedge is None:
                    self._hedge = self._loop.call_later(options.hedge_seconds, self._ask_another)
                return
            self._note(server, error)
        self._end(Reply.failure(self._error or _NO_REPLY, SERVFAIL, plugin=client.plugin))

    def _next_server(self) -> Server | None:
        order, options = self._order, self._client.options
        while True:
            if self._position >= len(order):
                self._position = self._skipped = 0
            server = order[self._position]
            self._position += 1
            if not server.health.down(options.most_fails):
                return server
            self._skipped += 1
            if self._skipped >= len(order):
                break
        self._client.broken.value += 1
        self._last = True
        # All are down, they say: perhaps it is the probes that fail, so one gets a chance.
        return None if options.fail_fast else self._client.random.choice(order)

    def _ask(self, server: Server, now: float, *, stream: bool, fresh: bool = False) -> UpstreamError | None:
        exact = self._wire[10 : self._query.question_end - 2] if self._client.options.check_letters else b""
        exchange = Exchange(self, self._wire, exact, now, server)
        seconds = min(self._client.options.read_seconds, INQUIRY_SECONDS - (now - self.started))
        error = server.ask(exchange, seconds, stream=stream, fresh=fresh)
        if error is None:
            metadata = self._query.metadata
            if metadata is not NO_METADATA:
                metadata.set(f"{self._client.plugin}/upstream", server.to)
            exchange.stream = stream or server.stream_only
            if fresh:
                exchange.fresh = True
            self._under_way.append(exchange)
        return error

    def _ask_another(self) -> None:
        """The first upstream takes its time: ask a second one besides."""
        if not self._under_way:
            return
        asked = self._under_way[0].subject
        others = [server for server in self._order if not server.health.down(self._client.options.most_fails)]
        server = next((each for each in others if each is not asked), asked)
        self._ask(server, self._loop.time(), stream=self._stream)

    def replied(self, exchange: Exchange, message: bytes) -> None:
        """See Asker."""
        self._under_way.remove(exchange)
        now = self._loop.time()
        server = exchange.subject
        rcode = message[3] & 15
        server.count(rcode, now - exchange.started)
        options = self._client.options
        query = self._query
        plugin = self._client.plugin
        if query.trace is not None:
            note_reply(query.trace, plugin, exchange, rcode, now - exchange.started)
        if not messages.answers(message, query.packet[HEADER_BYTES : query.question_end]):
            self._end(messages.wrong_question_reply(plugin))
            return
        again_over_tcp = options.prefer_udp and not exchange.stream
        if message[2] & 2 and again_over_tcp:
            self._ask_over_tcp(server, now)
            return
        if self._under_way and rcode in (SERVFAIL, REFUSED):
            return  # the other one may know better
        if rcode in options.failover:
            self._failovers += 1
            if self._failovers < len(self._order):
                self.go_on(now)
                return
        try:
            reply = messages.read_reply(query, message, plugin)
        except WireError as error:
            if exchange.stream:
                self._retry(server, UpstreamError(f"dns: {error}"))
                return
            if again_over_tcp:
                self._ask_over_tcp(server, now)
                return
            reply = messages.truncated_reply(plugin)
        self._end(reply)

    def _ask_over_tcp(self, server: Server, now: float) -> None:
        error = self._ask(server, now, stream=True)
        if error is not None:
            self._retry(server, error)

    def failed(self, exchange: Exchange, error: UpstreamError) -> None:
        """See Asker."""
        self._under_way.remove(exchange)
        server = exchange.subject
        if isinstance(error, ClosedError) and exchange.reused and not exchange.fresh:
            # It was closed as idle while the question was on its way: that says nothing about the upstream.
            again = self._ask(server, self._loop.time(), stream=True, fresh=True)
            if again is None:
                return
            error = again
        self._retry(server, error)

    def _retry(self, server: Server, error: UpstreamError) -> None:
        self._note(server, error)
        if not self._under_way:
            self.go_on(self._loop.time())

    def _note(self, server: Server, error: UpstreamError) -> None:
        self._error = str(error)
        self._attempts += 1
        if self._query.trace is not None:
            note_failure(self._query.trace, self._client.plugin, server.to, self._error)
        if self._client.options.most_fails:
            server.health.suspect()

    def _end(self, reply: Reply) -> None:
        if self._over:
            return
        self._over = True
        if self._hedge is not None:
            self._hedge.cancel()
        if self._under_way:
            for exchange in self._under_way:
                exchange.give_up()
            self._under_way.clear()
        self._client.ended()
        self.reply = reply
        self.result.set(reply)


def _mixed_case(wire: bytes, query: Query) -> bytes:
    """The message without its ID, the letters of its question in random case (draft-vixie-dnsext-dns0x20)."""
    end = query.question_end - 4
    name = bytearray(wire[HEADER_BYTES:end])
    bits = 0
    for position, octet in enumerate(name):
        if not position % 16:
            bits = draw()
        if 97 <= octet | 32 <= 122:  # no length of a label is a letter
            name[position] = octet ^ (32 if bits >> position % 16 & 1 else 0)
    return wire[2:HEADER_BYTES] + bytes(name) + wire[end:]
