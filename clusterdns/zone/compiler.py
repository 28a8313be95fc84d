# SPDX-License-Identifier: Apache-2.0
"""The cluster as DNS data: store changes in, what they touch out; and answers for names, made when first asked for.

Theory of operation. The store is the one copy of the objects. The compiler adds what the store can't be asked: which
objects hold an address (for PTR, NS and Pod names). ``apply`` brings those indexes up to date from a change set's old
and new objects, and names the Services whose compiled answers are void. Answers are compiled from the objects on the
first query after a change: most Services of a cluster are never asked for, and to compile all of 10,000 Services with
10 endpoints each ahead of time would take half a second and 15 MiB. The ``Snapshot`` keeps what was compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

import msgspec

from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.objects import EndpointSlice, Key, Kind, Namespace, Object, Pod, Service
from clusterdns.cluster.store import Store
from clusterdns.dns import names
from clusterdns.dns.types import NS, PTR, SRV
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.zone import schema
from clusterdns.zone.addresses import address_key, encode_address, is_publishable
from clusterdns.zone.encode import TargetAnswer, encode_addresses, encode_targets
from clusterdns.zone.index import AddressIndex, ReverseTree
from clusterdns.zone.schema import Name

PodMode = Literal["disabled", "insecure", "verified"]

MAX_NAMED_ENDPOINTS = 65536
"""Endpoints kept by name, some 200 bytes each; when there are more it starts anew."""

NAMESERVER_LABELS = b"\x02ns\x03dns"
"""Of the server's name where no Service is known that leads to it."""


