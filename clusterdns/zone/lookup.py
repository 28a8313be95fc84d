# SPDX-License-Identifier: Apache-2.0
"""What a zone says about a name (RFC 1034 section 4.3.2, wildcards RFC 4592, DNAME RFC 6672, NSEC RFC 4035 section 3).

The answer is records; aliases are followed within the zone, and the name where they leave it is left to the caller.
"""

from __future__ import annotations

from typing import Final

import msgspec

from clusterdns.dns import names
from clusterdns.dns.names import MAX_NAME_BYTES
from clusterdns.dns.types import AAAA, ANY, CNAME, DS, MX, NOERROR, NS, NXDOMAIN, SOA, SRV, A
from clusterdns.dns.wire import Record
from clusterdns.zone.tree import DNAME, NSEC, RRSIG, Node, RecordSet, Zone

MAX_ALIASES: Final = 16
"""CNAME records followed for one query. The client goes on where a longer chain is cut."""

YXDOMAIN: Final = 6

_SVCB: Final = 64
_HTTPS: Final = 65
_TARGET_OFFSETS: Final = {NS: 0, MX: 2, SRV: 6, _SVCB: 2, _HTTPS: 2}
_WILDCARD: Final = b"\x01*"


class Answer(msgspec.Struct):
    """What goes into the reply.

    authoritative: False for a referral.
    leads_to: the name, outside of the zone, that the last CNAME record in ``answer`` leads to; None without one.
    wildcard: the last wildcard whose records were given to a name; None without one.
    """

    rcode: int = NOERROR
    authoritative: bool = True
    answer: RecordSet = ()
    authority: RecordSet = ()
    additional: RecordSet = ()
    leads_to: bytes | None = None
    wildcard: bytes | None = None


def find(zone: Zone, name: bytes, qtype: int, *, do: bool = False, every_set: bool = True) -> Answer:
    """The answer to a query for ``name``, which is in the zone and lower case.

    do: the client wants signatures and proofs, where the zone has them.
    every_set: False to answer ANY with a single record set (RFC 8482 section 4.1).
    """
    search = _Search(zone, qtype, do, every_set)
    answer = search.run(name)
    answer.wildcard = search.wildcard
    return answer


