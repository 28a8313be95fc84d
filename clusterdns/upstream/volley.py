# SPDX-License-Identifier: Apache-2.0
"""Questions on the short way (``serving.relay``) that are sent together, from one port to one upstream."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from clusterdns.errors import UpstreamError
from clusterdns.serving.relay import Path, Ticket
from clusterdns.upstream.client import Asked, Client
from clusterdns.upstream.deadlines import Wait

if TYPE_CHECKING:
    from clusterdns.upstream.ports import Port
    from clusterdns.upstream.server import Server

MOST_QUESTIONS: Final = 16
"""Of one volley, which share a port. A port is drawn for each volley, and an ID for each question, so what a forger has
to guess for any one of them is the same as if they were sent one by one."""


class Volley:
    """See above. Each ticket ends once: its reply arrives, or the query takes the long way.

    started: in the event loop's time.
    port: set when they are sent.
    """

    __slots__ = ("_came", "_client", "_path", "_server", "_started", "deadline", "left", "port", "tickets")

    port: Port

    def __init__(self, client: Client, server: Server, tickets: list[Ticket], started: float) -> None:
        self.tickets = tickets
        self.left = len(tickets)
        self.deadline: set[Wait] | None = None
        self._client = client
        self._server = server
        self._path: Path = tickets[0].path
        self._started = started
        self._came = tickets[0].came

    def answered(self, rcode: int, number: int, now: float) -> None:
        """So many of the tickets were answered with this rcode, at a time of the event loop."""
        self._end(number)
        self._server.count(rcode, now - self._started, number)
        self._path.took(perf_counter() - self._came, number)

    def replied(self, ticket: Ticket, message: bytes) -> None:
        """The reply to one of them isn't for the short way."""
        self._end(1)
        self._path.detour(ticket, Asked(ticket.came, self._client, self._server, self._started, message=message))

    def failed(self, ticket: Ticket, error: UpstreamError) -> None:
        """There will be no reply to one of them."""
        self._end(1)
        self._path.detour(ticket, Asked(ticket.came, self._client, self._server, self._started, error=error))

    def _end(self, number: int) -> None:
        self.left -= number
        if not self.left:
            self.tickets = []  # which know the volley: else only the garbage collector would find them
            if self.deadline is not None:
                self.deadline.discard(self)
                self.deadline = None
        self._client.ended(number)

    def timed_out(self) -> None:
        """See Wait."""
        self.port.timed_out(self)
