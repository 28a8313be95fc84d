# SPDX-License-Identifier: Apache-2.0
"""An instance for questions of the command line: it answers like a server with the same Corefile, but nobody else.

It opens no listener and no HTTP endpoint, takes no signals, and reports itself to nobody. What it needs to answer it
does take: it watches the cluster, reads files, and asks other servers.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from clusterdns.app.background import BackgroundTask
from clusterdns.app.clusters import SharedClusters
from clusterdns.app.corefile import Corefile
from clusterdns.app.instance import Instance, listen_addresses
from clusterdns.config.plan import Plan
from clusterdns.errors import LifecycleError
from clusterdns.observability.metrics import Registry
from clusterdns.serving.capabilities import HttpHandler
from clusterdns.serving.traffic import Traffic
from clusterdns.transports.interfaces import local_addresses

READY_SECONDS = 10.0

log = logging.getLogger("clusterdns.rehearsal")


class _NoLease:
    """Nothing was taken."""

    url = ""

    async def release(self) -> None:
        """Nothing is given back."""


class RehearsalServices:
    """See Services; nothing can be reached from outside, and nothing reloads.

    problems: what would have ended a server.
    """

    def __init__(self) -> None:
        self.metrics = Registry()
        self.clusters = SharedClusters(self.metrics, keeps=False)
        self.faults = Traffic(self.metrics)
        self.http = self
        self.reloading = self
        self.explaining = self
        self.digest = ""
        self.leaving = False
        self.packets = 0
        self.problems: list[str] = []

    async def acquire(self, address: str, path: str = "", handler: HttpHandler | None = None) -> _NoLease:
        """See HttpEndpoints and Explanations."""
        return _NoLease()

    async def check(self) -> str:
        """See Reloading."""
        return self.digest

    async def reload(self) -> bool:
        """See Reloading."""
        return False

    def fatal(self, message: str) -> None:
        """See Services."""
        self.problems.append(message)

    def spawn(self, name: str, work: Awaitable[None]) -> BackgroundTask:
        """See Services."""
        return BackgroundTask(name, work)

    def local_addresses(self) -> tuple[str, ...]:
        """See Services."""
        return local_addresses()


@asynccontextmanager
async def rehearse(
    corefile: Corefile, plan: Plan | None = None, *, ready_seconds: float = READY_SECONDS
) -> AsyncIterator[Instance]:
    """The started instance of a Corefile. Raises ConfigErrors, and LifecycleError if it can't start.

    ready_seconds: how long clusters may take to be read; after that it answers with what there is.
    """
    plan = corefile.plan() if plan is None else plan
    services = RehearsalServices()
    ports = {listen: listen[1] for block in plan.blocks for listen in listen_addresses(block)}
    instance = Instance(plan, services, services.faults, ports=ports, directory=corefile.directory, listening=False)
    try:
        await instance.start_answering()
        if not await instance.wait_ready(ready_seconds):
            log.warning("not everything is ready after %g s; names that aren't known yet get SERVFAIL", ready_seconds)
        if services.problems:
            raise LifecycleError(services.problems[0])
        yield instance
    finally:
        await instance.stop(True)