class ZoneOptions(msgspec.Struct, frozen=True):
    """What the zones hold.

    zones: in lower-case wire form, in the order given.
    primary: the zone that PTR targets are in.
    ttl_seconds: of all records but the version's.
    pods: which names below ``pod`` exist.
    endpoint_pod_names: endpoints without a hostname are named after their Pod.
    endpoints: False leaves out everything that is made from EndpointSlices.
    namespaces: the only ones that are served; None for all.
    ignore_empty: Services with a clusterIP and no ready endpoint don't exist.
    zonal: endpoints in a zone of the topology have names.
    terminating_fallback: a Service without ready endpoints is served by those that terminate and still serve.
    imported: those of the zones whose Services are what clusters of a set export to each other.
    clustered: the names of endpoints end in that of their cluster.
    """

    zones: tuple[bytes, ...]
    primary: bytes
    ttl_seconds: int = 5
    pods: PodMode = "disabled"
    endpoint_pod_names: bool = False
    endpoints: bool = True
    namespaces: frozenset[str] | None = None
    ignore_empty: bool = False
    zonal: bool = False
    terminating_fallback: bool = True
    imported: tuple[bytes, ...] = ()
    clustered: bool = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of objects that the zones are made from."""
        kinds: tuple[Kind, ...] = ("Namespace", "Service")
        if self.endpoints:
            kinds += ("EndpointSlice",)
        if self.imported:
            kinds += ("ServiceImport",)
        return (*kinds, "Pod") if self.pods == "verified" else kinds


class Delta(msgspec.Struct, frozen=True):
    """What a change set touches: Services and namespaces whose compiled answers are void."""

    services: frozenset[Key]
    namespaces: frozenset[str]


class View:
    """The compiled answers of one existing name: addresses, and SRV by zone; None where the name has no such record."""

    __slots__ = ("a", "aaaa", "name", "services")

    def __init__(self, name: Name, a: CompiledAnswer | None = None, aaaa: CompiledAnswer | None = None) -> None:
        self.name = name
        self.a = a
        self.aaaa = aaaa
        self.services: dict[bytes, TargetAnswer | None] | None = None

    @property
    def body_bytes(self) -> int:
        """Octets of all its answers."""
        answers = (self.a, self.aaaa, *(self.services or {}).values())
        return sum([len(answer.body) for answer in answers if answer is not None])


class Alias(msgspec.Struct, frozen=True, gc=False):
    """The name is a CNAME; ``target`` is a full name, as the object spells it."""

    target: bytes


class Compiler:
    """The indexes over a store, and the making of answers.

    local_addresses: the addresses (text) that this server may be reached at.
    """

    def __init__(self, options: ZoneOptions, store: Store, local_addresses: tuple[str, ...] = ()) -> None:
        self.options = options
        self.store = store
        self.local_addresses = tuple(filter(is_publishable, local_addresses))
        self._kinds = frozenset(options.kinds)
        self._services = AddressIndex()
        self._endpoints = AddressIndex()
        self._pods = AddressIndex()
        self._by_name: dict[Key, dict[str, list[schema.EndpointAddress]]] = {}
        self._named_endpoints = 0
        self._tree = ReverseTree(self._addresses_with_pointer, self.has_pointer)
        for kind in ("Service", "EndpointSlice", "Pod"):
            if kind in self._kinds:
                for item in store.objects(kind):
                    self._index(None, item)

    def apply(self, changes: ChangeSet) -> Delta | None:
        """Take over what the store has changed; None if nothing of it shows in the zones."""
        services: set[Key] = set()
        namespaces: set[str] = set()
        relevant = False
        touched: set[str] = set()
        for change in changes:
            if change.kind not in self._kinds:
                continue
            addresses = self._index(change.old, change.new)
            touched |= addresses
            # Names have nothing of a Pod but its addresses.
            if not addresses and (change.kind == "Pod" or _looks_the_same(change.old, change.new)):
                continue
            relevant = True
            for item in (change.old, change.new):
                if isinstance(item, Namespace):
                    namespaces.add(item.name)
                elif isinstance(item, Service):
                    services.add(item.key)
                elif isinstance(item, EndpointSlice):
                    services.add((item.namespace, item.service))
        if not relevant:
            return None
        for key in services:
            self._named_endpoints -= len(self._by_name.pop(key)) + 1 if key in self._by_name else 0
        if namespaces:
            self._tree.forget()
        self._tree.update(touched)
        return Delta(frozenset(services), frozenset(namespaces))

    def _index(self, old: Object | None, new: Object | None) -> set[str]:
        item = new or old
        index = self._services
        if isinstance(item, EndpointSlice):
            index = self._endpoints
        elif isinstance(item, Pod):
            index = self._pods
        elif not isinstance(item, Service):
            return set()
        return index.update(item.key, held_addresses(old), held_addresses(new))

    def is_exposed(self, namespace: str) -> bool:
        """True if the namespace exists and is served."""
        allowed = self.options.namespaces
        if allowed is not None and namespace not in allowed:
            return False
        return self.store.get("Namespace", ("", namespace)) is not None

    def compile_service(self, name: Name) -> View | Alias | None:
        """The answers of a Service's name, or of one of an endpoint or port below it; None if it doesn't exist."""
        if not self.is_exposed(name.namespace):
            return None
        service = self.store.get("Service", (name.namespace, name.service))
        if service is None:
            return None
        if service.type == "ExternalName":
            target = schema.external_name(service) if name.kind == "service" else None
            return Alias(names.from_text(target)) if target else None
        if name.kind == "endpoint" or service.headless:
            return self._compile_endpoints(name)
        if name.kind == "zonal":
            return None
        if self.options.ignore_empty and not schema.has_ready(self._slices(name)):
            return None
        if name.kind == "port" and not any(schema.matches(port, name) for port in service.ports):
            return None
        return self._view(name, schema.cluster_addresses(service))

    def _compile_endpoints(self, name: Name) -> View | Alias | None:
        endpoints = list(self._endpoint_addresses(name))
        if endpoints:
            return self._view(name, [endpoint.address for endpoint in endpoints])
        if name.kind == "zonal" and not name.others_too:
            return View(name)
        if name.kind != "service":
            return None
        hosts = schema.host_names(self._slices(name))
        if not hosts:
            return None
        # A CNAME stands alone (RFC 1034 section 3.6.2): one name in slices of type FQDN has an answer, several don't.
        return Alias(names.from_text(hosts[0].removesuffix(".") + ".")) if len(hosts) == 1 else View(name)

    def _view(self, name: Name, addresses: list[str]) -> View:
        ttl = self.options.ttl_seconds
        return View(
            name,
            encode_addresses([encode_address(text) for text in addresses if ":" not in text], ttl),
            encode_addresses([encode_address(text) for text in addresses if ":" in text], ttl),
        )

    def slices_of(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """The slices of a Service, with those endpoints ready that are answered."""
        if not self.options.endpoints:
            return ()
        slices = self.store.slices_of(namespace, service)
        return schema.served(slices) if self.options.terminating_fallback else slices

    def _slices(self, name: Name) -> tuple[EndpointSlice, ...]:
        slices = self.slices_of(name.namespace, name.service)
        if name.kind != "zonal":
            return slices
        near = schema.in_topology_zone(slices, name.topology)
        return slices if name.others_too and not schema.has_ready(near) else near

    def _endpoint_addresses(self, name: Name) -> Iterator[schema.EndpointAddress]:
        slices: Iterable[EndpointSlice] = self._slices(name)
        if name.kind == "endpoint":
            return iter(self.named_endpoints(name.namespace, name.service).get(name.endpoint, ()))
        if name.kind == "port":
            slices = [piece for piece in slices if any(schema.matches(port, name) for port in piece.ports)]
        return schema.endpoint_addresses(slices, self.options.endpoint_pod_names)

    def named_endpoints(self, namespace: str, service: str) -> dict[str, list[schema.EndpointAddress]]:
        """The endpoints of a Service by name, so that made-up names below a large one cost no walk through it."""
        key = (namespace, service)
        named = self._by_name.get(key)
        if named is None:
            named = {}
            slices = self.slices_of(namespace, service)
            for endpoint in schema.endpoint_addresses(slices, self.options.endpoint_pod_names):
                named.setdefault(endpoint.name, []).append(endpoint)
            if self._named_endpoints > MAX_NAMED_ENDPOINTS:
                self._by_name.clear()
                self._named_endpoints = 0
            self._by_name[key] = named
            self._named_endpoints += len(named) + 1
        return named

    def compile_services(self, name: Name, zone: bytes, name_bytes: int) -> TargetAnswer | None:
        """SRV of an existing name, whose length is ``name_bytes``; targets end in ``zone``. None without any."""
        service = self.store.get("Service", (name.namespace, name.service))
        if service is None:
            return None
        if name.kind == "endpoint" or service.headless:
            rows = schema.endpoint_targets(self._endpoint_addresses(name), name)
        else:
            rows = schema.service_targets(service, name)
        if not rows:
            return None
        start = b"\x00\x00" + schema.srv_weight(len(rows)).to_bytes(2, "big")
        suffix = service_name(service.namespace, service.name, zone)
        targets = [endpoint_owner(row.endpoint, suffix) if row.endpoint else suffix for row in rows]
        return encode_targets(
            SRV,
            [(start + row.port.to_bytes(2, "big"), target) for row, target in zip(rows, targets, strict=True)],
            [(target, encode_address(row.address)) for row, target in zip(rows, targets, strict=True)],
            name_bytes,
            self.options.ttl_seconds,
        )

    def compile_pod(self, name: Name) -> View | None:
        """The answers of a Pod's name; None if it doesn't exist."""
        if self.options.pods == "disabled" or not self.is_exposed(name.namespace):
            return None
        address = schema.pod_address(name.endpoint)
        if address is None:
            return None
        if self.options.pods == "verified":
            holders = self._pods.holders(address_key(address))
            if not any(namespace == name.namespace for namespace, _ in holders):
                return None
        return self._view(name, [address])

    def pod_at(self, address: str) -> Pod | None:
        """The Pod with that address (as text), with ``pods verified``; None if it has none, or is not the only one.

        Pods in the network of their node share its address with whatever runs there, so they don't count.
        """
        pods = [self.store.get("Pod", key) for key in self._pods.holders(address_key(address))]
        return pods[0] if len(pods) == 1 and pods[0] is not None and not pods[0].host_network else None

    def is_cluster_address(self, address: str) -> bool:
        """True if the address (an index key) is the clusterIP of a Service that is served."""
        return any(self.is_exposed(namespace) for namespace, _ in self._services.holders(address))

    def has_pointer(self, address: str) -> bool:
        """True if the address (an index key) has a PTR record."""
        holders = chain(self._services.holders(address), self._endpoints.holders(address))
        return any(self.is_exposed(namespace) for namespace, _ in holders)

    def _addresses_with_pointer(self) -> Iterator[str]:
        exposed = {item.name for item in self.store.objects("Namespace") if self.is_exposed(item.name)}
        return chain(self._services.held_in(exposed), self._endpoints.held_in(exposed))

    def has_pointer_below(self, prefix: str) -> bool:
        """True if an address with that prefix of its index key has a PTR record."""
        return self._tree.has_below(prefix)

    def compile_pointers(self, address: str, name_bytes: int) -> CompiledAnswer | None:
        """PTR of an address (an index key); None without any."""
        rows = [(b"", target) for target in self._pointer_names(address)]
        return encode_targets(PTR, rows, (), name_bytes, self.options.ttl_seconds)

    def _pointer_names(self, address: str) -> Iterator[bytes]:
        """The first Service with that clusterIP, or else all endpoints with that address."""
        primary = self.options.primary
        for namespace, service in self._services.holders(address):
            if self.is_exposed(namespace):
                yield service_name(namespace, service, primary)
                return
        for piece in self._slices_holding(address):
            if not self.is_exposed(piece.namespace):
                continue
            suffix = service_name(piece.namespace, piece.service, primary)
            for endpoint in schema.endpoint_addresses((piece,), self.options.endpoint_pod_names):
                if address_key(endpoint.address) == address:
                    yield endpoint_owner(endpoint.name, suffix)

    def _slices_holding(self, address: str) -> Iterator[EndpointSlice]:
        for key in self._endpoints.holders(address):
            piece = self.store.get("EndpointSlice", key)
            if piece is not None:
                yield piece

    def own_services(self) -> Iterator[tuple[Service, EndpointSlice]]:
        """The Services that this server is an endpoint of, each with the slice that says so."""
        for local in self.local_addresses:
            for piece in self._slices_holding(address_key(local)):
                service = self.store.get("Service", (piece.namespace, piece.service))
                if service is not None:
                    yield service, piece

    def nameservers(self, zone: bytes) -> list[tuple[bytes, bytes]]:
        """The names of this server in a zone, each with an address: those of the Services that it is an endpoint of.

        ``namespaces`` does not apply: the DNS Service is found in every configuration. Without such a Service the name
        is ``ns.dns``, with this machine's addresses.
        """
        found: dict[tuple[bytes, bytes], None] = {}
        for service, piece in self.own_services():
            suffix = service_name(service.namespace, service.name, zone)
            if service.headless:
                for endpoint in schema.endpoint_addresses((piece,), self.options.endpoint_pod_names):
                    target = endpoint_owner(endpoint.name, suffix)
                    found[target, encode_address(endpoint.address)] = None
            else:
                found.update(
                    dict.fromkeys((suffix, encode_address(text)) for text in schema.cluster_addresses(service))
                )
        if not found:
            name = NAMESERVER_LABELS + zone
            found.update(dict.fromkeys((name, encode_address(text)) for text in self.local_addresses))
        return sorted(found)

    def compile_nameserver(self, zone: bytes) -> View:
        """The addresses at ``ns.dns``, whatever the servers' names are."""
        addresses = [address for _, address in self.nameservers(zone)]
        ttl = self.options.ttl_seconds
        return View(
            Name("nameserver"),
            encode_addresses([address for address in addresses if len(address) == 4], ttl),
            encode_addresses([address for address in addresses if len(address) == 16], ttl),
        )

    def compile_nameservers(self, zone: bytes, name_bytes: int) -> CompiledAnswer | None:
        """NS records whose targets end in ``zone``."""
        glue = self.nameservers(zone)
        targets = [target for target, _ in glue] or [NAMESERVER_LABELS + zone]
        return encode_targets(NS, [(b"", target) for target in targets], glue, name_bytes, self.options.ttl_seconds)


