# SPDX-License-Identifier: Apache-2.0
"""Objects of the Kubernetes API, as JSON or as the dicts that a YAML or JSON reader gives, to values.

Missing and null fields are what the API makes of them. What has the wrong shape, or would be nonsense to those who
read the values (an address that isn't one, a name that can't be a DNS label, a port outside 1–65535), raises
ObjectError with its field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from sys import intern
from typing import Any, TypeAlias

import msgspec

from clusterdns.cluster import fields, raw
from clusterdns.cluster.declared import (
    Declared,
    DeclaredEndpoints,
    DeclaredImport,
    DeclaredKind,
    DeclaredNamespace,
    DeclaredNode,
    DeclaredPod,
    DeclaredPort,
    DeclaredService,
    DeclaredSlice,
    Subset,
)
from clusterdns.cluster.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Namespace,
    Object,
    Pod,
    Service,
    ServiceImport,
    ServicePort,
)
from clusterdns.cluster.pods import declare_pod
from clusterdns.cluster.validation import host_name_fault, label_fault, subdomain_fault
from clusterdns.errors import ObjectError

SERVICE_NAME = "kubernetes.io/service-name"
IMPORT_NAME = "multicluster.kubernetes.io/service-name"
SOURCE_CLUSTER = "multicluster.kubernetes.io/source-cluster"
NAMESPACE_NAME = "kubernetes.io/metadata.name"

SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_IMPORT_TYPES = ("ClusterSetIP", "Headless")
_FAMILIES = ("IPv4", "IPv6")
ADDRESS_TYPES = (*_FAMILIES, "FQDN")
_POLICIES = ("", "SingleStack", "PreferDualStack", "RequireDualStack")
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
"""IANA_SVC_NAME (RFC 6335 section 5.1) in lower case."""

_SHAPE = re.compile(r"(?P<reason>.*?)(?: - at `(?:key in )?\$\.?(?P<field>.*?)`)?", re.DOTALL)

_UNQUOTED = tuple(f"Expected str, got {kind}" for kind in ("bool", "int", "float"))

_service_port = lru_cache(4096)(ServicePort)
_declared_port = lru_cache(4096)(DeclaredPort)
_endpoint_port = lru_cache(4096)(EndpointPort)


def declared_kind(api_version: str | None, kind: str) -> DeclaredKind | None:
    """Which of the kinds that are read here this is; None for others, such as a Service of another API group."""
    entry = _KINDS.get(kind)
    if entry is None or (api_version and not api_version.startswith(entry.api)):
        return None
    return entry.kind


def declare(kind: DeclaredKind, value: object) -> Declared:
    """A dict as JSON and YAML readers give it → a declared object. Raises ObjectError."""
    entry = _KINDS[kind]
    try:
        return entry.build(msgspec.convert(value, entry.shape))
    except msgspec.ValidationError as error:
        raise shape_error(error) from None


def declare_json(kind: DeclaredKind, data: bytes | memoryview | msgspec.Raw) -> Declared:
    """One JSON object → a declared object. Raises ObjectError; malformed JSON raises msgspec.DecodeError."""
    entry = _KINDS[kind]
    try:
        return entry.build(entry.decoder.decode(data))
    except msgspec.ValidationError as error:
        raise shape_error(error) from None


def decode_object(value: Mapping[str, Any]) -> Object | None:
    """An object as the API server returns it (a dict) → the slim object; None for kinds that have none (Endpoints, Node
    and everything else) and for Pods that don't run. Nothing is computed or given. Raises ObjectError.
    """
    kind = declared_kind(value.get("apiVersion"), str(value.get("kind")))
    return slim(declare(kind, value)) if kind else None


def slim(declared: Declared) -> Object | None:
    """The slim object of a declared one, as it is written; None for kinds without one and for Pods that don't run."""
    match declared:
        case DeclaredService():
            return service(declared, declared.cluster_ips, tuple(port.node_port for port in declared.ports))
        case DeclaredSlice():
            return declared.slice
        case DeclaredImport():
            return declared.service_import
        case DeclaredPod() if declared.ips and declared.phase in ("Running", "Pending"):
            return Pod(
                declared.namespace,
                declared.name,
                declared.ips,
                declared.uid,
                declared.host_network,
                tuple(sorted(declared.labels.items())),
                declared.terminating,
                declared.cluster_search,
                declared.network_seconds,
            )
        case DeclaredNamespace():
            return Namespace(declared.name)
    return None


