# SPDX-License-Identifier: Apache-2.0
"""What etcd is to a real server: objects, one revision for all of them, and the history of changes.

Several servers may stand on one storage. All methods may be called from any thread, also while servers run.
"""

from __future__ import annotations

import ipaddress
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from clusterdns.testing.apiserver.admission import complete, with_managed_fields
from clusterdns.testing.apiserver.resources import NAMESPACES, RESOURCES, Resource
from clusterdns.testing.apiserver.statuses import ApiStatus, conflict, expired, not_found
from clusterdns.testing.apiserver.stored import Event, Key, Stored, store

FIRST_REVISION = 1000
MAX_EVENTS = 100_000
"""Changes that are remembered of one resource."""

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

_revision_of = attrgetter("revision")


class Snapshot(msgspec.Struct, frozen=True):
    """All there was at a revision, as a backup of etcd holds it."""

    revision: int
    objects: Mapping[str, Mapping[Key, Stored]]


class _Kept:
    """The objects and the changes of one resource."""

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self.events: list[Event] = []
        self.forgotten = 0  # changes up to this revision are no longer in ``events``
        self.ordered: dict[int, list[Stored]] = {}  # by the revision up to which changes count; a few


class Storage:
    """Objects and their history.

    service_cidr: where clusterIPs are taken from.
    managed_fields: add metadata.managedFields to what is written, as a real server does.
    """

    def __init__(
        self,
        *,
        resources: tuple[Resource, ...] = RESOURCES,
        service_cidr: str = "10.96.0.0/12",
        managed_fields: bool = True,
    ) -> None:
        self.resources = resources
        self.revision = FIRST_REVISION
        self.compacted = 0
        """Lists at revisions before this one are refused."""
        self._managed_fields = managed_fields
        self._network = ipaddress.ip_network(service_cidr)
        self._next_address = self._network.num_addresses // 2  # the lower half is for addresses that are asked for
        self._lock = threading.RLock()
        self._kept = {each.path: _Kept() for each in resources}
        self._listeners: dict[Callable[[], None], None] = {}
        for name in SYSTEM_NAMESPACES:
            self.create({"kind": "Namespace", "metadata": {"name": name}})

    # --- Writing

    def create(self, value: Mapping[str, Any], *, manager: str = "kubectl") -> Stored:
        """Add an object, a dict with ``kind`` as in a manifest. Raises ApiStatus 409 where it is there already, 404
        where its namespace isn't.
        """
        resource = self.resource(value)
        with self._lock:
            found = complete(resource, value, None, self._give_address)
            metadata = found["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            if key in self._kept[resource.path].objects:
                raise ApiStatus(409, "AlreadyExists", f'{resource.plural} "{key[1]}" already exists')
            if key[0] and ("", key[0]) not in self._kept[NAMESPACES.path].objects:
                raise not_found("namespaces", key[0])
            return self._write(resource, None, found, manager)

    def update(self, value: Mapping[str, Any], *, manager: str = "kubectl") -> Stored:
        """Put another object in the place of the one with its name. Raises ApiStatus 404 where there is none, 409 where
        the value has a resourceVersion that isn't the newest. What changes nothing makes no revision.
        """
        resource = self.resource(value)
        metadata = value.get("metadata") or {}
        with self._lock:
            old = self.get(resource, metadata.get("namespace") or "default", metadata.get("name") or "")
            if metadata.get("resourceVersion") not in (None, "", str(old.revision)):
                raise conflict(resource.plural, old.key[1], "the object has been modified")
            before = old.decode()
            found = complete(resource, value, before, self._give_address)
            if _essence(found) == _essence(before):
                return old
            return self._write(resource, old, found, manager)

    def apply(self, value: Mapping[str, Any]) -> Stored:
        """Create the object, or update the one with its name."""
        try:
            return self.update(value)
        except ApiStatus as error:
            if error.code != 404:
                raise
            return self.create(value)

    def delete(self, kind: str | Resource, name: str, namespace: str = "default") -> Stored:
        """Take an object away; with a namespace goes what is in it. Gives it as it was, with the revision of the
        deletion. Raises ApiStatus 404.
        """
        with self._lock:
            resource = kind if isinstance(kind, Resource) else self.resource({"kind": kind})
            old = self.get(resource, namespace, name)
            if resource == NAMESPACES:
                for kept in self._kept.values():
                    for inner in [each for each in kept.objects.values() if each.key[0] == name]:
                        self._record(inner.resource, inner, None)
            self._record(resource, old, None)
            departed = old.at(self.revision)
        self._tell()
        return departed

    def load(self, resource: Resource, objects: Iterable[tuple[Key, Callable[[int], Stored]]]) -> None:
        """Put many objects in without events, as if they had been there before any server started.

        objects: the key of each, and what makes it of its revision.
        """
        with self._lock:
            kept = self._kept[resource.path]
            for key, make in objects:
                self.revision += 1
                kept.objects[key] = make(self.revision)
            kept.forgotten = self.revision
            kept.ordered.clear()
        self._tell()

    # --- Reading

    def resource(self, value: Mapping[str, Any]) -> Resource:
        """The resource of an object, by its kind and, where it says so, its apiVersion. Raises KeyError."""
        for each in self.resources:
            if each.kind == value.get("kind") and value.get("apiVersion") in (None, each.api_version):
                return each
        raise KeyError(f"the server has no kind {value.get('kind')!r} of {value.get('apiVersion')!r}")

    def get(self, kind: str | Resource, namespace: str, name: str) -> Stored:
        """One object as it is now. Raises ApiStatus 404."""
        resource = kind if isinstance(kind, Resource) else self.resource({"kind": kind})
        found = self._kept[resource.path].objects.get((namespace if resource.namespaced else "", name))
        if found is None:
            raise not_found(resource.plural, name)
        return found

    def objects(self, kind: str | Resource) -> list[dict[str, Any]]:
        """All objects of a kind as dicts, by namespace and name."""
        resource = kind if isinstance(kind, Resource) else self.resource({"kind": kind})
        return [each.decode() for each in self.ordered(resource, self.revision)]

    def ordered(self, resource: Resource, revision: int) -> list[Stored]:
        """All objects of a resource at a revision, in the order of lists. Raises ApiStatus 410 where that is forgotten.
        The list isn't the caller's to change.
        """
        with self._lock:
            kept = self._kept[resource.path]
            first_later = bisect_right(kept.events, revision, key=_revision_of)
            effective = kept.events[first_later - 1].revision if first_later else 0
            if revision < kept.forgotten:
                raise expired(f"The resourceVersion for the provided list is too old: {revision}")
            if effective in kept.ordered:
                return kept.ordered[effective]
            objects = kept.objects
            if first_later < len(kept.events):
                objects = dict(objects)
                for event in reversed(kept.events[first_later:]):
                    if event.old is not None:
                        objects[event.old.key] = event.old
                    elif event.new is not None:
                        del objects[event.new.key]
            if len(kept.ordered) > 4:
                kept.ordered.clear()
            found = kept.ordered[effective] = sorted(objects.values(), key=attrgetter("key"))
            return found

    def events(self, resource: Resource, after: int, until: int) -> list[Event]:
        """The changes of a resource with ``after`` < revision ≤ ``until``, oldest first."""
        with self._lock:
            events = self._kept[resource.path].events
            if not events or events[-1].revision <= after:
                return []
            return events[bisect_right(events, after, key=_revision_of) : bisect_right(events, until, key=_revision_of)]

    def forgotten(self, resource: Resource) -> int:
        """The revision up to which changes of the resource are no longer known."""
        return self._kept[resource.path].forgotten

    # --- History

    def compact(self, revision: int | None = None) -> None:
        """Refuse lists at revisions before this one (now, without); continue tokens of such lists expire."""
        self.compacted = self.revision if revision is None else revision

    def advance(self, revisions: int = 1) -> None:
        """Let the revision grow as by writes to resources that nobody here watches."""
        with self._lock:
            self.revision += revisions
        self._tell()

    def snapshot(self) -> Snapshot:
        """A backup."""
        with self._lock:
            return Snapshot(self.revision, {path: dict(kept.objects) for path, kept in self._kept.items()})

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a backup: what came after it is gone, and its revisions will be given out again."""
        with self._lock:
            self.revision = snapshot.revision
            self.compacted = min(self.compacted, self.revision)
            for path, kept in self._kept.items():
                kept.objects = dict(snapshot.objects[path])
                kept.events = [event for event in kept.events if event.revision <= self.revision]
                kept.ordered.clear()
        self._tell()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each change, on the thread that made it; the result takes it off again."""
        self._listeners[listener] = None
        return lambda: self._listeners.pop(listener, None)

    def _give_address(self) -> str:
        taken = self._next_address
        self._next_address = taken % (self._network.num_addresses - 2) + 1
        return str(self._network[taken])

    def _write(self, resource: Resource, old: Stored | None, value: dict[str, Any], manager: str) -> Stored:
        if self._managed_fields:
            value = with_managed_fields(value, manager)
        new = store(resource, value, self.revision + 1)
        self._record(resource, old, new)
        self._tell()
        return new

    def _record(self, resource: Resource, old: Stored | None, new: Stored | None) -> None:
        kept = self._kept[resource.path]
        self.revision += 1
        event = Event(self.revision, old, new)
        kept.events.append(event)
        kept.ordered.clear()
        if new is not None:
            kept.objects[new.key] = new
        elif old is not None:
            del kept.objects[old.key]
        if len(kept.events) > MAX_EVENTS:
            kept.forgotten = kept.events[MAX_EVENTS // 10].revision
            del kept.events[: MAX_EVENTS // 10 + 1]

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()


def _essence(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the server itself writes at each change."""
    metadata = {key: part for key, part in value["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    return {**value, "metadata": metadata}
