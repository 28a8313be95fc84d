# SPDX-License-Identifier: Apache-2.0
"""Inquiries whose questions and replies are shown to a Tap (``dnstap``). Others pay nothing for it."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from clusterdns.errors import UpstreamError
from clusterdns.serving.capabilities import Hop, Tap
from clusterdns.serving.query import Query
from clusterdns.upstream.client import Client, Inquiry
from clusterdns.upstream.exchange import Carrier, Exchange
from clusterdns.upstream.server import Server


def attach(tap: Tap, client: Client) -> None:
    """Show to ``tap`` what the client asks from now on, and what it is told."""
    client.inquire = partial(TappedInquiry, tap)


class TappedInquiry(Inquiry):
    """An inquiry that shows each question when it is sent, and each reply that answers one."""

    def __init__(self, tap: Tap, client: Client, query: Query, loop: asyncio.AbstractEventLoop) -> None:
        self._tap = tap
        self._asked: dict[Exchange, tuple[int, Carrier]] = {}
        super().__init__(client, query, loop)

    def _ask(self, server: Server, now: float, *, stream: bool, fresh: bool = False) -> UpstreamError | None:
        asked_ns = time.time_ns()
        error = super()._ask(server, now, stream=stream, fresh=fresh)
        if error is None:
            exchange = self._under_way[-1]
            carrier = exchange.carrier
            assert carrier is not None, "a question that was sent is carried by something"
            self._asked[exchange] = asked_ns, carrier
            octets = exchange.message_id.to_bytes(2, "big") + exchange.wire
            self._tap.tap_exchange(self._query, _hop(exchange, carrier), octets, asked_ns, 0)
        return error

    def replied(self, exchange: Exchange, message: bytes) -> None:
        """See Asker."""
        asked_ns, carrier = self._asked[exchange]
        self._tap.tap_exchange(self._query, _hop(exchange, carrier), message, asked_ns, time.time_ns())
        super().replied(exchange, message)


def _hop(exchange: Exchange, carrier: Carrier) -> Hop:
    server: Server = exchange.subject
    protocol = "tls" if server.stream_only else "tcp" if exchange.stream else "udp"
    return Hop(protocol, server.endpoint.host, server.endpoint.port, *carrier.local())
