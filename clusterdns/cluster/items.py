# SPDX-License-Identifier: Apache-2.0
"""Objects in the bodies of an API server, straight from their bytes to slim objects.

Only the fields that something here reads are made Python values; managedFields, annotations, labels and the rest are
skipped by the decoder. Texts that repeat (namespaces, Services, ports, zones) are shared. What a server has accepted is
checked once more where nonsense would do harm; an object that is wrong is an item with its fault, never an exception,
so that one object can't stop the others.

``decode`` reads the same objects out of manifests, with all that a control plane needs of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache, partial
from sys import intern
from types import GenericAlias
from typing import Any, Literal, TypeAlias

import msgspec

from clusterdns.cluster import decode, fields, pods, raw
from clusterdns.cluster import itemshapes as shapes
from clusterdns.cluster.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Kind,
    Namespace,
    Object,
    Pod,
    Service,
    ServiceImport,
    ServicePort,
)
from clusterdns.cluster.validation import address_family, host_name_fault, label_fault, subdomain_fault
from clusterdns.errors import ObjectError

Detail: TypeAlias = Literal["pod_names", "clients", "labels"]
"""What is read only where something asks for it, because it costs memory and makes events.

pod_names: ``Endpoint.pod`` of EndpointSlices.
clients: of Pods ``uid``, ``terminating``, ``cluster_search`` and ``network_seconds``.
labels: of Pods.
"""

DETAILS: tuple[Detail, ...] = ("pod_names", "clients", "labels")

_PHASES = ("Running", "Pending")
_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))
_HEADLESS = ("None",)

_MANY_PORTS = 4096
"""Sets of ports that are remembered: most objects have the same few, which so are read once and shared."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """One object of a body.

    namespace, name: empty where even they can't be read.
    revision: metadata.resourceVersion.
    object: None for what has no slim object (a Pod without address, or one that has ended) and for a faulty one.
    fault: what is wrong with it.
    trigger: its annotation endpoints.kubernetes.io/last-change-trigger-time, unread.
    """

    namespace: str
    name: str
    revision: str
    object: Object | None = None
    fault: ObjectError | None = None
    trigger: str = ""

    @property
    def triggered_seconds(self) -> float | None:
        """``trigger`` in seconds since 1970; None where there is none that can be read."""
        if not self.trigger:
            return None
        try:
            return datetime.fromisoformat(self.trigger).timestamp()
        except (ValueError, OverflowError):
            return None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One line of a watch.

    type: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.
    item: what it is about; of an ERROR without name and revision.
    initial_end: a BOOKMARK that ends the initial events of a streamed list.
    code, message: of an ERROR's Status.
    """

    type: str
    item: Item
    initial_end: bool = False
    code: int = 0
    message: str = ""


_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_HEAD = msgspec.json.Decoder(shapes.HeadShape)
_HEADS = msgspec.json.Decoder(list[shapes.HeadShape])
_RAW_LINE = msgspec.json.Decoder(shapes.RawLineShape)
_ERROR_LINE = msgspec.json.Decoder(shapes.LineShape[shapes.StatusShape])


class ItemDecoder:
    """Reads the bodies of one kind.

    details: what to read beside what is always read.
    """

    def __init__(self, kind: Kind, details: Collection[Detail] = ()) -> None:
        self.kind = kind
        shape: Any
        shape, self._build = _reading(kind, frozenset(details))
        self._namespaced = kind != "Namespace"
        self._item = msgspec.json.Decoder(shape)
        self._items = msgspec.json.Decoder(GenericAlias(list, (shape,)))
        self._line = msgspec.json.Decoder(shapes.LineShape[shape])

    def item(self, data: bytes | msgspec.Raw) -> Item:
        """One object. What isn't JSON raises msgspec.DecodeError."""
        try:
            return self._finish(self._item.decode(data))
        except (msgspec.ValidationError, UnicodeDecodeError) as error:
            return self._faulty(data, error)

    def items(self, data: bytes) -> list[Item]:
        """A JSON array of objects. What isn't JSON raises msgspec.DecodeError."""
        try:
            found = self._items.decode(data)
        except (msgspec.ValidationError, UnicodeDecodeError):
            return [self.item(each) for each in _RAW_LIST.decode(data)]
        return [self._finish(shape) for shape in found]

    def event(self, line: bytes) -> Event:
        """A line of a watch. What isn't one, or is about no object that has a name, raises msgspec.DecodeError."""
        try:
            found = self._line.decode(line)
        except (msgspec.ValidationError, UnicodeDecodeError):
            outer = _RAW_LINE.decode(line)
            return _error(line) if outer.type == "ERROR" else _told(outer.type, self.item(outer.object))
        if found.type == "ERROR" or found.object is None:
            return _error(line)
        if found.type == "BOOKMARK":
            meta = found.object.metadata or shapes.MetaShape()
            ends = meta.annotations is not None and meta.annotations.initial_end == "true"
            return Event("BOOKMARK", Item("", "", meta.resource_version or ""), ends)
        return _told(found.type, self._finish(found.object))

    def _finish(self, shape: Any) -> Item:
        meta = shape.metadata
        if meta is None or not meta.name:
            return Item("", "", "", fault=ObjectError("is missing", "metadata.name"))
        try:
            namespace = _namespace(meta.namespace) if self._namespaced else ""
            found = self._build(namespace, shape)
        except ObjectError as error:
            return Item(meta.namespace or "", meta.name, meta.resource_version or "", fault=error)
        annotations = meta.annotations
        trigger = annotations.trigger or "" if annotations is not None else ""
        return Item(namespace, meta.name, meta.resource_version or "", found, None, trigger)

    def _faulty(self, data: bytes | msgspec.Raw, error: Exception) -> Item:
        """What can be told of an object of the wrong shape."""
        fault = (
            decode.shape_error(error, quotes=False)
            if isinstance(error, msgspec.ValidationError)
            else ObjectError("it is not UTF-8")
        )
        try:
            meta = _HEAD.decode(data).metadata or shapes.MetaShape()
        except (msgspec.ValidationError, UnicodeDecodeError):
            meta = shapes.MetaShape()
        return Item(meta.namespace or "", meta.name or "", meta.resource_version or "", fault=fault)


