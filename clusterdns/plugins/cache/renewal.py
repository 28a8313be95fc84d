# SPDX-License-Identifier: Apache-2.0
"""Asking again for entries, in the background: one attempt at a time for each, and a bounded number of all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from clusterdns.plugins.cache.arrival import Arrival
from clusterdns.plugins.cache.entry import Entry
from clusterdns.plugins.cache.shelves import Clock
from clusterdns.serving.capabilities import Lease, Services

MAX_RENEWALS: Final = 1000
"""At a time. Where all upstreams are down, every expired entry that is asked for is one."""


class Renewals:
    """The attempts of one cache.

    recheck_seconds: for how long after a vain attempt there is no other for the same entry.
    """

    def __init__(self, services: Services, recheck_seconds: float, clock: Clock) -> None:
        self._services = services
        self._recheck_seconds = recheck_seconds
        self._clock = clock
        self._leases: dict[asyncio.Future[Arrival | None], Lease] = {}

    def begin(self, entry: Entry, work: Callable[[], Awaitable[Arrival]]) -> bool:
        """Begin an attempt; False if there is one, if one was in vain shortly before, or if there are too many."""
        if entry.refresh is not None or self._clock() < entry.retry_seconds or len(self._leases) >= MAX_RENEWALS:
            return False
        done: asyncio.Future[Arrival | None] = asyncio.get_running_loop().create_future()
        entry.refresh = done
        self._leases[done] = self._services.spawn("cache: renewal", self._run(entry, work, done))
        return True

    async def _run(
        self, entry: Entry, work: Callable[[], Awaitable[Arrival]], done: asyncio.Future[Arrival | None]
    ) -> None:
        arrival: Arrival | None = None
        try:
            arrival = await work()
        finally:
            entry.refresh = None
            if arrival is None or not arrival.accepted:
                entry.retry_seconds = self._clock() + self._recheck_seconds
            self._leases.pop(done, None)
            if not done.done():
                done.set_result(arrival)

    async def stop(self) -> None:
        """End all attempts."""
        while self._leases:
            done, lease = self._leases.popitem()
            await lease.release()
            if not done.done():
                done.set_result(None)


async def within(seconds: float, done: asyncio.Future[Arrival | None]) -> Arrival | None:
    """What an attempt brings, within ``seconds`` (0: however long it takes); None if nothing."""
    try:
        async with asyncio.timeout(seconds or None):
            return await asyncio.shield(done)
    except TimeoutError:
        return None
