# SPDX-License-Identifier: Apache-2.0
"""IP addresses between text, octets, index keys and reverse names (RFC 1035 section 3.5, RFC 3596 section 2.5).

An index key orders addresses as the reverse tree does: what stands below a reverse name are the keys that start with
its prefix. IPv4 keys are the dotted text itself, so that an index holds no second copy of it; IPv6 keys are a colon
and 32 hex digits.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from clusterdns.dns import names

IN_ADDR: Final = names.from_text("in-addr.arpa.")
IP6: Final = names.from_text("ip6.arpa.")

_IPV6_KEY_LENGTH: Final = 33
_HEX: Final = frozenset(b"0123456789abcdef")


def encode_address(text: str) -> bytes:
    """4 or 16 octets. Raises ValueError."""
    if ":" in text:
        return IPv6Address(text).packed
    return IPv4Address(text).packed


def address_key(text: str) -> str:
    """The index key of an address in any spelling. Raises ValueError."""
    if ":" in text:
        return ":" + IPv6Address(text).packed.hex()
    return text


def is_publishable(text: str) -> bool:
    """True for an address that others can reach: no loopback, link-local, multicast or unspecified one."""
    address = ip_address(text.partition("%")[0])
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)


def parse_reverse(name: bytes) -> str | None:
    """The index key that a reverse name (lower case) stands for, or the prefix of the keys below it.

    ``10.in-addr.arpa`` gives ``10.``, ``1.0.0.10.in-addr.arpa`` gives ``10.0.0.1``; None for all other names.
    """
    start = names.suffix_offset(name, IN_ADDR)
    if start >= 0:
        parts = names.labels(name[:start] + names.ROOT)
        if len(parts) > 4 or not all(part.isdigit() for part in parts):
            return None
        text = ".".join([part.decode("ascii") for part in reversed(parts)])
        return text + "." if 0 < len(parts) < 4 else text
    start = names.suffix_offset(name, IP6)
    if start >= 0:
        nibbles = name[:start]
        if len(nibbles) > 64 or any(nibbles[i] != 1 or nibbles[i + 1] not in _HEX for i in range(0, len(nibbles), 2)):
            return None
        return ":" + nibbles[1::2][::-1].decode("ascii")
    return None


def reverse_name(key: str) -> bytes:
    """The reverse name of an address, given as index key; what ``parse_reverse`` undoes."""
    if key.startswith(":"):
        return b"".join([b"\x01" + nibble.encode("ascii") for nibble in reversed(key[1:])]) + IP6
    return names.from_labels([part.encode("ascii") for part in reversed(key.split("."))], IN_ADDR)


def is_full(key: str) -> bool:
    """True for the key of one address, False for a prefix."""
    return len(key) == _IPV6_KEY_LENGTH if key.startswith(":") else key.count(".") == 3 and not key.endswith(".")
