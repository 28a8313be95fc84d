# SPDX-License-Identifier: Apache-2.0
"""TTLs in wire form: where they stand in the sections of a message, and other numbers in their place.

``body`` is what stands behind the question. OPT records, whose TTL field is something else, don't belong in it.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.types import OPT
from clusterdns.errors import WireError

_HEADER_BYTES: Final = 12


def read_fields(body: bytes, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The types of the first ``count`` records, and the positions of their TTLs. Raises WireError."""
    types = []
    positions = []
    position = 0
    try:
        for _ in range(count):
            while 0 < (length := body[position]) < 0xC0:
                position += 1 + length
            position += 1 if length == 0 else 2
            types.append(body[position] << 8 | body[position + 1])
            positions.append(position + 4)
            position += 10 + (body[position + 8] << 8 | body[position + 9])
    except IndexError:
        raise WireError("record runs over the end of the message") from None
    if position > len(body):
        raise WireError("record runs over the end of the message")
    return tuple(types), tuple(positions)


def message_ttls(message: bytes) -> tuple[int, ...]:
    """The positions of all TTLs in a whole message with one question; an OPT record has none. Raises WireError."""
    start = _HEADER_BYTES
    try:
        while length := message[start]:
            start += 1 + length
        start += 5
        number = sum(message[at] << 8 | message[at + 1] for at in (6, 8, 10))
    except IndexError:
        raise WireError("message ends before its question does") from None
    types, positions = read_fields(message[start:], number)
    return tuple([start + at for rtype, at in zip(types, positions, strict=True) if rtype != OPT])


def read_ttl(body: bytes, position: int) -> int:
    """The TTL at a position, in seconds; one with the highest bit set is 0 (RFC 2181 section 8)."""
    value = int.from_bytes(body[position : position + 4], "big")
    return value if value < 0x8000_0000 else 0


def with_ttl(body: bytes, positions: tuple[int, ...], ttl_seconds: int) -> bytes:
    """The same octets with ``ttl_seconds`` at each of the positions."""
    ttl = ttl_seconds.to_bytes(4, "big")
    if len(positions) == 1:
        position = positions[0]
        return body[:position] + ttl + body[position + 4 :]
    copy = bytearray(body)
    for position in positions:
        copy[position : position + 4] = ttl
    return bytes(copy)
