# SPDX-License-Identifier: Apache-2.0
"""A cluster's own zones beside those of the set of clusters that it belongs to (``multicluster``, KEP-1645)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.imports import ImportedServices, imported_changes
from clusterdns.cluster.objects import Kind
from clusterdns.cluster.store import Store
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.zone.compiler import ZoneOptions
from clusterdns.zone.snapshot import Found, Snapshot, Zone

_IMPORT: Final[Kind] = "ServiceImport"


class ClusterSetSnapshot(Snapshot):
    """See Snapshot: each name is answered from the picture that the longest zone it is in belongs to."""

    def __init__(
        self,
        options: ZoneOptions,
        store: Store,
        clock: Callable[[], float],
        local_addresses: tuple[str, ...] = (),
    ) -> None:
        own = tuple(zone for zone in options.zones if zone not in options.imported)
        super().__init__(msgspec.structs.replace(options, zones=own), store, clock, local_addresses)
        self._imports = Snapshot(
            msgspec.structs.replace(
                options,
                zones=options.imported,
                primary=options.imported[0],
                pods="disabled",
                zonal=False,
                ignore_empty=False,
                imported=(),
                clustered=True,
            ),
            ImportedServices(store),
            clock,
        )

    @property
    def synced(self) -> bool:
        """See Snapshot."""
        return super().synced and self._imports.synced

    def apply(self, changes: ChangeSet) -> bool:
        """See Snapshot."""
        shows = super().apply(changes)
        imported = imported_changes(changes)
        return (imported is not None and self._imports.apply(imported)) or shows

    def zone_of(self, key: bytes) -> Zone | None:
        """See Snapshot."""
        own, imported = super().zone_of(key), self._imports.zone_of(key)
        if own is None or imported is None:
            return own or imported
        return max(own, imported, key=lambda zone: zone.size)

    def _is_imported(self, key: bytes) -> bool:
        zone = self._imports.zone_of(key)
        return zone is not None and zone is self.zone_of(key)

    def find(self, name: bytes, key: bytes, qtype: int) -> Found:
        """See Snapshot."""
        return self._imports.find(name, key, qtype) if self._is_imported(key) else super().find(name, key, qtype)

    def unread(self, key: bytes, qtype: int) -> tuple[Kind, ...]:
        """See Snapshot."""
        if not self._is_imported(key):
            return super().unread(key, qtype)
        return tuple(_IMPORT if kind == "Service" else kind for kind in self._imports.unread(key, qtype))

    def failure(self, key: bytes) -> CompiledAnswer | None:
        """See Snapshot."""
        return self._imports.failure(key) if self._is_imported(key) else super().failure(key)

    def records(self, name: bytes) -> Iterator[Record]:
        """See Snapshot."""
        return self._imports.records(name) if name in self.options.imported else super().records(name)
