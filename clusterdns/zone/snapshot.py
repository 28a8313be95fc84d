# SPDX-License-Identifier: Apache-2.0
"""The zones as they are now: a name and a type in, a compiled answer out.

Only names that exist are kept compiled, so that no stream of made-up names can fill the memory; what does not exist is
answered from a table of denials that all names of a zone share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.objects import Key, Kind, Pod
from clusterdns.cluster.store import Store
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, NS, PTR, SOA, SRV, TXT, A
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.zone import dependence, schema
from clusterdns.zone.addresses import IN_ADDR, IP6, is_full, parse_reverse
from clusterdns.zone.authority import Authority
from clusterdns.zone.compiler import Alias, Compiler, View, ZoneOptions
from clusterdns.zone.contents import ForwardContents, ReverseContents
from clusterdns.zone.encode import encode_text
from clusterdns.zone.schema import Name
from clusterdns.zone.serial import Serial

MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
"""What compiled names may take: the Services of a large cluster fit. Beyond it all are forgotten, and made again."""

VIEW_BYTES: Final = 768
"""What a name takes beside the bodies of its answers, measured."""

Found: TypeAlias = CompiledAnswer | Alias | None

_VERSION: Final = encode_text(schema.VERSION, schema.VERSION_TTL_SECONDS)
_ARPA: Final = names.from_text("arpa.")


class Zone:
    """One zone: its name in lower-case wire form, and its authority."""

    __slots__ = ("authority", "name", "reverse", "size")

    def __init__(self, name: bytes, ttl_seconds: int) -> None:
        self.name = name
        self.size = len(name)
        self.reverse = is_reverse(name)
        self.authority = Authority(ttl_seconds)


class Snapshot:
    """All zones of one ``kubernetes`` directive.

    clock: the time in seconds since 1970, for the serial number.
    """

    def __init__(
        self,
        options: ZoneOptions,
        store: Store,
        clock: Callable[[], float],
        local_addresses: tuple[str, ...] = (),
    ) -> None:
        self.options = options
        self._serial = Serial()
        self._store = store
        self._clock = clock
        self._kinds = frozenset(options.kinds)
        self.compiler = Compiler(options, store, local_addresses)
        self._zones = sorted(
            (Zone(name, options.ttl_seconds) for name in dict.fromkeys(options.zones)),
            key=lambda zone: zone.size,
            reverse=True,
        )
        self._views: dict[bytes, View | Alias] = {}
        self._names_of: dict[Key, list[bytes]] = {}
        self._kept_bytes = 0
        if any(store.count(kind) for kind in options.kinds):
            self._bump_serial()

    @property
    def synced(self) -> bool:
        """True once every kind that the zones are made from has been listed."""
        return self._kinds <= self._store.synced

    def unread(self, key: bytes, qtype: int) -> tuple[Kind, ...]:
        """The kinds that the answer for a name (lower case) depends on and that haven't been listed yet."""
        zone = self.zone_of(key)
        labels = split_labels(key[: -zone.size]) if zone is not None else None
        if zone is None or labels is None:
            return ()
        name = self._parse(zone, labels)
        if name.kind == "apex":
            needed = dependence.ENDPOINTS if qtype == NS else frozenset()
        elif name.kind == "none" and key.endswith(_ARPA):
            needed = dependence.SERVICES if self._is_cluster_address(key) else dependence.ENDPOINTS
        else:
            service = self._store.get("Service", (name.namespace, name.service)) if name.service else None
            needed = dependence.kinds_behind(name, service, needs_endpoint=self.options.ignore_empty)
            known = "Namespace" in self._store.synced
            if name.namespace and known and not self.compiler.is_exposed(name.namespace):
                needed = frozenset()
        synced = self._store.synced
        return tuple(kind for kind in self.options.kinds if kind in needed and kind not in synced)

    def _parse(self, zone: Zone, labels: list[bytes]) -> Name:
        if zone.reverse and labels:
            return schema.parse_nameserver(labels)
        return schema.parse_name(labels, zonal=self.options.zonal, clustered=self.options.clustered)

    def _is_cluster_address(self, key: bytes) -> bool:
        address = parse_reverse(key)
        return address is not None and is_full(address) and self.compiler.is_cluster_address(address)

    def apply(self, changes: ChangeSet) -> bool:
        """Take over what the store has changed. False if nothing of it shows in the zones."""
        delta = self.compiler.apply(changes)
        if delta is None:
            return False
        for key in delta.services:
            self._drop(key)
        if delta.namespaces:
            for key in [key for key in self._names_of if key[0] in delta.namespaces]:
                self._drop(key)
        self._bump_serial()
        return True

    def _drop(self, key: Key) -> None:
        for relative in self._names_of.pop(key, ()):
            self._kept_bytes -= size_of(self._views.pop(relative))

    def _bump_serial(self) -> None:
        serial = self._serial.advance(self._clock())
        for zone in self._zones:
            zone.authority.set_serial(serial)

    @property
    def serial(self) -> int:
        """When something last changed that shows in the zones, 0 before the first object; see Serial."""
        return self._serial.number

    def records(self, name: bytes) -> Iterator[Record]:
        """All records of one of the zones, the SOA record first; as they are when the first one is taken."""
        zone = next(zone for zone in self._zones if zone.name == name)
        contents = (ReverseContents if zone.reverse else ForwardContents)(self.compiler, name)
        self._serial.give()
        yield zone.authority.record(name)
        below = [other for other in self._zones if other is not zone and names.is_in(other.name, name)]
        if not below:
            yield from contents
            return
        for record in contents:
            if not any(names.is_in(record.name, other.name) for other in below):
                yield record
        for other in below:
            if not any(names.is_in(other.name, nearer.name) for nearer in below if nearer is not other):
                yield from self._delegation(other)

    def _delegation(self, zone: Zone) -> Iterator[Record]:
        """What the zone above says of a zone that is served here as well (RFC 1034 section 4.2.1)."""
        ttl_seconds = self.options.ttl_seconds
        servers = self.compiler.nameservers(self.options.primary if zone.reverse else zone.name)
        for target in dict.fromkeys(target for target, _ in servers):
            yield Record(zone.name, NS, ttl_seconds, target)
        for target, address in servers:
            if names.is_in(target, zone.name):
                yield Record(target, A if len(address) == 4 else AAAA, ttl_seconds, address)

    def find(self, name: bytes, key: bytes, qtype: int) -> Found:
        """The answer for a name (``key`` is the same in lower case); None if it is in none of the zones."""
        for zone in self._zones:
            if not key.endswith(zone.name):
                continue
            relative = key[: -zone.size]
            view = None if zone.reverse else self._views.get(relative)
            if view is None:
                labels = split_labels(relative)
                if labels is None:
                    continue
                return self._find_new(zone, name, key, relative, labels, qtype)
            if type(view) is Alias:
                return view
            return self._answer(zone, view, name, len(relative), qtype)
        return None

    def zone_of(self, key: bytes) -> Zone | None:
        """The longest of the zones that the name (lower case) is in."""
        return next((zone for zone in self._zones if names.is_in(key, zone.name)), None)

    def pod_at(self, address: str) -> Pod | None:
        """The Pod that has the address (as text) alone, see Compiler."""
        return self.compiler.pod_at(address)

    def failure(self, key: bytes) -> CompiledAnswer | None:
        """SERVFAIL with the SOA record of the name's zone, for names that can't be denied yet."""
        zone = self.zone_of(key)
        return None if zone is None else zone.authority.failure(len(key) - zone.size)

    def _answer(self, zone: Zone, view: View | Alias, name: bytes, front_bytes: int, qtype: int) -> CompiledAnswer:
        assert isinstance(view, View)
        if qtype == A:
            answer = view.a
        elif qtype == AAAA:
            answer = view.aaaa
        elif qtype == SRV:
            answer = self._services(zone, view, name, front_bytes)
        else:
            answer = None
        return answer or zone.authority.nodata(front_bytes)

    def _services(self, zone: Zone, view: View, name: bytes, front_bytes: int) -> CompiledAnswer | None:
        if view.name.kind not in ("service", "endpoint", "port", "zonal"):
            return None
        if view.services is None:
            view.services = {}
        if zone.name not in view.services:
            answer = self.compiler.compile_services(view.name, zone.name, len(name))
            view.services[zone.name] = answer
            self._kept_bytes += len(answer.body) if answer is not None else 0
        answer = view.services[zone.name]
        suffix = name[front_bytes:]
        # Targets have the zone's letters as asked; few ask in capitals, so that isn't kept.
        return answer if answer is None or suffix == zone.name else answer.with_zone(suffix)

    def _find_new(
        self, zone: Zone, name: bytes, key: bytes, relative: bytes, labels: list[bytes], qtype: int
    ) -> CompiledAnswer | Alias:
        authority = zone.authority
        front_bytes = len(relative)
        parsed = self._parse(zone, labels)
        if parsed.kind == "apex":
            return self._apex(zone, name, key, qtype)
        if parsed.kind == "none" and key.endswith(_ARPA):
            return self._reverse(zone, key, front_bytes, qtype)
        if parsed.kind == "version" and qtype == TXT:
            return _VERSION
        view = self._view(zone, relative, parsed)
        if view is None:
            return authority.nxdomain(front_bytes)
        if isinstance(view, Alias):
            return view
        return self._answer(zone, view, name, front_bytes, qtype)

    def _view(self, zone: Zone, relative: bytes, name: Name) -> View | Alias | None:
        compiler = self.compiler
        kind = name.kind
        if kind == "zonal":
            return compiler.compile_service(name)  # not kept: any zone's name may exist
        if kind in ("service", "endpoint", "port"):
            view = compiler.compile_service(name)
            if view is not None:
                self._keep(relative, (name.namespace, name.service), view)
            return view
        if kind == "pod":
            return compiler.compile_pod(name)
        if kind in ("services", "pods"):
            exists = compiler.is_exposed(name.namespace) and (kind == "services" or self.options.pods != "disabled")
            return View(name) if exists else None
        if kind == "nameserver":
            return compiler.compile_nameserver(zone.name)
        return None if kind == "none" else View(name)

    def _keep(self, relative: bytes, key: Key, view: View | Alias) -> None:
        if self._kept_bytes > MAX_KEPT_BYTES:
            self._views.clear()
            self._names_of.clear()
            self._kept_bytes = 0
        self._views[relative] = view
        self._names_of.setdefault(key, []).append(relative)
        self._kept_bytes += size_of(view)

    def _apex(self, zone: Zone, name: bytes, key: bytes, qtype: int) -> CompiledAnswer:
        if qtype == SOA:
            return zone.authority.soa()
        if qtype == NS:
            # A reverse zone has no names of servers; they are in the zone that PTR records lead to.
            targets = self.options.primary if zone.reverse else name
            answer = self.compiler.compile_nameservers(targets, len(name))
            if answer is not None:
                return answer
        return zone.authority.nodata(0)

    def _reverse(self, zone: Zone, key: bytes, front_bytes: int, qtype: int) -> CompiledAnswer:
        address = parse_reverse(key)
        if address is not None and not is_full(address):
            if self.compiler.has_pointer_below(address):
                return zone.authority.nodata(front_bytes)
        elif address is not None and self.compiler.has_pointer(address):
            answer = self.compiler.compile_pointers(address, len(key)) if qtype == PTR else None
            return answer or zone.authority.nodata(front_bytes)
        return zone.authority.nxdomain(front_bytes)


def size_of(view: View | Alias) -> int:
    """Octets that a kept name takes."""
    return VIEW_BYTES + (view.body_bytes if isinstance(view, View) else 0)


def is_reverse(zone: bytes) -> bool:
    """True for zones of the reverse tree, ``in-addr.arpa`` and ``ip6.arpa`` included."""
    return names.is_in(zone, IN_ADDR) or names.is_in(zone, IP6)


def split_labels(relative: bytes) -> list[bytes] | None:
    """The labels of a name that was cut off in front of a zone; None if the cut went through a label."""
    result = []
    position = 0
    size = len(relative)
    while position < size:
        end = position + 1 + relative[position]
        result.append(relative[position + 1 : end])
        position = end
    return result if position == size else None
