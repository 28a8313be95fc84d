# SPDX-License-Identifier: Apache-2.0
"""warmup - looks up names from outside while a client still tries its search list.

## Description

With the resolv.conf that Pods have (`ndots:5` and the search list `NAMESPACE.svc.ZONE svc.ZONE ZONE`) a client that
wants `api.example.com` first asks for `api.example.com.NAMESPACE.svc.ZONE`, then for two or more other names that don't
exist, and only then for the name itself. With *warmup* the server begins to look that up at the first of these
queries, and *cache* has the answer when the client asks for it. No answer changes: each of the client's queries
gets what it would have got, only the last one sooner.

The look-up is made as the client would make it: from the choice of the server block on, with the type and the flags of
its query, and with everything that the Corefile says about its address. It is begun when *kubernetes* in this block has
answered NXDOMAIN to a query for A or AAAA records, with RD set, of a name `REST.NAMESPACE.svc.ZONE`, and only where

* **NAMESPACE** exists, and is the client's own where *kubernetes* knows the Pods (`pods verified`);
* **REST** has two labels or more, and may be a name from outside. It is none, so that names of the cluster never get
  to other servers, if it ends in an existing namespace; in `svc` or `pod`, `svc.ZONE` or `pod.ZONE`, **ZONE**, or the
  beginning of one of these such as `svc.cluster`; in another zone of this server block; in `local` (RFC 6762) or
  a number; or in a name after `except`;
* this server has NXDOMAIN for `REST.svc.ZONE` and `REST.ZONE`, too, so that the client will come to its last query;
* the same was not looked up within the last second or two, and there aren't too many look-ups.

A namespace that has the name of a top-level domain, such as `dev`, keeps names below that domain from being looked up.
If search lists go on with domains of the nodes, write after `except` the last labels of short names that are used in
those domains: `db.prod` for `db.prod.corp.example` looks like a name from outside.

*warmup* needs *kubernetes* in the same server block, and *cache* in the block that answers names from outside. It may
be used once in a server block. It stands behind *acl* and *families*, so that who may not ask is looked up nothing for.

## Syntax

~~~ txt
warmup {
    except NAMES...
    max_concurrent INTEGER
    max_rate INTEGER
}
~~~

* `except` leaves out **NAMES** and all names below them; it may be repeated.
* `max_concurrent` bounds the look-ups that are under way; default 1000.
* `max_rate` bounds the look-ups in a second; default 1000.

## Metrics

* `clusterdns_warmup_lookups_total{server, view, result}` - look-ups: `ready` if the answer was at hand, `resolved` if
  it had to be asked for, `failed` if there was none within 6 seconds, or SERVFAIL or REFUSED.
* `clusterdns_warmup_used_total{server, view}` - those whose name was then asked for in this server block.
* `clusterdns_warmup_skipped_total{server, view, reason}` - misses of the first search domain without a look-up:
  `internal` if the rest is no name from outside, `exists` if it is found in another search domain, `client` if it isn't
  a Pod of the namespace, `recent` if there was one shortly before, `concurrent` and `rate` if there were too many. A
  reply that is sent again from memory isn't counted, and is after a second at most looked at again.

## Examples

~~~ corefile
. {
    warmup
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests /etc/clusterdns/manifests
        pods verified
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . 10.0.0.53
    cache 30
}
~~~

Nodes in the domain `corp.example`, in which Pods use names such as `db.prod` and `git.tools`:

~~~ corefile
. {
    warmup {
        except prod tools corp.example
        max_concurrent 200
        max_rate 500
    }
    kubernetes cluster.local {
        manifests /etc/clusterdns/manifests
    }
    forward . 10.0.0.53
    cache 30
}
~~~
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, parse_with
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, FLAG_CD, FLAG_RD, IN, NXDOMAIN, QUERY, REFUSED, SERVFAIL, A
from clusterdns.errors import ConfigError, LifecycleError
from clusterdns.expressions.numerals import atoi
from clusterdns.serving.capabilities import Lease, SearchedCluster, Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Client, Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

LOOK_UP_SECONDS: Final = 6.0
"""Longer than *forward* waits for its upstreams."""

RECENT_SECONDS: Final = 1.0
"""A look-up isn't repeated within this time, and the rate is counted over it."""

_AS_A_CLIENT: Final = -1
"""The depth of who asks: what it asks is one deeper, and so at the depth of a query that a client has sent."""

_SVC: Final = b"\x03svc"
_KINDS: Final = (_SVC, b"\x03pod")
_MDNS: Final = names.from_text("local.")

_INTERNAL: Final = "internal"
_EXISTS: Final = "exists"
_CLIENT: Final = "client"
_RECENT: Final = "recent"
_CONCURRENT: Final = "concurrent"
_RATE: Final = "rate"

Subject = tuple[bytes, int, int]
"""What is looked up: name in lower case, type, and the flags that make different answers."""


class Options(msgspec.Struct, frozen=True):
    """See the manual page. ``excepted``: in lower-case wire form."""

    excepted: tuple[bytes, ...] = ()
    max_concurrent: int = 1000
    max_rate: int = 1000


