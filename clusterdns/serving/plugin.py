# SPDX-License-Identifier: Apache-2.0
"""The contract between the server and the modules of ``clusterdns.plugins``.

A directive is one class. Its life has three steps:

1. ``parse(reader)`` reads all its occurrences in one server block into an options value; no effects.
2. ``__init__(options, setup)`` builds the plugin for that block; still no effects outside the object.
3. ``start()`` takes what it needs from outside, ``stop(final)`` gives it back. On a reload the new plugins start before
   the old ones stop, so both must be able to hold the same address, file or watch for a moment (``Services`` counts).

A plugin with ``handle`` stands in the query chain; ``self.next`` is the rest of the chain behind it. ``handle`` returns
a Reply, or an awaitable of one only where it has to wait. It never raises for bad input and never writes to a socket.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns.types import SERVFAIL
from clusterdns.serving.later import Later
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

if TYPE_CHECKING:
    from clusterdns.serving.capabilities import Services, Setup
    from clusterdns.serving.relay import Plain

Result: TypeAlias = Reply | Awaitable[Reply]
Handler: TypeAlias = Callable[[Query], Result]


class Plugin:
    """Base of all directives.

    name: the directive.
    before: for one from outside this package, the directive in front of which it sees queries; others leave it empty,
        as their order is that of ``plugins/table.py``.
    pure: True if what it does to a query and its reply depends on the query's bytes alone (not on the client, the time,
        chance or a count), so that a reply that passed it may be reused. ``loadbalance`` is pure: it sets ``variants``.
    in_chain: True if it has ``handle``.
    terminal: True if it answers every query that reaches it, so that nothing behind it is ever asked.
    end_rcode: what a query gets that it passes on where nothing is behind it: SERVFAIL, or REFUSED if it serves zones
        and what it doesn't serve is nobody's.
    any_class: True if it has answers to queries of other classes than IN; without such a plugin in any of its blocks a
        listener refuses them.
    relays: True if its replies are those of other servers, so that a failure among them is worth keeping for a moment.
    ready_by_queries: True if only queries make it ready, so that a start must not wait for that.
    """

    name: ClassVar[str]
    before: ClassVar[str] = ""
    pure: ClassVar[bool] = False
    in_chain: ClassVar[bool] = False
    terminal: ClassVar[bool] = False
    end_rcode: ClassVar[int] = SERVFAIL
    any_class: ClassVar[bool] = False
    relays: ClassVar[bool] = False
    ready_by_queries: ClassVar[bool] = False

    next: Handler

    @staticmethod
    def parse(reader: DirectiveReader) -> Any:
        """Read the directive's occurrences in one block into its options; report faults to the reader."""
        raise TypeError("a directive must say how it is parsed")

    def __init__(self, options: Any, setup: Setup) -> None:
        self.setup = setup

    @property
    def services(self) -> Services:
        """What the process offers."""
        return self.setup.services

    @property
    def log(self) -> logging.Logger:
        """The logger whose lines start with ``plugin/NAME: ``."""
        return logging.getLogger(f"clusterdns.plugin.{self.name}")

    def handle(self, query: Query) -> Result:
        """Answer the query, or pass it on with ``return self.next(query)``."""
        return self.next(query)

    def plain(self, zone: bytes) -> Plain | None:
        """What it does to plain queries (``serving.relay``) for names below ``zone``, none of its ``plain_zones`` being
        closer to them; None if it has to see each. Asked once, after the start.
        """
        return None

    def plain_zones(self) -> Iterable[bytes]:
        """The zones below which ``plain`` may be another than above, lower case."""
        return ()

    async def start(self) -> None:
        """Take what the plugin needs from outside; raise LifecycleError if it is not to be had."""

    async def stop(self, final: bool) -> None:
        """Give it back. ``final`` is False if a new configuration takes over, True if the server ends."""


def after(result: Result, change: Callable[[Reply], Reply]) -> Result:
    """``change`` applied to the reply, now or when it is there."""
    if isinstance(result, Reply):
        return change(result)
    if isinstance(result, Later):
        return result.change(change)
    return _after(result, change)


async def _after(result: Awaitable[Reply], change: Callable[[Reply], Reply]) -> Reply:
    return change(await result)


def then(result: Result, go_on: Callable[[Reply], Result]) -> Result:
    """``go_on`` with the reply, now or when it is there; what comes of it may take its time, too."""
    return go_on(result) if isinstance(result, Reply) else _then(result, go_on)


async def _then(result: Awaitable[Reply], go_on: Callable[[Reply], Result]) -> Reply:
    further = go_on(await result)
    return further if isinstance(further, Reply) else await further
