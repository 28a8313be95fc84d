# SPDX-License-Identifier: Apache-2.0
"""One open watch: which lines it is due, without the sending of them."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from clusterdns.testing.apiserver.faults import Ending
from clusterdns.testing.apiserver.listing import parse_revision
from clusterdns.testing.apiserver.resources import Target
from clusterdns.testing.apiserver.selection import Selection
from clusterdns.testing.apiserver.statuses import bad_request, expired, invalid
from clusterdns.testing.apiserver.storage import Storage
from clusterdns.testing.apiserver.stored import Stored

StreamedLists: TypeAlias = Literal["on", "refused", "ignored"]
"""What the server makes of sendInitialEvents: serves it; answers 422, as one with the gate off; doesn't know it."""

MAX_EVENTS_AT_ONCE = 100
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class WatchQuery(msgspec.Struct, frozen=True):
    """The parameters of a watch. ``revision`` is None where none is asked for; ``initial_events`` asks for a streamed
    list. ``timeout_seconds``: after this the stream ends.
    """

    revision: int | None
    bookmarks: bool
    initial_events: bool
    timeout_seconds: float


def parse_watch(query: Mapping[str, str], streamed_lists: StreamedLists) -> WatchQuery:
    """The parameters of a watch. Raises ApiStatus 400 and 422 as a real server does."""
    if "continue" in query:
        raise bad_request("continue is forbidden for watch")
    revision = parse_revision(query.get("resourceVersion", ""))
    initial = query.get("sendInitialEvents")
    match = query.get("resourceVersionMatch", "")
    if streamed_lists == "ignored":
        initial, match = None, ""
    elif initial is not None and streamed_lists == "refused":
        raise invalid(
            "ListOptions is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the "
            "WatchList feature gate is enabled"
        )
    elif initial is not None and match != "NotOlderThan":
        raise invalid(
            "ListOptions is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
            "resourceVersionMatch to NotOlderThan"
        )
    elif initial is None and match:
        raise invalid("ListOptions is invalid: resourceVersionMatch: Forbidden: it is forbidden for watch")
    timeout = query.get("timeoutSeconds") or str(random.randrange(1800, 3600))
    if not timeout.isdecimal():
        raise bad_request(f"invalid timeoutSeconds {timeout!r}")
    bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
    return WatchQuery(revision, bookmarks, initial in ("true", "1"), float(timeout))


class Watcher:
    """What one client has been told, and what it is due.

    cursor: the revision up to which it has been told.
    wake: set when there may be something to send, or when ``ending`` says to end.
    """

    def __init__(
        self,
        storage: Storage,
        target: Target,
        selection: Selection,
        query: WatchQuery,
        *,
        metadata_only: bool,
        bookmark_seconds: float,
    ) -> None:
        self.target = target
        self.query = query
        self.cursor = 0
        self.ending: Ending | None = None
        self.wake = asyncio.Event()
        self.lose = 0  # this many events are kept from it
        self.raw: deque[bytes] = deque()
        self.next_bookmark_seconds = bookmark_seconds
        self._bookmark_seconds = bookmark_seconds
        self._storage = storage
        self._selection = selection
        self._metadata_only = metadata_only
        self._end_mark_at: int | None = None  # the revision at which the mark of the initial events' end is due

    def begin(self, heard_of: int, oldest: int) -> list[bytes]:
        """The first lines. ``heard_of`` is the newest revision that the server knows, ``oldest`` the one from which on
        it remembers changes.
        """
        query = self.query
        if query.revision and not query.initial_events:
            if query.revision < max(oldest, self._storage.forgotten(self.target.resource)):
                self.ending = "clean"
                return [too_old(query.revision, oldest)]
            self.cursor = query.revision
            return []
        self.cursor = heard_of
        if query.initial_events and query.bookmarks:
            self._end_mark_at = query.revision if query.revision is not None else self._storage.revision
        elif query.revision == 0 and query.bookmarks:
            self._end_mark_at = 0
        objects = self._storage.ordered(self.target.resource, heard_of)
        return [self._line("ADDED", each) for each in objects if self._selection(each)]

    def due(self, heard_of: int) -> list[bytes]:
        """The next lines, at most a hundred; empty when there is nothing."""
        lines = list(self.raw)
        self.raw.clear()
        events = self._storage.events(self.target.resource, self.cursor, heard_of)[:MAX_EVENTS_AT_ONCE]
        for event in events:
            self.cursor = event.revision
            seen = event.seen_by(self._selection)
            if seen is None:
                continue
            if self.lose:
                self.lose -= 1
            else:
                lines.append(self._line(*seen))
        if not events and self._end_mark_at is not None and heard_of >= self._end_mark_at:
            self._end_mark_at = None
            self.cursor = max(self.cursor, heard_of)
            lines.append(self._bookmark({INITIAL_EVENTS_END: "true"}))
        return lines

    def behind(self, heard_of: int) -> int:
        """How many changes it has not been told of."""
        return len(self._storage.events(self.target.resource, self.cursor, heard_of))

    def bookmark(self, heard_of: int, elapsed_seconds: float) -> list[bytes]:
        """A bookmark if one is due after so many seconds of the watch."""
        if not self.query.bookmarks or elapsed_seconds < self.next_bookmark_seconds:
            return []
        self.next_bookmark_seconds = elapsed_seconds + self._bookmark_seconds
        if self.cursor > heard_of or self._end_mark_at is not None:
            return []  # it asked for a future revision, or is not through with its initial events
        self.cursor = heard_of
        return [self._bookmark({})]

    def _bookmark(self, annotations: dict[str, str]) -> bytes:
        resource = self.target.resource
        metadata: dict[str, object] = {"resourceVersion": str(self.cursor), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        value: dict[str, object] = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._metadata_only:
            value |= {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return msgspec.json.encode({"type": "BOOKMARK", "object": value}) + b"\n"

    def _line(self, kind: str, stored: Stored) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (
            kind.encode(),
            stored.metadata if self._metadata_only else stored.whole,
        )


def too_old(revision: int, oldest: int) -> bytes:
    """The ERROR event for a revision that is no longer remembered."""
    status = expired(f"too old resource version: {revision} ({oldest})")
    return b'{"type":"ERROR","object":%s}\n' % status.encode()
