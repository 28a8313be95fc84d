# SPDX-License-Identifier: Apache-2.0
"""What the process offers to plugins: the implementation of ``serving.capabilities.Services``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from clusterdns.app.clusters import SharedClusters
from clusterdns.app.explain.service import ExplainService
from clusterdns.observability.metrics import Registry
from clusterdns.serving.traffic import Traffic
from clusterdns.transports.admin import AdminServers
from clusterdns.transports.interfaces import local_addresses

if TYPE_CHECKING:
    from clusterdns.app.server import Server

_CANCEL_SECONDS = 2.0
"""A task that goes on after it was cancelled is left behind after this time."""

log = logging.getLogger("clusterdns.process")


class BackgroundTask:
    """A task of a plugin; ends with its lease."""

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


class Process:
    """See Services."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.metrics = Registry()
        self.http = AdminServers()
        self.clusters = SharedClusters()
        self.reloading = server
        self.explaining = ExplainService(lambda: server.instance)
        self.faults = Traffic(self.metrics)

    @property
    def leaving(self) -> bool:
        """See Services."""
        return self._server.leaving

    @property
    def packets(self) -> int:
        """See Services."""
        return self._server.packets

    def fatal(self, message: str) -> None:
        """See Services."""
        self._server.end(1, message)

    def spawn(self, name: str, work: Awaitable[None]) -> BackgroundTask:
        """See Services."""
        return BackgroundTask(name, work)

    def local_addresses(self) -> tuple[str, ...]:
        """See Services."""
        return local_addresses()
