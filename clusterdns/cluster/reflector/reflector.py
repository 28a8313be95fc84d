# SPDX-License-Identifier: Apache-2.0
"""The state machine that keeps a store equal to an API server: one for each resource, without I/O or a clock.

Theory of operation. A list gives the objects at a revision, and a watch what happened after it. There are three kinds
of lists. A *stream* is the beginning of a watch; where the server refuses it, *pages* do the same. Both are consistent:
they ask the storage, so what they say is true even if it is older than what was known before, as it is when the
storage was restored from a backup. If the storage doesn't answer, the server's *cache* does; it may lag behind, so what
is older than what is known is discarded. Every list is applied as it comes, as a difference to the store.

A watch that ends, for whatever reason, goes on from the last revision; 410 Gone says that this is too old, and then a
list comes first. A watch that says nothing for longer than the period of bookmarks is no evidence of a quiet cluster:
a server that is stopped says nothing, and one with an older storage neither, for ever. So a consistent list comes then.

Whoever drives a reflector does what ``next`` says: wait, or send a request. Of the answer it hands in the header
(``opened``), an answer other than 200 (``refused``), the body in pieces (``feed``) and its end (``ended``, or
``failed``), while ``busy`` is true. ``feed`` and ``ended`` give out events in steps that take a millisecond or two; all
of them must be taken. All times are of one monotonic clock, in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from random import Random
from typing import Final, Literal, TypeAlias

import msgspec

from clusterdns.cluster.changes import Bookmark, Event
from clusterdns.cluster.items import Detail, ItemDecoder
from clusterdns.cluster.items import Event as WatchEvent
from clusterdns.cluster.reflector import requests
from clusterdns.cluster.reflector.backoff import Backoff, retry_after_seconds
from clusterdns.cluster.reflector.bodies import SLICE_BYTES, LineBody
from clusterdns.cluster.reflector.ledger import Ledger, revision_number
from clusterdns.cluster.reflector.listing import Listing, StaleList
from clusterdns.cluster.reflector.requests import Request, Resource
from clusterdns.cluster.reflector.state import WatchState
from clusterdns.errors import ApiError

_log = logging.getLogger("clusterdns.plugin.kubernetes")

Mode: TypeAlias = Literal["stream", "pages", "cache", "watch"]

SILENCE_SECONDS: Final = 75.0
"""Of a watch. API servers send a bookmark every 60 s or so."""

LONGEST_SILENCE_SECONDS: Final = 600.0
HEADERS_SECONDS: Final = 8.0
LONGEST_HEADERS_SECONDS: Final = 60.0
"""Of waiting for an answer; doubled after each that didn't come. API servers give up after 60 s themselves."""

LIST_IDLE_SECONDS: Final = 10.0
LIST_SECONDS: Final = 600.0
"""For one page."""

WATCH_SECONDS: Final = (300, 600)
"""How long a watch is asked for, by chance in between, as client-go does."""

HEALTHY_SECONDS: Final = 5.0
"""A watch that was open for so long is of use even if it had nothing to tell."""

REWATCH_SECONDS: Final = 0.25
"""At least so much between the beginnings of two watches."""

STREAMS_AGAIN_SECONDS: Final = 3600.0
"""After that, a server that refused to stream a list is asked for it again: it may have been updated."""

MOST_CUT: Final = 3
"""After so many requests in a row whose connections were closed without an answer, lists are asked for otherwise."""

