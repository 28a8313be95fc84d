# SPDX-License-Identifier: Apache-2.0
"""autopath - tries the search list in the client's place.

## Description

With the resolv.conf that Pods have (`ndots:5` and a search list) a client that wants `api.example.com` asks for
`api.example.com.NAMESPACE.svc.ZONE` first, and gets there after three or more names that don't exist, each asked for
twice, for A and AAAA records. With *autopath* the first query is enough: if its name doesn't exist the server tries the
rest of the search list itself, and answers with a CNAME record from the name that was asked for to the first one that
has addresses, and what that one has.

Names that exist are answered as they are; nothing is ever put in their place. For the others:

* The names of the search list are asked for as the client would ask: from the choice of the server block on, past *acl*
  and everything else that the Corefile says about the client. If one of them gets no clear answer (SERVFAIL, REFUSED,
  none at all) the client gets NXDOMAIN for the first name, and goes on by itself.
* A name without addresses is passed over, as clients do it. Queries for other types than A, AAAA, HTTPS and SVCB take
  the first name that has the type.
* A, AAAA and all later queries of a client for the same name lead to the same place for 5 seconds, whatever changes
  meanwhile: two that disagree make some resolver libraries give up.
* The TTL of the CNAME record is no longer than that of the NXDOMAIN in whose place it stands.
* Queries of clients that check signatures themselves (with the flags DO and CD) are left alone.

Old answers can stay in caches of clients for that long. *warmup* saves the same time without standing in for anything;
use one of the two.

## Syntax

~~~ txt
autopath [ZONES...] RESOLV-CONF|@PLUGIN
~~~

* **ZONES** are the zones whose names are looked at, by default those of the server block.
* **RESOLV-CONF** is a file like `/etc/resolv.conf`, read at the start; all clients have its search list.
* **@PLUGIN** is a directive in this server block that knows the search list of each client: `@kubernetes`. It needs
  `pods verified` there. A client is known if exactly one Pod has its address, with the `dnsPolicy` ClusterFirst and
  without `dnsConfig.searches`, for 10 seconds at least, and isn't being deleted. Pods in the network of their node are
  never known. Its list is `NAMESPACE.svc.ZONE`, `svc.ZONE`, **ZONE** and the search list of the server's own
  `/etc/resolv.conf`, without what that has of the cluster.

The directive may be repeated; only the last one counts.

## Metrics

* `coredns_autopath_success_total{server}` - queries that were answered with a name of the search list.

## Examples

~~~ corefile
. {
    autopath @kubernetes
    kubernetes cluster.local {
        manifests /etc/clusterdns/manifests
        pods verified
    }
    forward . 10.0.0.53
    cache 30
}
~~~

The search list of the machine, for all clients of an office:

~~~ corefile
. {
    autopath corp.example /etc/resolv.conf
    forward . 10.0.0.53
}
~~~
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.types import (
    AAAA,
    AXFR,
    CNAME,
    FLAG_AD,
    FLAG_CD,
    FLAG_TC,
    IN,
    IXFR,
    NOERROR,
    NXDOMAIN,
    QUERY,
    SOA,
    A,
)
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError, LifecycleError, WireError
from clusterdns.serving.capabilities import SearchPath, SearchPathSource, Setup
from clusterdns.serving.plugin import Plugin, Result, then
from clusterdns.serving.query import Query, Searcher
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note
from clusterdns.serving.zones import read_zones

HOST_RESOLV_CONF: Final = "/etc/resolv.conf"

DECIDED_SECONDS: Final = 5.0
"""How long the queries of a client for a name agree: until resolver libraries ask again."""

MAX_DECISIONS: Final = 20_000
"""Some 300 octets each."""

NONE: Final = 0
"""The decision that no name is to be put in the place of the first one; others are positions in the search list."""

_HTTPS: Final = 65
_SVCB: Final = 64
_SIBLINGS: Final = {A: (AAAA,), AAAA: (A,), _HTTPS: (A, AAAA), _SVCB: (A, AAAA)}
"""Types that also say that a name is the one that is meant."""

_BEFORE_CLIENT: Final = -1
"""The depth of who asks: what it asks is one deeper, and so at the depth of a query that a client has sent."""

Steps: TypeAlias = Generator[Result, Reply, Reply]
"""A search: it gives look-ups and is sent their replies."""

Choice: TypeAlias = tuple[bytes, str, bytes]
"""Whose decision about which name: address and identity of the client, labels in lower case."""


class Options(msgspec.Struct, frozen=True):
    """``zones`` in wire form; ``source`` is the file or, with ``@``, the directive."""

    zones: tuple[bytes, ...]
    source: str


class Autopath(Plugin):
    """The directive.

    clock: seconds, never goes back.
    host_resolv_conf: where ``@PLUGIN`` finds the rest of the search list.
    """

    name = "autopath"
    pure = True  # replies that depend on the client are marked one by one
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options | None:
        """Zones, and a file or a directive; None if a use is faulty."""
        options: Options | None = None
        for number, line in enumerate(reader.lines):
            with reader.collecting():
                if not line.args:
                    raise line.name.error(
                        "no resolv-conf specified",
                        label=ConfigError.NO_POSITION,
                        hint="write @kubernetes, or the path of a file such as /etc/resolv.conf",
                    )
                line.no_block()
                if number + 1 < len(reader.lines):
                    last = reader.lines[-1].name.line
                    reader.warn(line.name, f"this autopath has no effect: the one of line {last} counts")
                source = line.args[-1]
                if source.text.startswith("@") and source.text[1:] not in reader.block.directives:
                    reader.warn(source, f"this does nothing: there is no {source.text[1:]!r} in this server block")
                options = Options(read_zones(reader, line.args[:-1]), source.text)
        return None if reader.errors else options

    def __init__(
        self,
        options: Options,
        setup: Setup,
        *,
        clock: Callable[[], float] = time.monotonic,
        host_resolv_conf: str = HOST_RESOLV_CONF,
    ) -> None:
        super().__init__(options, setup)
        self._zones = options.zones
        self._argument = options.source
        self._host_resolv_conf = host_resolv_conf
        self._source: SearchPathSource | None = None
        self._domains: tuple[bytes, ...] = ()
        self._decisions = Decisions(clock)
        self._succeeded = setup.services.metrics.counter(
            "coredns_autopath_success_total",
            "Counter of requests that did autopath.",
            ("server",),
        )

    async def start(self) -> None:
        """Find the search list, or who knows it. Raises LifecycleError."""
        if not self._argument.startswith("@"):
            try:
                domains = _read_search(self.setup.path(self._argument))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise LifecycleError(
                    f'plugin/autopath: failed to parse "{self._argument}": open {self._argument}: {reason}'
                ) from error
            self._source = FixedPath(domains)
            return
        name = self._argument[1:]
        sibling = self.setup.siblings.get(name)
        if sibling is None:
            self.log.warning("there is no %s in this server block, so autopath does nothing", name)
            return
        if not isinstance(sibling, SearchPathSource):
            raise LifecycleError(f"plugin/autopath: {name} does not implement the AutoPather interface")
        self._source = sibling
        try:
            self._domains = _read_search(self._host_resolv_conf)
        except OSError as error:
            self.log.warning("search lists are those of the cluster alone: %s", error)

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        source = self._source
        if source is None or query.depth or not any(names.is_in(query.key, zone) for zone in self._zones):
            yield Note("passed on: the name is not in its zones, or the server itself asks")
        elif not source.is_searched(query):
            yield Note("passed on: not completed by the first domain of a search list")
        else:
            path = source.search_path(query)
            found = "" if path is None else ", ".join(map(names.to_text, (*path.domains, names.ROOT)))
            who = "passed on: the search list of this client is not known for sure"
            yield Note(f"if there is no such name, tries its front with {found} instead" if found else who)

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, or for a name that doesn't exist the first one of the search list."""
        source = self._source
        if (
            source is None
            or query.depth
            or query.qclass != IN
            or query.opcode != QUERY
            or query.qtype in (AXFR, IXFR)
            or isinstance(query.client, Searcher)
            or not any(names.is_in(query.key, zone) for zone in self._zones)
            or not source.is_searched(query)
        ):
            return self.next(query)
        return then(self.next(query), lambda reply: self._missed(query, source, reply))

    def _missed(self, query: Query, source: SearchPathSource, reply: Reply) -> Result:
        """Search if the first name doesn't exist."""
        if reply.dropped or reply.rcode != NXDOMAIN or reply.records(query).answer:
            return reply
        reply.reusable = False  # another client, or this one in a moment, may get more
        if query.flags & FLAG_CD and query.edns is not None and query.edns.do:
            return reply
        path = source.search_path(query)
        if path is None or query.key == path.domains[0] or not names.is_in(query.key, path.domains[0]):
            return reply
        return run(self._search(query, path, reply))

    def _search(self, query: Query, path: SearchPath, first: Reply) -> Steps:
        base = query.name[: -len(path.domains[0])]
        choice = (query.client.address.encode(), path.owner, base.lower())
        domains = self._all_domains(path)
        asker = query.derive(depth=_BEFORE_CLIENT)
        asker.client = Searcher(query.client)
        decided = self._decisions.find(choice)
        found: Reply | None = None
        if decided is None:
            position, found = yield from _walk(asker, base, domains)
            decided = self._decisions.make(choice, position)
            if decided != position:
                found = None
        if decided == NONE:
            return first
        name = base + domains[decided]
        if found is None:
            found = yield asker.resolve(asker, name, query.qtype)
            if not _is_clear(found) or found.rcode == NXDOMAIN:
                return _failure(first, found)
        self._succeeded.labels(query.server).inc()
        return _lead_to(query, name, first, found)

    def _all_domains(self, path: SearchPath) -> tuple[bytes, ...]:
        """The client's, then the machine's, without what that has of the cluster: it would be that of this server."""
        rest = (domain for domain in self._domains if not any(names.is_in(domain, own) for own in path.domains))
        return tuple(dict.fromkeys((*path.domains, *rest, names.ROOT)))


