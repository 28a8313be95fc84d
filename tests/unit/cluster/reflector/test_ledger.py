# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.cluster.changes import Apply, Delete, Event, Prune
from clusterdns.cluster.items import Item
from clusterdns.cluster.objects import EndpointSlice, Service
from clusterdns.cluster.reflector import ledger as module
from clusterdns.cluster.reflector.ledger import Ledger, revision_number
from clusterdns.cluster.reflector.state import WatchState
from clusterdns.errors import ApiError, ObjectError


def item(name: str, revision: int, fault: str = "") -> Item:
    if fault:
        return Item("dev", name, str(revision), None, ObjectError(fault))
    return Item("dev", name, str(revision), Service("dev", name))


def new() -> Ledger:
    return Ledger("Service", WatchState("Service"))


def finish(ledger: Ledger) -> list[Event]:
    return [event for events in ledger.end_list("99") for event in events]


def test_a_list_is_applies_and_a_prune():
    ledger = new()
    ledger.begin_list()
    assert ledger.listed([item("a", 5), item("b", 6)]) == (
        Apply("Service", Service("dev", "a")),
        Apply("Service", Service("dev", "b")),
    )
    [prune] = finish(ledger)
    assert isinstance(prune, Prune)
    assert (prune.revision, prune.count, set(prune.kept["dev"])) == ("99", 2, {"a", "b"})  # type: ignore[call-overload]
    ledger.begin_list()
    ledger.listed([item("b", 6)])
    assert finish(ledger)[0] == Delete("Service", ("dev", "a"))


def test_the_number_of_objects_is_told_only_where_it_is_sure():
    ledger = new()
    ledger.begin_list()
    ledger.listed([item("a", 5), item("a", 6)])
    assert [event.count for event in finish(ledger) if isinstance(event, Prune)] == [-1]
    ledger.begin_list()
    ledger.listed([item("a", 6), item("b", 7)])
    ledger.told("DELETED", item("b", 8))
    assert [event.count for event in finish(ledger) if isinstance(event, Prune)] == [-1]


def test_an_item_without_a_name_makes_the_list_unreadable():
    ledger = new()
    ledger.begin_list()
    with pytest.raises(ApiError, match=r"an item has no name \(metadata.name: is missing\)"):
        ledger.listed([Item("", "", "", fault=ObjectError("is missing", "metadata.name"))])


def test_what_a_watch_tells_is_applied_once():
    ledger = new()
    assert ledger.told("ADDED", item("a", 5)) == Apply("Service", Service("dev", "a"), "5")
    assert ledger.told("ADDED", item("a", 5)) is None
    assert ledger.told("MODIFIED", item("a", 4)) is None
    assert ledger.told("DELETED", item("a", 4)) is None
    assert ledger.told("MODIFIED", item("a", 6)) == Apply("Service", Service("dev", "a"), "6")
    assert ledger.told("DELETED", item("a", 7)) == Delete("Service", ("dev", "a"), "7")
    assert ledger.told("ADDED", item("a", 8)) == Apply("Service", Service("dev", "a"), "8")


def test_times_of_changes_are_told_by_watches_only():
    piece = Item("dev", "a", "5", EndpointSlice("dev", "a", "web"), trigger="1970-01-01T00:00:02Z")
    ledger = Ledger("EndpointSlice", WatchState("EndpointSlice"))
    ledger.begin_list()
    [listed] = ledger.listed([piece])
    assert isinstance(listed, Apply)
    assert listed.triggered_seconds is None
    told = Ledger("EndpointSlice", WatchState("EndpointSlice")).told("MODIFIED", piece)
    assert isinstance(told, Apply)
    assert told.triggered_seconds == 2.0


def test_faulty_objects_are_kept_out_counted_and_logged_once(caplog):
    state = WatchState("Service")
    ledger = Ledger("Service", state)
    assert ledger.told("ADDED", item("a", 5)) is not None
    assert ledger.told("MODIFIED", item("a", 6, "bad")) == Delete("Service", ("dev", "a"), "6")
    ledger.told("MODIFIED", item("a", 7, "bad"))
    assert (state.decode_errors, state.kept_out) == (1, 1)
    assert caplog.text.count("Service dev/a is left out: bad") == 1
    ledger.told("MODIFIED", item("a", 8, "worse"))
    assert (state.decode_errors, state.kept_out) == (2, 1)
    ledger.begin_list()
    finish(ledger)
    assert (state.decode_errors, state.kept_out) == (2, 0)


def test_the_number_of_faulty_objects_that_are_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "_MOST_FAULTY", 2)
    state = WatchState("Service")
    ledger = Ledger("Service", state)
    for number in range(5):
        ledger.told("ADDED", item(f"n{number}", 5, "bad"))
    assert (state.decode_errors, state.kept_out) == (5, 2)


def test_what_a_watch_touches_is_noted_while_somebody_wants_to_know():
    ledger = new()
    ledger.told("ADDED", item("a", 5))
    ledger.touched = set()
    ledger.told("MODIFIED", item("b", 6))
    ledger.told("DELETED", item("a", 7))
    assert ledger.touched == {("dev", "a"), ("dev", "b")}


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("123", 123), ("", 0), ("abc", 0), ("-5", 0), ("١", 0), ("9" * 30, 0), ("1.5", 0)]
)
def test_revisions_are_numbers_or_nothing(text, number):
    assert revision_number(text) == number
