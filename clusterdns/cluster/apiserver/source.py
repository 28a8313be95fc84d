# SPDX-License-Identifier: Apache-2.0
"""The source that watches an API server: reflectors, driven over one connection.

Each kind that somebody wants has two tasks: one keeps its store up to date, the other looks for gaps. Both do what
their state machine says and hand it what comes; decisions are made in ``cluster.reflector``. Bodies are read in steps
of a millisecond or two, with the event loop in between, so that queries are answered while a large list comes in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final, Protocol, TypeAlias

from clusterdns.cluster.apiserver.connection import ApiResponse
from clusterdns.cluster.apiserver.explanations import refused
from clusterdns.cluster.changes import Delete, Event, Forget
from clusterdns.cluster.items import Detail
from clusterdns.cluster.objects import Kind
from clusterdns.cluster.reflector.reflector import Reflector, Wait
from clusterdns.cluster.reflector.requests import Request, resource_of
from clusterdns.cluster.reflector.resync import Resync
from clusterdns.cluster.reflector.state import WatchState
from clusterdns.cluster.source import Sink
from clusterdns.errors import ApiError, ClusterError

DEFAULT_RESYNC_SECONDS: Final = 300.0

_MAX_REFUSAL_BYTES: Final = 64 * 1024
_REFUSAL_SECONDS: Final = 5.0
_MENDED_SECONDS: Final = 30.0
"""After a defect of ours, the longest wait before its task begins anew."""

_log = logging.getLogger("clusterdns.plugin.kubernetes")


class Connection(Protocol):
    """What ``apiserver.connection.ApiConnection`` is to a source."""

    async def open(
        self, path: str, query: Mapping[str, str], *, headers_seconds: float, accept: str = ...
    ) -> ApiResponse:
        """GET; returns when the header of the answer is there. Raises ApiError."""

    async def close(self) -> None:
        """End all connections."""


_Asker: TypeAlias = Reflector | Resync


class ApiServerSource:
    """An API server as a source of events (``cluster.source.Source``), for the kinds that are wanted of it.

    connection: closed when the source stops.
    labels: selects Services, EndpointSlices and Pods, namespace_labels: Namespaces, as text; empty for all.
    resync_seconds: between two looks for gaps; 0 for none.
    origin: whose credentials they are, as in ``the service account``, for errors.
    report: called with each problem when it comes up, and again if it comes back.
    settled: called when all that is wanted has been read and nothing is wrong with it, and that was not so before.
    clock: monotonic seconds.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        labels: str = "",
        namespace_labels: str = "",
        resync_seconds: float = DEFAULT_RESYNC_SECONDS,
        origin: str = "",
        report: Callable[[ClusterError], object] | None = None,
        settled: Callable[[], object] | None = None,
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        self.labels = labels
        self.namespace_labels = namespace_labels
        self.resync_seconds = resync_seconds
        self.origin = origin
        self.random = random or Random()
        self.clock = clock
        self._report = report
        self._reported: frozenset[str] = frozenset()
        self._settled = settled
        self._is_settled = False
        self._wanted: Counter[Kind] = Counter()
        self._details: Counter[tuple[Kind, Detail]] = Counter()
        self._watches: dict[Kind, _Watch] = {}
        self._leaving: dict[Kind, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._sink: Sink | None = None

    @property
    def running(self) -> bool:
        """True between start and stop."""
        return self._sink is not None

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds that are wanted now."""
        return frozenset(self._wanted)

    @property
    def synced(self) -> frozenset[Kind]:
        """The kinds whose first list has been handed to the sink."""
        return frozenset(kind for kind, watch in self._watches.items() if watch.reflector.state.synced)

    @property
    def problems(self) -> tuple[ClusterError, ...]:
        """What is wrong with the watches now, each once."""
        found = {state.problem.category: state.problem for state in self.states.values() if state.problem is not None}
        return tuple(found.values())

    @property
    def states(self) -> dict[Kind, WatchState]:
        """How the watch of each wanted kind is; empty before the start."""
        return {kind: watch.reflector.state for kind, watch in self._watches.items()}

    def want(self, kind: Kind, *details: Detail) -> None:
        """Watch the kind, and read these details of its objects. Counted; may be called at any time."""
        self._wanted[kind] += 1
        for detail in details:
            self._details[kind, detail] += 1
        watch = self._watches.get(kind)
        if watch is not None:
            watch.widen(self._details_of(kind))
        elif self._sink is not None:
            self._begin(kind, self._sink)

    def unwant(self, kind: Kind, *details: Detail) -> None:
        """Take back a ``want`` with the same arguments. What nobody wants any more is watched no more, and its objects
        are forgotten. Details are read as long as the kind is watched.
        """
        self._wanted[kind] -= 1
        for detail in details:
            self._details[kind, detail] -= 1
        if self._wanted[kind] > 0:
            return
        del self._wanted[kind]
        watch = self._watches.pop(kind, None)
        if watch is not None:
            task = asyncio.get_running_loop().create_task(watch.leave(), name=f"forget {kind}")
            self._leaving[kind] = task
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def start(self, sink: Sink) -> None:
        """Begin to watch what is wanted, in tasks of the running event loop."""
        self._sink = sink
        for kind in self._wanted:
            self._begin(kind, sink)

    async def stop(self) -> None:
        """End all tasks and the connection; afterwards the sink is not called again. Another ``start`` begins anew."""
        self._sink = None
        watches, ending = list(self._watches.values()), list(self._ending)
        self._watches.clear()
        self._leaving.clear()
        await asyncio.gather(*(watch.stop() for watch in watches), *ending, return_exceptions=True)
        await self.connection.close()

    def _details_of(self, kind: Kind) -> frozenset[Detail]:
        return frozenset(detail for (of, detail), count in self._details.items() if of == kind and count > 0)

    def _begin(self, kind: Kind, sink: Sink) -> None:
        self._is_settled = False
        watch = _Watch(self, kind, self._details_of(kind), sink, self._leaving.pop(kind, None))
        self._watches[kind] = watch
        watch.start()

    def answers(self, watch: _Watch) -> None:
        """The API server answers one of the watches: those that wait for it needn't wait any longer."""
        now_seconds = self.clock()
        for other in self._watches.values():
            if other is not watch and other.reflector.waits_for_server:
                other.reflector.hurry(now_seconds)
                other.wake.set()

    def take_stock(self) -> None:
        """Report problems that are new, and that all is well again."""
        problems = self.problems
        for problem in problems:
            if self._report is not None and problem.category not in self._reported:
                self._report(problem)
        self._reported = frozenset(problem.category for problem in problems)
        was_settled, self._is_settled = self._is_settled, not problems and self.kinds <= self.synced
        if self._settled is not None and self._is_settled and not was_settled:
            self._settled()

    def look_up(self) -> None:
        """Something came: see whether it was what was missing."""
        if not self._is_settled:
            self.take_stock()


class _Watch:
    """One kind: its state machines, and the tasks that drive them. ``before`` forgets what an earlier one has left."""

    def __init__(
        self,
        source: ApiServerSource,
        kind: Kind,
        details: frozenset[Detail],
        sink: Sink,
        before: asyncio.Task[None] | None,
    ) -> None:
        self.kind = kind
        self.wake = asyncio.Event()
        resource = resource_of(kind, source.labels, source.namespace_labels)
        self.reflector = Reflector(resource, source.random, details)
        self._resync = Resync(self.reflector, source.random, source.resync_seconds)
        self._resync_wake = asyncio.Event()
        self._source = source
        self._details = details
        self._sink = sink
        self._before = before
        self._breaks = 0
        self._exchange: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, once the earlier watch of the kind has been forgotten."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._drive(self.reflector, self.wake), name=f"watch {self.kind}"),
            loop.create_task(self._drive(self._resync, self._resync_wake), name=f"resync {self.kind}"),
        ]

    async def stop(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def leave(self) -> None:
        """End the tasks, and forget the objects, some at a time."""
        await self.stop()
        await self._wait_for_earlier()
        try:
            for keys in self.reflector.ledger.known.walk():
                if not self._source.running:
                    return
                self._sink([Delete(self.kind, key) for key in keys], self._source.clock())
                await asyncio.sleep(0)
            if self._source.running:
                self._sink((Forget(self.kind),), self._source.clock())
        except Exception:
            _log.exception("objects that nobody wants any more couldn't be forgotten: %s", self.kind)

    async def _wait_for_earlier(self) -> None:
        if self._before is not None:
            await asyncio.wait({self._before})
            self._before = None

    def widen(self, details: frozenset[Detail]) -> None:
        """Read these details too."""
        if not details <= self._details:
            self._details |= details
            self.reflector.widen(self._details, self._source.clock())
            self._nudge()

    def _let_reflector(self, asker: _Asker) -> None:
        if asker is self._resync and not self.reflector.busy:
            self._nudge()

    def _nudge(self) -> None:
        """Somebody else than its own task has told the reflector something."""
        self.wake.set()
        if self._exchange is not None and not self.reflector.busy:
            self._exchange.cancel()

    async def _drive(self, asker: _Asker, wake: asyncio.Event) -> None:
        """Do what the state machine says until cancelled. A defect is logged, and then a list sets things right."""
        await self._wait_for_earlier()
        failures = 0
        while True:
            try:
                await self._step(asker, wake)
                failures = 0
            except Exception:
                failures += 1
                _log.exception("the watch of %s failed and begins again", self.reflector.resource.name)
                wait_seconds = min(2.0**failures, _MENDED_SECONDS)
                self.reflector.relist("broken", self._source.clock() + wait_seconds)
                self._nudge()
                await asyncio.sleep(wait_seconds)

    async def _step(self, asker: _Asker, wake: asyncio.Event) -> None:
        wake.clear()
        step = asker.next(self._source.clock())
        self._let_reflector(asker)
        if isinstance(step, Wait):
            await self._wait(wake, step.until_seconds - self._source.clock())
            return
        exchange = asyncio.get_running_loop().create_task(self._ask(asker, step))
        if asker is self.reflector:
            self._exchange = exchange
        try:
            await asyncio.wait({exchange})
        finally:
            self._exchange = None if asker is self.reflector else self._exchange
            if not exchange.done():
                exchange.cancel()
                await asyncio.wait({exchange})
        if not exchange.cancelled():
            exchange.result()
        self._source.take_stock()
        self._let_reflector(asker)
        if self.reflector.breaks != self._breaks:
            self._breaks = self.reflector.breaks
            self._resync.hasten(self._source.clock())
            self._resync_wake.set()

    async def _wait(self, wake: asyncio.Event, seconds: float) -> None:
        timer = None
        if seconds < float("inf"):
            timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), wake.set)
        try:
            await wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _ask(self, asker: _Asker, request: Request) -> None:
        clock = self._source.clock
        try:
            response = await self._source.connection.open(
                request.path, request.query, headers_seconds=asker.headers_seconds, accept=request.accept
            )
        except ApiError as error:
            asker.failed(error, clock())
            return
        try:
            await self._converse(asker, request, response)
        except ApiError as error:
            asker.failed(error, clock())
        finally:
            await response.close()

    async def _converse(self, asker: _Asker, request: Request, response: ApiResponse) -> None:
        clock = self._source.clock
        if response.status != 200:
            body = await self._refusal(response)
            name = self.reflector.resource.name
            error = refused(response.status, body, verb=request.verb, resource=name, authority=self._source.origin)
            asker.refused(error, response.headers, body, clock())
            return
        asker.opened(clock())
        self._source.answers(self)
        self._source.take_stock()
        while asker.busy:
            data = await response.read(asker.idle_seconds(clock()))
            arrival_seconds = clock()
            await self._apply(
                asker.feed(data, arrival_seconds) if data else asker.ended(arrival_seconds), arrival_seconds
            )

    async def _apply(self, steps: Iterator[tuple[Event, ...]], arrival_seconds: float) -> None:
        for events in steps:
            if events:
                self._sink(events, arrival_seconds)
            # Also after the last one: where data wait, reading more of them doesn't let anyone else run.
            await asyncio.sleep(0)
        self._source.look_up()

    async def _refusal(self, response: ApiResponse) -> bytes:
        """The body of an answer other than 200, as far as it comes."""
        body = b""
        try:
            while len(body) < _MAX_REFUSAL_BYTES and (data := await response.read(_REFUSAL_SECONDS)):
                body += data
        except ApiError:
            return body  # the status says enough
        return body
