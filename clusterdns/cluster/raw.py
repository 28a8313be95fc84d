# SPDX-License-Identifier: Apache-2.0
"""The shapes of Kubernetes API objects, field for field as in JSON, reduced to what is read here.

Fields that aren't named are skipped. Every field may be missing or null, as the API's decoders allow. Shapes live for
as long as a body is read and can't hold themselves, so the garbage collector needs no part in them (``gc=False``).
"""

from __future__ import annotations

from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec


class RawMeta(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    labels: dict[str, str | None] | None = None
    deletion_timestamp: Any = None


class RawServicePort(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    target_port: int | str | None = None
    node_port: int | None = None


class RawServiceSpec(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ports: list[RawServicePort] | None = None
    selector: dict[str, str | None] | None = None
    external_name: str | None = None
    publish_not_ready_addresses: bool | None = None
    ip_families: list[str] | None = None
    ip_family_policy: str | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    allocate_load_balancer_node_ports: bool | None = None


class RawIngress(msgspec.Struct, gc=False):
    ip: str | None = None
    hostname: str | None = None


class RawLoadBalancer(msgspec.Struct, gc=False):
    ingress: list[RawIngress] | None = None


class RawServiceStatus(msgspec.Struct, rename="camel", gc=False):
    load_balancer: RawLoadBalancer | None = None


class RawService(msgspec.Struct, gc=False):
    metadata: RawMeta | None = None
    spec: RawServiceSpec | None = None
    status: RawServiceStatus | None = None


class RawPort(msgspec.Struct, gc=False):
    """ports[] of an EndpointSlice, of a subset of Endpoints and of a ServiceImport."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None


class RawReference(msgspec.Struct, gc=False):
    kind: str | None = None
    name: str | None = None


class RawConditions(msgspec.Struct, gc=False):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class RawEndpoint(msgspec.Struct, rename="camel", gc=False):
    addresses: list[str] | None = None
    conditions: RawConditions | None = None
    hostname: str | None = None
    target_ref: RawReference | None = None
    zone: str | None = None


class RawSlice(msgspec.Struct, rename="camel", gc=False):
    metadata: RawMeta | None = None
    address_type: str | None = None
    endpoints: list[RawEndpoint] | None = None
    ports: list[RawPort] | None = None


class RawAddress(msgspec.Struct, rename="camel", gc=False):
    ip: str | None = None
    hostname: str | None = None
    target_ref: RawReference | None = None


class RawSubset(msgspec.Struct, rename="camel", gc=False):
    addresses: list[RawAddress] | None = None
    not_ready_addresses: list[RawAddress] | None = None
    ports: list[RawPort] | None = None


class RawEndpoints(msgspec.Struct, gc=False):
    metadata: RawMeta | None = None
    subsets: list[RawSubset] | None = None


class RawContainerPort(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    protocol: str | None = None
    container_port: int | None = None


class RawContainer(msgspec.Struct, rename="camel", gc=False):
    ports: list[RawContainerPort] | None = None
    restart_policy: str | None = None


class RawDnsConfig(msgspec.Struct, gc=False):
    searches: list[str] | None = None


class RawPodSpec(msgspec.Struct, rename="camel", gc=False):
    dns_policy: str | None = None
    dns_config: RawDnsConfig | None = None
    host_network: bool | None = None
    hostname: str | None = None
    subdomain: str | None = None
    containers: list[RawContainer] | None = None
    init_containers: list[RawContainer] | None = None


class RawCondition(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    status: str | None = None
    last_transition_time: Any = None


class RawPodIP(msgspec.Struct, gc=False):
    ip: str | None = None


class RawPodStatus(msgspec.Struct, rename="camel", gc=False):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[RawPodIP] | None = msgspec.field(default=None, name="podIPs")
    start_time: Any = None
    conditions: list[RawCondition] | None = None


class RawPod(msgspec.Struct, gc=False):
    metadata: RawMeta | None = None
    spec: RawPodSpec | None = None
    status: RawPodStatus | None = None


class RawImportSpec(msgspec.Struct, gc=False):
    type: str | None = None
    ips: list[str] | None = None
    ports: list[RawPort] | None = None


class RawImport(msgspec.Struct, gc=False):
    """ServiceImport."""

    metadata: RawMeta | None = None
    spec: RawImportSpec | None = None


class RawNamed(msgspec.Struct, gc=False):
    """Namespace and Node."""

    metadata: RawMeta | None = None


class RawHead(msgspec.Struct, rename="camel", gc=False):
    """What tells the kind of an object, and the items of a list, still as JSON."""

    api_version: str | None = None
    kind: str | None = None
    items: list[msgspec.Raw] | None = None


Keys: TypeAlias = "dict[str, Keys | None]"
"""The keys that are read of an object, each with those of the objects below it (through lists), None for all of it."""


def merge_keys(first: Keys, second: Keys) -> Keys:
    """The keys of either; where one wants all that is below a key, all of it."""
    merged = first | second
    for key in first.keys() & second.keys():
        one, other = first[key], second[key]
        merged[key] = merge_keys(one, other) if one is not None and other is not None else None
    return merged


def keys_of(shape: type[msgspec.Struct]) -> Keys:
    """The keys that a shape reads, as they are in JSON."""
    hints = get_type_hints(shape)
    return {field.encode_name: _keys_below(hints[field.name]) for field in msgspec.structs.fields(shape)}


def _keys_below(hint: Any) -> Keys | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return keys_of(hint)
    if get_origin(hint) in (list, Union, UnionType):
        return next(filter(None, map(_keys_below, get_args(hint))), None)
    return None
