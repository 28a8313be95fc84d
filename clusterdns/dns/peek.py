# SPDX-License-Identifier: Apache-2.0
"""A look at a query: header, question and OPT, without building a message.

What is accepted follows CoreDNS's DNS library: responses are ignored, other opcodes than QUERY and NOTIFY get NOTIMP,
section counts that no query has get FORMERR without a question.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.edns import Edns, well_formed
from clusterdns.dns.names import MAX_NAME_BYTES
from clusterdns.dns.types import EDNS_DO, FORMERR, NOTIFY, NOTIMP, OPT, QUERY
from clusterdns.dns.wire import read_record
from clusterdns.errors import QueryError, WireError

HEADER_BYTES: Final = 12
_PLAIN_COUNTS: Final = b"\x00\x01\x00\x00\x00\x00\x00\x00"
_EDNS_COUNTS: Final = b"\x00\x01\x00\x00\x00\x00\x00\x01"


class Peek:
    """The parts of a query that decide its answer.

    name is the question's name as sent, key the same in lower case, question_end the position after the question.
    """

    __slots__ = ("edns", "flags", "key", "name", "opcode", "packet", "qclass", "qtype", "question_end")

    packet: bytes
    flags: int
    opcode: int
    name: bytes
    key: bytes
    qtype: int
    qclass: int
    question_end: int
    edns: Edns | None

    def __init__(self, packet: bytes) -> None:
        """Raises QueryError."""
        size = len(packet)
        if size < HEADER_BYTES or packet[2] & 0x80:
            raise QueryError(None)
        self.packet = packet
        self.flags = packet[2] << 8 | packet[3]
        self.opcode = opcode = packet[2] >> 3 & 15
        if opcode not in (QUERY, NOTIFY):
            raise QueryError(NOTIMP)
        counts = packet[4:12]
        if counts not in (_PLAIN_COUNTS, _EDNS_COUNTS):
            _check_counts(counts)
        position = HEADER_BYTES
        try:
            while length := packet[position]:
                if length > 63:
                    raise QueryError(FORMERR)
                position += 1 + length
            position += 1
            self.qtype = packet[position] << 8 | packet[position + 1]
            self.qclass = packet[position + 2] << 8 | packet[position + 3]
        except IndexError:
            raise QueryError(FORMERR) from None
        if position - HEADER_BYTES > MAX_NAME_BYTES:
            raise QueryError(FORMERR)
        self.name = name = packet[HEADER_BYTES:position]
        self.key = name.lower()
        self.question_end = position + 4
        self.edns = None if counts == _PLAIN_COUNTS else _read_sections(packet, position + 4, counts)


def _check_counts(counts: bytes) -> None:
    if (
        counts[:2] != b"\x00\x01"
        or counts[2]
        or counts[3] > 1
        or counts[4]
        or counts[5] > 1
        or counts[6]
        or counts[7] > 2
    ):
        raise QueryError(FORMERR)


def _read_sections(packet: bytes, position: int, counts: bytes) -> Edns | None:
    """The OPT among the records after the question, which must all be readable; two of them are an error."""
    question_end = position
    edns = None
    try:
        for number in range(counts[3] + counts[5] + counts[7]):
            record, position = read_record(packet, position)
            if record.rtype != OPT or number < counts[3] + counts[5]:
                continue
            if edns is not None or record.name != b"\x00":
                raise QueryError(FORMERR, question_end)
            if not well_formed(record.data):
                raise QueryError(FORMERR, question_end)
            edns = Edns(
                size=record.rclass,
                version=record.ttl >> 16 & 0xFF,
                do=bool(record.ttl & EDNS_DO),
                options=record.data,
            )
    except WireError:
        raise QueryError(FORMERR, question_end) from None
    return edns