def decode_names(data: bytes) -> list[Item]:
    """A JSON array of objects of any kind, of which only name and revision are read."""
    return [
        Item(meta.namespace or "", meta.name or "", meta.resource_version or "")
        for shape in _HEADS.decode(data)
        if (meta := shape.metadata) is not None
    ]


def _told(kind: str, item: Item) -> Event:
    if kind not in _CHANGES:
        raise msgspec.ValidationError(f"unknown event {kind!r}")
    if not item.name:
        raise msgspec.ValidationError(f"an object without a name: {item.fault}")
    return Event(kind, item)


def _error(line: bytes) -> Event:
    status = _ERROR_LINE.decode(line).object or shapes.StatusShape()
    return Event("ERROR", Item("", "", ""), False, status.code or 0, status.message or status.reason or "")


@lru_cache(16384)
def _namespace(name: str | None) -> str:
    if not name:
        fields.refuse("is missing", "metadata.namespace")
    if reason := label_fault(name):
        fields.refuse(reason, "metadata.namespace")
    return intern(name)


def _checked_name(name: str, fault: Callable[[str], str]) -> str:
    if reason := fault(name):
        fields.refuse(reason, "metadata.name")
    return name


def _read_service(namespace: str, shape: shapes.ServiceShape) -> Service:
    meta, spec = shape.metadata or shapes.MetaShape(), shape.spec or shapes.ServiceSpecShape()
    kind = fields.choice(spec.type, "ClusterIP", decode.SERVICE_TYPES, "spec.type")
    external = kind == "ExternalName"
    external_ips = spec.external_ips
    return Service(
        namespace,
        intern(_checked_name(meta.name or "", label_fault)),
        kind,
        () if external else _cluster_ips(spec),
        _service_ports(spec.ports),
        decode.host_name(spec.external_name) if external else "",
        tuple([fields.address(text, "", f"spec.externalIPs[{index}]") for index, text in enumerate(external_ips)])
        if external_ips
        else (),
        decode.ingress_of(shape.status),
        bool(spec.selector),
    )


def _cluster_ips(spec: shapes.ServiceSpecShape) -> tuple[str, ...]:
    found = decode.cluster_addresses(spec.cluster_ip, spec.cluster_ips)
    return _HEADLESS if found == _HEADLESS else found


def _service_ports(ports: list[raw.RawServicePort] | None) -> tuple[ServicePort, ...]:
    if not ports:
        return ()
    return _read_service_ports(tuple([(port.name, port.protocol, port.port, port.node_port) for port in ports]))


@lru_cache(_MANY_PORTS)
def _read_service_ports(
    ports: tuple[tuple[str | None, str | None, int | None, int | None], ...],
) -> tuple[ServicePort, ...]:
    return tuple(
        [
            decode.service_port(
                fields.port_name(name, f"spec.ports[{index}].name"),
                fields.choice(protocol, "TCP", fields.PROTOCOLS, f"spec.ports[{index}].protocol"),
                fields.port_number(port, f"spec.ports[{index}].port"),
                fields.port_number(node_port, f"spec.ports[{index}].nodePort") if node_port else 0,
            )
            for index, (name, protocol, port, node_port) in enumerate(ports)
        ]
    )


def _read_slice(namespace: str, shape: shapes.SliceShape, *, pod_names: bool) -> EndpointSlice:
    meta = shape.metadata or shapes.SliceMetaShape()
    labels = meta.labels or shapes.SliceLabelsShape()
    family = fields.choice(shape.address_type, "", decode.ADDRESS_TYPES, "addressType")
    if not family:
        fields.refuse("is missing", "addressType")
    return EndpointSlice(
        namespace,
        _checked_name(meta.name or "", subdomain_fault),
        intern(labels.service or ""),
        family,
        _endpoints(shape.endpoints, family, pod_names),
        _endpoint_ports(shape.ports),
        intern(labels.imported or ""),
        intern(labels.cluster or ""),
    )


