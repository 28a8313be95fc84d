# SPDX-License-Identifier: Apache-2.0
"""What a real server adds to an object that is written: metadata, defaults, addresses, and the record of who manages
which field, which is much of its size.
"""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from clusterdns.testing.apiserver.resources import NAMESPACES, SERVICES, Resource
from clusterdns.testing.apiserver.statuses import invalid

FIRST_NODE_PORT = 30000


def complete(
    resource: Resource, value: Mapping[str, Any], old: Mapping[str, Any] | None, give_address: Callable[[], str]
) -> dict[str, Any]:
    """The object as it is stored, but for its resourceVersion. Raises ApiStatus 422 for one without a name.

    old: what is stored under its name, None for a new object.
    give_address: makes a clusterIP that nobody has.
    """
    found: dict[str, Any] = {"kind": resource.kind, "apiVersion": resource.api_version}
    found |= {key: part for key, part in value.items() if part is not None}
    if old is not None and "status" in old:
        found.setdefault("status", old["status"])
    found["metadata"] = _metadata(resource, value.get("metadata") or {}, (old or {}).get("metadata"))
    if resource == SERVICES:
        found["spec"] = _service_spec(value.get("spec") or {}, (old or {}).get("spec") or {}, give_address)
        found.setdefault("status", {"loadBalancer": {}})
    elif resource == NAMESPACES:
        found["metadata"]["labels"] = {
            **found["metadata"].get("labels", {}),
            "kubernetes.io/metadata.name": found["metadata"]["name"],
        }
        found.setdefault("spec", {"finalizers": ["kubernetes"]})
        found.setdefault("status", {"phase": "Active"})
    return found


def with_managed_fields(value: dict[str, Any], manager: str) -> dict[str, Any]:
    """The object with metadata.managedFields of one manager that set all of it."""
    metadata = {key: part for key, part in value["metadata"].items() if key != "managedFields"}
    owned = {key: part for key, part in value.items() if key not in ("kind", "apiVersion", "metadata", "status")}
    fields = {f"f:{key}": _field_set(part) for key, part in owned.items()}
    fields["f:metadata"] = {
        f"f:{key}": {".": {}, **_field_set(metadata[key])}
        for key in ("annotations", "labels", "ownerReferences", "generateName")
        if metadata.get(key)
    }
    entry = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": value["apiVersion"],
        "time": metadata["creationTimestamp"],
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return {**value, "metadata": {**metadata, "managedFields": [entry]}}


def _field_set(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {f"f:{key}": _field_set(part) for key, part in value.items()}
    return {}


def now() -> str:
    """The time as metadata carries it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _metadata(resource: Resource, given: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    metadata = {key: part for key, part in given.items() if part is not None}
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = f"{metadata['generateName']}{uuid.uuid4().hex[:5]}"
    if not metadata.get("name"):
        raise invalid(f'{resource.kind} "" is invalid: metadata.name: Required value: name or generateName is required')
    if resource.namespaced:
        metadata.setdefault("namespace", "default")
    else:
        metadata.pop("namespace", None)
    if old is not None:
        metadata |= {key: old[key] for key in ("uid", "creationTimestamp")}
    else:
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", now())
    return metadata


def _service_spec(given: Mapping[str, Any], old: Mapping[str, Any], give_address: Callable[[], str]) -> dict[str, Any]:
    spec = {key: part for key, part in given.items() if part is not None}
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    ports = [{"protocol": "TCP", "targetPort": port.get("port"), **port} for port in spec.get("ports") or ()]
    if ports:
        spec["ports"] = ports
    if spec["type"] == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(key, None)
        return spec
    addresses = list(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else ()))
    addresses = addresses or list(old.get("clusterIPs") or ()) or [give_address()]
    spec |= {"clusterIP": addresses[0], "clusterIPs": addresses}
    if "ipFamilies" not in spec:
        versions = [ipaddress.ip_address(each).version for each in addresses if each != "None"]
        spec["ipFamilies"] = [f"IPv{version}" for version in versions or (4,)]
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if len(spec["ipFamilies"]) > 1 else "SingleStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        last_octets = int(ipaddress.ip_address(addresses[0])) & 0x7FF if addresses[0] != "None" else 0
        for number, port in enumerate(ports):
            port.setdefault("nodePort", FIRST_NODE_PORT + (last_octets + number) % 2768)
    return spec
