# SPDX-License-Identifier: Apache-2.0
"""Addresses of admin endpoints as directives take them: ``:8080``, ``localhost:9153``, ``[::1]:8181``."""

from __future__ import annotations

import msgspec

from clusterdns.config.directive import Token
from clusterdns.errors import ConfigError

_MAX_PORT = 65535


class HostPort(msgspec.Struct, frozen=True):
    """Where to listen: an empty host means all addresses, port 0 any free port. IPv6 hosts are without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """The address written as ``HOST:PORT``. Raises ValueError in Go's words."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif not colon or text.endswith("]"):
        raise ValueError(f"address {text}: missing port in address")
    elif ":" in host:
        raise ValueError(f"address {text}: too many colons in address")
    if "[" in host or "]" in host:
        raise ValueError(f"address {text}: unexpected bracket in address")
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > _MAX_PORT:
        raise ValueError(f"address {port}: invalid port")
    return HostPort(host, int(port))


def listen_address(token: Token) -> HostPort:
    """The argument of a directive as an address. Raises ConfigError."""
    try:
        return parse_host_port(token.text)
    except ValueError as error:
        raise token.error(
            str(error), label=ConfigError.NO_POSITION, hint="write it as HOST:PORT, or :PORT for all addresses"
        ) from None
