# SPDX-License-Identifier: Apache-2.0
"""From a reply to the octets on the wire: flags, EDNS, size limit and truncation, the same for every plugin.

Rules: docs/differences.md and RFC 6891 section 7; a reply carries an OPT exactly where the query had one, with the
client's own UDP size. What doesn't fit is dropped from the end, and TC says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from clusterdns.dns.edns import COOKIE, EXPIRE, KEEPALIVE, NSID, PADDING, encode_opt, encode_option, option_list
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import BADVERS, FLAG_CD, FLAG_QR, FLAG_RD, FLAG_TC, QUERY
from clusterdns.dns.wire import Writer, skip_records
from clusterdns.errors import QueryError, WireError
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.query import MAX_MESSAGE_BYTES, MIN_UDP_BYTES, Query
from clusterdns.serving.reply import Reply

STREAM_MESSAGE_BYTES: Final = 16_384
"""Of one message of several, but for a single longer record: so far compression pointers reach."""

_ECHOED_OPTIONS: Final = frozenset((NSID, EXPIRE, COOKIE, KEEPALIVE, PADDING))
_ECHOED_FLAGS: Final = FLAG_RD | FLAG_CD
_OPCODE_BITS: Final = 0x7800
_RD_AD: Final = 0x0120
_ONE: Final = b"\x00\x01"


def finish(query: Query, reply: Reply) -> tuple[bytes, ...]:
    """The reply as messages: one for each variant of a compiled answer that has several, otherwise one."""
    opt = _opt(query, reply)
    limit = _limit(query, reply)
    compiled = reply.compiled
    if compiled is None:
        return (_write(query, reply, opt, limit),)
    question_end = query.question_end
    bodies = reply.variants or (compiled.body,)
    section_counts = compiled.counts
    flags = _flags(query, reply)
    room = limit - question_end - len(opt)
    if len(compiled.body) > room:
        flags |= FLAG_TC
        section_counts, end = fitting(compiled, room)
        bodies = tuple([body[:end] for body in bodies])
    if opt:
        section_counts = section_counts[:4] + (int.from_bytes(section_counts[4:], "big") + 1).to_bytes(2, "big")
    start = b"".join(
        (
            query.packet[:2],
            flags.to_bytes(2, "big"),
            _ONE,
            section_counts,
            query.packet[HEADER_BYTES:question_end],
        )
    )
    return tuple([start + body + opt for body in bodies])


def finish_stream(query: Query, reply: Reply) -> Iterator[bytes]:
    """The reply as messages that are made one by one, each with the question, the flags and the OPT; at least one.

    Raises WireError for a record that no message can hold.
    """
    opt = _opt(query, reply)
    flags = _flags(query, reply).to_bytes(2, "big")
    start = query.packet[: query.question_end]
    writer = Writer(start, question=query.name)
    count = 0

    def message(end: int) -> bytes:
        buffer = writer.buffer
        buffer[2:HEADER_BYTES] = flags + _ONE + counts(count, 0, 1 if opt else 0)
        return bytes(buffer[:end]) + opt

    for record in chain(reply.records(query).answer, reply.stream or ()):
        end = len(writer.buffer)
        writer.write_record(record)
        if count and len(writer.buffer) + len(opt) > STREAM_MESSAGE_BYTES:
            yield message(end)
            writer = Writer(start, question=query.name)
            writer.write_record(record)
            count = 0
        if len(writer.buffer) + len(opt) > MAX_MESSAGE_BYTES:
            raise WireError(f"no message can hold the {len(record.data)} octets of a record")
        count += 1
    yield message(len(writer.buffer))


def refuse(packet: bytes, error: QueryError) -> bytes | None:
    """The reply to a message that is no query: header only, or header and question where that could be read."""
    if error.rcode is None:
        return None
    flags = FLAG_QR | (packet[2] << 8 | packet[3]) & (_OPCODE_BITS | _RD_AD) | error.rcode
    question = packet[HEADER_BYTES : error.question_end]
    return packet[:2] + flags.to_bytes(2, "big") + (_ONE if question else b"\0\0") + b"\0\0\0\0\0\0" + question


def _flags(query: Query, reply: Reply) -> int:
    echoed = _OPCODE_BITS | _ECHOED_FLAGS if query.opcode == QUERY else _OPCODE_BITS
    return FLAG_QR | query.flags & echoed & ~reply.cleared | reply.flags | reply.rcode & 15


def _limit(query: Query, reply: Reply) -> int:
    if query.client.protocol != "udp":
        return MAX_MESSAGE_BYTES
    if reply.edns_size:
        return min(query.size_limit, max(MIN_UDP_BYTES, reply.edns_size))
    return query.size_limit


def _opt(query: Query, reply: Reply) -> bytes:
    edns = query.edns
    if edns is None:
        return b""
    options = reply.options
    if edns.options:
        echoed = _ECHOED_OPTIONS - {code for code, _ in option_list(options)} if options else _ECHOED_OPTIONS
        options += b"".join([encode_option(code, data) for code, data in edns.option_list() if code in echoed])
    size = min(edns.size, reply.edns_size) if reply.edns_size else edns.size
    if reply.rcode == BADVERS:
        size = 0  # as CoreDNS; RFC 6891 section 6.1.3 leaves it open
    return encode_opt(size, do=edns.do, options=options, rcode=reply.rcode)


def fitting(compiled: CompiledAnswer, room: int) -> tuple[bytes, int]:
    """Counts and octets of the records of a compiled answer that fit; names point backwards, so octets can be cut."""
    body, size = compiled.body, compiled.record_bytes
    kept = [0, 0, 0]
    end = 0
    if compiled.rotating and not compiled.rotating_start:
        kept[0] = min(compiled.rotating, max(room, 0) // size)
        end = kept[0] * size
        if kept[0] < compiled.rotating:
            return counts(*kept), end
    for section in range(3):
        count = compiled.counts[2 * section] << 8 | compiled.counts[2 * section + 1]
        while kept[section] < count:
            after = skip_records(body, 1, end)
            if after > room:
                return counts(*kept), end
            end = after
            kept[section] += 1
    return counts(*kept), end


def _write(query: Query, reply: Reply, opt: bytes, limit: int) -> bytes:
    """The records with name compression, as many as fit (the first that doesn't ends the message)."""
    sections = reply.records(query)
    writer = Writer(query.packet[: query.question_end], question=query.name)
    buffer = writer.buffer
    room = limit - len(opt)
    written = [0, 0, 0]
    truncated = False
    for number, records in enumerate((sections.answer, sections.authority, sections.additional)):
        for record in records:
            end = len(buffer)
            writer.write_record(record)
            if len(buffer) > room:
                del buffer[end:]
                truncated = True
                break
            written[number] += 1
        if truncated:
            break
    flags = _flags(query, reply) | (FLAG_TC if truncated else 0)
    buffer[2:HEADER_BYTES] = (
        flags.to_bytes(2, "big") + _ONE + counts(written[0], written[1], written[2] + (1 if opt else 0))
    )
    return bytes(buffer) + opt
