# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects, slimmed to the fields that something here reads.

Field names follow the Kubernetes API in snake case. Addresses stay text as the API writes them, because endpoint names
are made from that text. All are values: a change is a new object.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class ServicePort(msgspec.Struct, frozen=True, gc=False):
    """spec.ports[]: ``name`` is empty for the unnamed port, ``protocol`` is TCP, UDP or SCTP, ``node_port`` is 0 where
    there is none.
    """

    name: str
    protocol: str
    port: int
    node_port: int = 0


class Service(msgspec.Struct, frozen=True):
    """v1 Service. ``cluster_ips`` is spec.clusterIPs: ``("None",)`` for headless, empty for ExternalName;
    ``external_ips`` is spec.externalIPs; ``ingress`` is status.loadBalancer.ingress: addresses and host names.
    """

    namespace: str
    name: str
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    external_ips: tuple[str, ...] = ()
    ingress: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)

    @property
    def headless(self) -> bool:
        """True if the first clusterIP is exactly ``None`` (Kubernetes DNS specification 2.4)."""
        return bool(self.cluster_ips) and self.cluster_ips[0] == "None"


class EndpointPort(msgspec.Struct, frozen=True, gc=False):
    """ports[] of an EndpointSlice; ``port`` is None where the slice has a null port."""

    name: str
    protocol: str
    port: int | None


class Endpoint(msgspec.Struct, frozen=True):
    """endpoints[] of an EndpointSlice. ``ready`` is conditions.ready, True where it is absent; ``pod`` is the name in a
    targetRef of kind Pod, empty without one.
    """

    addresses: tuple[str, ...]
    ready: bool = True
    hostname: str = ""
    pod: str = ""


class EndpointSlice(msgspec.Struct, frozen=True):
    """discovery.k8s.io/v1 EndpointSlice. ``service`` is its label kubernetes.io/service-name."""

    namespace: str
    name: str
    service: str
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


class Pod(msgspec.Struct, frozen=True):
    """v1 Pod that runs: ``ips`` is status.podIPs (or podIP), those of its node with ``host_network``; ``labels``
    are sorted.

    terminating: it has a deletionTimestamp.
    cluster_search: its search list is the cluster's: dnsPolicy is ClusterFirst, and dnsConfig adds no searches.
    network_seconds: since when it has its addresses, in seconds since 1970: the last transition of the condition
        PodReadyToStartContainers, before Kubernetes 1.29 status.startTime; 0 where neither is there.
    """

    namespace: str
    name: str
    ips: tuple[str, ...] = ()
    uid: str = ""
    host_network: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    terminating: bool = False
    cluster_search: bool = True
    network_seconds: int = 0

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


class Namespace(msgspec.Struct, frozen=True):
    """v1 Namespace."""

    name: str

    @property
    def key(self) -> Key:
        return ("", self.name)


Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace is empty for objects without one."""

Object: TypeAlias = Service | EndpointSlice | Pod | Namespace

Kind: TypeAlias = Literal["Service", "EndpointSlice", "Pod", "Namespace"]

RESOURCES: dict[Kind, str] = {
    "Namespace": "namespaces",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Pod": "pods",
}
"""What the API calls the kinds in its paths."""

KINDS: tuple[Kind, ...] = ("Namespace", "Service", "EndpointSlice", "Pod")
