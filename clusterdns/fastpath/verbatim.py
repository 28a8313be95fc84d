# SPDX-License-Identifier: Apache-2.0
"""Replies of other servers that can be passed on as they stand: recognized by their octets.

A message that has exactly the form of a common reply is that reply, and where its TTLs and addresses are follows from
the form. The forms are *addresses* of the question's name and type; *aliases* that lead to such addresses, the target
of each being the owner of the next record; and a *denial*, a SOA record alone. Behind them may be an OPT record without
options. Whatever differs from that, be it in a single octet, is none of these and has to be read properly.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.types import CNAME, IN, NXDOMAIN, SOA
from clusterdns.dns.wire import read_name
from clusterdns.errors import WireError
from clusterdns.fastpath.answer import CompiledAnswer, counts

MAX_ADDRESSES: Final = 16
MAX_ALIASES: Final = 8
"""Of one reply."""

A_QUESTION: Final = b"\0\1\0\1"
AAAA_QUESTION: Final = b"\0\x1c\0\1"
"""Type and class, the end of a question."""

OPT_BYTES: Final = 11
"""Of an OPT record without options (RFC 6891 section 6.1.2)."""

_QUESTION: Final = 12
_QUESTION_POINTER: Final = b"\xc0\x0c"
_POINTER: Final = 0xC000
_POINTER_LIMIT: Final = 0x4000
_OPT_HEAD: Final = b"\0\0\x29"
_CNAME_HEAD: Final = CNAME.to_bytes(2, "big") + IN.to_bytes(2, "big")
_SOA_HEAD: Final = SOA.to_bytes(2, "big") + IN.to_bytes(2, "big")
_TTL_AT: Final = 6
"""In a record whose owner is a pointer."""

_SOA_NUMBERS_BYTES: Final = 20
"""SERIAL, REFRESH, RETRY, EXPIRE and MINIMUM (RFC 1035 section 3.3.13)."""


class Form:
    """What address records of one type look like.

    question: type and class. record_bytes: of a record whose owner is a pointer. data_length: RDLENGTH.
    lone: the shapes of replies with nothing else, by number of records.
    """

    __slots__ = ("data_length", "lone", "question", "record_bytes")

    def __init__(self, question: bytes, address_bytes: int) -> None:
        self.question = question
        self.record_bytes = 12 + address_bytes
        self.data_length = address_bytes.to_bytes(2, "big")
        self.lone = {number: Shape((), 0, number, self.record_bytes) for number in range(1, MAX_ADDRESSES + 1)}


class Shape:
    """What stands where behind the question of a reply. All positions are counted from there.

    size: octets without the OPT.
    counts, counts_with_opt: ANCOUNT, NSCOUNT and ARCOUNT.
    positions: of the TTLs.
    number, record_bytes, first: how many addresses there are, the octets of each, and where they start.
    minimum_at: where the MINIMUM of a denial's SOA record is, 0 for an answer.
    """

    __slots__ = ("counts", "counts_with_opt", "first", "minimum_at", "number", "positions", "record_bytes", "size")

    def __init__(
        self, before: tuple[int, ...], first: int, number: int, record_bytes: int, minimum_at: int = 0
    ) -> None:
        """``before``: the positions of the TTLs of the records before the addresses."""
        self.first = first
        self.number = number
        self.record_bytes = record_bytes
        self.minimum_at = minimum_at
        self.size = first + number * record_bytes
        self.positions = (*before, *range(first + _TTL_AT, self.size, record_bytes or 1))
        answers, authority = (0, 1) if minimum_at else (len(before) + number, 0)
        self.counts = counts(answers, authority)
        self.counts_with_opt = counts(answers, authority, 1)

    def compile(self, rcode: int, body: bytes) -> CompiledAnswer:
        """The answer that has these records."""
        if self.number < 2:
            return CompiledAnswer(rcode, self.counts, body)
        return CompiledAnswer(
            rcode,
            self.counts,
            body,
            rotating=self.number,
            record_bytes=self.record_bytes,
            rotating_start=self.first,
        )

    def turned(self, body: bytes, turn: int) -> bytes:
        """The body with the address number ``turn`` in the first place, and the others behind it in turn."""
        first = self.first
        middle = first + turn * self.record_bytes
        return body[:first] + body[middle:] + body[first:middle]


FORMS: Final = {A_QUESTION: Form(A_QUESTION, 4), AAAA_QUESTION: Form(AAAA_QUESTION, 16)}


def read_shape(message: bytes, start: int, form: Form) -> Shape | None:
    """The shape of a message whose only question ends at ``start``, and for addresses of ``form``; None for others."""
    if message[4:7] != b"\0\1\0" or message[8] or message[10]:
        return None
    answers, authority = message[7], message[9]
    if authority:
        shape = _read_denial(message, start) if authority == 1 and not answers else None
    elif not answers or message[3] & 15 == NXDOMAIN:
        return None
    elif message[start + 2 : start + 6] == form.question:
        shape = form.lone.get(answers)
        if shape is not None and not _are_addresses(message, start, answers, _QUESTION_POINTER, form):
            return None
    else:
        shape = _read_aliases(message, start, answers, form)
    if shape is None:
        return None
    end = start + shape.size
    if message[11]:
        if message[11] != 1 or len(message) != end + OPT_BYTES or not is_plain_opt(message, end) or message[end + 5]:
            return None
    elif len(message) != end:
        return None
    return shape


def _are_addresses(message: bytes, at: int, number: int, owner: bytes, form: Form) -> bool:
    head, length = owner + form.question, form.data_length
    if number == 1:
        return message[at : at + 6] == head and message[at + 10 : at + 12] == length
    return all(
        message[at : at + 6] == head and message[at + 10 : at + 12] == length
        for at in range(at, at + number * form.record_bytes, form.record_bytes)
    )


def _read_aliases(message: bytes, start: int, answers: int, form: Form) -> Shape | None:
    """The shape of aliases from the question's name to addresses; they may not lead back, or they lead nowhere."""
    position = start
    owner = _QUESTION_POINTER
    positions: list[int] = []
    try:
        seen = {read_name(message, _QUESTION)[0].lower()}
        while message[position + 2 : position + 6] == _CNAME_HEAD:
            data = position + 12
            name, end = read_name(message, data)
            name = name.lower()
            length = int.from_bytes(message[position + 10 : data], "big")
            if (
                message[position : position + 2] != owner
                or end != data + length
                or name in seen
                or data >= _POINTER_LIMIT
                or len(positions) >= MAX_ALIASES
            ):
                return None
            seen.add(name)
            positions.append(position + _TTL_AT - start)
            owner = (_POINTER | data).to_bytes(2, "big")
            position = end
    except WireError:
        return None
    number = answers - len(positions)
    if not positions or not 0 < number <= MAX_ADDRESSES or not _are_addresses(message, position, number, owner, form):
        return None
    return Shape(tuple(positions), position - start, number, form.record_bytes)


def _read_denial(message: bytes, start: int) -> Shape | None:
    """The shape of a SOA record."""
    try:
        position = read_name(message, start)[1]
        data = position + 10
        if message[position : position + 4] != _SOA_HEAD:
            return None
        end = data + int.from_bytes(message[position + 8 : data], "big")
        numbers = read_name(message, read_name(message, data)[1])[1]
    except WireError:
        return None
    if end != numbers + _SOA_NUMBERS_BYTES or end > len(message):
        return None
    return Shape((position + 4 - start,), end - start, 0, 0, minimum_at=end - 4 - start)


def is_plain_opt(message: bytes, at: int) -> bool:
    """True if an OPT record without options begins here; nothing is said about its TTL field."""
    return message[at : at + 3] == _OPT_HEAD and message[at + 9 : at + 11] == b"\0\0"
