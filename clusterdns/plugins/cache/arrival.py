# SPDX-License-Identifier: Apache-2.0
"""What came from behind the cache, for all who wait for it; and those who wait.

Identical queries that are under way are asked once: the first one leads, the others follow. Nobody waits for ever: a
leader that goes away lets its followers ask again, one that fails gives them its failure, and what takes too long is a
failure for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeAlias

from clusterdns.dns.types import FLAG_AD, FLAG_TC
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.plugins.cache.entry import wants_authenticated
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Attempt, Ticket
from clusterdns.serving.reply import EMPTY, Reply, Sections

FLIGHT_SECONDS: Final = 6.0
"""Longer than an upstream is waited for; after that a new query doesn't join, and those that wait get SERVFAIL."""

MAX_FOLLOWERS: Final = 10_000
"""Queries that wait for the answer to another one, about 4 KiB each."""


class Arrival:
    """A reply that may be given to several clients; each gets one of its own, which plugins in front may change.

    accepted: True if it may take the place of an entry that there is.
    """

    __slots__ = ("_changes", "_compiled", "_reply", "_sections", "accepted")

    def __init__(self, query: Query, reply: Reply, *, accepted: bool = False) -> None:
        self._compiled: CompiledAnswer | None = reply.compiled
        self._sections: Sections = EMPTY if reply.compiled is not None else reply.records(query)
        self._reply = reply
        self._changes = (reply.rcode, reply.flags, reply.cleared, reply.reusable, reply.transient)
        self.accepted = accepted

    @property
    def truncated(self) -> bool:
        """True if there is more, over TCP."""
        return bool(self._changes[1] & FLAG_TC)

    def reply(self, query: Query) -> Reply:
        """A reply for the client of ``query``, who hears of authenticated data only if it wants to."""
        source = self._reply
        rcode, flags, cleared, reusable, transient = self._changes
        if not wants_authenticated(query):
            flags &= ~FLAG_AD
        reply = Reply(rcode, self._sections, flags=flags, plugin=source.plugin)
        if self._compiled is not None:
            reply.set_compiled(self._compiled)
        reply.cleared = cleared
        reply.reusable = reusable
        reply.transient = transient
        reply.options = source.options
        reply.edns_size = source.edns_size
        reply.error = source.error
        reply.dropped = source.dropped
        return reply


class Landed(Attempt):
    """A query on the short way has waited for another one, and this came of it; see Waiter."""

    __slots__ = ("arrival", "flights")

    def __init__(self, came: float, flights: Flights, arrival: Arrival | None) -> None:
        super().__init__(came)
        self.flights = flights
        self.arrival = arrival


Waiter: TypeAlias = Callable[[Arrival | None], None]
"""Gets what arrives; None if nobody asks any more, so that it has to."""


class Flight:
    """A query under way, and those who wait for what comes of it: ``tickets`` are on the short way."""

    # Most queries have no followers: what only those need stands in the class.
    landed = False
    tickets: list[Ticket] | None = None
    waiters: list[Waiter] | None = None
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, flights: Flights, key: Hashable, started_seconds: float) -> None:
        self.flights = flights
        self.key = key
        self.started_seconds = started_seconds

    def join(self, waiter: Waiter, failure: Arrival) -> None:
        """Wait for it, but no longer than FLIGHT_SECONDS from when the first one began to: then all get ``failure``."""
        if self.waiters is None:
            self.waiters = []
            self._timer = asyncio.get_running_loop().call_later(FLIGHT_SECONDS, self.land, failure)
        self.waiters.append(waiter)

    def join_shortly(self, ticket: Ticket) -> None:
        """Wait for it on the short way, where it ends in time."""
        if self.tickets is None:
            self.tickets = []
        self.tickets.append(ticket)

    def take_tickets(self) -> Sequence[Ticket]:
        """Those who wait on the short way, and are told by the caller."""
        tickets, self.tickets = self.tickets, None
        return tickets or ()

    def land(self, arrival: Arrival | None) -> None:
        """Tell those who wait."""
        self.landed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            waiter(arrival)
        for ticket in self.take_tickets():
            ticket.origin.detour(ticket, Landed(ticket.came, self.flights, arrival))


class Flights:
    """The queries under way, by what makes them identical. ``followers`` is the number of those that wait for them."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight] = {}
        self.followers = 0

    def __len__(self) -> int:
        return len(self._flights)

    def find(self, key: Hashable, now_seconds: float) -> Flight | None:
        """The one to follow, None if there is none."""
        flight = self._flights.get(key)
        if flight is not None and now_seconds - flight.started_seconds > FLIGHT_SECONDS:
            return None
        return flight

    def begin(self, key: Hashable, now_seconds: float) -> Flight:
        """A new one, which others may follow from now on."""
        flight = self._flights[key] = Flight(self, key, now_seconds)
        return flight

    def end(self, flight: Flight, arrival: Arrival | None) -> None:
        """It is over, with this result; None if nobody asks any more, so that one of the followers has to."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if flight.waiters is not None or flight.tickets is not None:
            flight.land(arrival)
        flight.landed = True

    def follow(self, flight: Flight, waiter: Waiter, failure: Arrival) -> None:
        """Wait for what arrives; ``failure`` at once where too many wait already."""
        if self.followers >= MAX_FOLLOWERS:
            waiter(failure)
            return

        def arrived(arrival: Arrival | None) -> None:
            self.followers -= 1
            waiter(arrival)

        self.followers += 1
        flight.join(arrived, failure)
