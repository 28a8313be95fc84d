# SPDX-License-Identifier: Apache-2.0
"""Addresses and node ports for Services that don't have them written.

What is given is a function of namespace and name alone, so that every process gives out the same and restarts change
nothing: a hash says where in the range to begin, and the first free place from there on is taken. Services are served
in the order of their keys, so of two that meet at one place the later name moves on. What is written is taken first.

As Kubernetes does, the lower end of a service range (16 to 256 addresses) is used only when the rest is full: people
write addresses like .10 from there. Never given are the network address, the last (broadcast) address, and the first
one, which belongs to default/kubernetes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import TypeAlias, TypeVar

import msgspec

from clusterdns.cluster.objects import Key
from clusterdns.errors import ObjectError

K = TypeVar("K", bound=tuple[str | int, ...])

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_SERVICE_CIDR = "10.96.0.0/12"
NODE_PORTS = range(30000, 32768)
"""kube-apiserver's --service-node-port-range."""

_FIRST_SERVICE: Key = ("default", "kubernetes")


def parse_service_cidr(text: str) -> tuple[Network, ...]:
    """One CIDR, or two of different families joined by a comma; the first is the primary family.

    Raises ObjectError.
    """
    networks: list[Network] = []
    for part in text.split(","):
        try:
            network = ipaddress.ip_network(part.strip())
        except ValueError as error:
            raise ObjectError(f"{part.strip()!r} is not a CIDR: {error}") from None
        if network.num_addresses < 4:
            raise ObjectError(f"{part.strip()!r} is too small for Services: a /30 or /126 is the least")
        networks.append(network)
    if len(networks) > 2 or len({network.version for network in networks}) < len(networks):
        raise ObjectError(f"{text!r} must be one CIDR, or one of IPv4 and one of IPv6")
    return tuple(networks)


class AddressPool(msgspec.Struct, frozen=True):
    """One service CIDR. ``first`` is its network address as a number, ``bands`` are the places in it that may be given,
    in order of preference.
    """

    family: str
    first: int
    size: int
    bands: tuple[range, ...]
    address: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]

    @classmethod
    def of(cls, network: Network) -> AddressPool:
        """The pool of a CIDR that ``parse_service_cidr`` has accepted."""
        size = network.num_addresses
        reserved = min(max(16, size // 16), 256) if size >= 32 else 2
        bands = (range(reserved, size - 1), range(2, reserved))
        return cls(f"IPv{network.version}", int(network.network_address), size, bands, type(network.network_address))

    def allocate(self, keys: Iterable[Key], written: Iterable[str]) -> dict[Key, str]:
        """Give each Service an address that is not written. Returns the addresses as text; a Service for which none is
        left is missing from them.
        """
        taken = {place for text in written if 0 <= (place := int(self.address(text)) - self.first) < self.size}
        wanting = sorted(keys)
        given: dict[Key, str] = {}
        if _FIRST_SERVICE in wanting and 1 not in taken:
            wanting.remove(_FIRST_SERVICE)
            given[_FIRST_SERVICE] = _text(self.family, self.first + 1)
        for key, place in _place(wanting, self.bands, taken).items():
            given[key] = _text(self.family, self.first + place)
        return given


NodePortKey: TypeAlias = tuple[str, str, int]
"""Namespace and name of the Service, and the port: ports of one number share the node port, whatever their protocol."""


def allocate_node_ports(keys: Iterable[NodePortKey], written: Iterable[int]) -> dict[NodePortKey, int]:
    """Give each port a node port of 30000–32767 that is not written; one for which none is left is missing."""
    return _place(sorted(keys), (NODE_PORTS,), {port for port in written if port in NODE_PORTS})


def _place(keys: Iterable[K], bands: tuple[range, ...], taken: set[int]) -> dict[K, int]:
    """The first free place for each key in turn, from the key's own start in the first band; adds to ``taken``."""
    outside = sum(not any(place in band for band in bands) for place in taken)
    capacity = outside + sum(band.stop - band.start for band in bands)  # len() is limited to 63 bits
    places: dict[K, int] = {}
    for key in keys:
        if len(taken) >= capacity:
            break
        start = _hash(key) % (bands[0].stop - bands[0].start)
        place = bands[0][start]
        if place in taken:
            order = chain(bands[0][start:], bands[0][:start], *bands[1:])
            place = next(place for place in order if place not in taken)
        taken.add(place)
        places[key] = place
    return places


@lru_cache(1 << 15)
def _text(family: str, number: int) -> str:
    return str(ipaddress.IPv4Address(number) if family == "IPv4" else ipaddress.IPv6Address(number))


@lru_cache(1 << 15)
def _hash(key: tuple[str | int, ...]) -> int:
    """A number from 0 to 2^64-1 that is the same in every process."""
    return int.from_bytes(blake2b("/".join(map(str, key)).encode(), digest_size=8).digest(), "big")
