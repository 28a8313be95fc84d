# SPDX-License-Identifier: Apache-2.0
"""When a changed file is taken: at once where it is whole, after a quiet time where it may be half-written.

Half a YAML file is often valid YAML, so the text can't tell. What can: a file that was moved into its place is whole;
so is one that a writer has closed, unless it has become smaller, as it has between the two steps of "empty it, then
write it". A file that is smaller, or still open for writing, is taken when nothing has happened to it for 30 ms. One
that is gone counts as the smallest: some editors remove and write anew.

Where the system doesn't tell of writers (no inotify, a network file system, a link to elsewhere), a file that has grown
is taken at once, and so is another file in the place of the known one.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clusterdns.cluster.manifests.files import Scan, Stamp
from clusterdns.cluster.manifests.inotify import Hint

QUIET_SECONDS = 0.030


class _Pending(msgspec.Struct):
    """A change that is waited with: the state last seen, since when nothing has happened, and whether the file has been
    smaller than the one that was taken.
    """

    stamp: Stamp | None
    since_seconds: float
    shrunk: bool


class Settling:
    """Compares what was taken of each file with what is there. Times are those of time.monotonic()."""

    def __init__(self) -> None:
        self._taken: dict[str, Stamp] = {}
        self._pending: dict[str, _Pending] = {}

    def taken(self, path: str, stamp: Stamp | None) -> None:
        """The file has been read in this state; None: it is gone, and that has been taken."""
        self._pending.pop(path, None)
        if stamp is None:
            self._taken.pop(path, None)
        else:
            self._taken[path] = stamp

    def postpone(self, path: str, now_seconds: float) -> None:
        """The file changed while it was read: wait until it is quiet."""
        self._pending[path] = _Pending(None, now_seconds, True)

    def due(self, scan: Scan, hints: Iterable[Hint], now_seconds: float) -> dict[str, Stamp | None]:
        """The files to take now, sorted, with the state that each was seen in; None for one that is gone.

        hints: what has happened since the last call, in order. A file that can't be looked at counts as unchanged.
        """
        news = {hint.path: hint for hint in hints if hint.closed or hint.moved or hint.open}
        due: dict[str, Stamp | None] = {}
        for path, stamp in scan.files.items():
            hint = news.get(scan.real_paths.get(path, path))
            if hint is None and path not in self._pending and stamp == self._taken.get(path):
                continue
            if self._is_whole(path, stamp, hint) or self._is_quiet(path, stamp, hint, now_seconds):
                due[path] = stamp
        moved = {(stamp.device, stamp.inode) for stamp in due.values() if stamp is not None}
        for path in (self._taken.keys() | self._pending.keys()) - scan.files.keys():
            if scan.hides(path):
                self._pending.pop(path, None)
                continue
            known = self._taken.get(path)
            renamed = known is not None and (known.device, known.inode) in moved
            if renamed or self._is_quiet(path, None, news.get(path), now_seconds):
                due[path] = None
        return dict(sorted(due.items()))

    @property
    def waiting(self) -> frozenset[str]:
        """The paths of the changes that are waited with."""
        return frozenset(self._pending)

    def wait_seconds(self, now_seconds: float) -> float | None:
        """How long until a waiting change is due, None where none waits."""
        if not self._pending:
            return None
        first = min(pending.since_seconds for pending in self._pending.values())
        return max(first + QUIET_SECONDS - now_seconds, 0.0)

    def _is_whole(self, path: str, stamp: Stamp, hint: Hint | None) -> bool:
        if hint is not None and hint.moved:
            return True
        pending = self._pending.get(path)
        known = self._taken.get(path)
        if hint is None:
            if pending is not None or known is None:
                return False
            return not stamp.same_file(known) or stamp.size_bytes >= known.size_bytes
        if hint.open or (pending is not None and pending.shrunk):
            return False
        return known is None or stamp.size_bytes >= known.size_bytes

    def _is_quiet(self, path: str, stamp: Stamp | None, hint: Hint | None, now_seconds: float) -> bool:
        pending = self._pending.get(path)
        if pending is not None and pending.stamp == stamp and hint is None:
            return now_seconds - pending.since_seconds >= QUIET_SECONDS
        known = self._taken.get(path)
        shrunk = known is not None and (stamp is None or stamp.size_bytes < known.size_bytes)
        self._pending[path] = _Pending(stamp, now_seconds, shrunk or (pending is not None and pending.shrunk))
        return False
