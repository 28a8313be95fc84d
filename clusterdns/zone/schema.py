# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes DNS specification 1.1.0 as pure functions: which names there are, and which records they have.

Names are read from the right, relative to the zone: ``svc`` or ``pod``, then the namespace, the Service (or the address
of a Pod), and in front of a Service either one endpoint or a port and its protocol. What the specification leaves open
follows CoreDNS, apart from what docs/differences.md lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

import msgspec

from clusterdns.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Service, ServicePort
from clusterdns.cluster.validation import address_family

VERSION: Final = "1.1.0"
"""The version of the specification, as the TXT record at ``dns-version`` gives it (section 2.2)."""

VERSION_TTL_SECONDS: Final = 28800

MAX_LABEL: Final = 63

NameKind = Literal[
    "none", "apex", "parent", "version", "nameserver", "services", "pods", "service", "endpoint", "port", "zonal", "pod"
]


class Name(msgspec.Struct, frozen=True, gc=False):
    """What a name below a zone stands for.

    kind: ``none`` can't exist; ``apex`` is the zone itself; ``parent`` only has names below it; ``services`` and
        ``pods`` are the namespace levels; ``pod`` has the address in ``endpoint``; ``zonal`` is a Service's endpoints
        in a zone of the topology.
    endpoint: with the name of its cluster behind a dot where there are several.
    port, protocol: without their underscore; empty means any.
    topology: of ``zonal``: the zone; others_too: all endpoints will do where none is in it (``prefer``).
    """

    kind: NameKind
    namespace: str = ""
    service: str = ""
    endpoint: str = ""
    port: str = ""
    protocol: str = ""
    topology: str = ""
    others_too: bool = False


class EndpointAddress(msgspec.Struct, frozen=True, gc=False):
    """One ready address: its endpoint's name (the label in front of the Service's name) and the ports of its slice."""

    name: str
    address: str
    ports: tuple[EndpointPort, ...]


class Target(msgspec.Struct, frozen=True, gc=False):
    """One SRV record: ``endpoint`` is empty where the Service itself is the target; ``address`` is the target's."""

    endpoint: str
    port: int
    address: str


_NONE: Final = Name("none")
_APEX: Final = Name("apex")
_PARENT: Final = Name("parent")
_VERSION: Final = Name("version")
_NAMESERVER: Final = Name("nameserver")
_DASHED: Final = str.maketrans(".:", "--")
_REVERSED_NAMESERVER: Final = [b"ns", b"dns"]


def parse_name(labels: Sequence[bytes], *, zonal: bool = False, clustered: bool = False) -> Name:
    """What the labels (lower case, leftmost first, without the zone) stand for.

    zonal: names of endpoints in a zone of the topology exist.
    clustered: endpoints have the name of their cluster behind their own (KEP-1645).
    """
    count = len(labels)
    if not count:
        return _APEX
    tree = labels[-1]
    if tree == b"svc":
        return _parse_service(labels, count, zonal, clustered)
    if tree == b"pod":
        return _parse_pod(labels, count)
    if count == 1 and tree == b"dns-version":
        return _VERSION
    return parse_nameserver(labels)


def parse_nameserver(labels: Sequence[bytes]) -> Name:
    """``ns.dns`` and its parent, the names that also a reverse zone has for its SOA record."""
    if labels == _REVERSED_NAMESERVER:
        return _NAMESERVER
    return _PARENT if len(labels) == 1 and labels[0] == b"dns" else _NONE


def _parse_service(labels: Sequence[bytes], count: int, zonal: bool, clustered: bool) -> Name:
    if count == 1:
        return _PARENT
    if count > 5:
        return _parse_zonal(labels) if zonal else _NONE
    # Latin-1 takes every octet; what isn't ASCII then equals no name of an object.
    namespace = labels[-2].decode("latin-1")
    if count == 2:
        return Name("services", namespace)
    service = labels[-3].decode("latin-1")
    if count == 3:
        return Name("service", namespace, service)
    if count == 4:
        return _NONE if clustered else Name("endpoint", namespace, service, labels[0].decode("latin-1"))
    if clustered and not labels[0].startswith(b"_") and not labels[1].startswith(b"_"):
        return Name("endpoint", namespace, service, b".".join(labels[:2]).decode("latin-1"))
    return Name("port", namespace, service, "", _strip(labels[0]), _strip(labels[1]))


def _parse_zonal(labels: Sequence[bytes]) -> Name:
    """``TOPOLOGYZONE.pin._zone.SERVICE.NAMESPACE.svc``, or ``prefer``; the zone may be several labels."""
    *topology, way, mark, service, namespace, _ = labels
    if not topology or mark != b"_zone" or way not in (b"pin", b"prefer"):
        return _NONE
    return Name(
        "zonal",
        namespace.decode("latin-1"),
        service.decode("latin-1"),
        topology=b".".join(topology).decode("latin-1"),
        others_too=way == b"prefer",
    )


