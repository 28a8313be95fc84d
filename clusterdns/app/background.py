# SPDX-License-Identifier: Apache-2.0
"""Tasks that nobody waits for: they end when their owner says so, and don't fail silently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

_CANCEL_SECONDS = 2.0
"""A task that goes on after it was cancelled is left behind after this time."""

log = logging.getLogger("clusterdns.process")


class BackgroundTask:
    """A task of a plugin or of the process; ends with its lease."""

    def __init__(self, name: str, work: Awaitable[None]) -> None:
        self._name = name
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s has failed and is over: %s: %s", self._name, type(error).__name__, error, exc_info=error)

    async def release(self) -> None:
        """Cancel the task and wait for its end."""
        if asyncio.current_task() is self._task:
            return  # a task that causes a reload releases itself
        self._task.cancel()
        await asyncio.wait([self._task], timeout=_CANCEL_SECONDS)
