# SPDX-License-Identifier: Apache-2.0
"""What a real API server does, line by line, and that the store equals it afterwards."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import pytest
from support.model_apiserver import Answer
from support.reflecting import Reflection

from clusterdns.cluster.objects import Pod
from clusterdns.cluster.reflector.reflector import (
    HEADERS_SECONDS,
    LIST_IDLE_SECONDS,
    SILENCE_SECONDS,
    STREAMS_AGAIN_SECONDS,
    Reflector,
    Wait,
)
from clusterdns.cluster.reflector.requests import Request, resource_of
from clusterdns.errors import ApiError


def synced(*, streams: bool = True, **options: int) -> Reflection:
    """A reflection of ten Services that is up to date, and watches."""
    found = Reflection(**options)
    found.server.streams = streams
    for number in range(10):
        found.storage.put("dev", f"web-{number}")
    found.advance(10)
    assert_equal(found)
    assert found.reflector.state.connected
    found.changes.clear()
    for conversation in found.conversations:
        conversation.asked.clear()
    return found


def assert_equal(found: Reflection) -> None:
    """The store has what the server has, and says so."""
    assert found.services == found.storage.services()
    assert found.store.synced == {"Service"}
    assert found.reflector.ledger.known.count == len(found.services)
    assert found.store.failures == 0


def refusal(status: int, body: bytes = b"", **headers: str) -> Answer:
    answer = Answer(status, body)
    answer.headers = headers
    return answer


# Lists.


def test_a_stream_is_a_list_and_then_a_watch_on_the_same_connection():
    found = synced()
    found.storage.put("dev", "web-0")
    found.storage.put("dev", "new")
    found.storage.delete("dev", "web-1")
    found.advance(0)
    assert_equal(found)
    assert [(change.key[1], change.new is None) for change in found.changes] == [
        ("web-0", False),
        ("new", False),
        ("web-1", True),
    ]
    assert found.asked == []
    assert found.store.revision("Service") == str(found.storage.revision)


def test_nothing_is_synced_before_a_stream_says_that_its_list_is_complete():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.faults.append(Answer(200, b'{"type":"ADDED","object":' + json.dumps(web(found)).encode() + b"}\n", ""))
    found.advance(LIST_IDLE_SECONDS - 1)
    assert (len(found.services), found.store.synced) == (1, frozenset())
    assert not found.reflector.state.connected


def web(found: Reflection) -> object:
    return found.storage.objects()["dev", "web"]


def test_a_stream_that_does_not_say_where_the_list_ends_is_given_up_for_pages():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.faults.append(Answer(200, b'{"type":"ADDED","object":' + json.dumps(web(found)).encode() + b"}\n", ""))
    found.advance(LIST_IDLE_SECONDS)
    assert_equal(found)
    assert found.asked == ["stream", "page", "watch 101"]


@pytest.mark.parametrize("kind", ["BOOKMARK", "MODIFIED"])
def test_a_stream_that_is_a_watch_from_the_beginning_is_given_up_for_pages_though_it_never_pauses(kind):
    found = Reflection()
    found.storage.put("dev", "web")
    value = web(found) if kind == "MODIFIED" else {"metadata": {"resourceVersion": "101"}}
    line = json.dumps({"type": kind, "object": value}).encode() + b"\n"
    stream = Answer(200, b'{"type":"ADDED","object":' + json.dumps(web(found)).encode() + b"}\n", "")
    found.server.faults.append(stream)
    for _ in range(int(LIST_IDLE_SECONDS)):
        found.advance(1)
        stream.parts.append(line)
    found.advance(1)
    assert_equal(found)
    assert found.asked == ["stream", "page", "watch 101"]


@pytest.mark.parametrize("status", [400, 422])
def test_where_streams_are_refused_pages_come_at_once_and_streams_are_tried_again_later(status):
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.faults.append(refusal(status))
    found.advance(0)
    assert_equal(found)
    found.reflector.relist("gap", found.now)
    found.advance(0)
    assert found.asked == ["stream", "page", "watch 101", "page", "watch 101"]
    found.advance(STREAMS_AGAIN_SECONDS)
    found.reflector.relist("gap", found.now)
    found.advance(0)
    assert found.asked[-1] == "stream"
    assert found.reflector.state.problem is None


def test_a_list_in_pages_is_one_list():
    found = Reflection(piece_bytes=37)
    found.server.streams, found.server.page_items = False, 3
    for number in range(10):
        found.storage.put("dev" if number % 2 else "prod", f"web-{number}")
    found.advance(0)
    assert_equal(found)
    assert found.asked == ["stream", "page", "next page", "next page", "next page", "watch 110"]
    assert found.reflector.lists == 1


def test_a_change_between_two_pages_is_in_the_watch():
    found = synced(streams=False)
    found.server.page_items = 4
    found.reflector.relist("gap", found.now)
    conversation = found.conversations[0]
    while found.asked[-1:] != ["next page"]:
        conversation.step(found.now, found.store.apply_all)
    found.storage.put("dev", "web-0")
    found.storage.delete("dev", "web-9")
    found.storage.put("dev", "a")
    found.advance(0)
    assert_equal(found)
    assert found.asked[-1] == "watch 110"


def test_an_expired_token_leads_to_the_rest_of_the_list_at_a_newer_revision():
    found = synced(streams=False)
    found.server.page_items = 4
    found.reflector.relist("gap", found.now)
    conversation = found.conversations[0]
    while found.asked[-1:] != ["page"] or found.reflector.busy:
        conversation.step(found.now, found.store.apply_all)
    found.storage.put("dev", "web-0")
    found.storage.put("dev", "web-9")
    found.storage.delete("dev", "web-8")
    found.storage.put("dev", "a")
    found.storage.compact()
    found.advance(0)
    assert_equal(found)
    assert found.asked == ["page", "next page", "next page", "next page", "watch 110"]
    applied = [change.key[1] for change in found.changes]
    assert sorted(applied) == ["a", "web-0", "web-8", "web-9"]  # each once, though the watch tells of web-9 again


def test_a_page_that_fails_is_asked_for_again_without_those_before_it():
    found = Reflection()
    found.server.streams, found.server.page_items = False, 4
    for number in range(10):
        found.storage.put("dev", f"web-{number}")
    conversation = found.conversations[0]
    while found.asked[-1:] != ["next page"]:
        conversation.step(found.now, found.store.apply_all)
    assert conversation.answer is not None
    conversation.answer.parts.clear()
    conversation.answer.end = "broken"
    found.server.faults.append(refusal(429, b"slow down", **{"retry-after": "3"}))
    found.advance(10)
    assert_equal(found)
    assert found.asked == ["stream", "page", "next page", "next page", "next page", "next page", "watch 110"]


def test_relists_change_only_what_differs_and_keep_the_objects_that_are_there():
    found = synced(streams=False)
    before = {service.key: service for service in found.services}
    found.server.skip()
    found.storage.put("dev", "web-3")
    found.storage.delete("dev", "web-4")
    found.server.skip()
    found.advance(1)
    assert found.changes == []
    found.reflector.relist("gap", found.now)
    found.advance(0)
    assert_equal(found)
    assert [(change.key[1], change.new is None) for change in found.changes] == [("web-3", False), ("web-4", True)]
    assert all(service is before[service.key] for service in found.services if service.name != "web-3")
    assert found.reflector.state.relists == 1


def test_where_the_storage_does_not_answer_the_server_s_memory_does():
    found = Reflection()
    found.storage.put("dev", "web")
    found.advance(0)
    assert_equal(found)
    fresh = Reflection()
    fresh.storage.put("dev", "web")
    fresh.server.tick(0)
    fresh.storage.down = True
    fresh.advance(LIST_IDLE_SECONDS)
    assert_equal(fresh)
    assert fresh.asked == ["stream", "cached list", "watch 101"]
    fresh.storage.down = False
    fresh.storage.put("dev", "new")
    fresh.advance(1)
    assert_equal(fresh)


def test_where_streams_are_unknown_and_pages_hang_the_server_s_memory_answers():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.tick(0)
    found.server.streams, found.storage.down = False, True
    found.advance(HEADERS_SECONDS)
    assert_equal(found)
    assert found.asked == ["stream", "page", "cached list", "watch 101"]


def test_an_older_list_out_of_memory_is_discarded_and_counted_and_changes_nothing():
    found = synced(replicas=2)
    behind = found.replicas[1]
    behind.lags, behind.at = True, 105
    for number in range(5):
        found.storage.put("dev", f"late-{number}")
    found.advance(0)
    found.changes.clear()
    found.use = 1
    found.storage.compact()
    found.storage.down = True
    found.reflector.relist("gap", found.now)
    found.advance(30)
    assert found.changes == []
    assert found.reflector.state.discarded_stale_lists >= 1
    assert "older than what is known" in str(found.reflector.state.problem)
    found.storage.down = behind.lags = False
    found.advance(60)
    assert_equal(found)
    assert found.changes == []


def test_an_older_revision_of_a_consistent_list_is_what_counts():
    found = synced(streams=False)
    found.storage.restore(104)
    found.server.restart(torn=True)
    found.advance(SILENCE_SECONDS + 2)
    assert_equal(found)
    assert found.reflector.position == 104
    assert len(found.changes) == 6


# Ends of watches.


def test_at_its_time_a_watch_ends_cleanly_and_goes_on_at_its_revision():
    found = synced()
    found.advance(700)
    assert found.reflector.state.watch_restarts == {"end": 1}
    assert found.asked == ["watch 110"]
    assert found.reflector.state.problem is None
    found.storage.put("dev", "new")
    found.advance(0)
    assert_equal(found)


@pytest.mark.parametrize("end", ["clean", "broken"])
@pytest.mark.parametrize("half_line", [False, True])
def test_however_a_watch_ends_it_goes_on_where_it_was(end, half_line):
    found = synced(piece_bytes=20)
    found.storage.put("dev", "before")
    found.advance(0)
    found.server.end_watches(end, half_line)
    found.storage.put("dev", "after")
    found.advance(2)
    assert_equal(found)
    assert found.asked == ["watch 111"]
    assert found.reflector.state.relists == 0
    assert found.reflector.state.watch_restarts == {"end" if end == "clean" and not half_line else "broken": 1}


def test_what_came_before_a_break_is_applied_and_not_asked_for_again():
    found = synced(piece_bytes=50)
    for number in range(5):
        found.storage.put("dev", f"new-{number}")
    found.server.tick(found.now)
    found.server.end_watches("broken")
    found.advance(2)
    assert_equal(found)
    assert len(found.changes) == 5
    assert found.asked == ["watch 115"]


def test_a_revision_that_is_too_old_leads_to_a_list():
    found = synced()
    found.server.down = True
    found.server.end_watches("broken")
    found.advance(2)
    found.storage.put("dev", "new")
    found.storage.delete("dev", "web-1")
    found.server.down = False
    found.server.restart(torn=True)
    found.advance(30)
    assert_equal(found)
    assert found.asked[-2:] == ["watch 110", "stream"]
    assert found.reflector.state.watch_restarts["expired"] == 1
    assert found.reflector.state.relists == 1


def test_after_an_outage_the_list_and_the_end_of_its_refusals_come_quickly():
    found = synced()
    found.server.end_watches("broken")
    found.server.down = True
    found.advance(300)
    found.server.down = False
    found.server.restart(torn=True)
    found.storage.put("dev", "new")
    found.server.restart(torn=True)
    found.server.faults.extend(refusal(403) for _ in range(2))
    while found.reflector.waits_for_server:
        found.advance(0.1)
    found.advance(1)
    assert_equal(found)


def test_410_as_a_status_leads_to_a_list_too():
    found = synced()
    found.server.faults.append(refusal(410))
    found.server.end_watches("broken")
    found.advance(2)
    assert_equal(found)
    assert found.asked == ["watch 110", "stream"]


def test_lists_whose_watches_expire_at_once_do_not_follow_each_other_without_end():
    found = synced(streams=False)
    error = b'{"type":"ERROR","object":{"kind":"Status","code":410,"metadata":{},"status":"Failure"}}\n'
    found.server.end_watches("clean")
    for _ in range(200):
        found.server.faults.append(Answer(200, error))
    found.reflector.relist("gap", found.now)
    found.advance(60)
    lists = found.asked.count("page")
    assert 3 <= lists <= 12


def test_a_watch_that_a_server_closes_at_once_is_not_opened_without_end():
    found = synced()
    found.server.end_watches("clean")
    found.server.faults.extend(Answer(200) for _ in range(1000))
    found.advance(60)
    assert 3 <= len(found.asked) <= 12


def test_a_watch_that_sends_little_and_ends_is_opened_four_times_a_second_at_most():
    found = synced()
    bookmark = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"110"}}}\n'
    found.server.end_watches("clean")
    found.server.faults.extend(Answer(200, bookmark) for _ in range(1000))
    found.advance(10)
    assert 30 <= len(found.asked) <= 42


def test_errors_of_a_watch_that_come_again_lead_to_a_list():
    found = synced()
    error = (
        b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd","metadata":{},"status":"Failure"}}\n'
    )
    found.server.end_watches("clean")
    found.server.faults.extend(Answer(200, error) for _ in range(2))
    found.advance(20)
    assert found.asked == ["watch 110", "watch 110", "stream"]
    assert_equal(found)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"ADDED","object":',
        b'{"type":"ADDED","object":{"metadata":{}}}',
        b'{"type":"ADDED","object":{"metadata":5}}',
        b'{"type":"CHANGED","object":{"metadata":{"name":"a","namespace":"dev"}}}',
        b"[]",
        b"\xff",
    ],
)
def test_lines_that_cannot_be_read_are_counted_and_come_again_only_once(line):
    found = synced()
    found.server.end_watches("clean")
    found.server.faults.extend(Answer(200, line + b"\n") for _ in range(2))
    found.advance(20)
    assert found.asked == ["watch 110", "watch 110", "stream"]
    assert found.reflector.state.decode_errors == 2
    assert_equal(found)


def test_lines_before_one_that_cannot_be_read_are_applied():
    found = synced()
    found.storage.put("dev", "new")
    line = json.dumps({"type": "ADDED", "object": found.storage.objects()["dev", "new"]}).encode()
    found.server.end_watches("clean")
    found.server.faults.append(Answer(200, line + b"\nnonsense\n", ""))
    found.pump()
    assert_equal(found)
    found.advance(5)
    assert found.asked == ["watch 110", "watch 111"]


# Silence.


def test_bookmarks_keep_a_quiet_watch_alive_and_move_its_revision_on():
    found = synced()
    for _ in range(4):
        found.storage.other_write()
        found.advance(65)
    assert found.asked == []
    assert found.reflector.position == found.storage.revision
    assert found.store.revision("Service") == str(found.storage.revision)


def test_a_storage_that_was_restored_to_older_is_noticed_by_the_silence():
    found = synced()
    # The watch is open at a revision that the storage will not reach for long.
    found.server.end_watches("clean")
    found.storage.restore(103)
    found.server.at = found.server.oldest = 103
    found.advance(1)
    assert found.asked == ["watch 110"]
    found.storage.put("dev", "new")
    found.advance(SILENCE_SECONDS - 5)
    assert len(found.services) == 10
    assert found.reflector.state.connected
    found.advance(10)
    assert_equal(found)
    assert [service.name for service in found.services] == ["new", "web-0", "web-1", "web-2"]
    assert found.reflector.state.watch_restarts["silence"] == 1


def test_a_server_that_is_stopped_is_left_and_asked_again_until_it_goes_on():
    found = synced()
    found.server.hangs = True
    found.storage.put("dev", "new")
    found.advance(SILENCE_SECONDS + 100)
    assert not found.reflector.state.connected
    assert found.reflector.state.problem is not None
    assert found.reflector.state.synced
    found.server.wake(found.now)
    found.advance(90)
    assert_equal(found)
    assert found.reflector.state.problem is None


def test_while_the_storage_is_down_watches_stay_and_no_list_is_taken():
    found = synced()
    found.storage.down = True
    for watch in found.server.watches:
        watch.bookmarks = False
    found.advance(400)
    assert "cached list" not in found.asked
    assert found.changes == []
    assert found.reflector.state.relists == 0
    found.storage.down = False
    found.storage.put("dev", "new")
    found.advance(1)
    assert_equal(found)


def test_a_server_without_bookmarks_is_listed_less_and_less_often():
    found = synced()
    found.server.end_watches("clean")

    def mute() -> None:
        for watch in found.server.watches:
            watch.bookmarks = False

    for _ in range(3600):
        found.advance(1)
        mute()
    assert 3 <= found.reflector.state.relists <= 12
    assert_equal(found)


def test_bytes_without_a_line_do_not_hide_the_silence():
    found = synced()
    trickle = Answer(200, b"", "")
    found.server.end_watches("clean")
    found.server.faults.append(trickle)
    found.advance(0)
    for _ in range(int(SILENCE_SECONDS) + 2):
        trickle.parts.append(b"x")
        found.advance(1)
    assert found.reflector.state.watch_restarts["silence"] == 1


def test_after_a_long_sleep_of_the_machine_a_list_comes():
    found = synced()
    found.server.watches.clear()  # what kept the connection in mind has forgotten it
    found.storage.put("dev", "missed")
    found.jump(100_000)
    found.advance(5)
    assert_equal(found)


# Refusals.


def test_a_server_that_is_down_is_asked_again_with_growing_waits():
    found = synced()
    found.server.end_watches("broken")
    found.server.down = True
    found.advance(600)
    times = [time for time, _ in found.conversations[0].asked]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[1] < 3
    assert all(10 <= wait <= 45 for wait in waits[8:])
    assert 15 < len(times) < 40
    assert found.reflector.waits_for_server
    found.server.down = False
    found.advance(46)
    assert_equal(found)
    assert found.reflector.state.relists == 0


def test_a_sign_of_life_ends_the_wait_for_a_server_that_was_down():
    found = synced()
    found.server.end_watches("broken")
    found.server.down = True
    found.advance(200)
    found.server.down = False
    found.reflector.hurry(found.now)
    found.advance(0.2)
    assert found.reflector.state.connected


def test_403_of_a_server_that_has_just_started_passes_quickly():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.faults.extend(refusal(403) for _ in range(2))
    found.advance(0.6)
    assert_equal(found)


def test_403_that_stays_is_asked_about_ever_more_rarely():
    found = Reflection()
    found.server.faults.extend(refusal(403) for _ in range(1000))
    found.advance(300)
    assert 10 <= len(found.asked) <= 30
    problem = found.reflector.state.problem
    assert isinstance(problem, ApiError)
    assert problem.status == 403


@pytest.mark.parametrize(("status", "reason"), [(429, "throttled"), (503, "refused")])
def test_retry_after_is_obeyed(status, reason):
    found = synced()
    found.server.faults.append(refusal(status, b"Too many requests, please try again later.", **{"retry-after": "17"}))
    found.server.end_watches("clean")
    found.advance(16)
    assert len(found.asked) == 1
    found.advance(10)
    assert len(found.asked) == 2
    assert found.reflector.state.watch_restarts[reason] == 1
    assert_equal(found)


def test_a_watch_that_is_refused_for_its_revision_leads_to_a_list():
    found = synced()
    found.server.faults.append(refusal(400))
    found.server.end_watches("clean")
    found.advance(10)
    assert found.asked == ["watch 110", "stream"]
    assert_equal(found)


@pytest.mark.parametrize("status", [500, 504])
def test_where_the_storage_fails_a_list_the_server_s_memory_answers(status):
    found = Reflection()
    found.server.streams = False
    found.storage.put("dev", "web")
    found.server.faults.extend([refusal(422), refusal(status)])
    found.advance(2)
    assert_equal(found)
    assert found.asked == ["stream", "page", "cached list", "watch 101"]


def test_each_kind_of_list_that_breaks_is_followed_by_another_kind():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.faults.extend(Answer(200, b'{"type":"ADD', "broken") for _ in range(4))
    found.advance(60)
    assert_equal(found)
    assert found.asked == ["stream", "page", "cached list", "stream", "page"][:4] + found.asked[4:]


def test_where_streams_are_cut_without_an_answer_the_third_time_is_the_last():
    found = Reflection()
    found.server.cuts_streams = True
    found.storage.put("dev", "web")
    found.advance(30)
    assert_equal(found)
    assert found.asked == ["stream", "stream", "stream", "page", "watch 101"]
    assert found.reflector.state.problem is None


def test_where_every_list_is_cut_without_an_answer_the_ways_take_turns():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.faults.extend(Answer(0, b"", "broken") for _ in range(6))
    found.advance(120)
    assert_equal(found)
    assert found.asked == ["stream", "stream", "stream", "page", "cached list", "stream", "page", "watch 101"]


def test_a_server_that_cannot_be_reached_is_asked_for_a_stream_when_it_is_back():
    found = Reflection()
    found.storage.put("dev", "web")
    found.server.down = True
    found.advance(300)
    found.server.down = False
    found.advance(60)
    assert_equal(found)
    assert set(found.asked) == {"stream"}


def test_a_list_that_ends_cleanly_in_the_middle_is_no_list():
    found = Reflection()
    for number in range(3):
        found.storage.put("dev", f"web-{number}")
    items = json.dumps({"metadata": {"resourceVersion": "103"}, "items": list(found.storage.objects().values())})
    found.server.faults.extend([refusal(422), Answer(200, items.encode()[:-150]), Answer(200, b"")])
    found.advance(0.1)
    assert found.store.synced == frozenset()
    found.advance(30)
    assert_equal(found)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"kind":"ServiceList","metadata":{},"items":[]}', "no revision"),
        (b'{"kind":"ServiceList","metadata":{"resourceVersion":"200"}}', "no items"),
        (b'{"kind":"ServiceList","metadata":{"resourceVersion":"200"},"items":{}}', "can't be read"),
        (b'{"kind":"ServiceList","metadata":{"resourceVersion":"200"},"items":[5]}', "can't be read"),
        (b"OK", "can't be read"),
    ],
)
def test_an_answer_that_is_no_list_is_a_problem_and_no_empty_list(body, problem):
    found = synced(streams=False)
    found.server.faults.extend(Answer(200, body) for _ in range(2))
    found.reflector.relist("gap", found.now)
    found.advance(0.1)
    assert problem in str(found.reflector.state.problem)
    found.advance(30)
    assert_equal(found)
    assert found.changes == []


def test_pages_that_lead_to_themselves_are_noticed():
    found = synced(streams=False)
    body = b'{"metadata":{"resourceVersion":"110","continue":"again"},"items":[]}'
    found.server.faults.extend(Answer(200, body) for _ in range(6))
    found.reflector.relist("gap", found.now)
    found.advance(300)
    assert_equal(found)


# Objects.


def test_an_object_that_is_wrong_is_left_out_and_stops_nothing(caplog):
    found = synced()
    found.storage.put("dev", "web-1", "not-an-address")
    found.storage.put("dev", "new")
    found.storage.put("dev", "web-1", "not-an-address")
    found.advance(0)
    assert {service.name for service in found.services} == {"new", *(f"web-{number}" for number in range(10))} - {
        "web-1"
    }
    assert (found.reflector.state.decode_errors, found.reflector.state.kept_out) == (1, 1)
    assert caplog.text.count("Service dev/web-1 is left out: spec.clusterIP") == 1
    found.reflector.relist("gap", found.now)
    found.advance(0)
    assert found.reflector.state.decode_errors == 1
    found.storage.put("dev", "web-1")
    found.advance(0)
    assert_equal(found)
    assert found.reflector.state.kept_out == 0


def test_an_object_that_leaves_the_selection_is_deleted_and_may_come_back():
    found = synced()
    found.storage.delete("dev", "web-1")
    found.advance(0)
    assert found.store.get("Service", ("dev", "web-1")) is None
    found.storage.put("dev", "web-1")
    found.advance(0)
    assert_equal(found)


def test_more_is_read_of_objects_when_something_asks_for_it():
    reflector = Reflector(resource_of("Pod"), Random(1))
    pod = {
        "metadata": {"name": "p", "namespace": "dev", "resourceVersion": "5", "labels": {"a": "b"}},
        "status": {"podIP": "10.0.0.1", "phase": "Running"},
    }
    end = {"metadata": {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}}}
    lines = b"".join(
        json.dumps({"type": kind, "object": value}).encode() + b"\n"
        for kind, value in (("ADDED", pod), ("BOOKMARK", end))
    )

    def read() -> list[object]:
        assert isinstance(reflector.next(1.0), Request)
        reflector.opened(1.0)
        return [event.object for events in reflector.feed(lines, 1.0) for event in events if hasattr(event, "object")]

    assert read() == [Pod("dev", "p", ("10.0.0.1",))]
    reflector.widen(["labels"], 1.0)
    assert not reflector.busy
    assert reflector.state.watch_restarts == {"details": 1}
    assert read() == [Pod("dev", "p", ("10.0.0.1",), labels=(("a", "b"),))]


def test_a_list_of_another_cluster_s_services_says_at_its_end_how_old_it_is():
    reflector = Reflector(resource_of("ServiceImport"), Random(1))
    item = {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "metadata": {"name": "a", "namespace": "dev"}, "spec": {}}
    body = json.dumps({"apiVersion": "x", "items": [item], "kind": "L", "metadata": {"resourceVersion": "50"}}).encode()

    def read(now: float) -> int:
        reflector.next(now)
        reflector.failed(ApiError("no answer", timed_out=True), now)
        assert isinstance(reflector.next(now), Request)
        reflector.opened(now)
        events = [event for events in reflector.feed(body, now) for event in events]
        return len(events) + sum(len(events) for events in reflector.ended(now))

    assert read(0.0) == 2
    reflector.position = 60
    reflector.relist("gap", 10.0)
    assert read(10.0) == 0
    assert reflector.state.discarded_stale_lists == 1


def test_a_wait_says_until_when():
    found = Reflection()
    found.server.down = True
    found.pump()
    step = found.reflector.next(found.now)
    assert isinstance(step, Wait)
    assert found.now < step.until_seconds <= found.now + 1.2
