# SPDX-License-Identifier: Apache-2.0
"""Which replies are kept, for how long, and which of the kept ones is the answer."""

from __future__ import annotations

from collections.abc import Callable

from clusterdns.dns import names
from clusterdns.dns.types import FLAG_TC, NOERROR, NXDOMAIN, SERVFAIL
from clusterdns.plugins.cache.arrival import Arrival
from clusterdns.plugins.cache.counters import ServerCounters
from clusterdns.plugins.cache.digest import NEGATIVE, Digest
from clusterdns.plugins.cache.entry import Entry
from clusterdns.plugins.cache.options import CacheOptions
from clusterdns.plugins.cache.store import Store
from clusterdns.serving.capabilities import NameOwner
from clusterdns.serving.query import MAX_MESSAGE_BYTES, Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.response import ResponseType

Clock = Callable[[], float]
"""Seconds."""

_UNKEPT = (ResponseType.OTHER_ERROR, ResponseType.META)


class Shelves:
    """The entries of one cache.

    owners: plugins of the block whose names come and go by events, by directive.
    relaying: directives of the block whose replies are those of other servers.
    clock: never goes back. now: since the epoch, for signatures.
    """

    def __init__(self, options: CacheOptions, *, clock: Clock, now: Clock) -> None:
        self.options = options
        self.owners: dict[str, NameOwner] = {}
        self.relaying: frozenset[str] = frozenset()
        self.clock = clock
        self.success = Store(options.success.capacity)
        self.denial = Store(options.denial.capacity)
        self._now = now
        self._stale_seconds = options.stale.seconds if options.stale is not None else 0.0
        self._prefers_positive = options.stale is not None and options.stale.prefer_positive

    def find(self, query: Query, key: bytes, now_seconds: float) -> Entry | None:
        """The entry that answers a query; it may have expired if ``serve_stale`` allows that."""
        entry = self.peek(key, now_seconds)
        if entry is not None and entry.contested and self._has_owner(query):
            self.success.remove(key)
            self.denial.remove(key)
            return None
        return entry

    def peek(self, key: bytes, now_seconds: float) -> Entry | None:
        """The same, whoever has come to own the name."""
        success = self.success.get(key)
        denial = self.denial.get(key)
        if success is not None and not self._is_usable(success, now_seconds):
            self.success.remove(key)
            success = None
        if denial is not None and not self._is_usable(denial, now_seconds):
            self.denial.remove(key)
            denial = None
        if success is None or denial is None:
            return success or denial
        if denial.rcode == SERVFAIL or (self._prefers_positive and success.answered):
            return success
        return denial

    def __contains__(self, key: bytes) -> bool:
        """True if there is an entry for the key, usable or not."""
        return self.success.get(key) is not None or self.denial.get(key) is not None

    def has(self, key: bytes, entry: Entry) -> bool:
        """True if the entry is still the only one for its key."""
        one, other = (self.denial, self.success) if entry.denial else (self.success, self.denial)
        return one.get(key) is entry and other.get(key) is None

    def _is_usable(self, entry: Entry, now_seconds: float) -> bool:
        remaining = entry.remaining_seconds(now_seconds)
        return remaining > 0 or -remaining < self._stale_seconds

    def _has_owner(self, query: Query) -> bool:
        return any(owner.owns(query) for owner in self.owners.values())

    def receive(
        self, query: Query, key: bytes, reply: Reply, counters: ServerCounters, *, renewing: bool = False
    ) -> Arrival:
        """Take over a reply from behind: give it one TTL, and keep it if it is to be kept.

        renewing: True if there is an entry, which only an acceptable reply replaces.
        """
        if reply.dropped or reply.error or not reply.plugin:
            return Arrival(query, reply)
        digest = Digest(query, reply, self._now())
        accepted = self._is_acceptable(reply, digest)
        lifetime_seconds = self.lifetime_seconds(query, reply, digest)
        if lifetime_seconds > 0 and (accepted or not renewing or self._prefers_positive):
            now_seconds = self.clock()
            entry = Entry.of(reply, digest, now_seconds=now_seconds, ttl_seconds=lifetime_seconds)
            if query.question_end + len(entry.compiled.body) <= MAX_MESSAGE_BYTES:
                if self.owners:
                    entry.contested = any(owner.owns(query) is not None for owner in self.owners.values())
                self.keep(key, entry, counters, now_seconds)
                reply.set_compiled(entry.compiled)
                entry.open(query, reply)
                reply.options = b""
                return Arrival(query, reply, accepted=accepted)
        digest.set_ttl(self.shown_ttl(digest))
        return Arrival(query, reply, accepted=accepted)

    def clamp(self, query: Query, reply: Reply) -> None:
        """Give a reply that isn't kept one TTL within the bounds; what becomes of a compiled one is remembered."""
        compiled = reply.compiled
        if compiled is not None and compiled.changed is not None and compiled.changed[0] is self:
            changed = compiled.changed[1]
            if changed is not None:
                reply.set_compiled(changed)
            return
        digest = Digest(query, reply, self._now())
        digest.set_ttl(self.shown_ttl(digest))
        if compiled is not None:
            compiled.changed = (self, None if reply.compiled is compiled else reply.compiled)

    def shown_ttl(self, digest: Digest) -> int:
        """The TTL of a reply that isn't kept."""
        if digest.kind is ResponseType.SERVER_ERROR:
            return int(self.options.servfail_seconds)
        bounds = self.options.denial if digest.kind in NEGATIVE else self.options.success
        return bounds.clamp(digest.ttl_seconds)

    def lifetime_seconds(self, query: Query, reply: Reply, digest: Digest) -> int:
        """How long a reply is to be kept, 0 for not at all."""
        if reply.flags & FLAG_TC or digest.kind in _UNKEPT or not digest.complete:
            return 0
        if reply.reusable or reply.plugin in self.owners:
            return 0
        options = self.options
        if digest.kind in (ResponseType.NOERROR, ResponseType.DELEGATION):
            disabled = options.success_disabled
        else:
            disabled = options.denial_disabled
        if disabled and any(names.is_in(query.key, zone) for zone in disabled):
            return 0
        if digest.kind is ResponseType.SERVER_ERROR:
            return int(options.servfail_seconds) if reply.plugin in self.relaying else 0
        bounds = options.denial if digest.kind in NEGATIVE else options.success
        return bounds.clamp(digest.lifetime_seconds)

    def _is_acceptable(self, reply: Reply, digest: Digest) -> bool:
        """True if a reply may replace an expired entry (RFC 8767 section 4)."""
        if reply.flags & FLAG_TC or reply.rcode not in (NOERROR, NXDOMAIN) or digest.kind in _UNKEPT:
            return False
        return not self._prefers_positive or (digest.answered and digest.kind is ResponseType.NOERROR)

    def keep(self, key: bytes, entry: Entry, counters: ServerCounters, now_seconds: float) -> None:
        """Put an entry where it belongs, unless what is there is better."""
        if entry.denial:
            if not self._prefers_positive and entry.rcode in (NOERROR, NXDOMAIN):
                self.success.remove(key)
            counters.evictions[True].value += self.denial.put(key, entry)
            return
        if self._prefers_positive and not entry.answered:
            old = self.success.get(key)
            if old is not None and old.answered and self._is_usable(old, now_seconds):
                return  # a reply that answers nothing doesn't replace a good answer
        if self.denial.get(key) is not None:
            self.denial.remove(key)
        evicted = self.success.put(key, entry)
        if evicted:
            counters.evictions[False].value += evicted
