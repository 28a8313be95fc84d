# SPDX-License-Identifier: Apache-2.0
"""The shapes of objects in the bodies of an API server, reduced to what ``items`` reads.

As in ``raw``, fields that aren't named are skipped, every field may be missing or null, and shapes live for as long as
a body is read.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from clusterdns.cluster import raw
from clusterdns.cluster.decode import IMPORT_NAME, SERVICE_NAME, SOURCE_CLUSTER

S = TypeVar("S")


class AnnotationsShape(msgspec.Struct, gc=False):
    trigger: str | None = msgspec.field(default=None, name="endpoints.kubernetes.io/last-change-trigger-time")
    initial_end: str | None = msgspec.field(default=None, name="k8s.io/initial-events-end")


class SliceLabelsShape(msgspec.Struct, gc=False):
    service: str | None = msgspec.field(default=None, name=SERVICE_NAME)
    imported: str | None = msgspec.field(default=None, name=IMPORT_NAME)
    cluster: str | None = msgspec.field(default=None, name=SOURCE_CLUSTER)


class MetaShape(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    namespace: str | None = None
    resource_version: str | None = None
    annotations: AnnotationsShape | None = None


class SliceMetaShape(MetaShape, rename="camel", gc=False):
    labels: SliceLabelsShape | None = None


class PodMetaShape(MetaShape, rename="camel", gc=False):
    uid: str | None = None
    deletion_timestamp: Any = None
    labels: dict[str, str | None] | None = None


class SliceShape(msgspec.Struct, rename="camel", gc=False):
    metadata: SliceMetaShape | None = None
    address_type: str | None = None
    endpoints: list[raw.RawEndpoint] | None = None
    ports: list[raw.RawPort] | None = None


class ServiceSpecShape(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ports: list[raw.RawServicePort] | None = None
    external_name: str | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    selector: dict[str, str | None] | None = None


class ServiceShape(msgspec.Struct, gc=False):
    metadata: MetaShape | None = None
    spec: ServiceSpecShape | None = None
    status: raw.RawServiceStatus | None = None


class PodSpecShape(msgspec.Struct, rename="camel", gc=False):
    host_network: bool | None = None


class PodStatusShape(msgspec.Struct, rename="camel", gc=False):
    phase: str | None = None
    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    pod_ips: list[raw.RawPodIP] | None = msgspec.field(default=None, name="podIPs")


class PodShape(msgspec.Struct, gc=False):
    metadata: MetaShape | None = None
    spec: PodSpecShape | None = None
    status: PodStatusShape | None = None


class ClientSpecShape(PodSpecShape, rename="camel", gc=False):
    dns_policy: str | None = None
    dns_config: raw.RawDnsConfig | None = None


class ClientStatusShape(PodStatusShape, rename="camel", gc=False):
    start_time: Any = None
    conditions: list[raw.RawCondition] | None = None


class ClientShape(msgspec.Struct, gc=False):
    metadata: PodMetaShape | None = None
    spec: ClientSpecShape | None = None
    status: ClientStatusShape | None = None


class ImportShape(msgspec.Struct, gc=False):
    metadata: MetaShape | None = None
    spec: raw.RawImportSpec | None = None


class NamedShape(msgspec.Struct, gc=False):
    metadata: MetaShape | None = None


class StatusShape(msgspec.Struct, gc=False):
    code: int | None = None
    reason: str | None = None
    message: str | None = None


class LineShape(msgspec.Struct, Generic[S], gc=False):
    type: str
    object: S | None = None


class HeadShape(msgspec.Struct, gc=False):
    metadata: MetaShape | None = None


class RawLineShape(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")
