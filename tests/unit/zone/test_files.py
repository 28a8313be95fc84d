# SPDX-License-Identifier: Apache-2.0
"""Zone files that are read again."""

import os

import pytest

from clusterdns.dns import names
from clusterdns.errors import MasterFileError
from clusterdns.zone.files import RECORDS_IN_A_TURN, ZoneFile

ORIGIN = names.from_text("example.org.")


def text(serial, rest=""):
    return f"$TTL 5\n@ SOA ns admin {serial} 2 3 4 5\n@ NS ns\n{rest}"


def write(path, content):
    """Another content, and a time of change that is another for sure."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(content)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def run(steps):
    """The result of a generator, and how often it yielded."""
    turns = 0
    while True:
        try:
            next(steps)
            turns += 1
        except StopIteration as end:
            return end.value, turns


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


def refreshed(file):
    return run(file.refresh())[0]


def test_a_file_is_read_once(path):
    write(path, text(1))
    file = ZoneFile(ORIGIN, str(path))
    assert refreshed(file)
    assert file.zone.serial == 1
    assert not refreshed(file)


def test_a_new_serial_number_is_taken_over(path):
    write(path, text(2))
    file = ZoneFile(ORIGIN, str(path))
    refreshed(file)
    write(path, text(3))
    assert refreshed(file)
    assert file.zone.serial == 3
    write(path, text(1))
    assert refreshed(file)
    assert file.zone.serial == 1


@pytest.mark.parametrize("by_time", [False, True])
def test_a_change_without_a_new_serial_number_counts_only_by_time(path, by_time):
    write(path, text(1))
    file = ZoneFile(ORIGIN, str(path), by_time=by_time)
    refreshed(file)
    write(path, text(1, "a A 192.0.2.1\n"))
    assert refreshed(file) is by_time
    assert (names.from_text("a.example.org.") in file.zone.nodes) is by_time


def test_a_changed_file_that_is_included_is_noticed(path, tmp_path):
    write(path, "$INCLUDE soa\n@ NS ns\n")
    write(tmp_path / "soa", "@ 5 SOA ns admin 1 2 3 4 5\n")
    file = ZoneFile(ORIGIN, str(path))
    refreshed(file)
    write(tmp_path / "soa", "@ 5 SOA ns admin 2 2 3 4 5\n")
    assert refreshed(file)
    assert file.zone.serial == 2


def test_a_missing_file_is_told_once_and_taken_when_it_appears(path):
    file = ZoneFile(ORIGIN, str(path))
    with pytest.raises(FileNotFoundError):
        refreshed(file)
    assert not refreshed(file)
    write(path, text(1))
    assert refreshed(file)


def test_a_file_that_goes_away_leaves_its_zone(path):
    write(path, text(1))
    file = ZoneFile(ORIGIN, str(path))
    refreshed(file)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        refreshed(file)
    assert file.zone.serial == 1


def test_a_fault_leaves_the_zone_and_is_told_once(path):
    write(path, text(1))
    file = ZoneFile(ORIGIN, str(path))
    refreshed(file)
    write(path, text(2, "a A nonsense\n"))
    with pytest.raises(MasterFileError, match=r"db:4: A record"):
        refreshed(file)
    assert not refreshed(file)
    assert file.zone.serial == 1
    write(path, text(2))
    assert refreshed(file)


def test_an_included_file_that_appears_is_noticed(path, tmp_path):
    write(path, text(1, "$INCLUDE more\n"))
    file = ZoneFile(ORIGIN, str(path))
    with pytest.raises(MasterFileError, match="can't include"):
        refreshed(file)
    write(tmp_path / "more", "a A 192.0.2.1\n")
    assert refreshed(file)


def test_a_file_without_a_soa_record(path):
    write(path, "a 5 A 192.0.2.1\n")
    with pytest.raises(MasterFileError) as caught:
        refreshed(ZoneFile(ORIGIN, str(path)))
    assert caught.value.reason == f'file "{path}" has no SOA record for origin example.org.'


def test_a_pipe_is_not_waited_for(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        refreshed(ZoneFile(ORIGIN, str(path)))


def test_other_work_gets_its_turn(path):
    write(path, text(1, "$GENERATE 1-1000 h$ A 192.0.2.1\n"))
    changed, turns = run(ZoneFile(ORIGIN, str(path)).refresh())
    assert changed
    assert turns == 1002 // RECORDS_IN_A_TURN


def test_a_file_that_is_being_written_is_read_the_next_time(path):
    write(path, text(1))
    file = ZoneFile(ORIGIN, str(path))
    refreshed(file)
    write(path, text(2, "$GENERATE 1-300 h$ A 192.0.2.1\n"))
    steps = file.refresh()
    next(steps)
    write(path, text(2, "$GENERATE 1-300 h$ A 192.0.2.1\nlast A 192.0.2.1\n"))
    assert run(steps)[0] is False
    assert file.zone.serial == 1
    assert refreshed(file)
    assert names.from_text("last.example.org.") in file.zone.nodes
