# SPDX-License-Identifier: Apache-2.0
"""What plugins may use, and what they may offer, as narrow protocols. ``clusterdns.app`` implements them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from clusterdns.cluster.apiserver.options import WatchOptions
from clusterdns.cluster.items import Detail
from clusterdns.cluster.objects import Key, Kind
from clusterdns.cluster.store import Store
from clusterdns.dns.wire import Record
from clusterdns.observability.metrics import Registry
from clusterdns.serving.metadata import Metadata
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.zone.snapshot import Snapshot


class HttpRequest(Protocol):
    """A request to one of the admin endpoints. ``headers`` are by lower-case name, ``query`` is what follows ``?``."""

    @property
    def path(self) -> str: ...

    @property
    def query(self) -> Mapping[str, str]: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


HttpAnswer: TypeAlias = tuple[int, str, bytes]
"""Status, Content-Type, body."""

HttpHandler: TypeAlias = Callable[[HttpRequest], HttpAnswer | Awaitable[HttpAnswer]]


class Lease(Protocol):
    """Something taken from the process; released once."""

    async def release(self) -> None: ...


class HttpLease(Lease, Protocol):
    """A path on an admin HTTP server."""

    @property
    def url(self) -> str:
        """Where it is reached, ``http://127.0.0.1:8080/health``."""


class HttpEndpoints(Protocol):
    """The admin HTTP servers of the process, one for each address, shared by all blocks and across reloads."""

    async def acquire(self, address: str, path: str, handler: HttpHandler) -> HttpLease:
        """Serve ``path`` on ``address`` (host:port; empty host: all; port 0: any).

        The newest handler of a path is the one asked; when it is released the one before it is again. The address is
        bound with the first path and closed with the last. Raises LifecycleError if it can't be bound.
        """


class ClusterLease(Lease, Protocol):
    """A watched cluster."""

    @property
    def store(self) -> Store:
        """Its objects."""

    def missing(self) -> tuple[Kind, ...]:
        """The kinds of the lease without which no client should be sent here yet; empty once it is ready."""

    def place_of(self, kind: Kind, key: Key) -> str:
        """Where an object is written, as ``file:line``; empty where it isn't in a file."""


class Clusters(Protocol):
    """The cluster sources of the process: one for each set of arguments, shared by all blocks and across reloads."""

    async def manifests(
        self, directory: str, service_cidr: str, labels: str, namespace_labels: str, kinds: frozenset[Kind]
    ) -> ClusterLease:
        """The cluster that the manifests in a directory describe; these kinds are needed. Raises LifecycleError."""

    async def api_server(
        self, options: WatchOptions, kinds: frozenset[Kind], details: frozenset[Detail]
    ) -> ClusterLease:
        """The cluster of an API server, watched for these kinds from now on, with these details of their objects.
        Raises LifecycleError.
        """


class Explanations(Protocol):
    """Lets the operator ask why names resolve as they do."""

    async def acquire(self, place: str) -> Lease:
        """Answer ``clusterdns explain`` at a place (``serving.places``). Raises LifecycleError if it can't be had."""


class Reloading(Protocol):
    """The running configuration."""

    @property
    def digest(self) -> str:
        """SHA-512 of the configuration that runs, in hex."""

    async def check(self) -> str:
        """Digest of what the configuration files say now. Raises ConfigErrors."""

    async def reload(self) -> bool:
        """Take over what the files say now; False if that failed, and the old configuration goes on."""


