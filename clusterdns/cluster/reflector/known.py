# SPDX-License-Identifier: Apache-2.0
"""Which objects an API server is known to have, each with the revision it was last seen at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

from clusterdns.cluster.objects import Key

_LIST_SHIFT: Final = 8
_REVISION_SHIFT: Final = 28
_COMPARISONS: Final = 1 << _LIST_SHIFT
_LISTS: Final = 1 << (_REVISION_SHIFT - _LIST_SHIFT)
_WALK: Final = 2000


class Known:
    """Revisions by namespace and name, each with the last list and the last comparison that had the object.

    It holds no object and little memory: one integer for all three, under a name that it shares with the object.
    """

    def __init__(self) -> None:
        self._stamps: dict[str, dict[str, int]] = {}
        self._list = 0
        self._comparison = 0
        self.count = 0

    @property
    def names(self) -> Mapping[str, Mapping[str, int]]:
        """The names by namespace."""
        return self._stamps

    def revision(self, namespace: str, name: str) -> int:
        """The revision the object was last seen at; -1 for one that isn't known."""
        stamp = self._stamps.get(namespace, {}).get(name)
        return -1 if stamp is None else stamp >> _REVISION_SHIFT

    def put(self, namespace: str, name: str, revision: int) -> bool:
        """The object was seen at that revision. Returns whether that is the first time since ``begin_list``."""
        named = self._stamps.setdefault(namespace, {})
        stamp = named.get(name)
        named[name] = revision << _REVISION_SHIFT | self._list << _LIST_SHIFT | self._comparison
        if stamp is None:
            self.count += 1
            return True
        return stamp >> _LIST_SHIFT & (_LISTS - 1) != self._list

    def remove(self, namespace: str, name: str) -> None:
        """The object is gone, if there was one."""
        named = self._stamps.get(namespace)
        if named is not None and named.pop(name, None) is not None:
            self.count -= 1
            if not named:
                del self._stamps[namespace]

    def begin_list(self) -> None:
        """What is ``put`` from now on is of a new list."""
        self._list = (self._list + 1) % _LISTS

    def sweep(self) -> Iterator[list[Key]]:
        """Remove what wasn't ``put`` since ``begin_list``. Gives out what is removed, a bounded walk at a time."""
        current = self._list << _LIST_SHIFT
        for keys in self.walk():
            gone = [key for key in keys if self._stamp(key, current) >> _LIST_SHIFT & (_LISTS - 1) != self._list]
            for key in gone:
                self.remove(*key)
            yield gone

    def begin_comparison(self) -> None:
        """What is ``put`` or marked from now on is of a new comparison."""
        self._comparison = (self._comparison + 1) % _COMPARISONS

    def mark(self, namespace: str, name: str) -> None:
        """The comparison has the object."""
        named = self._stamps.get(namespace, {})
        stamp = named.get(name)
        if stamp is not None:
            named[name] = stamp & -_COMPARISONS | self._comparison

    def unmarked(self) -> Iterator[list[Key]]:
        """What wasn't ``put`` or marked since ``begin_comparison``, a bounded walk at a time."""
        current = self._comparison
        for keys in self.walk():
            yield [key for key in keys if self._stamp(key, current) & (_COMPARISONS - 1) != current]

    def walk(self) -> Iterator[list[Key]]:
        """All keys, a bounded number at a time; some may be gone by the time that they come."""
        keys: list[Key] = []
        for namespace in list(self._stamps):
            names = iter(list(self._stamps.get(namespace, ())))
            while some := list(islice(names, _WALK)):
                keys.extend([(namespace, name) for name in some])
                if len(keys) >= _WALK:
                    yield keys
                    keys = []
        if keys:
            yield keys

    def _stamp(self, key: Key, gone: int) -> int:
        return self._stamps.get(key[0], {}).get(key[1], gone)
