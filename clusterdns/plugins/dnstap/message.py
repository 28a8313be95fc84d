# SPDX-License-Identifier: Apache-2.0
"""dnstap messages as octets: the part of the schema that a server needs, in the encoding of Protocol Buffers.

The schema is https://github.com/dnstap/dnstap.pb. A field is a key, its number times eight plus the kind of its value,
and the value: a variable-length integer (0), a length and so many octets (2), or four octets (5). Fields are written in
the order of their numbers, so that equal messages are equal octets.
"""

from __future__ import annotations

import enum
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

import msgspec

_SECOND: Final = 1_000_000_000
_REMEMBERED: Final = 4096


class Kind(enum.IntEnum):
    """``Message.Type``; queries are odd."""

    CLIENT_QUERY = 5
    CLIENT_RESPONSE = 6
    FORWARDER_QUERY = 7
    FORWARDER_RESPONSE = 8


class SocketProtocol(enum.IntEnum):
    """How messages travel."""

    UDP = 1
    TCP = 2
    DOT = 3


class Message(msgspec.Struct, frozen=True, gc=False):
    """A query, or a response and the query before it.

    query_address, query_port: who asks; response_address, response_port: who is asked. The addresses are text, empty
    where they aren't known.
    query_ns, response_ns: when they were sent, in nanoseconds since the epoch; 0 where it isn't known.
    octets: the DNS message, empty to leave it out.
    """

    kind: Kind
    protocol: SocketProtocol
    query_address: str = ""
    query_port: int = 0
    response_address: str = ""
    response_port: int = 0
    query_ns: int = 0
    response_ns: int = 0
    octets: bytes = b""


@lru_cache(maxsize=_REMEMBERED)
def varint(value: int) -> bytes:
    """A variable-length integer: seven bits an octet, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(number: int, value: int) -> bytes:
    """An integer field."""
    return varint(number << 3) + varint(value)


def octets(number: int, value: bytes) -> bytes:
    """A field of octets, of text or of another message."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed(number: int, value: int) -> bytes:
    """A field of four octets."""
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


@lru_cache(maxsize=_REMEMBERED)
def _packed(address: str) -> bytes:
    return ip_address(address.partition("%")[0]).packed


@lru_cache(maxsize=_REMEMBERED)
def _socket(kind: Kind, protocol: SocketProtocol, query_address: str, response_address: str) -> bytes:
    """The fields up to the addresses, which must be of one family; clients come again."""
    addresses = [_packed(address) if address else b"" for address in (query_address, response_address)]
    known = addresses[0] or addresses[1]
    parts = [integer(1, kind), integer(2, 1 if len(known) == 4 else 2) if known else b"", integer(3, protocol)]
    parts += [
        octets(4 + place, packed) for place, packed in enumerate(addresses) if packed and len(packed) == len(known)
    ]
    return b"".join(parts)


def encode_message(message: Message) -> bytes:
    """The fields of ``Message``."""
    is_query = message.kind & 1
    parts = [_socket(message.kind, message.protocol, message.query_address, message.response_address)]
    if message.query_port:
        parts.append(integer(6, message.query_port))
    if message.response_port:
        parts.append(integer(7, message.response_port))
    if message.query_ns:
        parts += (integer(8, message.query_ns // _SECOND), fixed(9, message.query_ns % _SECOND))
    if message.octets and is_query:
        parts.append(octets(10, message.octets))
    if message.response_ns:
        parts += (integer(12, message.response_ns // _SECOND), fixed(13, message.response_ns % _SECOND))
    if message.octets and not is_query:
        parts.append(octets(14, message.octets))
    return b"".join(parts)


class Envelope:
    """``Dnstap``, the message around each message.

    identity: of this server, version: of this program; empty ones are left out.
    """

    def __init__(self, identity: bytes, version: bytes) -> None:
        self._head = b"".join([octets(number, text) for number, text in ((1, identity), (2, version)) if text])
        self._tail = integer(15, 1)

    def encode(self, message: Message, extra: bytes = b"") -> bytes:
        """The payload of a data frame; ``extra`` is free text that goes with the message."""
        head = self._head + octets(3, extra) if extra else self._head
        return head + octets(14, encode_message(message)) + self._tail
