# SPDX-License-Identifier: Apache-2.0
"""From changed files to events: reads, parses, merges, and lets the control plane finish what is declared.

All of it blocks; who watches decides on which thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from clusterdns.cluster.changes import Apply, Delete, Replace
from clusterdns.cluster.controllers.plane import ControlPlane, DeclaredChange
from clusterdns.cluster.manifests.directory import Directory
from clusterdns.cluster.manifests.files import Stamp, read_file, scan
from clusterdns.cluster.manifests.parts import parse_manifest
from clusterdns.cluster.manifests.settling import Settling
from clusterdns.cluster.objects import KINDS, Key, Kind, Object
from clusterdns.errors import ManifestError

_UNREAD = Stamp(0, 0, -1, 0)
"""The state of a file that couldn't be read: unlike every other, so that each scan tries again."""


class ManifestReader:
    """The state of one directory. Not thread-safe: one call at a time."""

    def __init__(self, directory: str, plane: ControlPlane) -> None:
        self.directory = directory
        self.scan_faults: dict[str, str] = {}
        """Of the last scan."""
        self.settling = Settling()
        self._plane = plane
        self._contents = Directory()

    def load(self) -> tuple[Replace, ...]:
        """Read everything as it is now. Returns a Replace for every kind.

        Raises ManifestError where the directory itself can't be read.
        """
        try:
            found = scan(self.directory)
        except OSError as error:
            raise ManifestError(error.strerror or str(error), file=self.directory) from None
        self.scan_faults = found.faults
        changes: list[DeclaredChange] = []
        for path in sorted(found.files):
            changes.extend(self._take(path, None))
        objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in KINDS}
        for event in self._plane.update(changes):
            if isinstance(event, Apply):
                objects[event.kind][event.object.key] = event.object
            else:
                objects[event.kind].pop(event.key, None)
        return tuple(Replace(kind, tuple(objects[kind].values())) for kind in KINDS)

    def refresh(self, due: Mapping[str, Stamp | None]) -> list[Apply | Delete]:
        """Take the files that ``settling`` says are due. Returns what becomes of the objects."""
        changes: list[DeclaredChange] = []
        for path, seen in due.items():
            if seen is None:
                self.settling.taken(path, None)
                changes.extend(self._contents.remove(path))
            else:
                changes.extend(self._take(path, seen))
        return self._plane.update(changes) if changes else []

    def problems(self) -> tuple[ManifestError, ...]:
        """What is wrong now."""
        unseen = (ManifestError(reason, file=path) for path, reason in sorted(self.scan_faults.items()))
        return (*unseen, *self._contents.problems(self._plane.faults))

    def place_of(self, kind: Kind, key: Key) -> str:
        """Where an object is written, as ``file:line``; empty if it is in no file."""
        return self._contents.place_of(kind, key)

    def ignored(self) -> dict[str, int]:
        """How many objects of other kinds there are, by kind."""
        return self._contents.ignored

    def _take(self, path: str, seen: Stamp | None) -> list[DeclaredChange]:
        """Read a file; one that isn't any more as it was seen is left for later. None takes it in any state."""
        try:
            read = read_file(path)
        except ManifestError as error:
            self.settling.taken(path, _UNREAD)
            self._contents.refuse(path, error)
            return []
        if read is None or (seen is not None and (read[1] != seen or len(read[0]) < seen.size_bytes)):
            self.settling.postpone(path, time.monotonic())
            return []
        data, stamp = read
        self.settling.taken(path, stamp)
        old = self._contents.content(path)
        return self._contents.put(path, parse_manifest(data, path, old.parts if old is not None else None))
