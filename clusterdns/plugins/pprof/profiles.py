# SPDX-License-Identifier: Apache-2.0
"""What a running Python process can tell about itself. The profilers are imported when they are asked for."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import traceback
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final

from clusterdns.expressions.duration import format_duration

if TYPE_CHECKING:
    import cProfile

SORTS: Final = ("cumulative", "tottime", "ncalls")
TOP: Final = 100
"""Functions and allocations that a profile names."""

HEAP_FRAMES: Final = 8
TICK_SECONDS: Final = 0.01
_DELAY_BOUNDS: Final = tuple(0.001 * 4**power for power in range(7))


class Busy(Exception):
    """A profiler is at work already; the interpreter has one of each."""


class _Working:
    """The profilers at work, of the whole process: there is one interpreter in it."""

    names: Final[set[str]] = set()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    if name in _Working.names:
        raise Busy(f"a {name} profile is being taken already")
    _Working.names.add(name)
    try:
        yield
    finally:
        _Working.names.discard(name)


async def profile_cpu(seconds: float, sort: str, *, raw: bool = False) -> bytes:
    """Calls and times of the functions that ran in the next ``seconds``: as a table, or as a file for module pstats.

    Raises Busy.
    """
    import cProfile
    import pstats

    with _alone("cpu"):
        profile = cProfile.Profile()
        try:
            profile.enable()
        except ValueError as error:  # another tool profiles the process
            raise Busy(str(error)) from None
        try:
            await asyncio.sleep(seconds)
        finally:
            profile.disable()
    if raw:
        return await asyncio.to_thread(_dump, profile)
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text)
    await asyncio.to_thread(lambda: stats.sort_stats(sort).print_stats(TOP))
    return text.getvalue().encode("utf-8", "replace")


def _dump(profile: cProfile.Profile) -> bytes:
    import marshal

    profile.create_stats()
    return marshal.dumps(profile.stats)


async def profile_heap(seconds: float) -> bytes:
    """What was allocated in the next ``seconds`` and is still there, by the places in the code. Raises Busy."""
    import tracemalloc

    with _alone("heap"):
        running = tracemalloc.is_tracing()
        if not running:
            tracemalloc.start(HEAP_FRAMES)
        try:
            await asyncio.sleep(seconds)
            snapshot = tracemalloc.take_snapshot()
            current_bytes, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            if not running:
                tracemalloc.stop()
    lines = [
        f"allocated in {format_duration(seconds)} and still there: {current_bytes} bytes (peak {peak_bytes})"
        if not running
        else f"allocated since the process traces and still there: {current_bytes} bytes (peak {peak_bytes})"
    ]
    for statistic in (await asyncio.to_thread(snapshot.statistics, "traceback"))[:TOP]:
        lines += ["", f"{statistic.size} bytes in {statistic.count} blocks", *statistic.traceback.format()]
    return "\n".join([*lines, ""]).encode("utf-8", "replace")


def stacks() -> bytes:
    """Where each thread and each asyncio task is now."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    pieces = []
    for ident, frame in sys._current_frames().items():
        pieces.append(f"thread {names.get(ident, ident)}\n" + "".join(traceback.format_stack(frame)))
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        text = io.StringIO()
        task.print_stack(file=text)
        pieces.append(f"task {task.get_name()}\n{text.getvalue()}")
    return "\n".join(pieces).encode("utf-8", "replace")


class LoopDelays:
    """How late the event loop gets to work that is due: while one thing runs, all others wait.

    least_seconds: delays below it aren't counted.
    """

    def __init__(self, least_seconds: float) -> None:
        self._least = least_seconds
        self._since = monotonic()
        self._counts = [0] * (len(_DELAY_BOUNDS) + 1)
        self._sum = 0.0
        self._longest = 0.0

    async def watch(self) -> None:
        """Measure, until cancelled."""
        while True:
            due = monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.add(monotonic() - due)

    def add(self, seconds: float) -> None:
        """Count a delay."""
        if seconds < self._least:
            return
        self._counts[bisect_left(_DELAY_BOUNDS, seconds)] += 1
        self._sum += seconds
        self._longest = max(self._longest, seconds)

    def text(self) -> bytes:
        """The delays so far."""
        lines = [
            f"delays of the event loop in {format_duration(round(monotonic() - self._since))},"
            f" looked for every {format_duration(TICK_SECONDS)}",
            f"number {sum(self._counts)}, sum {format_duration(self._sum)}, longest {format_duration(self._longest)}",
        ]
        bounds = [f"<= {format_duration(bound)}" for bound in _DELAY_BOUNDS]
        for bound, count in zip([*bounds, f"> {format_duration(_DELAY_BOUNDS[-1])}"], self._counts, strict=True):
            lines.append(f"{bound:>10} {count}")
        return "\n".join([*lines, ""]).encode()
