# SPDX-License-Identifier: Apache-2.0
"""cache - keeps replies for as long as their TTLs allow.

## Description

What the directives behind *cache* answer is kept in memory, and given to others who ask the same until the smallest TTL
of its records has run out. It may be used once in a server block.

* Kept are answers, referrals, denials of existence with a SOA record (RFC 2308: no longer than its MINIMUM field says)
  and, shortly, SERVFAIL and NOTIMP of other servers. Never kept are truncated replies, other errors, denials without a
  SOA record, aliases that lead nowhere, and answers with expired signatures.
* All records of a reply get one TTL: the smallest of them, within the bounds below. That goes for replies that aren't
  kept, too. Replies from the cache have the AA flag set, because old resolver libraries ignore others.
* Replies are kept apart by name, type, class, and the DO and CD flags.
* Answers from *kubernetes* are not kept here: they are ready in memory already, and must change with the cluster at
  once. The same goes for all other answers that are decided by the configuration alone. An answer that came from
  elsewhere for a name in the cluster's zones (`fallthrough`) is forgotten as soon as the cluster has one of its own.
* Of identical queries that come while the first one is under way only that one is passed on; the others get its reply.
* The number of entries is bounded, and so is their size: 2 KiB for each entry on average. What wasn't asked for again
  goes first.

## Syntax

~~~ txt
cache [TTL] [ZONES...] {
    success CAPACITY [TTL] [MINTTL]
    denial CAPACITY [TTL] [MINTTL]
    prefetch AMOUNT [DURATION] [PERCENTAGE%]
    serve_stale [DURATION] [immediate [STALE_TTL [RECHECK]] | verify [TIMEOUT [STALE_TTL [RECHECK]]]]
    serve_stale_policy prefer_positive
    servfail DURATION
    disable success|denial [ZONES...]
    keepttl
}
~~~

* **TTL** is the longest time in seconds that a reply is kept, a number without a unit. By default it is 3600 for
  answers and 1800 for denials. An argument that isn't a number is a zone.
* **ZONES** are the zones that are cached, by default those of the server block. Other queries pass untouched.
* `success` and `denial` are about answers and denials: the number of entries, by default 9984 and at least 1024, the
  longest and the shortest time in seconds, the latter being 5 by default.
* `prefetch` asks again, in the background, for an entry that has had **AMOUNT** hits with pauses shorter than
  **DURATION** (by default 1m) between them, when no more than **PERCENTAGE** (10% to 90%, by default 10%) of its TTL is
  left.
* `serve_stale` uses entries for **DURATION**, by default 1h, after they have expired (RFC 8767). With `immediate`, the
  default, an expired entry is the reply, and it is renewed in the background. With `verify` the next directive is asked
  first, and the expired entry is the reply only if that gives no NOERROR or NXDOMAIN within **TIMEOUT** (0, the
  default: however long it takes); the attempt goes on in the background. **STALE_TTL** is the TTL in such replies, by
  default 0s. After a vain attempt there is no other for **RECHECK**, at most 5m, by default 0s; meanwhile, and while an
  attempt is under way, the expired entry is the reply at once. Such replies have the extended error "Stale Answer" or
  "Stale NXDOMAIN Answer" (RFC 8914).
* `serve_stale_policy prefer_positive` lets only another answer replace an answer, as long as `serve_stale` allows its
  use: neither denials nor failures do.
* `servfail` is how long SERVFAIL and NOTIMP of other servers are kept, by default 5s, at most 5m; 0 keeps none.
* `disable` keeps no answers, or no denials, in **ZONES**, by default everywhere.
* `keepttl` lets replies from the cache have the TTL that they had in the beginning, until they expire.

## Metrics

* `coredns_cache_entries{server, type, zones, view}` - entries; `type` is `success` or `denial`.
* `coredns_cache_hits_total{server, type, zones, view}` - queries that an entry answered.
* `coredns_cache_requests_total{server, zones, view}` - queries that came here.
* `coredns_cache_misses_total{server, zones, view}` - queries that went on, those that *kubernetes* answers included.
* `coredns_cache_prefetch_total{server, zones, view}` - attempts to renew an entry in the background.
* `coredns_cache_drops_total{server, zones, view}` - 0: replies to other questions are refused before they come here.
* `coredns_cache_served_stale_total{server, zones, view}` - replies from expired entries.
* `coredns_cache_evictions_total{server, type, zones, view}` - entries that had to make room.

`zones` lists the zones that are cached, with commas. Replies that were sent again from memory are counted like all
others.

## Examples

At most 30 seconds, and nothing of the cluster:

~~~ corefile
. {
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    whoami
}
~~~

A node's cache that outlives its upstreams, and asks for busy names in time:

~~~ corefile
. {
    cache 3600 {
        success 20000 3600 5
        denial 9984 30
        prefetch 10 1m 20%
        serve_stale 1h verify 500ms 30s 30s
        serve_stale_policy prefer_positive
        servfail 1s
    }
    whoami
}
~~~

An authoritative server that always gives the TTLs of its zone:

~~~ corefile
example.org {
    cache {
        keepttl
    }
    whoami
}
~~~
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import AXFR, IXFR, NXDOMAIN, QUERY
from clusterdns.plugins.cache.arrival import Arrival
from clusterdns.plugins.cache.asking import Asking, entry_key
from clusterdns.plugins.cache.counters import Counters
from clusterdns.plugins.cache.entry import CachedReply, Entry
from clusterdns.plugins.cache.explaining import entry_notes
from clusterdns.plugins.cache.keeper import ShortKeeper
from clusterdns.plugins.cache.options import CacheOptions, parse
from clusterdns.plugins.cache.renewal import Renewals, within
from clusterdns.plugins.cache.shelves import Clock, Shelves
from clusterdns.serving.capabilities import NameOwner, Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Client, Query
from clusterdns.serving.relay import Plain, PlainStep
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

_STALE_ANSWER: Final = extended_error(3)
_STALE_NXDOMAIN_ANSWER: Final = extended_error(19)


class Cache(Plugin):
    """The directive.

    clock: seconds, never goes back. now: seconds since the epoch.
    """

    name = "cache"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> CacheOptions | None:
        """A TTL, zones and a block of options."""
        return parse(reader)

    def __init__(
        self, options: CacheOptions, setup: Setup, *, clock: Clock = time.monotonic, now: Clock = time.time
    ) -> None:
        super().__init__(options, setup)
        self.options = options
        self.shelves = Shelves(options, clock=clock, now=now)
        self._clock = clock
        self._zones = () if set(setup.zones) <= set(options.zones) else options.zones
        self._counters = Counters(setup.services.metrics, ",".join(options.zone_texts), setup.view)
        self._asking = Asking(self, self.shelves, self._counters)
        self._keeper = ShortKeeper(self.shelves, self._asking.flights, self._counters)
        recheck_seconds = options.stale.recheck_seconds if options.stale is not None else 0.0
        self._renewals = Renewals(setup.services, recheck_seconds, clock)
        self._end_collecting: Callable[[], object] | None = None

    async def start(self) -> None:
        """Learn whose names come and go, and whose failures are those of other servers."""
        siblings = self.setup.siblings.items()
        self.shelves.owners = {name: plugin for name, plugin in siblings if isinstance(plugin, NameOwner)}
        self.shelves.relaying = frozenset(name for name, plugin in siblings if plugin.relays)
        self._end_collecting = self.services.metrics.on_collect(self._collect)

    async def stop(self, final: bool) -> None:
        """End what goes on in the background."""
        await self._renewals.stop()
        if self._end_collecting is not None:
            self._end_collecting()
            self._end_collecting = None
        self._counters.hide_entries()

    def _collect(self) -> None:
        self._counters.show_entries(len(self.shelves.success), len(self.shelves.denial))

    def _is_for(self, query: Query) -> bool:
        """True if the query is one to be looked up here."""
        if query.opcode != QUERY or query.qtype in (AXFR, IXFR):
            return False
        return not self._zones or any(names.is_in(query.key, zone) for zone in self._zones)

    def explain(self, query: Query) -> Iterable[Note]:
        """See Explainer."""
        key, now_seconds = entry_key(query), self._clock()
        waits = self._asking.flight_to_follow(query, key, now_seconds) is not None
        return entry_notes(query, self.shelves, key, now_seconds, is_for=self._is_for(query), waits=waits)

    def plain(self, zone: bytes) -> Plain | None:
        """Replies are kept, but not where that is disabled."""
        if self._zones and not any(names.is_in(zone, each) for each in self._zones):
            return PlainStep.TRANSPARENT
        disabled = (*self.options.success_disabled, *self.options.denial_disabled)
        return None if any(names.is_in(zone, each) for each in disabled) else self._keeper

    def plain_zones(self) -> tuple[bytes, ...]:
        """See Plugin."""
        return (*self._zones, *self.options.success_disabled, *self.options.denial_disabled)

    def handle(self, query: Query) -> Result:
        """The reply that is kept, or that of the rest of the chain."""
        if not self._is_for(query):
            return self.next(query)
        resumed = None if query.attempt is None else self._asking.resume(query, query.attempt)
        return self._look_up(query) if resumed is None else resumed

    def _look_up(self, query: Query) -> Result:
        counters = self._counters.of(query.server)
        counters.requests.value += 1
        now_seconds = self._clock()
        key = entry_key(query)
        entry = self.shelves.find(query, key, now_seconds)
        if entry is None:
            counters.misses.value += 1
            return self._asking.miss(query, key)
        counters.hits[entry.denial].value += 1
        entry.used = True
        ttl_seconds = entry.remaining_seconds(now_seconds)
        if ttl_seconds <= 0:
            return self._hit_stale(query, key, entry, now_seconds)
        if self.options.prefetch is not None:
            entry.count_hits(1, now_seconds, self.options.prefetch.gap_seconds)
            if self._is_due(entry, ttl_seconds):
                self._renew(query, key, entry)
        reply = entry.reply(query, entry.ttl_seconds if self.options.keepttl else ttl_seconds)
        reply.reusable = entry.refresh is None  # what comes of that is the next client's reply
        reply.shelf, reply.key, reply.seconds = self, key, entry.seconds_of_ttl(now_seconds)
        return reply

    def _is_due(self, entry: Entry, ttl_seconds: int) -> bool:
        """True if an entry is to be renewed before it expires."""
        prefetch = self.options.prefetch
        if prefetch is None:
            return False
        return entry.hits >= prefetch.amount and ttl_seconds <= prefetch.threshold(entry.ttl_seconds)

    @property
    def wants_uses(self) -> bool:
        """See Shelf."""
        return self.options.prefetch is not None

    def show(self, key: bytes, entry: Entry) -> tuple[int, float] | None:
        """See Shelf."""
        now_seconds = self._clock()
        ttl_seconds = entry.remaining_seconds(now_seconds)
        if ttl_seconds <= 0 or entry.refresh is not None or not self.shelves.has(key, entry):
            return None
        if self._is_due(entry, ttl_seconds):
            return None
        entry.used = True
        return entry.ttl_seconds if self.options.keepttl else ttl_seconds, entry.seconds_of_ttl(now_seconds)

    # Expired entries, and those that soon will be

    def _renew(self, query: Query, key: bytes, entry: Entry) -> bool:
        """Begin to renew an entry in the background unless that is under way, or was in vain shortly before."""
        begun = self._renewals.begin(entry, lambda: self._renewed(query, key, entry))
        if begun:
            self._counters.of(query.server).prefetches.value += 1
        return begun

    async def _renewed(self, query: Query, key: bytes, old: Entry) -> Arrival:
        arrival = await self._asking.arrival(query, key, renewing=True)
        if arrival.truncated and query.client.protocol == "udp":
            again = query.derive()
            client = query.client
            again.client = Client("tcp", client.address, client.port, client.local_address, client.local_port)
            arrival = await self._asking.arrival(again, key, renewing=True)
        new = self.shelves.success.get(key) if arrival.accepted else None
        if new is not None and new is not old:
            new.hits, new.last_hit_seconds = old.hits, old.last_hit_seconds
        return arrival

    def _hit_stale(self, query: Query, key: bytes, entry: Entry, now_seconds: float) -> Result:
        stale = self.options.stale
        assert stale is not None
        if not stale.verify:
            self._renew(query, key, entry)
            return self._stale_reply(query, entry)
        if stale.verify_seconds or stale.recheck_seconds:
            begun = self._renew(query, key, entry)
            if entry.refresh is None or (stale.recheck_seconds and not begun):
                return self._stale_reply(query, entry)
            return self._verify(query, entry, within(stale.verify_seconds, entry.refresh))
        found = self._asking.ask(query, key, renewing=True)
        if isinstance(found, Reply):
            arrival = self._asking.receive(query, key, found, renewing=True)
            return arrival.reply(query) if arrival.accepted else self._stale_reply(query, entry)
        return self._verify(query, entry, found)

    async def _verify(self, query: Query, entry: Entry, work: Awaitable[Arrival | None]) -> Reply:
        arrival = await work
        if arrival is not None and arrival.accepted:
            return arrival.reply(query)
        return self._stale_reply(query, entry)

    def _stale_reply(self, query: Query, entry: Entry) -> Reply:
        stale = self.options.stale
        assert stale is not None
        self._counters.of(query.server).served_stale.value += 1
        reply = entry.reply(query, stale.ttl_seconds, stale=True)
        reply.reusable = entry.refresh is None and not stale.verify
        reply.options = _STALE_NXDOMAIN_ANSWER if entry.rcode == NXDOMAIN else _STALE_ANSWER
        return reply

    # What the engine answered from memory

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """See HitObserver."""
        if not self._is_for(query):
            return
        counters = self._counters.of(query.server)
        counters.requests.value += hits
        if not isinstance(reply, CachedReply):
            counters.misses.value += hits
            return
        entry = reply.entry
        counters.hits[entry.denial].value += hits
        if reply.stale:
            counters.served_stale.value += hits
        if self.options.prefetch is not None:
            entry.count_hits(hits, self._clock(), self.options.prefetch.gap_seconds)

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """See HitObserver; durations are counted by others."""
