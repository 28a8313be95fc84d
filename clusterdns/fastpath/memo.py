# SPDX-License-Identifier: Apache-2.0
"""Replies remembered by the octets of their query.

Two queries that differ in nothing but the ID get replies that differ in nothing but the ID. So a reply that was made
from compiled answers alone is kept, the second time that it is made, under the query's octets from the third on, and is
sent again, ID apart, until something is published. This is the reference implementation in Python; transports read
``entries`` directly:

    entry = memo.entries.get(packet[2:])
    entry[USES] = use = entry[USES] + 1
    reply = packet[:2] + entry[BODIES][use % entry[COUNT]]

A use is one increment; what was used how often is told to ``report`` when somebody asks (``flush``) or the entry goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

USES: Final = 0
COUNT: Final = 1
BODIES: Final = 2
_REPORTED: Final = 3
_SUBJECT: Final = 4

MAX_ENTRIES: Final = 8192
"""About 1 KiB each. A cluster's busy names are some thousands; names that never repeat push them out at that rate."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of reply bodies: bounds what a few thousand large answers in several orders can take."""

MAX_SEEN: Final = 16384
"""Queries noted as seen once, about 80 bytes each."""

Entry = list[Any]


class Memo:
    """The remembered replies of one listener and protocol.

    report: called with the subject of an entry and the number of its uses since the last call.
    """

    def __init__(self, report: Callable[[Any, int], None]) -> None:
        self.entries: dict[bytes, Entry] = {}
        self._report = report
        self._bytes = 0
        self._passing: list[bytes] = []
        self._seen: set[int] = set()

    def is_wanted(self, query: bytes) -> bool:
        """True if the query has come before: names that never repeat are not worth an entry."""
        mark = hash(query[2:])
        seen = self._seen
        if mark in seen:
            return True
        if len(seen) >= MAX_SEEN:
            seen.clear()
        seen.add(mark)
        return False

    def remember(self, query: bytes, replies: tuple[bytes, ...], subject: object, *, passing: bool = False) -> None:
        """Keep ``replies`` (whole messages, sent in turn) for queries that equal ``query`` but for the ID.

        passing: the replies are only some of the orders that there are; ``refresh`` forgets them.
        """
        size = sum(map(len, replies))
        if len(self.entries) >= MAX_ENTRIES or self._bytes + size > MAX_BYTES:
            self.clear()
        key = query[2:]
        self._forget(key)
        self.entries[key] = [0, len(replies), tuple([reply[2:] for reply in replies]), 0, subject]
        self._bytes += size
        if passing:
            self._passing.append(key)

    def refresh(self) -> None:
        """Forget the passing entries, so that others of their orders get their turn."""
        for key in self._passing:
            self._forget(key)
        self._passing.clear()

    def _forget(self, key: bytes) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self._bytes -= sum(map(len, entry[BODIES])) + 2 * entry[COUNT]
            self._tell(entry)

    def flush(self) -> None:
        """Report all uses that are not reported yet."""
        for entry in self.entries.values():
            self._tell(entry)

    def clear(self) -> None:
        """Report what was used, and forget everything."""
        self.flush()
        self.entries.clear()
        self._passing.clear()
        self._bytes = 0

    def _tell(self, entry: Entry) -> None:
        uses = entry[USES] - entry[_REPORTED]
        if uses:
            entry[_REPORTED] = entry[USES]
            self._report(entry[_SUBJECT], uses)
