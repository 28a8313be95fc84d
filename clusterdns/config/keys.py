# SPDX-License-Identifier: Apache-2.0
"""Keys of server blocks, ``[SCHEME://]ZONE[:PORT]``, and zones as arguments of directives.

A zone is text here: absolute and lower case, ``cluster.local.``. A network (``10.0.0.0/8``) stands for its reverse
zones. Those exist only for whole octets (IPv4) and nibbles (IPv6), so a mask in between is rounded up and the network
becomes several zones.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from clusterdns.config.directive import Token
from clusterdns.dns import names
from clusterdns.errors import ConfigError, WireError

IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_OTHER_SCHEMES = ("tls", "quic", "grpc", "https", "https3")
_MAX_TEXT_BYTES = 255
_MAX_PORT = 65535
_MANY_DIGITS = 20
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
# Text before a "/" that is meant as an address, right or wrong. RFC 2317 zones (0/25.2.0.192.in-addr.arpa) aren't it.
_ADDRESS_LIKE = re.compile(r"[0-9]+(\.[0-9]*)+|[0-9a-fA-F.]*:[0-9a-fA-F:.]*", re.ASCII)
_PREFERRED_SYNTAX = re.compile(r"([A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+", re.ASCII)
_INSPECTING = "error inspecting server blocks: "


class Key(msgspec.Struct, frozen=True):
    """One zone that a server block answers, and where.

    zone: absolute, lower case (``cluster.local.``, ``10.in-addr.arpa.``, ``.``).
    transport: the scheme, ``dns``.
    port: 0 means any free port.
    token: the word of the Corefile.
    """

    zone: str
    transport: str
    port: int
    token: Token

    @property
    def address(self) -> str:
        """The key as CoreDNS writes it: ``dns://example.org.:53``."""
        return f"{self.transport}://{self.zone}:{self.port}"


def parse_key(token: Token, default_port: int) -> tuple[Key, ...]:
    """The key written as ``token``: several ones for a network that isn't a single reverse zone.

    Raises ConfigError at the word.
    """
    scheme, rest = _split_scheme(token)
    if _is_address(rest):
        raise _bare_address(token, rest)
    if rest.endswith(":"):
        raise token.error(
            f'{_INSPECTING}expecting data after last colon: "{rest}"',
            label=ConfigError.NO_POSITION,
            hint="write a port behind the colon, or remove it",
        )
    host, port = split_port(rest)
    if port is not None and not 0 <= port <= _MAX_PORT:
        raise token.error(
            f"address {port}: invalid port",
            label=ConfigError.NO_POSITION,
            hint=f"ports go from 0 (any free one) to {_MAX_PORT}",
        )
    if _is_address(host):
        raise _bare_address(token, host)
    zones = _parse_zone(token, host)
    return tuple(Key(zone, scheme, default_port if port is None else port, token) for zone in zones)


