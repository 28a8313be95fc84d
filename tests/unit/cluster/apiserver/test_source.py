# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

import pytest
from support.model_apiserver import Answer, Replica, Storage
from support.model_connection import ModelConnection
from support.reflecting import describe
from support.virtual_time import run_virtually

from clusterdns.cluster.apiserver.source import ApiServerSource
from clusterdns.cluster.changes import Event, Forget
from clusterdns.cluster.objects import Kind
from clusterdns.cluster.store import Store
from clusterdns.errors import ClusterError


class Source:
    """A source that watches a modelled API server, and its store."""

    def __init__(self, **options: Any) -> None:
        self.storage = Storage()
        for number in range(10):
            self.storage.put("dev", f"web-{number}")
        self.replica = Replica(self.storage)
        self.connection = ModelConnection(self.replica)
        self.store = Store()
        self.events: list[Event] = []
        self.reported: list[ClusterError] = []
        self.settled = 0
        self.source = ApiServerSource(
            self.connection,
            report=self.reported.append,
            settled=self.settle,
            random=Random(1),
            clock=asyncio.get_running_loop().time,
            **{"resync_seconds": 0.0, **options},
        )

    def sink(self, events: Iterable[Event], arrival_seconds: float) -> None:
        kept = list(events)
        self.events.extend(kept)
        self.store.apply_all(kept, arrival_seconds)

    def settle(self) -> None:
        self.settled += 1

    def asked(self, name: str = "services") -> list[str]:
        return [describe(one) for one in self.connection.requests if one.path.endswith(name)]

    def assert_equal(self) -> None:
        assert self.store.objects("Service") == self.storage.services()


def watching(test: Callable[[Source], Awaitable[None]], kinds: tuple[Kind, ...] = ("Service",), **options: Any) -> None:
    """Run a test with a source that is up to date, and stop it properly."""

    async def main() -> None:
        source = Source(**options)
        for kind in kinds:
            source.source.want(kind)
        source.source.start(source.sink)
        await asyncio.sleep(10)
        await test(source)
        await source.source.stop()
        assert source.connection.opened == 0
        assert source.connection.closed
        applied = len(source.events)
        source.storage.put("dev", "late")
        await asyncio.sleep(1000)
        assert len(source.events) == applied
        assert len(asyncio.all_tasks()) == 1

    run_virtually(main())


def test_it_lists_watches_and_stops():
    async def test(found: Source) -> None:
        found.assert_equal()
        assert found.source.kinds == found.source.synced == {"Service"}
        assert found.source.states["Service"].connected
        found.storage.put("dev", "new")
        await asyncio.sleep(0.1)
        found.assert_equal()
        assert found.source.problems == ()

    watching(test)


def test_kinds_are_counted_and_may_come_later():
    async def test(found: Source) -> None:
        found.source.want("Namespace")
        found.source.want("Service")
        found.source.unwant("Service")
        await asyncio.sleep(1)
        assert found.source.kinds == {"Service", "Namespace"}
        assert found.source.synced == {"Service", "Namespace"}
        assert found.asked() == ["stream"]
        found.assert_equal()

    watching(test)


def test_what_nobody_wants_any_more_is_forgotten():
    async def test(found: Source) -> None:
        found.source.unwant("Service")
        await asyncio.sleep(1)
        assert found.store.objects("Service") == ()
        assert found.store.synced == frozenset()
        assert found.source.states == {}
        assert found.connection.opened == 0
        assert found.events[-1] == Forget("Service")

    watching(test)


def test_what_is_forgotten_may_be_wanted_again_at_once():
    async def test(found: Source) -> None:
        for _ in range(3):
            found.source.unwant("Service")
            found.source.want("Service")
        await asyncio.sleep(1)
        found.assert_equal()
        assert found.store.synced == found.source.synced == {"Service"}
        found.source.unwant("Service")
        found.source.want("Service")

    watching(test)


def test_details_that_are_wanted_later_are_read_with_a_new_list():
    async def test(found: Source) -> None:
        found.source.want("Service", "labels")
        found.source.want("Service", "labels")
        await asyncio.sleep(1)
        assert found.asked() == ["stream", "stream"]
        assert found.source.states["Service"].watch_restarts == {"details": 1}
        found.assert_equal()

    watching(test)


