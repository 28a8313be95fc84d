# SPDX-License-Identifier: Apache-2.0
"""Resource records between bytes and values (RFC 1035 sections 3 and 4, RFC 3597 section 4).

A record's data is kept as uncompressed wire bytes, whatever its type, so that records pass through unknown to the code
in between. Only the types of RFC 1035 may have compressed names in their data when they are written; names in the data
of a few later types are decompressed when read, as RFC 3597 section 4 asks for.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from clusterdns.dns.names import MAX_NAME_BYTES
from clusterdns.errors import WireError

# Layout of the data of types that hold names: "n" is a name that may be compressed when written, "u" one that may not,
# digits count plain octets in front of or between names, "*" takes the rest, "s" is one character string.
_LAYOUT: Final[dict[int, str]] = {
    2: "n", 3: "n", 4: "n", 5: "n", 6: "nn*", 7: "n", 8: "n", 9: "n", 12: "n", 14: "nn", 15: "2n",
    17: "uu", 18: "2u", 21: "2u", 26: "2uu", 33: "6u", 35: "4sssu", 36: "2u", 39: "u",
}  # fmt: skip

TYPES_WITH_NAMES: Final = frozenset(_LAYOUT)
"""Types whose data is looked into when a record is read; of all others it is taken as it is."""

_FIXED: Final = struct.Struct("!HHIH")
_POINTER_LIMIT: Final = 0x4000


class Record(msgspec.Struct, frozen=True, gc=False):
    """A resource record. ``name`` and the names in ``data`` are uncompressed wire bytes, ``ttl`` is in seconds."""

    name: bytes
    rtype: int
    ttl: int
    data: bytes
    rclass: int = 1

    def with_ttl(self, ttl_seconds: int) -> Record:
        """The same record with another TTL."""
        return Record(self.name, self.rtype, ttl_seconds, self.data, self.rclass)


def read_name(message: bytes, position: int) -> tuple[bytes, int]:
    """The name at ``position``, decompressed, and the position after it. Raises WireError.

    Pointers must lead to earlier octets (RFC 1035 section 4.1.4), which also ends every loop.
    """
    parts: list[bytes] = []
    after = -1
    lowest = position
    total = 1
    size = len(message)
    while True:
        if position >= size:
            raise WireError("name runs over the end of the message")
        length = message[position]
        if length >= 0xC0:
            if position + 1 >= size:
                raise WireError("name runs over the end of the message")
            target = (length & 0x3F) << 8 | message[position + 1]
            if after < 0:
                after = position + 2
            if target >= lowest:
                raise WireError("compression pointer does not lead backwards")
            lowest = position = target
            continue
        if length >= 0x40:
            raise WireError("unknown label type")
        if length == 0:
            break
        total += 1 + length
        if total > MAX_NAME_BYTES:
            raise WireError("name is longer than 255 octets")
        end = position + 1 + length
        if end > size:
            raise WireError("name runs over the end of the message")
        parts.append(message[position:end])
        position = end
    return b"".join(parts) + b"\x00", after if after >= 0 else position + 1


def read_record(message: bytes, position: int) -> tuple[Record, int]:
    """The record at ``position`` and the position after it. Raises WireError."""
    name, position = read_name(message, position)
    if position + 10 > len(message):
        raise WireError("record header runs over the end of the message")
    rtype, rclass, ttl, length = _FIXED.unpack_from(message, position)
    position += 10
    end = position + length
    if end > len(message):
        raise WireError("record data runs over the end of the message")
    layout = _LAYOUT.get(rtype)
    data = _read_data(message, position, end, layout) if layout and length else message[position:end]
    return Record(name, rtype, ttl, data, rclass), end


def skip_records(message: bytes, count: int, position: int = 0) -> int:
    """The position after ``count`` records, which are not looked into. Raises WireError."""
    try:
        for _ in range(count):
            while 0 < message[position] < 0xC0:
                position += 1 + message[position]
            position += 1 if message[position] == 0 else 2
            position += 10 + (message[position + 8] << 8 | message[position + 9])
    except IndexError:
        raise WireError("record runs over the end of the message") from None
    if position > len(message):
        raise WireError("record runs over the end of the message")
    return position


def _read_data(message: bytes, position: int, end: int, layout: str) -> bytes:
    out = []
    for step in layout:
        if step in "nu":
            name, position = read_name(message, position)
            out.append(name)
        elif step == "*":
            out.append(message[position:end])
            position = end
        else:
            count = int(step) if step != "s" else 1 + message[position] if position < end else 1
            out.append(message[position : position + count])
            position += count
        if position > end:
            raise WireError("record data is shorter than its type says")
    if position != end:
        raise WireError("record data is longer than its type says")
    return b"".join(out)


class Writer:
    """Writes records after a header and question, with name compression (RFC 1035 section 4.1.4).

    start: the octets in front, from the message's first one on; ``question`` is the name in them at offset 12.
    """

    def __init__(self, start: bytes, question: bytes = b"") -> None:
        self.buffer = bytearray(start)
        self._offsets: dict[bytes, int] = {}
        if question:
            self._remember(question, 12)

    def _remember(self, name: bytes, offset: int) -> None:
        position = 0
        while length := name[position]:
            if offset + position >= _POINTER_LIMIT:
                return
            self._offsets.setdefault(name[position:], offset + position)
            position += 1 + length

    def write_name(self, name: bytes, *, compress: bool = True) -> None:
        """Write a name. Suffixes match with their case, so that compression never changes a letter."""
        buffer = self.buffer
        if not compress:
            self._remember(name, len(buffer))
            buffer += name
            return
        position = 0
        start = len(buffer)
        while length := name[position]:
            offset = self._offsets.get(name[position:])
            if offset is not None:
                buffer += (0xC000 | offset).to_bytes(2, "big")
                return
            if start + position < _POINTER_LIMIT:
                self._offsets[name[position:]] = start + position
            buffer += name[position : position + 1 + length]
            position += 1 + length
        buffer.append(0)

    def write_record(self, record: Record) -> None:
        """Write one record."""
        self.write_name(record.name)
        buffer = self.buffer
        layout = _LAYOUT.get(record.rtype)
        buffer += _FIXED.pack(record.rtype, record.rclass, record.ttl, 0 if layout else len(record.data))
        if not layout:
            buffer += record.data
            return
        start = len(buffer)
        self._write_data(record.data, layout)
        buffer[start - 2 : start] = (len(buffer) - start).to_bytes(2, "big")

    def _write_data(self, data: bytes, layout: str) -> None:
        position = 0
        for step in layout:
            if position >= len(data):
                return
            if step in "nu":
                end = position
                while length := data[end]:
                    end += 1 + length
                self.write_name(data[position : end + 1], compress=step == "n")
                position = end + 1
            else:
                count = len(data) - position if step == "*" else 1 + data[position] if step == "s" else int(step)
                self.buffer += data[position : position + count]
                position += count
