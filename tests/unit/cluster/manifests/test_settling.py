# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.cluster.manifests.files import Scan, Stamp
from clusterdns.cluster.manifests.inotify import Hint
from clusterdns.cluster.manifests.settling import Settling

OPEN, CLOSED, MOVED = Hint("f", open=True), Hint("f", closed=True), Hint("f", moved=True)


def stamp(size_bytes: int, inode: int = 1, modified: int = 0) -> Stamp:
    return Stamp(1, inode, size_bytes, modified)


def scan(**files: Stamp) -> Scan:
    return Scan(dict(files), {}, set(), {})


class File:
    """One file ``f`` that was taken with 100 bytes."""

    def __init__(self, known: Stamp | None = None) -> None:
        self.settling = Settling()
        self.settling.taken("f", known or stamp(100))

    def at(self, milliseconds: float, now: Stamp | None, *hints: Hint) -> bool:
        found = scan(f=now) if now is not None else scan()
        due = self.settling.due(found, hints, milliseconds / 1000)
        assert due in ({}, {"f": now})
        if due:
            self.settling.taken("f", now)
        return bool(due)


def test_a_file_that_stays_as_it_is_is_not_taken():
    assert not File().at(0, stamp(100))
    assert not File().at(100, stamp(100), Hint("f"))


@pytest.mark.parametrize("size_bytes", [100, 101])
def test_a_closed_file_that_has_not_shrunk_is_taken_at_once(size_bytes):
    assert File().at(0, stamp(size_bytes), OPEN, CLOSED)


def test_a_closed_file_with_the_same_stamp_is_read_again():
    assert File().at(0, stamp(100), CLOSED)


@pytest.mark.parametrize("size_bytes", [0, 99])
def test_a_smaller_file_is_taken_after_thirty_quiet_milliseconds(size_bytes):
    file = File()
    assert not file.at(0, stamp(size_bytes), CLOSED)
    assert not file.at(29, stamp(size_bytes))
    assert file.at(31, stamp(size_bytes))
    assert file.settling.wait_seconds(0.04) is None


def test_every_event_begins_the_quiet_time_anew():
    file = File()
    assert not file.at(0, stamp(0), CLOSED)
    assert not file.at(20, stamp(50), OPEN)
    assert not file.at(45, stamp(50), CLOSED)
    assert not file.at(70, stamp(60, modified=1))
    assert file.at(101, stamp(60, modified=1))


def test_a_file_that_was_smaller_is_waited_for_even_when_it_has_grown_past_the_old_size():
    file = File()
    assert not file.at(0, stamp(0), CLOSED)
    assert not file.at(10, stamp(150), CLOSED)
    assert file.at(41, stamp(150))


def test_a_file_that_is_still_being_written_is_taken_when_it_is_closed():
    file = File()
    assert not file.at(0, stamp(100), OPEN)
    assert not file.at(5, stamp(120), OPEN)
    assert not file.at(6, stamp(120))
    assert file.at(7, stamp(140), CLOSED)


def test_a_file_that_is_never_closed_is_taken_when_it_is_quiet():
    file = File()
    assert not file.at(0, stamp(120), OPEN)
    assert file.at(31, stamp(120))


def test_a_file_moved_into_place_is_taken_at_once_even_while_another_change_waits():
    file = File()
    assert not file.at(0, stamp(0), CLOSED)
    assert file.at(1, stamp(10, inode=2), MOVED)


def test_another_file_behind_a_link_is_taken_at_once():
    assert File().at(0, stamp(10, inode=2))


def test_another_file_that_was_created_in_place_is_waited_for_like_a_smaller_one():
    file = File()
    assert not file.at(0, None)
    assert not file.at(5, stamp(0, inode=2), OPEN)
    assert not file.at(6, stamp(100, inode=2), CLOSED)
    assert file.at(37, stamp(100, inode=2))


def test_a_file_that_is_gone_is_taken_after_the_quiet_time():
    file = File()
    assert not file.at(0, None)
    assert file.settling.wait_seconds(0.010) == pytest.approx(0.020)
    assert not file.at(29, None)
    assert file.at(30, None)
    assert not file.at(31, None)


def test_without_hints_growth_is_taken_at_once_and_shrinking_is_not():
    assert File().at(0, stamp(101))
    assert not File().at(0, stamp(99))


def test_a_new_file_is_taken_when_it_is_closed_or_quiet():
    settling = Settling()
    assert settling.due(scan(f=stamp(0)), [OPEN], 0) == {}
    assert settling.due(scan(f=stamp(50)), [OPEN, CLOSED], 0.001) == {"f": stamp(50)}
    settling = Settling()
    assert settling.due(scan(f=stamp(50)), [], 0) == {}
    assert settling.due(scan(f=stamp(50)), [], 0.030) == {"f": stamp(50)}


def test_a_renamed_file_leaves_its_old_name_in_the_same_step():
    settling = Settling()
    settling.taken("a", stamp(100))
    assert settling.due(scan(b=stamp(100)), [Hint("a"), Hint("b", moved=True)], 0) == {"a": None, "b": stamp(100)}


def test_a_file_that_changed_while_it_was_read_is_waited_for():
    file = File()
    file.settling.postpone("f", 0)
    assert not file.at(5, stamp(120))
    assert file.at(36, stamp(120))


def test_hints_have_real_paths():
    settling = Settling()
    settling.taken("link", stamp(100))
    found = Scan({"link": stamp(100)}, {"link": "f"}, {"f"}, {})
    assert settling.due(found, [CLOSED], 0) == {"link": stamp(100)}


def test_a_file_that_cannot_be_looked_at_is_not_gone_and_nothing_waits_for_it():
    file = File()
    assert not file.at(0, None)
    unknown = scan()
    unknown.faults["f"] = "Permission denied"
    assert file.settling.due(unknown, [], 1.0) == {}
    assert file.settling.wait_seconds(1.0) is None
    assert not file.at(2000, stamp(100))