class _Reader:
    """Reads the block of the directive."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self._excepted: list[bytes] = []
        self._bounds: dict[str, int] = {}

    def read(self) -> Options:
        """Raises ConfigError."""
        reader = self._reader
        line = reader.once()
        line.expect(0)
        reader.options(line, {"except": self._except, "max_concurrent": self._bound, "max_rate": self._bound})
        directives = reader.block.directives
        if "kubernetes" not in directives:
            raise line.name.error(
                "warmup needs kubernetes in the same server block",
                label=ConfigError.NO_POSITION,
                hint="move it to the block that answers the names of the cluster",
            )
        if "." in reader.block.zones and "cache" not in directives:
            reader.warn(line.name, "nothing keeps what warmup finds", hint="add cache to this server block")
        if "autopath" in directives:
            reader.warn(
                line.name,
                "autopath leaves nothing to warmup: it answers the whole search list with the first query",
                hint="remove one of the two",
            )
        return Options(tuple(self._excepted), **self._bounds)

    def _except(self, option: Line) -> None:
        if not option.args:
            raise option.wrong_count()
        option.no_block()
        for token in option.args:
            zones, invalid = expand_zones([token.text])
            if invalid:
                raise token.error(f"'{token.text}' is no name", label=ConfigError.NO_POSITION)
            self._excepted.extend(map(names.from_text, zones))

    def _bound(self, option: Line) -> None:
        option.expect(1)
        option.no_block()
        (token,) = option.args
        value = parse_with(token, atoi, label=ConfigError.NO_POSITION)
        if value < 1:
            raise token.error(
                f"{option.name.text} must be 1 or more: {value}",
                label=ConfigError.NO_POSITION,
                hint="to look up nothing, remove warmup",
            )
        self._bounds[option.name.text] = value


class Warmup(Plugin):
    """The directive.

    clock: seconds, never goes back.
    """

    name = "warmup"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """A block of options."""
        return _Reader(reader).read()

    def __init__(self, options: Options, setup: Setup, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(options, setup)
        self._options = options
        self._clock = clock
        self._cluster: SearchedCluster | None = None
        self._search_domains: tuple[bytes, ...] = ()
        self._internal: frozenset[bytes] = frozenset()
        self._recent = _Recent(clock)
        self._leases: dict[object, Lease] = {}
        metrics = setup.services.metrics
        self._lookups = metrics.counter(
            "clusterdns_warmup_lookups_total",
            "Counter of names that were looked up while a client tried its search list.",
            ("server", "view", "result"),
        )
        self._used = metrics.counter(
            "clusterdns_warmup_used_total", "Counter of such names that were then asked for.", ("server", "view")
        )
        self._skipped = metrics.counter(
            "clusterdns_warmup_skipped_total",
            "Counter of misses of the first search domain that nothing was looked up for.",
            ("server", "view", "reason"),
        )

    async def start(self) -> None:
        """Learn what search lists are made of. Raises LifecycleError."""
        sibling = self.setup.siblings.get("kubernetes")
        if not isinstance(sibling, SearchedCluster):
            raise LifecycleError(f"plugin/{self.name}: there is no cluster whose search lists could be known")
        self._cluster = sibling
        zones = sibling.search_zones
        self._search_domains = tuple(_SVC + zone for zone in zones)
        served = (zone for zone in self.setup.zones if zone != names.ROOT)
        self._internal = frozenset((*internal_endings(zones), *served, *self._options.excepted))

    async def stop(self, final: bool) -> None:
        """End the look-ups that are under way."""
        while self._leases:
            await self._leases.popitem()[1].release()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        domain = next((each for each in self._search_domains if names.is_in(query.key, each)), None)
        if query.qtype not in (A, AAAA) or query.depth or query.qclass != IN or query.opcode != QUERY:
            yield Note("passed on: not a client's query for addresses")
        elif domain is None:
            yield Note("passed on: not completed by the first domain of a search list")
        else:
            yield Note(
                "if the name doesn't exist and its front may be a name from outside, that is looked up meanwhile"
            )

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain."""
        if query.qtype not in (A, AAAA) or query.depth or query.qclass != IN or query.opcode != QUERY:
            return self.next(query)
        key = query.key
        for domain in self._search_domains:
            if key.endswith(domain) and names.is_in(key, domain) and query.trace is None:  # to explain has no effects
                return after(self.next(query), partial(self._answered, query, len(domain)))
        if type(query.client) is not _Forerunner and self._recent.use((key, query.qtype, _flags(query))):
            self._used.labels(query.server, self.setup.view).inc()
        return self.next(query)

    def _answered(self, query: Query, domain_bytes: int, reply: Reply) -> Reply:
        """Look at the reply to a query for a name below ``svc.ZONE``, which is that long."""
        cluster = self._cluster
        if reply.rcode != NXDOMAIN or not query.flags & FLAG_RD or cluster is None or not cluster.ready():
            return reply
        labels = names.labels(query.key[:-domain_bytes] + names.ROOT)
        namespace = names.label_text(labels[-1]) if labels else ""
        if len(labels) < 3 or cluster.store.get("Namespace", ("", namespace)) is None:
            return reply
        name = query.name[: -domain_bytes - len(labels[-1]) - 1] + names.ROOT
        reason = self._reason_to_skip(query, cluster, namespace, name)
        if reason:
            self._skip(query, reason)
        else:
            self._begin(query, name, query.name[-domain_bytes:])
        if reason != _INTERNAL:
            reply.transient = True  # or it would be sent again from memory long after what was looked up has expired
        return reply

    def _reason_to_skip(self, query: Query, cluster: SearchedCluster, namespace: str, name: bytes) -> str:
        key = name.lower()
        top = names.label_text(names.labels(key)[-1])
        if (
            top.isdigit()
            or cluster.store.get("Namespace", ("", top)) is not None
            or any(ending in self._internal for ending in names.suffixes(key))
        ):
            return _INTERNAL
        if cluster.client_namespace(query) not in (None, namespace):
            return _CLIENT
        if (key, query.qtype, _flags(query)) in self._recent:
            return _RECENT
        if len(self._leases) >= self._options.max_concurrent:
            return _CONCURRENT
        return _RATE if self._recent.count >= self._options.max_rate else ""

    def _skip(self, query: Query, reason: str) -> None:
        self._skipped.labels(query.server, self.setup.view, reason).inc()

    def _begin(self, query: Query, name: bytes, domain: bytes) -> None:
        self._recent.add((name.lower(), query.qtype, _flags(query)))
        mark = object()
        self._leases[mark] = self.services.spawn("warmup: look-up", self._run(mark, query, name, domain))

    async def _run(self, mark: object, query: Query, name: bytes, domain: bytes) -> None:
        """In a task of its own, so that it begins when the client has got its reply."""
        result = "failed"
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                result = await _look_up(query, name, domain)
        except TimeoutError:
            self.log.debug("%s was not resolved in time", names.to_text(name))
        finally:
            self._leases.pop(mark, None)
            if result == _EXISTS:
                self._skip(query, _EXISTS)
            else:
                self._lookups.labels(query.server, self.setup.view, result).inc()


