# SPDX-License-Identifier: Apache-2.0
"""forward - asks other DNS servers.

## Description

Queries for names in **FROM** go to one of the upstreams **TO**. The message is sent as the client wrote it, under an ID
of its own, over the protocol that the client used; the upstream's reply is passed on. A reply is believed only if it
comes from the address that was asked, to the port that asked, with the ID and the question that were sent. The port is
drawn for each query, or for up to 16 that come at the same time, from up to 1,024 open ones, which are replaced by and
by.

If an upstream doesn't answer within two seconds, or can't be reached, the next one in the order of the policy is asked,
within five seconds in all and at most twice as often as there are upstreams. It is probed in the background from then
on, with a query for NS records every half second until any reply comes, and is left out once more than two probes in a
row have failed. However many server blocks name an upstream, it is probed once. When all are left out one of them is
tried all the same.

*forward* may be used more than once in a server block. Each query goes to the first whose **FROM** has its name, so a
longer zone has to stand before a shorter one.

## Syntax

~~~ txt
forward FROM TO... {
    except NAMES...
    force_tcp
    prefer_udp
    expire DURATION
    max_age DURATION
    max_idle_conns INTEGER
    max_fails INTEGER
    max_connect_attempts INTEGER
    max_concurrent INTEGER
    read_timeout DURATION
    health_check DURATION [no_rec] [domain NAME]
    tls [CA] | [CERT KEY [CA]]
    tls_servername NAME
    policy random|round_robin|sequential
    next RCODE...
    next_on_nodata
    failover RCODE...
    failfast_all_unhealthy_upstreams
    resolver ADDRESS...
    source_address IP
    doh_method GET|POST
    hedge DURATION
    use_caps_for_id
}
~~~

* **FROM** is a zone, `.` for all names. Of a network in CIDR notation its first reverse zone counts.
* **TO** is an upstream, at most 15:
  * an IP address, with a port as in `10.0.0.1:5353` or `[fd00::1]:5353`; link-local ones with a scope, `fe80::1%eth0`;
    `dns://` may stand in front;
  * `tls://IP`, DNS over TLS, on port 853 unless another one follows. `tls://9.9.9.9%dns.quad9.net` says the name that
    the certificate must have; without it, it must have the address or what `tls_servername` says;
  * a file like `/etc/resolv.conf`, whose `nameserver` lines count. It is read again when it changes;
  * a host name, looked up at the start and every 30 seconds.
* `except` leaves out names and what is below them: they go to the directive behind *forward*.
* `force_tcp` asks over TCP, whatever the client used.
* `prefer_udp` asks over UDP, whatever the client used, and again over TCP where the reply is truncated.
* `expire` closes a connection that wasn't used for so long, and replaces a UDP port that was open for so long; default
  10s.
* `max_age` replaces connections and ports of that age; by default connections are replaced after a minute. It must not
  be less than `expire`.
* `max_idle_conns` bounds the idle connections to each upstream; default 0, no bound but that of 64 connections.
* `max_fails` is how many probes in a row may fail before an upstream is left out; default 2. With 0 it never is, nor is
  it probed.
* `max_connect_attempts` bounds the failed attempts for one query; default twice the number of upstreams, 0 no bound.
* `max_concurrent` bounds the queries that wait for replies. More are REFUSED. Default 16384, 0 for no bound.
* `read_timeout` is how long an upstream may take; default 2s.
* `health_check` sets the time between two probes, default 0.5s, and their query: `no_rec` clears its RD flag, `domain`
  asks for another name than the root's.
* `tls` names files in PEM form for DNS over TLS: the authorities that sign the upstreams' certificates (default: those
  that the system trusts), and the certificate and key to show them.
* `tls_servername` is the name that certificates must have.
* `policy` is the order in which upstreams are asked: `random` (default), `round_robin`, or `sequential`, which is as
  written.
* `next` hands the query to the next *forward* whose **FROM** has the name if the reply has one of the rcodes.
* `next_on_nodata` does so if the reply is NOERROR without answers.
* `failover` asks the next upstream if the reply has one of the rcodes; the reply of the last one is passed on.
* `failfast_all_unhealthy_upstreams` answers SERVFAIL at once when all upstreams are left out.
* `resolver` names the servers to ask for host names in **TO**; without it the system does.
* `source_address` is the local address to ask from.
* `doh_method` is accepted and has no effect: `https://` isn't implemented yet.
* `hedge` asks a second upstream besides if the first one hasn't answered after **DURATION**, and takes the reply that
  comes first. With one upstream that is asked again.
* `use_caps_for_id` sends the letters of each name in random case, and believes only replies that repeat it. It makes
  forged replies harder still. Not all upstreams can do it.

*forward* tells *metadata* the label `forward/upstream`: the address of the upstream that was asked.

## Metrics

`to` is an upstream, as in `10.0.0.1:53`; `proto` is udp, tcp or tcp-tls. The first four are what CoreDNS exports; the
`coredns_forward_` names beside them show the same numbers for alerts that ask for those.

* `coredns_proxy_request_duration_seconds{proxy_name, to, rcode}` - how long replies took.
* `coredns_proxy_healthcheck_failures_total{proxy_name, to}` - failed probes.
* `coredns_proxy_conn_cache_hits_total{proxy_name, to, proto}` - queries on a socket that was open.
* `coredns_proxy_conn_cache_misses_total{proxy_name, to, proto}` - queries that a socket was opened for.
* `coredns_forward_requests_total{to}` - queries sent.
* `coredns_forward_responses_total{to, rcode}` - replies.
* `coredns_forward_request_duration_seconds{to, rcode}` - how long they took.
* `coredns_forward_healthcheck_failures_total{to}` - failed probes.
* `coredns_forward_conn_cache_hits_total{to, proto}`, `coredns_forward_conn_cache_misses_total{to, proto}` - as above.
* `coredns_forward_healthcheck_broken_total{}` - queries that came while all upstreams were left out.
* `coredns_forward_max_concurrent_rejects_total{}` - queries that were refused because too many waited.

## Examples

Ask the servers of the node, at most 1,000 queries at a time:

~~~ corefile
. {
    forward . /etc/resolv.conf {
        max_concurrent 1000
    }
}
~~~

A company's zone goes to its own servers, everything else over TLS to a public one:

~~~ corefile
. {
    forward corp.example 10.0.0.53 10.0.1.53:5353 {
        policy sequential
        except public.corp.example
        health_check 1s no_rec domain corp.example
    }
    forward . tls://9.9.9.9%dns.quad9.net tls://149.112.112.112%dns.quad9.net {
        expire 20s
        max_fails 3
    }
}
~~~

Ask a second server besides if the first one takes its time:

~~~ corefile
. {
    forward . 10.0.0.53 10.0.1.53 {
        hedge 100ms
        prefer_udp
    }
}
~~~
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.types import NOERROR
from clusterdns.errors import LifecycleError, UpstreamError
from clusterdns.plugins.forward.options import MOST_UPSTREAMS, Stanza, parse_stanzas
from clusterdns.serving.capabilities import Lease, Setup, Tap
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Plain, PlainStep
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note
from clusterdns.upstream.address import TLS, Endpoint, Named
from clusterdns.upstream.client import INQUIRY_SECONDS, Client, ClientOptions
from clusterdns.upstream.health import HealthCheck
from clusterdns.upstream.policy import SEQUENTIAL
from clusterdns.upstream.relay import UdpRelay, may_relay
from clusterdns.upstream.server import Server, SocketOptions
from clusterdns.upstream.shared import Upstreams, read_tls_files, upstreams_of
from clusterdns.upstream.tapped import attach
from clusterdns.upstream.targets import LookUp, Targets, look_up_by, look_up_by_system

_WATCH_SECONDS: Final = INQUIRY_SECONDS
"""How often files and host names are looked at. What was replaced by then is no longer in use the next time."""

_DRAIN_SECONDS: Final = 2.5


class Forward(Plugin):
    """The directive. Its own replies are never reusable; what it passes on goes by the name alone."""

    name = "forward"
    pure = True
    in_chain = True
    any_class = True
    relays = True

    @staticmethod
    def parse(reader: DirectiveReader) -> tuple[Stanza, ...]:
        """All stanzas of the block."""
        return parse_stanzas(reader)

    def __init__(self, options: tuple[Stanza, ...], setup: Setup) -> None:
        super().__init__(options, setup)
        self._forwarders = tuple(Forwarder(stanza, setup) for stanza in options)
        self._watch: Lease | None = None

    async def start(self) -> None:
        """Find the upstreams. Raises LifecycleError."""
        for tap in self.setup.siblings.values():
            if isinstance(tap, Tap):
                for forwarder in self._forwarders:
                    attach(tap, forwarder.client)
        for forwarder in self._forwarders:
            try:
                await forwarder.start()
            except UpstreamError as error:
                raise LifecycleError(f"plugin/{self.name}: {error}") from error
        if any(forwarder.changeable for forwarder in self._forwarders):
            self._watch = self.services.spawn("forward: upstreams", self._watch_targets())

    async def _watch_targets(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for forwarder in self._forwarders:
                try:
                    await forwarder.refresh()
                except UpstreamError as error:
                    self.log.warning("%s; the upstreams stay as they are", error)

    async def stop(self, final: bool) -> None:
        """Wait for what is under way, and give the upstreams back."""
        if self._watch is not None:
            await self._watch.release()
            self._watch = None
        await asyncio.gather(*(forwarder.stop() for forwarder in self._forwarders))

    def plain(self, zone: bytes) -> Plain | None:
        """Asked by the first stanza that takes the names below a zone, unless another could better its replies."""
        for forwarder in self._forwarders:
            if forwarder.takes(zone):
                return forwarder.relay
        return PlainStep.TRANSPARENT

    def plain_zones(self) -> Iterator[bytes]:
        """What the stanzas are for, and what they leave out."""
        for forwarder in self._forwarders:
            yield from forwarder.zones

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        for forwarder in self._forwarders:
            yield Note(forwarder.describe(query.key))
            if forwarder.takes(query.key):
                return
        yield Note("passed on: no FROM has the name")

    def handle(self, query: Query) -> Result:
        """The upstreams' reply."""
        return self._handle(query, 0)

    def _handle(self, query: Query, first: int) -> Result:
        key = query.key
        for number in range(first, len(self._forwarders)):
            forwarder = self._forwarders[number]
            if forwarder.takes(key):
                result = forwarder.client.ask(query)
                if forwarder.passes_on and number + 1 < len(self._forwarders):
                    return self._or_next(query, result, number)
                return result
        return self.next(query)

    async def _or_next(self, query: Query, result: Reply | Awaitable[Reply], number: int) -> Reply:
        reply = result if isinstance(result, Reply) else await result
        if reply.error or not self._forwarders[number].is_for_next(query, reply):
            return reply
        result = self._handle(query, number + 1)
        return result if isinstance(result, Reply) else await result


