# SPDX-License-Identifier: Apache-2.0
"""Addresses of this machine's network interfaces, asked of the system by getifaddrs(3)."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator

import msgspec

# Linux has a 16-bit family at the start of a socket address; the BSDs have a length octet before an 8-bit one.
_FAMILY = slice(0, 2) if sys.platform == "linux" else slice(1, 2)
_IPV4 = slice(4, 8)
_IPV6 = slice(8, 24)
_SOCKADDR_BYTES: dict[int, int] = {socket.AF_INET: 16, socket.AF_INET6: 28}


class InterfaceAddress(msgspec.Struct, frozen=True):
    """An address that an interface has; link-local IPv6 ones end in ``%interface``."""

    interface: str
    address: str

    @property
    def is_routable(self) -> bool:
        """True unless it is a loopback, link-local or unspecified address."""
        address = ipaddress.ip_address(self.address)
        return not (address.is_loopback or address.is_link_local or address.is_unspecified)


class _Ifaddrs(ctypes.Structure):
    """struct ifaddrs, as far as it is read."""


_Ifaddrs._fields_ = [
    ("next", ctypes.POINTER(_Ifaddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def interface_addresses(name: str) -> tuple[str, ...]:
    """The IP addresses of an interface, in the system's order; empty if it has none or doesn't exist."""
    return tuple(entry.address for entry in all_addresses() if entry.interface == name)


def local_addresses() -> tuple[str, ...]:
    """The addresses of all interfaces, each once, without loopback and link-local ones."""
    return tuple(dict.fromkeys(entry.address for entry in all_addresses() if entry.is_routable))


def all_addresses() -> tuple[InterfaceAddress, ...]:
    """Every IP address of every interface. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_Ifaddrs)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    try:
        return tuple(_walk(first))
    finally:
        libc.freeifaddrs(first)


def _walk(entry: ctypes._Pointer[_Ifaddrs]) -> Iterator[InterfaceAddress]:
    while entry:
        interface = entry.contents
        if interface.address:
            name = os.fsdecode(interface.name)
            raw = ctypes.string_at(interface.address, 2)
            size = _SOCKADDR_BYTES.get(int.from_bytes(raw[_FAMILY], sys.byteorder))
            if size is not None:
                yield InterfaceAddress(name, _address_text(ctypes.string_at(interface.address, size), name))
        entry = interface.next


def _address_text(raw: bytes, interface: str) -> str:
    if len(raw) == _SOCKADDR_BYTES[socket.AF_INET]:
        return str(ipaddress.IPv4Address(raw[_IPV4]))
    address = ipaddress.IPv6Address(raw[_IPV6])
    return f"{address}%{interface}" if address.is_link_local else str(address)
