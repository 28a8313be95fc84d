# SPDX-License-Identifier: Apache-2.0
"""Replies of other servers that can be passed on as they stand: recognized by their octets.

Nothing is decoded: a message that has exactly the form of a common reply is that reply, and where its TTLs and
addresses are follows from the form. Whatever differs in an octet (a name written out, an option, a record more) is no
such message and has to be read properly.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.types import NOERROR
from clusterdns.fastpath.answer import CompiledAnswer, counts

MAX_ADDRESSES: Final = 16
"""Of one reply."""

A_QUESTION: Final = b"\0\1\0\1"
AAAA_QUESTION: Final = b"\0\x1c\0\1"
"""Type and class, the end of a question."""

OPT_BYTES: Final = 11
"""Of an OPT record without options (RFC 6891 section 6.1.2)."""

_QUESTION_POINTER: Final = b"\xc0\x0c"
_OPT_HEAD: Final = b"\0\0\x29"
_TTL_AT: Final = 6


class Form:
    """What the records of the question's own name and type look like.

    head: owner, type and class. record_bytes: of a whole record. data_length: RDLENGTH.
    shapes: by number of records.
    """

    __slots__ = ("data_length", "head", "record_bytes", "shapes")

    def __init__(self, question: bytes, address_bytes: int) -> None:
        self.head = _QUESTION_POINTER + question
        self.record_bytes = 12 + address_bytes
        self.data_length = address_bytes.to_bytes(2, "big")
        self.shapes = {number: Shape(number, self.record_bytes) for number in range(1, MAX_ADDRESSES + 1)}


class Shape:
    """A reply that consists of some address records of the question's name and type, and perhaps an OPT.

    number: how many.
    size: octets of all of them, each of which has ``record_bytes``.
    counts, counts_with_opt: ANCOUNT, NSCOUNT and ARCOUNT.
    positions: of the TTLs, from the end of the question on.
    """

    __slots__ = ("counts", "counts_with_opt", "number", "positions", "record_bytes", "size")

    def __init__(self, number: int, record_bytes: int) -> None:
        self.number = number
        self.record_bytes = record_bytes
        self.size = number * record_bytes
        self.counts = counts(number)
        self.counts_with_opt = counts(number, 0, 1)
        self.positions = tuple(range(_TTL_AT, self.size, record_bytes))

    def compile(self, body: bytes) -> CompiledAnswer:
        """The answer that has these records."""
        if self.number == 1:
            return CompiledAnswer(NOERROR, self.counts, body)
        return CompiledAnswer(NOERROR, self.counts, body, rotating=self.number, record_bytes=self.record_bytes)


FORMS: Final = {A_QUESTION: Form(A_QUESTION, 4), AAAA_QUESTION: Form(AAAA_QUESTION, 16)}


def read_shape(message: bytes, start: int, form: Form) -> Shape | None:
    """The shape of a message with one question, which ends at ``start``; None if it has none of these."""
    if message[4:7] != b"\0\1\0" or message[8:11] != b"\0\0\0":
        return None
    shape = form.shapes.get(message[7])
    if shape is None:
        return None
    end = start + shape.size
    size = len(message)
    if message[11]:
        if message[11] != 1 or size != end + OPT_BYTES or not is_plain_opt(message, end) or message[end + 5]:
            return None
    elif size != end:
        return None
    head, length = form.head, form.data_length
    if shape.number == 1:
        return shape if message[start : start + 6] == head and message[start + 10 : start + 12] == length else None
    for at in range(start, end, shape.record_bytes):
        if message[at : at + 6] != head or message[at + 10 : at + 12] != length:
            return None
    return shape


def is_plain_opt(message: bytes, at: int) -> bool:
    """True if an OPT record without options begins here; nothing is said about its TTL field."""
    return message[at : at + 3] == _OPT_HEAD and message[at + 9 : at + 11] == b"\0\0"
