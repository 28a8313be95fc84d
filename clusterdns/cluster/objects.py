# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects, slimmed to the fields that something here reads.

Field names follow the Kubernetes API in snake case. Addresses stay text as the API writes them, because endpoint names
are made from that text. All are values: a change is a new object. None can hold itself, so the garbage collector needs
no part in them (``gc=False``), which saves its walks over a large cluster and 16 bytes for each.
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


class Service(msgspec.Struct, frozen=True, gc=False):
    """v1 Service. ``cluster_ips`` is spec.clusterIPs: ``("None",)`` for headless, empty for ExternalName;
    ``external_ips`` is spec.externalIPs; ``ingress`` is status.loadBalancer.ingress: addresses and host names.
    ``selects`` is True with a spec.selector; without one, somebody else writes its endpoints.
    """

    namespace: str
    name: str
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    external_ips: tuple[str, ...] = ()
    ingress: tuple[str, ...] = ()
    selects: bool = False

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


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """endpoints[] of an EndpointSlice.

    ready: conditions.ready, True where it is absent.
    pod: the name in a targetRef of kind Pod, empty without one.
    serving: conditions.serving, the same as ``ready`` where it is absent.
    terminating: conditions.terminating, False where it is absent.
    zone: the topology zone of its node, empty where it isn't known.
    """

    addresses: tuple[str, ...]
    ready: bool = True
    hostname: str = ""
    pod: str = ""
    serving: bool = True
    terminating: bool = False
    zone: str = ""


class EndpointSlice(msgspec.Struct, frozen=True, gc=False):
    """discovery.k8s.io/v1 EndpointSlice.

    service: its label kubernetes.io/service-name.
    imported: its label multicluster.kubernetes.io/service-name: the ServiceImport that it belongs to.
    cluster: its label multicluster.kubernetes.io/source-cluster: where the endpoints of an imported one run.
    """

    namespace: str
    name: str
    service: str
    address_type: str = "IPv4"
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
    imported: str = ""
    cluster: str = ""

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


class Pod(msgspec.Struct, frozen=True, gc=False):
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


class Namespace(msgspec.Struct, frozen=True, gc=False):
    """v1 Namespace."""

    name: str

    @property
    def key(self) -> Key:
        return ("", self.name)


class ServiceImport(msgspec.Struct, frozen=True, gc=False):
    """multicluster.x-k8s.io/v1alpha1 ServiceImport: ``type`` is ClusterSetIP or Headless, ``ips`` is spec.ips."""

    namespace: str
    name: str
    type: str = "ClusterSetIP"
    ips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)

    @property
    def headless(self) -> bool:
        """True if it has no address of its own, so that its endpoints' addresses are served (KEP-1645)."""
        return self.type == "Headless"


Key: TypeAlias = tuple[str, str]
"""(namespace, name); the namespace is empty for objects without one."""

Object: TypeAlias = Service | EndpointSlice | Pod | Namespace | ServiceImport

Kind: TypeAlias = Literal["Service", "EndpointSlice", "Pod", "Namespace", "ServiceImport"]

RESOURCES: dict[Kind, str] = {
    "Namespace": "namespaces",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Pod": "pods",
    "ServiceImport": "serviceimports",
}
"""What the API calls the kinds in its paths."""

KINDS: tuple[Kind, ...] = ("Namespace", "Service", "EndpointSlice", "Pod", "ServiceImport")
