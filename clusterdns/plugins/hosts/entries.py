# SPDX-License-Identifier: Apache-2.0
"""The lines of a hosts file (hosts(5)) as names with addresses, and addresses with names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

from clusterdns.dns import names
from clusterdns.errors import WireError

MAX_NAMES_OF_ADDRESS: Final = 64
"""Names that an address points back to: lists of blocked names give one address to a million of them."""

_WILDCARD: Final = b"\x01*"

Addresses: TypeAlias = tuple[tuple[bytes, ...], tuple[bytes, ...]]
"""IPv4 and IPv6 addresses in network order."""


class Entries:
    """What the lines say about names in some zones, by default all. Names are in lower-case wire form.

    addresses: by name; ``*`` as the first label of a name is a wildcard.
    pointers: names by reverse name, in the order of the lines.
    count: pairs of a name and an address, and of an address and a name.
    """

    def __init__(self, lines: Iterable[str], *, zones: tuple[bytes, ...] = (names.ROOT,), reverse: bool = True) -> None:
        self.addresses: dict[bytes, Addresses] = {}
        self.pointers: dict[bytes, tuple[bytes, ...]] = {}
        self.count = 0
        for address, line_names in _parse(lines):
            version = len(address) > 4
            pointer = reverse_name(address) if reverse and any(address) else b""
            for name in line_names:
                if not any(names.is_in(name, zone) for zone in zones):
                    continue
                found = self.addresses.get(name, ((), ()))
                if address not in found[version]:
                    family = (*found[version], address)
                    self.addresses[name] = (found[0], family) if version else (family, found[1])
                    self.count += 1
                if pointer and not name.startswith(_WILDCARD):
                    self._point(pointer, name)

    def _point(self, pointer: bytes, name: bytes) -> None:
        pointed = self.pointers.get(pointer, ())
        if len(pointed) < MAX_NAMES_OF_ADDRESS and name not in pointed:
            self.pointers[pointer] = (*pointed, name)
            self.count += 1

    def find(self, key: bytes) -> Addresses | None:
        """The addresses of a name, or of the wildcard for names with one label more; None if there is neither."""
        found = self.addresses.get(key)
        if found is None and key != names.ROOT:
            found = self.addresses.get(_WILDCARD + key[1 + key[0] :])
        return found


def is_entry(line: str) -> bool:
    """True if a line says something."""
    return any(line_names for _, line_names in _parse((line,)))


def reverse_name(address: bytes) -> bytes:
    """The name in the reverse tree of an address in network order (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    if len(address) == 4:
        labels = [str(octet).encode() for octet in reversed(address)]
        return names.from_labels(labels, _IN_ADDR)
    return b"".join([b"\x01%x\x01%x" % (octet & 15, octet >> 4) for octet in reversed(address)]) + _IP6


_IN_ADDR: Final = names.from_text("in-addr.arpa.")
_IP6: Final = names.from_text("ip6.arpa.")


def _parse(lines: Iterable[str]) -> Iterator[tuple[bytes, list[bytes]]]:
    """Addresses and the names behind them. What can't be read is left out, as it is by all readers of such files."""
    previous, address = "", b""
    for line in lines:
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        if words[0] != previous:  # blocked names come in long runs with one address
            previous = words[0]
            address = _parse_address(previous)
        if address:
            yield address, [name for word in words[1:] if (name := _parse_name(word))]


def _parse_address(word: str) -> bytes:
    try:
        address = ip_address(word.partition("%")[0])
    except ValueError:
        return b""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed


def _parse_name(word: str) -> bytes:
    try:
        name = names.from_text(word).lower()
    except WireError:
        return b""
    return b"" if name == names.ROOT else name
