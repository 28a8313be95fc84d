# SPDX-License-Identifier: Apache-2.0
"""From an upstream's message to a reply, without a record being parsed where that isn't needed.

The sections of the message are taken as they stand behind the question. They fit the client's question because it has
the same length, so that compression pointers lead to the same places. Every name is walked once, so that nobody
who reads the records later finds one that leads nowhere. The upstream's OPT is taken out; the client gets its own.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.edns import KEEPALIVE, PADDING, encode_option, option_list
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import AAAA, CNAME, FLAG_AA, FLAG_AD, FLAG_RA, FLAG_TC, FLAG_Z, FORMERR, OPT, A
from clusterdns.dns.wire import TYPES_WITH_NAMES, read_name, read_record
from clusterdns.errors import WireError
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections

_PASSED_FLAGS: Final = FLAG_AA | FLAG_TC | FLAG_RA | FLAG_Z | FLAG_AD
_QUESTION_POINTER: Final = b"\xc0\x0c"
_ONE_ANSWER: Final = b"\x00\x01\x00\x00\x00\x00"
_A_HEAD: Final = b"\xc0\x0c\x00\x01\x00\x01"
_AAAA_HEAD: Final = b"\xc0\x0c\x00\x1c\x00\x01"
_HOP_BY_HOP: Final = frozenset((KEEPALIVE, PADDING))
_ADDRESS_BYTES: Final = {A: 16, AAAA: 28}
"""Octets of a whole address record whose owner is a pointer."""


def answers(message: bytes, question: bytes) -> bool:
    """True if ``message`` has ``question`` (name, type, class in wire form), letter case apart, and no other."""
    end = HEADER_BYTES + len(question)
    asked = message[HEADER_BYTES:end]
    if message[4:6] != b"\x00\x01":
        return False
    return asked == question or (asked[-4:] == question[-4:] and asked[:-4].lower() == question[:-4].lower())


def read_reply(query: Query, message: bytes, plugin: str) -> Reply:
    """The reply that ``message`` is, which answers the query's question. Raises WireError if it can't be read."""
    start = query.question_end
    flags = message[2] << 8 | message[3]
    counts = message[6:HEADER_BYTES]
    if counts == _ONE_ANSWER and _is_one_address(message, start):
        compiled = CompiledAnswer(flags & 15, counts, message[start:], flags=flags & _PASSED_FLAGS)
        reply = Reply.of_compiled(plugin, compiled)
        reply.reusable = False
        return reply
    walk = _Walk(message, start, counts)
    rcode = flags & 15
    body_end = walk.end
    if walk.opt_end:
        rcode |= message[walk.opt_start + 5] << 4
        body_end = walk.opt_start
        additional = (counts[4] << 8 | counts[5]) - 1
        counts = counts[:4] + additional.to_bytes(2, "big")
    rotating, record_bytes, rotating_start = walk.rotating()
    if (walk.opt_end and walk.opt_end != walk.end) or (walk.addresses > 1 and not rotating):
        # An OPT in the middle moves what is behind it; addresses that are not alike can change places as records only.
        reply = Reply(rcode, _sections(message, start), flags=flags & _PASSED_FLAGS, plugin=plugin)
    else:
        body = message[start:body_end]
        compiled = CompiledAnswer(
            rcode & 15,
            counts,
            body,
            rotating=rotating,
            record_bytes=record_bytes,
            rotating_start=rotating_start - start if rotating else 0,
            flags=flags & _PASSED_FLAGS,
        )
        reply = Reply.of_compiled(plugin, compiled)
        reply.rcode = rcode
        reply.reusable = False
    if walk.opt_end and walk.opt_start + 11 < walk.opt_end:
        reply.options = _options(message[walk.opt_start + 11 : walk.opt_end])
    return reply


def _is_one_address(message: bytes, start: int) -> bool:
    """True if one A or AAAA record of the question's name is all that is behind the question: what most replies are."""
    head = message[start : start + 6]
    length = message[start + 10 : start + 12]
    size = len(message) - start
    if head == _A_HEAD:
        return size == 16 and length == b"\x00\x04"
    return head == _AAAA_HEAD and size == 28 and length == b"\x00\x10"


