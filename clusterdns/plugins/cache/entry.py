# SPDX-License-Identifier: Apache-2.0
"""Replies as the cache keeps them: octets, where the TTLs stand in them, and for how long they are good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from clusterdns.dns.types import FLAG_AA, FLAG_AD, FLAG_RA
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.fastpath.memo import Ageing
from clusterdns.fastpath.ttl import with_ttl
from clusterdns.fastpath.verbatim import Shape
from clusterdns.plugins.cache.digest import Digest
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.response import ResponseType

if TYPE_CHECKING:
    import asyncio

    from clusterdns.plugins.cache.arrival import Arrival

OVERHEAD_BYTES: Final = 700
"""What an entry takes beside the octets of its key and its sections, on a 64-bit machine."""

_KEPT_FLAGS: Final = FLAG_RA | FLAG_AD
_RCODE: Final = 15
_SUCCESS: Final = (ResponseType.NOERROR, ResponseType.DELEGATION)


class Entry:
    """A reply that is kept.

    rcode: including extended ones. flags: RA and AD as they came; AA is always set.
    plugin: the directive that answered.
    denial: True if it says that there is nothing, or is a failure.
    answered: see Digest.
    stored_seconds, ttl_seconds: when it came, on the cache's clock, and how long it is good for.
    contested: True if a plugin of the block may come to have an answer of its own.
    hits, last_hit_seconds: how often it was used without a longer pause, and when last (``prefetch``).
    size_bytes: about what it takes of memory, without its key.
    refresh: the attempt to renew it that is under way; after a vain one there is no other before ``retry_seconds``.
    used: True if it was used since an eviction spared it.
    """

    # What seldom changes stands in the class: most replies are answers that nobody asks for again.
    answered = True
    contested = False
    denial = False
    hits = 0
    last_hit_seconds = 0.0
    refresh: asyncio.Future[Arrival | None] | None = None
    retry_seconds = 0.0
    used = False
    _compiled: CompiledAnswer | None = None
    _other_orders = False
    _shape: Shape | None = None

    def __init__(
        self, plugin: str, rcode: int, flags: int, body: bytes, positions: tuple[int, ...], now: float, ttl_seconds: int
    ) -> None:
        """``body`` is what stands behind the question, with ``ttl_seconds`` at all ``positions``."""
        self.plugin = plugin
        self.rcode = rcode
        self.flags = FLAG_AA | flags & _KEPT_FLAGS
        self.stored_seconds = now
        self.ttl_seconds = ttl_seconds
        self.size_bytes = len(body) + 8 * len(positions) + OVERHEAD_BYTES
        self._body = body
        self._positions = positions
        self._shown_ttl = ttl_seconds

    @classmethod
    def of(cls, reply: Reply, digest: Digest, *, now_seconds: float, ttl_seconds: int) -> Entry:
        """A reply that is good for so long."""
        compiled, positions = digest.compile(ttl_seconds)
        entry = cls(reply.plugin, reply.rcode, reply.flags, compiled.body, positions, now_seconds, ttl_seconds)
        entry._compiled = compiled
        entry.denial = digest.kind not in _SUCCESS
        entry.answered = digest.answered
        entry._other_orders = digest.has_other_orders(compiled.rotating)
        return entry

    @classmethod
    def of_shape(
        cls, plugin: str, flags: int, shape: Shape, body: bytes, *, now_seconds: float, ttl_seconds: int
    ) -> Entry:
        """A reply of this shape that is good for so long; ``flags`` are the flags of the message, rcode included."""
        entry = cls(plugin, flags & _RCODE, flags, body, shape.positions, now_seconds, ttl_seconds)
        entry._shape = shape
        if shape.minimum_at:
            entry.denial = True
            entry.answered = False
        return entry

    @property
    def compiled(self) -> CompiledAnswer:
        """Its sections, with the TTL of the last reply."""
        compiled = self._compiled
        if compiled is None:
            assert self._shape is not None
            compiled = self._compiled = self._shape.compile(self.rcode, self._body)
        return compiled

    def remaining_seconds(self, now_seconds: float) -> int:
        """The TTL that is left, in whole seconds; 0 or less once it has expired."""
        return self.ttl_seconds - int(now_seconds - self.stored_seconds)

    def seconds_of_ttl(self, now_seconds: float) -> float:
        """For how long the TTL stays what it is."""
        return 1.0 - (now_seconds - self.stored_seconds) % 1.0

    def count_hits(self, number: int, now_seconds: float, gap_seconds: float) -> None:
        """It was used ``number`` times; a pause of more than ``gap_seconds`` starts the count again."""
        self.hits = number if now_seconds - self.last_hit_seconds > gap_seconds else self.hits + number
        self.last_hit_seconds = now_seconds

    def with_ttl(self, ttl_seconds: int) -> CompiledAnswer:
        """Its sections with this TTL."""
        if ttl_seconds != self._shown_ttl:
            old = self.compiled
            self._compiled = CompiledAnswer(
                old.rcode,
                old.counts,
                with_ttl(old.body, self._positions, ttl_seconds),
                rotating=old.rotating,
                record_bytes=old.record_bytes,
                rotating_start=old.rotating_start,
            )
            self._shown_ttl = ttl_seconds
        return self.compiled

    def reply(self, query: Query, ttl_seconds: int, *, stale: bool = False) -> CachedReply:
        """A reply from it, with this TTL."""
        compiled = self.with_ttl(ttl_seconds)
        reply = CachedReply.of_compiled(self.plugin, compiled)
        reply.entry = self
        reply.stale = stale
        reply.shelf = None
        reply.given = compiled
        reply.rcode = self.rcode
        reply.flags = self.flags if wants_authenticated(query) else self.flags & ~FLAG_AD
        reply.transient = True
        self.open(query, reply)
        return reply

    def open(self, query: Query, reply: Reply) -> None:
        """Make records of a reply's octets where others may put them into orders that octets alone don't allow."""
        if self._other_orders:
            reply.set_records(reply.records(query))


class Shelf(Protocol):
    """Where an entry stands."""

    @property
    def wants_uses(self) -> bool:
        """True if it has to know how often an entry was used."""

    def show(self, key: bytes, entry: Entry) -> tuple[int, float] | None:
        """The TTL that the entry has now, and for how many seconds; None if it isn't the answer any more."""


class CachedReply(Reply):
    """A reply from the cache.

    stale: True if its entry had expired.
    shelf, key, seconds: where the entry stands, and how long its TTL stays this one; no shelf for one that can't age.
    given: the sections as the cache gave them: what others make of them may have other TTLs.
    """

    __slots__ = ("entry", "given", "key", "seconds", "shelf", "stale")

    entry: Entry
    stale: bool
    shelf: Shelf | None
    key: bytes
    seconds: float
    given: CompiledAnswer

    @property
    def ages(self) -> Ageing | None:
        """See Reply."""
        return None if self.shelf is None or self.compiled is not self.given else self

    @property
    def wants_uses(self) -> bool:
        """See Ageing."""
        return self.shelf is not None and self.shelf.wants_uses

    def show(self) -> int | None:
        """See Ageing."""
        shown = None if self.shelf is None else self.shelf.show(self.key, self.entry)
        if shown is None:
            return None
        ttl_seconds, self.seconds = shown
        return ttl_seconds


def wants_authenticated(query: Query) -> bool:
    """True if the client wants to know about authenticated data (RFC 6840 section 5.7, RFC 3225 section 3)."""
    return bool(query.flags & FLAG_AD) or (query.edns is not None and query.edns.do)
