# SPDX-License-Identifier: Apache-2.0
"""EndpointSlices from Pods and from Endpoints, as the EndpointSlice and the mirroring controllers make them.

Names of computed slices have a colon, which no written name can have: they never meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clusterdns.cluster.declared import DeclaredEndpoints, DeclaredPod, DeclaredPort, DeclaredService
from clusterdns.cluster.decode import SERVICE_NAME, endpoint_port
from clusterdns.cluster.objects import Endpoint, EndpointPort, EndpointSlice
from clusterdns.cluster.validation import address_family

_FAMILIES = ("IPv4", "IPv6")
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_HEADLESS = "service.kubernetes.io/headless"


def service_families(service: DeclaredService, cluster_families: Sequence[str]) -> tuple[str, ...]:
    """The address families of a Service, primary first: spec.ipFamilies, else those of its written addresses, else the
    cluster's primary one; the other one too where spec.ipFamilyPolicy requires it, or prefers it and the cluster has
    it. A headless Service needs no address, so there a preference is enough.

    cluster_families: those of the service CIDRs, in order.
    """
    written = tuple(dict.fromkeys(filter(None, map(address_family, service.cluster_ips))))
    families = service.families or written or (cluster_families[0],)
    if service.family_policy not in ("PreferDualStack", "RequireDualStack") or len(families) > 1:
        return families
    both = service.headless or service.family_policy == "RequireDualStack" or len(cluster_families) > 1
    return families + tuple(family for family in _FAMILIES if both and family not in families)


def slices_from_pods(
    service: DeclaredService, pods: Iterable[DeclaredPod], families: Sequence[str]
) -> tuple[EndpointSlice, ...]:
    """The slices of a Service with a selector: one per family and set of port numbers.

    Named target ports are looked up in each Pod, so Pods can differ in them; a port that a Pod hasn't is left out.
    Endpoints are sorted by the Pod's name. Ready is: the Pod is and isn't terminating, or publishNotReadyAddresses.
    pods: those that match the selector; the ones without an address or that have finished are no endpoints.
    """
    groups: dict[tuple[str, tuple[EndpointPort, ...]], list[Endpoint]] = {}
    for pod in sorted(pods, key=lambda pod: pod.name):
        if pod.finished or not pod.ips:
            continue
        ports = tuple(_ports(service.ports, pod))
        ready = service.publish_not_ready or (pod.ready and not pod.terminating)
        hostname = pod.hostname if pod.subdomain == service.name else ""
        for family in families:
            addresses = tuple(address for address in pod.ips if address_family(address) == family)
            if addresses:
                endpoint = Endpoint(addresses[:1], ready, hostname, pod.name, pod.ready, pod.terminating)
                groups.setdefault((family, ports), []).append(endpoint)
    return tuple(
        EndpointSlice(service.namespace, f"{service.name}:pods:{number}", service.name, family, tuple(endpoints), ports)
        for number, ((family, ports), endpoints) in enumerate(sorted(groups.items(), key=_group_order))
    )


def computed_labels(service: DeclaredService) -> dict[str, str]:
    """The labels of the slices that are made from Pods."""
    labels = {**service.labels, SERVICE_NAME: service.name, _MANAGED_BY: "endpointslice-controller.k8s.io"}
    if service.headless:
        labels[_HEADLESS] = ""
    return labels


def mirrored_labels(endpoints: DeclaredEndpoints) -> dict[str, str]:
    """The labels of the slices that mirror an Endpoints object."""
    return {
        **endpoints.labels,
        SERVICE_NAME: endpoints.name,
        _MANAGED_BY: "endpointslicemirroring-controller.k8s.io",
    }


def slices_from_endpoints(endpoints: DeclaredEndpoints) -> tuple[EndpointSlice, ...]:
    """The slices that mirror an Endpoints object: one per subset and family."""
    slices = []
    for number, subset in enumerate(endpoints.subsets):
        for family in _FAMILIES:
            members = tuple(entry for entry in subset.endpoints if address_family(entry.addresses[0]) == family)
            if members:
                name = f"{endpoints.name}:mirror:{number}:{family}"
                slices.append(EndpointSlice(endpoints.namespace, name, endpoints.name, family, members, subset.ports))
    return tuple(slices)


def _group_order(group: tuple[tuple[str, tuple[EndpointPort, ...]], list[Endpoint]]) -> tuple[str, list[int], str]:
    (family, ports), endpoints = group
    return family, [port.port or 0 for port in ports], endpoints[0].pod


def _ports(ports: Iterable[DeclaredPort], pod: DeclaredPod) -> Iterable[EndpointPort]:
    for port in ports:
        number: int | None
        if isinstance(port.target, int):
            number = port.target
        else:
            number = next(
                (own.port for own in pod.ports if own.name == port.target and own.protocol == port.protocol), None
            )
        if number is not None:
            yield endpoint_port(port.name, port.protocol, number)
