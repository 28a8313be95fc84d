# SPDX-License-Identifier: Apache-2.0
"""A cluster made of few words, the ``kubernetes`` plugin over it, and answers as zone-file text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from clusterdns.cluster.apiserver.options import WatchOptions
from clusterdns.cluster.changes import Apply, Delete, Replace
from clusterdns.cluster.items import Detail
from clusterdns.cluster.objects import (
    KINDS,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Key,
    Kind,
    Namespace,
    Object,
    Pod,
    Service,
    ServicePort,
)
from clusterdns.cluster.store import Store
from clusterdns.config import planner
from clusterdns.config.expand import Source
from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.types import SOA, parse_type, rcode_text
from clusterdns.dns.wire import Record
from clusterdns.plugins.kubernetes import Kubernetes
from clusterdns.plugins.kubernetes.options import KubernetesOptions
from clusterdns.serving.plugin import Result
from clusterdns.serving.query import Client, Query
from clusterdns.serving.reply import Reply

ZONE = "cluster.local."
TTL_SECONDS = 5
CLIENT = Client("udp", "192.0.2.99", 4000, "192.0.2.53", 53)


def service(name: str, *ips: str, ports: str = "http:80", namespace: str = "testns", target: str = "") -> Service:
    """``ports`` is ``NAME:NUMBER[/PROTOCOL] …``, the name may be empty; a ``target`` makes an ExternalName Service."""
    pieces = [word.partition(":") for word in ports.split()]
    numbers = [(label, *number.partition("/")[::2]) for label, _, number in pieces]
    return Service(
        namespace,
        name,
        "ExternalName" if target else "ClusterIP",
        ips,
        tuple(ServicePort(label, protocol or "TCP", int(number)) for label, number, protocol in numbers),
        target,
    )


def endpoints(
    service_name: str,
    *words: str,
    ports: str | None = "http:80",
    family: str = "IPv4",
    name: str = "",
    namespace: str = "testns",
) -> EndpointSlice:
    """A slice; each word is ``[HOSTNAME=|POD@]ADDRESS``, with ``!`` in front where the endpoint isn't ready."""
    found = []
    for word in words:
        ready = not word.startswith("!")
        hostname, _, address = word.lstrip("!").rpartition("=")
        pod, _, address = address.rpartition("@")
        found.append(Endpoint((address,), ready, hostname, pod))
    slice_ports = [piece.partition(":") for piece in (ports or "").split()]
    return EndpointSlice(
        namespace,
        name or f"{service_name}-{family.lower()}",
        service_name,
        family,
        tuple(found),
        tuple(EndpointPort(label, "TCP", int(number) if number else None) for label, _, number in slice_ports),
    )


def namespace(name: str) -> Namespace:
    return Namespace(name)


def pod(name: str, *ips: str, namespace: str = "testns") -> Pod:
    return Pod(namespace, name, ips)


def kind_of(item: Object) -> Kind:
    kind = type(item).__name__
    return next(known for known in KINDS if known == kind)


def store_of(objects: Iterable[Object], kinds: Iterable[Kind] = KINDS) -> Store:
    """A store that has listed the given kinds."""
    store = Store()
    held = list(objects)
    for kind in kinds:
        store.apply(Replace(kind, tuple(item for item in held if kind_of(item) == kind)), 0.0)
    return store


def put(store: Store, *objects: Object) -> None:
    for item in objects:
        store.apply(Apply(kind_of(item), item), 0.0)


def remove(store: Store, *objects: Object) -> None:
    for item in objects:
        store.apply(Delete(kind_of(item), item.key), 0.0)


class _Lease:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.kinds: Iterable[Kind] = KINDS
        self.released = False

    def missing(self) -> tuple[Kind, ...]:
        return tuple(kind for kind in self.kinds if kind not in self.store.synced)

    def place_of(self, kind: Kind, key: Key) -> str:
        return ""

    async def release(self) -> None:
        self.released = True


