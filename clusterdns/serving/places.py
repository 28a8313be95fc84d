# SPDX-License-Identifier: Apache-2.0
"""Where an operator asks a running server: places that nobody else can reach."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, TypeAlias

UNIX: Final = "unix:"

Place: TypeAlias = str | tuple[str, int]
"""The path of a Unix socket, or a loopback address and a port."""


def parse_place(text: str) -> Place:
    """The place of ``unix:PATH`` or ``ADDRESS:PORT``. Raises ValueError, whose text says what to write."""
    if text.startswith(UNIX):
        path = text.removeprefix(UNIX)
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError("the path of a Unix socket is absolute: unix:/run/clusterdns/explain.sock")
        return path
    host, colon, port = text.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        address = None
    if not colon or address is None or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ValueError("write unix:PATH, or a loopback address and a port, as in 127.0.0.1:8055")
    if not address.is_loopback:
        raise ValueError("others could reach this address: take unix:PATH, 127.0.0.1:PORT or [::1]:PORT")
    return str(address), int(port)
