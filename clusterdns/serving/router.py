# SPDX-License-Identifier: Apache-2.0
"""Which server block answers: the one with the longest zone that the name is in and whose ``view`` admits the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from clusterdns.dns.types import DS
from clusterdns.serving.chain import Block
from clusterdns.serving.query import Query

Route: TypeAlias = tuple[bytes, Block, bool]
"""The zone, its block, and True if the client, not only the query's bytes, decided on it."""


class Router:
    """The blocks of one listener by zone (lower-case wire form), those of one zone in the order of the Corefile."""

    def __init__(self, blocks: Mapping[bytes, Sequence[Block]]) -> None:
        self.blocks = {zone: tuple(sharing) for zone, sharing in blocks.items()}

    def route(self, query: Query) -> Route | None:
        """Who answers the query; None if no zone has the name, or no view in its zones admits it.

        DS at the top of a zone belongs to the zone above (RFC 4035 section 3.1.4.1), where this listener serves one.
        """
        blocks = self.blocks
        key = query.key
        at_apex: Route | None = None
        by_client = False
        position = 0
        while True:
            zone = key[position:] if position else key
            sharing = blocks.get(zone)
            for block in sharing or ():
                view = block.view
                if view is not None:
                    by_client = by_client or view.asks_client
                    if not block.admits(query):
                        continue
                if query.qtype != DS or position:
                    return zone, block, by_client
                at_apex = zone, block, by_client
                break
            length = key[position]
            if not length:
                return at_apex and (*at_apex[:2], by_client)
            position += 1 + length