class _Forerunner(Client):
    """A client in whose place the server asks before the client does."""

    __slots__ = ()

    def __init__(self, client: Client) -> None:
        super().__init__(client.protocol, client.address, client.port, client.local_address, client.local_port)


async def _look_up(query: Query, name: bytes, domain: bytes) -> str:
    """Ask as the client will: with the search domains ``svc.ZONE`` and ``ZONE``, then for the name; the result."""
    asker = query.derive(depth=_AS_A_CLIENT)
    asker.client = _Forerunner(query.client)
    for suffix in (domain, domain[len(_SVC) :]):
        found = asker.resolve(asker, name[:-1] + suffix, query.qtype)
        reply = found if isinstance(found, Reply) else await found
        if reply.rcode != NXDOMAIN:
            return _EXISTS
    found = asker.resolve(asker, name, query.qtype)
    reply = found if isinstance(found, Reply) else await found
    if reply.rcode in (SERVFAIL, REFUSED) or reply.error:
        return "failed"
    return "ready" if found is reply else "resolved"


class _Recent:
    """What was looked up within the last second or two, and whether it was then asked for.

    Two generations, of which the older one goes when the younger one is a second old; both are bounded by ``max_rate``.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._younger: dict[Subject, bool] = {}
        self._older: dict[Subject, bool] = {}

    @property
    def count(self) -> int:
        """How many were looked up in this second."""
        self._turn()
        return len(self._younger)

    def add(self, subject: Subject) -> None:
        """It is looked up."""
        self._turn()
        self._older.pop(subject, None)
        self._younger[subject] = False

    def __contains__(self, subject: Subject) -> bool:
        self._turn()
        return subject in self._younger or subject in self._older

    def use(self, subject: Subject) -> bool:
        """Somebody asks for it; True if that is the first time."""
        if not self._younger and not self._older:
            return False
        self._turn()
        for generation in (self._younger, self._older):
            if generation.get(subject) is False:
                generation[subject] = True
                return True
        return False

    def _turn(self) -> None:
        now = self._clock()
        passed = now - self._since
        if passed >= RECENT_SECONDS:
            self._older = self._younger if passed < 2 * RECENT_SECONDS else {}
            self._younger = {}
            self._since = now


def _flags(query: Query) -> int:
    """As *cache* keeps answers apart: CD, and DO of EDNS."""
    return query.flags & FLAG_CD | (query.edns is not None and query.edns.do)


def internal_endings(zones: Iterable[bytes]) -> Iterator[bytes]:
    """What a name ends in that a search domain of one of the zones may complete to a name of the cluster.

    For ``cluster.local`` such are ``svc``, ``svc.cluster``, ``svc.cluster.local`` and the same with ``pod``, and
    ``cluster`` and ``cluster.local``. The parents of a zone aren't: ``example.com`` is outside ``k8s.example.com``.
    """
    yield _MDNS
    for zone in zones:
        labels = names.labels(zone)
        for count in range(len(labels) + 1):
            beginning = names.from_labels(labels[:count])
            yield from (kind + beginning for kind in _KINDS)
            if count:
                yield beginning
