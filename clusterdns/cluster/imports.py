# SPDX-License-Identifier: Apache-2.0
"""A store as those see it who want what the clusters of a set export to each other (KEP-1645): ServiceImports and their
EndpointSlices in the place of Services and theirs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clusterdns.cluster.changes import Change, ChangeSet
from clusterdns.cluster.objects import EndpointSlice, Key, Kind, Namespace, Object, Service, ServiceImport
from clusterdns.cluster.store import Store


class ImportedServices(Store):
    """A view of ``store``; it holds nothing itself, and nothing is applied to it."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    @property
    def synced(self) -> frozenset[Kind]:
        """See Store: the Services are there once the ServiceImports are."""
        synced = self._store.synced
        return synced - {"Service"} | ({"Service"} if "ServiceImport" in synced else set())

    def revision(self, kind: Kind) -> str:
        """See Store."""
        return self._store.revision("ServiceImport" if kind == "Service" else kind)

    def count(self, kind: Kind) -> int:
        """See Store."""
        return self._store.count("ServiceImport" if kind == "Service" else kind)

    def objects(self, kind: Kind) -> Any:
        """See Store."""
        if kind == "Service":
            return tuple(map(as_service, self._store.objects("ServiceImport")))
        if kind == "EndpointSlice":
            return tuple(as_owned(each) for each in self._store.objects("EndpointSlice") if each.imported)
        return self._store.objects(kind) if kind == "Namespace" else ()

    def get(self, kind: Kind, key: Key) -> Any:
        """See Store."""
        if kind == "Service":
            imported = self._store.get("ServiceImport", key)
            return None if imported is None else as_service(imported)
        if kind == "EndpointSlice":
            piece = self._store.get("EndpointSlice", key)
            return as_owned(piece) if piece is not None and piece.imported else None
        return self._store.get(kind, key) if kind == "Namespace" else None

    def slices_of(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """See Store."""
        return tuple(map(as_owned, self._store.imported_slices_of(namespace, service)))

    def services_in(self, namespace: str) -> tuple[Service, ...]:
        """See Store."""
        return tuple(each for each in self.objects("Service") if each.namespace == namespace)


def as_service(imported: ServiceImport) -> Service:
    """The Service that a ServiceImport is to its clients."""
    ips = ("None",) if imported.headless else imported.ips
    return Service(imported.namespace, imported.name, "ClusterIP", ips, imported.ports)


def as_owned(piece: EndpointSlice) -> EndpointSlice:
    """An imported slice as one of that Service."""
    return msgspec.structs.replace(piece, service=piece.imported)


def imported_changes(changes: ChangeSet) -> ChangeSet | None:
    """What a change set is to those who see the view; None if it is nothing."""
    translated = tuple(each for change in changes if (each := _translate(change)) is not None)
    return ChangeSet(translated, changes.number, changes.arrival_seconds) if translated else None


def _translate(change: Change) -> Change | None:
    old, new = _seen(change.old), _seen(change.new)
    if old is None and new is None:
        return None
    kind: Kind = "Service" if change.kind == "ServiceImport" else change.kind
    return Change(kind, change.key, old, new, change.triggered_seconds)


def _seen(item: Object | None) -> Object | None:
    if isinstance(item, ServiceImport):
        return as_service(item)
    if isinstance(item, EndpointSlice):
        return as_owned(item) if item.imported else None
    return item if isinstance(item, Namespace) else None
