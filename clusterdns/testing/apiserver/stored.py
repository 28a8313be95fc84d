# SPDX-License-Identifier: Apache-2.0
"""Objects as the storage keeps them: encoded once, so that a list or an event only copies bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

import msgspec

from clusterdns.testing.apiserver.resources import Resource

Key: TypeAlias = tuple[str, str]
"""(namespace, name)"""


class _Metadata(msgspec.Struct):
    metadata: msgspec.Raw


_decode_metadata = msgspec.json.Decoder(_Metadata).decode


class Stored:
    """One revision of one object. It is never changed.

    body: its JSON without kind and apiVersion; a function that makes it keeps many generated objects small.
    fields: the values of its field selectors, by name.
    """

    __slots__ = ("_body", "fields", "key", "labels", "resource", "revision")

    def __init__(
        self,
        resource: Resource,
        key: Key,
        revision: int,
        body: bytes | Callable[[], bytes],
        labels: Mapping[str, str],
        fields: Mapping[str, str],
    ) -> None:
        self.resource = resource
        self.key = key
        self.revision = revision
        self.labels = labels
        self.fields = fields
        self._body = body

    @property
    def body(self) -> bytes:
        return self._body if isinstance(self._body, bytes) else self._body()

    @property
    def item(self) -> bytes:
        """Its JSON as an item of a list: built-in types leave out kind and apiVersion there."""
        return self.whole if self.resource.custom else self.body

    @property
    def whole(self) -> bytes:
        """Its JSON with kind and apiVersion."""
        return self.resource.opening + self.body[1:]

    @property
    def metadata(self) -> bytes:
        """Its PartialObjectMetadata."""
        raw = bytes(_decode_metadata(self.body).metadata)
        return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":%s}' % raw

    def decode(self) -> dict[str, Any]:
        """The object as a dict of its own."""
        value: dict[str, Any] = msgspec.json.decode(self.whole)
        return value

    def at(self, revision: int) -> Stored:
        """The same object with another resourceVersion."""
        value = msgspec.json.decode(self.body)
        value["metadata"]["resourceVersion"] = str(revision)
        return Stored(self.resource, self.key, revision, msgspec.json.encode(value), self.labels, self.fields)


def store(resource: Resource, value: Mapping[str, Any], revision: int) -> Stored:
    """A complete object → as it is kept under the revision."""
    metadata = {**value["metadata"], "resourceVersion": str(revision)}
    body = {key: part for key, part in value.items() if key not in ("kind", "apiVersion", "metadata")}
    key = (metadata.get("namespace", ""), metadata["name"])
    fields = {"metadata.name": key[1], "metadata.namespace": key[0]}
    for path in resource.fields:
        found: Any = value
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        fields[path] = "" if found is None else str(found)
    encoded = msgspec.json.encode({"metadata": metadata, **body})
    return Stored(resource, key, revision, encoded, metadata.get("labels") or {}, fields)


class Event:
    """One change: ``old`` is None for a new object, ``new`` for a deleted one."""

    def __init__(self, revision: int, old: Stored | None, new: Stored | None) -> None:
        self.revision = revision
        self.old = old
        self.new = new

    @cached_property
    def departed(self) -> Stored | None:
        """The old object with the revision of the change, as those get it for whom it is gone."""
        return self.old.at(self.revision) if self.old is not None else None

    def seen_by(self, selected: Callable[[Stored], bool]) -> tuple[EventType, Stored] | None:
        """What a watch with this selection is told; None for nothing."""
        before = self.old is not None and selected(self.old)
        if self.new is not None and selected(self.new):
            return ("MODIFIED" if before else "ADDED"), self.new
        return ("DELETED", self.departed) if before and self.departed is not None else None


EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]
