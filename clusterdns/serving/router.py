# SPDX-License-Identifier: Apache-2.0
"""Which server block answers: the one with the longest zone that the name is in."""

from __future__ import annotations

from collections.abc import Mapping

from clusterdns.dns.types import DS
from clusterdns.serving.chain import Block


class Router:
    """The blocks of one listener by zone (lower-case wire form)."""

    def __init__(self, blocks: Mapping[bytes, Block]) -> None:
        self.blocks = dict(blocks)

    def route(self, key: bytes, qtype: int) -> tuple[bytes, Block] | None:
        """The zone and its block, None if no zone has the name.

        DS at the top of a zone belongs to the zone above (RFC 4035 section 3.1.4.1), where this listener serves one.
        """
        blocks = self.blocks
        at_apex: tuple[bytes, Block] | None = None
        position = 0
        while True:
            zone = key[position:] if position else key
            block = blocks.get(zone)
            if block is not None:
                if qtype != DS or position:
                    return zone, block
                at_apex = zone, block
            length = key[position]
            if not length:
                return at_apex
            position += 1 + length
