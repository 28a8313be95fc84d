# SPDX-License-Identifier: Apache-2.0
"""Which Services want addresses and node ports, which have them written, and what each one gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from clusterdns.cluster.controllers.allocation import AddressPool, Network, NodePortKey, allocate_node_ports
from clusterdns.cluster.controllers.endpoints import service_families
from clusterdns.cluster.declared import DeclaredService
from clusterdns.cluster.objects import Key
from clusterdns.cluster.validation import address_family

K = TypeVar("K")

Faults: TypeAlias = dict[Key, list[str]]


class Needs(msgspec.Struct, frozen=True):
    """What of one Service matters to the allocation. ``node_ports`` are the written ones with their protocols;
    ``port_numbers`` those of the ports that want one and share none.
    """

    families: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    node_ports: tuple[tuple[int, str], ...] = ()
    port_numbers: tuple[int, ...] = ()


def needs_of(service: DeclaredService, cluster_families: Sequence[str]) -> Needs:
    """A Service's needs. ``cluster_families``: those of the service CIDRs, primary first."""
    if service.type == "ExternalName":
        return Needs()
    families: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    if not service.headless:
        addresses = service.cluster_ips
        written = {address_family(address) for address in addresses}
        families = tuple(family for family in service_families(service, cluster_families) if family not in written)
    node_ports = tuple((port.node_port, port.protocol) for port in service.ports if port.node_port)
    port_numbers: set[int] = set()
    if _wants_node_ports(service):
        port_numbers = {port.port for port in service.ports} - _written_node_ports(service).keys()
    return Needs(families, addresses, node_ports, tuple(sorted(port_numbers)))


def _wants_node_ports(service: DeclaredService) -> bool:
    return service.type == "NodePort" or (service.type == "LoadBalancer" and service.node_ports)


def _written_node_ports(service: DeclaredService) -> dict[int, int]:
    """By port number: ports of one number and different protocols share a node port, as the API server has it."""
    return {port.port: port.node_port for port in reversed(service.ports) if port.node_port}


class Given(msgspec.Struct, frozen=True):
    """The result: addresses by Service and node ports by port, and what is wrong, by Service."""

    addresses: dict[Key, tuple[str, ...]] = {}
    node_ports: dict[NodePortKey, int] = {}
    faults: Faults = {}

    def cluster_ips(self, service: DeclaredService) -> tuple[str, ...]:
        """spec.clusterIPs of the finished Service: the written addresses, then the given ones."""
        return service.cluster_ips + self.addresses.get(service.key, ())

    def node_ports_of(self, service: DeclaredService) -> tuple[int, ...]:
        """The node ports of the finished Service in the order of its ports, 0 for none."""
        written = _written_node_ports(service)
        if not _wants_node_ports(service):
            return tuple(port.node_port for port in service.ports)
        return tuple(
            port.node_port
            or written.get(port.port)
            or self.node_ports.get((service.namespace, service.name, port.port), 0)
            for port in service.ports
        )

    def changed_services(self, before: Given) -> set[Key]:
        """The Services that have got something else than before."""
        changed = _differing(self.addresses, before.addresses)
        changed.update(key[:2] for key in _differing(self.node_ports, before.node_ports))
        return changed


def _differing(one: Mapping[K, object], other: Mapping[K, object]) -> set[K]:
    """The keys that only one of them has, or that have other values in the other."""
    return {key for key, value in one.items() if other.get(key) != value} | (other.keys() - one.keys())


def give(needs: Mapping[Key, Needs], networks: Iterable[Network]) -> Given:
    """Serve the needs of all Services from the service CIDRs and the node port range."""
    faults: Faults = defaultdict(list)
    addresses: dict[Key, tuple[str, ...]] = {}
    written = _written_addresses(needs, faults)
    pools = {pool.family: pool for pool in map(AddressPool.of, networks)}
    wanting: dict[str, list[Key]] = defaultdict(list)
    for key, need in needs.items():
        for family in need.families:
            wanting[family].append(key)
    for family, keys in wanting.items():
        pool = pools.get(family)
        given = pool.allocate(keys, written[family]) if pool is not None else {}
        why = f"the {family} service CIDR is full" if pool else f"there is no {family} service CIDR"
        for key in keys:
            if key in given:
                addresses[key] = _in_order((*addresses.get(key, ()), given[key]), needs[key].families)
            else:
                faults[key].append(f"it gets no {family} address: {why}")
    node_ports = _node_ports(needs, faults)
    return Given(addresses, node_ports, dict(faults))


def _in_order(addresses: tuple[str, ...], families: tuple[str, ...]) -> tuple[str, ...]:
    if len(addresses) == 1:
        return addresses
    return tuple(sorted(addresses, key=lambda address: families.index(address_family(address))))


def _written_addresses(needs: Mapping[Key, Needs], faults: Faults) -> dict[str, list[str]]:
    """The written addresses by family; one that two Services have is the second one's fault, in the order of keys."""
    owners: dict[str, Key] = {}
    written: dict[str, list[str]] = defaultdict(list)
    for key in sorted(key for key, need in needs.items() if need.addresses):
        for address in needs[key].addresses:
            owner = owners.setdefault(address, key)
            if owner != key:
                faults[key].append(f"its address {address} is that of Service {'/'.join(owner)} too")
            written[address_family(address)].append(address)
    return written


def _node_ports(needs: Mapping[Key, Needs], faults: Faults) -> dict[NodePortKey, int]:
    owners: dict[tuple[int, str], Key] = {}
    for key in sorted(key for key, need in needs.items() if need.node_ports):
        for port in needs[key].node_ports:
            owner = owners.setdefault(port, key)
            if owner != key:
                faults[key].append(f"its node port {port[0]} ({port[1]}) is that of Service {'/'.join(owner)} too")
    wanting = [(*key, number) for key, need in needs.items() for number in need.port_numbers]
    given = allocate_node_ports(wanting, (port for port, _ in owners))
    for namespace, name, number in wanting:
        if (namespace, name, number) not in given:
            faults[namespace, name].append(f"port {number} gets no node port: all of 30000–32767 are taken")
    return given
