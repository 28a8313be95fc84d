# SPDX-License-Identifier: Apache-2.0
"""The cluster sources of the process, shared by server blocks and kept over reloads."""

from __future__ import annotations

import logging

from clusterdns.cluster.manifests.source import ManifestSource
from clusterdns.cluster.objects import Key, Kind
from clusterdns.cluster.selectors import parse_selector
from clusterdns.cluster.source import Source, Written
from clusterdns.cluster.store import Store
from clusterdns.errors import ClusterError, LifecycleError

log = logging.getLogger("clusterdns.manifests")

_Arguments = tuple[str, str, str, str]


class SharedCluster:
    """One source and its store, with the number of leases on it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.store = Store()
        self.leases = 0


class Lease:
    """See ClusterLease."""

    def __init__(self, clusters: SharedClusters, arguments: _Arguments, cluster: SharedCluster) -> None:
        self.store = cluster.store
        self._source = cluster.source
        self._clusters = clusters
        self._arguments = arguments
        self._released = False

    def place_of(self, kind: Kind, key: Key) -> str:
        """See ClusterLease."""
        return self._source.place_of(kind, key) if isinstance(self._source, Written) else ""

    async def release(self) -> None:
        """Give the cluster back; the last one to do so ends its source."""
        if not self._released:
            self._released = True
            await self._clusters.released(self._arguments)


class SharedClusters:
    """See Clusters."""

    def __init__(self) -> None:
        self._clusters: dict[_Arguments, SharedCluster] = {}

    async def manifests(self, directory: str, service_cidr: str, labels: str, namespace_labels: str) -> Lease:
        """See Clusters."""
        arguments = (directory, service_cidr, labels, namespace_labels)
        cluster = self._clusters.get(arguments)
        if cluster is None:
            cluster = self._start(arguments)
            self._clusters[arguments] = cluster
        cluster.leases += 1
        return Lease(self, arguments, cluster)

    def _start(self, arguments: _Arguments) -> SharedCluster:
        directory, service_cidr, labels, namespace_labels = arguments
        try:
            source = ManifestSource(
                directory,
                service_cidr=service_cidr,
                labels=parse_selector(labels) if labels else None,
                namespace_labels=parse_selector(namespace_labels) if namespace_labels else None,
                report=_report,
            )
            cluster = SharedCluster(source)
            source.start(cluster.store.apply_all)
        except ClusterError as error:
            raise LifecycleError(f"plugin/kubernetes: {error}") from error
        return cluster

    async def released(self, arguments: _Arguments) -> None:
        """A lease has ended."""
        cluster = self._clusters[arguments]
        cluster.leases -= 1
        if not cluster.leases:
            del self._clusters[arguments]
            await cluster.source.stop()


def _report(error: ClusterError) -> None:
    log.error("%s", error)
