# SPDX-License-Identifier: Apache-2.0
"""The cluster sources of the process, shared by server blocks and kept over reloads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Protocol

from clusterdns.cluster.apiserver.options import WatchOptions
from clusterdns.cluster.items import Detail
from clusterdns.cluster.manifests.source import ManifestSource
from clusterdns.cluster.objects import Key, Kind
from clusterdns.cluster.selectors import parse_selector
from clusterdns.cluster.store import Store
from clusterdns.errors import ClusterError, LifecycleError
from clusterdns.observability.metrics import Registry

log = logging.getLogger("clusterdns.manifests")


class Cluster(Protocol):
    """One source and its store."""

    @property
    def store(self) -> Store: ...

    def want(self, kinds: Iterable[Kind], details: Collection[Detail]) -> None:
        """One more lease that needs these kinds, and these details of their objects."""

    def unwant(self, kinds: Iterable[Kind], details: Collection[Detail]) -> None:
        """A lease that needed them has ended, and another goes on."""

    def missing(self, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
        """Those of the kinds without which nobody should be sent here yet."""

    def place_of(self, kind: Kind, key: Key) -> str:
        """Where an object is written, as ``FILE:LINE``; empty where it isn't in a file."""

    async def stop(self) -> None:
        """End the source."""


class ManifestCluster:
    """A directory of manifests: it always has all kinds."""

    def __init__(self, source: ManifestSource) -> None:
        self.store = Store()
        self._source = source
        source.start(self.store.apply_all)

    def want(self, kinds: Iterable[Kind], details: Collection[Detail]) -> None:
        """See Cluster."""

    def unwant(self, kinds: Iterable[Kind], details: Collection[Detail]) -> None:
        """See Cluster."""

    def missing(self, kinds: Iterable[Kind]) -> tuple[Kind, ...]:
        """See Cluster."""
        return tuple(kind for kind in kinds if kind not in self.store.synced)

    def place_of(self, kind: Kind, key: Key) -> str:
        """See Cluster."""
        return self._source.place_of(kind, key)

    async def stop(self) -> None:
        """See Cluster."""
        await self._source.stop()


class Lease:
    """See ClusterLease."""

    def __init__(
        self, cluster: Cluster, kinds: frozenset[Kind], details: frozenset[Detail], release: Callable[[], bool]
    ) -> None:
        self.store = cluster.store
        self._cluster = cluster
        self._kinds = kinds
        self._details = details
        self._release = release
        self._released = False

    def missing(self) -> tuple[Kind, ...]:
        """See ClusterLease."""
        return self._cluster.missing(sorted(self._kinds))

    def place_of(self, kind: Kind, key: Key) -> str:
        """See ClusterLease."""
        return self._cluster.place_of(kind, key)

    async def release(self) -> None:
        """Give the cluster back; the last one to do so ends its source."""
        if not self._released:
            self._released = True
            if self._release():
                await self._cluster.stop()
            else:
                self._cluster.unwant(self._kinds, self._details)


class SharedClusters:
    """See Clusters.

    metrics: where watched clusters tell how they are.
    keeps: False if they write no snapshots.
    """

    def __init__(self, metrics: Registry, *, keeps: bool = True) -> None:
        self._metrics = metrics
        self._keeps = keeps
        self._clusters: dict[Hashable, tuple[Cluster, int]] = {}

    async def manifests(
        self, directory: str, service_cidr: str, labels: str, namespace_labels: str, kinds: frozenset[Kind]
    ) -> Lease:
        """See Clusters."""

        def make() -> ManifestCluster:
            return ManifestCluster(
                ManifestSource(
                    directory,
                    service_cidr=service_cidr,
                    labels=parse_selector(labels) if labels else None,
                    namespace_labels=parse_selector(namespace_labels) if namespace_labels else None,
                    report=_report,
                )
            )

        return self._lease((directory, service_cidr, labels, namespace_labels), make, kinds)

    async def api_server(self, options: WatchOptions, kinds: frozenset[Kind], details: frozenset[Detail]) -> Lease:
        """See Clusters."""

        def make() -> Cluster:
            from clusterdns.app.watched import WatchedCluster

            return WatchedCluster(options, self._metrics, keeps=self._keeps)

        return self._lease(options, make, kinds, details)

    def _lease(
        self,
        key: Hashable,
        make: Callable[[], Cluster],
        kinds: frozenset[Kind],
        details: frozenset[Detail] = frozenset(),
    ) -> Lease:
        try:
            cluster, leases = self._clusters.get(key) or (make(), 0)
            cluster.want(kinds, details)
        except ClusterError as error:
            raise LifecycleError(f"plugin/kubernetes: {error}") from error
        self._clusters[key] = (cluster, leases + 1)
        return Lease(cluster, kinds, details, lambda: self._released(key))

    def _released(self, key: Hashable) -> bool:
        """Count a lease that has ended. True if it was the last one."""
        cluster, leases = self._clusters.pop(key)
        if leases > 1:
            self._clusters[key] = (cluster, leases - 1)
        return leases == 1


def _report(error: ClusterError) -> None:
    log.error("%s", error)
