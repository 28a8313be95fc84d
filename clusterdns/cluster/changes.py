# SPDX-License-Identifier: Apache-2.0
"""What a source tells the store, and what the store tells those who watch it.

A source speaks in events, each about one kind. They are applied in the order of arrival.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from clusterdns.cluster.objects import Key, Kind, Object


class Replace(msgspec.Struct, frozen=True):
    """These are all the objects of the kind: the result of a list. Applied as a diff; the kind is synced after it.

    ``objects`` is read once and in order. A generator that decodes page by page keeps a relist from holding two copies
    of everything: the store drops each object that equals its own before it takes the next.
    """

    kind: Kind
    objects: Iterable[Object]
    revision: str = ""


class Apply(msgspec.Struct, frozen=True):
    """The object is new or changed.

    triggered_seconds: when what the change follows from happened, in seconds since 1970 (of an EndpointSlice, its
        annotation endpoints.kubernetes.io/last-change-trigger-time); None where that isn't known, and for objects out
        of a list, which may have changed long ago. It is no part of the object: a new time alone is no change.
    """

    kind: Kind
    object: Object
    revision: str = ""
    triggered_seconds: float | None = None


class Delete(msgspec.Struct, frozen=True):
    """The object is gone; unknown keys are ignored."""

    kind: Kind
    key: Key
    revision: str = ""


class Bookmark(msgspec.Struct, frozen=True):
    """The source has seen everything of the kind up to the revision."""

    kind: Kind
    revision: str


class Prune(msgspec.Struct, frozen=True):
    """The end of a list that came as Apply events, in as many steps as it took: whatever isn't among ``kept`` is gone.
    The kind is synced after it.

    kept: the names that were listed, by namespace (the empty one for kinds without); read at once.
    count: of how many objects the list was, if each came in one Apply event; -1 if that isn't sure. A store that has as
        many has no others, and needn't look.
    """

    kind: Kind
    kept: Mapping[str, Container[str]]
    revision: str = ""
    count: int = -1


class Forget(msgspec.Struct, frozen=True):
    """The source no longer speaks for the kind: its objects are gone, and it isn't synced."""

    kind: Kind
    revision: str = ""


Event: TypeAlias = Replace | Apply | Delete | Bookmark | Prune | Forget


class Change(msgspec.Struct, frozen=True):
    """One object before and after; ``old`` is None for a new one, ``new`` for a deleted one.

    triggered_seconds: of the last Apply event.
    """

    kind: Kind
    key: Key
    old: Object | None
    new: Object | None
    triggered_seconds: float | None = None


class ChangeSet(msgspec.Struct, frozen=True):
    """Changes that were applied as one step; never empty.

    number: counts the change sets of a store, from 1.
    arrival_seconds: time.monotonic() when the source read the event.
    """

    changes: tuple[Change, ...]
    number: int
    arrival_seconds: float

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)
