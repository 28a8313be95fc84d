# SPDX-License-Identifier: Apache-2.0
"""k8s_external - answers for Services by their addresses outside of the cluster.

## Description

Serves `SERVICE.NAMESPACE.ZONE` for Services with `spec.externalIPs` or a load balancer (`status.loadBalancer.ingress`),
so that others than Pods can use names of Services: delegate **ZONE** to this server, or transfer it (*transfer*). It
needs *kubernetes* in the same server block, whose cluster, `namespaces` and `labels` it shares. It may be used once in
a server block.

* A and AAAA records are the external IPs and then the addresses of the load balancer. A load balancer with a host name
  only is a CNAME record, which is looked up by asking this server as the client would.
* SRV records at the Service's name, and at `_PORT._PROTOCOL` in front of it, have the Service's ports.
* PTR records lead to names in the first of the zones that isn't a reverse zone.
* A namespace that exists has no data, a Service without addresses outside doesn't exist.
* The zone's name server is `ns1.dns.ZONE`. Its addresses are the external ones of the Service that this server is an
  endpoint of, and the server's own where there are none.

Until the cluster has been read, names that aren't there yet get SERVFAIL.

## Syntax

~~~ txt
k8s_external [ZONES...] {
    apex LABEL
    ttl SECONDS
    headless
    fallthrough [ZONES...]
}
~~~

* **ZONES** are the zones to serve, by default those of the server block. A network stands for its reverse zones.
* `apex` is the label that stands between `ns1` or `hostmaster` and the zone, by default `dns`. A namespace of that name
  can't be reached.
* `ttl` is the TTL of all records, 0 to 3600, by default 5.
* `headless` serves headless Services without external addresses by the addresses of their endpoints, and these by
  their names `ENDPOINT.SERVICE.NAMESPACE.ZONE`.
* `fallthrough` passes queries for names that don't exist on to the directives behind this one; with **ZONES**, only
  for names in those.

## Examples

~~~ corefile
. {
    k8s_external example.org {
        ttl 30
    }
    kubernetes cluster.local {
        manifests /etc/clusterdns/manifests
    }
    forward . 10.0.0.53
}
~~~

A primary server for the zone and its reverse zone, whose secondary servers are asked by others:

~~~ corefile
example.org 192.0.2.0/24 {
    k8s_external {
        apex services
        headless
    }
    kubernetes cluster.local {
        manifests /etc/clusterdns/manifests
    }
    transfer {
        to 192.0.2.10
    }
}
~~~
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Final

import msgspec

from clusterdns.cluster.changes import ChangeSet
from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.config.keys import is_reverse
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import ANY, AXFR, CNAME, IN, IXFR, NXDOMAIN, REFUSED, SERVFAIL
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError, LifecycleError, WireError
from clusterdns.serving.aliases import join
from clusterdns.serving.capabilities import ClusterZones, Setup, ZoneListener
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note
from clusterdns.serving.zones import read_fallthrough, read_ttl, read_zones
from clusterdns.zone.compiler import Alias
from clusterdns.zone.external import ExternalOptions, ExternalZones

_NOT_READY: Final = extended_error(14, "the cluster has not been read yet")
"""RFC 8914 section 4.15."""


class Options(msgspec.Struct, frozen=True):
    """``zone``: what the zones hold. ``fallthrough``: zones for whose names the next plugin is asked."""

    zone: ExternalOptions
    fallthrough: tuple[bytes, ...] = ()


class _Reader:
    """Reads the directive."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self._apex = b"\x03dns"
        self._ttl_seconds = 5
        self._headless = False
        self._fallthrough: tuple[bytes, ...] = ()

    def read(self) -> Options | None:
        """None if there are errors, which are reported to the reader."""
        reader = self._reader
        line = reader.once()
        zones = read_zones(reader, line.args)
        handlers: dict[str, Callable[[Line], None]] = {
            "apex": self._read_apex,
            "ttl": self._read_ttl,
            "headless": self._read_headless,
            "fallthrough": self._read_fallthrough,
        }
        reader.options(line, handlers)
        if "kubernetes" not in reader.block.directives:
            reader.report(
                line.name.error(
                    "kubernetes plugin not loaded",
                    label=ConfigError.NO_POSITION,
                    hint="k8s_external needs kubernetes in the same server block, as the source of its Services",
                )
            )
        if not zones:
            reader.report(line.name.error("there is no zone to serve", label=ConfigError.NO_POSITION))
        if reader.errors:
            return None
        forward = [zone for zone in zones if not is_reverse(names.to_text(zone))]
        if not forward:
            reader.warn(
                line.name,
                "without a zone that isn't a reverse zone, PTR records lead to names that nobody looks up",
                hint="add the zone that Services are to have names in",
            )
        options = ExternalOptions(zones, (*forward, *zones)[0], self._apex, self._ttl_seconds, self._headless)
        return Options(options, self._fallthrough)

    def _read_apex(self, line: Line) -> None:
        if not line.args:
            raise line.wrong_count()
        for token in line.args[1:]:
            self._reader.warn(token, f"{token.text} is ignored: apex takes one label")
        try:
            name = names.from_text(line.words[0].lower().strip("."), names.ROOT)
        except WireError as error:
            raise line.args[0].error(str(error)) from None
        if name == names.ROOT:
            raise line.args[0].error("apex must be a label")
        self._apex = name[:-1]

    def _read_ttl(self, line: Line) -> None:
        self._ttl_seconds = read_ttl(self._reader, line)

    def _read_headless(self, line: Line) -> None:
        if line.args:
            raise line.args[0].error(f"unknown property '{line.words[0]}'")
        self._headless = True

    def _read_fallthrough(self, line: Line) -> None:
        self._fallthrough = read_fallthrough(self._reader, line)


