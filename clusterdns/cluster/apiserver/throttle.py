# SPDX-License-Identifier: Apache-2.0
"""How fast requests go out: a token bucket (``apiserver_qps``, ``apiserver_burst``) and a bound on how many are under
way (``apiserver_max_inflight``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEFAULT_QPS = 5.0
DEFAULT_BURST = 10
"""Those of CoreDNS' client library, for the one of the two that isn't set."""

LEAST_SECONDS = 1e-6


class TokenBucket:
    """Lets ``burst`` requests go at once, and ``qps`` a second in the long run. Without either nothing waits."""

    def __init__(self, qps: float = 0.0, burst: int = 0, *, clock: Callable[[], float] | None = None) -> None:
        self._limited = qps > 0 or burst > 0
        self._qps = qps or DEFAULT_QPS
        self._burst = burst or DEFAULT_BURST
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._full_at = 0.0  # when the bucket would be full again, if nobody took anything

    def take(self) -> float:
        """Take a token, from the future if there is none; the seconds to wait for it."""
        if not self._limited:
            return 0.0
        now = self._clock()
        taken_seconds = max(
            0.0, self._full_at - now
        )  # what is missing from the bucket, in the time that it takes to fill
        self._full_at = now + taken_seconds + 1 / self._qps
        seconds = taken_seconds - (self._burst - 1) / self._qps
        return seconds if seconds > LEAST_SECONDS else 0.0

    async def wait(self) -> float:
        """Wait for a token; the seconds that it took."""
        seconds = self.take()
        if seconds:
            await asyncio.sleep(seconds)
        return seconds


class Inflight:
    """At most ``limit`` at a time, first come, first served; 0 is no limit."""

    def __init__(self, limit: int = 0) -> None:
        self._places = asyncio.Semaphore(limit) if limit else None

    async def enter(self) -> Callable[[], None]:
        """Wait for a place; the result gives it back, once however often it is called."""
        if self._places is None:
            return _nothing
        await self._places.acquire()
        held = [self._places]

        def leave() -> None:
            if held:
                held.pop().release()

        return leave


def _nothing() -> None:
    """The place of somebody who needed none."""
