# SPDX-License-Identifier: Apache-2.0
"""Which proxy the environment names for a URL, as CoreDNS' client library reads it: HTTPS_PROXY, HTTP_PROXY and
NO_PROXY in upper or lower case. Loopback addresses are never asked through a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def environment_proxy(url: str, environ: Mapping[str, str]) -> str:
    """The URL of the proxy for an http or https URL; empty for none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    if not proxy or not host or _exempt(host, parts.port, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _exempt(host: str, port: int | None, no_proxy: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    for entry in filter(None, (part.strip().lower() for part in no_proxy.split(","))):
        if entry == "*" or _matches(entry, host.lower(), port, address):
            return True
    return False


def _matches(
    entry: str, host: str, port: int | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    """NO_PROXY knows addresses, networks, and names, which stand for all below them too; ``.name`` only for those."""
    network = _network(entry)
    if network is not None:
        return address is not None and address in network
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdecimal():
        if int(entry_port) != port:
            return False
        entry = name.strip("[]")
    if address is not None:
        return _address(entry) == address
    entry = entry.removeprefix("*")
    return host.endswith(entry) if entry.startswith(".") else host == entry or host.endswith(f".{entry}")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