class K8sExternal(Plugin):
    """The directive. ``zones`` is there from the start on."""

    name = "k8s_external"
    pure = True
    in_chain = True

    zones: ExternalZones

    @staticmethod
    def parse(reader: DirectiveReader) -> Options | None:
        """Zones and a block of options."""
        return _Reader(reader).read()

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self.options = options
        self._cluster: ClusterZones | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Look at the cluster. Raises LifecycleError."""
        sibling = self.setup.siblings.get("kubernetes")
        if not isinstance(sibling, ClusterZones):
            raise LifecycleError("plugin/k8s_external: kubernetes plugin not loaded")
        self._cluster = sibling
        self.zones = ExternalZones(self.options.zone, sibling.snapshot.compiler, time.time)
        # kubernetes has subscribed before, so its indexes are up to date when a change comes here.
        self._unsubscribe = sibling.store.subscribe(self._apply)
        self.setup.publish()

    async def stop(self, final: bool) -> None:
        """Look at the cluster no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    @property
    def _synced(self) -> bool:
        return self._cluster is not None and self._cluster.ready()

    @cached_property
    def _zone_listeners(self) -> tuple[ZoneListener, ...]:
        # Looked for once: to find out takes longer than all else that a change costs.
        return tuple(plugin for plugin in self.setup.siblings.values() if isinstance(plugin, ZoneListener))

    def _apply(self, changes: ChangeSet) -> None:
        if self.zones.apply(changes):
            self.setup.publish()
            if self._synced:
                for listener in self._zone_listeners:
                    for zone in self.options.zone.zones:
                        listener.zone_changed(zone)

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        zone = self.zones.zone_of(query.key) if query.qclass == IN else None
        found = self.zones.find(query.name, query.key, query.qtype)
        if zone is None or found is None:
            zones = ", ".join(map(names.to_text, self.options.zone.zones))
            yield Note(f"passed on: the name is not in {zones}")
            return
        text = names.to_text(zone.name)
        if isinstance(found, Alias):
            target = names.to_text(found.target)
            yield Note(f"a Service whose load balancer has the host name {target} alone, which is looked up then")
        elif found.rcode != NXDOMAIN:
            yield Note(f"a name of zone {text}")
        elif not self._synced:
            yield Note(
                "the cluster has not been read yet, so names that aren't known yet get SERVFAIL",
                hint="wait until the server is ready; if it never is, its log tells why the cluster can't be read",
            )
        else:
            missing = f"no Service in zone {text} has this name and an address outside of the cluster"
            if self._falls_through(query.key):
                yield Note(f"passed on (fallthrough): {missing}")
            else:
                yield Note(missing, hint="its address is in spec.externalIPs or status.loadBalancer.ingress")

    def handle(self, query: Query) -> Result:
        """Answer a query for a name in the zones."""
        if query.qclass != IN:
            return self.next(query)
        found = self.zones.find(query.name, query.key, query.qtype)
        if found is None:
            return self.next(query)
        if query.qtype in (AXFR, IXFR):
            return Reply(REFUSED, plugin=self.name)
        if isinstance(found, Alias):
            return self._follow(query, found)
        synced = self._synced
        if found.rcode == NXDOMAIN:
            if self._falls_through(query.key):
                result = self.next(query)
                return result if synced else after(result, self._doubt)
            if not synced:
                return self._not_ready(query)
        reply = Reply.of_compiled(self.name, found)
        reply.reusable = synced
        return reply

    def owns(self, query: Query) -> bool | None:
        """See NameOwner."""
        found = self.zones.find(query.name, query.key, query.qtype)
        if found is None:
            return None
        return isinstance(found, Alias) or found.rcode != NXDOMAIN or not self._falls_through(query.key)

    def transferable(self) -> tuple[bytes, ...]:
        """See ZoneSource."""
        return self.options.zone.zones

    def zone_records(self, zone: bytes) -> Iterator[Record] | None:
        """See ZoneSource: the zone of the moment in which the first record is taken."""
        return self.zones.records(zone) if self._synced else None

    def _falls_through(self, key: bytes) -> bool:
        return any(names.is_in(key, zone) for zone in self.options.fallthrough)

    def _not_ready(self, query: Query) -> Reply:
        """The name may exist in what hasn't been read yet: no denial, which caches would keep."""
        answer = self.zones.failure(query.key)
        reply = Reply(SERVFAIL, plugin=self.name) if answer is None else Reply.of_compiled(self.name, answer)
        reply.options = _NOT_READY
        reply.reusable = False
        return reply

    def _doubt(self, reply: Reply) -> Reply:
        """Before the cluster has been read, another plugin's denial of a name in the zones can't be trusted."""
        if reply.rcode == NXDOMAIN:
            reply.rcode = SERVFAIL
            reply.plugin = self.name
            reply.set_records(Sections())
            reply.options = _NOT_READY
        reply.reusable = False
        return reply

    def _follow(self, query: Query, alias: Alias) -> Result:
        """The CNAME record of the name, and what its target has of the type (RFC 1034 section 3.6.2)."""
        record = Record(query.name, CNAME, self.options.zone.ttl_seconds, alias.target)
        if query.qtype in (CNAME, ANY):
            reply = Reply.authoritative(self.name, answer=(record,))
            reply.reusable = self._synced
            return reply
        inner = query.derive(name=alias.target)
        found = query.resolve(query, alias.target, query.qtype)
        return after(found, partial(join, self.name, (record,), inner))
