# SPDX-License-Identifier: Apache-2.0
"""Gaps of a watch are found and mended, and nothing else is."""

from __future__ import annotations

import pytest
from support.model_apiserver import Answer
from support.reflecting import Reflection, describe

from clusterdns.cluster.reflector.requests import METADATA
from clusterdns.cluster.reflector.resync import LAG_SECONDS

INTERVAL = 300.0


def watched(**options: float) -> Reflection:
    """A reflection of thirty Services with a watchdog, which watches them."""
    found = Reflection(resync_seconds=INTERVAL, **options)
    for number in range(30):
        found.storage.put(f"ns-{number % 3}", f"web-{number}")
    found.advance(10)
    assert found.services == found.storage.services()
    found.changes.clear()
    return found


def asked_by_watchdog(found: Reflection) -> list[str]:
    return [describe(request) for _, request in found.conversations[1].asked]


def test_a_cluster_without_gaps_is_looked_at_and_left_alone():
    found = watched()
    for _ in range(40):
        found.storage.put("ns-1", "web-1")
        found.storage.delete("ns-0", "web-0")
        found.storage.put("ns-0", "web-0")
        found.advance(61)
    assert found.resync.checks >= 6
    assert found.resync.comparisons >= 5
    assert found.reflector.state.gaps_repaired == 0
    assert found.reflector.state.relists == 0
    assert {request.accept for _, request in found.conversations[1].asked} == {METADATA}


def test_without_an_interval_it_never_asks():
    found = Reflection()
    found.storage.put("dev", "web")
    found.advance(100_000)
    assert found.conversations[1].asked == []


@pytest.mark.parametrize(
    "change",
    [
        lambda storage: storage.put("ns-0", "missed"),
        lambda storage: storage.delete("ns-1", "web-1"),
        lambda storage: storage.put("ns-1", "web-1"),
        lambda storage: (storage.delete("ns-1", "web-1"), storage.put("ns-1", "other")),
    ],
    ids=["created", "deleted", "modified", "replaced"],
)
def test_what_the_watch_did_not_tell_is_found_and_mended_with_a_list(change):
    found = watched()
    change(found.storage)
    found.server.skip()
    found.advance(1)
    assert found.services != found.storage.services()
    found.advance(1.2 * INTERVAL + 3 * LAG_SECONDS)
    assert found.services == found.storage.services()
    assert found.reflector.state.gaps_repaired in (1, 2)
    assert found.reflector.state.watch_restarts["gap"] == 1
    assert found.reflector.state.connected


def test_many_gaps_are_found_over_many_pages():
    found = watched()
    found.server.page_items = 7
    for number in range(0, 30, 2):
        found.storage.delete(f"ns-{number % 3}", f"web-{number}")
        found.storage.put("ns-2", f"missed-{number}")
    found.server.skip()
    found.advance(1.2 * INTERVAL + 3 * LAG_SECONDS)
    assert found.services == found.storage.services()
    assert found.reflector.state.gaps_repaired == 30


def test_what_the_watch_tells_late_is_no_gap():
    found = watched()
    found.advance(0.75 * INTERVAL)
    # From now on the watch lags: changes come some seconds after they were made.
    changed = 0
    while found.resync.comparisons == 0:
        for watch in found.server.watches:
            watch.at = 1 << 60
        found.storage.put("ns-0", "web-0")
        found.storage.put("ns-1", f"new-{changed}")
        before = found.storage.revision - 2
        found.advance(LAG_SECONDS * 0.4)
        for watch in found.server.watches:
            watch.at = before
        found.advance(0)
        changed += 1
        assert changed < 200
    assert found.reflector.state.gaps_repaired == 0
    assert found.services == found.storage.services()


def test_a_difference_in_number_is_looked_at_twice_and_then_compared():
    found = watched()
    found.storage.put("ns-0", "missed")
    found.server.skip()
    found.advance(1.2 * INTERVAL)
    asked = asked_by_watchdog(found)
    assert asked[:3] == ["page", "page", "page"]
    assert [request.query.get("limit") for _, request in found.conversations[1].asked[:3]] == ["1", "1", "500"]


def test_a_storage_that_was_restored_and_has_grown_past_what_was_known_is_noticed():
    found = watched()
    found.server.end_watches("broken")
    found.storage.restore(found.storage.revision - 5)
    for _ in range(5):
        found.storage.other_write()
    for _ in range(3):
        found.storage.put("ns-1", "web-1")
    found.storage.compacted = 0
    found.server.at = found.storage.revision
    found.server.oldest = 0
    found.advance(1.5 * INTERVAL)
    assert found.services == found.storage.services()
    assert found.reflector.state.gaps_repaired > 0


def test_an_older_storage_is_noticed_soon_after_the_connection_broke():
    found = watched()
    found.server.end_watches("broken")
    found.storage.restore(105)
    found.server.at, found.server.oldest = 105, 0
    found.resync.hasten(found.now)
    found.advance(7)
    assert found.reflector.state.watch_restarts["older"] == 1
    assert found.services == found.storage.services()
    assert found.reflector.position == 105


def test_refusals_and_hangs_end_a_look_and_nothing_else():
    found = watched()
    for _ in range(3):
        found.server.faults.append(Answer(429, b"Too many requests"))
        found.advance(1.2 * INTERVAL)
    found.storage.down = True
    found.advance(1.2 * INTERVAL)
    found.storage.down = False
    assert found.reflector.state.relists <= 3  # by silence, while the storage was down
    found.storage.put("ns-0", "missed")
    found.server.skip()
    found.advance(2.5 * INTERVAL)
    assert found.services == found.storage.services()


def test_a_comparison_that_breaks_off_in_the_middle_begins_anew_the_next_time():
    found = watched()
    found.server.page_items = 7
    found.storage.put("ns-1", "web-1")
    found.server.skip()
    conversation = found.conversations[1]
    while asked_by_watchdog(found)[-1:] != ["next page"]:
        found.advance(0.05)
    assert conversation.answer is None or not conversation.answer.closed
    found.server.faults.append(Answer(500))
    found.advance(3 * INTERVAL)
    assert found.services == found.storage.services()
    assert found.reflector.state.gaps_repaired == 1


def test_while_the_watch_is_down_nothing_is_compared():
    found = watched()
    found.server.down = True
    found.server.end_watches("broken")
    before = len(found.conversations[1].asked)
    found.advance(5 * INTERVAL)
    assert len(found.conversations[1].asked) == before


def test_selectors_leave_the_number_out_but_not_the_comparison():
    found = watched()
    found.reflector.resource = type(found.reflector.resource)("Service", found.reflector.resource.path, "a=b")
    found.storage.put("ns-0", "missed")
    found.server.skip()
    found.advance(1.2 * INTERVAL)
    limits = [request.query["limit"] for _, request in found.conversations[1].asked]
    assert limits[:2] == ["1", "500"]
    found.advance(2 * LAG_SECONDS)
    assert found.services == found.storage.services()


def test_large_clusters_are_compared_more_rarely():
    found = watched()
    found.reflector.ledger.known.count += 100_000
    found.reflector.resource = type(found.reflector.resource)("Service", found.reflector.resource.path, "a=b")
    found.advance(6 * INTERVAL)
    assert found.resync.checks >= 4
    assert found.resync.comparisons == 0