class _Search:
    """One query."""

    def __init__(self, zone: Zone, qtype: int, do: bool, every_set: bool) -> None:
        self._zone = zone
        self._qtype = qtype
        self._do = do
        self._every_set = every_set
        self._chain: list[Record] = []
        self._proofs: list[Record] = []
        self._aliases = 0
        self.wildcard: bytes | None = None

    def run(self, name: bytes) -> Answer:
        """Follow the aliases from ``name`` to what ends them."""
        zone = self._zone
        seen: set[bytes] = set()
        while True:
            if not names.is_in(name.lower(), zone.origin):
                return self._positive((), (), leads_to=name)
            name = name.lower()
            if name in seen or self._aliases >= MAX_ALIASES:
                return self._positive((), ())
            seen.add(name)
            outcome = self._step(name)
            if isinstance(outcome, Answer):
                return outcome
            name = outcome

    def _step(self, name: bytes) -> Answer | bytes:
        """The answer, or the name that an alias leads to."""
        zone = self._zone
        nodes = zone.nodes
        encloser = zone.apex
        for start in _starts(name, zone.origin):
            if DNAME in encloser.sets:
                return self._redirect(name, encloser)
            node = nodes.get(name[start:])
            if node is None:
                wildcard = nodes.get(_WILDCARD + encloser.name)
                return self._nothing(name, encloser) if wildcard is None else self._match(name, wildcard, encloser)
            if NS in node.sets and (start or self._qtype != DS):
                return self._refer(node)
            encloser = node
        return self._match(name, encloser, None)

    def _match(self, name: bytes, node: Node, encloser: Node | None) -> Answer | bytes:
        """The records at a node: of ``name`` itself, or of a wildcard (then with the closest encloser)."""
        if encloser is not None:
            self.wildcard = node.name
            if self._do:
                self._prove(name)
        qtype = self._qtype
        if CNAME in node.sets and qtype not in (CNAME, ANY, RRSIG, NSEC):
            alias = self._owned(node.signed(CNAME, self._do), name, encloser)
            self._chain.extend(alias)
            self._aliases += 1
            return alias[0].data
        if qtype == ANY:
            found = self._all_sets(node)
        else:
            found = node.signed(qtype, self._do)
        if not found:
            return self._no_data(name, node, encloser)
        additional = () if qtype == ANY else self._additional(found)
        return self._positive(self._owned(found, name, encloser), additional)

    def _all_sets(self, node: Node) -> RecordSet:
        sets = [records for rtype, records in node.sets.items() if rtype != RRSIG or self._do]
        if not self._every_set:
            sets = sets[:1]
        return tuple([record for records in sets for record in records])

    def _owned(self, records: RecordSet, name: bytes, encloser: Node | None) -> RecordSet:
        if encloser is None:
            return records
        return tuple([Record(name, record.rtype, record.ttl, record.data) for record in records])

    def _positive(self, found: RecordSet, additional: RecordSet, leads_to: bytes | None = None) -> Answer:
        apex = self._zone.apex
        authority: RecordSet = ()
        if self._qtype != ANY and not (self._qtype == NS and found and found[0].name == apex.name):
            authority = apex.signed(NS, self._do)
        return Answer(
            answer=(*self._chain, *found),
            authority=(*authority, *self._proofs),
            additional=additional,
            leads_to=leads_to,
        )

    def _no_data(self, name: bytes, node: Node, encloser: Node | None) -> Answer:
        if self._do:
            self._prove(name if encloser is None else node.name)
        return self._negative(NOERROR)

    def _nothing(self, name: bytes, encloser: Node) -> Answer:
        if self._do:
            self._prove(name)
            self._prove(_WILDCARD + encloser.name)
        return self._negative(NXDOMAIN)

    def _negative(self, rcode: int) -> Answer:
        soa = self._zone.apex.signed(SOA, self._do)
        return Answer(rcode, answer=tuple(self._chain), authority=(*soa, *self._proofs))

    def _prove(self, name: bytes) -> None:
        """Add the NSEC record that denies a name, or a type at it, once."""
        node = self._zone.denial(name)
        if node is not None and node.sets[NSEC][0] not in self._proofs:
            self._proofs.extend(node.signed(NSEC, True))

    def _refer(self, cut: Node) -> Answer:
        """A referral to the name servers of a zone below (RFC 1034 section 4.3.2 step 3b, glue RFC 9471)."""
        servers = cut.sets[NS]
        authority = servers
        if self._do:
            if DS in cut.sets:
                authority += cut.signed(DS, True)
            else:
                self._prove(cut.name)
        return Answer(
            authoritative=bool(self._chain),
            answer=tuple(self._chain),
            authority=(*authority, *self._proofs),
            additional=self._additional(servers),
        )

    def _redirect(self, name: bytes, node: Node) -> Answer | bytes:
        """The DNAME record of an ancestor, and the CNAME record that it makes for ``name``."""
        record = node.sets[DNAME][0]
        target = name[: len(name) - len(node.name)] + record.data
        self._chain.extend(node.signed(DNAME, self._do))
        if len(target) > MAX_NAME_BYTES:
            return Answer(YXDOMAIN, answer=tuple(self._chain), authority=self._zone.apex.signed(SOA, self._do))
        alias = Record(name, CNAME, record.ttl, target)
        self._aliases += 1
        if self._qtype == CNAME:
            return self._positive((alias,), ())
        self._chain.append(alias)
        return target

    def _additional(self, records: RecordSet) -> RecordSet:
        """The addresses of the names in the records, where the zone has them."""
        found: dict[Record, None] = {}
        for record in records:
            offset = _TARGET_OFFSETS.get(record.rtype)
            if offset is None:
                continue
            target = _name_at(record.data, offset).lower()
            if target == names.ROOT:  # of SVCB and HTTPS: the owner itself (RFC 9460 section 2.5)
                target = record.name if record.rtype in (_SVCB, _HTTPS) else target
            node = self._zone.nodes.get(target)
            if node is not None:
                for rtype in (A, AAAA):
                    found.update(dict.fromkeys(node.signed(rtype, self._do)))
        return tuple(found)


def _starts(name: bytes, origin: bytes) -> list[int]:
    """Where the name and its ancestors below the origin start, from the shortest to the name itself."""
    starts = []
    position = 0
    end = len(name) - len(origin)
    while position < end:
        starts.append(position)
        position += 1 + name[position]
    starts.reverse()
    return starts


def _name_at(data: bytes, offset: int) -> bytes:
    """The name that begins at an offset of record data; the root where data from elsewhere isn't as it should be."""
    end = offset
    while end < len(data) and data[end]:
        end += 1 + data[end]
    return data[offset : end + 1] if end < len(data) else names.ROOT
