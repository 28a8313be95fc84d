# SPDX-License-Identifier: Apache-2.0
"""The one picture of the cluster: objects by kind and key, changed by events, watched by subscribers.

Events are applied in the order in which they are handed in, whatever source they come from; one source speaks for a
kind. An event that leaves every object equal to what it was causes no change. A list is applied as the difference to
what is there, and the object that is there stays where the new one equals it, so a relist costs no second copy. Changes
come in the order of events; what the end of a list removes is sorted by key.

Nothing here is thread-safe: all calls come from one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, overload

from clusterdns.cluster.changes import Apply, Change, ChangeSet, Delete, Event, Forget, Prune, Replace
from clusterdns.cluster.objects import KINDS, EndpointSlice, Key, Kind, Namespace, Object, Pod, Service, ServiceImport

Subscriber: TypeAlias = Callable[[ChangeSet], object]

_Owned: TypeAlias = dict[str, dict[str, tuple[EndpointSlice, ...]]]
"""EndpointSlices by namespace and owner, sorted by name. Most owners have one: a tuple is a quarter of a dict."""

_NONE: Mapping[str, Any] = MappingProxyType({})

_log = logging.getLogger(__name__)


class _Step:
    """What one step has touched: the objects as they were before it, and when what changed them happened."""

    __slots__ = ("before", "triggered")

    def __init__(self) -> None:
        self.before: dict[tuple[Kind, Key], Object | None] = {}
        self.triggered: dict[tuple[Kind, Key], float] = {}


class Store:
    """Objects by kind and key.

    ``failures`` counts the calls of subscribers that raised. Such an exception is logged with its traceback and goes no
    further: the change is made by then, the other subscribers get it, and the source can do nothing about it.
    """

    def __init__(self) -> None:
        # By namespace, then by name: that is half the memory of keys that are tuples, and namespaces are at hand.
        self._objects: dict[Kind, dict[str, dict[str, Object]]] = {kind: {} for kind in KINDS}
        self._counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._slices: _Owned = {}
        self._imported: _Owned = {}
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
        return self._counts[kind]

    @overload
    def objects(self, kind: Literal["Service"]) -> tuple[Service, ...]: ...
    @overload
    def objects(self, kind: Literal["EndpointSlice"]) -> tuple[EndpointSlice, ...]: ...
    @overload
    def objects(self, kind: Literal["Pod"]) -> tuple[Pod, ...]: ...
    @overload
    def objects(self, kind: Literal["Namespace"]) -> tuple[Namespace, ...]: ...
    @overload
    def objects(self, kind: Literal["ServiceImport"]) -> tuple[ServiceImport, ...]: ...
    @overload
    def objects(self, kind: Kind) -> tuple[Object, ...]: ...

    def objects(self, kind: Kind) -> tuple[Object, ...]:
        """All objects of the kind, sorted by key."""
        namespaces = self._objects[kind]
        return tuple(named[name] for _, named in sorted(namespaces.items()) for name in sorted(named))

    def unordered(self, kind: Kind) -> list[Object]:
        """All objects of the kind, in any order."""
        return [one for named in self._objects[kind].values() for one in named.values()]

    @overload
    def get(self, kind: Literal["Service"], key: Key) -> Service | None: ...
    @overload
    def get(self, kind: Literal["EndpointSlice"], key: Key) -> EndpointSlice | None: ...
    @overload
    def get(self, kind: Literal["Pod"], key: Key) -> Pod | None: ...
    @overload
    def get(self, kind: Literal["Namespace"], key: Key) -> Namespace | None: ...
    @overload
    def get(self, kind: Literal["ServiceImport"], key: Key) -> ServiceImport | None: ...
    @overload
    def get(self, kind: Kind, key: Key) -> Object | None: ...

    def get(self, kind: Kind, key: Key) -> Object | None:
        """The object with the key, None where there is none."""
        namespace, name = key
        return self._objects[kind].get(namespace, _NONE).get(name)

    def slices_of(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """The EndpointSlices that carry the Service's name in their label, sorted by name; also without the Service."""
        return self._slices.get(namespace, _NONE).get(service, ())

    def imported_slices_of(self, namespace: str, name: str) -> tuple[EndpointSlice, ...]:
        """The EndpointSlices that carry the ServiceImport's name in their label, sorted by name."""
        return self._imported.get(namespace, _NONE).get(name, ())

    def services_in(self, namespace: str) -> tuple[Service, ...]:
        """The Services of a namespace, sorted by name."""
        services = self._objects["Service"].get(namespace, _NONE)
        return tuple(one for name in sorted(services) if isinstance(one := services[name], Service))

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
        step = _Step()
        try:
            for event in events:
                self._apply(event, step)
        finally:
            changes = self._publish(step, arrival_seconds)
        return changes

    def _apply(self, event: Event, step: _Step) -> None:
        kind = event.kind
        if isinstance(event, Apply):
            key = event.object.key
            if self._set(kind, key, event.object, step) and event.triggered_seconds is not None:
                step.triggered[kind, key] = event.triggered_seconds
        elif isinstance(event, Delete):
            self._set(kind, event.key, None, step)
        elif isinstance(event, Replace):
            self._replace(event, step)
        elif isinstance(event, Prune):
            if event.count != self._counts[kind]:
                self._prune(kind, event.kept, step)
            self._synced |= {kind}
        elif isinstance(event, Forget):
            self._prune(kind, _NONE, step)
            self._synced -= {kind}
            self._revisions.pop(kind, None)
        if event.revision:
            self._revisions[kind] = event.revision

    def _replace(self, event: Replace, step: _Step) -> None:
        listed: dict[str, set[str]] = {}
        changed: dict[Key, Object] = {}
        for new in event.objects:
            key = namespace, name = new.key
            listed.setdefault(namespace, set()).add(name)
            if self.get(event.kind, key) != new:
                changed[key] = new
            else:
                changed.pop(key, None)
        self._prune(event.kind, listed, step)
        for key, new in changed.items():
            self._set(event.kind, key, new, step)
        self._synced |= {event.kind}

    def _prune(self, kind: Kind, kept: Mapping[str, Container[str]], step: _Step) -> None:
        gone = [
            (namespace, name)
            for namespace, named in self._objects[kind].items()
            for name in named
            if name not in kept.get(namespace, ())
        ]
        for key in sorted(gone):
            self._set(kind, key, None, step)

    def _set(self, kind: Kind, key: Key, new: Object | None, step: _Step) -> bool:
        """Put an object in the place of another. Returns whether that is a change."""
        namespace, name = key
        objects = self._objects[kind]
        named = objects.get(namespace, _NONE)
        old = named.get(name)
        if old == new:
            return False
        step.before.setdefault((kind, key), old)
        if old is not None:
            # Also where another takes its place: the key is to be the new object's own text, not a second copy.
            del objects[namespace][name]
        if new is not None:
            objects.setdefault(namespace, {})[name] = new
        elif len(named) == 0:
            del objects[namespace]
        self._counts[kind] += (new is not None) - (old is not None)
        if isinstance(old, EndpointSlice):
            _disown(self._slices, old, old.service)
            _disown(self._imported, old, old.imported)
        if isinstance(new, EndpointSlice):
            _own(self._slices, new, new.service)
            _own(self._imported, new, new.imported)
        return True

    def _publish(self, step: _Step, arrival_seconds: float) -> ChangeSet | None:
        changes = tuple(
            [
                Change(kind, key, old, new, step.triggered.get((kind, key)))
                for (kind, key), old in step.before.items()
                if (new := self.get(kind, key)) != old
            ]
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


def _own(owned: _Owned, piece: EndpointSlice, owner: str) -> None:
    if owner:
        owners = owned.setdefault(piece.namespace, {})
        others = owners.get(owner)
        owners[owner] = tuple(sorted((*others, piece), key=_name)) if others else (piece,)


def _disown(owned: _Owned, piece: EndpointSlice, owner: str) -> None:
    if owner:
        owners = owned[piece.namespace]
        rest = tuple([one for one in owners[owner] if one.name != piece.name])
        if rest:
            owners[owner] = rest
        else:
            del owners[owner]
            if not owners:
                del owned[piece.namespace]


def _name(piece: EndpointSlice) -> str:
    return piece.name