def expand_zones(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Zones written as arguments of a directive: the zones, and the words that aren't any.

    A scheme or port is cut off, a network becomes its reverse zones, and each zone is given once, in order.
    """
    zones: dict[str, None] = {}
    invalid: list[str] = []
    for word in words:
        host, _ = split_port(word.rpartition("://")[2])
        try:
            if word.endswith(":") or _is_address(host):
                raise ValueError(word)
            zones.update(dict.fromkeys(_zones(host)))
        except ValueError:
            invalid.append(word)
    return list(zones), invalid


def split_port(text: str) -> tuple[str, int | None]:
    """Cut the port off: what follows the last colon, if it is an integer."""
    host, colon, port = text.rpartition(":")
    if colon and _INTEGER.fullmatch(port):
        return host, int(port) if len(port) < _MANY_DIGITS else 10**_MANY_DIGITS
    return text, None


def reverse_zones(network: IPNetwork) -> Iterator[str]:
    """The reverse zones that make up the network, in the order of addresses."""
    step = 8 if network.version == 4 else 4
    bits = -(-network.prefixlen // step) * step
    for subnet in network.subnets(new_prefix=bits):
        if network.version == 4:
            parts = str(subnet.network_address).split(".")[: bits // 8]
            yield ".".join([*reversed(parts), "in-addr.arpa."])
        else:
            nibbles = subnet.network_address.exploded.replace(":", "")[: bits // 4]
            yield ".".join([*reversed(nibbles), "ip6.arpa."])


def is_reverse(zone: str) -> bool:
    """True for a reverse zone, ``in-addr.arpa.`` and ``ip6.arpa.`` included."""
    return is_within(zone, "in-addr.arpa.") or is_within(zone, "ip6.arpa.")


def is_within(zone: str, parent: str) -> bool:
    """True if ``zone`` is ``parent`` or below it; both as this module gives them."""
    return parent == "." or zone == parent or zone.endswith("." + parent)


def follows_preferred_syntax(zone: str) -> bool:
    """RFC 1035 section 2.3.1: labels of letters, digits and hyphens. The root and reverse zones need not."""
    return zone == "." or is_reverse(zone) or _PREFERRED_SYNTAX.fullmatch(zone) is not None


def syntax_warning(zone: str) -> str:
    """What there is to say about a zone that doesn't follow it, in CoreDNS's words."""
    return f'Domain "{zone}" does not follow RFC1035 preferred syntax'


def _split_scheme(token: Token) -> tuple[str, str]:
    scheme, separator, rest = token.text.partition("://")
    if not separator:
        return "dns", token.text
    if scheme in _OTHER_SCHEMES:
        raise token.error(f"{scheme}:// isn't implemented yet", hint="remove this key; dns:// is the only transport")
    if scheme != "dns":
        raise token.error(f"unknown scheme '{scheme}'", hint="write dns://ZONE:PORT, or the zone without a scheme")
    return scheme, rest


def _is_address(text: str) -> bool:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(inside)
    except ValueError:
        return False
    return True


def _bare_address(token: Token, text: str) -> ConfigError:
    mask = 64 if ":" in text else 24
    return token.error(
        f"zone is an IP address without a mask: {text}",
        hint=f"write {text.strip('[]')}/{mask} for a reverse zone; to listen on one address, use bind",
    )


def _parse_zone(token: Token, host: str) -> tuple[str, ...]:
    try:
        return _zones(host)
    except ValueError as error:
        hint = ""
        if not host:
            hint = "write a zone, . for all names"
        elif not host.isascii():
            hint = "write an internationalised name in its xn-- form"
        elif "/" in host:
            hint = "a network is written ADDRESS/MASK, with a mask of 0 to 32 (IPv4) or 1 to 128 (IPv6)"
        raise token.error(f"{_INSPECTING}{error}", label=ConfigError.NO_POSITION, hint=hint) from None


def _zones(host: str) -> tuple[str, ...]:
    """Raises ValueError with CoreDNS's text."""
    size = len(host.encode("utf-8", "surrogatepass"))
    if size > _MAX_TEXT_BYTES:
        raise ValueError(f"specified zone is too long: {size} > {_MAX_TEXT_BYTES}")
    zone = _absolute(host)
    address, slash, mask = host.partition("/")
    if not slash or not _ADDRESS_LIKE.fullmatch(address):
        return (zone,)
    if not (mask.isascii() and mask.isdigit()) or (":" in host and host[0] in ":0"):
        raise ValueError(f"invalid CIDR {host}")
    try:
        return tuple(reverse_zones(ipaddress.ip_network(f"{address}/{int(mask)}", strict=False)))
    except ValueError:
        raise ValueError(f"invalid CIDR {host}") from None


def _absolute(host: str) -> str:
    if not host or not host.isascii():
        raise ValueError(f"zone is not a valid domain name: {host}")
    try:
        name = names.from_text("\\@" if host == "@" else host)
    except WireError:
        raise ValueError(f"zone is not a valid domain name: {host}") from None
    return names.to_text(name.lower())
