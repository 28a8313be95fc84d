# SPDX-License-Identifier: Apache-2.0
"""The server behind one listener, sans-IO: query octets in, reply octets out.

No input raises past ``handle``. Everything around the answer that is the same for all plugins happens here once:
refusals, dispatch, recovery from a plugin's fault, writing, metrics and logs, and the memory of reusable replies.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import chain, product
from math import inf
from random import Random
from time import perf_counter
from typing import Final, Protocol, TypeAlias

from clusterdns.dns.types import BADVERS, FLAG_TC, IN, REFUSED, SERVFAIL
from clusterdns.errors import QueryError
from clusterdns.fastpath.memo import Ageing, Memo
from clusterdns.serving.chain import Block
from clusterdns.serving.finish import finish, finish_stream, refuse
from clusterdns.serving.later import Later
from clusterdns.serving.limits import ConnectionLimits
from clusterdns.serving.plugin import Result, after
from clusterdns.serving.query import Client, Query
from clusterdns.serving.relay import Attempt, Resumed
from clusterdns.serving.reply import Reply
from clusterdns.serving.router import Router
from clusterdns.serving.shortcut import Shortcut
from clusterdns.serving.trace import Trace

MAX_LOOKUP_DEPTH: Final = 8
"""Internal look-ups that may lead to one another: more than any CNAME chain that is meant, few enough to end a loop."""

_MOMENT_SECONDS: Final = 1.0
"""How long a reply may be sent again that is right only for now."""

_BATCH_BIN_SECONDS: Final = 0.00025
_BATCH_BINS: Final = 20

Messages: TypeAlias = bytes | Iterator[bytes]
"""One message, or several over TCP, which are made as they are asked for."""

Output: TypeAlias = Messages | Awaitable[Messages | None] | None

log = logging.getLogger("clusterdns.engine")


class FaultCounter(Protocol):
    """Where the engine counts what concerns no block."""

    def panic(self) -> None:
        """A plugin failed."""

    def dropped(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """A query belonged to no block."""


class Engine:
    """The blocks of one listener.

    server: the listener as the metrics' label ``server`` names it, ``dns://:53``.
    faults: where panics and queries for no block are counted.
    any_class: True if a block has answers to queries of other classes than IN; otherwise they are refused.
    limits: what the listener grants to a connection.
    shortcut: the short way, for listeners that can take it.
    """

    def __init__(
        self,
        server: str,
        router: Router,
        faults: FaultCounter,
        *,
        crash: Callable[[BaseException], None] | None = None,
        any_class: bool = False,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.server = server
        self.router = router
        self.limits = limits or ConnectionLimits()
        self.shortcut = Shortcut(server, router, self._recover)
        self._any_class = any_class
        self._faults = faults
        self._crash = crash
        self._random = Random()
        self._published = 0
        self._memos = {key: Memo(self._report_hits) for key in product(("udp", "tcp"), (1, 2))}
        self._hits: Counter[tuple[Block, bytes]] = Counter()
        self._batch_queries = [0] * _BATCH_BINS
        self._batch_seconds = [0.0] * _BATCH_BINS

    def handle(
        self, packet: bytes, client: Client, trace: Trace | None = None, attempt: Attempt | None = None
    ) -> Output:
        """The reply to a message, None where there is none to send, or an awaitable of either. One message over UDP.

        trace: told what happens to the query, which then is nobody's: no observer sees it, nor is its reply remembered.
        attempt: what was asked already, where the query was on the short way before.
        """
        started = perf_counter() if attempt is None else attempt.came
        try:
            if attempt is not None:
                query: Query = Resumed(packet, client, attempt)
            else:
                query = Query(packet, client)
        except QueryError as error:
            return refuse(packet, error)
        query.server = self.server
        query.resolve = self.resolve
        route = self.router.route(query)
        if trace is not None:
            query.trace = trace
            trace.follow(query, self.router, route)
        if query.qclass != IN and not self._any_class:
            return self._write(query, None, Reply(REFUSED), started)
        if query.edns is not None and query.edns.version:
            return self._write(query, None, Reply(BADVERS), started)
        if route is None:
            return self._write(query, None, Reply(REFUSED), started)
        query.zone, block, by_client = route
        try:
            result = block.handle(query)
            if by_client:
                result = after(result, _clear_reusable)
        except Exception as error:
            result = self._recover(block, error)
        if isinstance(result, Reply):
            return self._write(query, block, result, started)
        if isinstance(result, Later):
            published = self._published
            return result.conclude(lambda reply, error: self._conclude(query, block, reply, error, started, published))
        return self._finish_later(query, block, result, started)

    async def _finish_later(
        self, query: Query, block: Block, result: Awaitable[Reply], started: float
    ) -> Messages | None:
        published = self._published
        try:
            reply = await result
        except Exception as error:
            reply = self._recover(block, error)
        if published != self._published:
            reply.reusable = False  # it may have been made from what has changed since
        return self._write(query, block, reply, started)

    def _conclude(
        self, query: Query, block: Block, reply: Reply, error: Exception | None, started: float, published: int
    ) -> Messages | None:
        if error is not None:
            reply = self._recover(block, error)
        elif published != self._published:
            reply.reusable = False  # as in _finish_later
        return self._write(query, block, reply, started)

    def resolve(self, query: Query, name: bytes, qtype: int) -> Result:
        """Ask for another name as the client of ``query`` would; see ``Setup.resolve``."""
        depth = query.depth + 1
        if depth > MAX_LOOKUP_DEPTH:
            return Reply.failure(f"more than {MAX_LOOKUP_DEPTH} look-ups lead to one another", plugin="engine")
        inner = query.derive(name=name, qtype=qtype, depth=depth)
        route = self.router.route(inner)
        if query.trace is not None:
            inner.trace = query.trace.lead_to(inner, self.router, route)
        if route is None:
            return Reply(REFUSED)
        inner.zone, block, by_client = route
        result = block.handle(inner)
        return after(result, _clear_reusable) if by_client else result

    def _write(self, query: Query, block: Block | None, reply: Reply, started: float) -> Messages | None:
        stream: Iterator[bytes] = iter(())
        keep = reply.reusable and block is not None and block.reuse and not reply.error and reply.stream is None
        keep = keep and query.trace is None  # what is explained is asked once
        memo = self.memo(query.client.protocol, query.client.family) if keep else None
        keep = memo is not None and memo.is_wanted(query.packet)
        if not keep and len(reply.variants) > 1:
            reply.variants = (self._random.choice(reply.variants),)
        try:
            if reply.stream is None:
                messages = () if reply.dropped else finish(query, reply)
            else:
                stream = self._stream(query, reply)
                messages = (next(stream),)
        except Exception as error:
            reply = self._recover(block, error)
            messages = finish(query, reply)
        size = len(messages[0]) if messages else 0
        if messages and messages[0][2] << 8 & FLAG_TC:
            reply.flags |= FLAG_TC  # for the log
        duration = perf_counter() - started
        if query.trace is not None:
            query.trace.conclude(query, block, reply, duration)
            return messages[0] if messages else None
        if block is None:
            self._faults.dropped(query, reply, size, duration)
            return messages[0] if messages else None
        for observer in block.observers:
            try:
                observer.observe(query, reply, size, duration)
            except Exception as error:
                self._recover(block, error)
        if not messages:
            return None
        if block.taps:
            block.tap_reply(query, messages[0])
            stream = map(partial(block.tap_reply, query), stream)
        if keep and memo is not None:
            until, ageing = _term(reply, len(messages), started)
            memo.remember(query.packet, messages, (block, query, reply, size), until=until, ageing=ageing)
        return messages[0] if reply.stream is None else chain(messages, stream)

    def _stream(self, query: Query, reply: Reply) -> Iterator[bytes]:
        if query.client.protocol == "tcp":
            return finish_stream(query, reply)
        reply.flags |= FLAG_TC
        reply.stream = None
        return iter(finish(query, reply))

    def _recover(self, block: Block | None, error: Exception) -> Reply:
        if block is not None and block.debug and self._crash is not None:
            self._crash(error)
        self._faults.panic()
        kind = type(error).__name__
        trace = error if block is not None and block.stacktrace else None
        log.error('Recovered from panic in server: "%s" %s: %s', self.server, kind, error, exc_info=trace)
        return Reply(SERVFAIL)

    def count_batch(self, queries: int, duration_seconds: float) -> None:
        """``queries`` were answered from a memo, each within ``duration_seconds``."""
        number = min(int(duration_seconds / _BATCH_BIN_SECONDS).bit_length(), _BATCH_BINS - 1)
        self._batch_queries[number] += queries
        self._batch_seconds[number] += queries * duration_seconds

    def memo(self, protocol: str, family: int) -> Memo:
        """What is remembered for clients of one protocol (``udp``, ``tcp``) and address family (1, 2).

        They are kept apart because size limits and metric labels differ.
        """
        return self._memos[protocol, family]

    def published(self) -> None:
        """Answers have changed: forget what was remembered."""
        self._published += 1
        for memo in self._memos.values():
            memo.clear()

    def flush(self) -> None:
        """Tell the observers what was answered from memory since the last time."""
        self.shortcut.flush()
        for memo in self._memos.values():
            memo.flush()
        hits, self._hits = self._hits, Counter()
        queries, self._batch_queries = self._batch_queries, [0] * _BATCH_BINS
        seconds, self._batch_seconds = self._batch_seconds, [0.0] * _BATCH_BINS
        total = hits.total()
        for (block, zone), count in hits.items():
            # Zones share the batches of a listener, so each gets its part of every bin; the parts add up to the whole.
            durations = []
            for number, batch in enumerate(queries):
                if batch:
                    part = batch * count // total
                    durations.append((seconds[number] / batch, part))
                    seconds[number] -= seconds[number] / batch * part
                    queries[number] -= part
            total -= count
            for observer in block.hit_observers:
                observer.observe_hit_durations(self.server, zone, durations)

    def _report_hits(self, subject: tuple[Block, Query, Reply, int], hits: int) -> None:
        block, query, reply, size = subject
        self._hits[block, query.zone] += hits
        for observer in block.hit_observers:
            observer.observe_hits(query, reply, size, hits)


def _term(reply: Reply, messages: int, now: float) -> tuple[float, Ageing | None]:
    """Until when a reply of so many messages may be sent again, and who knows how it goes on then."""
    compiled = reply.compiled
    if compiled is not None and compiled.rotating > messages > 1:
        return now + _MOMENT_SECONDS, None  # so that others of its orders get their turn
    if not reply.transient:
        return inf, None
    ageing = reply.ages
    return now + (_MOMENT_SECONDS if ageing is None else ageing.seconds), ageing


def _clear_reusable(reply: Reply) -> Reply:
    """Another client's query of the same bytes may be for another block."""
    reply.reusable = False
    return reply
