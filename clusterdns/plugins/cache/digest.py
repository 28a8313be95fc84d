# SPDX-License-Identifier: Apache-2.0
"""What there is to know about a reply before it is kept: its type, its TTLs, its octets."""

from __future__ import annotations

from typing import Final

from clusterdns.dns.types import AAAA, ANY, CNAME, MX, NOERROR, SOA, A
from clusterdns.dns.wire import Record, Writer
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.fastpath.ttl import read_fields, read_ttl, with_ttl
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.response import ResponseType, has_expired_signature, type_of_sections

FAIL_SAFE_TTL_SECONDS: Final = 5
"""Of replies without records, and of those whose TTLs say nothing about how long they are good for."""

NEGATIVE: Final = (ResponseType.NODATA, ResponseType.NXDOMAIN)

_RRSIG: Final = 46
_ADDRESSES: Final = (A, AAAA)
_QUESTION_POINTER: Final = b"\xc0\x0c"
_BEFORE_TTL: Final = 6
"""Octets from the start of a record whose owner is a pointer to its TTL."""


class Digest:
    """A reply, looked through once.

    kind: its type; an alias without what was asked for is NODATA where a SOA record says so.
    answered: True if it has a record of the type asked for at the end of the aliases.
    complete: False for aliases that lead nowhere and no SOA record says why: nobody knows how long that is true.
    """

    __slots__ = (
        "_minimum", "_number", "_positions", "_query", "_reply", "_ttls", "_types", "answered", "complete", "kind",
    )  # fmt: skip

    def __init__(self, query: Query, reply: Reply, now_seconds: float) -> None:
        """``now_seconds`` since the epoch decides about signatures. Raises WireError."""
        self._query = query
        self._reply = reply
        self._minimum: int | None = None
        self._positions: tuple[int, ...] = ()
        if reply.compiled is None:
            self._look_at_records(reply.records(query))
        else:
            self._look_at_octets(reply.compiled)
        answers, authority = self._number
        in_authority = self._types[answers : answers + authority]
        self.kind = type_of_sections(reply.rcode, answers, in_authority)
        self.answered = reply.rcode == NOERROR and answers > 0 and self._is_answered(answers)
        self.complete = True
        if self.kind is ResponseType.NOERROR and answers and not self.answered:
            if SOA in in_authority:
                self.kind = ResponseType.NODATA
            else:
                self.complete = False
        if _RRSIG in self._types and query.edns is not None and query.edns.do:
            sections = reply.records(query)
            signed = (*sections.answer, *sections.authority, *sections.additional)
            if has_expired_signature(signed, int(now_seconds)):
                self.kind = ResponseType.OTHER_ERROR

    def _look_at_records(self, sections: Sections) -> None:
        records = (*sections.answer, *sections.authority, *sections.additional)
        self._number = (len(sections.answer), len(sections.authority))
        self._types = tuple([record.rtype for record in records])
        self._ttls = [record.ttl if record.ttl < 0x8000_0000 else 0 for record in records]
        for record in sections.authority:
            if record.rtype == SOA:
                self._minimum = read_ttl(record.data, len(record.data) - 4)

    def _look_at_octets(self, compiled: CompiledAnswer) -> None:
        body, number = compiled.body, compiled.counts
        answers, authority = number[0] << 8 | number[1], number[2] << 8 | number[3]
        self._number = (answers, authority)
        self._types, positions = read_fields(body, answers + authority + (number[4] << 8 | number[5]))
        self._positions = positions
        self._ttls = [read_ttl(body, position) for position in positions]
        for index in range(answers, answers + authority):
            if self._types[index] == SOA:
                position = positions[index]
                self._minimum = read_ttl(body, position + 2 + (body[position + 4] << 8 | body[position + 5]))

    def _is_answered(self, answers: int) -> bool:
        types, query, compiled = self._types, self._query, self._reply.compiled
        if query.qtype == types[0] and compiled is not None and compiled.body.startswith(_QUESTION_POINTER):
            return True
        if query.qtype not in types[:answers] and query.qtype != ANY:
            return False
        return leads_to_answer(self._reply.records(query).answer, query)

    @property
    def ttl_seconds(self) -> int:
        """The smallest TTL of all records."""
        if self.kind not in (ResponseType.NOERROR, *NEGATIVE) or not self._ttls:
            return FAIL_SAFE_TTL_SECONDS
        return min(self._ttls)

    @property
    def lifetime_seconds(self) -> int:
        """The same, and not more than MINIMUM of the SOA record of a denial (RFC 2308 section 5)."""
        if self.kind in NEGATIVE and self._minimum is not None:
            return min(self.ttl_seconds, self._minimum)
        return self.ttl_seconds

    def has_ttl(self, ttl_seconds: int) -> bool:
        """True if all records have this TTL."""
        return all(ttl == ttl_seconds for ttl in self._ttls)

    def set_ttl(self, ttl_seconds: int) -> None:
        """Give all records of the reply this TTL, as records if it has them, else in its octets."""
        if self.has_ttl(ttl_seconds):
            return
        reply = self._reply
        compiled = reply.compiled
        if compiled is not None:
            reply.set_compiled(_with_ttl(compiled, self._positions, ttl_seconds))
            return
        sections = reply.records(self._query)
        reply.set_records(
            Sections(*[
                tuple([record.with_ttl(ttl_seconds) for record in records])
                for records in (sections.answer, sections.authority, sections.additional)
            ])
        )  # fmt: skip

    def compile(self, ttl_seconds: int) -> tuple[CompiledAnswer, tuple[int, ...]]:
        """The sections with one TTL for all records, and where it stands in them."""
        query, compiled = self._query, self._reply.compiled
        if compiled is None:
            number, body = _encode(query, self._reply.records(query))
            self._positions = read_fields(body, len(self._types))[1]
        else:
            number, body = compiled.counts, compiled.body
        positions = self._positions
        rotating, record_bytes, start = self._rotating(body, positions)
        answer = CompiledAnswer(
            self._reply.rcode & 15,
            number,
            with_ttl(body, positions, ttl_seconds),
            rotating=rotating,
            record_bytes=record_bytes,
            rotating_start=start,
        )
        return answer, positions

    def _rotating(self, body: bytes, positions: tuple[int, ...]) -> tuple[int, int, int]:
        """How many address records of the answer section may change places, their size, and where they start.

        All zero unless all of its addresses stand together behind the other records, their owners being pointers to
        what stands before them, so that octets can move.
        """
        if self._number[0] < 2:
            return 0, 0, 0
        types = self._types[: self._number[0]]
        first = next((number for number, rtype in enumerate(types) if rtype in _ADDRESSES), len(types))
        rotating = len(types) - first
        if rotating < 2 or types.count(types[first]) != rotating:
            return 0, 0, 0
        size = 16 if types[first] == A else 28
        start = 0
        if first:
            before = positions[first - 1]
            start = before + 6 + (body[before + 4] << 8 | body[before + 5])
        owner = body[start : start + 2]
        target = int.from_bytes(owner, "big") - 0xC000
        if not 0 <= target < self._query.question_end + start:
            return 0, 0, 0
        for number in range(rotating):
            position = start + number * size
            if positions[first + number] != position + _BEFORE_TTL or body[position : position + 2] != owner:
                return 0, 0, 0
        return rotating, size, start

    def has_other_orders(self, rotating: int) -> bool:
        """True if records could change places that aren't the ``rotating`` ones."""
        if len(self._types) < 2:
            return False
        answers, authority = self._number
        ends = (0, answers, answers + authority, len(self._types))
        for section in range(3):
            types = self._types[ends[section] : ends[section + 1]]
            addresses = types.count(A) + types.count(AAAA)
            if (addresses > 1 and (section or not rotating)) or types.count(MX) > 1:
                return True
        return False


