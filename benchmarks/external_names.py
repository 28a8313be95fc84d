# SPDX-License-Identifier: Apache-2.0
"""Queries for names from outside the cluster, which an upstream has to be asked for."""

from __future__ import annotations

import dns.message

BUSY_NAMES = 1000
UNIQUE = "host-00000000.example.org"
"""The load generator replaces the zeroes by a number that it never uses again."""

SEARCH_LIST = ("namespace-1.svc.cluster.local", "svc.cluster.local", "cluster.local")
"""Of a Pod in namespace-1."""


def busy() -> tuple[bytes, ...]:
    """Names that everybody asks for."""
    return tuple(_encode(f"www.example{number}.org") for number in range(BUSY_NAMES))


def unique() -> tuple[bytes, ...]:
    """Names that nobody has asked for before."""
    return (_encode(UNIQUE),)


def mixed() -> tuple[bytes, ...]:
    """Nine busy names to each that nobody has asked for before."""
    return (*busy(), *unique() * (BUSY_NAMES // 9))


def search_list() -> tuple[bytes, ...]:
    """What a client asks that wants a name that nobody has asked for before: with each search domain, then alone."""
    return (*(_encode(f"{UNIQUE}.{domain}") for domain in SEARCH_LIST), _encode(UNIQUE))


def _encode(name: str) -> bytes:
    return dns.message.make_query(name, "A").to_wire()
