# SPDX-License-Identifier: Apache-2.0
"""What the process itself uses, under the names that Prometheus's own clients give it.

Dashboards made for CoreDNS also plot ``go_goroutines``. Its meaning, "how much is going on at once", is here the number
of asyncio tasks; the name is kept so that the panel isn't blank.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from clusterdns.observability.metrics import Registry

_PROC = Path("/proc/self")


def export_process_metrics(registry: Registry, *, proc: Path = _PROC) -> None:
    """Add the process's metrics to the registry; they are read at each scrape.

    proc: where Linux tells about the process; elsewhere only the CPU seconds and the tasks are exported.
    """
    cpu = registry.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
    tasks = registry.gauge("go_goroutines", "Number of asyncio tasks, which are what this server has for goroutines.")
    linux = _LinuxMetrics(registry, proc) if (proc / "statm").exists() else None

    def collect() -> None:
        times = os.times()
        cpu.labels().value = times.user + times.system
        tasks.labels().value = _task_count()
        if linux is not None:
            linux()

    registry.on_collect(collect)


def export_runtime_metrics(registry: Registry) -> Callable[[], None]:
    """Add what Python's garbage collector does, under the names that Prometheus's client for Python gives it.

    The result takes it off again.
    """
    families = {
        "collections": registry.counter(
            "python_gc_collections_total", "Number of times this generation was collected.", ("generation",)
        ),
        "collected": registry.counter(
            "python_gc_objects_collected_total", "Objects collected during gc.", ("generation",)
        ),
        "uncollectable": registry.counter(
            "python_gc_objects_uncollectable_total", "Uncollectable objects found during GC.", ("generation",)
        ),
    }

    def collect() -> None:
        for generation, numbers in enumerate(gc.get_stats()):
            for key, family in families.items():
                family.labels(str(generation)).value = numbers[key]

    end_collecting = registry.on_collect(collect)

    def end() -> None:
        end_collecting()
        for family in families.values():
            family.clear()

    return end


def _task_count() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # not called from a loop
        return 0


class _LinuxMetrics:
    def __init__(self, registry: Registry, proc: Path) -> None:
        self._proc = proc
        self._page_bytes = resource.getpagesize()
        self._resident = registry.gauge("process_resident_memory_bytes", "Resident memory size in bytes.").labels()
        self._virtual = registry.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.").labels()
        self._open = registry.gauge("process_open_fds", "Number of open file descriptors.").labels()
        self._limit = registry.gauge("process_max_fds", "Maximum number of open file descriptors.").labels()
        start = registry.gauge(
            "process_start_time_seconds", "Start time of the process since unix epoch in seconds."
        ).labels()
        start.value = _start_time_seconds(proc)

    def __call__(self) -> None:
        pages = (self._proc / "statm").read_text("ascii").split()
        self._virtual.value = int(pages[0]) * self._page_bytes
        self._resident.value = int(pages[1]) * self._page_bytes
        self._open.value = len(os.listdir(self._proc / "fd"))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._limit.value = soft if soft != resource.RLIM_INFINITY else float("inf")


def _start_time_seconds(proc: Path) -> float:
    """Field 22 of proc(5)'s stat counts clock ticks since boot; the name in field 2 may hold blanks and brackets."""
    ticks = int((proc / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19])
    uptime_seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - uptime_seconds + ticks / os.sysconf("SC_CLK_TCK")
