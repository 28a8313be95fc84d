# SPDX-License-Identifier: Apache-2.0
"""What ``cache`` has for a query, for ``clusterdns explain``."""

from __future__ import annotations

from collections.abc import Iterator

from clusterdns.plugins.cache.entry import Entry
from clusterdns.plugins.cache.shelves import Shelves
from clusterdns.serving.query import Query
from clusterdns.serving.trace import Fact, Note


def entry_notes(
    query: Query, shelves: Shelves, key: bytes, now_seconds: float, *, is_for: bool, waits: bool
) -> Iterator[Note]:
    """Whether an entry answers the query.

    is_for: True if the query is one to be looked up here. waits: True if an identical one is under way.
    """
    if not is_for:
        yield Note("passed on: not a name, or a kind of query, that is cached here")
        return
    if waits:
        yield Note("an identical query is under way, so this one waits for its reply")
        return
    entry = shelves.find(query, key, now_seconds)
    if entry is None:
        owners = [name for name, owner in shelves.owners.items() if owner.owns(query)]
        if owners:
            yield Note(
                f"miss: the name is that of {owners[0]}, whose answers are never kept here", facts={"hit": False}
            )
        else:
            yield Note("miss: nothing is kept for this name, type and flags", facts={"hit": False})
        return
    what = "a denial" if entry.denial else "an answer"
    remaining = entry.remaining_seconds(now_seconds)
    facts: dict[str, Fact] = {"hit": True, "remaining_seconds": remaining, "ttl_seconds": entry.ttl_seconds}
    if remaining > 0:
        yield Note(f"hit: {what} of {entry.plugin}, {remaining} s of {entry.ttl_seconds} s are left", facts=facts)
        return
    stale = shelves.options.stale
    how = "asks again first" if stale is not None and stale.verify else "and renews it in the background"
    yield Note(f"expired {-remaining} s ago, and serve_stale may still use it: {how}", facts=facts)


def kept_note(entry: Entry | None) -> str:
    """What became of a reply from behind."""
    return "the reply is not kept" if entry is None else f"the reply is kept for {entry.ttl_seconds} s"
