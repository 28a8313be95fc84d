# SPDX-License-Identifier: Apache-2.0
"""A directory of real files, watched: what an edit of each kind does to the store, and when."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clusterdns.cluster.manifests import inotify
from clusterdns.cluster.manifests import source as source_module
from clusterdns.cluster.manifests.source import ManifestSource
from clusterdns.cluster.store import Store
from clusterdns.errors import ManifestError

SOON_SECONDS = 0.25
"""An edit shows within 50 ms on an idle machine; this leaves room for a busy one."""


def service(name: str, address: str, padding: int = 0) -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: dev}}\n"
        f"spec: {{clusterIP: {address}, ports: [{{port: 80}}]}}\n{'#' * padding}\n"
    )


class Watched:
    def __init__(self, directory: Path) -> None:
        self.store = Store()
        self.reported: list[str] = []
        self.source = ManifestSource(directory, report=lambda problem: self.reported.append(str(problem)))
        self.seen: list[tuple[float, dict[str, str]]] = []
        self.store.subscribe(lambda _: self.seen.append((time.monotonic(), self.addresses())))

    def addresses(self) -> dict[str, str]:
        return {one.name: one.cluster_ips[0] for one in self.store.objects("Service")}

    async def shows(self, expected: dict[str, str], within_seconds: float = SOON_SECONDS) -> None:
        deadline = time.monotonic() + within_seconds
        while self.addresses() != expected:
            assert time.monotonic() < deadline, f"{self.addresses()} instead of {expected}"
            await asyncio.sleep(0.001)


@asynccontextmanager
async def watching(directory: Path) -> AsyncIterator[Watched]:
    watched = Watched(directory)
    watched.store.apply_all(watched.source.load(), time.monotonic())
    watched.source.start(watched.store.apply_all)
    await asyncio.sleep(0.02)
    try:
        yield watched
    finally:
        await watched.source.stop()


@pytest.fixture(params=["inotify", "scans"])
def run(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Coroutine[None, None, None]], None]:
    """Run a scenario, with inotify and without."""
    if request.param == "scans":

        def refuse() -> None:
            raise OSError(38, "no inotify")

        monkeypatch.setattr(source_module, "Inotify", refuse)

    def run_scenario(scenario: Coroutine[None, None, None]) -> None:
        asyncio.run(scenario)

    return run_scenario


def test_an_edit_in_place_shows(tmp_path, run):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            for number in range(2, 12):
                file.write_text(service("web", f"10.96.1.{number}"))
                await watched.shows({"web": f"10.96.1.{number}"})

    run(scenario())


def test_a_half_written_file_is_never_seen(tmp_path, run):
    file = tmp_path / "a.yaml"
    whole = service("web", "10.96.1.1") + "---\n" + service("api", "10.96.1.2")
    file.write_text(whole)

    async def scenario():
        async with watching(tmp_path) as watched:
            new = whole.replace("10.96.1", "10.96.2")
            half = new.index("---")
            with file.open("w") as out:
                await asyncio.sleep(0.01)
                out.write(new[:half])
                out.flush()
                await asyncio.sleep(0.015)
                out.write(new[half:])
            await watched.shows({"web": "10.96.2.1", "api": "10.96.2.2"})
            assert [addresses for _, addresses in watched.seen[1:]] == [{"web": "10.96.2.1", "api": "10.96.2.2"}]

    run(scenario())


def test_a_file_that_is_emptied_and_then_written_by_another_process_is_never_seen_empty(tmp_path, run):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            os.truncate(file, 0)
            await asyncio.sleep(0.015)
            file.write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"})
            assert all(addresses for _, addresses in watched.seen)

    run(scenario())


def test_a_file_that_stays_empty_is_taken_after_the_quiet_time(tmp_path, run):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            began = time.monotonic()
            os.truncate(file, 0)
            await watched.shows({})
            assert watched.seen[-1][0] - began >= 0.029

    run(scenario())


def test_a_file_moved_into_place_shows_at_once_even_if_it_is_smaller(tmp_path, run):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1", padding=500))
    new = tmp_path / ".new"

    async def scenario():
        async with watching(tmp_path) as watched:
            new.write_text(service("web", "10.96.1.2"))
            new.rename(file)
            await watched.shows({"web": "10.96.1.2"})

    run(scenario())


def test_a_renamed_manifest_keeps_its_objects_throughout(tmp_path, run):
    (tmp_path / "a.yaml").write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
            await asyncio.sleep(0.1)
            (tmp_path / "b.yaml").write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"})
            assert all(addresses for _, addresses in watched.seen)
            assert watched.reported == []

    run(scenario())


def test_an_editor_that_moves_the_old_file_away_first_shows_no_gap(tmp_path, run):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            file.rename(tmp_path / "a.yaml~")
            await asyncio.sleep(0.01)
            file.write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"})
            assert all(addresses for _, addresses in watched.seen)

    run(scenario())


def test_a_broken_file_keeps_its_last_good_content_while_others_go_on(tmp_path, run):
    file, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    file.write_text(service("web", "10.96.1.1"))
    other.write_text(service("api", "10.96.2.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            file.write_text(service("web", "10.96.1.2") + "---\nkind: Service\nmetadata: {name: x\nspec: {}}\n")
            other.write_text(service("api", "10.96.2.2"))
            await watched.shows({"web": "10.96.1.1", "api": "10.96.2.2"})
            await asyncio.sleep(0.1)
            assert watched.addresses() == {"web": "10.96.1.1", "api": "10.96.2.2"}
            [problem] = watched.source.problems
            assert problem.file == str(file)
            assert problem.line == 9
            assert watched.reported == [str(problem)]
            file.write_text(service("web", "10.96.1.3", padding=100))
            await watched.shows({"web": "10.96.1.3", "api": "10.96.2.2"})
            assert watched.source.problems == ()

    run(scenario())


def test_files_and_directories_come_and_go(tmp_path, run):
    async def scenario():
        async with watching(tmp_path) as watched:
            (tmp_path / "one" / "two").mkdir(parents=True)
            (tmp_path / "one" / "two" / "a.yaml").write_text(service("web", "10.96.1.1"))
            await watched.shows({"web": "10.96.1.1"})
            (tmp_path / "one" / "b.yml").write_text(service("api", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.1", "api": "10.96.1.2"})
            (tmp_path / "one" / "two" / "a.yaml").unlink()
            await watched.shows({"api": "10.96.1.2"})
            (tmp_path / "one" / "b.yml").rename(tmp_path / "b.txt")
            await watched.shows({})

    run(scenario())


def test_a_config_map_mount_is_swapped_as_a_whole(tmp_path, run):
    def write(version: str, address: str) -> None:
        content = tmp_path / f"..{version}"
        content.mkdir()
        (content / "a.yaml").write_text(service("web", address))
        (content / "b.yaml").write_text(service("api", address))
        (tmp_path / "..data_tmp").symlink_to(f"..{version}")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    write("1", "10.96.1.1")
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    async def scenario():
        async with watching(tmp_path) as watched:
            write("2", "10.96.1.2")
            await watched.shows({"web": "10.96.1.2", "api": "10.96.1.2"})
            assert [addresses for _, addresses in watched.seen[1:]] == [{"web": "10.96.1.2", "api": "10.96.1.2"}]
            for name in ("a.yaml", "b.yaml"):
                (tmp_path / "..1" / name).unlink()
            (tmp_path / "..1").rmdir()
            write("3", "10.96.1.3")
            await watched.shows({"web": "10.96.1.3", "api": "10.96.1.3"})

    run(scenario())


def test_a_linked_file_that_is_edited_elsewhere_shows(tmp_path, run):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "real").write_text(service("web", "10.96.1.1"))
    directory = tmp_path / "manifests"
    directory.mkdir()
    (directory / "a.yaml").symlink_to(elsewhere / "real")

    async def scenario():
        async with watching(directory) as watched:
            (elsewhere / "real").write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"})

    run(scenario())


def test_a_directory_behind_a_link_is_swapped_by_moving_the_link(tmp_path, run):
    for number in (1, 2):
        (tmp_path / f"version{number}").mkdir()
        (tmp_path / f"version{number}" / "a.yaml").write_text(service("web", f"10.96.1.{number}"))
    (tmp_path / "current").symlink_to("version1")

    async def scenario():
        async with watching(tmp_path / "current") as watched:
            (tmp_path / "next").symlink_to("version2")
            (tmp_path / "next").rename(tmp_path / "current")
            await watched.shows({"web": "10.96.1.2"})

    run(scenario())


def test_a_directory_below_that_cannot_be_read_keeps_its_last_content(tmp_path, run, monkeypatch):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.yaml").write_text(service("web", "10.96.1.1"))
    listed = os.scandir

    def scandir(path):
        if os.path.basename(path) == "below":
            raise OSError(errno.EMFILE, "Too many open files")
        return listed(path)

    async def scenario():
        async with watching(tmp_path) as watched:
            with monkeypatch.context() as patch:
                patch.setattr(os, "scandir", scandir)
                (tmp_path / "another").mkdir()
                await asyncio.sleep(0.1)
                assert watched.addresses() == {"web": "10.96.1.1"}
                assert watched.reported == [f"{tmp_path}/below: Too many open files"]
            (tmp_path / "b.yaml").write_text(service("two", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.1", "two": "10.96.1.2"})
            assert watched.source.problems == ()

    run(scenario())


def test_where_the_system_has_no_more_watches_edits_show_nevertheless(tmp_path, run, monkeypatch):
    (tmp_path / "a.yaml").write_text(service("web", "10.96.1.1"))

    def watch(notifier, directories):
        raise OSError(errno.ENOSPC, "inotify: No space left on device")

    monkeypatch.setattr(inotify.Inotify, "watch", watch)

    async def scenario():
        async with watching(tmp_path) as watched:
            (tmp_path / "a.yaml").write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"})
            assert watched.source.problems == ()

    run(scenario())


def test_the_last_picture_stays_while_the_directory_is_gone(tmp_path, run):
    directory = tmp_path / "manifests"
    directory.mkdir()
    (directory / "a.yaml").write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(directory) as watched:
            directory.rename(tmp_path / "away")
            await asyncio.sleep(0.15)
            assert watched.addresses() == {"web": "10.96.1.1"}
            assert [problem.file for problem in watched.source.problems] == [str(directory)]
            directory.mkdir()
            (directory / "a.yaml").write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"}, within_seconds=1)
            assert watched.source.problems == ()

    run(scenario())


def test_a_large_file_is_taken_off_the_event_loop(tmp_path, run, monkeypatch):
    monkeypatch.setattr(source_module, "_INLINE_BYTES", 10)
    monkeypatch.setattr(source_module, "_INLINE_FILES", 0)
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario():
        async with watching(tmp_path) as watched:
            file.write_text(service("web", "10.96.1.2"))
            await watched.shows({"web": "10.96.1.2"})

    run(scenario())


def test_the_watch_survives_a_failing_sink_and_lists_again(tmp_path, run):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario():
        store = Store()
        calls = 0

        def sink(events, arrival_seconds):
            nonlocal calls
            calls += 1
            if calls == 2:
                raise RuntimeError("no")
            store.apply_all(events, arrival_seconds)

        source = ManifestSource(tmp_path)
        source.start(sink)
        await asyncio.sleep(0.1)
        assert store.count("Service") == 1
        file.write_text(service("web", "10.96.1.2"))
        await asyncio.sleep(0.4)
        [found] = store.objects("Service")
        assert found.cluster_ips == ("10.96.1.2",)
        await source.stop()

    run(scenario())


def test_a_directory_that_is_not_there_is_an_error_at_once(tmp_path):
    source = ManifestSource(tmp_path / "missing")
    with pytest.raises(ManifestError, match="missing: No such file or directory"):
        source.load()


def test_most_edits_show_within_fifty_milliseconds(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(service("web", "10.96.1.1"))

    async def scenario() -> list[float]:
        delays = []
        async with watching(tmp_path) as watched:
            for number in range(2, 32):
                began = time.monotonic()
                file.write_text(service("web", f"10.96.2.{number}", padding=30 - number))
                await watched.shows({"web": f"10.96.2.{number}"})
                delays.append(watched.seen[-1][0] - began)
        return sorted(delays)

    delays = asyncio.run(scenario())
    assert delays[len(delays) // 2] < 0.05