def _parse_pod(labels: Sequence[bytes], count: int) -> Name:
    if count == 1:
        return _PARENT
    if count > 3:
        return _NONE
    namespace = labels[-2].decode("latin-1")
    return Name("pods", namespace) if count == 2 else Name("pod", namespace, "", labels[0].decode("latin-1"))


def _strip(label: bytes) -> str:
    return label.removeprefix(b"_").decode("latin-1")


def pod_address(label: str) -> str | None:
    """The address in the name of a Pod: dashes stand for dots if there are three single ones, else for colons."""
    if "." in label or "%" in label:
        return None
    try:
        if label.count("-") == 3 and "--" not in label:
            return str(IPv4Address(label.replace("-", ".")))
        return str(IPv6Address(label.replace("-", ":")))
    except ValueError:
        return None


def pod_label(address: str) -> str:
    """The label in the name of a Pod, for which ``pod_address`` gives the address: dashes for its dots or colons."""
    return str(ip_address(address)).translate(_DASHED)


def endpoint_name(endpoint: Endpoint, address: str, pod_names: bool) -> str:
    """The label of an endpoint: its hostname, or (``pod_names``) its Pod's name, or its address with dashes."""
    if endpoint.hostname:
        return endpoint.hostname
    if pod_names and endpoint.pod and len(endpoint.pod) <= MAX_LABEL and "." not in endpoint.pod:
        return endpoint.pod
    if ":" not in address:
        return address.replace(".", "-")
    dashed = address.lower().replace(":", "-")
    return dashed + "0" if dashed.endswith("-") else dashed


def endpoint_addresses(slices: Iterable[EndpointSlice], pod_names: bool) -> Iterator[EndpointAddress]:
    """The ready IP addresses of slices, in their order; repetitions included."""
    for piece in slices:
        if piece.address_type == "FQDN":
            continue
        for endpoint in piece.endpoints:
            if endpoint.ready:
                for address in endpoint.addresses:
                    name = endpoint_name(endpoint, address, pod_names)
                    yield EndpointAddress(f"{name}.{piece.cluster}" if piece.cluster else name, address, piece.ports)


def host_names(slices: Iterable[EndpointSlice]) -> list[str]:
    """The ready addresses of slices of type FQDN, each once."""
    return list(
        dict.fromkeys(
            address
            for piece in slices
            if piece.address_type == "FQDN"
            for endpoint in piece.endpoints
            if endpoint.ready
            for address in endpoint.addresses
        )
    )


def served(slices: tuple[EndpointSlice, ...]) -> tuple[EndpointSlice, ...]:
    """The slices of a Service with those endpoints ready that are to be answered: where none is ready, as when all
    terminate at once, those that still serve (conditions.serving, conditions.terminating).
    """
    if has_ready(slices) or not any(_still_serves(each) for piece in slices for each in piece.endpoints):
        return slices
    return tuple(
        msgspec.structs.replace(
            piece,
            endpoints=tuple(msgspec.structs.replace(each, ready=_still_serves(each)) for each in piece.endpoints),
        )
        for piece in slices
    )


def _still_serves(endpoint: Endpoint) -> bool:
    return endpoint.serving and endpoint.terminating


def in_topology_zone(slices: Iterable[EndpointSlice], zone: str) -> tuple[EndpointSlice, ...]:
    """The slices with only those endpoints that run in a zone (lower case) of the topology."""
    return tuple(
        msgspec.structs.replace(
            piece, endpoints=tuple(each for each in piece.endpoints if each.zone and each.zone.lower() == zone)
        )
        for piece in slices
    )


def has_ready(slices: Iterable[EndpointSlice]) -> bool:
    """True if any endpoint is ready."""
    return any(endpoint.ready and endpoint.addresses for piece in slices for endpoint in piece.endpoints)


def cluster_addresses(service: Service) -> list[str]:
    """The clusterIPs; none while nothing is allocated."""
    return [address for address in service.cluster_ips if address]


def external_name(service: Service) -> str | None:
    """The target of an ExternalName Service; None where it is an IP address, which no CNAME can lead to."""
    target = service.external_name.removesuffix(".")
    if not target or address_family(target):
        return None
    return target + "."


def matches(port: ServicePort | EndpointPort, name: Name) -> bool:
    """True if a port and protocol in a query mean this port."""
    return (not name.port or port.name.lower() == name.port) and (
        not name.protocol or port.protocol.lower() == name.protocol
    )


def service_targets(service: Service, name: Name) -> list[Target]:
    """SRV of a Service with clusterIPs: a row for each address and matching port."""
    return [
        Target("", port.port, address)
        for address in cluster_addresses(service)
        for port in service.ports
        if matches(port, name)
    ]


def endpoint_targets(endpoints: Iterable[EndpointAddress], name: Name) -> list[Target]:
    """SRV of endpoints: a row for each address and matching port that has a number."""
    return [
        Target(endpoint.name, port.port, endpoint.address)
        for endpoint in endpoints
        for port in endpoint.ports
        if port.port is not None and matches(port, name)
    ]


def srv_weight(rows: int) -> int:
    """The weight that each of so many SRV rows gets: equal parts of 100, at least 1."""
    return max(1, 100 // rows)
