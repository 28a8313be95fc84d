# SPDX-License-Identifier: Apache-2.0
"""Replies remembered by the octets of their query.

Two queries that differ in nothing but the ID get replies that differ in nothing but the ID. So a reply that was made
from compiled answers alone is kept, the second time that it is made, under the query's octets from the third on, and is
sent again, ID apart, until something is published or its time is over. This is the reference implementation in Python;
transports read ``entries`` directly:

    entry = memo.entries.get(packet[2:])
    if entry is not None and entry[UNTIL] <= now:
        entry = memo.revive(packet[2:], now)
    if entry is not None:
        entry[USES] = use = entry[USES] + 1
        reply = packet[:2] + entry[BODIES][use % entry[COUNT]]

A use is one increment; what was used how often is told to ``report`` when somebody asks (``flush``) or the entry goes.

Entries are bounded in number and octets. Where room has to be made, the one that was looked at longest ago goes, unless
it was used since then (the CLOCK algorithm): a memo that is too small for all names that are asked for forgets the rare
ones, and one hot name more costs no more than that name.

Replies whose TTLs count down are right for a second at most. What can tell the next TTL (``Ageing``) is asked for it,
and only the octets of the TTLs are written anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Any, Final, Protocol

from clusterdns.fastpath.ttl import message_ttls, with_ttl

USES: Final = 0
COUNT: Final = 1
BODIES: Final = 2
UNTIL: Final = 3
_REPORTED: Final = 4
_SUBJECT: Final = 5
_SIZE: Final = 6
_AGEING: Final = 7
_POSITIONS: Final = 8
_LOOKED_AT: Final = 9

MAX_ENTRIES: Final = 16384
"""About 1 KiB each: a cluster's busy names are some thousands."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of reply bodies: bounds what a few thousand large answers in several orders can take."""

MAX_SEEN: Final = 16384
"""Queries noted as seen once, about 80 bytes each; as many that were noted before are not forgotten yet."""

_MAX_SPARED: Final = 8
"""Entries in use that an eviction spares before it takes the next one all the same, so that it never takes long."""

Entry = list[Any]


class Ageing(Protocol):
    """A reply all of whose records have the same TTL, and who knows what becomes of it.

    seconds: for how long what the reply shows is right, from when it was made or shown.
    wants_uses: True if the uses of the entry are to be reported before ``show`` is called.
    """

    @property
    def seconds(self) -> float: ...

    @property
    def wants_uses(self) -> bool: ...

    def show(self) -> int | None:
        """The TTL that is right now; None if the reply has to be made anew."""


class Memo:
    """The remembered replies of one listener and protocol.

    report: called with the subject of an entry and the number of its uses since the last call.
    """

    def __init__(self, report: Callable[[Any, int], None]) -> None:
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._report = report
        self._bytes = 0
        self._seen: set[int] = set()
        self._seen_before: set[int] = set()

    def is_wanted(self, query: bytes) -> bool:
        """True if the query has come before: names that never repeat are not worth an entry."""
        mark = hash(query[2:])
        seen = self._seen
        if mark in seen or mark in self._seen_before:
            return True
        if len(seen) >= MAX_SEEN:
            self._seen_before = seen
            seen = self._seen = set()
        seen.add(mark)
        return False

    def remember(
        self,
        query: bytes,
        replies: tuple[bytes, ...],
        subject: object,
        *,
        until: float = inf,
        ageing: Ageing | None = None,
    ) -> None:
        """Keep ``replies`` (whole messages, sent in turn) for queries that equal ``query`` but for the ID.

        until: when they are not right any more, on the clock of ``revive``; then ``ageing`` is asked, if it is there.
        """
        key = query[2:]
        self._forget(key)
        size = sum(map(len, replies))
        while self.entries and (len(self.entries) >= MAX_ENTRIES or self._bytes + size > MAX_BYTES):
            self._evict()
        bodies = tuple([reply[2:] for reply in replies])
        self.entries[key] = [0, len(replies), bodies, until, 0, subject, size, ageing, None, 0]
        self._bytes += size

    def _evict(self) -> None:
        entries = self.entries
        for _ in range(_MAX_SPARED):
            key = next(iter(entries))
            entry = entries[key]
            if entry[USES] == entry[_LOOKED_AT]:
                break
            entry[_LOOKED_AT] = entry[USES]
            entries.move_to_end(key)
        self._forget(next(iter(entries)))

    def revive(self, key: bytes, now: float) -> Entry | None:
        """The entry for a query without its ID if it is right, or can be made so; None if not.

        now: seconds on the clock that ``until`` was told on.
        """
        entry = self.entries.get(key)
        if entry is None or entry[UNTIL] > now or self._renew(entry, now):
            return entry
        self._forget(key)
        return None

    def _renew(self, entry: Entry, now: float) -> bool:
        """Write the TTLs of an entry anew; False if it has to be made anew."""
        ageing: Ageing | None = entry[_AGEING]
        if ageing is None:
            return False
        if ageing.wants_uses:
            self._tell(entry)
        ttl_seconds = ageing.show()
        if ttl_seconds is None:
            return False
        positions = entry[_POSITIONS]
        if positions is None:  # all orders of a reply have their TTLs in the same places
            positions = entry[_POSITIONS] = tuple([at - 2 for at in message_ttls(b"\0\0" + entry[BODIES][0])])
        if positions:
            entry[BODIES] = tuple([with_ttl(body, positions, ttl_seconds) for body in entry[BODIES]])
        entry[UNTIL] = now + ageing.seconds
        return True

    def _forget(self, key: bytes) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[_SIZE]
            self._tell(entry)

    def flush(self) -> None:
        """Report all uses that are not reported yet."""
        for entry in self.entries.values():
            self._tell(entry)

    def clear(self) -> None:
        """Report what was used, and forget everything."""
        self.flush()
        self.entries.clear()
        self._bytes = 0

    def _tell(self, entry: Entry) -> None:
        uses = entry[USES] - entry[_REPORTED]
        if uses:
            entry[_REPORTED] = entry[USES]
            self._report(entry[_SUBJECT], uses)