def truncated_reply(plugin: str) -> Reply:
    """What a client gets of a datagram that can't be read to its end: ask again over TCP."""
    return Reply(flags=FLAG_TC, plugin=plugin)


def wrong_question_reply(plugin: str) -> Reply:
    """What a client gets where the upstream answers something else."""
    return Reply(FORMERR, plugin=plugin)


class _Walk:
    """One way through the records of a message.

    end: position after the last record.
    opt_start, opt_end: where the OPT of the additional section is, 0 without one.
    addresses: number of A and AAAA records in the answer section.
    """

    __slots__ = (
        "_aliases", "_alike", "_answers", "_first", "_first_number", "_owner", "_record_bytes", "addresses", "end",
        "opt_end", "opt_start",
    )  # fmt: skip

    def __init__(self, message: bytes, position: int, counts: bytes) -> None:
        self._answers = counts[0] << 8 | counts[1]
        additional = self._answers + (counts[2] << 8 | counts[3])
        total = additional + (counts[4] << 8 | counts[5])
        self.opt_start = self.opt_end = self.addresses = 0
        self._alike = self._aliases = self._record_bytes = self._first = self._first_number = 0
        self._owner = b""
        try:
            for number in range(total):
                start = position
                if message[position : position + 2] == _QUESTION_POINTER:
                    position += 2
                else:
                    position = read_name(message, position)[1]
                rtype = message[position] << 8 | message[position + 1]
                end = position + 10 + (message[position + 8] << 8 | message[position + 9])
                if rtype in TYPES_WITH_NAMES:
                    read_record(message, start)
                    self._aliases += rtype == CNAME and number < self._answers
                elif rtype in _ADDRESS_BYTES and number < self._answers:
                    self.addresses += 1
                    self._note_address(message, number, start, end, _ADDRESS_BYTES[rtype])
                elif rtype == OPT and number >= additional and not self.opt_end and message[start] == 0:
                    self.opt_start, self.opt_end = start, end
                position = end
        except IndexError:
            raise WireError("overflow unpacking data") from None
        if position > len(message):
            raise WireError("overflow unpacking data")
        self.end = position

    def _note_address(self, message: bytes, number: int, start: int, end: int, size: int) -> None:
        """Count an address of the answer section that is like the one before it, and stands behind it."""
        owner = message[start : start + 2]
        if end - start != size or owner[0] < 0xC0:
            return
        if not self._alike:
            self._owner, self._record_bytes, self._first, self._first_number = owner, size, start, number
            self._alike = 1
        elif (owner, size, number) == (self._owner, self._record_bytes, self._first_number + self._alike):
            self._alike += 1

    def rotating(self) -> tuple[int, int, int]:
        """How many records at the end of the answer section may change places, their size and where they start; all 0
        unless they are all of its addresses, with nothing but aliases before them.
        """
        number = self._alike
        if number < 2 or number != self.addresses or not self._aliases == self._first_number == self._answers - number:
            return 0, 0, 0
        return number, self._record_bytes, self._first


def _sections(message: bytes, position: int) -> Sections:
    """All records but the OPT."""
    sections = []
    for start in (6, 8, 10):
        records = []
        for _ in range(message[start] << 8 | message[start + 1]):
            record, position = read_record(message, position)
            if record.rtype != OPT:
                records.append(record)
        sections.append(tuple(records))
    return Sections(*sections)


def _options(raw: bytes) -> bytes:
    """The options that are meant for the client, not for us."""
    return b"".join([encode_option(code, data) for code, data in option_list(raw) if code not in _HOP_BY_HOP])