def leads_to_answer(records: tuple[Record, ...], query: Query) -> bool:
    """True if the aliases lead from the question to a record of its type; loops and forks lead nowhere."""
    name = query.key
    if query.qtype in (CNAME, ANY):
        return any(record.name.lower() == name and query.qtype in (record.rtype, ANY) for record in records)
    targets: dict[bytes, bytes] = {}
    for record in records:
        if record.rtype == CNAME:
            target = record.data.lower()
            if targets.setdefault(record.name.lower(), target) != target:
                return False
    for _ in range(len(targets) + 1):
        if name not in targets:
            return any(record.rtype == query.qtype and record.name.lower() == name for record in records)
        name = targets[name]
    return False


def _with_ttl(compiled: CompiledAnswer, positions: tuple[int, ...], ttl_seconds: int) -> CompiledAnswer:
    return CompiledAnswer(
        compiled.rcode,
        compiled.counts,
        with_ttl(compiled.body, positions, ttl_seconds),
        rotating=compiled.rotating,
        record_bytes=compiled.record_bytes,
        rotating_start=compiled.rotating_start,
        flags=compiled.flags,
    )


def _encode(query: Query, sections: Sections) -> tuple[bytes, bytes]:
    start = query.packet[: query.question_end]
    writer = Writer(start, question=query.name)
    for records in (sections.answer, sections.authority, sections.additional):
        for record in records:
            writer.write_record(record)
    number = counts(len(sections.answer), len(sections.authority), len(sections.additional))
    return number, bytes(writer.buffer[len(start) :])
