# SPDX-License-Identifier: Apache-2.0
"""What a server shows of itself during a soak, and whether that is flat."""

from __future__ import annotations

import re
import statistics
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

_METRICS = {
    "go_goroutines": "tasks",
    "process_open_fds": "sockets",
    "process_resident_memory_bytes": "memory_bytes",
    "coredns_panics_total": "panics",
}
_WARM_UP_PART = 0.25
"""Of the time: caches and connections fill up in it."""

_GROWTH = 1.1
_SLACK = {"tasks": 200.0, "sockets": 100.0, "memory_bytes": 16.0 * 2**20}
"""What may come and go beside a tenth: the numbers are those of one moment, between bursts or in one."""


@dataclass(frozen=True)
class Observation:
    """The state of the server ``seconds`` after the start of the soak. Sockets are all its open files."""

    seconds: float
    tasks: float
    sockets: float
    memory_bytes: float
    panics: float


def observe(port: int, seconds: float) -> Observation:
    """Ask the metrics endpoint. Raises OSError."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found = {field: re.search(rf"(?m)^{metric} (\S+)$", text) for metric, field in _METRICS.items()}
    return Observation(seconds, **{field: float(match[1]) if match else 0.0 for field, match in found.items()})


@dataclass
class Observer:
    """Observes a server every second, in a thread: a context manager."""

    port: int
    observations: list[Observation] = field(default_factory=list)
    failures: int = 0

    def __enter__(self) -> Observer:
        self._stopped = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            try:
                self.observations.append(observe(self.port, time.monotonic() - self._started))
            except (OSError, urllib.error.URLError):
                self.failures += 1


def kernel_drops(port: int) -> int:
    """Datagrams to a UDP port of this machine that found the buffer of its socket full, as Linux counts them."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def growths(observations: list[Observation]) -> list[str]:
    """What is more in the last third than in the first one, after the warm-up; empty if all is flat."""
    if len(observations) < 6:
        return [f"only {len(observations)} observations"]
    begin = observations[-1].seconds * _WARM_UP_PART
    warm = [each for each in observations if each.seconds >= begin]
    third = max(1, len(warm) // 3)
    found = []
    for name, slack in _SLACK.items():
        first, last = (
            statistics.median(getattr(each, name) for each in part) for part in (warm[:third], warm[-third:])
        )
        if last > first * _GROWTH + slack:
            found.append(f"{name} grew from {first:,.0f} to {last:,.0f}")
    return found


def left_over(before: Observation, after: Observation) -> list[str]:
    """What is more when all is quiet again than it was before the load; empty if nothing is."""
    found = []
    if after.tasks > before.tasks + 5:
        found.append(f"{after.tasks:.0f} tasks are left, {before.tasks:.0f} there were before")
    if after.panics > before.panics:
        found.append(f"plugins failed {after.panics - before.panics:.0f} times")
    return found
