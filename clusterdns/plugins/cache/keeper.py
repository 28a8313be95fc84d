# SPDX-License-Identifier: Apache-2.0
"""What the cache does on the short way (``serving.relay``): it keeps addresses, and joins identical queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clusterdns.dns.types import FLAG_AD, FLAG_CD, FLAG_RD
from clusterdns.fastpath.ttl import read_ttl, with_ttl
from clusterdns.fastpath.verbatim import Shape
from clusterdns.plugins.cache.arrival import Arrival, Flight, Flights
from clusterdns.plugins.cache.counters import Counters
from clusterdns.plugins.cache.entry import Entry
from clusterdns.plugins.cache.shelves import Shelves
from clusterdns.serving.query import Client, Query
from clusterdns.serving.relay import Attempt, Ticket
from clusterdns.serving.reply import Reply

DO_KEY: Final = 1
CD_KEY: Final = 2
"""Bits at the end of the key of an entry."""

_DO: Final = 0x80
_RD_FIRST: Final = FLAG_RD >> 8
_SHOWN_FLAGS: Final = 0x04E0
"""AA, RA, Z and AD."""


class ShortKeeper:
    """See ``serving.relay.Keeper``. Where there is an entry the long way is right: its replies are remembered."""

    def __init__(self, shelves: Shelves, flights: Flights, counters: Counters) -> None:
        self._shelves = shelves
        self._flights = flights
        self._counters = counters
        self._clock = shelves.clock

    def board(self, ticket: Ticket, name: bytes) -> bool | None:
        """See Keeper."""
        packet, opt = ticket.packet, ticket.opt
        first, second = packet[2], packet[3]
        marks = DO_KEY if opt and opt[7] & _DO else 0
        if second & FLAG_CD:
            marks |= CD_KEY
        key = b"%b%b%c" % (name, packet[ticket.end - 4 : ticket.end], marks)
        now_seconds = self._clock()
        shelves, flights = self._shelves, self._flights
        if key in shelves and shelves.peek(key, now_seconds) is not None:
            return None
        # What decides how others are asked is the same as on the long way, so that either can wait for the other.
        options = (opt[3] << 8 | opt[4], b"") if opt else None
        place = (key, (first & _RD_FIRST) << 8, "udp", options)
        flight = flights.find(place, now_seconds)
        if flight is not None:
            flight.join_shortly(ticket)
            return False
        ticket.flight = flights.begin(place, now_seconds)
        ticket.wire = packet[2:] if second & FLAG_AD else b"%c%c%b" % (first, second | FLAG_AD, packet[4:])
        return True

    def keep(self, ticket: Ticket, flags: int, shape: Shape, body: bytes) -> tuple[bytes, Sequence[Ticket]] | None:
        """See Keeper."""
        options = self._shelves.options
        positions = shape.positions
        ttls = [read_ttl(body, position) for position in positions]
        if shape.minimum_at:
            lifetime_seconds = options.denial.clamp(min(ttls[0], read_ttl(body, shape.minimum_at)))
        else:
            lifetime_seconds = options.success.clamp(min(ttls))
        if lifetime_seconds <= 0:
            return None
        if ttls != [lifetime_seconds] * len(ttls):
            body = with_ttl(body, positions, lifetime_seconds)
        now_seconds = self._clock()
        path, flight = ticket.path, ticket.flight
        entry = Entry.of_shape(
            path.relay.plugin, flags, shape, body, now_seconds=now_seconds, ttl_seconds=lifetime_seconds
        )
        counters = self._counters.of(path.server)
        self._shelves.keep(flight.key[0], entry, counters, now_seconds)
        tickets = flight.take_tickets()
        number = 1 + len(tickets)
        counters.requests.value += number
        counters.misses.value += number
        self._flights.end(flight, None if flight.waiters is None else _arrival(ticket, flags, entry))
        return body, tickets

    def lend(self, ticket: Ticket, attempt: Attempt) -> None:
        """See Keeper."""
        attempt.flight = ticket.flight

    def reclaim(self, attempt: Attempt) -> None:
        """See Keeper."""
        flight: Flight | None = attempt.flight
        if flight is not None:
            self._flights.end(flight, None)


def _arrival(ticket: Ticket, flags: int, entry: Entry) -> Arrival:
    """The reply for those who wait for it on the long way."""
    reply = Reply.of_compiled(entry.plugin, entry.compiled)
    reply.reusable = False
    reply.flags = flags & _SHOWN_FLAGS
    return Arrival(Query(ticket.packet, Client("udp", "", 0, "", 0)), reply, accepted=True)
