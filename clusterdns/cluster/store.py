# SPDX-License-Identifier: Apache-2.0
"""The one picture of the cluster: objects by kind and key, changed by events, watched by subscribers.

Events are applied in the order in which they are handed in, whatever source they come from; one source speaks for a
kind. An event that leaves every object equal to what it was causes no change. A list is applied as the difference to
what is there, and the object that is there stays where the new one equals it, so a relist costs no second copy.

Nothing here is thread-safe: all calls come from one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias, overload

from clusterdns.cluster.changes import Apply, Change, ChangeSet, Delete, Event, Replace
from clusterdns.cluster.objects import KINDS, EndpointSlice, Key, Kind, Namespace, Object, Pod, Service

Subscriber: TypeAlias = Callable[[ChangeSet], object]

_log = logging.getLogger(__name__)


class Store:
    """Objects by kind and key.

    ``failures`` counts the calls of subscribers that raised. Such an exception is logged with its traceback and goes no
    further: the change is made by then, the other subscribers get it, and the source can do nothing about it.
    """

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[Key, Object]] = {kind: {} for kind in KINDS}
        self._slices: dict[Key, dict[str, EndpointSlice]] = {}
        self._services: dict[str, dict[str, Service]] = {}
        self._revisions: dict[Kind, str] = {}
        self._synced: frozenset[Kind] = frozenset()
        self._subscribers: dict[object, Subscriber] = {}
        self._delivering = False
        self._number = 0
        self.failures = 0

    @property
    def synced(self) -> frozenset[Kind]:
        """The kinds that a list has been applied for."""
        return self._synced

    @property
    def number(self) -> int:
        """The number of the last change set, 0 before the first."""
        return self._number

    def revision(self, kind: Kind) -> str:
        """The revision of the last event of the kind that carried one, empty before it."""
        return self._revisions.get(kind, "")

    def count(self, kind: Kind) -> int:
        """How many objects of the kind there are."""
        return len(self._objects[kind])

    @overload
    def objects(self, kind: Literal["Service"]) -> tuple[Service, ...]: ...
    @overload
    def objects(self, kind: Literal["EndpointSlice"]) -> tuple[EndpointSlice, ...]: ...
    @overload
    def objects(self, kind: Literal["Pod"]) -> tuple[Pod, ...]: ...
    @overload
    def objects(self, kind: Literal["Namespace"]) -> tuple[Namespace, ...]: ...
    @overload
    def objects(self, kind: Kind) -> tuple[Object, ...]: ...

    def objects(self, kind: Kind) -> tuple[Object, ...]:
        """All objects of the kind, sorted by key."""
        objects = self._objects[kind]
        return tuple(objects[key] for key in sorted(objects))

    def unordered(self, kind: Kind) -> list[Object]:
        """All objects of the kind, in any order."""
        return list(self._objects[kind].values())

    @overload
    def get(self, kind: Literal["Service"], key: Key) -> Service | None: ...
    @overload
    def get(self, kind: Literal["EndpointSlice"], key: Key) -> EndpointSlice | None: ...
    @overload
    def get(self, kind: Literal["Pod"], key: Key) -> Pod | None: ...
    @overload
    def get(self, kind: Literal["Namespace"], key: Key) -> Namespace | None: ...
    @overload
    def get(self, kind: Kind, key: Key) -> Object | None: ...

    def get(self, kind: Kind, key: Key) -> Object | None:
        """The object with the key, None where there is none."""
        return self._objects[kind].get(key)

    def slices_of(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """The EndpointSlices that carry the Service's name in their label, sorted by name; also without the Service."""
        slices = self._slices.get((namespace, service))
        return tuple(slices[name] for name in sorted(slices)) if slices else ()

    def services_in(self, namespace: str) -> tuple[Service, ...]:
        """The Services of a namespace, sorted by name."""
        services = self._services.get(namespace)
        return tuple(services[name] for name in sorted(services)) if services else ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every change set from now on, after the store has it. Returns what ends that.

        Subscribers are called in the order in which they came. They may read the store and must not change it.
        """
        token = object()
        self._subscribers[token] = subscriber

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)

        return unsubscribe

    def apply(self, event: Event, arrival_seconds: float) -> ChangeSet | None:
        """Apply one event. Returns what changed, None where nothing did.

        arrival_seconds: time.monotonic() when the source read the event.
        """
        return self.apply_all((event,), arrival_seconds)

    def apply_all(self, events: Iterable[Event], arrival_seconds: float) -> ChangeSet | None:
        """Apply events in order as one step: each object that differs afterwards is one change, at the place of the
        first event that touched it.

        An exception out of a lazy list leaves the events before it applied, and its own kind as it was.
        """
        if self._delivering:
            raise RuntimeError("a subscriber of the store must not change it")
        before: dict[tuple[Kind, Key], Object | None] = {}
        try:
            for event in events:
                self._apply(event, before)
        finally:
            changes = self._publish(before, arrival_seconds)
        return changes

    def _apply(self, event: Event, before: dict[tuple[Kind, Key], Object | None]) -> None:
        kind = event.kind
        if isinstance(event, Apply):
            self._set(kind, event.object.key, event.object, before)
        elif isinstance(event, Delete):
            self._set(kind, event.key, None, before)
        elif isinstance(event, Replace):
            self._replace(event, before)
        if event.revision:
            self._revisions[kind] = event.revision

    def _replace(self, event: Replace, before: dict[tuple[Kind, Key], Object | None]) -> None:
        current = self._objects[event.kind]
        listed: set[Key] = set()
        changed: dict[Key, Object] = {}
        for new in event.objects:
            key = new.key
            listed.add(key)
            if current.get(key) != new:
                changed[key] = new
            else:
                changed.pop(key, None)
        gone = [key for key in current if key not in listed]
        for key in gone:
            self._set(event.kind, key, None, before)
        for key, new in changed.items():
            self._set(event.kind, key, new, before)
        self._synced |= {event.kind}

    def _set(self, kind: Kind, key: Key, new: Object | None, before: dict[tuple[Kind, Key], Object | None]) -> None:
        objects = self._objects[kind]
        old = objects.get(key)
        if old == new:
            return
        before.setdefault((kind, key), old)
        if new is None:
            del objects[key]
        else:
            objects[key] = new
        if kind == "EndpointSlice":
            self._index_slice(old, new)
        elif kind == "Service":
            self._index_service(old, new)

    def _index_slice(self, old: Object | None, new: Object | None) -> None:
        if isinstance(old, EndpointSlice):
            owner = (old.namespace, old.service)
            slices = self._slices[owner]
            del slices[old.name]
            if not slices:
                del self._slices[owner]
        if isinstance(new, EndpointSlice):
            self._slices.setdefault((new.namespace, new.service), {})[new.name] = new

    def _index_service(self, old: Object | None, new: Object | None) -> None:
        if isinstance(old, Service):
            services = self._services[old.namespace]
            del services[old.name]
            if not services:
                del self._services[old.namespace]
        if isinstance(new, Service):
            self._services.setdefault(new.namespace, {})[new.name] = new

    def _publish(self, before: dict[tuple[Kind, Key], Object | None], arrival_seconds: float) -> ChangeSet | None:
        changes = tuple(
            Change(kind, key, old, new)
            for (kind, key), old in before.items()
            if (new := self._objects[kind].get(key)) != old
        )
        if not changes:
            return None
        self._number += 1
        change_set = ChangeSet(changes, self._number, arrival_seconds)
        self._delivering = True
        try:
            for subscriber in tuple(self._subscribers.values()):
                try:
                    subscriber(change_set)
                except Exception:
                    self.failures += 1
                    _log.exception("a subscriber failed on change set %d of the store", self._number)
        finally:
            self._delivering = False
        return change_set
