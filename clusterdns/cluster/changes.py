# SPDX-License-Identifier: Apache-2.0
"""What a source tells the store, and what the store tells those who watch it.

A source speaks in four events, each about one kind. They are applied in the order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    """The object is new or changed."""

    kind: Kind
    object: Object
    revision: str = ""


class Delete(msgspec.Struct, frozen=True):
    """The object is gone; unknown keys are ignored."""

    kind: Kind
    key: Key
    revision: str = ""


class Bookmark(msgspec.Struct, frozen=True):
    """The source has seen everything of the kind up to the revision."""

    kind: Kind
    revision: str


Event: TypeAlias = Replace | Apply | Delete | Bookmark


class Change(msgspec.Struct, frozen=True):
    """One object before and after; ``old`` is None for a new one, ``new`` for a deleted one."""

    kind: Kind
    key: Key
    old: Object | None
    new: Object | None


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
