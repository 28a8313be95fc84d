# SPDX-License-Identifier: Apache-2.0
"""When the state of a cluster is written to disk, and when one from disk is taken."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dns_cluster import namespace, put, service, store_of

from clusterdns.app import keeping
from clusterdns.app.keeping import Keeper
from clusterdns.cluster.objects import KINDS, Kind
from clusterdns.cluster.store import Store

ORIGIN = "https://api"


def keeper(path: Path, store: Store, *, synced: tuple[Kind, ...] = KINDS, now_seconds: float = 1000.0) -> Keeper:
    return Keeper(str(path), ORIGIN, store, lambda: synced, lambda: now_seconds)


async def until(done: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if done():
            return
        await asyncio.sleep(0.001)
    pytest.fail("nothing happened")


def test_a_new_process_begins_with_what_the_last_one_saw(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = store_of([namespace("testns"), service("svc1", "10.0.0.1")])
    asyncio.run(keeper(tmp_path / "state", store).write())
    other = Store()
    second = keeper(tmp_path / "state", other, now_seconds=1042.0)
    second.load()
    assert other.objects("Service") == store.objects("Service")
    assert other.synced == frozenset(KINDS)
    assert (second.loaded_seconds, second.age_seconds()) == (1000.0, 42.0)
    assert "which is 42 s old" in caplog.text


def test_without_a_file_it_begins_with_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    first = keeper(tmp_path / "state", store)
    first.load()
    assert (store.synced, first.loaded_seconds, caplog.text) == (frozenset(), 0.0, "")


def test_a_damaged_file_is_reported_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_bytes(b"clusterdns snapshot 1\nnonsense\n")
    store = Store()
    keeper(tmp_path / "state", store).load()
    assert store.synced == frozenset()
    assert "the snapshot is ignored" in caplog.text


def test_it_is_written_when_something_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = store_of([namespace("testns")])
    one = keeper(path, store)
    asyncio.run(one.write())
    before = path.stat().st_ino
    asyncio.run(one.write())
    assert path.stat().st_ino == before
    put(store, service("svc1", "10.0.0.1"))
    asyncio.run(one.write())
    assert path.stat().st_ino != before


def test_nothing_is_written_before_the_cluster_was_read(tmp_path: Path) -> None:
    asyncio.run(keeper(tmp_path / "state", store_of([namespace("testns")]), synced=()).write())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_reported_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "WRITE_SECONDS", 0.001)
    monkeypatch.setattr(keeping, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(keeping, "_RETRY_SECONDS", 0.001)
    caplog.set_level(logging.ERROR)
    folder = tmp_path / "later"
    one = keeper(folder / "state", store_of([namespace("testns")]))

    async def run() -> None:
        task = asyncio.create_task(one.keep())
        await until(lambda: "can't be written" in caplog.text)
        folder.mkdir()
        await until((folder / "state").exists)
        task.cancel()

    asyncio.run(run())
    assert "no such file or directory; mount a volume" in caplog.text


def test_a_file_is_written_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    under_way: list[object] = []

    def write_slowly(*arguments: object) -> None:
        under_way.append(arguments)
        at_once.append(len(under_way))
        time.sleep(0.05)
        under_way.remove(arguments)

    monkeypatch.setattr(keeping, "write_snapshot", write_slowly)
    store = store_of([namespace("testns")])
    one = keeper(tmp_path / "state", store)

    async def run() -> None:
        task = asyncio.create_task(one.keep())
        await until(lambda: bool(at_once))
        task.cancel()
        await asyncio.wait({task})
        assert await one.write() is True

    asyncio.run(run())
    assert at_once == [1, 1]