class Services(Protocol):
    """What the process offers to plugins; lives across reloads."""

    @property
    def metrics(self) -> Registry:
        """The metrics of the process."""

    @property
    def http(self) -> HttpEndpoints:
        """Its admin HTTP servers."""

    @property
    def clusters(self) -> Clusters:
        """Its cluster sources."""

    @property
    def reloading(self) -> Reloading:
        """Its configuration."""

    @property
    def explaining(self) -> Explanations:
        """What tells the operator about its answers."""

    @property
    def leaving(self) -> bool:
        """True once the process was told to end: it answers on for a while, and wants no new clients."""

    @property
    def packets(self) -> int:
        """How many DNS messages have come in so far, over all listeners and transports."""

    def fatal(self, message: str) -> None:
        """End the process: log ``[FATAL] message``, exit with 1."""

    def spawn(self, name: str, work: Awaitable[None]) -> Lease:
        """Run ``work`` as a background task; if it fails, that is logged and it is not lost silently."""

    def local_addresses(self) -> tuple[str, ...]:
        """The addresses of this machine's interfaces, without loopback and link-local ones."""


class Setup(Protocol):
    """What one server block gives to its plugins.

    zones: the block's zones in lower-case wire form, in the order of its keys.
    server: label ``server`` of the metrics, ``dns://:53`` or ``dns://127.0.0.1:53``; the first one of the block.
    listen: addresses that the block listens on, as (address, port); the address is empty for all. There are
        none where nobody outside can ask, as in ``clusterdns explain``.
    directory, root: see BlockContext.
    debug: True if the block has ``debug``.
    view: label ``view`` of the metrics, the name of the block's ``view``; empty without one.
    siblings: the plugins of the block by directive name; complete once ``start`` is called.
    """

    zones: tuple[bytes, ...]
    server: str
    listen: tuple[tuple[str, int], ...]
    directory: str
    root: str
    debug: bool
    view: str
    siblings: dict[str, Plugin]
    services: Services

    def resolve(self, query: Query, name: bytes, qtype: int) -> Result:
        """Ask this server itself, as ``query``'s client would, from the choice of the server block on.

        A chain of such look-ups ends with a SERVFAIL reply at a fixed depth. ``Reply.plugin`` is empty if there is
        nobody to ask: no block serves the name, or its chain ends without an answer.
        """

    def publish(self) -> None:
        """Something compiled has changed: replies made before are not reused any more."""

    def path(self, argument: str) -> str:
        """A path argument of the Corefile: relative ones start at ``root``, else at the working directory."""


@runtime_checkable
class ReadinessSource(Protocol):
    """A plugin that ``ready`` asks."""

    def ready(self) -> bool:
        """True once the plugin can answer."""


@runtime_checkable
class GradualReadiness(ReadinessSource, Protocol):
    """A plugin that knows what it still waits for (``kubernetes``).

    startup_timeout_seconds: how long a start, or a reload, waits for it.
    """

    @property
    def startup_timeout_seconds(self) -> float: ...

    def missing(self) -> tuple[str, ...]:
        """What keeps it from being ready: resources as the API names them (``services``)."""


@runtime_checkable
class ClusterHolder(ReadinessSource, Protocol):
    """A plugin that answers for a cluster (``kubernetes``); ready once the cluster has been read."""

    @property
    def store(self) -> Store:
        """The cluster's objects. There from the plugin's start on, which is before those of the plugins in front."""


@runtime_checkable
class SearchedCluster(ClusterHolder, Protocol):
    """A cluster whose Pods complete names by a search list: ``NAMESPACE.svc.ZONE``, ``svc.ZONE``, ``ZONE``."""

    @property
    def search_zones(self) -> tuple[bytes, ...]:
        """The zones of such lists: lower-case wire form, without reverse zones."""

    def client_namespace(self, query: Query) -> str | None:
        """The namespace of the Pod that asks; empty if it is none that is known, None where Pods aren't watched."""


@runtime_checkable
class ClusterZones(ClusterHolder, Protocol):
    """A cluster that has been made into zones."""

    @property
    def snapshot(self) -> Snapshot:
        """The zones, from the plugin's start on; a change of the store is in them before others learn of it."""


class SearchPath(msgspec.Struct, frozen=True):
    """How a client completes names.

    owner: who it is, beside its address: addresses are given to others in time.
    domains: in lower-case wire form, in the order in which the client tries them.
    """

    owner: str
    domains: tuple[bytes, ...]


