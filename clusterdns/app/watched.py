# SPDX-License-Identifier: Apache-2.0
"""The cluster of an API server: its watches, its store, what is kept of it on disk, and what metrics tell of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable

from clusterdns.app.background import BackgroundTask
from clusterdns.app.cluster_metrics import ClusterMetrics
from clusterdns.app.keeping import Keeper
from clusterdns.cluster.apiserver.connection import ApiConnection
from clusterdns.cluster.apiserver.credentials import load_credentials
from clusterdns.cluster.apiserver.options import WatchOptions
from clusterdns.cluster.apiserver.source import ApiServerSource
from clusterdns.cluster.changes import Event
from clusterdns.cluster.items import Detail, details_of
from clusterdns.cluster.objects import RESOURCES, Key, Kind
from clusterdns.cluster.selectors import parse_selector
from clusterdns.cluster.store import Store
from clusterdns.errors import ClusterError
from clusterdns.observability.metrics import Registry

log = logging.getLogger("clusterdns.plugin.kubernetes")


class WatchedCluster:
    """See Cluster. Raises ClusterError where only the operator can help, as without credentials."""

    def __init__(self, options: WatchOptions, metrics: Registry, *, keeps: bool = True) -> None:
        for selector in (options.labels, options.namespace_labels):
            if selector:
                parse_selector(selector)
        self.store = Store()
        self._options = options
        credentials = load_credentials(options.server)
        self._connection = ApiConnection(credentials, options.server, metrics)
        self._source = ApiServerSource(
            self._connection,
            labels=options.labels,
            namespace_labels=options.namespace_labels,
            resync_seconds=options.resync_seconds,
            origin=credentials.origin,
            report=_report,
            settled=self._settled,
        )
        self._began_seconds = time.monotonic()
        self._read: frozenset[Kind] = frozenset()
        self._relied = False
        self._keeper: Keeper | None = None
        self._keeping: BackgroundTask | None = None
        if options.snapshot:
            origin = " ".join((self._connection.server, options.labels, options.namespace_labels)).strip()
            self._keeper = Keeper(options.snapshot, origin, self.store, self._whole)
            self._keeper.load()
            if keeps:
                self._keeping = BackgroundTask("the snapshot of the cluster", self._keeper.keep())
        self._metrics = ClusterMetrics(metrics, self._connection.host, self._source, self._snapshot_age_seconds)
        self._metrics.watch(self.store)
        self._source.start(self._take)

    def want(self, kinds: Iterable[Kind], details: Collection[Detail]) -> None:
        """See Cluster."""
        for kind in kinds:
            self._source.want(kind, *details_of(kind, details))

    def unwant(self, kinds: Iterable[Kind], details: Collection[Detail]) -> None:
        """See Cluster."""
        for kind in kinds:
            self._source.unwant(kind, *details_of(kind, details))

    def missing(self, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
        """See Cluster. A snapshot that isn't too old counts once the API server has been out of reach for long."""
        held = self.store.synced if self._relies_on_snapshot() else self._source.synced
        return tuple(kind for kind in kinds if kind not in held)

    def _relies_on_snapshot(self) -> bool:
        """True from the moment on in which the snapshot is as good as anything that will come soon."""
        if self._relied or self._keeper is None or not self._keeper.loaded_seconds:
            return self._relied
        passed_seconds = time.monotonic() - self._began_seconds
        if passed_seconds <= self._options.startup_timeout_seconds or self._reachable():
            return False
        age_seconds = self._keeper.age_seconds()
        if age_seconds > self._options.snapshot_max_age_seconds:
            return False
        self._relied = True
        log.warning(
            "the Kubernetes API has been out of reach for %d s: ready with a snapshot that is %d s old",
            passed_seconds,
            age_seconds,
        )
        return True

    def place_of(self, kind: Kind, key: Key) -> str:
        """See Cluster."""
        return ""

    async def stop(self) -> None:
        """See Cluster."""
        if self._keeping is not None and self._keeper is not None:
            await self._keeping.release()
            await self._keeper.write()
        await self._source.stop()
        self._metrics.release()

    def _take(self, events: Iterable[Event], arrival_seconds: float) -> None:
        if self.store.apply_all(events, arrival_seconds) is not None:
            self._metrics.applied(time.monotonic() - arrival_seconds)

    def _settled(self) -> None:
        """Say that what was complained of is over."""
        kinds = self._source.kinds
        if kinds <= self._read:
            log.info("watching the Kubernetes API again: %s", self._connection.server)
            return
        counts = ", ".join(f"{self.store.count(kind)} {RESOURCES[kind]}" for kind in sorted(kinds))
        log.info("the Kubernetes API has been read: %s: %s", self._connection.server, counts)
        self._read = kinds

    def _whole(self) -> frozenset[Kind]:
        """The kinds that are watched, once all have been read; none before, so that no partial state is kept."""
        synced = self._source.synced
        return synced if self._source.kinds <= synced else frozenset()

    def _reachable(self) -> bool:
        return any(state.connected for state in self._source.states.values())

    def _snapshot_age_seconds(self) -> float | None:
        """How old the state is that is answered from; None once all has come from the API server."""
        if self._keeper is None or not self._keeper.loaded_seconds or self._source.kinds <= self._source.synced:
            return None
        return self._keeper.age_seconds()


def _report(problem: ClusterError) -> None:
    log.error("Failed to watch: %s", problem)
