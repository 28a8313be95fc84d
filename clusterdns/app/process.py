# SPDX-License-Identifier: Apache-2.0
"""What the process offers to plugins: the implementation of ``serving.capabilities.Services``."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from clusterdns.app.background import BackgroundTask
from clusterdns.app.clusters import SharedClusters
from clusterdns.app.explain.service import ExplainService
from clusterdns.observability.metrics import Registry
from clusterdns.serving.traffic import Traffic
from clusterdns.transports.admin import AdminServers
from clusterdns.transports.interfaces import local_addresses

if TYPE_CHECKING:
    from clusterdns.app.server import Server


class Process:
    """See Services."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.metrics = Registry()
        self.http = AdminServers()
        self.clusters = SharedClusters(self.metrics)
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