@runtime_checkable
class SearchPathSource(Protocol):
    """A plugin that knows the search lists of clients (``autopath @PLUGIN``)."""

    def is_searched(self, query: Query) -> bool:
        """True if the name may be what some client tries first."""

    def search_path(self, query: Query) -> SearchPath | None:
        """The search list of the query's client; None where it isn't known for sure."""


@runtime_checkable
class NameOwner(Protocol):
    """A plugin whose names come and go by events, so that nothing in front of it may keep an answer in their place."""

    def owns(self, query: Query) -> bool | None:
        """True if it has the answer now, False if it would ask the next plugin, None outside of its zones.

        What it is about a name may change with every event; whether a name is in its zones never does.
        """


@runtime_checkable
class Lingering(Protocol):
    """A plugin that puts off the end of the process (``health`` with ``lameduck``)."""

    async def linger(self) -> None:
        """Called before anything is stopped, when the process is to end; all goes on until it returns."""


@runtime_checkable
class View(Protocol):
    """A plugin that says which queries of its zones the block is for (``view``)."""

    @property
    def asks_client(self) -> bool:
        """True if more than the query's bytes decides: the client, the time, what others know about the query."""

    def admits(self, query: Query) -> bool:
        """True if the block is for the query."""


@runtime_checkable
class MetadataCollector(Protocol):
    """A plugin that lets the others of its block know about queries what each of them knows (``metadata``)."""

    def collect(self, query: Query) -> Metadata:
        """What there is to know about a client's query."""


@runtime_checkable
class ReplyEditor(Protocol):
    """A plugin that changes every reply of its block to a client, whichever plugin it is from (``header``)."""

    def edit(self, query: Query, reply: Reply) -> Reply:
        """The reply as it is to be; called after the whole chain. What it does depends on the query's bytes alone."""


@runtime_checkable
class Observer(Protocol):
    """A plugin that looks at each query of its block after the reply is made (``log``, ``errors``, ``prometheus``)."""

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """``size_bytes`` is the length of the written reply, 0 where none was sent."""


@runtime_checkable
class HitObserver(Protocol):
    """An observer that can do with a count of the queries whose reply was reused (``prometheus``, not ``log``)."""

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """The query, byte for byte, was answered ``hits`` more times with the reply."""

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """How long those for a zone of the block took on a listener: pairs of seconds and a number of queries."""


class Hop(msgspec.Struct, frozen=True):
    """Between which addresses another server is asked. The local one is empty and 0 where it isn't known yet.

    protocol: ``udp``, ``tcp`` or ``tls``.
    """

    protocol: str
    address: str
    port: int
    local_address: str = ""
    local_port: int = 0


@runtime_checkable
class Tap(Protocol):
    """A plugin that wants the octets of each message (``dnstap``), and takes them without raising or waiting.

    With it in a block, no reply of the block is reused.
    """

    def tap_query(self, query: Query) -> None:
        """A client's query has come to the block."""

    def tap_reply(self, query: Query, message: bytes) -> None:
        """It is answered with ``message``; a reply of several messages comes here once for each."""

    def tap_exchange(self, query: Query, hop: Hop, octets: bytes, asked_ns: int, replied_ns: int) -> None:
        """Another server was asked for the sake of the query, and has replied unless ``replied_ns`` is 0.

        octets: the reply, or else the question; the times are in nanoseconds since the epoch.
        """


@runtime_checkable
class ZoneSource(Protocol):
    """A plugin whose zones may be transferred to others (``transfer``)."""

    def transferable(self) -> tuple[bytes, ...]:
        """The zones that it is authoritative for, lower case, those not read yet included."""

    def zone_records(self, zone: bytes) -> Iterable[Record] | None:
        """All records of one of these zones, the SOA record first and only there; None while there is no zone."""


@runtime_checkable
class ZoneListener(Protocol):
    """A plugin that wants to know of new versions of zones (``transfer``, which tells secondary servers)."""

    def zone_changed(self, zone: bytes) -> None:
        """A zone of a ZoneSource in the same block has a new serial number."""
