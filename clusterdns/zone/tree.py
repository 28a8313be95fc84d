# SPDX-License-Identifier: Apache-2.0
"""A zone as it is written in a zone file or transferred, ready for look-ups (``zone.lookup``).

Every name of the zone is a key, names without records of their own (empty non-terminals) included, so that walking
down from the apex finds the closest encloser, cuts and DNAMEs in one pass. Keys and owners are in lower case, as
CoreDNS gives them; names in the data keep their letters. A zone doesn't change once it is built.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, TypeAlias

from clusterdns.dns import names
from clusterdns.dns.types import CNAME, IN, NS, SOA, type_text
from clusterdns.dns.wire import Record
from clusterdns.errors import MasterFileError, WireError

DNAME: Final = 39
RRSIG: Final = 46
NSEC: Final = 47
NSEC3: Final = 50
NSEC3PARAM: Final = 51

_SOA_NUMBERS: Final = Struct("!5I")
_LEAST_SOA_BYTES: Final = 22

_NEVER_EMPTY: Final = frozenset((NS, CNAME, SOA, DNAME, RRSIG))
"""Types whose data is looked into."""

MAX_WARNINGS: Final = 10

_LARGE_SET: Final = 32
"""Records of a set from which on repetitions are looked for in a table."""

RecordSet: TypeAlias = tuple[Record, ...]


class Node:
    """A name. ``sets`` are its record sets by type, ``signatures`` its RRSIGs by the type that they cover."""

    __slots__ = ("name", "sets", "signatures")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.sets: dict[int, RecordSet] = {}
        self.signatures: dict[int, RecordSet] = {}

    def signed(self, rtype: int, do: bool) -> RecordSet:
        """The records of a type, and the signatures over them for a client that wants those."""
        records = self.sets.get(rtype, ())
        return records + self.signatures.get(rtype, ()) if do and records else records


class Zone:
    """A whole zone.

    origin: its name, lower case.
    nodes: all of its names.
    warnings: what was left out or surely isn't meant, MAX_WARNINGS at most.
    size: number of records.
    """

    def __init__(self, origin: bytes) -> None:
        self.origin = origin
        self.apex = Node(origin)
        self.nodes: dict[bytes, Node] = {origin: self.apex}
        self.warnings: list[str] = []
        self.size = 0
        self._chain: tuple[list[tuple[bytes, ...]], list[Node]] | None = None

    @property
    def soa(self) -> Record:
        """The SOA record."""
        return self.apex.sets[SOA][0]

    @property
    def serial(self) -> int:
        """The serial number in the SOA record."""
        return soa_numbers(self.soa.data)[0]

    def records(self) -> Iterator[Record]:
        """All records, the SOA record first, then the other ones of the apex."""
        yield self.soa
        for node in self.nodes.values():
            for rtype, records in node.sets.items():
                if rtype != SOA:
                    yield from records

    def denial(self, name: bytes) -> Node | None:
        """The node whose NSEC record covers a name of the zone, or is at it; None if the zone has no NSEC records."""
        if NSEC not in self.apex.sets:
            return None
        if self._chain is None:
            ordered = sorted((n for n in self.nodes.values() if NSEC in n.sets), key=lambda n: canonical(n.name))
            self._chain = ([canonical(node.name) for node in ordered], ordered)
        keys, ordered = self._chain
        return ordered[bisect_right(keys, canonical(name)) - 1]


def canonical(name: bytes) -> tuple[bytes, ...]:
    """A lower-case name as a key that sorts in canonical order (RFC 4034 section 6.1)."""
    return tuple(reversed(names.labels(name)))


def soa_numbers(data: bytes) -> tuple[int, int, int, int, int]:
    """Serial, refresh, retry, expire and minimum of a SOA record's data. Raises WireError if it is too short."""
    if len(data) < _LEAST_SOA_BYTES:
        raise WireError("SOA record is shorter than its type says")
    serial, refresh, retry, expire, minimum = _SOA_NUMBERS.unpack(data[-_SOA_NUMBERS.size :])
    return serial, refresh, retry, expire, minimum


