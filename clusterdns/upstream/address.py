# SPDX-License-Identifier: Apache-2.0
"""Where an upstream is: the forms in which a Corefile names it, and those of resolv.conf(5)."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

import msgspec

from clusterdns.errors import UpstreamError

DNS: Final = "dns"
TLS: Final = "tls"
PORTS: Final = {DNS: 53, TLS: 853, "https": 443}

_HOST_NAME: Final = re.compile(r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")
_HAS_LETTER: Final = re.compile(r"[A-Za-z]")


class Endpoint(msgspec.Struct, frozen=True):
    """An upstream. ``str()`` gives ``127.0.0.1:53`` or ``[::1]:53``, as in the metrics' label ``to``.

    host: an IP address, link-local ones with their scope (``fe80::1%eth0``).
    transport: ``dns`` or ``tls``.
    server_name: the name that a certificate must have; empty where the address itself or a setting says it.
    """

    host: str
    port: int = 53
    transport: str = DNS
    server_name: str = ""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Named(msgspec.Struct, frozen=True):
    """An upstream that has to be looked up: a file like resolv.conf, or a host name.

    text: as written; host, port: for a host name; is_name: False if only a file can be meant.
    """

    text: str
    host: str
    port: int
    transport: str
    is_name: bool


def parse_upstream(text: str) -> Endpoint | Named:
    """An upstream as written in a Corefile.

    ``IP``, ``IP:PORT``, ``[IP]:PORT``, ``fe80::1%eth0``, with ``dns://`` or ``tls://`` in front, for ``tls://`` with
    ``%SERVERNAME`` behind the address; else a path or a host name with or without port. Raises UpstreamError.
    """
    transport, separator, rest = text.partition("://")
    if not separator:
        transport, rest = DNS, text
    if not rest:
        raise UpstreamError(f'invalid address: "{text}"')
    if transport not in PORTS:
        raise UpstreamError(f"'{transport}' is not supported as a destination protocol in forward: {text}")
    if transport == "https":
        if "/" in rest:
            raise UpstreamError(
                "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used by default): " + text
            )
        raise UpstreamError("https:// isn't implemented yet")
    host, scope, port = _split(rest)
    if _is_address(host):
        number = PORTS[transport] if port is None else _port(port, text)
        if transport == TLS:
            return Endpoint(_plain(host), number, TLS, scope)
        return Endpoint(_plain(host) + (f"%{scope}" if scope else ""), number, transport)
    is_name = not scope and _HOST_NAME.fullmatch(host) is not None and _HAS_LETTER.search(host) is not None
    if not is_name and ("/" not in rest or transport != DNS):
        raise UpstreamError(f'failed to resolve "{text}": lookup {rest}: no such host')
    number = PORTS[transport] if port is None or not is_name else _port(port, text)
    return Named(text, host, number, transport, is_name)


def _split(text: str) -> tuple[str, str, str | None]:
    """Host, scope or server name, and port."""
    if text.startswith("["):
        host, _, behind = text[1:].partition("]")
        host, _, scope = host.partition("%")
        if behind.startswith("%") and not scope:
            scope, colon, port = behind[1:].partition(":")
            return host, scope, port if colon else None
        return host, scope, behind[1:] if behind.startswith(":") else None
    host, percent, scope = text.partition("%")
    if percent:
        scope, colon, port = scope.partition(":")
        if not colon and host.count(":") == 1:
            host, colon, port = host.partition(":")
        return host, scope, port if colon else None
    if host.count(":") == 1:
        host, _, port = host.partition(":")
        return host, "", port
    return host, "", None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _plain(text: str) -> str:
    return str(ip_address(text))


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise UpstreamError(f'invalid port in address: "{whole}"')
    return int(text)


def parse_resolver(text: str) -> Endpoint:
    """``IP`` or ``IP:PORT``. Raises UpstreamError."""
    try:
        endpoint = parse_upstream(text)
    except UpstreamError:
        endpoint = None
    if not isinstance(endpoint, Endpoint) or endpoint.transport != DNS or "://" in text:
        raise UpstreamError(f'resolver must be an IP address or IP:port: "{text}"')
    return endpoint


def parse_resolv_conf(text: str) -> tuple[Endpoint, ...]:
    """The name servers in the text of a file like resolv.conf, in its order; other lines don't count."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        host, _, scope = words[1].partition("%")
        if _is_address(host):
            found.append(Endpoint(_plain(host) + (f"%{scope}" if scope else "")))
    return tuple(dict.fromkeys(found))
