# SPDX-License-Identifier: Apache-2.0
"""What is asked of an API server, as paths and queries (Kubernetes API concepts, "Efficient detection of changes").

No request asks for a namespace: one watch of all namespaces costs the API server less than one for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from clusterdns.cluster.objects import Kind

Verb: TypeAlias = Literal["list", "watch"]

PAGE_ITEMS: Final = 500
"""As many as client-go asks for at a time."""

JSON: Final = "application/json"
METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_LIVING_PODS: Final = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
_PATHS: Final[dict[Kind, str]] = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
    "Pod": "/api/v1/pods",
    "ServiceImport": "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports",
}


class Resource(msgspec.Struct, frozen=True):
    """Objects of a kind, all of them or those that selectors pick.

    path: of the collection over all namespaces.
    labels: a label selector, fields: a field selector; empty for none.
    """

    kind: Kind
    path: str
    labels: str = ""
    fields: str = ""

    @property
    def name(self) -> str:
        """The plural, as in ``endpointslices``."""
        return self.path.rpartition("/")[2]

    @property
    def whole(self) -> bool:
        """True without selectors: only then does a server tell how many objects there are."""
        return not self.labels and not self.fields


class Request(msgspec.Struct, frozen=True):
    """A GET request. ``accept`` is the media type to ask for."""

    verb: Verb
    path: str
    query: Mapping[str, str]
    accept: str = JSON


def resource_of(kind: Kind, labels: str = "", namespace_labels: str = "") -> Resource:
    """What to watch of a kind.

    labels: picks Services, EndpointSlices and Pods; namespace_labels: Namespaces. ServiceImports are all watched: what
    picks the objects of this cluster says nothing of another's.
    """
    path = _PATHS[kind]
    if kind == "Namespace":
        return Resource(kind, path, namespace_labels)
    if kind == "ServiceImport":
        return Resource(kind, path)
    return Resource(kind, path, labels, _LIVING_PODS if kind == "Pod" else "")


def stream(resource: Resource, timeout_seconds: int) -> Request:
    """A consistent list as the beginning of a watch (KEP-3157), for servers that have it: since 1.32, mostly."""
    return _watch(resource, timeout_seconds, {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"})


def watch(resource: Resource, revision: str, timeout_seconds: int) -> Request:
    """What comes after a revision."""
    return _watch(resource, timeout_seconds, {"resourceVersion": revision})


def page(resource: Resource, token: str = "", limit: int = PAGE_ITEMS, accept: str = JSON) -> Request:
    """A page of a consistent list: the first, or the one that the token of the page before it leads to."""
    query = {"limit": str(limit)}
    if token:
        query["continue"] = token
    return Request("list", resource.path, _selectors(resource) | query, accept)


def cached_list(resource: Resource) -> Request:
    """What the server remembers, at once and whole, however old: it doesn't ask its storage, and ignores limits."""
    return Request("list", resource.path, _selectors(resource) | {"resourceVersion": "0"})


def _watch(resource: Resource, timeout_seconds: int, query: dict[str, str]) -> Request:
    fixed = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(timeout_seconds)}
    return Request("watch", resource.path, _selectors(resource) | fixed | query)


def _selectors(resource: Resource) -> dict[str, str]:
    query = {}
    if resource.labels:
        query["labelSelector"] = resource.labels
    if resource.fields:
        query["fieldSelector"] = resource.fields
    return query
