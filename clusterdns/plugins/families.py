# SPDX-License-Identifier: Apache-2.0
"""families - answers for the IP version that the cluster doesn't have, instead of asking other servers.

## Description

Most clients ask for A and AAAA records of every name. In a cluster without IPv6 the AAAA half is of no use, and most of
it goes to other servers. With *families* such a query gets an empty answer at once: NOERROR with a SOA record, which is
what RFC 2308 section 2.2 says for a name that doesn't have the type. It never says that a name doesn't exist, and other
types aren't touched.

It stands behind *acl* and before *cache*: who may ask is decided first, and the cache isn't filled with denials. So it
decides before *hosts*, *file* and *forward*. Not touched are names in the zones of *kubernetes* and *k8s_external*,
which know what they have; look-ups that the server makes for a query, such as those of *dns64*; and queries of clients
that check signatures themselves, with the flags DO and CD.

It may be used once in a server block.

## Syntax

~~~ txt
families auto|v4|v6
~~~

* `v4` denies AAAA records, `v6` denies A records.
* `auto` denies the type of the version that nothing in the cluster has: no Service among its clusterIPs, no endpoint
  and, where *kubernetes* watches them, no Pod. It needs *kubernetes* in the same server block. A cluster with both
  versions, one that hasn't been read yet and one without addresses deny nothing; a change of the cluster shows at once.

## Metrics

* `coredns_families_denied_total{server, view, type}` - queries that got an empty answer.

## Examples

~~~ corefile
. {
    families auto
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests /etc/clusterdns/manifests
        fallthrough in-addr.arpa ip6.arpa
    }
    whoami
}
~~~

~~~ corefile
. {
    families v4
    whoami
}
~~~
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.objects import EndpointSlice, Kind, Object, Pod, Service
from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import AAAA, FLAG_CD, IN, SOA, A, type_text
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError, LifecycleError
from clusterdns.serving.capabilities import ClusterHolder, NameOwner, Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

TTL_SECONDS: Final = 30
"""For so long a cache may keep the denial when the cluster gets the version."""

SYNTHESIZED: Final = 29
"""Extended DNS error "Synthesized" (IANA, RFC 8914)."""

_RNAME: Final = names.from_text("nobody.invalid.")  # as in the empty zones of RFC 6303
_TIMES: Final = b"".join(number.to_bytes(4, "big") for number in (1, 7200, 1800, 86400, TTL_SECONDS))
_KINDS: Final[tuple[Kind, ...]] = ("Service", "EndpointSlice", "Pod")
_DENIED: Final = {"v4": AAAA, "v6": A}
_VERSION_NAMES: Final = {A: "IPv4", AAAA: "IPv6"}


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    families: Literal["auto", "v4", "v6"]


class Families(Plugin):
    """The directive."""

    name = "families"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options | None:
        """One word; None if it is none of the three."""
        line = reader.once()
        (word,) = line.expect(1)
        line.no_block()
        if word not in ("auto", "v4", "v6"):
            raise line.args[0].error(f"unknown families '{word}'", hint="it is auto, v4 or v6")
        if word == "auto" and "kubernetes" not in reader.block.directives:
            raise line.args[0].error(
                "families auto needs kubernetes in the same server block",
                label=ConfigError.NO_POSITION,
                hint="write v4 or v6 here",
            )
        return msgspec.convert({"families": word}, Options)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._automatic = options.families == "auto"
        self._denied = _DENIED.get(options.families, 0)
        self._seen: Counter[int] = Counter()
        self._cluster: ClusterHolder | None = None
        self._owners: tuple[NameOwner, ...] = ()
        self._unsubscribe: Callable[[], None] | None = None
        self._count = setup.services.metrics.counter(
            "coredns_families_denied_total",
            "Counter of queries for the IP version that the cluster doesn't have.",
            ("server", "view", "type"),
        )

    async def start(self) -> None:
        """Look at the cluster. Raises LifecycleError."""
        sibling = self.setup.siblings.get("kubernetes")
        self._owners = tuple(plugin for plugin in self.setup.siblings.values() if isinstance(plugin, NameOwner))
        if not self._automatic:
            return
        if not isinstance(sibling, ClusterHolder):
            raise LifecycleError(f"plugin/{self.name}: there is no cluster to look at")
        self._cluster = sibling
        store = sibling.store
        for kind in _KINDS:
            for item in store.objects(kind):
                self._seen.update(_types(item))
        self._unsubscribe = store.subscribe(self._apply)
        self._decide()

    async def stop(self, final: bool) -> None:
        """Look at the cluster no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _apply(self, changes: ChangeSet) -> None:
        for change in changes:
            if change.old is not None:
                self._seen.subtract(_types(change.old))
            if change.new is not None:
                self._seen.update(_types(change.new))
        self._decide()

    def _decide(self) -> None:
        missing = [qtype for qtype in (A, AAAA) if not self._seen[qtype]]
        denied = missing[0] if len(missing) == 1 else 0
        if denied != self._denied:
            self._denied = denied
            if denied:
                version = _VERSION_NAMES[denied]
                self.log.info(
                    "the cluster has no %s: queries for %s records get empty answers", version, type_text(denied)
                )
            else:
                self.log.info("queries for A and AAAA records are both answered")
            self.setup.publish()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        missing = _VERSION_NAMES.get(self._denied)
        if missing is None:
            yield Note("passed on: A and AAAA records are both answered")
        elif query.qtype != self._denied or query.qclass != IN:
            yield Note(
                f"passed on: only {type_text(self._denied)} records are denied, because there is no {missing} here"
            )
        elif query.depth:
            yield Note("passed on: the server itself asks")
        elif not self._applies(query):
            yield Note("passed on: the name is the cluster's, or the client checks signatures itself")
        else:
            how = "as the cluster has none" if self._automatic else "as the Corefile says"
            yield Note(f"denies {type_text(query.qtype)} records: there is no {missing} here, {how}")

    def handle(self, query: Query) -> Result:
        """An empty answer, or the reply of the rest of the chain."""
        if query.qtype != self._denied or query.qclass != IN or query.depth or not self._applies(query):
            return self.next(query)
        zone = query.zone
        denial = Record(zone, SOA, TTL_SECONDS, zone + _RNAME + _TIMES)
        reply = Reply.authoritative(self.name, authority=(denial,))
        reply.options = extended_error(SYNTHESIZED, f"the cluster has no {_VERSION_NAMES[query.qtype]}")
        reply.reusable = True
        return reply

    def _applies(self, query: Query) -> bool:
        if query.edns is not None and query.edns.do and query.flags & FLAG_CD:
            return False
        if self._cluster is not None and not self._cluster.ready():
            return False
        return all(owner.owns(query) is None for owner in self._owners)

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """Count a denial."""
        self.observe_hits(query, reply, size_bytes, 1)

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """Count denials."""
        if reply.plugin == self.name:
            self._count.labels(query.server, self.setup.view, type_text(query.qtype)).inc(hits)

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """Not of interest."""


def _types(item: Object) -> Iterator[int]:
    """The address types that an object is proof of, each at most once."""
    if isinstance(item, EndpointSlice):
        addresses = [address for endpoint in item.endpoints for address in endpoint.addresses]
        addresses = addresses if item.address_type in ("IPv4", "IPv6") else []
    elif isinstance(item, Service):
        addresses = list(item.cluster_ips)
    elif isinstance(item, Pod):
        addresses = list(item.ips)
    else:
        return
    if any("." in address and ":" not in address for address in addresses):
        yield A
    if any(":" in address for address in addresses):
        yield AAAA
