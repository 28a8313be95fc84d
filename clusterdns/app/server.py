# SPDX-License-Identifier: Apache-2.0
"""The life of the process: start, reload, signals, stop.

A reload builds the new instance completely and starts it before anything of the old one is given up; the listeners then
change engines between two packets. If anything fails on the way, the old instance has never stopped answering.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from clusterdns.app.corefile import Corefile
from clusterdns.app.instance import Instance, listen_addresses
from clusterdns.app.listeners import Listeners
from clusterdns.app.process import Process
from clusterdns.config.keys import syntax_warning
from clusterdns.config.plan import Plan
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.observability.log import set_debug
from clusterdns.transports.listen import is_taken

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_FORCED = 2
EXIT_STOP_FAILED = 3
EXIT_HOOK_FAILED = 4

_GC_THRESHOLDS = (20_000, 5, 80)
"""Thousands of queries that wait for other servers come and go, and none of them is part of a cycle: with Python's own
thresholds (700, 10, 10) the collector would walk them again and again, which takes a tenth of the time. With a larger
second number it walks up to 400,000 objects at once while a large cluster is read, which takes over 20 ms."""

log = logging.getLogger("clusterdns.server")


class Server:
    """One configuration, served until a signal ends it.

    announce: called with the plan and the ports taken once the server answers.
    """

    def __init__(
        self,
        corefile: Corefile,
        *,
        pidfile: str = "",
        announce: Callable[[Plan, dict[tuple[str, int], int]], None] | None = None,
    ) -> None:
        self._corefile = corefile
        self._pidfile = pidfile
        self._announce = announce
        self._listeners = Listeners()
        self._process = Process(self)
        self._listeners.export(self._process.metrics)
        self._instance: Instance | None = None
        self._exit_code: asyncio.Future[int] | None = None
        self._reload_wanted = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._stopping: asyncio.Task[None] | None = None

    @property
    def leaving(self) -> bool:
        """See Services."""
        return self._stopping is not None

    @property
    def packets(self) -> int:
        """See Services."""
        return self._listeners.packets

    @property
    def instance(self) -> Instance | None:
        """What answers now; None before anything does."""
        return self._instance

    @property
    def digest(self) -> str:
        """See Reloading."""
        assert self._instance is not None
        return self._instance.plan.digest

    async def check(self) -> str:
        """See Reloading."""
        return self._corefile.plan().digest

    async def run(self) -> int:
        """Serve; the exit code. Raises ClusterDNSError if the server can't start."""
        loop = asyncio.get_running_loop()
        self._exit_code = loop.create_future()
        self._watch_signals(loop)
        try:
            await self._start()
        except BaseExceptionGroup as group:
            await self._abandon()
            raise group.exceptions[0] from None
        except BaseException:
            await self._abandon()
            raise
        reloading = loop.create_task(self._reload_on_signal())
        reloading.add_done_callback(self._background_ended)
        try:
            return await self._exit_code
        finally:
            reloading.cancel()
            self._remove_pidfile()

    async def _start(self) -> None:
        plan = self._corefile.plan()
        announced = {syntax_warning(key.zone) for block in plan.blocks for key in block.keys}
        for warning in plan.warnings:
            if warning.message not in announced:
                log.warning("%s", warning.coredns_text())
        addresses = dict.fromkeys(_addresses(plan))
        shared = [listen for listen in addresses if is_taken(*listen)]
        ports = self._listeners.open(addresses)
        for address, port in shared:
            place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            log.warning("%s: another process listens here, too; the system gives each a part of the queries", place)
        instance = self._build(plan, ports)
        self._instance = instance
        await instance.start_answering()
        # Probes are answered while the cluster is being read; the first answer doesn't wait for their endpoints either.
        async with asyncio.TaskGroup() as together:
            together.create_task(instance.start_rest())
            if self._stopping is None:
                await self._listeners.serve(instance.engines)
        if self._stopping is not None:
            return
        set_debug(_wants_debug(plan))
        if self._announce is not None:
            self._announce(plan, ports)
        self._write_pidfile()
        # What there is now stays; to walk it would stop the first answers for tens of milliseconds.
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()

    def _build(self, plan: Plan, ports: dict[tuple[str, int], int]) -> Instance:
        return Instance(
            plan,
            self._process,
            self._process.faults,
            ports=ports,
            directory=self._corefile.directory,
            crash=self._crash,
        )

    async def _abandon(self) -> None:
        if self._instance is not None:
            await self._instance.stop(False)
        await self._listeners.close(0)

    async def reload(self) -> bool:
        """See Reloading."""
        async with self._reloading:
            if self._stopping is not None:
                return False
            log.info("Reloading")
            gc.unfreeze()  # the old instance is garbage soon
            replaced = await self._try_to_replace_instance()
            _tidy_memory()
            if replaced:
                log.info("Reloading complete")
            return replaced

    async def _try_to_replace_instance(self) -> bool:
        try:
            await self._replace_instance()
        except ConfigErrors as errors:
            for error in errors.errors:
                log.error("Restart failed: %s", error)
            return False
        except (ClusterDNSError, OSError) as error:
            log.error("Restart failed: %s", error)
            return False
        except Exception as error:
            log.error("Restart failed: %s: %s", type(error).__name__, error, exc_info=error)
            return False
        return True

    async def _replace_instance(self) -> None:
        old = self._instance
        assert old is not None
        plan = self._corefile.plan()
        try:
            ports = self._listeners.open(_addresses(plan))
            new = self._build(plan, ports)
            try:
                await new.start_answering()
                # The old instance answers while the new one reads its cluster.
                if not await new.wait_ready():
                    log.warning("the new configuration is not ready in time and takes over all the same")
                await new.start_rest()
            except BaseException:
                await new.stop(False)
                raise
        except BaseException:
            await self._listeners.close_others(_addresses(old.plan))
            raise
        await self._listeners.serve(new.engines)
        self._instance = new
        set_debug(_wants_debug(plan))
        await self._listeners.close_others(new.engines)
        await old.stop(False)

    async def _reload_on_signal(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            log.info("SIGUSR1: Reloading")
            await self.reload()

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.end(EXIT_FAILED, f"background task failed: {task.exception()!r}")

    def end(self, code: int, reason: str = "") -> None:
        """End the process with this exit code, the first one asked for; ``reason`` is logged as fatal."""
        if reason:
            log.critical("%s", reason)
        if self._exit_code is not None and not self._exit_code.done():
            self._exit_code.set_result(code)

    def _crash(self, error: BaseException) -> None:
        """With ``debug`` a plugin's fault ends the process, as a panic would CoreDNS."""
        log.critical("panic: %s: %s", type(error).__name__, error, exc_info=error)
        os._exit(EXIT_FORCED)

    def _watch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGQUIT, self._quit)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        loop.add_signal_handler(signal.SIGUSR1, self._reload_wanted.set)
        loop.add_signal_handler(
            signal.SIGUSR2, log.info, "SIGUSR2: ignored; a new process may take over the same ports"
        )

    def _quit(self) -> None:
        log.info("SIGQUIT: Quitting process immediately")
        os._exit(EXIT_OK)

    def _terminate(self) -> None:
        if self._stopping is None:
            log.info("SIGTERM: Shutting down servers then terminating")
            self._stopping = asyncio.get_running_loop().create_task(self._stop(drain=True))

    def _interrupt(self) -> None:
        if self._stopping is not None:
            log.info("SIGINT: Force quit")
            os._exit(EXIT_FORCED)
        log.info("SIGINT: Shutting down")
        self._stopping = asyncio.get_running_loop().create_task(self._stop(drain=False))

    async def _stop(self, *, drain: bool) -> None:
        code = EXIT_OK
        async with self._reloading:
            try:
                if self._instance is not None:
                    await self._instance.linger()
            except Exception as error:
                log.error("stopping: %s", error, exc_info=error)
                code = EXIT_HOOK_FAILED
            try:  # before the plugins stop: what has arrived still needs them
                await self._listeners.close() if drain else await self._listeners.close(0)
            except Exception as error:
                log.error("closing listeners: %s", error, exc_info=error)
                code = code or EXIT_STOP_FAILED
            if self._instance is not None and not await self._instance.stop(True):
                code = EXIT_HOOK_FAILED
        self.end(code)

    def _write_pidfile(self) -> None:
        if self._pidfile:
            try:
                Path(self._pidfile).write_text(f"{os.getpid()}\n")
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                log.error("Could not write pidfile: open %s: %s", self._pidfile, reason)

    def _remove_pidfile(self) -> None:
        if self._pidfile:
            Path(self._pidfile).unlink(missing_ok=True)


def _tidy_memory() -> None:
    """Free what is part of a cycle and no longer used, such as an old instance with all that its caches hold. The
    collector alone may take hours to look at what is that old. What is left mostly stays: it isn't to be walked again.
    """
    gc.collect()
    gc.freeze()


def _wants_debug(plan: Plan) -> bool:
    return any(block.directive("debug") is not None for block in plan.blocks)


def _addresses(plan: Plan) -> list[tuple[str, int]]:
    return [listen for block in plan.blocks for listen in listen_addresses(block)]
