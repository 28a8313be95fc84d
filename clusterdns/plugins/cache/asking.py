# SPDX-License-Identifier: Apache-2.0
"""What the cache doesn't have: the rest of the chain is asked, once for all identical queries that come meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from clusterdns.dns.types import FLAG_AD, FLAG_CD, FLAG_RD, HINFO
from clusterdns.plugins.cache.arrival import Arrival, Flight, Flights, Landed
from clusterdns.plugins.cache.counters import Counters
from clusterdns.plugins.cache.explaining import kept_note
from clusterdns.plugins.cache.keeper import CD_KEY, DO_KEY
from clusterdns.plugins.cache.shelves import Shelves
from clusterdns.serving.later import Later
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Attempt
from clusterdns.serving.reply import Reply

_FOLLOWERS_FAILURE: Final = "plugin/cache: no answer to an identical query in time"


class Asking:
    """The queries of one cache that are under way.

    plugin: the cache, whose ``next`` is asked.
    """

    def __init__(self, plugin: Plugin, shelves: Shelves, counters: Counters) -> None:
        self.flights = Flights()
        self._plugin = plugin
        self._shelves = shelves
        self._counters = counters

    def resume(self, query: Query, attempt: Attempt) -> Result | None:
        """Go on with a query that was on the short way: one that waited for another one, or that others wait for.

        None for any other.
        """
        flight = attempt.flight
        if isinstance(attempt, Landed) and attempt.flights is self.flights and attempt.arrival is not None:
            self._count_miss(query)
            return attempt.arrival.reply(query)
        if not isinstance(flight, Flight) or flight.flights is not self.flights:
            return None
        attempt.flight = None
        self._count_miss(query)
        try:
            return self.miss(query, entry_key(query), flight)
        except Exception:
            self.flights.end(flight, self._failure(query))
            raise

    def _count_miss(self, query: Query) -> None:
        counters = self._counters.of(query.server)
        counters.requests.value += 1
        counters.misses.value += 1

    def miss(self, query: Query, key: bytes, flight: Flight | None = None) -> Result:
        """What the rest of the chain has; ``flight`` is the query's own if it began on the short way."""
        found = self.ask(query, key) if flight is None else self._ask_at_once(query, key, flight)
        if isinstance(found, Later):
            return found.change(lambda arrival: arrival.reply(query))
        if isinstance(found, Arrival):
            return found.reply(query)
        if not isinstance(found, Reply):
            return _reply_later(query, found)
        if found.reusable:
            self._shelves.clamp(query, found)
            return found
        return self.receive(query, key, found).reply(query)

    def _ask_at_once(self, query: Query, key: bytes, flight: Flight) -> Arrival | Awaitable[Arrival]:
        result = self._ask_next(query)
        if not isinstance(result, Reply):
            return self._lead(query, key, flight, result)
        arrival = self.receive(query, key, result)
        self.flights.end(flight, arrival)
        return arrival

    def ask(self, query: Query, key: bytes, *, renewing: bool = False) -> Reply | Awaitable[Arrival]:
        """What the rest of the chain has, as it is if it comes at once, otherwise received."""
        now_seconds = self._shelves.clock()
        flight = self.flight_to_follow(query, key, now_seconds)
        if flight is not None:
            return self._follow(query, key, flight)
        result = self._ask_next(query)
        if isinstance(result, Reply):
            return result
        flight = self.flights.begin(_flight_key(query, key), now_seconds)
        return self._lead(query, key, flight, result, renewing=renewing)

    def flight_to_follow(self, query: Query, key: bytes, now_seconds: float) -> Flight | None:
        """An identical query that is under way, if this one may wait for it."""
        if query.depth or query.qtype == HINFO:
            return None  # what we ask ourselves may be part of it, and ``loop`` must see its queries return
        return self.flights.find(_flight_key(query, key), now_seconds)

    def _ask_next(self, query: Query) -> Result:
        asked = query
        if not query.flags & FLAG_AD:  # whether data is authentic has to be known for all who will be given it
            asked = query.derive()
            asked.flags |= FLAG_AD
        return self._plugin.next(asked)

    def _lead(
        self, query: Query, key: bytes, flight: Flight, result: Awaitable[Reply], *, renewing: bool = False
    ) -> Awaitable[Arrival]:
        """What arrives, for the query and for all that wait for it."""
        if isinstance(result, Later):
            received = result.change(lambda reply: self.receive(query, key, reply, renewing=renewing))
            return received.conclude(lambda arrival, error: self._landed(query, flight, arrival, error))
        return self._fly(query, key, flight, result, renewing)

    def _landed(self, query: Query, flight: Flight, arrival: Arrival, error: Exception | None) -> Arrival:
        self.flights.end(flight, arrival if error is None else self._failure(query))
        if error is not None:
            raise error
        return arrival

    async def _fly(self, query: Query, key: bytes, flight: Flight, result: Awaitable[Reply], renewing: bool) -> Arrival:
        arrival: Arrival | None = None
        try:
            arrival = self.receive(query, key, await result, renewing=renewing)
        except Exception:
            arrival = self._failure(query)
            raise
        finally:
            self.flights.end(flight, arrival)
        return arrival

    def _follow(self, query: Query, key: bytes, flight: Flight) -> Later[Arrival]:
        later: Later[Arrival] = Later(asyncio.get_running_loop().create_future)

        def arrived(arrival: Arrival | None) -> None:
            if arrival is not None:
                later.set(arrival)
            else:  # who asked has gone away
                self._plugin.services.spawn("cache: asking again", self._ask_again(query, key, later))

        self.flights.follow(flight, arrived, self._failure(query))
        return later

    async def _ask_again(self, query: Query, key: bytes, later: Later[Arrival]) -> None:
        try:
            later.set(await self.arrival(query, key))
        except Exception as error:
            later.fail(error)

    async def arrival(self, query: Query, key: bytes, *, renewing: bool = False) -> Arrival:
        """What the rest of the chain has, received."""
        found = self.ask(query, key, renewing=renewing)
        if isinstance(found, Reply):
            return self.receive(query, key, found, renewing=renewing)
        return await found

    def receive(self, query: Query, key: bytes, reply: Reply, *, renewing: bool = False) -> Arrival:
        """A reply from behind, for the cache first."""
        arrival = self._shelves.receive(query, key, reply, self._counters.of(query.server), renewing=renewing)
        if query.trace is not None:
            query.trace.note(self._plugin.name, kept_note(self._shelves.find(query, key, self._shelves.clock())))
        return arrival

    def _failure(self, query: Query) -> Arrival:
        return Arrival(query, Reply.failure(_FOLLOWERS_FAILURE, plugin=self._plugin.name))


def entry_key(query: Query) -> bytes:
    """What entries are kept by: name, type, class, and the flags that make different answers."""
    end = query.question_end
    flags = DO_KEY if query.edns is not None and query.edns.do else 0
    if query.flags & FLAG_CD:
        flags |= CD_KEY
    return b"%b%b%c" % (query.key, query.packet[end - 4 : end], flags)


def _flight_key(query: Query, key: bytes) -> tuple[object, ...]:
    """What decides how others are asked, and so whether two queries are identical."""
    edns = query.edns
    options = None if edns is None else (edns.size, edns.options)
    return key, query.flags & FLAG_RD, query.client.protocol, options


async def _reply_later(query: Query, work: Awaitable[Arrival]) -> Reply:
    return (await work).reply(query)
