# SPDX-License-Identifier: Apache-2.0
"""The source that reads a directory of manifests and watches it.

An edit is in the store some 2 ms after a writer has closed the file, or some 30 ms later where the file may be
half-written (see ``settling``). inotify wakes the watch; a scan of the directory says what has changed. A scan every
two seconds finds what inotify doesn't tell, on network file systems for example. Without inotify, a scan comes every
20 ms, or as often as a tenth of one core allows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress

from clusterdns.cluster.changes import Apply, Delete, Event
from clusterdns.cluster.controllers.allocation import DEFAULT_SERVICE_CIDR, parse_service_cidr
from clusterdns.cluster.controllers.plane import ControlPlane
from clusterdns.cluster.manifests.files import Scan, Stamp, rescan, scan
from clusterdns.cluster.manifests.inotify import Hint, Inotify
from clusterdns.cluster.manifests.reading import ManifestReader
from clusterdns.cluster.objects import KINDS, Key, Kind
from clusterdns.cluster.selectors import Selector
from clusterdns.cluster.source import Sink
from clusterdns.errors import ManifestError

_RESCAN_SECONDS = 2.0
_MISSING_SECONDS = 0.1
"""Between scans while the directory is gone."""

_POLL_SECONDS = 0.020
_POLL_SHARE = 10
"""Without inotify, the time between scans is at least this many times that of a scan."""

_GATHER_SECONDS = 0.001
"""Small files are written in less, so that the first event of an edit and the last one are seen together."""

_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 5.0
_INLINE_BYTES = 1 << 17
"""Files up to this size in sum are parsed on the event loop, in a few milliseconds; larger ones in a thread."""

_INLINE_FILES = 200
"""Directories up to this size are scanned on the event loop."""

_log = logging.getLogger(__name__)


class ManifestSource:
    """A directory of manifests as a source of events (``cluster.source.Source``).

    directory: read with all directories below it that aren't hidden.
    service_cidr: where given ClusterIPs come from; one CIDR, or one of each family joined by a comma.
    labels: selects Services, EndpointSlices and Pods; namespace_labels: Namespaces; None for all.
    report: called with each problem when it comes up, and again if it comes back.

    Raises ObjectError for a service_cidr that isn't one.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        service_cidr: str = DEFAULT_SERVICE_CIDR,
        labels: Selector | None = None,
        namespace_labels: Selector | None = None,
        report: Callable[[ManifestError], object] | None = None,
    ) -> None:
        self.directory = os.fspath(directory)
        self._networks = parse_service_cidr(service_cidr)
        self._labels = labels
        self._namespace_labels = namespace_labels
        self._report = report
        self._reader = self._new_reader()
        self._loaded = False
        self._synced: frozenset[Kind] = frozenset()
        self._problems: tuple[ManifestError, ...] = ()
        self._ignored: dict[str, int] = {}
        self._last_scan: Scan | None = None
        self._scanned_seconds = 0.0
        self._notifier: Inotify | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def kinds(self) -> frozenset[Kind]:
        """All kinds: a directory is a whole cluster."""
        return frozenset(KINDS)

    @property
    def synced(self) -> frozenset[Kind]:
        """All kinds once the directory has been read, none before."""
        return self._synced

    @property
    def problems(self) -> tuple[ManifestError, ...]:
        """What is wrong now, in the order of files."""
        return self._problems

    @property
    def ignored(self) -> dict[str, int]:
        """How many objects of kinds that aren't read here there are, by kind."""
        return dict(self._ignored)

    def place_of(self, kind: Kind, key: Key) -> str:
        """See Written."""
        return self._reader.place_of(kind, key)

    def load(self) -> tuple[Event, ...]:
        """Read the directory. Returns a Replace for every kind.

        Needs no event loop and may be called in a thread, before ``start`` or ``run``, which then go on from here.
        Raises ManifestError where the directory can't be read; files that can't be read are among ``problems``.
        """
        events = self._reader.load()
        self._loaded = True
        self._synced = self.kinds
        self._take_stock()
        if self._ignored:
            counts = ", ".join(f"{kind} ({count})" for kind, count in self._ignored.items())
            _log.info("%s: objects of other kinds are ignored: %s", self.directory, counts)
        return events

    def start(self, sink: Sink) -> None:
        """Run in a task of the running event loop; see ``run``. Raises ManifestError where there is no directory."""
        if not os.path.isdir(self.directory):
            raise ManifestError("no such directory", file=self.directory)
        self._task = asyncio.get_running_loop().create_task(self.run(sink), name=f"manifests {self.directory}")

    async def stop(self) -> None:
        """End the task that ``start`` began; afterwards the sink is not called again. Another ``start`` begins anew."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._reader = self._new_reader()
        self._loaded = False

    async def run(self, sink: Sink) -> None:
        """Watch until cancelled, and hand every change to the sink; the whole directory first unless ``load`` has.

        Whatever goes wrong is reported, and the watch begins again after 0.1 to 5 seconds.
        """
        backoff_seconds = _FIRST_BACKOFF_SECONDS
        while True:
            began_seconds = time.monotonic()
            try:
                if not self._loaded:
                    events = await asyncio.get_running_loop().run_in_executor(None, self.load)
                    sink(events, began_seconds)
                await self._watch(sink)
            except ManifestError as error:
                self._take_stock(error)
            except Exception as error:
                _log.exception("the watch of %s failed and begins again", self.directory)
                self._reader = (
                    self._new_reader()
                )  # its state can't be trusted; the list that comes next mends the store
                self._loaded = False
                self._take_stock(ManifestError(f"the watch failed: {error!r}", file=self.directory))
            if time.monotonic() - began_seconds > _LAST_BACKOFF_SECONDS:
                backoff_seconds = _FIRST_BACKOFF_SECONDS
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(backoff_seconds * 2, _LAST_BACKOFF_SECONDS)

    def _new_reader(self) -> ManifestReader:
        return ManifestReader(self.directory, ControlPlane(self._networks, self._labels, self._namespace_labels))

    async def _watch(self, sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        self._last_scan = None
        self._open_notifier(wake)
        try:
            while True:
                wake.clear()
                wait_seconds = await self._step(sink)
                timer = loop.call_later(wait_seconds, wake.set)
                try:
                    await wake.wait()
                finally:
                    timer.cancel()
                await asyncio.sleep(_GATHER_SECONDS)
        finally:
            self._close_notifier()

    def _open_notifier(self, wake: asyncio.Event) -> None:
        try:
            self._notifier = Inotify()
        except OSError as error:
            _log.info("%s is watched by scanning it: %s", self.directory, error)
        else:
            asyncio.get_running_loop().add_reader(self._notifier.descriptor, wake.set)

    def _close_notifier(self) -> None:
        if self._notifier is not None:
            asyncio.get_running_loop().remove_reader(self._notifier.descriptor)
            self._notifier.close()
            self._notifier = None

    async def _step(self, sink: Sink) -> float:
        """Take what is due. Returns the seconds until the next step, if nothing happens before."""
        now_seconds = time.monotonic()
        settling = self._reader.settling
        hints = self._hints()
        try:
            found = await self._look(hints, now_seconds)
        except OSError as error:
            self._last_scan = None
            self._take_stock(ManifestError(error.strerror or str(error), file=self.directory))
            return _MISSING_SECONDS
        hints += self._hints()  # of writers that came meanwhile
        self._reader.scan_faults = found.faults
        due = settling.due(found, hints, now_seconds)
        if due:
            events = await self._refresh(due)
            if events:
                sink(events, now_seconds)
            self._take_stock()
        elif found.faults or self._problems:
            self._take_stock()  # the directory may be back
        ended_seconds = time.monotonic()
        step_seconds = ended_seconds - now_seconds
        longest_seconds = _RESCAN_SECONDS if self._notifier else max(_POLL_SECONDS, _POLL_SHARE * step_seconds)
        quiet_seconds = settling.wait_seconds(ended_seconds)
        return longest_seconds if quiet_seconds is None else min(longest_seconds, quiet_seconds)

    def _hints(self) -> list[Hint]:
        return self._notifier.read() if self._notifier is not None else []

    async def _look(self, hints: list[Hint], now_seconds: float) -> Scan:
        """The state of the files. Between full scans, which come every two seconds, only what the hints are about, and
        what waits, is looked at. Raises OSError where the directory is gone.
        """
        last = self._last_scan
        recent = self._notifier is not None and now_seconds - self._scanned_seconds < _RESCAN_SECONDS
        if recent and last is not None and rescan(last, (hint.path for hint in hints), self._reader.settling.waiting):
            return last
        found = await self._scan()
        while self._watch_directories(found):
            found = await self._scan()  # for what happened in new directories before they were watched
        self._last_scan = found
        self._scanned_seconds = now_seconds
        return found

    def _watch_directories(self, found: Scan) -> bool:
        """Watch the directories of a scan. Returns whether some of them weren't watched before. Where the system has no
        more watches to give, the directory is scanned from now on.
        """
        if self._notifier is None:
            return False
        try:
            return self._notifier.watch(found.directories)
        except OSError as error:
            _log.warning("%s is watched by scanning it from now on: %s", self.directory, error)
            self._close_notifier()
            return False

    async def _scan(self) -> Scan:
        if self._last_scan is not None and len(self._last_scan.files) <= _INLINE_FILES:
            return scan(self.directory)
        return await asyncio.get_running_loop().run_in_executor(None, scan, self.directory)

    async def _refresh(self, due: dict[str, Stamp | None]) -> list[Apply | Delete]:
        if sum(stamp.size_bytes for stamp in due.values() if stamp is not None) <= _INLINE_BYTES:
            return self._reader.refresh(due)
        return await asyncio.get_running_loop().run_in_executor(None, self._reader.refresh, due)

    def _take_stock(self, *problems: ManifestError) -> None:
        """Note what is wrong now, these problems included, and report what wasn't so before."""
        known = {str(problem) for problem in self._problems}
        self._problems = (*problems, *self._reader.problems())
        self._ignored = self._reader.ignored()
        if self._report is not None:
            for problem in self._problems:
                if str(problem) not in known:
                    self._report(problem)
