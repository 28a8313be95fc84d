# SPDX-License-Identifier: Apache-2.0
"""From items of lists and watches to events of the store, with an account of what the API server has."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from clusterdns.cluster.changes import Apply, Delete, Event, Prune
from clusterdns.cluster.items import Item
from clusterdns.cluster.objects import Key, Kind
from clusterdns.cluster.reflector.known import Known
from clusterdns.cluster.reflector.state import WatchState
from clusterdns.errors import ApiError

_MOST_FAULTY: Final = 1000
"""Faulty objects that are remembered, so that each is logged once."""

_log = logging.getLogger("clusterdns.plugin.kubernetes")


def revision_number(text: str) -> int:
    """A resourceVersion as a number (Kubernetes 1.35 and etcd: larger is later); 0 for what isn't one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


class Ledger:
    """Of one kind.

    touched: while it is a set, every object that a watch tells of is put in.
    """

    def __init__(self, kind: Kind, state: WatchState) -> None:
        self.kind = kind
        self.known = Known()
        self.touched: set[Key] | None = None
        self._state = state
        self._faulty: dict[Key, str] = {}
        self._applied = 0
        self._exact = False

    def begin_list(self) -> None:
        """A list follows: items, some at a time, then its end."""
        self.known.begin_list()
        self._applied = 0
        self._exact = True

    def listed(self, items: Iterable[Item]) -> tuple[Event, ...]:
        """A list has these. Raises ApiError for one without a name: what may be meant mustn't count as gone."""
        events = []
        for item in items:
            if not item.name:
                raise ApiError(f"the list can't be read: an item has no name ({item.fault})")
            if not self.known.put(item.namespace, item.name, revision_number(item.revision)):
                self._exact = False
            self._applied += item.object is not None
            events.append(self._event(item, "", None))
        return tuple(events)

    def end_list(self, revision: str) -> Iterator[tuple[Event, ...]]:
        """All has been listed: what wasn't is gone."""
        for keys in self.known.sweep():
            for key in keys:
                self._forget_fault(key)
            yield tuple([Delete(self.kind, key) for key in keys])
        yield (Prune(self.kind, self.known.names, revision, self._applied if self._exact else -1),)

    def told(self, kind: str, item: Item) -> Event | None:
        """A watch tells of an item that has a name; ``kind`` is ADDED, MODIFIED or DELETED. None for what is known
        already: after an inconsistent list, a watch tells of changes that were seen before.
        """
        revision, seen = revision_number(item.revision), self.known.revision(item.namespace, item.name)
        key = (item.namespace, item.name)
        self._exact = False
        if self.touched is not None:
            self.touched.add(key)
        if kind == "DELETED":
            if revision < seen:
                return None
            self.known.remove(*key)
            self._forget_fault(key)
            return Delete(self.kind, key, item.revision)
        if revision <= seen and revision:
            return None
        self.known.remove(*key)  # so that the name is shared with the object that takes the place of the old one
        self.known.put(*key, revision)
        return self._event(item, item.revision, item.triggered_seconds)

    def _event(self, item: Item, revision: str, triggered_seconds: float | None) -> Event:
        key = (item.namespace, item.name)
        if item.fault is not None:
            self._keep_out(key, str(item.fault))
        elif key in self._faulty:
            self._forget_fault(key)
        if item.object is not None:
            return Apply(self.kind, item.object, revision, triggered_seconds)
        return Delete(self.kind, key, revision)

    def _keep_out(self, key: Key, reason: str) -> None:
        if self._faulty.get(key) == reason:
            return
        self._state.decode_errors += 1
        if key in self._faulty or len(self._faulty) < _MOST_FAULTY:
            self._faulty[key] = reason
            self._state.kept_out = len(self._faulty)
            _log.warning("%s %s is left out: %s", self.kind, "/".join(filter(None, key)), reason)

    def _forget_fault(self, key: Key) -> None:
        if self._faulty.pop(key, None) is not None:
            self._state.kept_out = len(self._faulty)
