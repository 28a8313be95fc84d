# SPDX-License-Identifier: Apache-2.0
"""The kinds of fields that record data is made of, between zone-file words and wire bytes.

A field reads the words it needs and gives bytes; the other way it reads bytes and gives words. Record data is always
uncompressed here (see ``dns.wire``).
"""

from __future__ import annotations

import base64
import binascii
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Protocol

import msgspec

from clusterdns.dns import names
from clusterdns.errors import WireError

_TTL_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MAX_TTL_SECONDS = 0x7FFFFFFF
"""RFC 2181 section 8: the most significant bit of a TTL is zero."""


class Word(msgspec.Struct, frozen=True):
    """A word of a zone file: escapes still in it, quotation marks taken off."""

    text: str
    quoted: bool = False


class Words:
    """The words of one record's data, read from left to right. ``origin`` completes relative names."""

    def __init__(self, words: list[Word], origin: bytes) -> None:
        self._words = words
        self._position = 0
        self.origin = origin

    def next(self, what: str) -> Word:
        """The next word. Raises WireError if there is none; ``what`` says what is missing."""
        if self._position >= len(self._words):
            raise WireError(f"{what} is missing")
        self._position += 1
        return self._words[self._position - 1]

    def rest(self) -> list[Word]:
        """All words that are left."""
        words = self._words[self._position :]
        self._position = len(self._words)
        return words


class Octets:
    """Record data, read from left to right."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` octets. Raises WireError if there are fewer."""
        end = self._position + count
        if end > len(self._data):
            raise WireError("record data is shorter than its type says")
        part = self._data[self._position : end]
        self._position = end
        return part

    def rest(self) -> bytes:
        """All octets that are left."""
        return self.take(len(self._data) - self._position)

    @property
    def empty(self) -> bool:
        """True if all is read."""
        return self._position == len(self._data)


class Field(Protocol):
    """One field of record data. Both directions raise WireError."""

    def encode(self, words: Words) -> bytes:
        """Zone-file words to wire bytes."""

    def decode(self, octets: Octets) -> str:
        """Wire bytes to zone-file words."""


def parse_ttl(text: str) -> int | None:
    """Seconds of a TTL such as ``3600``, ``1h`` or ``1h30m`` (RFC 1035 with BIND's units); None if it is none.

    Raises WireError if it is out of range.
    """
    total = 0
    digits = ""
    for char in text:
        if char in "0123456789":
            digits += char
            continue
        unit = _TTL_UNITS.get(char.lower())
        if unit is None or not digits:
            return None
        total += int(digits[:12]) * unit
        digits = ""
    if not text:
        return None
    total += int(digits[:12] or "0")
    if total > MAX_TTL_SECONDS:
        raise WireError(f"TTL is out of range: {text[:40]}")
    return total


def decode_escapes(text: str) -> bytes:
    r"""The octets of a character string with ``\X`` and ``\DDD`` escapes (RFC 1035 section 5.1). Raises WireError."""
    raw = text.encode("utf-8", "surrogateescape")
    if b"\\" not in raw:
        return raw
    out = bytearray()
    position = 0
    while position < len(raw):
        octet = raw[position]
        position += 1
        if octet == 0x5C:
            digits = raw[position : position + 3]
            if len(digits) == 3 and digits.isdigit() and int(digits) <= 255:
                octet = int(digits)
                position += 3
            elif digits and not digits[:1].isdigit():
                octet = raw[position]
                position += 1
            else:
                raise WireError(f"bad escape in string: {text[:80]}")
        out.append(octet)
    return bytes(out)


def quoted_text(octets: bytes) -> str:
    """Octets as a quoted character string."""
    out = []
    for octet in octets:
        if octet in b'"\\':
            out.append("\\" + chr(octet))
        elif 0x20 <= octet <= 0x7E:
            out.append(chr(octet))
        else:
            out.append(f"\\{octet:03d}")
    return '"' + "".join(out) + '"'


class Integer:
    """An unsigned number of ``octets`` octets."""

    def __init__(self, octets: int, what: str) -> None:
        self._octets = octets
        self._what = what

    def encode(self, words: Words) -> bytes:
        text = words.next(self._what).text
        if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) >= 1 << 8 * self._octets:
            raise WireError(f"{self._what} is not a number from 0 to {(1 << 8 * self._octets) - 1}: {text[:40]}")
        return int(text).to_bytes(self._octets, "big")

    def decode(self, octets: Octets) -> str:
        return str(int.from_bytes(octets.take(self._octets), "big"))


