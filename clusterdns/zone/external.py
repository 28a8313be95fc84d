# SPDX-License-Identifier: Apache-2.0
"""Zones with what a cluster's Services have outside of it: spec.externalIPs and the addresses of load balancers.

Names are ``SERVICE.NAMESPACE.ZONE`` and ``_PORT._PROTOCOL`` in front of it; with ``headless`` also those of the
endpoints of headless Services. There are few such Services, and few ask often for them beside what the listener
remembers, so nothing compiled is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import msgspec

from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.objects import EndpointPort, EndpointSlice, Object, Service, ServicePort
from clusterdns.cluster.validation import address_family
from clusterdns.dns import names
from clusterdns.dns.names import MAX_NAME_BYTES
from clusterdns.dns.types import AAAA, CNAME, NS, PTR, SOA, SRV, A
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.zone import schema
from clusterdns.zone.addresses import address_key, encode_address, is_full, parse_reverse, reverse_name
from clusterdns.zone.authority import Authority
from clusterdns.zone.compiler import Alias, Compiler, endpoint_owner
from clusterdns.zone.contents import port_names, port_owner, srv_records
from clusterdns.zone.encode import encode_addresses, encode_targets
from clusterdns.zone.index import AddressIndex, ReverseTree
from clusterdns.zone.schema import Name
from clusterdns.zone.serial import Serial
from clusterdns.zone.snapshot import is_reverse

_SERVER = b"\x03ns1"
_MAILBOX = b"\x0ahostmaster"

Found: TypeAlias = CompiledAnswer | Alias | None


class ExternalOptions(msgspec.Struct, frozen=True):
    """What the zones hold.

    zones: in lower-case wire form, in the order given.
    primary: the zone that PTR records lead to.
    apex: the labels of the name, in front of each zone, below which the zone's server is; wire form without the root.
    ttl_seconds: of all records.
    headless: headless Services without addresses from outside have those of their endpoints.
    """

    zones: tuple[bytes, ...]
    primary: bytes
    apex: bytes = b"\x03dns"
    ttl_seconds: int = 5
    headless: bool = False


class Entry(msgspec.Struct, frozen=True):
    """What an existing name has.

    addresses: packed, each once.
    rows: targets and ports of SRV records; repetitions count in their weight.
    glue: targets in the zone, with a packed address.
    """

    addresses: tuple[bytes, ...] = ()
    rows: tuple[tuple[bytes, int], ...] = ()
    glue: tuple[tuple[bytes, bytes], ...] = ()


class ExternalZone:
    """One zone: its name in lower-case wire form, and its authority."""

    def __init__(self, name: bytes, options: ExternalOptions) -> None:
        self.name = name
        self.reverse = is_reverse(name)
        fronts = (_SERVER + options.apex, _MAILBOX + options.apex)
        self.authority = Authority(options.ttl_seconds, fronts, options.ttl_seconds)


class ExternalZones:
    """All zones of one ``k8s_external`` directive.

    compiler: of the zones inside of the cluster. It has to learn of changes first.
    clock: the time in seconds since 1970, for the serial number.
    """

    def __init__(self, options: ExternalOptions, compiler: Compiler, clock: Callable[[], float]) -> None:
        self.options = options
        self._compiler = compiler
        self._store = compiler.store
        self._clock = clock
        self._serial = Serial()
        self._zones = sorted(
            (ExternalZone(name, options) for name in dict.fromkeys(options.zones)),
            key=lambda zone: len(zone.name),
            reverse=True,
        )
        self._apex_labels = names.labels(options.apex + names.ROOT)
        self._holders = AddressIndex()
        self._tree = ReverseTree(self._addresses_with_pointer, self._has_pointer)
        for service in self._store.objects("Service"):
            self._holders.update(service.key, set(), _held(service))
        self._servers = self._find_servers()
        if any(self._store.count(kind) for kind in ("Namespace", "Service")):
            self._advance()

    def _advance(self) -> None:
        serial = self._serial.advance(self._clock())
        for zone in self._zones:
            zone.authority.set_serial(serial)

    @property
    def serial(self) -> int:
        """When something last changed that shows in the zones, 0 before the first object; see Serial."""
        return self._serial.number

    def apply(self, changes: ChangeSet) -> bool:
        """Take over what the store has changed. False if nothing of it shows in the zones."""
        relevant = False
        touched: set[str] = set()
        for change in changes:
            old, new = change.old, change.new
            if isinstance(old, Service) or isinstance(new, Service):
                touched |= self._holders.update(change.key, _held(old), _held(new))
                relevant = relevant or self._shown(old) != self._shown(new)
            elif change.kind == "Namespace":
                relevant = True
                self._tree.forget()
            elif self.options.headless and isinstance(new or old, EndpointSlice):
                relevant = relevant or any(self._shows_endpoints(piece) for piece in (old, new))
        self._tree.update(touched)
        servers = self._find_servers()
        if servers != self._servers:
            self._servers = servers
            relevant = True
        if relevant:
            self._advance()
        return relevant

    def _shown(self, item: Object | None) -> tuple[object, ...] | None:
        """What the zones show of a Service; None if they don't."""
        if not isinstance(item, Service):
            return None
        outside = (*item.external_ips, *item.ingress)
        if not outside and not (self.options.headless and item.headless):
            return None
        return outside, tuple((port.name, port.protocol, port.port) for port in item.ports)

    def _shows_endpoints(self, piece: Object | None) -> bool:
        if not isinstance(piece, EndpointSlice):
            return False
        service = self._store.get("Service", (piece.namespace, piece.service))
        return service is not None and service.headless and not service.external_ips and not service.ingress

    # Answers

    def zone_of(self, key: bytes) -> ExternalZone | None:
        """The longest of the zones that the name (lower case) is in."""
        return next((zone for zone in self._zones if names.is_in(key, zone.name)), None)

    def find(self, name: bytes, key: bytes, qtype: int) -> Found:
        """The answer for a name (``key`` is the same in lower case); None if it is in none of the zones."""
        zone = self.zone_of(key)
        if zone is None:
            return None
        front_bytes = len(key) - len(zone.name)
        labels = names.labels(key[:front_bytes] + names.ROOT)
        if not labels:
            return self._at_zone(zone, len(name), qtype)
        if labels[-len(self._apex_labels) :] == self._apex_labels:
            return self._at_apex(zone, labels[: -len(self._apex_labels)], front_bytes, qtype)
        if zone.reverse:
            return self._reverse(zone, key, front_bytes, qtype)
        parsed = parse_external(labels)
        if parsed.kind == "services":
            exists = self._compiler.is_exposed(parsed.namespace)
            return zone.authority.nodata(front_bytes) if exists else zone.authority.nxdomain(front_bytes)
        entry = self.entry(parsed, zone.name) if parsed.kind != "none" else None
        if entry is None:
            return zone.authority.nxdomain(front_bytes)
        if isinstance(entry, Alias):
            return entry
        return self._answer(entry, len(name), qtype) or zone.authority.nodata(front_bytes)

    def failure(self, key: bytes) -> CompiledAnswer | None:
        """SERVFAIL with the SOA record of the name's zone, for names that can't be denied yet."""
        zone = self.zone_of(key)
        return None if zone is None else zone.authority.failure(len(key) - len(zone.name))

    def _answer(self, entry: Entry, name_bytes: int, qtype: int) -> CompiledAnswer | None:
        ttl = self.options.ttl_seconds
        if qtype in (A, AAAA):
            size = 4 if qtype == A else 16
            return encode_addresses((address for address in entry.addresses if len(address) == size), ttl)
        if qtype == SRV and entry.rows:
            start = b"\x00\x00" + schema.srv_weight(len(entry.rows)).to_bytes(2, "big")
            rows = [(start + port.to_bytes(2, "big"), target) for target, port in entry.rows]
            return encode_targets(SRV, rows, entry.glue, name_bytes, ttl)
        return None

    def _at_zone(self, zone: ExternalZone, name_bytes: int, qtype: int) -> CompiledAnswer:
        if qtype == SOA:
            return zone.authority.soa()
        if qtype == NS:
            server = self._server_name(zone)
            glue = [(server, address) for address in self._servers]
            answer = encode_targets(NS, [(b"", server)], glue, name_bytes, self.options.ttl_seconds)
            if answer is not None:
                return answer
        return zone.authority.nodata(0)

    def _server_name(self, zone: ExternalZone) -> bytes:
        # A reverse zone has no names of servers but for its SOA record; they are in the zone that PTR records lead to.
        return _SERVER + self.options.apex + (self.options.primary if zone.reverse else zone.name)

    def _at_apex(self, zone: ExternalZone, front: list[bytes], front_bytes: int, qtype: int) -> CompiledAnswer:
        if front and front != [_SERVER[1:]]:
            return zone.authority.nxdomain(front_bytes)
        answer = self._answer(Entry(self._servers), 0, qtype) if front else None
        return answer or zone.authority.nodata(front_bytes)

    def _reverse(self, zone: ExternalZone, key: bytes, front_bytes: int, qtype: int) -> CompiledAnswer:
        address = parse_reverse(key)
        if address is not None and not is_full(address):
            if self._tree.has_below(address):
                return zone.authority.nodata(front_bytes)
        elif address is not None and self._has_pointer(address):
            answer = None
            if qtype == PTR:
                rows = [(b"", target) for target in self._pointer_targets(address)]
                answer = encode_targets(PTR, rows, (), len(key), self.options.ttl_seconds)
            return answer or zone.authority.nodata(front_bytes)
        return zone.authority.nxdomain(front_bytes)

    def _pointer_targets(self, address: str) -> Iterator[bytes]:
        for namespace, service in self._holders.holders(address):
            if self._compiler.is_exposed(namespace):
                yield owner_name(namespace, service, self.options.primary)

    def _has_pointer(self, address: str) -> bool:
        return any(self._compiler.is_exposed(namespace) for namespace, _ in self._holders.holders(address))

    def _addresses_with_pointer(self) -> Iterable[str]:
        return self._holders.held_in(
            {item.name for item in self._store.objects("Namespace") if self._compiler.is_exposed(item.name)}
        )

    def _find_servers(self) -> tuple[bytes, ...]:
        """Packed addresses of this server outside of the cluster: of the Services that it is an endpoint of, else its
        own.
        """
        found: dict[bytes, None] = {}
        for service, piece in self._compiler.own_services():
            outside = external_addresses(service)
            if not outside and service.headless and self.options.headless:
                outside = [encode_address(endpoint.address) for endpoint in schema.endpoint_addresses((piece,), False)]
            found.update(dict.fromkeys(outside))
        packed = found or map(encode_address, self._compiler.local_addresses)
        return tuple(sorted(packed, key=lambda address: (len(address), address)))

    def entry(self, name: Name, zone: bytes) -> Entry | Alias | None:
        """What a Service's name, or one of an endpoint or port below it, has in a zone; None if it doesn't exist."""
        if not self._compiler.is_exposed(name.namespace):
            return None
        service = self._store.get("Service", (name.namespace, name.service))
        if service is None:
            return None
        suffix = owner_name(name.namespace, name.service, zone)
        addresses, hosts = external_addresses(service), external_hosts(service)
        if not addresses and not hosts:
            return self._endpoint_entry(name, suffix) if self.options.headless and service.headless else None
        ports = [port.port for port in service.ports if schema.matches(port, name)]
        if name.kind == "endpoint" or (name.kind == "port" and not ports):
            return None
        if addresses:
            rows = [(suffix, port) for _ in addresses for port in ports]
            return Entry(tuple(addresses), tuple(rows), tuple((suffix, address) for address in addresses))
        if name.kind == "service":
            return Alias(hosts[0])  # a CNAME stands alone (RFC 1034 section 3.6.2), so there can't be several
        return Entry(rows=tuple((host, port) for host in hosts for port in ports))

    def _endpoint_entry(self, name: Name, suffix: bytes) -> Entry | None:
        if name.kind == "endpoint":
            endpoints = self._compiler.named_endpoints(name.namespace, name.service).get(name.endpoint, [])
        else:
            slices = self._compiler.slices_of(name.namespace, name.service)
            if name.kind == "port":
                slices = tuple(piece for piece in slices if any(schema.matches(port, name) for port in piece.ports))
            endpoints = list(schema.endpoint_addresses(slices, self._compiler.options.endpoint_pod_names))
        if not endpoints:
            return None
        targets = schema.endpoint_targets(endpoints, name)
        labelled = [(endpoint_owner(row.endpoint, suffix), row) for row in targets]
        return Entry(
            tuple(dict.fromkeys(encode_address(endpoint.address) for endpoint in endpoints)),
            tuple((target, row.port) for target, row in labelled),
            tuple((target, encode_address(row.address)) for target, row in labelled),
        )

    # Transfers

    def records(self, name: bytes) -> Iterator[Record]:
        """All records of one of the zones, the SOA record first; as they are when the first one is taken."""
        zone = next(zone for zone in self._zones if zone.name == name)
        below = [other.name for other in self._zones if other is not zone and names.is_in(other.name, name)]
        held = list(self._reverse_records(zone) if zone.reverse else self._forward_records(zone))
        self._serial.give()
        yield zone.authority.record(name)
        yield Record(name, NS, self.options.ttl_seconds, self._server_name(zone))
        yield from self._address_records(_SERVER + self.options.apex + name, self._servers)
        for record in held:
            if not any(names.is_in(record.name, other) for other in below):
                yield record
        for other in self._zones:
            if other.name in below and not any(
                names.is_in(other.name, nearer) for nearer in below if nearer != other.name
            ):
                yield Record(other.name, NS, self.options.ttl_seconds, self._server_name(other))
                if not other.reverse:
                    yield from self._address_records(self._server_name(other), self._servers)

    def _address_records(self, owner: bytes, addresses: Iterable[bytes]) -> Iterator[Record]:
        for address in addresses:
            yield Record(owner, A if len(address) == 4 else AAAA, self.options.ttl_seconds, address)

    def _forward_records(self, zone: ExternalZone) -> Iterator[Record]:
        for service in self._store.objects("Service"):
            for name in self._names_of(service):
                owner = owner_name(service.namespace, service.name, zone.name)
                if name.kind == "endpoint":
                    owner = endpoint_owner(name.endpoint, owner)
                elif name.kind == "port":
                    owner = port_owner(name, owner)
                hidden = owner.endswith(self.options.apex + zone.name)  # by what is below the apex
                entry = None if hidden or len(owner) > MAX_NAME_BYTES else self.entry(name, zone.name)
                if isinstance(entry, Alias):
                    yield Record(owner, CNAME, self.options.ttl_seconds, entry.target)
                elif entry is not None:
                    yield from self._address_records(owner, entry.addresses)
                    yield from srv_records(owner, list(entry.rows), self.options.ttl_seconds)

    def _names_of(self, service: Service) -> Iterator[Name]:
        """The names that a Service may have."""
        namespace, name = service.namespace, service.name
        yield Name("service", namespace, name)
        ports: list[EndpointPort | ServicePort] = list(service.ports)
        if self.options.headless and service.headless:
            for piece in self._compiler.slices_of(namespace, name):
                ports.extend(piece.ports)
            for label in self._compiler.named_endpoints(namespace, name):
                yield Name("endpoint", namespace, name, label)
        for port in port_names(ports):
            yield Name("port", namespace, name, port=port.port, protocol=port.protocol)

    def _reverse_records(self, zone: ExternalZone) -> Iterator[Record]:
        for address in sorted(self._addresses_with_pointer()):
            owner = reverse_name(address)
            if names.is_in(owner, zone.name):
                for target in self._pointer_targets(address):
                    yield Record(owner, PTR, self.options.ttl_seconds, target)


