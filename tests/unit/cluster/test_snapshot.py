# SPDX-License-Identifier: Apache-2.0
"""The saved state of a cluster: what is written is read again, and what is damaged is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dns_cluster import endpoints, namespace, pod, service, store_of

from clusterdns.cluster.objects import KINDS, Kind, Object, ServiceImport
from clusterdns.cluster.snapshot import Head, pieces, read_snapshot, write_snapshot
from clusterdns.cluster.store import Store
from clusterdns.errors import SnapshotError

ORIGIN = "https://api:6443 app=web"
OBJECTS: list[Object] = [
    namespace("testns"),
    service("svc1", "10.0.0.11", "fd00::11", ports="http:80 :443/UDP"),
    endpoints("svc1", "ep1=10.1.0.11", "10.1.0.12", ports="http:8080"),
    pod("web-0", "10.1.0.11"),
    ServiceImport("testns", "far", "ClusterSetIP", ("10.9.0.1",)),
    *(service(f"many-{number}", f"10.0.1.{number % 250}") for number in range(700)),
]


def write(path: Path, store: Store, kinds: tuple[Kind, ...] = KINDS, created_seconds: float = 1000.5) -> None:
    head = Head(created_seconds, ORIGIN, {kind: store.count(kind) for kind in kinds})
    write_snapshot(str(path), head, list(pieces(store, kinds)))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = store_of(OBJECTS)
    write(tmp_path / "state", store)
    found = read_snapshot(str(tmp_path / "state"), ORIGIN)
    assert found.head.created_seconds == 1000.5
    assert {kind: sorted(objects, key=lambda each: each.key) for kind, objects in found.objects.items()} == {
        kind: list(store.objects(kind)) for kind in KINDS
    }
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_only_the_kinds_that_were_complete_are_in_it(tmp_path: Path) -> None:
    write(tmp_path / "state", store_of(OBJECTS), ("Namespace",))
    assert read_snapshot(str(tmp_path / "state"), ORIGIN).objects == {"Namespace": [namespace("testns")]}


def test_a_piece_is_what_the_store_had_at_first() -> None:
    store = store_of(OBJECTS)
    first, *rest = pieces(store, ("Service",))
    again = list(pieces(store, ("Service",)))
    assert len(again) == 3
    assert [first, *rest] == again


def test_a_file_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_snapshot(str(tmp_path / "state"), ORIGIN)


def test_a_snapshot_of_another_cluster_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "state", store_of(OBJECTS))
    with pytest.raises(SnapshotError, match="is of another cluster: https://api:6443 app=web, not https://other"):
        read_snapshot(str(tmp_path / "state"), "https://other")


def test_no_damage_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, store_of(OBJECTS[:5]))
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(SnapshotError):
            read_snapshot(str(path), ORIGIN)
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes((whole[position] ^ 0x20,)) + whole[position + 1 :])
        with pytest.raises(SnapshotError):
            read_snapshot(str(path), ORIGIN)


@pytest.mark.parametrize(
    "text",
    [b"", b"\0" * 4096, b"clusterdns snapshot 2\n{}\n", b"clusterdns snapshot 1\n{}\n", b"clusterdns snapshot 1\n"],
)
def test_what_is_no_snapshot_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(text)
    with pytest.raises(SnapshotError, match="state: "):
        read_snapshot(str(tmp_path / "state"), ORIGIN)


def test_a_directory_in_its_place_is_a_fault_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="can't be read: Is a directory"):
        read_snapshot(str(tmp_path), ORIGIN)
