# SPDX-License-Identifier: Apache-2.0
"""The gap watchdog: compares what is known with what the API server has, for watches that fail to tell.

Theory of operation. A watch can lose events without a sign: etcd re-formed, a proxy, a defect. So at an interval the
server is asked for one object, of which it says how many more there are and at what revision. If their number isn't
the number known, now and after the time that a watch may lag, or if the last full comparison was long ago, then the
metadata of all objects are read, a page at a time, and their revisions compared with those last seen. What the watch
tells of in the meantime is left out of it. What still differs after the watch has had its time to tell is a gap: a list
mends it.

An answer older than what is known, to a question that asks the storage, means that the storage was restored from a
backup: a list at once. It is driven like a ``Reflector``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Final, Literal, TypeAlias

from clusterdns.cluster.changes import Event
from clusterdns.cluster.items import Item, decode_names
from clusterdns.cluster.objects import Key
from clusterdns.cluster.reflector import requests
from clusterdns.cluster.reflector.bodies import ListBody
from clusterdns.cluster.reflector.ledger import revision_number
from clusterdns.cluster.reflector.reflector import Reflector, Step, Wait
from clusterdns.errors import ApiError

HEADERS_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 10.0
LAG_SECONDS: Final = 5.0
"""What a watch may lag behind."""

PAUSE_SECONDS: Final = 0.1
"""Between two pages, for the sake of the API server."""

PODS_SECONDS: Final = 3600.0
OBJECTS_PER_INTERVAL: Final = 10_000
"""With more objects than that, full comparisons are rarer in proportion."""

_Phase: TypeAlias = Literal["rest", "count", "recount", "compare", "settle"]


class Resync:
    """Watches over one reflector.

    interval_seconds: between two looks, a fifth more or less by chance; 0 for never.

    busy: an answer is being read.
    checks, comparisons: looks at the number of objects, and full comparisons, that were finished.
    """

    def __init__(self, reflector: Reflector, random: Random, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self.busy = False
        self.checks = 0
        self.comparisons = 0
        self._reflector = reflector
        self._random = random
        self._phase: _Phase = "rest"
        self._due_seconds = -1.0
        self._compared_seconds = -1.0
        self._lists = -1
        self._position = 0
        self._token = ""
        self._page = ListBody(decode_names)
        self._suspects: dict[Key, int] = {}

    @property
    def headers_seconds(self) -> float:
        """How long to wait for the header of an answer."""
        return HEADERS_SECONDS

    def idle_seconds(self, now_seconds: float) -> float:
        """How long to wait for the next piece of the body."""
        return IDLE_SECONDS

    def hasten(self, now_seconds: float) -> None:
        """The server was lost sight of: look soon whether it is the same as before."""
        if self.interval_seconds and self._phase == "rest":
            self._due_seconds = min(self._due_seconds, now_seconds + 1 + 4 * self._random.random())

    def next(self, now_seconds: float) -> Step:
        """The next request, or when to ask again."""
        if not self.interval_seconds:
            return Wait(float("inf"))
        reflector = self._reflector
        if self._lists != reflector.lists:
            # That was a comparison; one that is under way is of another list.
            self._lists = reflector.lists
            self._compared_seconds = now_seconds
            if self._phase != "rest" or self._due_seconds < 0:
                self._rest(now_seconds)
        if now_seconds < self._due_seconds:
            return Wait(self._due_seconds)
        if not reflector.state.connected:
            self._rest(now_seconds, LAG_SECONDS)
            return Wait(self._due_seconds)
        if self._phase == "settle":
            self._judge(now_seconds)
            return Wait(self._due_seconds)
        self.busy = True
        self._position = reflector.position
        if self._phase == "compare":
            self._page = ListBody(decode_names)
            return requests.page(reflector.resource, self._token, accept=requests.METADATA)
        if self._phase == "rest":
            self._phase = "count"
        self._page = ListBody(decode_names)
        return requests.page(reflector.resource, limit=1, accept=requests.METADATA)

    def opened(self, now_seconds: float) -> None:
        """The answer is 200, and its body follows."""

    def refused(self, error: ApiError, headers: Mapping[str, str], body: bytes, now_seconds: float) -> None:
        """The answer is something else than 200: it can wait for the next time."""
        self._rest(now_seconds)

    def failed(self, error: ApiError, now_seconds: float) -> None:
        """No answer came, or not all of it."""
        self._rest(now_seconds)

    def feed(self, data: bytes, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        """The next piece of the body. No events come of it: whatever differs is mended by a list."""
        try:
            for items in self._page.feed(data):
                self._take(items)
                yield ()
        except ApiError as error:
            self.failed(error, now_seconds)

    def ended(self, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        """The body has ended as it should."""
        try:
            count = 0
            for items in self._page.end():
                count += len(items)
                self._take(items)
                yield ()
        except ApiError as error:
            self.failed(error, now_seconds)
            return
        self.busy = False
        if self._lists != self._reflector.lists:
            self._rest(now_seconds)
        elif self._is_older():
            self._rest(now_seconds)
            self._reflector.relist("older", now_seconds)
        elif self._phase == "compare":
            yield from self._page_compared(now_seconds)
        else:
            self._counted(count, now_seconds)

    def _is_older(self) -> bool:
        """True if the storage is behind what was known before it was asked."""
        return not self._token and revision_number(self._page.revision) < self._position

    def _rest(self, now_seconds: float, seconds: float = 0.0) -> None:
        """Nothing to do for so long, an interval if that is 0."""
        self.busy = False
        self._phase = "rest"
        self._token = ""
        self._suspects = {}
        self._reflector.ledger.touched = None
        self._due_seconds = now_seconds + (seconds or self.interval_seconds) * (0.8 + 0.4 * self._random.random())

    def _counted(self, count: int, now_seconds: float) -> None:
        reflector, page = self._reflector, self._page
        self.checks += 1
        total = count + (page.remaining or 0)
        exact = reflector.resource.whole and (page.remaining is not None or not page.token)
        if exact and total != reflector.ledger.known.count:
            if self._phase == "count":
                self._phase = "recount"
                self._due_seconds = now_seconds + LAG_SECONDS
            else:
                self._compare()
        elif now_seconds - self._compared_seconds >= self._full_seconds():
            self._compare()
        else:
            self._rest(now_seconds)

    def _full_seconds(self) -> float:
        """The time between two full comparisons."""
        known = self._reflector.ledger.known
        seconds = self.interval_seconds * max(1.0, known.count / OBJECTS_PER_INTERVAL) * 0.8
        return max(seconds, PODS_SECONDS) if self._reflector.resource.kind == "Pod" else seconds

    def _compare(self) -> None:
        self._phase = "compare"
        self._token = ""
        self._suspects = {}
        self._reflector.ledger.known.begin_comparison()
        self._reflector.ledger.touched = set()

    def _take(self, items: list[Item]) -> None:
        if self._phase != "compare":
            return
        known = self._reflector.ledger.known
        for item in items:
            known.mark(item.namespace, item.name)
            revision = revision_number(item.revision)
            if known.revision(item.namespace, item.name) != revision:
                self._suspects[item.namespace, item.name] = revision

    def _page_compared(self, now_seconds: float) -> Iterator[tuple[Event, ...]]:
        token = self._page.token
        if token and token != self._token:
            self._token = token
            self._due_seconds = now_seconds + PAUSE_SECONDS
            return
        for keys in self._reflector.ledger.known.unmarked():
            self._suspects.update(dict.fromkeys(keys, -1))
            yield ()
        if self._suspects:
            self._phase = "settle"
            self._due_seconds = now_seconds + LAG_SECONDS
        else:
            self._compared(now_seconds)

    def _judge(self, now_seconds: float) -> None:
        """What still differs though the watch has had time to tell, and has told nothing of it, is a gap."""
        ledger = self._reflector.ledger
        touched = ledger.touched or set()
        gaps = sum(
            key not in touched and ledger.known.revision(*key) != revision for key, revision in self._suspects.items()
        )
        self._compared(now_seconds)
        if gaps:
            self._reflector.relist("gap", now_seconds, gaps)

    def _compared(self, now_seconds: float) -> None:
        self.comparisons += 1
        self._compared_seconds = now_seconds
        self._rest(now_seconds)
