# SPDX-License-Identifier: Apache-2.0
"""The plugins of a server block, linked in the order of the directive table."""

from __future__ import annotations

from collections.abc import Iterable

from clusterdns.dns.types import REFUSED
from clusterdns.serving.capabilities import HitObserver, Observer
from clusterdns.serving.plugin import Handler, Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply


class Block:
    """A server block that runs.

    handler: the chain's first plugin; None for a block without plugins in the chain.
    observers: plugins that look at each reply.
    reuse: True if replies of this block may be reused: every observer can do with a count of them.
    debug: True if exceptions of plugins are to end the process.
    stacktrace: True if they are to be logged with their traceback (``errors``).
    """

    def __init__(self, plugins: Iterable[Plugin], *, debug: bool = False, stacktrace: bool = False) -> None:
        self.plugins = tuple(plugins)
        self.debug = debug
        self.stacktrace = stacktrace
        self.handler = link(self.plugins)
        self.observers: tuple[Observer, ...] = tuple(plugin for plugin in self.plugins if isinstance(plugin, Observer))
        self.hit_observers: tuple[HitObserver, ...] = tuple(
            plugin for plugin in self.plugins if isinstance(plugin, HitObserver)
        )
        self.reuse = len(self.observers) == len(self.hit_observers)

    def handle(self, query: Query) -> Result:
        """The chain's reply."""
        if self.handler is not None:
            return self.handler(query)
        if self.observers:  # to CoreDNS these are links of the chain, so the query gets to its end
            last = next(plugin for plugin in reversed(self.plugins) if isinstance(plugin, Observer))
            return Reply.failure(f"plugin/{last.name}: no next plugin found")
        return Reply(REFUSED)


def link(plugins: tuple[Plugin, ...]) -> Handler | None:
    """Give each plugin of the chain the rest of it as ``next``; the result is the first one's handler."""
    handler: Handler | None = None
    for plugin in reversed(plugins):
        if not plugin.in_chain:
            continue
        plugin.next = handler or _end_of_chain(plugin.name)
        handler = plugin.handle if plugin.pure else _not_reusable(plugin.handle)
    return handler


def _end_of_chain(name: str) -> Handler:
    def end(query: Query) -> Result:
        return Reply.failure(f"plugin/{name}: no next plugin found")

    return end


def _not_reusable(handle: Handler) -> Handler:
    def handler(query: Query) -> Result:
        return after(handle(query), _clear_reusable)

    return handler


def _clear_reusable(reply: Reply) -> Reply:
    reply.reusable = False
    return reply