class FakeSetup:
    """One server block with nothing but ``kubernetes`` in it, and its process."""

    def __init__(self, store: Store, local_addresses: tuple[str, ...] = ()) -> None:
        self.zones = (names.from_text(ZONE),)
        self.published = 0
        self.view = ""
        self.siblings: dict[str, Any] = {}
        self.resolver: Callable[[Query, bytes, int], Result] = lambda query, name, qtype: Reply()
        self.asked: list[tuple[str, int]] = []
        self.leased: list[tuple[str, ...]] = []
        self.spawned: list[asyncio.Future[None]] = []
        self.watched: list[tuple[WatchOptions, frozenset[Kind], frozenset[Detail]]] = []
        self.lease = _Lease(store)
        self.services = self
        self.clusters = self
        self._local_addresses = local_addresses

    async def manifests(self, *arguments: Any) -> _Lease:
        *texts, self.lease.kinds = arguments
        self.leased.append(tuple(texts))
        return self.lease

    async def api_server(self, options: WatchOptions, kinds: frozenset[Kind], details: frozenset[Detail]) -> _Lease:
        self.watched.append((options, kinds, details))
        self.lease.kinds = kinds
        return self.lease

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> _Lease:
        self.spawned.append(asyncio.ensure_future(work))
        return _Lease(self.lease.store)

    def local_addresses(self) -> tuple[str, ...]:
        return self._local_addresses

    def path(self, argument: str) -> str:
        return f"/root/{argument}"

    def publish(self) -> None:
        self.published += 1

    def resolve(self, query: Query, name: bytes, qtype: int) -> Result:
        self.asked.append((names.to_text(name), qtype))
        return self.resolver(query, name, qtype)


def parse_options(text: str) -> KubernetesOptions:
    """The options of a ``kubernetes`` directive, written as in a Corefile; ``manifests`` is added to its block."""
    head, brace, block = text.partition("{")
    corefile = f"cluster.local {{\n kubernetes {head} {{\n manifests dir\n {block if brace else '}'}\n}}\n"
    verdict = planner.check(Source("Corefile", corefile), {"kubernetes": Kubernetes}, environment={})
    assert verdict.plan is not None, verdict.errors
    options = verdict.plan.blocks[0].directives[0].options
    assert isinstance(options, KubernetesOptions)
    return options


class Served:
    """The started plugin. ``behind`` is what the rest of the chain answers."""

    def __init__(self, objects: Iterable[Object] | Store, options: str = "", **setup: Any) -> None:
        self.store = objects if isinstance(objects, Store) else store_of(objects)
        self.setup = FakeSetup(self.store, **setup)
        self.plugin = Kubernetes(parse_options(options), self.setup)
        self.behind = Reply.failure("nobody behind")
        self.plugin.next = lambda query: self.behind
        asyncio.run(self.plugin.start())

    def reply(self, name: str, rtype: str) -> Reply:
        result = self.plugin.handle(query_for(name, rtype))
        return result if isinstance(result, Reply) else asyncio.run(_wait(result))

    def ask(self, name: str, rtype: str = "A") -> list[str]:
        """The reply as lines: the rcode; the answer; authority records after ``?``, additional ones after ``+``."""
        query = query_for(name, rtype)
        result = self.plugin.handle(query)
        return reply_lines(query, result if isinstance(result, Reply) else asyncio.run(_wait(result)))


async def _wait(result: Any) -> Reply:
    reply = await result
    assert isinstance(reply, Reply)
    return reply


def query_for(name: str, rtype: str) -> Query:
    qtype = parse_type(rtype)
    assert qtype is not None
    question = names.from_text(absolute(name)) + qtype.to_bytes(2, "big") + b"\x00\x01"
    query = Query(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + question, CLIENT)
    query.resolve = lambda query, name, qtype: Reply()
    return query


def absolute(name: str) -> str:
    return name if name.endswith(".") else f"{name}.{ZONE}" if name != "@" else ZONE


def reply_lines(query: Query, reply: Reply) -> list[str]:
    sections = reply.records(query)
    lines = [rcode_text(reply.rcode)]
    for mark, records in (("", sections.answer), ("? ", sections.authority), ("+ ", sections.additional)):
        lines += sorted(mark + line(record) for record in records)
    return lines


def line(record: Record) -> str:
    """The serial of a SOA record is the time of the last change, so it is left out."""
    words = record_text(record).replace("\t", " ").split(" ")
    if record.rtype == SOA:
        words[6] = "SERIAL"
    return " ".join(words)


def expected(rcode: str, *records: str) -> list[str]:
    """The same form, from records with names relative to the zone and without TTL and class."""
    lines = []
    for text in records:
        mark, record = (text[:2], text[2:]) if text[:2] in ("? ", "+ ") else ("", text)
        lines.append(mark + line(parse_record(record, names.from_text(ZONE), TTL_SECONDS)))
    marks = ("", "? ", "+ ")
    ordered = [sorted(entry for entry in lines if _mark(entry) == mark) for mark in marks]
    return [rcode, *(entry for group in ordered for entry in group)]


def _mark(entry: str) -> str:
    return entry[:2] if entry[:2] in ("? ", "+ ") else ""


def denial(rcode: str, zone: str = ZONE) -> list[str]:
    """A reply without answers: the zone's SOA record in the authority section."""
    return [rcode, f"? {zone} 5 IN SOA ns.dns.{zone} hostmaster.{zone} SERIAL 7200 1800 86400 5"]
