# SPDX-License-Identifier: Apache-2.0
"""Timeouts for a great many waits at a time: a set for each twentieth of a second, and one timer.

A wait that ends in time costs an entry in a set and its removal; a timer of the event loop for each would cost many
times as much.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

_TICK_SECONDS: Final = 0.05


class Wait(Protocol):
    """Something that must be over at a time. ``deadline`` belongs to ``Deadlines``."""

    deadline: set[Wait] | None

    def timed_out(self) -> None:
        """It isn't over."""


class Deadlines:
    """The waits under way. They are told up to a tick late, never early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sets: dict[int, set[Wait]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wait: Wait, at: float) -> None:
        """Tell ``wait`` at a time of the event loop's clock, unless it is discarded before."""
        tick = int(at / _TICK_SECONDS) + 1
        waits = self._sets.get(tick)
        if waits is None:
            waits = self._sets[tick] = set()
            if self._timer is None:
                self._timer = self._loop.call_later(_TICK_SECONDS, self._expire)
        waits.add(wait)
        wait.deadline = waits

    @staticmethod
    def discard(wait: Wait) -> None:
        """It is over; no harm done if it was before."""
        if wait.deadline is not None:
            wait.deadline.discard(wait)
            wait.deadline = None

    def _expire(self) -> None:
        now = int(self._loop.time() / _TICK_SECONDS)
        self._timer = None
        for tick in sorted(tick for tick in self._sets if tick <= now):
            waits = self._sets.pop(tick)
            while waits:
                wait = waits.pop()
                wait.deadline = None
                wait.timed_out()
        if self._sets and self._timer is None:
            self._timer = self._loop.call_later(_TICK_SECONDS, self._expire)

    def close(self) -> None:
        """Tell nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sets.clear()
