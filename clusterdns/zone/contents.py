# SPDX-License-Identifier: Apache-2.0
"""All records of a zone that is made from a cluster, for zone transfers: what its names answer, as one list.

Every name in the list has exactly the records that a query for it gets. Left out are names that nobody could list:
those of Pods with ``pods insecure``, ports without their underscores, those with a zone of the topology, and names that
exist without any records of their own or below them, such as an empty namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clusterdns.cluster.objects import EndpointPort, EndpointSlice, Key, Pod, Service, ServicePort
from clusterdns.dns import names
from clusterdns.dns.names import MAX_NAME_BYTES
from clusterdns.dns.types import AAAA, CNAME, NS, PTR, SRV, TXT, A
from clusterdns.dns.wire import Record
from clusterdns.zone import schema
from clusterdns.zone.addresses import address_key, encode_address, reverse_name
from clusterdns.zone.compiler import NAMESERVER_LABELS, Compiler, endpoint_owner, held_addresses, service_name
from clusterdns.zone.schema import Name, Target

_VERSION = b"\x0bdns-version"


class Contents:
    """One zone. What it holds is taken at once; the records are made while they are read.

    Objects never change, so a long transfer shows the cluster of one moment.
    """

    def __init__(self, compiler: Compiler, zone: bytes) -> None:
        options = compiler.options
        self._zone = zone
        self._ttl = options.ttl_seconds
        self._options = options
        self._compiler = compiler
        self._namespaces = {item.name for item in compiler.store.objects("Namespace") if compiler.is_exposed(item.name)}
        self._services = [item for item in compiler.store.objects("Service") if item.namespace in self._namespaces]

    def own_servers(self, servers: list[tuple[bytes, bytes]], targets_zone: bytes) -> Iterator[Record]:
        """NS records at the zone's name, and ``ns.dns`` with this server's addresses.

        servers: names in ``targets_zone``, each with a packed address.
        """
        own = NAMESERVER_LABELS + self._zone
        targets = dict.fromkeys(target for target, _ in servers) or {NAMESERVER_LABELS + targets_zone: None}
        for target in targets:
            yield Record(self._zone, NS, self._ttl, target)
        yield from self.addresses(own, (address for _, address in servers))
        for target, address in servers:
            # Servers that are Services of namespaces which aren't served have no other record here.
            if target != own and names.is_in(target, self._zone) and not self._is_listed(target):
                yield from self.addresses(target, (address,))

    def _is_listed(self, target: bytes) -> bool:
        name = schema.parse_name(names.labels(target[: -len(self._zone)] + names.ROOT))
        return self._compiler.compile_service(name) is not None

    def addresses(self, owner: bytes, packed: Iterable[bytes]) -> Iterator[Record]:
        """A and AAAA records."""
        for address in dict.fromkeys(packed):
            yield Record(owner, A if len(address) == 4 else AAAA, self._ttl, address)


class ForwardContents(Contents):
    """A zone with Services and Pods."""

    def __init__(self, compiler: Compiler, zone: bytes) -> None:
        super().__init__(compiler, zone)
        store, options = compiler.store, self._options
        self._servers = compiler.nameservers(zone)
        self._slices: dict[Key, tuple[EndpointSlice, ...]] = {}
        if options.endpoints:
            self._slices = {service.key: compiler.slices_of(*service.key) for service in self._services}
        self._pods: tuple[Pod, ...] = store.objects("Pod") if options.pods == "verified" else ()

    def __iter__(self) -> Iterator[Record]:
        yield from self.own_servers(self._servers, self._zone)
        version = schema.VERSION.encode("ascii")
        yield Record(_VERSION + self._zone, TXT, schema.VERSION_TTL_SECONDS, bytes((len(version),)) + version)
        for service in self._services:
            yield from filter(_fits, self._service(service))
        yield from self._pod_names()

    def _service(self, service: Service) -> Iterator[Record]:
        owner = service_name(service.namespace, service.name, self._zone)
        if service.type == "ExternalName":
            target = schema.external_name(service)
            if target:
                yield Record(owner, CNAME, self._ttl, names.from_text(target))
            return
        slices = self._slices.get(service.key, ())
        endpoints = list(schema.endpoint_addresses(slices, self._options.endpoint_pod_names))
        if not service.headless:
            if not self._options.ignore_empty or schema.has_ready(slices):
                yield from self._with_cluster_addresses(service, owner)
        elif endpoints:
            yield from self._headless(service, slices, owner)
        else:
            hosts = schema.host_names(slices)
            if len(hosts) == 1:
                yield Record(owner, CNAME, self._ttl, names.from_text(hosts[0].removesuffix(".") + "."))
        named: dict[str, list[schema.EndpointAddress]] = {}
        for endpoint in endpoints:
            named.setdefault(endpoint.name, []).append(endpoint)
        for label, group in named.items():
            place = endpoint_owner(label, owner)
            yield from self._texts(place, (endpoint.address for endpoint in group))
            yield from self._targets(place, schema.endpoint_targets(group, Name("endpoint")), owner)

    def _with_cluster_addresses(self, service: Service, owner: bytes) -> Iterator[Record]:
        addresses = schema.cluster_addresses(service)
        yield from self._texts(owner, addresses)
        yield from self._targets(owner, schema.service_targets(service, Name("service")), owner)
        for name in port_names(service.ports):
            place = port_owner(name, owner)
            yield from self._texts(place, addresses)
            yield from self._targets(place, schema.service_targets(service, name), owner)

    def _headless(self, service: Service, slices: tuple[EndpointSlice, ...], owner: bytes) -> Iterator[Record]:
        pod_names = self._options.endpoint_pod_names
        for name in (Name("service"), *port_names(port for piece in slices for port in piece.ports)):
            matching = slices
            place = owner
            if name.kind == "port":
                matching = tuple(piece for piece in slices if any(schema.matches(port, name) for port in piece.ports))
                place = port_owner(name, owner)
            endpoints = list(schema.endpoint_addresses(matching, pod_names))
            yield from self._texts(place, (endpoint.address for endpoint in endpoints))
            yield from self._targets(place, schema.endpoint_targets(endpoints, name), owner)

    def _texts(self, owner: bytes, addresses: Iterable[str]) -> Iterator[Record]:
        return self.addresses(owner, map(encode_address, addresses))

    def _targets(self, owner: bytes, rows: list[Target], suffix: bytes) -> Iterator[Record]:
        yield from srv_records(
            owner,
            [(endpoint_owner(row.endpoint, suffix) if row.endpoint else suffix, row.port) for row in rows],
            self._ttl,
        )

    def _pod_names(self) -> Iterator[Record]:
        found = {
            (pod.namespace, encode_address(text)): text
            for pod in self._pods
            if pod.namespace in self._namespaces
            for text in pod.ips
        }
        for (namespace, packed), text in found.items():
            labels = [schema.pod_label(text).encode(), namespace.encode(), b"pod"]
            yield from self.addresses(names.from_labels(labels, self._zone), (packed,))


class ReverseContents(Contents):
    """A zone with PTR records."""

    def __init__(self, compiler: Compiler, zone: bytes) -> None:
        super().__init__(compiler, zone)
        self._servers = compiler.nameservers(compiler.options.primary)
        slices = compiler.store.objects("EndpointSlice") if self._options.endpoints else ()
        self._all_slices = [piece for piece in slices if piece.namespace in self._namespaces]

    def __iter__(self) -> Iterator[Record]:
        yield from self.own_servers(self._servers, self._options.primary)
        owners: dict[str, Service] = {}
        for service in self._services:
            for key in held_addresses(service):
                owners.setdefault(key, service)
        for key, service in owners.items():
            yield from self._pointer(key, service_name(service.namespace, service.name, self._options.primary))
        seen: set[tuple[str, bytes]] = set()
        owner: Key | None = None
        for piece in sorted(self._all_slices, key=lambda piece: (piece.namespace, piece.service)):
            if (piece.namespace, piece.service) != owner:
                owner = (piece.namespace, piece.service)
                seen.clear()  # names of endpoints are those of one Service, so they repeat within it only
            yield from self._endpoints(piece, owners, seen)

    def _endpoints(
        self, piece: EndpointSlice, owners: dict[str, Service], seen: set[tuple[str, bytes]]
    ) -> Iterator[Record]:
        if not piece.service:
            return
        suffix = service_name(piece.namespace, piece.service, self._options.primary)
        for endpoint in schema.endpoint_addresses((piece,), self._options.endpoint_pod_names):
            key = address_key(endpoint.address)
            if key in owners:
                continue
            target = endpoint_owner(endpoint.name, suffix)
            if (key, target) not in seen:
                seen.add((key, target))
                yield from self._pointer(key, target)

    def _pointer(self, key: str, target: bytes) -> Iterator[Record]:
        name = reverse_name(key)
        if names.is_in(name, self._zone) and len(target) <= MAX_NAME_BYTES:
            yield Record(name, PTR, self._ttl, target)


def srv_records(owner: bytes, rows: list[tuple[bytes, int]], ttl_seconds: int) -> Iterator[Record]:
    """SRV records from targets and ports, weighted as in an answer to a query; repetitions are left out."""
    if rows:
        start = b"\x00\x00" + schema.srv_weight(len(rows)).to_bytes(2, "big")
        for target, port in dict.fromkeys(rows):
            if len(target) <= MAX_NAME_BYTES:
                yield Record(owner, SRV, ttl_seconds, start + port.to_bytes(2, "big") + target)


def port_names(ports: Iterable[ServicePort | EndpointPort]) -> Iterator[Name]:
    """What ``_PORT._PROTOCOL`` names mean of ports that have a name, each once."""
    for name, protocol in dict.fromkeys((port.name.lower(), port.protocol.lower()) for port in ports if port.name):
        if len(name) < schema.MAX_LABEL:
            yield Name("port", port=name, protocol=protocol)


def port_owner(name: Name, owner: bytes) -> bytes:
    """``_PORT._PROTOCOL`` in front of a Service's name."""
    return names.from_labels([b"_" + name.port.encode(), b"_" + name.protocol.encode()], owner)


def _fits(record: Record) -> bool:
    return len(record.name) <= MAX_NAME_BYTES