_NO_SECONDS: Final = 0.001
_UNSUPPORTED: Final = frozenset((400, 405, 406, 415, 422, 501))
_STORAGE: Final = frozenset((500, 504))
_PASSING: Final = frozenset((401, 403))


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Nothing to ask before that time."""

    until_seconds: float


Step: TypeAlias = Request | Wait


class Reflector:
    """One resource.

    details: what to read of objects beside what is always read.

    busy: an answer is being read.
    position: the revision that everything is known up to; 0 before the first list.
    lists: how many have been handed out whole.
    breaks: how often the server was lost sight of, other than by the end of a watch.
    waits_for_server: the server couldn't be reached; any sign of life makes it worth to try again.
    """

    def __init__(self, resource: Resource, random: Random, details: Collection[Detail] = ()) -> None:
        self.resource = resource
        self.state = WatchState(resource.kind)
        self.ledger = Ledger(resource.kind, self.state)
        self.busy = False
        self.position = self.lists = self.breaks = 0
        self.waits_for_server = False
        self._random = random
        self._decoder = ItemDecoder(resource.kind, details)
        self._backoff = Backoff(random)
        self._revision = ""
        self._mode: Mode = "stream"
        self._must_list = True
        self._confirming = False
        self._gaps = 0
        self._streams_again_seconds = 0.0
        self._silence_seconds = SILENCE_SECONDS
        self._headers_seconds = HEADERS_SECONDS
        self._not_before_seconds = self._began_seconds = self._line_seconds = 0.0
        self._opened = self._heard = self._productive = self._expired = False
        self._stuck_at = -1
        self._cut = 0
        self._lines = LineBody()
        self._listing: Listing | None = None

    # What to do next.

    def next(self, now_seconds: float) -> Step:
        """The next request, or when to ask again."""
        if now_seconds < self._not_before_seconds:
            return Wait(self._not_before_seconds)
        self.busy = True
        self._opened = self._heard = self._productive = False
        self._began_seconds = self._line_seconds = now_seconds
        self._lines = LineBody()
        timeout_seconds = self._random.randint(*WATCH_SECONDS)
        if not self._must_list:
            self._mode = "watch"
            return requests.watch(self.resource, self._revision, timeout_seconds)
        if self._mode == "watch":
            self._mode = "stream"
        if self._mode == "stream" and now_seconds < self._streams_again_seconds:
            self._mode = "pages"
        if self._mode == "stream":
            self.ledger.begin_list()
            return requests.stream(self.resource, timeout_seconds)
        if self._listing is None:
            self._listing = Listing(self.ledger, self._decoder.items, self.position if self._mode == "cache" else 0)
        self._listing.begin_page()
        if self._mode == "cache":
            return requests.cached_list(self.resource)
        return requests.page(self.resource, self._listing.token)

    @property
    def headers_seconds(self) -> float:
        """How long to wait for the header of an answer."""
        return self._headers_seconds

    def idle_seconds(self, now_seconds: float) -> float:
        """How long to wait for the next piece of the body."""
        if self._mode == "watch":
            until_seconds = self._line_seconds + self._silence_seconds
        elif self._mode == "stream":
            until_seconds = self._line_seconds + LIST_IDLE_SECONDS
        else:
            until_seconds = min(now_seconds + LIST_IDLE_SECONDS, self._began_seconds + LIST_SECONDS)
        return max(until_seconds - now_seconds, _NO_SECONDS)

    def relist(self, reason: str, now_seconds: float, gaps: int = 0) -> None:
        """List again, at once. ``gaps``: how many objects are known to differ."""
        self._gaps += gaps
        self._end_watch(reason)
        self._list_again(now_seconds)

    def widen(self, details: Collection[Detail], now_seconds: float) -> None:
        """Read this of each object from now on; what is there is read again."""
        self._decoder = ItemDecoder(self.resource.kind, details)
        self.relist("details", now_seconds)

    def hurry(self, now_seconds: float) -> None:
        """The server answers others again."""
        if self.waits_for_server and not self.busy:
            self._not_before_seconds = min(self._not_before_seconds, now_seconds + self._random.random() / 10)

    # What comes.

    def opened(self, now_seconds: float) -> None:
        """The answer is 200, and its body follows."""
        self._opened = True
        self._reached(True)
        self._line_seconds = now_seconds
        if self._mode == "watch":
            self.state.connected = True
            self.state.problem = None

    def refused(self, error: ApiError, headers: Mapping[str, str], body: bytes, now_seconds: float) -> None:
        """The answer is something else than 200. ``error`` says what, ``body`` is what came of it."""
        if error.status == 410 and self._listing is not None and self._listing.go_on(body):
            self.busy = False
            return
        self._fail(error, retry_after_seconds(headers.get("retry-after")), now_seconds)

    def failed(self, error: ApiError, now_seconds: float) -> None:
        """No answer came, or not all of it."""
        self._fail(error, 0.0, now_seconds)

    def feed(self, data: bytes, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        """The next piece of the body."""
        try:
            if self._mode in ("stream", "watch"):
                yield from self._read_lines(self._lines.feed(data), now_seconds)
                if self.busy and self.idle_seconds(now_seconds) <= _NO_SECONDS:
                    raise ApiError("no lines come, though bytes do", timed_out=True)
            elif self._listing is not None:
                yield from self._listing.feed(data)
        except ApiError as error:
            self.failed(error, now_seconds)

    def ended(self, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        """The body has ended as it should."""
        if self._mode == "stream":
            self.failed(ApiError("the stream ended before the list was complete"), now_seconds)
        elif self._mode == "watch":
            self._watch_ended(now_seconds)
        elif self._listing is not None:
            try:
                yield from self._listing.end_page()
                yield from self._page_ended(self._listing, now_seconds)
            except ApiError as error:
                self.failed(error, now_seconds)

    # Lists.

    def _page_ended(self, listing: Listing, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        if listing.token:
            if self._mode == "cache":
                raise ApiError("the list ends before its end")
            # An older storage is nothing to go back to the watch with, should the other pages not come.
            self._confirming = self._confirming and revision_number(listing.revision) >= self.position
        else:
            yield from self._list_ended(listing.revision, now_seconds)
        self.busy = False

    def _list_ended(self, revision: str, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        yield from self.ledger.end_list(revision)
        if self._confirming and revision_number(revision) >= self.position:
            # Nothing was wrong but that no bookmarks come.
            self._silence_seconds = min(self._silence_seconds * 2, LONGEST_SILENCE_SECONDS)
        state = self.state
        name = self.resource.name
        if revision_number(revision) < self.position:
            _log.warning("the storage of %s went back from %d to %s: was it restored?", name, self.position, revision)
        if self._gaps:
            _log.warning("%d %s were not as the watch had told them; they are now", self._gaps, name)
        state.relists += state.synced
        state.synced = True
        state.gaps_repaired += self._gaps
        state.last_event_seconds = now_seconds
        state.problem = None
        self.lists += 1
        self.position = revision_number(revision)
        self._revision = revision
        self._gaps = 0
        self._must_list = self._confirming = False
        self._listing = None
        self._headers_seconds = HEADERS_SECONDS
        self._stuck_at = -1
        self._cut = 0

    def _list_again(self, now_seconds: float) -> None:
        self.busy = False
        self._must_list = True
        self._confirming = False
        self._mode = "stream"
        self._listing = None
        self._not_before_seconds = now_seconds

    # Watches.

    def _read_lines(self, lines: list[bytes], now_seconds: float) -> Iterator[tuple[Event, ...]]:
        events: list[Event] = []
        size = 0
        for line in lines:
            try:
                found = self._decoder.event(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if events:
                    yield tuple(events)
                self.state.decode_errors += 1
                self._stumble(ApiError(f"the watch can't be read: {error}"), now_seconds)
                return
            if found.type == "ERROR" or (found.initial_end and self._mode == "stream"):
                if events:
                    yield tuple(events)
                events = []
                if found.type == "ERROR":
                    self._stumble(ApiError(f"{found.code}: {found.message}", status=found.code), now_seconds)
                    return
                yield from self._stream_ended(found, now_seconds)
                continue
            events.extend(self._events_of(found, now_seconds))
            size += len(line)
            if size >= SLICE_BYTES:
                yield tuple(events)
                events, size = [], 0
        if events:
            yield tuple(events)

    def _events_of(self, found: WatchEvent, now_seconds: float) -> tuple[Event, ...]:
        item = found.item
        self._heard = True
        self.state.last_event_seconds = now_seconds
        if self._mode == "watch" or found.type == "ADDED":
            self._line_seconds = now_seconds
        if self._mode == "stream":
            if found.type == "BOOKMARK":
                raise ApiError("the stream goes on without saying where its list ends", timed_out=True)
            if found.type != "DELETED":
                return self.ledger.listed((item,))
        elif not self._productive:
            self._productive = True
            self._expired = False
            self._backoff.reset()
            self._headers_seconds = HEADERS_SECONDS
        if found.type == "BOOKMARK":
            self._silence_seconds = SILENCE_SECONDS
            return (Bookmark(self.resource.kind, self._revision),) if self._advance(item.revision) else ()
        event = self.ledger.told(found.type, item)
        if self._mode == "watch":
            self._advance(item.revision)
        return () if event is None else (event,)

    def _advance(self, revision: str) -> bool:
        """Everything is known up to the revision. Returns whether that is news."""
        number = revision_number(revision)
        if not revision or (number and number <= self.position):
            return False
        self.position = number
        self._revision = revision
        return True

    def _stream_ended(self, found: WatchEvent, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        """The list at the beginning of the stream is complete; what follows is a watch."""
        yield from self._list_ended(found.item.revision, now_seconds)
        self._mode = "watch"
        self._productive = False
        self._line_seconds = now_seconds
        self.state.connected = True

    def _stumble(self, error: ApiError, now_seconds: float) -> None:
        """There is something in the way. What is there the second time will be there again: then a list leads past."""
        stuck_at = self.position if self._mode == "watch" else -1
        again = self._stuck_at == stuck_at >= 0
        self._stuck_at = stuck_at
        self.failed(error, now_seconds)
        self._must_list = self._must_list or again

    def _watch_ended(self, now_seconds: float) -> None:
        if self._lines.partial:
            self.failed(ApiError("the watch ended within a line"), now_seconds)
            return
        self._end_watch("end")
        self.busy = False
        if self._is_healthy(now_seconds):
            self._not_before_seconds = max(now_seconds, self._began_seconds + REWATCH_SECONDS)
        else:
            self._not_before_seconds = now_seconds + self._backoff.next_seconds()

    def _is_healthy(self, now_seconds: float) -> bool:
        """True if the watch that ends was of use, so that the next one needn't wait."""
        if now_seconds - self._began_seconds < HEALTHY_SECONDS:
            return self._productive
        self._expired = False
        self._backoff.reset()
        return True

    def _end_watch(self, reason: str) -> None:
        self.state.connected = False
        self.state.watch_restarts[reason] += 1

    # Failures.

    def _reached(self, reached: bool) -> None:
        if reached and self.waits_for_server:
            self._backoff.reset()  # the waits that have grown were for a server that wasn't there
        self.waits_for_server = not reached

    def _fail(self, error: ApiError, asked_seconds: float, now_seconds: float) -> None:
        self.busy = False
        self.breaks += 1
        self._reached(self._opened or bool(error.status))
        if error.timed_out and not self._opened:
            self._headers_seconds = min(self._headers_seconds * 2, LONGEST_HEADERS_SECONDS)
        handle = self._watch_failed if self._mode == "watch" else self._list_failed
        if handle(error, asked_seconds, now_seconds):
            self.state.problem = error

    def _watch_failed(self, error: ApiError, asked_seconds: float, now_seconds: float) -> bool:
        """Returns whether it is a problem."""
        status = error.status
        if status == 410:
            self._end_watch("expired")
            self._list_again(now_seconds + (self._backoff.next_seconds() if self._expired else 0.0))
            self._expired = True
            return False
        if self._opened and error.timed_out:
            self._end_watch("silence")
            self._list_again(now_seconds + self._random.random())
            self._confirming = True
        elif self._opened and self._is_healthy(now_seconds):
            self._end_watch("broken")
            soon_seconds = now_seconds + self._random.random() / 10
            self._not_before_seconds = max(soon_seconds, self._began_seconds + REWATCH_SECONDS)
            return False
        else:
            self._end_watch("broken" if self._opened else "throttled" if status == 429 else "refused")
            self._not_before_seconds = now_seconds + self._backoff.next_seconds(
                quick=status in _PASSING, asked_seconds=asked_seconds
            )
            self._must_list = self._must_list or status in _UNSUPPORTED
        return True

    def _list_failed(self, error: ApiError, asked_seconds: float, now_seconds: float) -> bool:
        """Returns whether it is a problem."""
        mode, status, hangs = self._mode, error.status, error.timed_out
        self.state.discarded_stale_lists += isinstance(error, StaleList)
        listing = self._listing
        self._cut = self._cut + 1 if error.cut else 0
        otherwise = self._opened or hangs or status in _STORAGE or self._cut >= MOST_CUT
        if listing is None or status in (400, 410) or not listing.may_repeat():
            self._listing = None
            if mode == "stream" and (status in _UNSUPPORTED or (hangs and self._heard)):
                # It doesn't know how to, or doesn't say where the list ends.
                self._streams_again_seconds = now_seconds + STREAMS_AGAIN_SECONDS
                self._mode = "pages"
                self._not_before_seconds = now_seconds
                return False
            if mode == "stream" and (self._confirming or not hangs) and otherwise:
                self._mode = "pages"
            elif self._confirming and hangs:
                # The storage doesn't answer, so there is nothing to compare with. The watch goes on where it was.
                self._must_list = self._confirming = False
            elif mode == "cache":
                self._mode = "stream"
            elif otherwise:
                self._mode = "cache"
        self._not_before_seconds = now_seconds
        if not hangs or mode == "cache":
            self._not_before_seconds += self._backoff.next_seconds(
                quick=status in _PASSING, asked_seconds=asked_seconds
            )
        return True
