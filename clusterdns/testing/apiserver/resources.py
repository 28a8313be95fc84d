# SPDX-License-Identifier: Apache-2.0
"""The resources that the server keeps, and which of them a path names."""

from __future__ import annotations

import msgspec


class Resource(msgspec.Struct, frozen=True):
    """One kind of object under one path. ``group`` is empty for the core group; ``custom`` is what a
    CustomResourceDefinition brings: its items carry their kind in lists too. ``fields`` are the field selectors beside
    metadata.name and metadata.namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    custom: bool = False
    fields: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def path(self) -> str:
        """The path of all its objects."""
        return f"{self.root}/{self.plural}"

    @property
    def opening(self) -> bytes:
        """The beginning of an object of it, up to where its metadata begins."""
        return b'{"kind":"%s","apiVersion":"%s",' % (self.kind.encode(), self.api_version.encode())


NAMESPACES = Resource(
    "", "v1", "namespaces", "Namespace", namespaced=False, fields=("status.phase",), short_names=("ns",)
)
SERVICES = Resource("", "v1", "services", "Service", fields=("spec.type", "spec.clusterIP"), short_names=("svc",))
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    fields=("status.phase", "status.podIP", "spec.nodeName", "spec.hostNetwork", "spec.restartPolicy"),
    short_names=("po",),
)
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
IMPORTS = Resource("multicluster.x-k8s.io", "v1alpha1", "serviceimports", "ServiceImport", custom=True)

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    Resource("", "v1", "nodes", "Node", namespaced=False, short_names=("no",)),
    SERVICES,
    Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",)),
    PODS,
    Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",)),
    SLICES,
    IMPORTS,
)


class Target(msgspec.Struct, frozen=True):
    """What a path names: ``namespace`` and ``name`` are empty for all of them."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str, resources: tuple[Resource, ...]) -> Target | None:
    """The target of ``/api/v1/…`` or ``/apis/GROUP/VERSION/…``; None for any other path and unknown resources."""
    parts = path.rstrip("/").split("/")[1:]
    if "" in parts:
        return None
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    here = {each.plural: each for each in resources if (each.group, each.version) == (group, version)}
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3 or rest[0] not in here:
        return None
    resource = here[rest[0]]
    if namespace and not resource.namespaced:
        return None
    return Target(resource, namespace, *rest[1:])
