# SPDX-License-Identifier: Apache-2.0
"""Which kinds of objects an answer depends on, so that nothing is said before they have been read.

A Service's addresses need no EndpointSlice and no Pod; the denial of a Service needs the Services to be complete.
"""

from __future__ import annotations

from typing import Final

from clusterdns.cluster.objects import Kind, Service
from clusterdns.zone.schema import Name

_NOTHING: Final[frozenset[Kind]] = frozenset()
_NAMESPACES: Final[frozenset[Kind]] = frozenset(("Namespace",))
SERVICES: Final[frozenset[Kind]] = frozenset(("Namespace", "Service"))
ENDPOINTS: Final[frozenset[Kind]] = frozenset(("Namespace", "Service", "EndpointSlice"))
_PODS: Final[frozenset[Kind]] = frozenset(("Namespace", "Pod"))


def kinds_behind(name: Name, service: Service | None, *, needs_endpoint: bool) -> frozenset[Kind]:
    """What the answer for a name below a zone is made from, as far as a Service of that name is known.

    needs_endpoint: a Service with a clusterIP exists only with a ready endpoint (``ignore empty_service``).
    """
    match name.kind:
        case "service" | "port" if service is not None and not service.headless:
            return ENDPOINTS if needs_endpoint and service.type != "ExternalName" else SERVICES
        case "service" | "port" | "endpoint" | "zonal":
            return ENDPOINTS if service is not None else SERVICES
        case "services" | "pods":
            return _NAMESPACES
        case "pod":
            return _PODS
        case "nameserver":
            return ENDPOINTS
    return _NOTHING