class FixedPath:
    """See SearchPathSource: a search list that all clients have."""

    def __init__(self, domains: tuple[bytes, ...]) -> None:
        self._path = SearchPath("", domains) if domains else None

    def is_searched(self, query: Query) -> bool:
        """See SearchPathSource."""
        return self._path is not None and names.is_in(query.key, self._path.domains[0])

    def search_path(self, query: Query) -> SearchPath | None:
        """See SearchPathSource."""
        return self._path


class Decisions:
    """Where the names of clients lead, for as long as their queries have to agree; bounded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._made: dict[Choice, tuple[int, float]] = {}

    def find(self, choice: Choice) -> int | None:
        """The decision, None if there is none now."""
        made = self._made.get(choice)
        return None if made is None or made[1] <= self._clock() else made[0]

    def make(self, choice: Choice, position: int) -> int:
        """Decide, unless another query of the client has done so meanwhile; what is decided now."""
        before = self.find(choice)
        if before is not None:
            return before
        made = self._made
        now_seconds = self._clock()
        made.pop(choice, None)
        while made:  # all live equally long, so the oldest is the first
            oldest = next(iter(made))
            if made[oldest][1] > now_seconds and len(made) < MAX_DECISIONS:
                break
            del made[oldest]
        made[choice] = (position, now_seconds + DECIDED_SECONDS)
        return position


def _walk(asker: Query, base: bytes, domains: tuple[bytes, ...]) -> Generator[Result, Reply, tuple[int, Reply | None]]:
    """The position of the first name behind the first one that is meant, and its reply; NONE if there is none, or one
    before it may be meant.
    """
    for position, domain in enumerate(domains[1:], 1):
        name = base + domain
        if len(name) > names.MAX_NAME_BYTES:
            continue
        found = yield asker.resolve(asker, name, asker.qtype)
        if not _is_clear(found):
            break
        if found.rcode == NXDOMAIN:
            continue
        if _has(asker, name, asker.qtype, found):
            return position, found
        for sibling in _SIBLINGS.get(asker.qtype, ()):
            other = yield asker.resolve(asker, name, sibling)
            if not _is_clear(other):
                return NONE, None
            if other.rcode == NOERROR and _has(asker, name, sibling, other):
                return position, found
    return NONE, None


def _is_clear(reply: Reply) -> bool:
    return not reply.dropped and bool(reply.plugin) and reply.rcode in (NOERROR, NXDOMAIN)


def _has(asker: Query, name: bytes, qtype: int, reply: Reply) -> bool:
    """True if the reply has records of the type, or too many for a message."""
    if reply.flags & FLAG_TC:
        return True
    return any(record.rtype == qtype for record in reply.records(asker.derive(name=name, qtype=qtype)).answer)


def _failure(first: Reply, found: Reply) -> Reply:
    """Another query was led to a name that now doesn't answer: the client is to ask again, not to go elsewhere."""
    if found.dropped or not found.plugin or found.rcode == NXDOMAIN:
        return first
    found.set_records(Sections())
    found.reusable = False
    return found


