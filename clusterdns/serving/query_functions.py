# SPDX-License-Identifier: Apache-2.0
"""The functions by which expressions of ``template`` and ``view`` ask about a query: ``type()``, ``client_ip()`` …"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from clusterdns.dns import names
from clusterdns.dns.types import class_text, type_text
from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.types import BOOL, INT, STRING, Signature
from clusterdns.serving.query import Query

SIGNATURES: Final[Mapping[str, Signature]] = {
    **dict.fromkeys(
        ("type", "name", "class", "proto", "client_ip", "port", "server_ip", "server_port"), Signature((), STRING)
    ),
    **dict.fromkeys(("size", "bufsize", "id", "opcode"), Signature((), INT)),
    "do": Signature((), BOOL),
    "incidr": Signature((STRING, STRING), BOOL),
    "metadata": Signature((STRING,), STRING),
}

OF_THE_CLIENT: Final = frozenset(("proto", "client_ip", "port", "server_ip", "server_port", "id", "metadata"))
"""Those whose value isn't decided by the bytes of the query behind its ID."""


def query_functions(query: Query) -> dict[str, Callable[..., object]]:
    """The functions of SIGNATURES for one query."""
    client = query.client
    return {
        "type": lambda: type_text(query.qtype),
        "name": lambda: names.to_text(query.key),
        "class": lambda: class_text(query.qclass),
        "proto": lambda: client.protocol,
        "client_ip": lambda: client.address,
        "port": lambda: str(client.port),
        "server_ip": lambda: client.local_address,
        "server_port": lambda: str(client.local_port),
        "size": lambda: len(query.packet),
        "bufsize": lambda: query.size_limit,
        "id": lambda: query.id,
        "opcode": lambda: query.opcode,
        "do": lambda: query.edns is not None and query.edns.do,
        "incidr": incidr,
        "metadata": query.metadata.get,
    }


def incidr(address: str, network: str) -> bool:
    """Whether an address is in a network; IPv4-mapped addresses are IPv4. Raises ExpressionError."""
    ip = _address(address)
    if ip is None:
        raise ExpressionError("first argument is not an IP address")
    return ip in _network(network)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


@lru_cache(maxsize=256)
def _network(text: str) -> IPv4Network | IPv6Network:
    address, slash, bits = text.partition("/")
    try:
        if not (slash and bits.isascii() and bits.isdecimal() and address.isascii()) or "%" in address:
            raise ValueError(text)
        return ip_network(text, strict=False)
    except ValueError:
        raise ExpressionError(f"invalid CIDR address: {text}") from None