def service(declared: DeclaredService, cluster_ips: tuple[str, ...], node_ports: tuple[int, ...]) -> Service:
    """The slim Service with these addresses and, in the order of its ports, node ports (0 for none)."""
    return Service(
        declared.namespace,
        declared.name,
        declared.type,
        cluster_ips,
        tuple(
            _service_port(port.name, port.protocol, port.port, node_port)
            for port, node_port in zip(declared.ports, node_ports, strict=True)
        ),
        declared.external_name,
        declared.external_ips,
        declared.ingress,
        bool(declared.selector),
    )


def service_port(name: str, protocol: str, port: int, node_port: int = 0) -> ServicePort:
    """A port of a Service or ServiceImport; equal ones are mostly the same object."""
    return _service_port(name, protocol, port, node_port)


def endpoint_port(name: str, protocol: str, port: int | None) -> EndpointPort:
    """A port of an EndpointSlice; equal ones are mostly the same object."""
    return _endpoint_port(name, protocol, port)


def shape_error(error: msgspec.ValidationError, *, quotes: bool = True) -> ObjectError:
    """What the decoder found to be of the wrong shape, with its field.

    quotes: tell of quotes where they may be what is missing in YAML.
    """
    found = _SHAPE.fullmatch(str(error))
    if found is None:
        return ObjectError(str(error))
    reason = found["reason"].replace("`", "").replace(" | null", "")
    if quotes and reason in _UNQUOTED:
        reason += ", which YAML reads as text only in quotes"
    return ObjectError(reason[:1].lower() + reason[1:], (found["field"] or "").replace("[...]", ""))


def cluster_addresses(cluster_ip: str | None, cluster_ips: list[str] | None) -> tuple[str, ...]:
    """spec.clusterIPs, from it or from spec.clusterIP, which must agree."""
    addresses = tuple([address for address in cluster_ips or () if address])
    first = cluster_ip or ""
    if addresses and first and first != addresses[0]:
        fields.refuse(f"{first!r} must be the first of clusterIPs, which is {addresses[0]!r}", "spec.clusterIP")
    addresses = addresses or ((first,) if first else ())
    if addresses == ("None",):
        return ("None",)
    for index, address in enumerate(addresses):
        fields.address(address, "", f"spec.clusterIPs[{index}]" if cluster_ips else "spec.clusterIP")
    return addresses


def _declared_ports(ports: list[raw.RawServicePort] | None) -> tuple[DeclaredPort, ...]:
    declared = []
    for index, port in enumerate(ports or ()):
        field = f"spec.ports[{index}]"
        number = fields.port_number(port.port, f"{field}.port")
        target = port.target_port or number
        if isinstance(target, int):
            fields.port_number(target, f"{field}.targetPort")
        elif not _PORT_NAME.fullmatch(target):
            fields.refuse(f"{target!r} is not the name of a port, and a number has no quotes", f"{field}.targetPort")
        node_port = fields.port_number(port.node_port, f"{field}.nodePort") if port.node_port else 0
        declared.append(
            _declared_port(
                fields.port_name(port.name, f"{field}.name"),
                fields.choice(port.protocol, "TCP", fields.PROTOCOLS, f"{field}.protocol"),
                number,
                target,
                node_port,
            )
        )
    return tuple(declared)


def host_name(external_name: str | None) -> str:
    """spec.externalName; there must be one."""
    if not external_name:
        fields.refuse("is missing", "spec.externalName")
    if reason := host_name_fault(external_name):
        fields.refuse(reason, "spec.externalName")
    return external_name


