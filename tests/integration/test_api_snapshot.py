# SPDX-License-Identifier: Apache-2.0
"""``snapshot``: a server process that begins with what an earlier one has left, while the API server is away."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api_cluster import HEADLESS, WEB, cluster, service
from support.api_process import ApiProcess

from clusterdns.testing.apiserver import ApiServer, Settings, Storage

NAME = "web.default.svc.cluster.local"


@pytest.fixture
def storage() -> Storage:
    found = Storage()
    for each in cluster():
        found.apply(each)
    return found


@pytest.fixture
def server(storage: Storage) -> Iterator[ApiServer]:
    with ApiServer(storage, settings=Settings(bookmark_seconds=1.0)) as running:
        yield running


def options(server: ApiServer, file: Path, *more: str) -> tuple[str, ...]:
    return (f"endpoint {server.url}", f"snapshot {file}", "startup_timeout 2s", *more)


@pytest.fixture
def saved(tmp_path: Path, server: ApiServer) -> Path:
    """A snapshot that a process has left at its end."""
    file = tmp_path / "state" / "cluster"
    file.parent.mkdir()
    with ApiProcess(tmp_path, *options(server, file)) as dns:
        dns.until_ready()
        assert dns.metrics("clusterdns_kubernetes_snapshot_age_seconds") == {}
        dns.terminate()
        assert "snapshot" not in dns.output()
    assert os.listdir(file.parent) == ["cluster"]
    assert file.stat().st_mode & 0o777 == 0o600
    return file


@pytest.mark.slow
@pytest.mark.parametrize("state", ["away", "hanging"])
def test_a_start_without_the_api_server(
    tmp_path: Path, server: ApiServer, storage: Storage, saved: Path, state: str
) -> None:
    server.kill() if state == "away" else server.hang()
    storage.apply(service("late", "10.96.1.9"))
    storage.delete("Service", "headless", "default")
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        assert dns.ask(NAME) == [WEB], "at once"
        assert dns.ask("headless.default.svc.cluster.local") == sorted(HEADLESS)
        assert dns.ask("late.default.svc.cluster.local") == ["NXDOMAIN"]
        assert dns.ready() == (503, "kubernetes(endpointslices,namespaces,services)")
        dns.until_logged(f"[WARNING] plugin/kubernetes: answering from the snapshot {saved}, which is ")
        ages = dns.metrics("clusterdns_kubernetes_snapshot_age_seconds")
        assert ages.keys() == {f'host="{server.url.removeprefix("http://")}"'}
        assert 0 < sum(ages.values()) < 60
        assert set(dns.by_resource("synced").values()) == {0}
        dns.until_ready()
        dns.until_logged("the Kubernetes API has been out of reach for 2 s: ready with a snapshot")
        server.start() if state == "away" else server.resume()
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local", seconds=40)
        dns.until(["NXDOMAIN"], "headless.default.svc.cluster.local")
        dns.wait(lambda: dns.metrics("clusterdns_kubernetes_snapshot_age_seconds") == {})
        assert dns.ready() == (200, "OK")
        dns.until_logged("the Kubernetes API has been read")
        assert dns.ask(NAME) == [WEB]


def test_a_start_with_the_api_server_there(tmp_path: Path, server: ApiServer, storage: Storage, saved: Path) -> None:
    storage.delete("Service", "web", "default")
    storage.apply(service("late", "10.96.1.9"))
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        dns.until_ready()
        assert dns.ask(NAME) == ["NXDOMAIN"]
        assert dns.ask("late.default.svc.cluster.local") == ["10.96.1.9"]
        assert dns.metrics("clusterdns_kubernetes_snapshot_age_seconds") == {}


@pytest.mark.slow
def test_a_state_that_is_too_old_is_answered_and_never_ready(tmp_path: Path, server: ApiServer, saved: Path) -> None:
    server.kill()
    with ApiProcess(tmp_path, f"endpoint {server.url}", f"snapshot {saved} 1s", "startup_timeout 1s") as dns:
        assert dns.ask(NAME) == [WEB]
        time.sleep(2.5)
        assert dns.ready()[0] == 503


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-10], "is damaged: its checksum is wrong"),
        (lambda data: data[:-10] + b"x" * 10, "is damaged: its checksum is wrong"),
        (lambda data: b"", "is not a snapshot of this version"),
        (lambda data: b"\0" * 4096, "is not a snapshot of this version"),
        (lambda data: data.replace(b"snapshot 1", b"snapshot 9", 1), "is not a snapshot of this version"),
    ],
    ids=["short", "overwritten", "empty", "zeros", "version"],
)
def test_a_file_that_is_of_no_use_is_reported_and_ignored(
    tmp_path: Path, server: ApiServer, saved: Path, damage: object, message: str
) -> None:
    saved.write_bytes(damage(saved.read_bytes()))  # type: ignore[operator]
    server.hang()
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        dns.until_logged(f"[ERROR] plugin/kubernetes: the snapshot is ignored: {saved}: {message}")
        assert dns.refusal(NAME) == ("SERVFAIL", [14])
        server.resume()
        dns.until([WEB], NAME)
        dns.terminate()
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        assert dns.ask(NAME) == [WEB]
        assert "snapshot is ignored" not in dns.output().rpartition("SIGTERM")[2], "the last one has been put right"


def test_the_file_of_another_cluster_is_ignored(tmp_path: Path, server: ApiServer, saved: Path) -> None:
    with ApiServer() as other, ApiProcess(tmp_path, *options(other, saved)) as dns:
        dns.until_logged(f"is of another cluster: {server.url}, not {other.url}")
        dns.until_ready()
        assert dns.ask(NAME) == ["NXDOMAIN"]


def test_a_state_with_less_than_is_wanted_serves_what_it_has(tmp_path: Path, server: ApiServer, saved: Path) -> None:
    server.kill()
    with ApiProcess(tmp_path, *options(server, saved, "pods verified")) as dns:
        assert dns.ask(NAME) == [WEB]
        assert dns.refusal("10-2-0-1.default.pod.cluster.local") == ("SERVFAIL", [14])
        time.sleep(2.5)
        assert dns.ready() == (503, "kubernetes(pods)")


def test_a_place_that_cannot_be_written_does_no_other_harm(tmp_path: Path, server: ApiServer) -> None:
    file = tmp_path / "nowhere" / "cluster"
    with ApiProcess(tmp_path, *options(server, file)) as dns:
        dns.until_ready()
        assert dns.ask(NAME) == [WEB]
        dns.until_logged(f"[ERROR] plugin/kubernetes: the snapshot {file} can't be written: no such file or directory")
        dns.terminate()
        assert "Traceback" not in dns.output()


def test_nothing_is_written_of_what_was_not_read(tmp_path: Path, server: ApiServer) -> None:
    server.hang()
    file = tmp_path / "cluster"
    with ApiProcess(tmp_path, *options(server, file)) as dns:
        dns.terminate()
    assert not file.exists()


def test_a_state_that_was_not_confirmed_stays_as_it_was(tmp_path: Path, server: ApiServer, saved: Path) -> None:
    before = saved.read_bytes()
    server.kill()
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        assert dns.ask(NAME) == [WEB]
        dns.terminate()
    assert saved.read_bytes() == before


def test_a_reload_writes_no_less(tmp_path: Path, server: ApiServer, storage: Storage, saved: Path) -> None:
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        dns.until_ready()
        storage.apply(service("late", "10.96.1.9"))
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local")
        dns.configure(*options(server, saved, "ttl 60"))
        dns.reload()
        dns.terminate()
    server.kill()
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        assert dns.ask("late.default.svc.cluster.local") == ["10.96.1.9"]


def test_a_crash_leaves_the_last_file(tmp_path: Path, server: ApiServer, saved: Path) -> None:
    shutil.copy(saved, f"{saved}.new")  # as if it had been killed while writing
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        dns.until_ready()
        dns.kill()
    server.kill()
    with ApiProcess(tmp_path, *options(server, saved)) as dns:
        assert dns.ask(NAME) == [WEB]
