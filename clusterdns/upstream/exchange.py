# SPDX-License-Identifier: Apache-2.0
"""One question to one upstream: what is kept of it while its reply is awaited."""

from __future__ import annotations

from typing import Any, Protocol

from clusterdns.errors import UpstreamError
from clusterdns.upstream.deadlines import Wait


class ClosedError(UpstreamError):
    """The upstream closed a connection; where that had been used before, it may just have been idle for too long."""


class Asker(Protocol):
    """Who asked."""

    def replied(self, exchange: Exchange, message: bytes) -> None:
        """The upstream's message; its ID is right, its question not looked at."""

    def failed(self, exchange: Exchange, error: UpstreamError) -> None:
        """There will be no reply."""


class Carrier(Protocol):
    """A socket that waits for replies."""

    def gave_up(self, exchange: Exchange, *, timed_out: bool) -> None:
        """Nobody waits for the reply to this any more."""

    def describe(self) -> str:
        """What goes on, for an error: ``read udp 127.0.0.1:4000->127.0.0.1:53``."""

    def local(self) -> tuple[str, int]:
        """The local address and port; empty and 0 while there is no connection."""


class Exchange:
    """A question under way. It ends once: with a reply, a failure or because the asker gives it up.

    wire: the message asked, without its ID.
    exact: the question that the reply must repeat letter by letter, empty where the letters don't matter.
    started: when it was sent, in the event loop's time.
    subject, stream, fresh: the asker's own: whom it asks, whether over TCP, whether over a connection made for it.
    carrier, message_id, reused: set by the socket that carries it; ``reused`` if that had carried another before.
    """

    # Defaults stand in the class: setting each of them for each query takes a noticeable part of its time.
    carrier: Carrier | None = None
    deadline: set[Wait] | None = None
    message_id = 0
    fresh = False
    reused = False
    stream = False

    def __init__(self, asker: Asker, wire: bytes, exact: bytes, started: float, subject: Any = None) -> None:
        self.asker = asker
        self.wire = wire
        self.exact = exact
        self.started = started
        self.subject = subject

    def timed_out(self) -> None:
        """There is no reply in time."""
        carrier = self.carrier
        if carrier is not None:
            reason = UpstreamError(f"{carrier.describe()}: i/o timeout")
            carrier.gave_up(self, timed_out=True)
            self.asker.failed(self, reason)

    def give_up(self) -> None:
        """The asker wants no reply any more; a late one is dropped."""
        if self.carrier is not None:
            self.carrier.gave_up(self, timed_out=False)
