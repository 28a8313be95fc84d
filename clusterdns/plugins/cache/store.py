# SPDX-License-Identifier: Apache-2.0
"""Entries by key, bounded in number and octets."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from clusterdns.plugins.cache.entry import Entry

BYTES_PER_ENTRY: Final = 2048
"""Octets granted for each entry of the capacity: what an ordinary one takes, three times."""

_MAX_SPARED: Final = 8
"""Entries in use that an eviction spares before it takes the next one all the same, so that it never takes long."""


class Store:
    """One kind of entries.

    What was used since it was last looked at gets a second chance when room has to be made (the CLOCK algorithm), so
    that names that are asked for once don't push out those that are asked for again and again.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.max_bytes = capacity * BYTES_PER_ENTRY
        self.size_bytes = 0
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: bytes, entry: Entry) -> int:
        """Keep an entry, in the place of the one that there is; the number of others that had to go."""
        entries = self._entries
        if key in entries:
            self.remove(key)
        size_bytes = len(key) + entry.size_bytes
        evicted = 0
        while entries and (len(entries) >= self.capacity or self.size_bytes + size_bytes > self.max_bytes):
            self._evict()
            evicted += 1
        entries[key] = entry
        self.size_bytes += size_bytes
        return evicted

    def remove(self, key: bytes) -> None:
        """Forget an entry if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= len(key) + entry.size_bytes

    def _evict(self) -> None:
        entries = self._entries
        for spared in range(_MAX_SPARED + 1):
            key, entry = entries.popitem(last=False)
            if not entry.used or spared == _MAX_SPARED:
                break
            entry.used = False
            entries[key] = entry
        self.size_bytes -= len(key) + entry.size_bytes
