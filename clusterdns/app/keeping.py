# SPDX-License-Identifier: Apache-2.0
"""Keeps the last state of a watched cluster on disk (``snapshot`` of *kubernetes*), and begins with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from clusterdns.cluster.changes import Replace
from clusterdns.cluster.objects import Kind
from clusterdns.cluster.snapshot import Head, pieces, read_snapshot, write_snapshot
from clusterdns.cluster.store import Store
from clusterdns.errors import SnapshotError

WRITE_SECONDS = 30.0
"""At most one file is written in this time."""

_RETRY_SECONDS = 300.0
_LOOK_SECONDS = 1.0

log = logging.getLogger("clusterdns.plugin.kubernetes")


class Keeper:
    """The file of one store.

    path: of the file; origin: what the store is a picture of.
    synced: the kinds that the store has from the API server itself; only those are written.
    clock: seconds since 1970.
    loaded_seconds: when the state was made that the store began with, 0 without one.
    """

    def __init__(
        self,
        path: str,
        origin: str,
        store: Store,
        synced: Callable[[], Iterable[Kind]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._origin = origin
        self._store = store
        self._synced = synced
        self._clock = clock
        self._written = (-1, frozenset[Kind]())
        self._writing: asyncio.Future[None] | None = None
        self.loaded_seconds = 0.0

    def load(self) -> None:
        """Fill the store from the file, if there is one that is of use; else say why not."""
        try:
            snapshot = read_snapshot(self._path, self._origin)
        except FileNotFoundError:
            return
        except SnapshotError as error:
            log.error("the snapshot is ignored: %s", error)
            return
        self._store.apply_all([Replace(kind, objects) for kind, objects in snapshot.objects.items()], time.monotonic())
        self.loaded_seconds = snapshot.head.created_seconds
        log.warning(
            "answering from the snapshot %s, which is %d s old, until the API server has been read",
            self._path,
            max(0, self._clock() - self.loaded_seconds),
        )

    def age_seconds(self) -> float:
        """How old the state is that was loaded; a clock that was set back makes none younger than now."""
        return max(0.0, self._clock() - self.loaded_seconds)

    async def keep(self) -> None:
        """Write the file once all has been read, and then whenever the store has changed, until cancelled."""
        while True:
            written = await self.write()
            await asyncio.sleep(_RETRY_SECONDS if written is None else WRITE_SECONDS if written else _LOOK_SECONDS)

    async def write(self) -> bool | None:
        """Write the file now; False if there is nothing to write or nothing has changed, None if it can't be written,
        which is in the log.
        """
        kinds = frozenset(self._synced())
        state = (self._store.number, kinds)
        if not kinds or state == self._written:
            return False
        if self._writing is not None and not self._writing.done():  # by somebody who didn't wait for its end
            await asyncio.wait((self._writing,))
        head = Head(self._clock(), self._origin, {kind: self._store.count(kind) for kind in sorted(kinds)})
        body = []
        for piece in pieces(self._store, head.kinds):
            body.append(piece)
            await asyncio.sleep(0)
        self._writing = asyncio.get_running_loop().run_in_executor(None, write_snapshot, self._path, head, body)
        try:
            await asyncio.shield(self._writing)
        except OSError as error:
            log.error(
                "the snapshot %s can't be written: %s; mount a volume there that the process may write to",
                self._path,
                (error.strerror or str(error)).lower(),
            )
            return None
        self._written = state
        return True
