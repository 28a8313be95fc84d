# SPDX-License-Identifier: Apache-2.0
"""One upstream: its sockets, its health, its metrics."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import msgspec

from clusterdns.errors import UpstreamError
from clusterdns.observability.metrics import Histogram, Value
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.deadlines import Deadlines
from clusterdns.upstream.exchange import Exchange
from clusterdns.upstream.health import Health, HealthCheck
from clusterdns.upstream.metrics import ForwardMetrics
from clusterdns.upstream.ports import Ports
from clusterdns.upstream.receiver import Allowance, Receiver
from clusterdns.upstream.streams import Streams
from clusterdns.upstream.volley import Volley

CLOSED: Final = UpstreamError("proxy: transport stopped")
_PROBE_SECONDS: Final = 1.0
_DEFAULT_AGE_SECONDS: Final = 60.0


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths of PEM files, empty for none: the authorities to believe (default: the system's), own certificate, key.

    digest: of what is in them, so that replaced files are read by a reload.
    """

    authorities: str = ""
    certificate: str = ""
    key: str = ""
    digest: str = ""


class SocketOptions(msgspec.Struct, frozen=True):
    """How the sockets of an upstream are kept; equal ones are shared by all that ask the upstream.

    expire_seconds: a connection is closed when idle for so long, a UDP port replaced when open for so long.
    max_age_seconds: no socket is used longer, 0 for the default (60 s for connections).
    most_idle: idle connections kept, 0 for no bound.
    """

    expire_seconds: float = 10.0
    max_age_seconds: float = 0.0
    most_idle: int = 0
    source: str = ""
    tls: TlsFiles = TlsFiles()


class Server:
    """An upstream with its sockets.

    health: shared by all servers with the same endpoint.
    to: the endpoint as the metrics name it.
    stream_only: True for TLS.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        options: SocketOptions,
        health: Health,
        metrics: ForwardMetrics,
        *,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        allowance: Allowance,
        deadlines: Deadlines,
        context: ssl.SSLContext | None,
    ) -> None:
        self.endpoint = endpoint
        self.options = options
        self.health = health
        self.to = str(endpoint)
        self.stream_only = context is not None
        self.closed = False
        self._metrics = metrics
        self._requests = metrics.requests(self.to)
        self._by_rcode: dict[int, tuple[Histogram, Value]] = {}
        self._loop = loop
        self._deadlines = deadlines
        age = options.max_age_seconds
        self._ports = Ports(
            endpoint,
            receiver,
            allowance,
            loop,
            lifetime_seconds=min(options.expire_seconds, age) if age else options.expire_seconds,
            source=options.source,
            reused=metrics.reused(self.to, "udp"),
            opened=metrics.opened(self.to, "udp"),
        )
        protocol = "tcp-tls" if self.stream_only else "tcp"
        self._streams = Streams(
            endpoint,
            loop,
            context=context,
            server_name=endpoint.server_name,
            expire_seconds=options.expire_seconds,
            max_age_seconds=age or max(_DEFAULT_AGE_SECONDS, options.expire_seconds),
            most_idle=options.most_idle,
            source=options.source,
            reused=metrics.reused(self.to, protocol),
            opened=metrics.opened(self.to, protocol),
        )

    def ask(self, exchange: Exchange, seconds: float, *, stream: bool, fresh: bool = False) -> UpstreamError | None:
        """Send a question and wait ``seconds`` for its reply; the error if it can't be sent.

        stream: over TCP; fresh: over a new connection.
        """
        if self.closed:
            return CLOSED
        self._requests.value += 1
        if stream or self.stream_only:
            error = self._streams.send(exchange, fresh=fresh)
        else:
            error = self._ports.send(exchange)
        if error is None:
            self._deadlines.add(exchange, exchange.started + seconds)
        return error

    def fire(self, volley: Volley, started: float, seconds: float) -> int:
        """Send a volley and wait ``seconds`` for the replies; how many of its questions could be sent."""
        if self.closed:
            return 0
        sent = self._ports.fire(volley, started)
        if sent:
            self._requests.value += sent
            self._deadlines.add(volley, started + seconds)
        return sent

    def count(self, rcode: int, seconds: float, number: int = 1) -> None:
        """So many replies came after ``seconds``."""
        metrics = self._by_rcode.get(rcode)
        if metrics is None:
            metrics = self._by_rcode[rcode] = self._metrics.durations(self.to, rcode)
        metrics[0].observe(seconds, number)
        metrics[1].value += number
        if self.health.fails:
            self.health.answered()

    async def probe(self, check: HealthCheck) -> bool:
        """Ask what ``check`` says; True for any reply."""
        asker = _Prober(self._loop.create_future())
        exchange = Exchange(asker, check.wire(), b"", self._loop.time())
        stream = check.force_tcp or self.stream_only
        if self.closed or (self._streams.send(exchange, fresh=True) if stream else self._ports.send(exchange)):
            return False
        self._deadlines.add(exchange, exchange.started + _PROBE_SECONDS)
        try:
            return await asker.result
        finally:
            exchange.give_up()

    async def close(self) -> None:
        """Close the sockets; what is under way fails."""
        self.closed = True
        self._ports.close(CLOSED)
        await self._streams.close(CLOSED)


class _Prober:
    """Waits for the reply to a probe."""

    def __init__(self, result: asyncio.Future[bool]) -> None:
        self.result = result

    def replied(self, exchange: Exchange, message: bytes) -> None:
        """See Asker."""
        if not self.result.done():
            self.result.set_result(True)

    def failed(self, exchange: Exchange, error: UpstreamError) -> None:
        """See Asker."""
        if not self.result.done():
            self.result.set_result(False)