def _declare_service(shape: raw.RawService) -> DeclaredService:
    namespace, name, meta = fields.named(shape.metadata, label_fault)
    spec = shape.spec or raw.RawServiceSpec()
    kind = fields.choice(spec.type, "ClusterIP", SERVICE_TYPES, "spec.type")
    external_name = host_name(spec.external_name) if kind == "ExternalName" else ""
    families = tuple(
        fields.choice(family, "", _FAMILIES, f"spec.ipFamilies[{index}]")
        for index, family in enumerate(spec.ip_families or ())
    )
    return DeclaredService(
        namespace,
        name,
        fields.labels(meta.labels),
        type=kind,
        cluster_ips=() if kind == "ExternalName" else cluster_addresses(spec.cluster_ip, spec.cluster_ips),
        ports=_declared_ports(spec.ports),
        selector=fields.labels(spec.selector),
        external_name=external_name,
        publish_not_ready=bool(spec.publish_not_ready_addresses),
        families=families,
        family_policy=fields.choice(spec.ip_family_policy, "", _POLICIES, "spec.ipFamilyPolicy"),
        node_ports=spec.allocate_load_balancer_node_ports is not False,
        external_ips=tuple(
            fields.address(text, "", f"spec.externalIPs[{index}]") for index, text in enumerate(spec.external_ips or ())
        ),
        ingress=ingress_of(shape.status),
    )


def ingress_of(status: raw.RawServiceStatus | None) -> tuple[str, ...]:
    """status.loadBalancer.ingress: addresses and host names."""
    balancer = status.load_balancer if status is not None else None
    found = []
    for index, entry in enumerate(balancer.ingress or () if balancer is not None else ()):
        field = f"status.loadBalancer.ingress[{index}]"
        if entry.ip:
            found.append(fields.address(entry.ip, "", f"{field}.ip"))
        elif entry.hostname:
            if reason := host_name_fault(entry.hostname):
                fields.refuse(reason, f"{field}.hostname")
            found.append(entry.hostname)
    return tuple(found)


def _endpoint_ports(ports: list[raw.RawPort] | None, field: str) -> tuple[EndpointPort, ...]:
    return tuple(
        _endpoint_port(
            fields.port_name(port.name, f"{field}[{index}].name"),
            fields.choice(port.protocol, "TCP", fields.PROTOCOLS, f"{field}[{index}].protocol"),
            None if port.port is None else fields.port_number(port.port, f"{field}[{index}].port"),
        )
        for index, port in enumerate(ports or ())
    )


def _pod_name(reference: raw.RawReference | None) -> str:
    return reference.name or "" if reference is not None and reference.kind == "Pod" else ""


def _slice_endpoint(endpoint: raw.RawEndpoint, address_type: str, index: int) -> Endpoint:
    field = f"endpoints[{index}]"
    addresses = tuple(endpoint.addresses or ())
    if not addresses:
        fields.refuse("is missing", f"{field}.addresses")
    for number, address in enumerate(addresses):
        if address_type != "FQDN":
            fields.address(address, address_type, f"{field}.addresses[{number}]")
        elif reason := host_name_fault(address):
            fields.refuse(reason, f"{field}.addresses[{number}]")
    conditions = endpoint.conditions or raw.RawConditions()
    ready = conditions.ready is not False
    return Endpoint(
        addresses,
        ready,
        fields.hostname(endpoint.hostname, f"{field}.hostname"),
        _pod_name(endpoint.target_ref),
        ready if conditions.serving is None else conditions.serving,
        bool(conditions.terminating),
        intern(endpoint.zone or ""),
    )


def _declare_slice(shape: raw.RawSlice) -> DeclaredSlice:
    namespace, name, meta = fields.named(shape.metadata, subdomain_fault)
    labels = fields.labels(meta.labels)
    address_type = fields.choice(shape.address_type, "", ADDRESS_TYPES, "addressType")
    if not address_type:
        fields.refuse("is missing", "addressType")
    endpoints = tuple(
        _slice_endpoint(endpoint, address_type, index) for index, endpoint in enumerate(shape.endpoints or ())
    )
    ports = _endpoint_ports(shape.ports, "ports")
    owner, imported, cluster = (intern(labels.get(key, "")) for key in (SERVICE_NAME, IMPORT_NAME, SOURCE_CLUSTER))
    return DeclaredSlice(
        EndpointSlice(namespace, name, owner, address_type, endpoints, ports, imported, cluster), labels
    )


