# SPDX-License-Identifier: Apache-2.0
"""etcd - answers from messages in etcd, as SkyDNS did.

## Description

What a name has stands in etcd as JSON, under a key made of its labels from the right: `www.example.org` is at
`/skydns/org/example/www`.

~~~ sh
etcdctl put /skydns/org/example/www/x1 '{"host":"192.0.2.1","ttl":60}'
etcdctl put /skydns/org/example/www/x2 '{"host":"192.0.2.2","port":8080}'
~~~

A name has all that is below its key, or else what is at it: `www.example.org` has both addresses, and
`x1.www.example.org` the first. In a name that is asked for, a label `*` or `any` stands for any label.

The fields of a message, all of which may be left out:

* `host` is an address, or a name. A name is an alias for addresses and texts (CNAME), the target of SRV and MX records,
  and the value of PTR records.
* `port`, `priority` (default 10) and `weight` are for SRV records. Weights are made parts of 100 for each priority;
  `port` -1 leaves the record out. An address gets a target made from its key.
* `mail` makes it an MX record, with `priority`.
* `text` makes it a TXT record.
* `ttl` is the TTL in seconds, 300 by default. That of a key with a lease isn't more than the lease lives.
* `targetstrip` is how many labels are taken off the left of a target.
* `group`: of messages of several groups at and below a name, those of the topmost one's group are shown.

Addresses of a zone itself are at `apex.dns.ZONE` (`/skydns/org/example/dns/apex/...`), its name servers, which must be
addresses, at `ns.dns.ZONE`. Its SOA record is made up. PTR records are in a reverse zone, at the key of the name:
`/skydns/arpa/in-addr/192/0/2/1`.

Aliases that lead out of the zone are followed by asking this server. Every query asks etcd; *cache* in the same server
block spares it most of them. etcd is asked over its JSON gateway, which servers of version 3.4 or later have on the
port for clients; a query that it doesn't answer within 5 seconds gets SERVFAIL. A value that is no such message is left
out and logged.

## Syntax

~~~ txt
etcd [ZONES...] {
    path PATH
    endpoint URL...
    credentials USER PASSWORD
    tls [CA] | [CERT KEY [CA]]
    fallthrough [ZONES...]
    min-lease-ttl TTL
    max-lease-ttl TTL
}
~~~

* **ZONES** are the zones to answer for, by default those of the server block.
* `path` is where the keys begin; default `/skydns`.
* `endpoint` says where etcd's servers are; default `http://localhost:2379`. The next one is asked where one can't be
  reached or fails.
* `credentials` are for an etcd with authentication.
* `tls` names files in PEM form for endpoints with `https://`: the authorities that sign their certificates (default:
  those that the system trusts), and the certificate and key to show them.
* `fallthrough` passes queries for names that don't exist on to the next directive, instead of answering NXDOMAIN; with
  **ZONES**, only for names in those.
* `min-lease-ttl` and `max-lease-ttl` bound the TTL that comes of a lease: seconds, or durations like `5m`; default 30s
  and 24h.

## Examples

~~~ corefile
skydns.local {
    etcd {
        path /skydns
        endpoint http://localhost:2379
    }
    cache
}
~~~

With reverse zone, several servers and certificates; other names go elsewhere:

~~~ corefile
. {
    etcd skydns.local 10.0.0.0/24 {
        endpoint https://10.1.0.1:2379 https://10.1.0.2:2379
        credentials dns secret
        tls client.crt client.key ca.crt
        fallthrough
        min-lease-ttl 60
        max-lease-ttl 1h
    }
    cache
    forward . 192.0.2.53
}
~~~
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.types import AXFR, FLAG_AA, IN, IXFR, NXDOMAIN, QUERY, REFUSED, SERVFAIL
from clusterdns.errors import LifecycleError, UpstreamError
from clusterdns.plugins.etcd.gateway import Gateway
from clusterdns.plugins.etcd.options import Options, parse_options
from clusterdns.plugins.etcd.records import Elsewhere, Found, Synthesis, soa
from clusterdns.plugins.etcd.service import Tree
from clusterdns.plugins.etcd.store import KeyValueStore, Services
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note
from clusterdns.upstream.server import TlsFiles
from clusterdns.upstream.shared import read_tls_files, tls_context

if TYPE_CHECKING:
    from clusterdns.upstream.http import HttpClient

MOST_QUERIES: Final = 1000
"""Under way at a time; more get SERVFAIL."""

MOST_REPLY_BYTES: Final = 16 * 1024 * 1024
"""Of what etcd says about one name: far more than a message can hold."""

_DRAIN_SECONDS: Final = 2.5
_REMEMBERED_FAULTS: Final = 256


class Etcd(Plugin):
    """The directive. What it answers is never reusable; what it passes on goes by the name, unless etcd was asked."""

    name = "etcd"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """See the manual page."""
        return parse_options(reader)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._zones = frozenset(options.zones)
        self._tree = Tree(options.path)
        self._store: KeyValueStore | None = None
        self._http: HttpClient | None = None
        self._under_way = 0
        self._idle: asyncio.Future[None] | None = None
        self._complained: dict[tuple[str, str], None] = {}

    async def start(self) -> None:
        """Get ready to ask. Raises LifecycleError for bad TLS files; etcd itself may come later."""
        options = self._options
        try:
            context = self._tls_context()
        except UpstreamError as error:
            raise LifecycleError(f"plugin/{self.name}: {error}") from None
        http = await asyncio.to_thread(importlib.import_module, "clusterdns.upstream.http")
        self._http = http.HttpClient(context, most_bytes=MOST_REPLY_BYTES)
        self._store = Gateway(self._http, options.endpoints, options.user, options.password)

    def _tls_context(self) -> ssl.SSLContext | None:
        files = self._options.tls
        if files is None:
            return None
        fields = msgspec.structs.asdict(files)
        return tls_context(
            read_tls_files(TlsFiles(**{field: self.setup.path(path) if path else "" for field, path in fields.items()}))
        )

    async def stop(self, final: bool) -> None:
        """Wait for what is under way, and close the connections."""
        if self._under_way:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=_DRAIN_SECONDS)
        if self._http is not None:
            http, self._http = self._http, None
            await http.close()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        zone = self._zone_of(query)
        place = self._tree.place(query.key)
        if zone is None or query.qclass != IN or query.opcode != QUERY:
            yield Note(f"passed on: the name is not in {', '.join(map(names.to_text, self._options.zones))}")
        elif place is None:
            yield Note("a label of the name has a slash in it, so no key is for it")
        else:
            yield Note(f"asks etcd at {', '.join(self._options.endpoints)} for keys of this name and what is below it")

    def handle(self, query: Query) -> Result:
        """Answer a query for a name in the zones."""
        zone = self._zone_of(query)
        if zone is None or query.qclass != IN or query.opcode != QUERY:
            return self.next(query)
        if query.qtype in (AXFR, IXFR):
            return Reply(REFUSED, plugin=self.name)
        if self._under_way >= MOST_QUERIES:
            return Reply.failure(f"{self.name}: {MOST_QUERIES} queries wait for etcd already", plugin=self.name)
        return self._answer(query, zone)

    def _zone_of(self, query: Query) -> bytes | None:
        return next((each for each in names.suffixes(query.key) if each in self._zones), None)

    async def _answer(self, query: Query, zone: bytes) -> Reply:
        self._under_way += 1
        try:
            found = await self._find(query, zone)
        except UpstreamError as error:
            return Reply.failure(f"{self.name}: {error}", plugin=self.name)
        finally:
            self._under_way -= 1
            if not self._under_way and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
        if found is None and any(names.is_in(query.key, each) for each in self._options.fallthrough):
            result = self.next(query)
            reply = result if isinstance(result, Reply) else await result
            reply.reusable = False
            return reply
        if found is None:
            found = Found() if query.key == zone else Found(rcode=NXDOMAIN)
        authority = found.authority if found.answer else (soa(zone, zone),)
        reply = Reply(found.rcode, Sections(found.answer, authority, found.additional), plugin=self.name)
        reply.flags = FLAG_AA | found.flags
        return reply

    async def _find(self, query: Query, zone: bytes) -> Found | None:
        assert self._store is not None, "queries come after the start"

        async def resolve(name: bytes, qtype: int) -> Elsewhere:
            result = query.resolve(query, name, qtype)
            return _elsewhere(query.derive(name=name), result if isinstance(result, Reply) else await result)

        services = Services(self._store, self._tree, self._options.leases, self._complain)
        try:
            return await Synthesis(services, zone, resolve).find(query.name, query.qtype)
        finally:
            if query.trace is not None:
                for key, number in services.found.items():
                    query.trace.note(self.name, f"keys {'below' if key.endswith('/') else 'at'} {key}: {number}")

    def _complain(self, key: str, reason: str) -> None:
        """Log what is wrong with a value, once."""
        if (key, reason) in self._complained:
            return
        if len(self._complained) >= _REMEMBERED_FAULTS:
            self._complained.clear()
        self._complained[key, reason] = None
        self.log.warning("%s is left out: %s", key, reason)


def _elsewhere(query: Query, reply: Reply) -> Elsewhere:
    if not reply.plugin:
        return Elsewhere()
    if reply.dropped:
        return Elsewhere(SERVFAIL)
    records = reply.records(query)
    return Elsewhere(reply.rcode, reply.flags, records.answer, records.authority, reply.error)