def parse_external(labels: list[bytes]) -> Name:
    """What the labels (lower case, leftmost first, without the zone) stand for."""
    # Latin-1 takes every octet; what isn't ASCII then equals no name of an object.
    texts = [label.decode("latin-1") for label in labels]
    match texts:
        case [namespace]:
            return Name("services", namespace)
        case [service, namespace]:
            return Name("service", namespace, service)
        case [endpoint, service, namespace]:
            return Name("endpoint", namespace, service, endpoint)
        case [port, protocol, service, namespace]:
            return Name("port", namespace, service, "", port.removeprefix("_"), protocol.removeprefix("_"))
    return Name("none")


def owner_name(namespace: str, service: str, zone: bytes) -> bytes:
    """The name of a Service in a zone outside of the cluster."""
    return names.from_labels([service.encode(), namespace.encode()], zone)


def external_addresses(service: Service) -> list[bytes]:
    """Packed: spec.externalIPs, then those of the load balancer; each once."""
    texts = (*service.external_ips, *service.ingress)
    return list(dict.fromkeys(encode_address(text) for text in texts if address_family(text)))


def external_hosts(service: Service) -> list[bytes]:
    """The host names of the load balancer, as full names."""
    hosts = (text for text in service.ingress if not address_family(text))
    return list(dict.fromkeys(names.from_text(host.removesuffix(".") + ".") for host in hosts))


def _held(item: Object | None) -> set[str]:
    """The index keys of the addresses that a Service has outside of the cluster."""
    if not isinstance(item, Service):
        return set()
    return {address_key(text) for text in (*item.external_ips, *item.ingress) if address_family(text)}
