# SPDX-License-Identifier: Apache-2.0
"""Which zone is served on which listener, and the clashes between them.

A listener is a transport, an address (empty for all of the machine) and a port. A zone may be served once on each; and
one zone must not be served both on all addresses of the machine and on one of them with the same port, since the
kernel would split its queries by address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from clusterdns.config.directive import Token
from clusterdns.config.keys import Key
from clusterdns.config.plan import BlockPlan
from clusterdns.errors import ConfigError

# (zone, transport, address, port)
_Served: TypeAlias = tuple[str, str, str, int]


def find_clashes(blocks: Iterable[BlockPlan]) -> list[ConfigError]:
    """All clashes, each at the later key. A block with a ``view`` claims its zones only for some queries, and may share
    them with others.
    """
    claims = _Claims()
    for block in blocks:
        keeps = block.directive("view") is None
        for key in block.keys:
            for address in block.binds or ("",):
                claims.add(key, address, keeps)
    return claims.errors


class _Claims:
    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.taken: dict[_Served, Token] = {}
        self.any_address: dict[_Served, str] = {}

    def add(self, key: Key, address: str, keeps: bool) -> None:
        served = (key.zone, key.transport, address, key.port)
        anywhere = (key.zone, key.transport, "", key.port)
        if served in self.taken:
            if not keeps:
                return
            self.report(key, address, "it is already defined", self.taken[served])
        elif anywhere in self.any_address and (not address or anywhere in self.taken):
            other = self.any_address[anywhere] if not address else ""
            first = self.taken[(key.zone, key.transport, other, key.port)]
            self.report(key, address, f"zone overlap listener capacity with {_text(key, other)}", first)
        elif keeps:
            self.taken[served] = key.token
            self.any_address[anywhere] = address

    def report(self, key: Key, address: str, reason: str, first: Token) -> None:
        self.errors.append(
            key.token.error(
                f"cannot serve {_text(key, address)} - {reason}",
                label=ConfigError.NO_POSITION,
                hint=f"the first one is in {first.file}:{first.line}",
            )
        )


def _text(key: Key, address: str) -> str:
    return f"{key.address} on {address}" if address else key.address
