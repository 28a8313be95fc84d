# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from clusterdns.testing.apiserver import Storage
from clusterdns.testing.apiserver.resources import SERVICES, Target
from clusterdns.testing.apiserver.selection import Selection
from clusterdns.testing.apiserver.watching import MAX_EVENTS_AT_ONCE, Watcher, parse_watch

STREAMED = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


@pytest.fixture
def storage():
    return Storage()


def service(name, **labels):
    return {"kind": "Service", "metadata": {"name": name, "labels": labels}}


def watcher(storage, *, metadata_only=False, **query):
    target = Target(SERVICES)
    return Watcher(
        storage,
        target,
        Selection(target, query),
        parse_watch(query, "on"),
        metadata_only=metadata_only,
        bookmark_seconds=60.0,
    )


def told(lines):
    return [(event["type"], event["object"]["metadata"].get("name")) for event in map(json.loads, lines)]


def test_events_come_once_and_a_hundred_at_a_time(storage):
    one = watcher(storage, resourceVersion=str(storage.revision))
    assert one.begin(storage.revision, 0) == []
    for number in range(MAX_EVENTS_AT_ONCE + 5):
        storage.create(service(f"s{number}"))
    assert len(one.due(storage.revision)) == MAX_EVENTS_AT_ONCE
    assert one.behind(storage.revision) == 5
    assert len(one.due(storage.revision)) == 5
    assert one.due(storage.revision) == []


def test_the_mark_of_the_end_waits_until_the_server_has_caught_up(storage):
    storage.create(service("a"))
    behind = storage.revision
    storage.create(service("b"))
    one = watcher(storage, **STREAMED)
    assert told(one.begin(behind, 0)) == [("ADDED", "a")]
    assert one.due(behind) == []
    assert one.bookmark(behind, 61.0) == []
    assert told(one.due(storage.revision)) == [("ADDED", "b")]
    assert told(one.due(storage.revision)) == [("BOOKMARK", None)]
    assert one.due(storage.revision) == []


def test_with_revision_0_the_mark_comes_at_once(storage):
    behind = storage.revision
    storage.create(service("b"))
    one = watcher(storage, **STREAMED, resourceVersion="0")
    assert one.begin(behind, 0) == []
    (mark,) = one.due(behind)
    assert json.loads(mark)["object"]["metadata"]["resourceVersion"] == str(behind)


def test_bookmarks_have_their_time_and_none_come_from_the_future(storage):
    one = watcher(storage, resourceVersion=str(storage.revision), allowWatchBookmarks="true")
    one.begin(storage.revision, 0)
    assert one.bookmark(storage.revision, 59.0) == []
    assert len(one.bookmark(storage.revision, 60.0)) == 1
    assert one.bookmark(storage.revision, 61.0) == []
    future = watcher(storage, resourceVersion=str(storage.revision + 10), allowWatchBookmarks="true")
    future.begin(storage.revision, 0)
    assert future.bookmark(storage.revision, 60.0) == []


def test_what_is_older_than_memory_is_expired(storage):
    one = watcher(storage, resourceVersion="1")
    (line,) = one.begin(storage.revision, 5)
    assert json.loads(line)["object"]["code"] == 410
    assert one.ending == "clean"


def test_lost_events_move_the_cursor(storage):
    one = watcher(storage, resourceVersion=str(storage.revision))
    one.begin(storage.revision, 0)
    one.lose = 1
    storage.create(service("lost"))
    storage.create(service("kept"))
    assert told(one.due(storage.revision)) == [("ADDED", "kept")]


def test_only_metadata_where_that_is_asked_for(storage):
    storage.create(service("a"))
    one = watcher(storage, metadata_only=True, **STREAMED)
    (line,) = one.begin(storage.revision, 0)
    (mark,) = one.due(storage.revision)
    assert json.loads(line)["object"].keys() == {"kind", "apiVersion", "metadata"}
    assert json.loads(mark)["object"]["kind"] == "PartialObjectMetadata"
