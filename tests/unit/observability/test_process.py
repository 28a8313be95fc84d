# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import time

from clusterdns.observability.metrics import Registry, Value
from clusterdns.observability.process import export_process_metrics


def values(registry):
    found = {}
    for family in registry.collect():
        child = family.children[()]
        assert isinstance(child, Value)
        found[family.name] = child.value
    return found


def test_the_process_is_described():
    registry = Registry()
    export_process_metrics(registry)
    found = values(registry)
    assert found["process_cpu_seconds_total"] <= sum(os.times()[:2])
    assert 4 << 20 < found["process_resident_memory_bytes"] < found["process_virtual_memory_bytes"]
    assert 3 <= found["process_open_fds"] <= found["process_max_fds"]
    assert time.time() - 3600 < found["process_start_time_seconds"] <= time.time()
    assert found["go_goroutines"] == 0


def test_tasks_stand_in_for_goroutines():
    async def work():
        registry = Registry()
        export_process_metrics(registry)
        waiting = asyncio.ensure_future(asyncio.sleep(60))
        count = values(registry)["go_goroutines"]
        waiting.cancel()
        return count

    assert asyncio.run(work()) == 2


def test_a_system_without_proc_has_what_python_knows(tmp_path):
    registry = Registry()
    export_process_metrics(registry, proc=tmp_path)
    assert set(values(registry)) == {"process_cpu_seconds_total", "go_goroutines"}