def _subset(subset: raw.RawSubset, field: str) -> Subset:
    endpoints = []
    for name, ready, addresses in (
        ("addresses", True, subset.addresses),
        ("notReadyAddresses", False, subset.not_ready_addresses),
    ):
        for index, address in enumerate(addresses or ()):
            place = f"{field}.{name}[{index}]"
            ip = fields.address(address.ip or "", "", f"{place}.ip")
            hostname = fields.hostname(address.hostname, f"{place}.hostname")
            endpoints.append(Endpoint((ip,), ready, hostname, _pod_name(address.target_ref), ready))
    return Subset(tuple(endpoints), _endpoint_ports(subset.ports, f"{field}.ports"))


def _declare_endpoints(shape: raw.RawEndpoints) -> DeclaredEndpoints:
    namespace, name, meta = fields.named(shape.metadata, subdomain_fault)
    subsets = tuple(_subset(subset, f"subsets[{index}]") for index, subset in enumerate(shape.subsets or ()))
    return DeclaredEndpoints(namespace, name, fields.labels(meta.labels), subsets)


def import_of(namespace: str, name: str, spec: raw.RawImportSpec) -> ServiceImport:
    """The ServiceImport of that name."""
    ips = tuple([fields.address(text, "", f"spec.ips[{index}]") for index, text in enumerate(spec.ips or ())])
    ports = tuple(
        _service_port(
            fields.port_name(port.name, f"spec.ports[{index}].name"),
            fields.choice(port.protocol, "TCP", fields.PROTOCOLS, f"spec.ports[{index}].protocol"),
            fields.port_number(port.port, f"spec.ports[{index}].port"),
        )
        for index, port in enumerate(spec.ports or ())
    )
    kind = fields.choice(spec.type, "ClusterSetIP", _IMPORT_TYPES, "spec.type")
    return ServiceImport(namespace, name, kind, ips, ports)


def _declare_import(shape: raw.RawImport) -> DeclaredImport:
    namespace, name, _ = fields.named(shape.metadata, label_fault)
    return DeclaredImport(import_of(namespace, name, shape.spec or raw.RawImportSpec()))


def _declare_namespace(shape: raw.RawNamed) -> DeclaredNamespace:
    _, name, meta = fields.named(shape.metadata, label_fault, namespaced=False)
    return DeclaredNamespace(intern(name), {**fields.labels(meta.labels), NAMESPACE_NAME: name})


def _declare_node(shape: raw.RawNamed) -> DeclaredNode:
    return DeclaredNode(fields.named(shape.metadata, subdomain_fault, namespaced=False)[1])


_Build: TypeAlias = Callable[[Any], Declared]


class _Kind:
    """How one kind is read: the API version's beginning, the shape, and what makes the declared object of it."""

    def __init__(self, kind: DeclaredKind, api: str, shape: type[msgspec.Struct], build: _Build) -> None:
        self.kind = kind
        self.api = api
        self.shape = shape
        self.build = build
        self.decoder = msgspec.json.Decoder(shape)


_KINDS: dict[str, _Kind] = {
    entry.kind: entry
    for entry in (
        _Kind("Service", "v1", raw.RawService, _declare_service),
        _Kind("Endpoints", "v1", raw.RawEndpoints, _declare_endpoints),
        _Kind("EndpointSlice", "discovery.k8s.io/", raw.RawSlice, _declare_slice),
        _Kind("Pod", "v1", raw.RawPod, declare_pod),
        _Kind("Namespace", "v1", raw.RawNamed, _declare_namespace),
        _Kind("Node", "v1", raw.RawNamed, _declare_node),
        _Kind("ServiceImport", "multicluster.x-k8s.io/", raw.RawImport, _declare_import),
    )
}

WANTED_KEYS: raw.Keys = reduce(
    raw.merge_keys, (raw.keys_of(entry.shape) for entry in _KINDS.values()), {"apiVersion": None, "kind": None}
)
"""The keys of an object of any kind that are read here; a reader of text may leave the others out."""