class Seconds:
    """A duration in four octets, written like a TTL."""

    def __init__(self, what: str) -> None:
        self._what = what

    def encode(self, words: Words) -> bytes:
        text = words.next(self._what).text
        seconds = parse_ttl(text)
        if seconds is None:
            raise WireError(f"{self._what} is not a number of seconds: {text[:40]}")
        return seconds.to_bytes(4, "big")

    def decode(self, octets: Octets) -> str:
        return str(int.from_bytes(octets.take(4), "big"))


class Name:
    """A domain name."""

    def encode(self, words: Words) -> bytes:
        return names.from_text(words.next("name").text, words.origin)

    def decode(self, octets: Octets) -> str:
        parts = []
        while length := octets.take(1)[0]:
            if length > names.MAX_LABEL_BYTES:
                raise WireError("record data holds a bad name")
            parts.append(octets.take(length))
        return names.to_text(names.from_labels(parts))


class Ipv4:
    """An IPv4 address."""

    def encode(self, words: Words) -> bytes:
        text = words.next("IPv4 address").text
        try:
            return IPv4Address(text).packed
        except AddressValueError:
            raise WireError(f"not an IPv4 address: {text[:80]}") from None

    def decode(self, octets: Octets) -> str:
        return str(IPv4Address(octets.take(4)))


class Ipv6:
    """An IPv6 address."""

    def encode(self, words: Words) -> bytes:
        text = words.next("IPv6 address").text
        try:
            address = IPv6Address(text)
        except AddressValueError:
            raise WireError(f"not an IPv6 address: {text[:80]}") from None
        if address.scope_id is not None:
            raise WireError(f"an address in a record has no scope: {text[:80]}")
        return address.packed

    def decode(self, octets: Octets) -> str:
        address = IPv6Address(octets.take(16))
        return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else str(address)


class String:
    """A character string of at most 255 octets."""

    def encode(self, words: Words) -> bytes:
        return _counted(decode_escapes(words.next("string").text))

    def decode(self, octets: Octets) -> str:
        return quoted_text(octets.take(octets.take(1)[0]))


class Strings:
    """One or more character strings up to the end of the data (RFC 1035 section 3.3.14)."""

    def encode(self, words: Words) -> bytes:
        strings = words.rest()
        if not strings:
            raise WireError("string is missing")
        return b"".join([_counted(decode_escapes(word.text)) for word in strings])

    def decode(self, octets: Octets) -> str:
        parts = []
        while not octets.empty:
            parts.append(quoted_text(octets.take(octets.take(1)[0])))
        return " ".join(parts)


def _counted(octets: bytes) -> bytes:
    if len(octets) > 255:
        raise WireError("string is longer than 255 octets")
    return bytes((len(octets),)) + octets


class Text:
    """Octets up to the end of the data, written as one quoted string without a limit (RFC 8659 section 4.1)."""

    def encode(self, words: Words) -> bytes:
        return decode_escapes(words.next("string").text)

    def decode(self, octets: Octets) -> str:
        return quoted_text(octets.rest())


class Tag:
    """The property tag of a CAA record (RFC 8659 section 4.1): letters and digits."""

    def encode(self, words: Words) -> bytes:
        text = words.next("tag").text
        if not (text.isascii() and text.isalnum()):
            raise WireError(f"tag is not made of letters and digits: {text[:40]}")
        return _counted(text.encode())

    def decode(self, octets: Octets) -> str:
        tag = octets.take(octets.take(1)[0])
        if not tag.isalnum():
            raise WireError("tag is not made of letters and digits")
        return tag.decode("ascii")


class Hex:
    """Octets up to the end of the data in hexadecimal, which may be split into words."""

    def encode(self, words: Words) -> bytes:
        text = "".join([word.text for word in words.rest()])
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise WireError(f"not hexadecimal: {text[:40]}") from None

    def decode(self, octets: Octets) -> str:
        return octets.rest().hex().upper()


class Base64:
    """Octets up to the end of the data in base 64, which may be split into words."""

    def encode(self, words: Words) -> bytes:
        text = "".join([word.text for word in words.rest()])
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise WireError(f"not base 64: {text[:40]}") from None

    def decode(self, octets: Octets) -> str:
        return base64.b64encode(octets.rest()).decode("ascii")
