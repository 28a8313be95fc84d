# SPDX-License-Identifier: Apache-2.0
"""Zones kept up to date, with a clock of the test's own."""

import asyncio
import logging

import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file
from clusterdns.errors import UpstreamError
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.secondary import Secondary, SystemClock, Timers
from clusterdns.zone.tree import build_zone

ORIGIN = names.from_text("example.org.")
ONE, TWO = Endpoint("192.0.2.1"), Endpoint("192.0.2.2")
REFRESH, RETRY, EXPIRE = 1000, 100, 5000


def zone(serial, refresh=REFRESH, retry=RETRY, expire=EXPIRE):
    text = f"$TTL 5\n@ SOA ns admin {serial} {refresh} {retry} {expire} 5\n@ NS ns\n"
    return build_zone(ORIGIN, parse_file(text, ORIGIN))


class End(Exception):
    """The time of the test is over."""


class FakeClock:
    """Time that passes when somebody waits. ``at`` holds what happens when."""

    def __init__(self, end):
        self.time = 0.0
        self.end = end
        self.at = []

    def now(self):
        return self.time

    async def wait(self, event, seconds):
        due = self.time + max(0.0, seconds)
        self.at.sort(key=lambda pair: pair[0])
        while self.at and self.at[0][0] <= due and not event.is_set():
            self.time, action = self.at.pop(0)
            action()
        if not event.is_set():
            self.time = due
        self._check()

    async def sleep(self, seconds):
        await self.wait(asyncio.Event(), seconds)

    def _check(self):
        if self.time > self.end:
            raise End


class World:
    """Primary servers that have ``serial``, or are down; what the secondary does is noted with its time."""

    def __init__(self, end, primaries=(ONE,)):
        self.clock = FakeClock(end)
        self.serial = 1
        self.down = set()
        self.notes = []
        self.secondary = Secondary(
            ORIGIN,
            primaries,
            self.publish,
            logging.getLogger("test"),
            clock=self.clock,
            serial=self.get_serial,
            fetch=self.get_zone,
        )

    def note(self, what):
        self.notes.append((round(self.clock.now(), 2), what))

    def publish(self, zone):
        self.note(None if zone is None else zone.serial)

    async def get_serial(self, origin, primary):
        self.note("ask")
        if primary in self.down:
            raise UpstreamError("down")
        return self.serial

    async def get_zone(self, origin, primary):
        if primary in self.down:
            self.note("fail")
            raise UpstreamError("down")
        return zone(self.serial)

    def later(self, seconds, action):
        self.clock.at.append((seconds, action))

    def run(self):
        with pytest.raises(End):
            asyncio.run(self.secondary.run())
        return self.notes


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch):
    monkeypatch.setattr("clusterdns.upstream.secondary.random.random", lambda: 0.0)


def test_a_zone_is_fetched_and_checked_when_refresh_says():
    assert World(2500).run() == [(0, 1), (1000, "ask"), (2000, "ask")]


def test_a_new_serial_number_is_fetched():
    world = World(1500)
    world.later(500, lambda: setattr(world, "serial", 2))
    assert world.run() == [(0, 1), (1000, "ask"), (1000, 2)]


def test_an_older_serial_number_is_not():
    world = World(1500)
    world.serial = 5
    world.later(500, lambda: setattr(world, "serial", 4))
    assert world.run() == [(0, 5), (1000, "ask")]


def test_the_first_transfer_is_tried_again_more_and_more_slowly():
    world = World(30)
    world.down = {ONE}
    world.later(20, world.down.clear)
    times = [time for time, what in world.run() if what == "fail"]
    assert times == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75]
    assert world.notes[-1] == (25.75, 1)


def test_the_next_primary_is_asked_if_one_is_down():
    world = World(1500, (ONE, TWO))
    world.down = {ONE}
    assert world.run() == [(0, "fail"), (0, 1), (1000, "ask"), (1000, "ask")]


def test_failed_checks_are_repeated_when_retry_says_until_the_zone_expires():
    world = World(6500)
    world.later(500, lambda: world.down.add(ONE))
    notes = world.run()
    assert [time for time, what in notes if what == "ask"][:3] == [1000, 1100, 1200]
    assert [(time, what) for time, what in notes if what != "ask"] == [(0, 1), (5000, None)]
    assert max(time for time, what in notes if what == "ask") > 6000


def test_an_expired_zone_comes_back_with_the_same_serial_number():
    world = World(6500)
    world.later(500, lambda: world.down.add(ONE))
    world.later(5550, world.down.clear)
    assert [note for note in world.run() if note[1] != "ask"] == [(0, 1), (5000, None), (5600, 1)]


def test_notify_checks_at_once():
    world = World(900)

    def change():
        world.serial = 2
        world.secondary.notify()

    world.later(300, change)
    assert world.run() == [(0, 1), (300, "ask"), (300, 2)]


def test_a_flood_of_notify_is_one_check_a_second():
    world = World(310)
    for tenth in range(100):
        world.later(300 + tenth / 10, world.secondary.notify)
    assert 9 <= len([what for _, what in world.run() if what == "ask"]) <= 11


def test_absurd_timers_are_bounded_below():
    timers = Timers()
    timers.checked(10.0, zone(1, 0, 0, 0))
    assert (timers.check_at, timers.expires_at) == (11.0, 11.0)
    timers.failed(20.0)
    assert timers.check_at == 21.0


def test_checks_are_spread_a_little():
    timers = Timers()
    timers.checked(0.0, zone(1), 1.0)
    assert timers.check_at == REFRESH - 5


def test_the_clock_of_the_machine_waits_for_the_event_or_the_time():
    async def run():
        clock = SystemClock()
        event = asyncio.Event()
        before = clock.now()
        await clock.wait(event, 0.01)
        assert clock.now() - before >= 0.009
        event.set()
        await asyncio.wait_for(clock.wait(event, 100), 5)

    asyncio.run(run())
