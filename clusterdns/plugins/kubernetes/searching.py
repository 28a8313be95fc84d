# SPDX-License-Identifier: Apache-2.0
"""The search lists of Pods, for ``autopath``: whose address a client has, and whether that can be relied on.

Several servers see the cluster's changes at different times, and a client asks one of them for A and another for AAAA
records. If only one of the two knew the client, the client would be told that its name exists and that it doesn't. So a
Pod counts only once its addresses are old enough that every server has heard of them, which its own status tells all of
them alike, and no longer than until its end begins: after that its addresses may be another's.
"""

from __future__ import annotations

from typing import Final

from clusterdns.serving.capabilities import SearchPath
from clusterdns.zone.snapshot import Snapshot, split_labels

SETTLED_SECONDS: Final = 10
"""After which every server knows a Pod's addresses: longer than a watch lags and clocks differ."""

_SVC: Final = b"\x03svc"


def is_searched(snapshot: Snapshot, key: bytes) -> bool:
    """True for names (lower case) below ``NAMESPACE.svc.ZONE``, whose Pods complete names so."""
    zone = snapshot.zone_of(key)
    if zone is None or zone.reverse:
        return False
    labels = split_labels(key[: -zone.size])
    if labels is None or len(labels) < 3 or labels[-1] != b"svc":
        return False
    return snapshot.compiler.store.get("Namespace", ("", labels[-2].decode("latin-1"))) is not None


def search_path(snapshot: Snapshot, key: bytes, address: str, now_seconds: float) -> SearchPath | None:
    """What the Pod at an address puts behind names, in the zone of the name that it asks for (``dnsPolicy:
    ClusterFirst``); None for other clients. ``now_seconds`` is the time since 1970.
    """
    zone = snapshot.zone_of(key)
    pod = snapshot.pod_at(address)
    if zone is None or zone.reverse or pod is None:
        return None
    if pod.terminating or not pod.cluster_search or now_seconds - pod.network_seconds < SETTLED_SECONDS:
        return None
    services = _SVC + zone.name
    namespace = pod.namespace.encode("ascii")
    return SearchPath(
        pod.uid or f"{pod.namespace}/{pod.name}",
        (bytes((len(namespace),)) + namespace + services, services, zone.name),
    )
