# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects as they are written in manifests: with what the control plane needs to finish them.

The finished objects are in ``objects``. All are values; ``labels`` and ``selector`` must not be changed in place.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from clusterdns.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Key, ServiceImport


class DeclaredPort(msgspec.Struct, frozen=True, gc=False):
    """spec.ports[] of a Service. ``target`` is targetPort: a number, or the name of a container's port.

    node_port: 0 where none is written.
    """

    name: str
    protocol: str
    port: int
    target: int | str
    node_port: int = 0


class DeclaredService(msgspec.Struct, frozen=True):
    """v1 Service. ``cluster_ips`` is empty where a ClusterIP is to be given (and for ExternalName); ``families`` is
    spec.ipFamilies, ``family_policy`` spec.ipFamilyPolicy; an empty selector is the same as none.
    """

    namespace: str
    name: str
    labels: dict[str, str]
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    ports: tuple[DeclaredPort, ...] = ()
    selector: dict[str, str] = {}
    external_name: str = ""
    publish_not_ready: bool = False
    families: tuple[str, ...] = ()
    family_policy: str = ""
    node_ports: bool = True
    """spec.allocateLoadBalancerNodePorts"""
    external_ips: tuple[str, ...] = ()
    ingress: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)

    @property
    def headless(self) -> bool:
        """True if the first clusterIP is ``None``."""
        return bool(self.cluster_ips) and self.cluster_ips[0] == "None"


class ContainerPort(msgspec.Struct, frozen=True, gc=False):
    """spec.containers[].ports[] that has a name."""

    name: str
    protocol: str
    port: int


class DeclaredPod(msgspec.Struct, frozen=True):
    """v1 Pod. ``ready`` is the condition of that name, True where no conditions are written; ``terminating``: it has a
    deletionTimestamp; ``ips`` is empty where status has no address yet; ``cluster_search`` and ``network_seconds`` are
    those of ``objects.Pod``.
    """

    namespace: str
    name: str
    labels: dict[str, str]
    ips: tuple[str, ...] = ()
    ready: bool = True
    terminating: bool = False
    phase: str = "Running"
    hostname: str = ""
    subdomain: str = ""
    ports: tuple[ContainerPort, ...] = ()
    uid: str = ""
    host_network: bool = False
    cluster_search: bool = True
    network_seconds: int = 0

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)

    @property
    def finished(self) -> bool:
        """True if it will never run again."""
        return self.phase in ("Succeeded", "Failed")


class DeclaredSlice(msgspec.Struct, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice and its labels."""

    slice: EndpointSlice
    labels: dict[str, str]

    @property
    def key(self) -> Key:
        return self.slice.key


class DeclaredImport(msgspec.Struct, frozen=True):
    """multicluster.x-k8s.io ServiceImport. No selector applies to it, so its labels aren't kept."""

    service_import: ServiceImport

    @property
    def key(self) -> Key:
        return self.service_import.key


class Subset(msgspec.Struct, frozen=True):
    """subsets[] of Endpoints; what is under notReadyAddresses is in ``endpoints`` as not ready."""

    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class DeclaredEndpoints(msgspec.Struct, frozen=True):
    """v1 Endpoints."""

    namespace: str
    name: str
    labels: dict[str, str]
    subsets: tuple[Subset, ...] = ()

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


class DeclaredNamespace(msgspec.Struct, frozen=True):
    """v1 Namespace. Its labels have kubernetes.io/metadata.name, as in every cluster."""

    name: str
    labels: dict[str, str]

    @property
    def key(self) -> Key:
        return ("", self.name)


class DeclaredNode(msgspec.Struct, frozen=True):
    """v1 Node."""

    name: str

    @property
    def key(self) -> Key:
        return ("", self.name)


Declared: TypeAlias = (
    DeclaredService
    | DeclaredEndpoints
    | DeclaredSlice
    | DeclaredPod
    | DeclaredNamespace
    | DeclaredNode
    | DeclaredImport
)

DeclaredKind: TypeAlias = Literal["Service", "Endpoints", "EndpointSlice", "Pod", "Namespace", "Node", "ServiceImport"]
