# SPDX-License-Identifier: Apache-2.0
"""A reflector with its watchdog and store, driven against modelled API servers in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from clusterdns.cluster.changes import Change, ChangeSet
from clusterdns.cluster.objects import Key, Object, Service
from clusterdns.cluster.reflector.reflector import Reflector, Wait
from clusterdns.cluster.reflector.requests import Request, resource_of
from clusterdns.cluster.reflector.resync import Resync
from clusterdns.cluster.store import Store
from clusterdns.errors import ApiError
from support.model_apiserver import Answer, Replica, Storage

MOST_STEPS = 20_000
"""In one go, without time passing: more is a loop that doesn't wait."""


class Conversation:
    """One who asks, a reflector or its watchdog, and the answer that is being read."""

    def __init__(self, asker: Reflector | Resync, ask: Callable[[Request], Answer | None], piece_bytes: int) -> None:
        self.asker = asker
        self.answer: Answer | None = None
        self.deadline = 0.0
        self.asked: list[tuple[float, Request]] = []
        self._ask = ask
        self._piece_bytes = piece_bytes
        self._opened = False

    def step(self, now: float, sink: Callable[..., object]) -> bool:
        """Do one thing. Returns whether there was anything to do."""
        asker = self.asker
        if self.answer is not None and not asker.busy:
            self.answer.closed = True
            self.answer = None
        if self.answer is None:
            step = asker.next(now)
            if isinstance(step, Wait):
                self.deadline = step.until_seconds
                return False
            self.asked.append((now, step))
            self.answer = self._ask(step)
            self._opened = False
            self.deadline = now + asker.headers_seconds
            if self.answer is None:
                asker.failed(ApiError("connection refused"), now)
            return True
        return self._read(self.answer, now, sink)

    def _read(self, answer: Answer, now: float, sink: Callable[..., object]) -> bool:
        asker = self.asker
        if not self._opened:
            if not answer.status and answer.end == "broken":
                asker.failed(ApiError("closed the connection without an answer", cut=True), now)
                return True
            if not answer.status:
                return self._time_out(now)
            self._opened = True
            if answer.status != 200:
                error = ApiError(f"{answer.status}", status=answer.status)
                asker.refused(error, answer.headers, b"".join(answer.parts), now)
                return True
            asker.opened(now)
            self.deadline = now + asker.idle_seconds(now)
            return True
        if answer.parts:
            part = answer.parts.popleft()
            if len(part) > self._piece_bytes:
                answer.parts.appendleft(part[self._piece_bytes :])
            for events in asker.feed(part[: self._piece_bytes], now):
                sink(events, now)
            self.deadline = now + asker.idle_seconds(now)
            return True
        if answer.end == "clean":
            for events in asker.ended(now):
                sink(events, now)
            assert not asker.busy
            return True
        if answer.end == "broken":
            asker.failed(ApiError("connection reset"), now)
            return True
        return self._time_out(now)

    def _time_out(self, now: float) -> bool:
        if now < self.deadline:
            return False
        self.asker.failed(ApiError("nothing came", timed_out=True), now)
        return True


class Reflection:
    """Everything together. ``replicas[self.use]`` gets the next requests."""

    def __init__(
        self, *, seed: int = 1, replicas: int = 1, resync_seconds: float = 0.0, piece_bytes: int = 1 << 20
    ) -> None:
        self.now = 1000.0
        self.storage = Storage()
        self.replicas = [Replica(self.storage) for _ in range(replicas)]
        self.use = 0
        self.store = Store()
        self.seen: dict[Key, Object] = {}
        self.changes: list[Change] = []
        self.store.subscribe(self._note)
        self.reflector = Reflector(resource_of("Service"), Random(seed))
        self.resync = Resync(self.reflector, Random(seed + 1), resync_seconds)
        self._breaks = 0
        self.conversations = [Conversation(one, self._ask, piece_bytes) for one in (self.reflector, self.resync)]

    @property
    def server(self) -> Replica:
        """The replica that gets the next requests."""
        return self.replicas[self.use]

    @property
    def services(self) -> tuple[Service, ...]:
        """What the store has."""
        return self.store.objects("Service")

    @property
    def asked(self) -> list[str]:
        """What the reflector asked for, in words."""
        return [describe(request) for _, request in self.conversations[0].asked]

    def _ask(self, request: Request) -> Answer | None:
        return self.server.ask(request, self.now)

    def _note(self, changes: ChangeSet) -> None:
        for change in changes:
            assert change.old != change.new
            assert self.seen.get(change.key) == change.old
            if change.new is None:
                del self.seen[change.key]
            else:
                self.seen[change.key] = change.new
            self.changes.append(change)

    def pump(self) -> None:
        """Do all that can be done now."""
        for _ in range(MOST_STEPS):
            for replica in self.replicas:
                replica.tick(self.now)
            if not sum(one.step(self.now, self.store.apply_all) for one in self.conversations):
                return
            if self.reflector.breaks != self._breaks:
                self._breaks = self.reflector.breaks
                self.resync.hasten(self.now)
        raise AssertionError("it never waits")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        self.pump()
        while True:
            times = [one.deadline for one in self.conversations]
            times += [replica.next_time() for replica in self.replicas if not replica.hangs]
            self.now = max(self.now, min(until, *times))
            self.pump()
            if self.now >= until:
                return

    def jump(self, seconds: float) -> None:
        """Time passes without anyone having been able to do anything: a suspended machine."""
        self.now += seconds
        self.pump()


def describe(request: Request) -> str:
    """A request in short."""
    query = request.query
    if "sendInitialEvents" in query:
        return "stream"
    if "watch" in query:
        return f"watch {query['resourceVersion']}"
    if "resourceVersion" in query:
        return "cached list"
    return "next page" if "continue" in query else "page"
