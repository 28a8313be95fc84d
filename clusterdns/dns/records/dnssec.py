# SPDX-License-Identifier: Apache-2.0
"""Fields of the records that sign a zone and deny names in it (RFC 4034, RFC 5155)."""

from __future__ import annotations

import base64
import binascii
import calendar
import time

from clusterdns.dns.records.fields import Octets, Words
from clusterdns.dns.types import parse_type, type_text
from clusterdns.errors import WireError

_TIME_FORMAT = "%Y%m%d%H%M%S"
_TIME_DIGITS = 14


class TypeName:
    """A record type by its mnemonic."""

    def encode(self, words: Words) -> bytes:
        text = words.next("type").text
        number = parse_type(text)
        if number is None:
            raise WireError(f"not a record type: {text[:40]}")
        return number.to_bytes(2, "big")

    def decode(self, octets: Octets) -> str:
        return type_text(int.from_bytes(octets.take(2), "big"))


class Moment:
    """A time in UTC: fourteen digits ``YYYYMMDDHHmmSS``, or seconds since 1970 (RFC 4034 section 3.2)."""

    def __init__(self, what: str) -> None:
        self._what = what

    def encode(self, words: Words) -> bytes:
        text = words.next(self._what).text
        if not (text.isascii() and text.isdigit()) or len(text) > _TIME_DIGITS:
            raise WireError(f"{self._what} is not a time: {text[:40]}")
        seconds = int(text)
        if len(text) == _TIME_DIGITS:
            try:
                seconds = calendar.timegm(time.strptime(text, _TIME_FORMAT))
            except ValueError:
                raise WireError(f"{self._what} is not a time: {text}") from None
        if not 0 <= seconds <= 0xFFFFFFFF:
            raise WireError(f"{self._what} is out of range: {text}")
        return seconds.to_bytes(4, "big")

    def decode(self, octets: Octets) -> str:
        return time.strftime(_TIME_FORMAT, time.gmtime(int.from_bytes(octets.take(4), "big")))


class TypeBitmap:
    """The types that a name has, as windows of bits (RFC 4034 section 4.1.2)."""

    def encode(self, words: Words) -> bytes:
        windows: dict[int, bytearray] = {}
        for word in words.rest():
            number = parse_type(word.text)
            if number is None:
                raise WireError(f"not a record type: {word.text[:40]}")
            bits = windows.setdefault(number >> 8, bytearray(32))
            bits[(number & 255) >> 3] |= 0x80 >> (number & 7)
        out = []
        for window, bits in sorted(windows.items()):
            used = bytes(bits).rstrip(b"\0")
            out.append(bytes((window, len(used))) + used)
        return b"".join(out)

    def decode(self, octets: Octets) -> str:
        types = []
        last = -1
        while not octets.empty:
            window, length = octets.take(2)
            bits = octets.take(length)
            if window <= last or not 1 <= length <= 32 or not bits[-1]:
                raise WireError("the types of a name are not as they should be written")
            last = window
            types += [
                type_text(window << 8 | position << 3 | bit)
                for position, octet in enumerate(bits)
                for bit in range(8)
                if octet & 0x80 >> bit
            ]
        return " ".join(types)


class Salt:
    """At most 255 octets in hexadecimal, ``-`` for none (RFC 5155 section 3.3)."""

    def encode(self, words: Words) -> bytes:
        text = words.next("salt").text
        try:
            salt = b"" if text == "-" else bytes.fromhex(text)
        except ValueError:
            raise WireError(f"not hexadecimal: {text[:40]}") from None
        if len(salt) > 255:
            raise WireError("salt is longer than 255 octets")
        return bytes((len(salt),)) + salt

    def decode(self, octets: Octets) -> str:
        return octets.take(octets.take(1)[0]).hex().upper() or "-"


class HashedName:
    """The hash of a name in base 32 with extended hexadecimal letters, without padding (RFC 5155 section 3.3)."""

    def encode(self, words: Words) -> bytes:
        text = words.next("hashed name").text
        try:
            octets = base64.b32hexdecode(text.upper() + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            raise WireError(f"not base 32: {text[:40]}") from None
        if not 1 <= len(octets) <= 255:
            raise WireError(f"not a hash: {text[:40]}")
        return bytes((len(octets),)) + octets

    def decode(self, octets: Octets) -> str:
        length = octets.take(1)[0]
        if not length:
            raise WireError("record data holds an empty hash")
        return base64.b32hexencode(octets.take(length)).decode("ascii").rstrip("=")