def endpoint_owner(endpoint: str, service: bytes) -> bytes:
    """The name of an endpoint, as it is called below its Service."""
    return names.from_labels(endpoint.encode().split(b"."), service)


def service_name(namespace: str, service: str, zone: bytes) -> bytes:
    """The name of a Service in a zone."""
    return b"".join(
        (
            bytes((len(service),)),
            service.encode(),
            bytes((len(namespace),)),
            namespace.encode(),
            b"\x03svc",
            zone,
        )
    )


def _looks_the_same(old: Object | None, new: Object | None) -> bool:
    """True for a Service of which only such has changed as no name in the zones shows."""
    if not isinstance(old, Service) or not isinstance(new, Service):
        return False
    return _shown(old) == _shown(new)


def _shown(service: Service) -> tuple[object, ...]:
    ports = [(port.name, port.protocol, port.port) for port in service.ports]
    return service.type == "ExternalName", service.cluster_ips, service.external_name, ports


def held_addresses(item: Object | None) -> set[str]:
    """The index keys of the addresses that an object holds: clusterIPs, ready endpoints of a Service, a Pod's IPs."""
    if isinstance(item, Service):
        if item.headless or item.type == "ExternalName":
            return set()
        return {address_key(address) for address in item.cluster_ips if address}
    if isinstance(item, EndpointSlice):
        if item.address_type == "FQDN" or not item.service:
            return set()
        return {address_key(address) for endpoint in item.endpoints if endpoint.ready for address in endpoint.addresses}
    if isinstance(item, Pod):
        return {address_key(address) for address in item.ips}
    return set()
