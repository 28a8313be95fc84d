# SPDX-License-Identifier: Apache-2.0
"""A zone kept up to date from its primary servers (RFC 1034 section 4.3.5, RFC 1996)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from clusterdns.dns import names
from clusterdns.errors import UpstreamError
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.transfer import fetch_serial, fetch_zone
from clusterdns.zone.tree import Zone, is_newer, soa_numbers

FIRST_RETRY_SECONDS: Final = 0.25
MAX_FIRST_RETRY_SECONDS: Final = 10.0
"""Until there is a zone at all, as CoreDNS does."""

LEAST_SECONDS: Final = 1.0
"""Between two checks, whatever the SOA record or a flood of NOTIFY messages says."""

MAX_JITTER_SECONDS: Final = 5.0


class Clock(Protocol):
    """Time, and waiting for an event with an end."""

    def now(self) -> float:
        """Seconds since any moment."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set, or after ``seconds``."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""


class SystemClock:
    """The time of the machine."""

    def now(self) -> float:
        """See Clock."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """See Clock."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)


class Timers:
    """When a zone is to be checked, and when it can't be trusted any more. All in seconds of a clock."""

    def __init__(self) -> None:
        self.check_at = 0.0
        self.expires_at = 0.0
        self._retry = LEAST_SECONDS

    def checked(self, now: float, zone: Zone, jitter: float = 0.0) -> None:
        """A primary server has said that ``zone`` is the newest version. ``jitter`` is a part, from 0 to 1."""
        _, refresh, retry, expire, _ = soa_numbers(zone.soa.data)
        early = min(MAX_JITTER_SECONDS, refresh / 10) * jitter
        self._retry = max(LEAST_SECONDS, retry)
        self.check_at = now + max(LEAST_SECONDS, refresh - early)
        self.expires_at = now + max(LEAST_SECONDS, expire)

    def failed(self, now: float) -> None:
        """No primary server could say."""
        self.check_at = now + self._retry


class Secondary:
    """One zone.

    publish: called with the new zone, or with None when it has expired.
    log: where to say what happens.
    """

    def __init__(
        self,
        origin: bytes,
        primaries: tuple[Endpoint, ...],
        publish: Callable[[Zone | None], None],
        log: logging.Logger,
        *,
        clock: Clock | None = None,
        serial: Callable[[bytes, Endpoint], Awaitable[int]] = fetch_serial,
        fetch: Callable[[bytes, Endpoint], Awaitable[Zone]] = fetch_zone,
    ) -> None:
        self.origin = origin
        self.primaries = primaries
        self._name = names.to_text(origin)
        self._publish = publish
        self._log = log
        self._clock = clock or SystemClock()
        self._fetch_serial = serial
        self._fetch_zone = fetch
        self._zone: Zone | None = None
        self._expired = False
        self._timers = Timers()
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """A primary server says that the zone has changed: check soon."""
        self._notified.set()

    async def run(self) -> None:
        """Keep the zone until cancelled."""
        await self._get_first()
        clock = self._clock
        timers = self._timers
        while True:
            due = timers.check_at if self._expired else min(timers.check_at, timers.expires_at)
            await clock.wait(self._notified, due - clock.now())
            if not self._expired and clock.now() >= timers.expires_at:
                self._expired = True
                self._log.error("Zone %s is expired", self._name)
                self._publish(None)
            if self._notified.is_set() or clock.now() >= timers.check_at:
                self._notified.clear()
                await self._check()
                await clock.sleep(LEAST_SECONDS)

    async def _get_first(self) -> None:
        seconds = FIRST_RETRY_SECONDS
        while True:
            failure = ""
            for primary in self.primaries:
                try:
                    self._take(await self._fetch_zone(self.origin, primary), primary)
                    return
                except UpstreamError as error:
                    failure = str(error)
                    self._log.error('Failed to transfer `%s\' from "%s": %s', self._name, primary, failure)
            self._log.warning(
                "All '%s' masters failed to transfer, retrying in %d ms: %s", self._name, seconds * 1000, failure
            )
            await self._clock.sleep(seconds)
            seconds = min(2 * seconds, MAX_FIRST_RETRY_SECONDS)

    async def _check(self) -> None:
        """Ask the primary servers in turn, until one has said what the newest version is, and given it."""
        zone = self._zone
        assert zone is not None
        for primary in self.primaries:
            try:
                if is_newer(await self._fetch_serial(self.origin, primary), zone.serial):
                    self._take(await self._fetch_zone(self.origin, primary), primary)
                else:
                    self._timers.checked(self._clock.now(), zone, random.random())
                    if self._expired:
                        self._expired = False
                        self._publish(zone)
                return
            except UpstreamError as error:
                self._log.warning('Failed to check `%s\' at "%s": %s', self._name, primary, error)
        self._timers.failed(self._clock.now())

    def _take(self, zone: Zone, primary: Endpoint) -> None:
        self._zone = zone
        self._expired = False
        self._timers.checked(self._clock.now(), zone, random.random())
        self._log.info("Transferred: %s from %s", self._name, primary)
        for warning in zone.warnings:
            self._log.warning("%s from %s: %s", self._name, primary, warning)
        self._publish(zone)
