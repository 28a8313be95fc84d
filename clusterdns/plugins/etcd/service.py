# SPDX-License-Identifier: Apache-2.0
"""SkyDNS messages: what a key of etcd says about a name, and where the keys of names are.

``www.example.org`` is at ``/skydns/org/example/www`` below the path ``/skydns``; keys further down speak of it, too.
"""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import msgspec

from clusterdns.dns import names

DEFAULT_PRIORITY: Final = 10
DEFAULT_TTL_SECONDS: Final = 300
_WILDCARDS: Final = frozenset(("*", "any"))
_MOST_UINT32: Final = 0xFFFF_FFFF
_MOST_TTL_SECONDS: Final = 0x7FFF_FFFF


class Kind(enum.Enum):
    """What ``host`` and ``text`` make of a message."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    ALIAS = "alias"
    TEXT = "text"


class Service(msgspec.Struct, frozen=True):
    """A message as it is written; ``key`` and ``lease`` are etcd's.

    host: an address or a name. text: for TXT records. mail: True to be an MX record.
    targetstrip: labels to take off the left of the target in SRV, MX and NS records.
    group: services of other groups beside it are left out.
    """

    host: str = ""
    port: int = 0
    priority: int = 0
    weight: int = 0
    text: str = ""
    mail: bool = False
    ttl: int = 0
    targetstrip: int = 0
    group: str = ""
    key: str = ""
    lease: str = "0"

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address that ``host`` is, IPv4-mapped ones as IPv4."""
        try:
            found = ip_address(self.host)
        except ValueError:
            return None
        if isinstance(found, IPv6Address):
            if found.scope_id is not None:
                return None
            return found.ipv4_mapped or found
        return found

    @property
    def kind(self) -> Kind:
        """What the message is about."""
        address = self.address
        if address is None:
            return Kind.TEXT if self.text else Kind.ALIAS
        return Kind.IPV4 if address.version == 4 else Kind.IPV6

    @property
    def host_name(self) -> bytes:
        """``host`` as a name. Raises WireError."""
        return names.from_text(self.host if self.host.endswith(".") else f"{self.host}.")

    def stripped(self, name: bytes) -> bytes:
        """A name without as many labels as are to be taken off; all of it if it hasn't more than those."""
        labels = names.labels(name)
        if not 0 < self.targetstrip < len(labels):
            return name
        return names.from_labels(labels[self.targetstrip :])


def decode_service(value: bytes, key: str, lease: str = "0") -> Service:
    """The message in a value, which is JSON. Names of fields count in any letters, other fields don't, null is nothing.

    Raises ValueError.
    """
    try:
        found = msgspec.json.decode(value, type=dict[str, Any] | None) or {}
        fields = {name.lower(): field for name, field in found.items() if field is not None}
        service = msgspec.convert({**fields, "key": key, "lease": lease}, Service)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if not 0 <= service.ttl <= _MOST_UINT32:
        raise ValueError(f"ttl {service.ttl} is out of range")
    return service


def ttl_seconds(service: Service, lease_seconds: int | None) -> int:
    """The smaller one of the TTL that is written and that of the lease, 300 without either."""
    found = [seconds for seconds in (service.ttl, lease_seconds) if seconds]
    return min([*(found or [DEFAULT_TTL_SECONDS]), _MOST_TTL_SECONDS])


class Place(msgspec.Struct, frozen=True):
    """Where the keys of a name are. ``segments`` are those of its own key; ``wildcard`` is the place of the first
    wildcard among them, ``*`` or ``any``, None without one.
    """

    segments: tuple[str, ...]
    wildcard: int | None = None

    @property
    def key(self) -> bytes:
        """The key of the name, or what is in front of the first wildcard in it."""
        return "".join([f"/{segment}" for segment in self.segments[: self.wildcard]]).encode()

    def fits(self, key: str) -> bool:
        """True if a key is the name's or below it, wildcards standing for any one segment."""
        own = key.split("/")[1:]
        return len(own) >= len(self.segments) and all(
            wanted in _WILDCARDS or wanted == segment for wanted, segment in zip(self.segments, own, strict=False)
        )


class Tree:
    """All keys below a path."""

    def __init__(self, path: str) -> None:
        normal = posixpath.normpath(f"/{path}").strip("/")
        self._path = tuple(normal.split("/")) if normal else ()

    def place(self, key: bytes) -> Place | None:
        """Where the keys of a name are, which is in lower case; None if a label has a slash, so that it has none."""
        labels = [names.label_text(label) for label in reversed(names.labels(key))]
        if any("/" in label for label in labels):
            return None
        wildcard = next((place for place, label in enumerate(labels) if label in _WILDCARDS), None)
        return Place((*self._path, *labels), None if wildcard is None else len(self._path) + wildcard)

    def name(self, key: str) -> bytes:
        """The name that a key is for. Raises WireError."""
        segments = [segment for segment in key.split("/") if segment][len(self._path) :]
        return names.from_text("".join(f"{segment}." for segment in reversed(segments)))


def group(services: Sequence[Service]) -> list[Service]:
    """The services that are shown together.

    The group of the topmost one counts; others that have another group are left out. If there are several at the top
    that disagree, there is no group.
    """
    if not services:
        return []
    chosen, depth = services[0].group, services[0].key.count("/")
    seen = 0
    for service in services:
        own_depth = service.key.count("/")
        if own_depth < depth:
            if not service.group:
                break
            chosen, depth = service.group, own_depth
        seen += 1
    if not chosen:
        return list(services)
    top = [service for service in services[:seen] if service.key.count("/") == depth]
    if any(service.group not in ("", chosen) for service in top):
        return list(services)
    return [service for service in services if service.group in ("", chosen)]