def _endpoints(found: list[raw.RawEndpoint] | None, family: str, pod_names: bool) -> tuple[Endpoint, ...]:
    if not found:
        return ()
    built = []
    for index, shape in enumerate(found):
        addresses = shape.addresses
        if not addresses:
            fields.refuse("is missing", f"endpoints[{index}].addresses")
        for number, text in enumerate(addresses):
            if address_family(text) != family:
                _check_address(text, family, f"endpoints[{index}].addresses[{number}]")
        conditions, hostname, target = shape.conditions, shape.hostname, shape.target_ref
        ready = conditions is None or conditions.ready is not False
        built.append(
            Endpoint(
                tuple(addresses),
                ready,
                fields.hostname(hostname, f"endpoints[{index}].hostname") if hostname else "",
                target.name or "" if pod_names and target is not None and target.kind == "Pod" else "",
                ready if conditions is None or conditions.serving is None else conditions.serving,
                conditions is not None and conditions.terminating is True,
                intern(shape.zone) if shape.zone else "",
            )
        )
    return tuple(built)


def _check_address(text: str, family: str, field: str) -> None:
    if family != "FQDN":
        fields.address(text, family, field)
    elif reason := host_name_fault(text):
        fields.refuse(reason, field)


def _endpoint_ports(ports: list[raw.RawPort] | None) -> tuple[EndpointPort, ...]:
    if not ports:
        return ()
    return _read_endpoint_ports(tuple([(port.name, port.protocol, port.port) for port in ports]))


@lru_cache(_MANY_PORTS)
def _read_endpoint_ports(
    ports: tuple[tuple[str | None, str | None, int | None], ...],
) -> tuple[EndpointPort, ...]:
    return tuple(
        [
            decode.endpoint_port(
                fields.port_name(name, f"ports[{index}].name"),
                fields.choice(protocol, "TCP", fields.PROTOCOLS, f"ports[{index}].protocol"),
                None if port is None else fields.port_number(port, f"ports[{index}].port"),
            )
            for index, (name, protocol, port) in enumerate(ports)
        ]
    )


def _read_pod(namespace: str, shape: shapes.PodShape) -> Pod | None:
    meta, status = shape.metadata or shapes.MetaShape(), shape.status
    if status is None or (status.phase or "Running") not in _PHASES:
        return None
    ips = pods.addresses_of(status.pod_ip, status.pod_ips)
    if not ips:
        return None
    host_network = shape.spec is not None and shape.spec.host_network is True
    return Pod(namespace, _checked_name(meta.name or "", subdomain_fault), ips, "", host_network)


def _read_client(namespace: str, shape: shapes.ClientShape, *, details: frozenset[Detail]) -> Pod | None:
    pod = _read_pod(namespace, shapes.PodShape(shape.metadata, shape.spec, shape.status))
    if pod is None:
        return None
    meta, spec, status = (
        shape.metadata or shapes.PodMetaShape(),
        shape.spec or shapes.ClientSpecShape(),
        shape.status or shapes.ClientStatusShape(),
    )
    if "labels" in details:
        labels = sorted([(intern(key), intern(value or "")) for key, value in (meta.labels or {}).items()])
        pod = msgspec.structs.replace(pod, labels=tuple(labels))
    if "clients" in details:
        pod = msgspec.structs.replace(
            pod,
            uid=meta.uid or "",
            terminating=meta.deletion_timestamp is not None,
            cluster_search=pods.has_cluster_search(spec.dns_policy, spec.dns_config),
            network_seconds=pods.network_seconds(status.conditions, status.start_time),
        )
    return pod


def _read_namespace(namespace: str, shape: shapes.NamedShape) -> Namespace:
    return Namespace(intern(_checked_name((shape.metadata or shapes.MetaShape()).name or "", label_fault)))


def _read_import(namespace: str, shape: shapes.ImportShape) -> ServiceImport:
    meta, spec = shape.metadata or shapes.MetaShape(), shape.spec or raw.RawImportSpec()
    return decode.import_of(namespace, _checked_name(meta.name or "", label_fault), spec)


def _reading(kind: Kind, details: frozenset[Detail]) -> tuple[Any, Callable[[str, Any], Object | None]]:
    """The shape of a kind, and what makes objects of it."""
    match kind:
        case "Service":
            return shapes.ServiceShape, _read_service
        case "EndpointSlice":
            return shapes.SliceShape, partial(_read_slice, pod_names="pod_names" in details)
        case "Pod" if details & {"clients", "labels"}:
            return shapes.ClientShape, partial(_read_client, details=details)
        case "Pod":
            return shapes.PodShape, _read_pod
        case "Namespace":
            return shapes.NamedShape, _read_namespace
        case "ServiceImport":
            return shapes.ImportShape, _read_import


def details_of(kind: Kind, details: Collection[Detail]) -> tuple[Detail, ...]:
    """Those of the details that objects of the kind have."""
    of_kind: Mapping[str, tuple[Detail, ...]] = {"EndpointSlice": ("pod_names",), "Pod": ("clients", "labels")}
    return tuple(detail for detail in of_kind.get(kind, ()) if detail in details)
