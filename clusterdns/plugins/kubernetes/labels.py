# SPDX-License-Identifier: Apache-2.0
"""What ``kubernetes`` knows about a query, for ``metadata``."""

from __future__ import annotations

from typing import Final

from clusterdns.cluster.objects import Pod
from clusterdns.dns.names import label_text
from clusterdns.zone import schema

CLIENT: Final = "client-"
_CLIENT_LABEL: Final = "client-label/"
_PARSE_ERROR: Final = "parse-error"
_INVALID: Final = "invalid query name"


def name_value(labels: list[bytes], key: str, *, zonal: bool = False, clustered: bool = False) -> str:
    """What a part of a name is; ``labels`` are those in front of the zone, in lower case.

    port-name, protocol (both without underscore), endpoint, cluster (of an endpoint, where there are several), zone (of
    the topology), service, namespace, kind (``svc`` or ``pod``); parse-error if the name has no such parts.
    """
    name = schema.parse_name(labels, zonal=zonal, clustered=clustered)
    if name.kind == "zonal":
        return {"zone": name.topology, "service": name.service, "namespace": name.namespace, "kind": "svc"}.get(key, "")
    texts = [label_text(label) for label in labels]
    invalid = bool(texts) and (texts[-1] not in ("svc", "pod") or len(texts) > 5)
    if key == _PARSE_ERROR:
        return _INVALID if invalid else ""
    if invalid or len(texts) < 2:
        return ""
    kind, namespace, service, *front = reversed([*texts] if len(texts) > 2 else ["", *texts])
    parts = {"kind": kind, "namespace": namespace, "service": service}
    if len(front) == 1:
        parts["endpoint"] = front[0]
    elif clustered and name.kind == "endpoint":
        parts["cluster"], parts["endpoint"] = front
    elif front:
        parts["protocol"], parts["port-name"] = (text.removeprefix("_") for text in front)
    return parts.get(key, "")


def client_value(pod: Pod | None, key: str) -> str:
    """client-namespace, client-pod-name and client-label/KEY of the Pod that asks; empty if it isn't known."""
    if pod is None:
        return ""
    if key.startswith(_CLIENT_LABEL):
        return dict(pod.labels).get(key[len(_CLIENT_LABEL) :], "")
    return {"client-namespace": pod.namespace, "client-pod-name": pod.name}.get(key, "")
