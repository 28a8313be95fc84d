# SPDX-License-Identifier: Apache-2.0
"""The plugins of a server block, linked in the order of the directive table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from clusterdns.dns.types import REFUSED, SERVFAIL
from clusterdns.serving.capabilities import HitObserver, MetadataCollector, Observer, ReplyEditor, Tap, View
from clusterdns.serving.plugin import Handler, Plugin, Result, after
from clusterdns.serving.query import Query, Searcher
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Explainer, Note

Watcher: TypeAlias = Callable[[Plugin | None, Handler], Handler]
"""Puts itself in front of a plugin's handler, or that of the end of the chain (None)."""


class Block:
    """A server block that runs.

    place: where it stands in the Corefile, ``Corefile:3``.
    view_name: the name of its view.

    handler: the chain's first plugin; None for a block without plugins in the chain.
    view: says which queries the block is for; None if for all of its zones.
    observers: plugins that look at each reply.
    taps: plugins that want the octets of each message.
    reuse: True if replies of this block may be reused: every observer can do with a count of them, and there is no tap.
    debug: True if exceptions of plugins are to end the process.
    stacktrace: True if they are to be logged with their traceback (``errors``).
    """

    def __init__(
        self,
        plugins: Iterable[Plugin],
        *,
        debug: bool = False,
        stacktrace: bool = False,
        place: str = "",
        view_name: str = "",
    ) -> None:
        self.plugins = tuple(plugins)
        self.place = place
        self.view_name = view_name
        self.debug = debug
        self.stacktrace = stacktrace
        self.handler = link(self.plugins)
        self.observers: tuple[Observer, ...] = tuple(plugin for plugin in self.plugins if isinstance(plugin, Observer))
        self.hit_observers: tuple[HitObserver, ...] = tuple(
            plugin for plugin in self.plugins if isinstance(plugin, HitObserver)
        )
        self.taps: tuple[Tap, ...] = tuple(plugin for plugin in self.plugins if isinstance(plugin, Tap))
        self._editor = next((plugin for plugin in self.plugins if isinstance(plugin, ReplyEditor)), None)
        self.view = next((plugin for plugin in self.plugins if isinstance(plugin, View)), None)
        self._collector = next((plugin for plugin in self.plugins if isinstance(plugin, MetadataCollector)), None)
        self.reuse = not self.taps and all(isinstance(observer, HitObserver) for observer in self.observers)

    def admits(self, query: Query) -> bool:
        """True if the block is for the query, which is in one of its zones."""
        if self.view is None:
            return True
        if self._collector is None:
            return self.view.admits(query)
        before = query.metadata
        query.metadata = self._collector.collect(query)
        try:
            return self.view.admits(query)
        finally:
            query.metadata = before

    def explain_view(self, query: Query) -> tuple[Note, ...]:
        """Why the block is for the query or not, in the words of its view."""
        if not isinstance(self.view, Explainer):
            return ()
        before = query.metadata
        if self._collector is not None:
            query.metadata = self._collector.collect(query)
        try:
            return tuple(self.view.explain(query))
        finally:
            query.metadata = before

    def watch(self, watcher: Watcher | None) -> None:
        """Let ``watcher`` see the queries that come to each plugin from now on; None ends that."""
        self.handler = link(self.plugins, watcher)

    def tap_reply(self, query: Query, message: bytes) -> bytes:
        """Show a message that goes to a client; the message."""
        for tap in self.taps:
            tap.tap_reply(query, message)
        return message

    def handle(self, query: Query) -> Result:
        """The chain's reply."""
        if self._collector is not None:
            query.metadata = self._collector.collect(query)
        if self.taps and not query.depth and query.trace is None and not isinstance(query.client, Searcher):
            for tap in self.taps:
                tap.tap_query(query)
        if self.handler is None:
            if not self.observers and not self.taps:
                return Reply(REFUSED)
            # To CoreDNS these are links of the chain, so the query gets to its end.
            last = next(plugin for plugin in reversed(self.plugins) if isinstance(plugin, Observer | Tap))
            return Reply.failure(f"plugin/{last.name}: no next plugin found")
        editor = self._editor
        if editor is None or query.depth:
            return self.handler(query)
        return after(self.handler(query), lambda reply: editor.edit(query, reply))


def link(plugins: tuple[Plugin, ...], watcher: Watcher | None = None) -> Handler | None:
    """Give each plugin of the chain the rest of it as ``next``; the result is the first one's handler."""
    handler: Handler | None = None
    for plugin in reversed(plugins):
        if not plugin.in_chain:
            continue
        if handler is None:
            handler = _end_of_chain(plugin.name, plugin.end_rcode)
            handler = handler if watcher is None else watcher(None, handler)
        plugin.next = handler
        handler = plugin.handle if plugin.pure else _not_reusable(plugin.handle)
        handler = handler if watcher is None else watcher(plugin, handler)
    return handler


def _end_of_chain(name: str, rcode: int) -> Handler:
    def end(query: Query) -> Result:
        if rcode != SERVFAIL:
            return Reply(rcode)
        return Reply.failure(f"plugin/{name}: no next plugin found")

    return end


def _not_reusable(handle: Handler) -> Handler:
    def handler(query: Query) -> Result:
        return after(handle(query), _clear_reusable)

    return handler


def _clear_reusable(reply: Reply) -> Reply:
    reply.reusable = False
    return reply
