# SPDX-License-Identifier: Apache-2.0
"""What a client's connection may take of a listener's time. Datagrams have no such limits."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Of one listener; the defaults are CoreDNS's.

    read_seconds: from the connection to the end of its first query, and from the first octet of any query to its last.
    write_seconds: for a client that doesn't read its replies.
    idle_seconds: between a reply and the next query.
    max_queries: after so many queries the connection is closed; 0 for any number.
    """

    read_seconds: float = 3.0
    write_seconds: float = 5.0
    idle_seconds: float = 10.0
    max_queries: int = 0


@runtime_checkable
class LimitsConnections(Protocol):
    """A plugin that sets the limits of the listeners of its block (``timeouts``)."""

    def limit(self, limits: ConnectionLimits) -> ConnectionLimits:
        """The limits, given those that the blocks before it in the Corefile ask for."""
