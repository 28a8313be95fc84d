# SPDX-License-Identifier: Apache-2.0
"""A plan brought to life: plugins, chains and engines. It holds no sockets; listeners are given its engines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from clusterdns.app.block import BlockSetup, ListenAddress, server_label
from clusterdns.app.directives import DIRECTIVES
from clusterdns.config.plan import BlockPlan, Plan
from clusterdns.dns import names
from clusterdns.errors import ClusterDNSError, LifecycleError
from clusterdns.serving.capabilities import GradualReadiness, Lingering, ReadinessSource, Services
from clusterdns.serving.chain import Block
from clusterdns.serving.engine import Engine, FaultCounter
from clusterdns.serving.limits import ConnectionLimits, LimitsConnections
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.router import Router

_STOP_SECONDS = 5.0
"""A plugin that takes longer to stop is left behind."""

_READY_SECONDS = 5.0
"""A plugin that doesn't say how long it may take to start may take this long."""

_READY_POLL_SECONDS = 0.01

log = logging.getLogger("clusterdns.instance")


def listen_addresses(block: BlockPlan) -> tuple[ListenAddress, ...]:
    """Where a block listens: its binds, or every address, on the ports of its keys."""
    found = {(address, key.port): None for key in block.keys for address in block.binds or ("",)}
    return tuple(found)


def _limits(plugins: Iterable[Plugin]) -> ConnectionLimits:
    """What a listener grants to connections, by the plugins of its blocks in file order."""
    limits = ConnectionLimits()
    for plugin in plugins:
        if isinstance(plugin, LimitsConnections):
            limits = plugin.limit(limits)
    return limits


@contextmanager
def _naming(plugin: str) -> Iterator[None]:
    """Say which plugin it was that broke, as the reason why nothing starts."""
    try:
        yield
    except (ClusterDNSError, OSError):
        raise
    except Exception as error:
        log.error("starting %s: %s", plugin, error, exc_info=error)
        raise LifecycleError(f"plugin/{plugin}: {type(error).__name__}: {error}") from error


class Instance:
    """The plugins and engines of one plan.

    ports: the port that was taken for each listen address of the plan (differs from its own for port 0).
    listening: False if nobody will be able to ask it from outside, so that plugins needn't make themselves known.
    engines: by listen address of the plan.
    """

    def __init__(
        self,
        plan: Plan,
        services: Services,
        faults: FaultCounter,
        *,
        ports: Mapping[ListenAddress, int],
        directory: str = "",
        listening: bool = True,
        crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.plan = plan
        self.plugins: list[Plugin] = []
        self._services = services
        self._started: list[Plugin] = []
        zones: dict[ListenAddress, dict[bytes, list[Block]]] = {}
        plugins: dict[ListenAddress, list[Plugin]] = {}
        for block_plan in plan.blocks:
            listen = listen_addresses(block_plan)
            known = tuple((address, ports[address, port]) for address, port in listen) if listening else ()
            block = self._block(block_plan, known, directory)
            for place in listen:
                plugins.setdefault(place, []).extend(block.plugins)
            for key in block_plan.keys:
                for address in block_plan.binds or ("",):
                    zones.setdefault((address, key.port), {}).setdefault(names.from_text(key.zone), []).append(block)
        self.engines: dict[ListenAddress, Engine] = {
            listen: Engine(
                server_label((listen[0], ports[listen])),
                Router(blocks),
                faults,
                crash=crash,
                any_class=any(plugin.any_class for plugin in plugins[listen]),
                limits=_limits(plugins[listen]),
            )
            for listen, blocks in zones.items()
        }
        self._end_collecting: Callable[[], object] | None = None

    def _block(self, plan: BlockPlan, listen: tuple[ListenAddress, ...], directory: str) -> Block:
        setup = BlockSetup(plan, self._services, listen=listen, directory=directory, publish=self.published)
        for directive in plan.directives:
            plugin_class = DIRECTIVES.load(directive.name)
            assert plugin_class is not None, "planning refuses directives that are not implemented"
            with _naming(directive.name):
                setup.siblings[directive.name] = plugin_class(directive.options, setup)
        plugins = tuple(setup.siblings.values())
        self.plugins.extend(plugins)
        stacktrace = bool(getattr(setup.siblings.get("errors"), "stacktrace", False))
        place = f"{plan.position.file}:{plan.position.line}"
        return Block(plugins, debug=setup.debug, stacktrace=stacktrace, place=place, view_name=setup.view)

    async def start_answering(self) -> None:
        """Start the plugins of the query chains, those that answer first. Raises LifecycleError."""
        await self._start([plugin for plugin in reversed(self.plugins) if plugin.in_chain])

    async def start_rest(self) -> None:
        """Start the others, and let metrics be collected. Raises LifecycleError."""
        await self._start([plugin for plugin in self.plugins if not plugin.in_chain])
        self._end_collecting = self._services.metrics.on_collect(self.flush)

    async def _start(self, plugins: list[Plugin]) -> None:
        for plugin in plugins:
            self._started.append(plugin)
            with _naming(plugin.name):
                await plugin.start()

    async def linger(self) -> None:
        """Wait for the plugins that put off the end."""
        await asyncio.gather(*(plugin.linger() for plugin in self._started if isinstance(plugin, Lingering)))

    async def wait_ready(self, seconds: float | None = None) -> bool:
        """Wait until the plugins that need time to start are ready; False if some are not after ``seconds``, by default
        as many as they ask for.
        """
        waiting = [
            plugin for plugin in self.plugins if isinstance(plugin, ReadinessSource) and not plugin.ready_by_queries
        ]
        if seconds is None:
            timeouts = [
                plugin.startup_timeout_seconds for plugin in self.plugins if isinstance(plugin, GradualReadiness)
            ]
            seconds = max(timeouts, default=_READY_SECONDS)
        end = asyncio.get_running_loop().time() + seconds
        while not all(plugin.ready() for plugin in waiting):
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(_READY_POLL_SECONDS)
        return True

    async def stop(self, final: bool) -> bool:
        """Stop what was started, last first; False if a plugin could not be stopped properly."""
        if self._end_collecting is not None:
            self.flush()
            self._end_collecting()
        good = True
        while self._started:
            plugin = self._started.pop()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await plugin.stop(final)
            except Exception as error:
                good = False
                log.error("stopping %s: %s", plugin.name, error, exc_info=error)
        return good

    def published(self) -> None:
        """Something compiled has changed."""
        for engine in self.engines.values():
            engine.published()

    def flush(self) -> None:
        """See Engine.flush."""
        for engine in self.engines.values():
            engine.flush()