def test_problems_are_reported_once_while_they_last():
    async def test(found: Source) -> None:
        found.replica.down = True
        found.replica.end_watches("broken")
        await asyncio.sleep(300)
        assert [str(error) for error in found.reported] == ["connection refused"]
        assert [str(error) for error in found.source.problems] == ["connection refused"]
        assert found.source.synced == {"Service", "Namespace"}
        assert not found.source.states["Service"].connected
        found.replica.down = False
        assert found.settled == 1
        await asyncio.sleep(60)
        assert found.source.problems == ()
        assert found.settled == 2
        found.source.want("EndpointSlice")
        await asyncio.sleep(1)
        assert found.settled == 3
        found.assert_equal()

    watching(test, ("Service", "Namespace"))


def test_a_server_that_hangs_is_one_problem_however_long_it_is_waited_for():
    async def test(found: Source) -> None:
        found.replica.hangs = True
        found.replica.end_watches("broken")
        await asyncio.sleep(600)
        assert [str(error) for error in found.reported] == ["no answer within 8 s"]
        assert len(found.source.problems) == 1
        found.replica.wake(asyncio.get_running_loop().time())
        await asyncio.sleep(60)
        assert found.source.problems == ()
        found.replica.hangs = True
        found.replica.end_watches("broken")
        await asyncio.sleep(100)
        assert len(found.reported) == 2, "it came back"
        found.replica.wake(asyncio.get_running_loop().time())
        await asyncio.sleep(60)

    watching(test, ("Service", "Namespace"))


def test_a_refusal_names_the_cause_and_the_cure():
    async def main() -> None:
        found = Source(origin="the service account")
        found.replica.faults.extend(Answer(403, json.dumps({"message": "no"}).encode()) for _ in range(100))
        found.source.want("Service")
        found.source.start(found.sink)
        await asyncio.sleep(10)
        [problem] = found.source.problems
        assert str(problem) == "403: the service account may not watch services: see deploy/new/rbac.yaml"
        await found.source.stop()

    run_virtually(main())


def test_when_one_watch_gets_through_the_others_do_not_wait_longer():
    async def test(found: Source) -> None:
        found.replica.down = True
        found.replica.end_watches("broken")
        await asyncio.sleep(300)
        found.replica.down = False
        waits = []
        for _ in range(4000):
            waits.append(sum(not state.connected for state in found.source.states.values()))
            await asyncio.sleep(0.01)
        assert waits[-1] == 0
        # From the first one that is through to the last one: without the sign they would be many seconds apart.
        assert sum(1 for number in waits if number in (1, 2)) < 30

    watching(test, ("Service", "Namespace", "EndpointSlice"))


def test_the_watchdog_mends_what_the_watch_has_missed():
    async def test(found: Source) -> None:
        found.storage.put("dev", "missed")
        found.replica.skip()
        await asyncio.sleep(400)
        found.assert_equal()
        assert found.source.states["Service"].gaps_repaired == 1
        assert found.connection.opened == 1

    watching(test, resync_seconds=300.0)


def test_after_a_break_the_server_is_looked_at_soon():
    async def test(found: Source) -> None:
        found.storage.restore(104)
        found.replica.end_watches("broken")
        found.replica.at, found.replica.oldest = 104, 0
        await asyncio.sleep(8)
        found.assert_equal()
        assert found.source.states["Service"].watch_restarts["older"] == 1

    watching(test, resync_seconds=300.0)


def test_a_defect_is_logged_and_mended_with_a_list(caplog: pytest.LogCaptureFixture):
    async def test(found: Source) -> None:
        apply_all = found.store.apply_all
        found.store.apply_all = lambda *_: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        found.storage.put("dev", "new")
        await asyncio.sleep(0.5)
        found.store.apply_all = apply_all  # type: ignore[method-assign]
        await asyncio.sleep(60)
        found.assert_equal()
        assert caplog.text.count("the watch of services failed and begins again") == 1
        assert "ZeroDivisionError" in caplog.text

    with caplog.at_level(logging.ERROR):
        watching(test)


def test_other_tasks_run_between_the_parts_of_a_large_list():
    async def main() -> None:
        found = Source()
        found.replica.streams = False
        for number in range(3000):
            found.storage.changes.append(
                (
                    found.storage.revision,
                    "ADDED",
                    ("dev", f"many-{number}"),
                    {
                        "metadata": {"name": f"many-{number}", "namespace": "dev", "resourceVersion": "1"},
                        "spec": {"clusterIPs": ["10.0.0.1"]},
                    },
                )
            )
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(turn())
        found.source.want("Service")
        found.source.start(found.sink)
        steps: set[int] = set()
        while not found.source.synced:
            await asyncio.sleep(0)
            steps.add(found.store.count("Service"))
        other.cancel()
        assert found.store.count("Service") == 3010
        assert len(steps) > 6
        assert turns > len(steps) - 2
        await found.source.stop()

    run_virtually(main())
