# SPDX-License-Identifier: Apache-2.0
"""A cluster of any size as JSON manifests, as a zone file, and as the queries that its Pods would send."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

import dns.message

NAMESPACES = 10
PORT = 80
TTL_SECONDS = 30


@dataclass(frozen=True)
class Service:
    """A Service with its one port, ``http``; headless if ``cluster_ip`` is ``None``, the text."""

    namespace: str
    name: str
    cluster_ip: str
    endpoints: tuple[str, ...]

    @property
    def domain(self) -> str:
        return f"{self.name}.{self.namespace}.svc.cluster.local"

    @property
    def headless(self) -> bool:
        return self.cluster_ip == "None"


def services(count: int, endpoints: int, headless: int) -> tuple[Service, ...]:
    """``count`` Services with ``endpoints`` addresses each, the first ``headless`` of them headless."""
    cluster_ips = ipaddress.IPv4Address("10.96.1.0")
    pod_ips = ipaddress.IPv4Address("10.244.0.0")
    return tuple(
        Service(
            namespace=f"namespace-{number % NAMESPACES}",
            name=f"service-{number}",
            cluster_ip="None" if number < headless else str(cluster_ips + number),
            endpoints=tuple(str(pod_ips + number * endpoints + position) for position in range(endpoints)),
        )
        for number in range(count)
    )


def write_manifests(cluster: tuple[Service, ...], directory: Path) -> None:
    """Write Namespaces, Services and EndpointSlices as three files, as ``kubectl get -o json`` prints them."""
    directory.mkdir(parents=True, exist_ok=True)
    kinds = {
        "namespaces": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in sorted({service.namespace for service in cluster})
        ],
        "services": [_service_manifest(service) for service in cluster],
        "endpointslices": [_slice_manifest(service) for service in cluster],
    }
    for name, items in kinds.items():
        (directory / f"{name}.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _service_manifest(service: Service) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": service.namespace, "name": service.name},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": service.cluster_ip,
            "clusterIPs": [service.cluster_ip],
            "ports": [{"name": "http", "protocol": "TCP", "port": PORT}],
        },
    }


def _slice_manifest(service: Service) -> dict[str, object]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": service.namespace,
            "name": f"{service.name}-1",
            "labels": {"kubernetes.io/service-name": service.name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in service.endpoints],
        "ports": [{"name": "http", "protocol": "TCP", "port": PORT}],
    }


def write_zone_file(cluster: tuple[Service, ...], path: Path) -> None:
    """Write the answers to all these queries as a zone file, for servers that can't read manifests."""
    lines = [
        "$ORIGIN cluster.local.",
        f"$TTL {TTL_SECONDS}",
        "@ SOA ns.dns hostmaster 1 7200 1800 86400 30",
        "@ NS ns.dns",
        "ns.dns A 10.96.0.10",
    ]
    for service in cluster:
        owner = f"{service.name}.{service.namespace}.svc"
        addresses = service.endpoints if service.headless else (service.cluster_ip,)
        lines += [f"{owner} A {address}" for address in addresses]
        lines.append(f"_http._tcp.{owner} SRV 0 100 {PORT} {owner}")
    path.write_text("\n".join(lines) + "\n")


def plain(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """A queries for Services with an address of their own."""
    return _encode(_domains(cluster, headless=False), "A")


def plain_with_edns(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """The same with EDNS."""
    return _encode(_domains(cluster, headless=False), "A", edns_bytes=1232)


def plain_v6(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """AAAA queries for the same, which have no such address."""
    return _encode(_domains(cluster, headless=False), "AAAA")


def headless(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """A queries for headless Services."""
    return _encode(_domains(cluster, headless=True), "A")


def ports(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """SRV queries for the named ports of Services."""
    return _encode([f"_http._tcp.{name}" for name in _domains(cluster, headless=False)], "SRV")


def misses(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """A queries for external names with the search domains behind them, which don't exist."""
    suffixes = ("svc.cluster.local", "cluster.local")
    names = [
        f"www.example{number}.org.{suffix}"
        for number, service in enumerate(cluster)
        for suffix in (f"{service.namespace}.svc.cluster.local", *suffixes)
    ]
    return _encode(names, "A")


def misses_once(cluster: tuple[Service, ...]) -> tuple[bytes, ...]:
    """A query for an external name with the first search domain, of which the load generator makes ever new ones."""
    return _encode(["host-00000000.example.org.namespace-1.svc.cluster.local"], "A")


def _domains(cluster: tuple[Service, ...], *, headless: bool) -> list[str]:
    return [service.domain for service in cluster if service.headless is headless]


def _encode(names: list[str], record_type: str, edns_bytes: int | None = None) -> tuple[bytes, ...]:
    if edns_bytes is None:
        return tuple(dns.message.make_query(name, record_type).to_wire() for name in names)
    return tuple(dns.message.make_query(name, record_type, payload=edns_bytes).to_wire() for name in names)