def is_newer(serial: int, than: int) -> bool:
    """True if a serial number comes after another one (RFC 1982 section 3.2)."""
    return serial != than and (serial - than) & 0xFFFFFFFF < 0x80000000


class ZoneBuilder:
    """Makes a zone of records that come one by one."""

    def __init__(self, origin: bytes) -> None:
        self._zone = Zone(origin.lower())
        self._node = self._zone.apex
        self._large: dict[tuple[bytes, int], dict[bytes, Record]] = {}

    def add(self, record: Record) -> None:
        """Take a record in. Raises MasterFileError for one that a zone can't have."""
        zone = self._zone
        name = record.name.lower()
        if name != self._node.name:
            node = zone.nodes.get(name) or self._new_node(name)
            if node is None:
                self._warn(f"{names.to_text(name)} is outside of the zone and left out")
                return
            self._node = node
        if record.rclass != IN:
            raise MasterFileError(f"{names.to_text(name)}: only class IN can be served")
        rtype = record.rtype
        if not record.data and rtype in _NEVER_EMPTY:
            raise MasterFileError(f"{names.to_text(name)}: {type_text(rtype)} record without data")
        if rtype in (NSEC3, NSEC3PARAM):
            raise MasterFileError(f"NSEC3 zone is not supported: {names.to_text(name)} has {type_text(rtype)}")
        if name is not record.name and name != record.name:
            record = Record(name, rtype, record.ttl, record.data)
        self._put(self._node, record)

    def _new_node(self, name: bytes) -> Node | None:
        """The node of a name, with those between it and the zone; None if it isn't in the zone."""
        zone = self._zone
        if not names.is_in(name, zone.origin):
            return None
        node = zone.nodes[name] = Node(name)
        above = names.parent(name)
        while above not in zone.nodes:
            zone.nodes[above] = Node(above)
            above = names.parent(above)
        return node

    def _put(self, node: Node, record: Record) -> None:
        rtype = record.rtype
        zone = self._zone
        if rtype == SOA and (node is not zone.apex or SOA in node.sets):
            if node is not zone.apex or node.sets[SOA][0].data != record.data:
                self._warn(f"another SOA record at {names.to_text(node.name)} is left out")
            return
        known = node.sets.get(rtype, ())
        if len(known) >= _LARGE_SET:
            large = self._large.get((node.name, rtype))
            if large is None:
                large = self._large[node.name, rtype] = {other.data: other for other in known}
            large.setdefault(record.data, record)
            return
        if any(record.data == other.data for other in known):
            return
        node.sets[rtype] = (*known, record)

    def _warn(self, text: str) -> None:
        if len(self._zone.warnings) < MAX_WARNINGS and text not in self._zone.warnings:
            self._zone.warnings.append(text)

    def finish(self) -> Zone:
        """The zone. Raises MasterFileError if it has no SOA record."""
        zone = self._zone
        for (name, rtype), records in self._large.items():
            zone.nodes[name].sets[rtype] = tuple(records.values())
        if SOA not in zone.apex.sets:
            raise MasterFileError(f"no SOA record for origin {names.to_text(zone.origin)}")
        if NS not in zone.apex.sets:
            self._warn(f"{names.to_text(zone.origin)} has no NS record")
        for node in zone.nodes.values():
            zone.size += sum(map(len, node.sets.values()))
            for record in node.sets.get(RRSIG, ()):
                covered = int.from_bytes(record.data[:2], "big")
                node.signatures[covered] = (*node.signatures.get(covered, ()), record)
            if CNAME in node.sets and any(rtype not in (CNAME, RRSIG, NSEC) for rtype in node.sets):
                self._warn(f"{names.to_text(node.name)} has a CNAME record and others, which are not found")
        return zone


def build_zone(origin: bytes, records: Iterable[Record]) -> Zone:
    """The zone that the records make. Raises MasterFileError."""
    builder = ZoneBuilder(origin)
    for record in records:
        builder.add(record)
    return builder.finish()
