# SPDX-License-Identifier: Apache-2.0
"""The short way to upstreams: questions as they came, in volleys, over UDP.

Only the first step of an ``Inquiry`` is taken here, and only its most common outcome: the first healthy upstream in the
order of the policy is asked, and it answers. Everything else is a detour to the Inquiry, which goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from clusterdns.dns.types import NOERROR, NXDOMAIN
from clusterdns.serving.relay import Ticket
from clusterdns.sockets import mmsg
from clusterdns.upstream.client import INQUIRY_SECONDS, Client, ClientOptions
from clusterdns.upstream.policy import RANDOM, SEQUENTIAL
from clusterdns.upstream.server import Server
from clusterdns.upstream.unguessable import draw
from clusterdns.upstream.volley import MOST_QUESTIONS, Volley


def may_relay(options: ClientOptions) -> bool:
    """True if the first step of an inquiry with these options can be one over UDP with the query's own octets."""
    return (
        mmsg.available()
        and not options.force_tcp
        and not options.check_letters
        and not options.hedge_seconds
        and not options.failover & {NOERROR, NXDOMAIN}
    )


class UdpRelay:
    """Asks the upstreams of a client whose options allow that (``may_relay``). See ``serving.relay.Relay``."""

    def __init__(self, client: Client) -> None:
        self.plugin = client.plugin
        self._client = client
        self._seconds = min(client.options.read_seconds, INQUIRY_SECONDS)

    def send(self, tickets: list[Ticket]) -> list[Ticket]:
        """See Relay."""
        client = self._client
        most = client.options.most_inquiries
        servers = client.servers
        if (most and client.under_way + len(tickets) > most) or any(server.stream_only for server in servers):
            return tickets
        started = asyncio.get_running_loop().time()
        left: list[Ticket] = []
        for server, share in self._share_out(servers, tickets):
            if server is None:
                left += share
                continue
            for first in range(0, len(share), MOST_QUESTIONS):
                some = share[first : first + MOST_QUESTIONS]
                volley = Volley(client, server, some, started)
                sent = server.fire(volley, started, self._seconds)
                client.under_way += sent
                if sent < len(some):
                    volley.left = sent
                    left += some[sent:]
        return left

    def _share_out(
        self, servers: Sequence[Server], tickets: list[Ticket]
    ) -> Iterator[tuple[Server | None, list[Ticket]]]:
        """Whom each is to ask first; None if all are left out."""
        policy = self._client.options.policy
        most_fails = self._client.options.most_fails
        healthy = [server for server in servers if not server.health.down(most_fails)]
        if not healthy:
            yield None, tickets
        elif len(healthy) == 1 or policy == SEQUENTIAL:
            yield healthy[0], tickets
        else:
            shares: dict[Server, list[Ticket]] = {server: [] for server in healthy}
            for ticket in tickets:
                shares[self._draw(servers, healthy)].append(ticket)
            for server, share in shares.items():
                if share:
                    yield server, share

    def _draw(self, servers: Sequence[Server], healthy: list[Server]) -> Server:
        if self._client.options.policy == RANDOM:
            return healthy[draw() % len(healthy)]
        return next(server for server in self._client.order(servers) if server in healthy)
