# SPDX-License-Identifier: Apache-2.0
"""Timeouts in sets, with a clock that the test moves."""

from clusterdns.upstream.deadlines import Deadlines


class Timer:
    def __init__(self, at, call):
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self):
        self.cancelled = True


class Clock:
    """An event loop that is nothing but a clock."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []

    def time(self):
        return self.now

    def call_later(self, seconds, call):
        self.timers.append(Timer(self.now + seconds, call))
        return self.timers[-1]

    def advance(self, seconds):
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.at <= end and not timer.cancelled]:
            timer = min(due, key=lambda each: each.at)
            self.timers.remove(timer)
            self.now = timer.at
            timer.call()
        self.now = end


class Wait:
    def __init__(self, clock):
        self.deadline = None
        self.clock = clock
        self.told = []

    def timed_out(self):
        self.told.append(self.clock.now)


def test_each_wait_is_told_once_not_early_and_hardly_late():
    clock = Clock()
    deadlines = Deadlines(clock)
    waits = {seconds: Wait(clock) for seconds in (0.01, 0.2, 0.21, 2.0)}
    for seconds, wait in waits.items():
        deadlines.add(wait, clock.now + seconds)
    clock.advance(5)
    for seconds, wait in waits.items():
        [told] = wait.told
        assert seconds <= told - 1000 <= seconds + 0.11
        assert wait.deadline is None


def test_what_is_over_in_time_is_not_told_and_no_timer_is_left():
    clock = Clock()
    deadlines = Deadlines(clock)
    wait = Wait(clock)
    deadlines.add(wait, clock.now + 0.5)
    deadlines.discard(wait)
    deadlines.discard(wait)
    clock.advance(1)
    assert wait.told == []
    assert clock.timers == []


def test_a_wait_may_begin_another_one_when_it_is_told():
    clock = Clock()
    deadlines = Deadlines(clock)
    second = Wait(clock)
    first = Wait(clock)
    first.timed_out = lambda: deadlines.add(second, clock.now + 0.3)
    deadlines.add(first, clock.now + 0.1)
    clock.advance(1)
    assert len(second.told) == 1


def test_nobody_is_told_after_the_end():
    clock = Clock()
    deadlines = Deadlines(clock)
    wait = Wait(clock)
    deadlines.add(wait, clock.now + 0.1)
    deadlines.close()
    clock.advance(1)
    assert wait.told == []