def _lead_to(query: Query, name: bytes, first: Reply, found: Reply) -> Reply:
    """What ``name`` has, behind a CNAME record from the name in the query."""
    sections = found.records(query.derive(name=name))
    denials = (*first.records(query).authority, *sections.authority)
    ttls = [record.ttl for record in sections.answer]
    ttls += [min(record.ttl, int.from_bytes(record.data[-4:], "big")) for record in denials if record.rtype == SOA]
    alias = Record(query.name, CNAME, min(ttls, default=0), name)
    found.set_records(Sections((alias, *sections.answer), sections.authority, sections.additional))
    found.flags &= ~FLAG_AD  # the alias isn't signed
    found.reusable = False
    return found


def run(steps: Steps) -> Result:
    """The end of a search: at once where every reply is there at once."""
    try:
        result = next(steps)
        while isinstance(result, Reply):
            result = steps.send(result)
    except StopIteration as end:
        reply: Reply = end.value
        return reply
    return _run_later(steps, result)


async def _run_later(steps: Steps, result: Result) -> Reply:
    try:
        while True:
            result = steps.send(result if isinstance(result, Reply) else await result)
    except StopIteration as end:
        reply: Reply = end.value
        return reply


def _read_search(path: str) -> tuple[bytes, ...]:
    return parse_search(Path(path).read_text("utf-8", "replace"))


def parse_search(text: str) -> tuple[bytes, ...]:
    """The search list of a resolv.conf(5), in lower-case wire form: of its last ``search`` or ``domain``.

    Words that are no names are left out.
    """
    words: list[str] = []
    for line in text.splitlines():
        keyword, *arguments = line.split() or [""]
        if keyword == "search":
            words = arguments
        elif keyword == "domain" and arguments:
            words = arguments[:1]
    found = []
    for word in words:
        try:
            found.append(names.from_text(word.lower().rstrip(".") + "."))
        except WireError:
            continue
    return tuple(found)
