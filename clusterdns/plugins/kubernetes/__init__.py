# SPDX-License-Identifier: Apache-2.0
"""kubernetes - answers for the Services, endpoints and Pods of a Kubernetes cluster.

## Description

Serves the names of the Kubernetes DNS specification 1.1.0: `SERVICE.NAMESPACE.svc.ZONE` and what stands below it, Pod
addresses as names, and the reverse names of clusterIPs and endpoints. It may be used once in a server block. Several
blocks that name the same cluster share one picture of it.

The cluster is that of an API server: the one whose service account the Pod has, or one that is named. It is watched,
and changes show in the answers at once. Without options it is enough to write `kubernetes cluster.local` in a Pod.

Until something has been read completely, names whose answers depend on it get SERVFAIL with the extended error "Not
Ready", whether they fall through or not; all others are answered. Once read, the cluster is answered from memory, as it
was when the API server was last heard of, however long that can't be reached.

## Syntax

~~~ txt
kubernetes [ZONES...] {
    endpoint URL
    tls CERT KEY CACERT
    kubeconfig KUBECONFIG [CONTEXT]
    apiserver_qps QPS
    apiserver_burst QPS
    apiserver_max_inflight MAX
    startup_timeout DURATION
    resync DURATION
    snapshot FILE [MAX_AGE]
    manifests DIR
    service_cidr CIDR[,CIDR]
    namespaces NAMESPACE...
    namespace_labels EXPRESSION
    labels EXPRESSION
    pods disabled|insecure|verified
    endpoint_pod_names
    ttl SECONDS
    noendpoints
    ignore empty_service
    zonal
    multicluster ZONES...
    terminating_fallback on|off
    fallthrough [ZONES...]
}
~~~

* **ZONES** are the zones to serve, by default those of the server block. A network such as `10.96.0.0/12` stands for
  its reverse zones. The targets of PTR records are in the first zone that isn't a reverse zone; there must be one.
* `endpoint` **URL** names the API server; `tls` the files, in PEM, of the certificate and key to show it and of the
  authority that it must be signed by.
* `kubeconfig` takes server and credentials from a kubeconfig file, of **CONTEXT** or else its current context. Tokens,
  certificates and authorities are read again when their files change.
* `apiserver_qps`, `apiserver_burst` bound the requests per second, and how many of them come at once;
  `apiserver_max_inflight` those under way at a time, watches not counted.
* `startup_timeout` is how long a reload waits for a cluster that is new to the process, by default 5 seconds. A start
  doesn't wait, but says so in the log when the time has passed.
* `resync` **DURATION** compares what is known with what the API server has, on average once in this time, and mends
  what differs although no event told. The default is 5 minutes, in large clusters less often; `0s` turns it off.
* `snapshot` **FILE** keeps the last state on disk, written twice a minute at most, and a start begins with it. Then
  names are answered while the API server can't be reached, and `ready` agrees once `startup_timeout` has passed, if the
  state isn't older than **MAX_AGE**, by default `1h`.
* `manifests` **DIR** names a directory of manifests that describe the cluster, in place of an API server. It is
  watched. Where a Corefile shall stay as it is, `clusterdns serve --conf FILE --manifests DIR` or the environment
  variable `CLUSTERDNS_MANIFESTS` name it instead, for every *kubernetes* that names no source of its own.
* `service_cidr` gives the network, or one of each family, from which Services without a clusterIP get one. The default
  is 10.96.0.0/12.
* `namespaces` lists the only namespaces that are served; it may be repeated.
* `namespace_labels` serves only namespaces whose labels match a selector, as in `kubectl get -l`. It can't be used
  together with `namespaces`.
* `labels` takes only Services, EndpointSlices and Pods whose labels match a selector.
* `pods` says which names `IP-WITH-DASHES.NAMESPACE.pod.ZONE` exist: none (`disabled`, the default), all in namespaces
  that exist (`insecure`), or those of Pods that run in the namespace (`verified`).
* `endpoint_pod_names` names an endpoint without a hostname after its Pod instead of its address.
* `ttl` is the TTL of all records, 0 to 3600, by default 5.
* `noendpoints` leaves out EndpointSlices: headless Services, endpoint names and their PTR records.
* `ignore empty_service` makes a Service with a clusterIP and no ready endpoint NXDOMAIN.
* `zonal` adds names for the endpoints of headless Services in one zone of the topology:
  `TOPOLOGYZONE.pin._zone.SERVICE.NAMESPACE.svc.ZONE` has those alone, with `prefer` for `pin` all others where there is
  none.
* `multicluster` names those of the **ZONES** whose Services are the ServiceImports of a set of clusters, usually
  clusterset.local.
* `terminating_fallback`, on by default, answers a Service whose endpoints are all terminating with those that still
  serve.
* `fallthrough` passes queries for names that don't exist on to the directives behind this one; with **ZONES**, only
  for names in those.

With *transfer* the zones can be had whole: every name in them has the records that a query for it gets. A new version
comes with each change that shows in them. Names that nobody can list are left out: those of Pods with `pods insecure`,
those of `zonal`, and ports without their underscores.

An ExternalName Service is a CNAME record for every type of query. Its target is looked up in the zones here, and
otherwise by asking this server as the client would; the reply has the rcode of the target.

## Ready

Reports ready once all that the options ask for has been read: namespaces, services, endpointslices, with
`pods verified` pods, with `multicluster` serviceimports. It stays ready when the API server gets lost.

## Metrics

* `coredns_kubernetes_dns_programming_duration_seconds{service_kind}` - from a change of an endpoint, by the annotation
  `endpoints.kubernetes.io/last-change-trigger-time` of its slice, to its records.
* `clusterdns_kubernetes_event_apply_seconds{host}` - from the arrival of a change to the new answers.
* `clusterdns_kubernetes_synced{resource, host}`, `clusterdns_kubernetes_watch_connected{resource, host}` - 1 or 0.
* `clusterdns_kubernetes_last_event_age_seconds{resource, host}` - since the API server last said anything; a watch is
  told of once a minute when nothing changes.
* `clusterdns_kubernetes_objects{resource, host}` - how many are held.
* `clusterdns_kubernetes_relists_total{resource, host}`,
  `clusterdns_kubernetes_watch_restarts_total{resource, host, reason}`,
  `clusterdns_kubernetes_watch_gaps_repaired_total{resource, host}`,
  `clusterdns_kubernetes_stale_lists_discarded_total{resource, host}`,
  `clusterdns_kubernetes_decode_errors_total{resource, host}` - what went otherwise than it should.
* `clusterdns_kubernetes_snapshot_age_seconds{host}` - of the state from disk, while it is answered from.
* `coredns_kubernetes_rest_client_requests_total{code, method, host}`,
  `coredns_kubernetes_rest_client_request_duration_seconds{verb, host}`,
  `coredns_kubernetes_rest_client_rate_limiter_duration_seconds{verb, host}` - requests to the API server.

## Examples

A server outside of the cluster, with reverse lookups of other addresses left to the rest of the block:

~~~ corefile
.:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint http://127.0.0.1:8001
        startup_timeout 1s
        fallthrough in-addr.arpa ip6.arpa
    }
    whoami
}
~~~

The cluster in a directory, with reverse lookups of other addresses left to the rest of the block:

~~~ corefile
.:53 {
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests /etc/clusterdns/manifests
        fallthrough in-addr.arpa ip6.arpa
    }
    whoami
}
~~~

Only two namespaces, and Pods by name where they exist:

~~~ corefile
cluster.local:53 {
    kubernetes {
        manifests /etc/clusterdns/manifests
        namespaces default prod
        pods verified
    }
}
~~~
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import Final

from clusterdns.cluster.changes import ChangeSet
from clusterdns.cluster.objects import RESOURCES, Kind
from clusterdns.cluster.store import Store
from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import ANY, AXFR, CNAME, FLAG_TC, IN, IXFR, NXDOMAIN, REFUSED, SERVFAIL
from clusterdns.dns.wire import Record
from clusterdns.plugins.kubernetes.explaining import Explanation
from clusterdns.plugins.kubernetes.labels import CLIENT, client_value, name_value
from clusterdns.plugins.kubernetes.opening import Opening
from clusterdns.plugins.kubernetes.options import KubernetesOptions, parse
from clusterdns.plugins.kubernetes.searching import is_searched, search_path
from clusterdns.plugins.kubernetes.source import lease_cluster
from clusterdns.serving.capabilities import ClusterLease, Lease, SearchPath, Setup, ZoneListener
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.relay import PlainStep
from clusterdns.serving.reply import Reply, Sections, read_sections
from clusterdns.serving.trace import Note
from clusterdns.zone.clusterset import ClusterSetSnapshot
from clusterdns.zone.compiler import Alias
from clusterdns.zone.snapshot import Snapshot, is_reverse

MAX_ALIASES: Final = 10
"""CNAME records followed within the zones, as many as CoreDNS follows."""

NOT_READY: Final = 14
"""Extended DNS error "Not Ready" (RFC 8914 section 4.15)."""


class Kubernetes(Plugin):
    """The zones of one server block."""

    name = "kubernetes"
    pure = True
    in_chain = True

    snapshot: Snapshot

    @staticmethod
    def parse(reader: DirectiveReader) -> KubernetesOptions | None:
        """Read the directive; None if there are errors."""
        return parse(reader)

    def __init__(self, options: KubernetesOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.options = options
        self._lease: ClusterLease | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._opening: Opening | None = None
        self._opening_task: Lease | None = None

    async def start(self) -> None:
        """Take the cluster and compile it."""
        options = self.options
        services = self.setup.services
        self._lease = await lease_cluster(
            options.source,
            self.setup,
            options.labels,
            options.namespace_labels,
            frozenset(options.zone.kinds),
            pod_names=options.zone.endpoint_pod_names,
        )
        store = self._lease.store
        picture = ClusterSetSnapshot if options.zone.imported else Snapshot
        self.snapshot = picture(options.zone, store, time.time, services.local_addresses())
        self._unsubscribe = store.subscribe(self._apply)
        self.setup.publish()
        if not self.snapshot.synced:
            self._opening = Opening(lambda: self.snapshot.synced, self._late, self.startup_timeout_seconds)
            self._opening_task = services.spawn("kubernetes: start", self._opening.run())

    def _late(self) -> None:
        self.log.warning("starting server with unsynced Kubernetes API: %s", ", ".join(self.missing()))

    async def _when_read(self, query: Query, opening: Opening) -> Reply:
        await opening.wait()
        result = self.handle(query)
        return result if isinstance(result, Reply) else await result

    async def stop(self, final: bool) -> None:
        """Let go of the cluster."""
        if self._opening_task is not None:
            task, self._opening_task = self._opening_task, None
            await task.release()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await lease.release()

    @property
    def store(self) -> Store:
        """See ClusterHolder."""
        assert self._lease is not None
        return self._lease.store

    def ready(self) -> bool:
        """True once the cluster has been read."""
        return self._lease is not None and not self._lease.missing()

    def missing(self) -> tuple[str, ...]:
        """See GradualReadiness."""
        return tuple(RESOURCES[kind] for kind in self._lease.missing()) if self._lease is not None else ()

    @property
    def startup_timeout_seconds(self) -> float:
        """See GradualReadiness."""
        return self.options.source.startup_timeout_seconds

    @cached_property
    def _zone_listeners(self) -> tuple[ZoneListener, ...]:
        # Looked for once: to find out takes longer than all else that a change costs.
        return tuple(plugin for plugin in self.setup.siblings.values() if isinstance(plugin, ZoneListener))

    def _apply(self, changes: ChangeSet) -> None:
        if self.snapshot.apply(changes):
            self.setup.publish()
            if self.ready():
                for listener in self._zone_listeners:
                    for zone in self.options.zone.zones:
                        listener.zone_changed(zone)

    def transferable(self) -> tuple[bytes, ...]:
        """See ZoneSource."""
        return self.options.zone.zones

    def zone_records(self, zone: bytes) -> Iterator[Record] | None:
        """See ZoneSource: the zone of the moment in which the first record is taken."""
        return self.snapshot.records(zone) if self.ready() else None

    def plain(self, zone: bytes) -> PlainStep | None:
        """Passed on outside of the zones."""
        return None if any(names.is_in(zone, each) for each in self.options.zone.zones) else PlainStep.TRANSPARENT

    def plain_zones(self) -> tuple[bytes, ...]:
        """See Plugin."""
        return self.options.zone.zones

    def handle(self, query: Query) -> Result:
        """Answer a query for a name in the zones."""
        if query.qclass != IN:
            return self.next(query)
        snapshot = self.snapshot
        found = snapshot.find(query.name, query.key, query.qtype)
        if found is None:
            return self.next(query)
        if query.qtype in (AXFR, IXFR):
            return Reply(REFUSED, plugin=self.name)
        if isinstance(found, Alias):
            return self._follow(query, found)
        synced = snapshot.synced
        if not synced and (unread := snapshot.unread(query.key, query.qtype)):
            return self._not_ready(query, unread)
        if found.rcode == NXDOMAIN and self._falls_through(query.key):
            return self.next(query)
        reply = Reply.of_compiled(self.name, found)
        reply.reusable = synced
        return reply

    def owns(self, query: Query) -> bool | None:
        """See NameOwner."""
        found = self.snapshot.find(query.name, query.key, query.qtype)
        if found is None:
            return None
        return isinstance(found, Alias) or found.rcode != NXDOMAIN or not self._falls_through(query.key)

    def is_searched(self, query: Query) -> bool:
        """See SearchPathSource."""
        return self.options.zone.pods == "verified" and is_searched(self.snapshot, query.key)

    def search_path(self, query: Query) -> SearchPath | None:
        """See SearchPathSource."""
        return search_path(self.snapshot, query.key, query.client.address, time.time())

    @property
    def search_zones(self) -> tuple[bytes, ...]:
        """See SearchedCluster."""
        return tuple(zone for zone in self.options.zone.zones if not is_reverse(zone))

    def client_namespace(self, query: Query) -> str | None:
        """See SearchedCluster."""
        if self.options.zone.pods != "verified":
            return None
        pod = self.snapshot.pod_at(query.client.address)
        return "" if pod is None else pod.namespace

    def metadata(self, query: Query, key: str) -> str:
        """See MetadataSource."""
        if key.startswith(CLIENT):
            return client_value(self.snapshot.pod_at(query.client.address), key)
        zone = self.snapshot.zone_of(query.key)
        if zone is None:
            return ""
        labels = names.labels(query.key[: -zone.size] + names.ROOT)
        options = self.options.zone
        return name_value(labels, key, zonal=options.zonal, clustered=zone.name in options.imported)

    def explain(self, query: Query) -> Iterable[Note]:
        """See Explainer."""
        assert self._lease is not None
        explanation = Explanation(self.options, self._lease.store, self._lease.place_of)
        return explanation.notes(query, self.snapshot.zone_of(query.key), synced=self.snapshot.synced)

    def _falls_through(self, key: bytes) -> bool:
        return any(key.endswith(zone) and names.is_in(key, zone) for zone in self.options.fallthrough)

    def _not_ready(self, query: Query, unread: tuple[Kind, ...]) -> Result:
        """Nothing can be said of the name yet: neither a denial nor a part of the answer, which caches would keep."""
        if self._opening is not None and self._opening.holds:
            return self._when_read(query, self._opening)
        answer = self.snapshot.failure(query.key)
        reply = Reply(SERVFAIL, plugin=self.name) if answer is None else Reply.of_compiled(self.name, answer)
        reply.options = extended_error(NOT_READY, f"not read from the cluster yet: {', '.join(unread)}")
        reply.reusable = False
        return reply

    def _follow(self, query: Query, alias: Alias) -> Result:
        """The CNAME record of the name, and what its target has of the type (RFC 1034 section 3.6.2)."""
        synced = self.snapshot.synced
        if not synced and (unread := self.snapshot.unread(query.key, query.qtype)):
            return self._not_ready(query, unread)
        chain = [self._cname(query.name, alias)]
        if query.qtype in (CNAME, ANY):
            return self._chained(chain, Sections(), reusable=synced)
        name = alias.target
        seen = {query.key}
        while len(chain) <= MAX_ALIASES and name.lower() not in seen:
            key = name.lower()
            seen.add(key)
            found = self.snapshot.find(name, key, query.qtype)
            if not synced and (unread := self.snapshot.unread(key, query.qtype)):
                return self._not_ready(query, unread)
            if isinstance(found, Alias):
                chain.append(self._cname(name, found))
                name = found.target
                continue
            if found is None or (found.rcode == NXDOMAIN and self._falls_through(key)):
                inner = query.derive(name=name)
                return after(self.setup.resolve(query, name, query.qtype), partial(self._join, inner, chain))
            sections = read_sections(query.derive(name=name), found.counts, found.body)
            return self._chained(chain, sections, found.rcode, reusable=synced)
        failed = self._chained(chain, Sections(), SERVFAIL, reusable=synced)
        failed.error = f"plugin/kubernetes: CNAME records of {names.to_text(query.name)} form a loop or are too many"
        return failed

    def _cname(self, owner: bytes, alias: Alias) -> Record:
        return Record(owner, CNAME, self.options.zone.ttl_seconds, alias.target)

    def _chained(self, chain: list[Record], rest: Sections, rcode: int = 0, *, reusable: bool) -> Reply:
        reply = Reply.authoritative(self.name, rcode, (*chain, *rest.answer), rest.authority, rest.additional)
        reply.reusable = reusable
        return reply

    def _join(self, inner: Query, chain: list[Record], found: Reply) -> Reply:
        """The chain, and what others answered for its end: their rcode is that of the whole (RFC 6604 section 3)."""
        if not found.plugin:  # nobody to ask: as an authoritative server that doesn't have the target's zone
            return self._chained(chain, Sections(), reusable=False)
        if found.dropped:
            return self._chained(chain, Sections(), SERVFAIL, reusable=False)
        records = found.records(inner)
        rest = Sections(records.answer, () if records.answer else records.authority)
        reply = self._chained(chain, rest, found.rcode, reusable=found.reusable and self.snapshot.synced)
        reply.transient = found.transient
        reply.flags |= found.flags & FLAG_TC
        reply.options = found.options
        reply.error = found.error
        return reply
