# SPDX-License-Identifier: Apache-2.0
"""The parameters of SVCB and HTTPS records (RFC 9460 section 2.1 and appendix A)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from clusterdns.dns.records.fields import Octets, Word, Words, decode_escapes, quoted_text
from clusterdns.errors import WireError

_MANDATORY: Final = 0
_ALPN: Final = 1
_NO_DEFAULT_ALPN: Final = 2
_PORT: Final = 3
_IPV4_HINT: Final = 4
_ECH: Final = 5
_IPV6_HINT: Final = 6
_NAMES: Final = {
    _MANDATORY: "mandatory",
    _ALPN: "alpn",
    _NO_DEFAULT_ALPN: "no-default-alpn",
    _PORT: "port",
    _IPV4_HINT: "ipv4hint",
    _ECH: "ech",
    _IPV6_HINT: "ipv6hint",
}
_KEYS: Final = {name: key for key, name in _NAMES.items()}


class ServiceParameters:
    """``KEY[=VALUE]…``, written in the order of the keys' numbers."""

    def encode(self, words: Words) -> bytes:
        found: dict[int, bytes] = {}
        for name, text in _pairs(words.rest()):
            key = _parse_key(name)
            if key in found:
                raise WireError(f"{name} is there twice")
            found[key] = _encode_value(key, name, text)
        _check_mandatory(found)
        return b"".join(
            key.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value for key, value in sorted(found.items())
        )

    def decode(self, octets: Octets) -> str:
        out = []
        last = -1
        found: dict[int, bytes] = {}
        while not octets.empty:
            key = int.from_bytes(octets.take(2), "big")
            value = octets.take(int.from_bytes(octets.take(2), "big"))
            if key <= last:
                raise WireError("service parameters are not in order")
            last = key
            found[key] = value
            out.append(_decode_value(key, value))
        _check_mandatory(found)
        return " ".join(out)


def _pairs(words: list[Word]) -> Iterator[tuple[str, str | None]]:
    """Keys and values. ``key="a b"`` comes as two words, the second one quoted."""
    position = 0
    while position < len(words):
        name, separator, text = words[position].text.partition("=")
        position += 1
        if separator and not text and position < len(words) and words[position].quoted:
            text = words[position].text
            position += 1
        yield name, text if separator else None


def _parse_key(name: str) -> int:
    key = _KEYS.get(name.lower())
    if key is not None:
        return key
    digits = name[3:]
    if name[:3].lower() == "key" and digits.isascii() and digits.isdigit() and len(digits) < 6 and int(digits) < 65535:
        return int(digits)
    raise WireError(f"not a service parameter: {name[:40]}")


def _key_name(key: int) -> str:
    return _NAMES.get(key) or f"key{key}"


def _encode_value(key: int, name: str, text: str | None) -> bytes:
    if key == _NO_DEFAULT_ALPN:
        if text:
            raise WireError(f"{name} has no value")
        return b""
    if key > _IPV6_HINT:
        return decode_escapes(text or "")
    if not text:
        raise WireError(f"{name} needs a value")
    try:
        return _encode_known(key, text)
    except (AddressValueError, binascii.Error, ValueError):
        raise WireError(f"not a value of {name}: {text[:40]}") from None


def _encode_known(key: int, text: str) -> bytes:
    """Raises ValueError, WireError."""
    if key == _ALPN:
        return b"".join([bytes((len(part),)) + part for part in _split_list(decode_escapes(text))])
    if key == _PORT:
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            raise ValueError(text)
        port = int(text)
        if port > 65535:
            raise ValueError(text)
        return port.to_bytes(2, "big")
    if key == _ECH:
        return base64.b64decode(text, validate=True)
    parts = text.split(",")
    if key == _IPV4_HINT:
        return b"".join([IPv4Address(part).packed for part in parts])
    if key == _IPV6_HINT:
        return b"".join([IPv6Address(part).packed for part in parts])
    keys = sorted(_parse_key(part) for part in parts)
    if len(set(keys)) < len(keys):
        raise ValueError(text)
    return b"".join([number.to_bytes(2, "big") for number in keys])


def _split_list(octets: bytes) -> list[bytes]:
    r"""The parts between commas; ``\,`` and ``\\`` stand for themselves (RFC 9460 appendix A.1)."""
    parts = [bytearray()]
    escaped = False
    for octet in octets:
        if escaped or octet not in b",\\":
            parts[-1].append(octet)
            escaped = False
        elif octet == 0x2C:
            parts.append(bytearray())
        else:
            escaped = True
    if escaped or not all(0 < len(part) < 256 for part in parts):
        raise ValueError(octets)
    return [bytes(part) for part in parts]


def _decode_value(key: int, value: bytes) -> str:
    name = _key_name(key)
    if key == _NO_DEFAULT_ALPN:
        if value:
            raise WireError(f"{name} has no value")
        return name
    if key > _IPV6_HINT:
        return f"{name}={quoted_text(value)}" if value else name
    octets = Octets(value)
    if octets.empty:
        raise WireError(f"{name} needs a value")
    parts: list[bytes] = []
    while not octets.empty:
        if key == _ALPN:
            part = octets.take(octets.take(1)[0])
            parts.append(part.replace(b"\\", b"\\\\").replace(b",", b"\\,"))
            if not part:
                raise WireError("an empty protocol")
        elif key == _ECH:
            parts.append(base64.b64encode(octets.rest()))
        elif key == _IPV4_HINT:
            parts.append(str(IPv4Address(octets.take(4))).encode())
        elif key == _IPV6_HINT:
            parts.append(str(IPv6Address(octets.take(16))).encode())
        else:
            number = int.from_bytes(octets.take(2), "big")
            parts.append((_key_name(number) if key == _MANDATORY else str(number)).encode())
    if key in (_PORT,) and len(parts) > 1:
        raise WireError("more than one port")
    return f"{name}={quoted_text(b','.join(parts))}"


def _check_mandatory(found: dict[int, bytes]) -> None:
    """Raises WireError unless what ``mandatory`` names is there (RFC 9460 section 8)."""
    value = found.get(_MANDATORY, b"")
    keys = [int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2)]
    if any(key == _MANDATORY or key not in found for key in keys) or sorted(set(keys)) != keys:
        raise WireError("mandatory names parameters that are not there")