class Forwarder:
    """One stanza.

    changeable: True if its upstreams may become others.
    passes_on: True if some replies are left to the next stanza.
    zones: those at which it begins and ends to take names.
    relay: the short way to its upstreams; None if there is none.
    """

    def __init__(self, stanza: Stanza, setup: Setup) -> None:
        self.changeable = any(isinstance(upstream, Named) for upstream in stanza.upstreams)
        self.passes_on = bool(stanza.next_rcodes) or stanza.next_on_nodata
        self._stanza = stanza
        self._setup = setup
        self._upstreams: Upstreams = upstreams_of(setup.services)
        self._sockets = stanza.sockets
        self._replaced: list[Server] = []
        self._resolvers: list[Server] = []
        self._targets = Targets(stanza.upstreams, self._look_up(), setup.path)
        self.client = self._new_client(stanza.client)
        self.zones = (stanza.zone, *stanza.excepted)
        self.relay = UdpRelay(self.client) if may_relay(stanza.client) and not self.passes_on else None

    def _new_client(self, options: ClientOptions) -> Client:
        metrics = self._upstreams.metrics
        return Client(Forward.name, options, broken=metrics.broken, rejects=metrics.rejects)

    def _look_up(self) -> LookUp:
        if not self._stanza.resolvers:
            return look_up_by_system
        client = self._new_client(ClientOptions(policy=SEQUENTIAL))
        client.servers = self._resolvers
        return look_up_by(client)

    def takes(self, key: bytes) -> bool:
        """True if the stanza forwards the name, in lower case."""
        stanza = self._stanza
        if stanza.zone != names.ROOT and not names.is_in(key, stanza.zone):
            return False
        return not stanza.excepted or key == stanza.zone or not any(names.is_in(key, each) for each in stanza.excepted)

    def describe(self, key: bytes) -> str:
        """Whom it asks about a name in lower case, or why nobody."""
        stanza, title = self._stanza, f"forward {names.to_text(self._stanza.zone)}"
        if not self.takes(key):
            inside = names.is_in(key, stanza.zone)
            return f"{title} is not for this name: {'it is excepted' if inside else 'it is not in the zone'}"
        servers = [
            f"{server.to} (left out after {server.health.fails} failed probes)"
            if server.health.down(stanza.client.most_fails)
            else server.to
            for server in self.client.servers
        ]
        return f"{title}, policy {stanza.client.policy}: {', '.join(servers) or 'no upstream'}"

    def is_for_next(self, query: Query, reply: Reply) -> bool:
        """True if the next stanza is to better the reply."""
        stanza = self._stanza
        if reply.rcode in stanza.next_rcodes:
            return True
        return stanza.next_on_nodata and reply.rcode == NOERROR and not reply.records(query).answer

    async def start(self) -> None:
        """Take the upstreams. Raises UpstreamError."""
        stanza = self._stanza
        if stanza.tls != self._sockets.tls:
            files = msgspec.structs.asdict(stanza.tls)
            paths = {field: self._setup.path(path) if path else "" for field, path in files.items()}
            self._sockets = msgspec.structs.replace(
                stanza.sockets, tls=read_tls_files(msgspec.structs.replace(stanza.tls, **paths))
            )
        if stanza.resolvers:
            self._resolvers += [
                self._upstreams.acquire(each, SocketOptions(), HealthCheck()) for each in stanza.resolvers
            ]
        self._take(await self._load())

    async def _load(self) -> tuple[Endpoint, ...]:
        found = await self._targets.load(asyncio.get_running_loop().time())
        if len(found) > MOST_UPSTREAMS:
            raise UpstreamError(f"more than {MOST_UPSTREAMS} TOs configured: {len(found)}")
        name = self._stanza.server_name
        if not name:
            return found
        return tuple(
            msgspec.structs.replace(each, server_name=name) if each.transport == TLS else each for each in found
        )

    def _take(self, endpoints: tuple[Endpoint, ...]) -> None:
        taken: list[Server] = []
        try:
            taken.extend(self._upstreams.acquire(each, self._sockets, self._stanza.check) for each in endpoints)
        finally:
            self._replaced += self.client.servers
            self.client.servers = taken

    async def refresh(self) -> None:
        """Look whether the upstreams have become others. Raises UpstreamError."""
        await self._release(self._replaced)
        if not self._targets.may_have_changed(asyncio.get_running_loop().time()):
            return
        endpoints = await self._load()
        if endpoints != tuple(server.endpoint for server in self.client.servers):
            self._take(endpoints)

    async def stop(self) -> None:
        """Give the upstreams back, soon after the last query under way."""
        await self.client.drain(_DRAIN_SECONDS)
        servers, self.client.servers = list(self.client.servers), ()
        await self._release(self._replaced)
        await self._release(servers)
        while self._resolvers:
            await self._upstreams.release(self._resolvers.pop(), HealthCheck())

    async def _release(self, servers: list[Server]) -> None:
        while servers:
            await self._upstreams.release(servers.pop(), self._stanza.check)
