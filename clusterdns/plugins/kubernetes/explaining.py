# SPDX-License-Identifier: Apache-2.0
"""What ``kubernetes`` decides about a name, why, and from which objects: for ``clusterdns explain``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv6Address
from typing import Final, Literal

from clusterdns.cluster.objects import EndpointSlice, Key, Kind, Namespace, Object, Pod, Service
from clusterdns.cluster.store import Store
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, IN, PTR, A, type_text
from clusterdns.plugins.kubernetes.options import KubernetesOptions
from clusterdns.serving.query import Query
from clusterdns.serving.trace import Note, Origin
from clusterdns.zone import schema
from clusterdns.zone.addresses import address_key, is_full, parse_reverse
from clusterdns.zone.schema import Name
from clusterdns.zone.snapshot import Zone, split_labels

MAX_LISTED: Final = 5
_CUTOFF: Final = 0.6
"""Of difflib: how alike a name must be to be what was meant."""

_LABELS_OF_DOTTED_POD: Final = 6
"""``10.244.1.11.NAMESPACE.pod``."""


class Explanation:
    """Explains names of the zones.

    store: the objects. place: where an object was read from, empty where that is not known.
    """

    def __init__(self, options: KubernetesOptions, store: Store, place: Callable[[Kind, Key], str]) -> None:
        self._options = options
        self._store = store
        self._place = place

    def notes(self, query: Query, zone: Zone | None, *, synced: bool) -> Iterator[Note]:
        """Why the query has the answer that it has; ``zone`` is the one of the zones that it is in."""
        zones = [names.to_text(each) for each in self._options.zone.zones]
        if query.qclass != IN:
            yield Note("passed on: the cluster has names in class IN only")
            return
        if zone is None:
            yield Note(f"passed on: the name is not in {listed(zones)}", hint=self._zone_meant(query))
            return
        if not synced:
            yield Note(
                "the cluster has not been read yet, so what it has under this name can't be told",
                hint="wait until the server is ready; if it never is, its log tells why the cluster can't be read",
            )
            return
        labels = split_labels(query.key[: -zone.size])
        if labels is None:
            return
        falls = next((each for each in self._options.fallthrough if names.is_in(query.key, each)), None)
        if falls is not None:
            yield Note(f"names in {names.to_text(falls)} that don't exist here are passed on (fallthrough)")
        if zone.reverse:
            yield from self._reverse(query)
        else:
            yield from self._forward(schema.parse_name(labels), labels, names.to_text(zone.name), query)

    def _zone_meant(self, query: Query) -> str:
        """For the full name of a Service, but for a slip in the zone."""
        texts = [label.decode("latin-1") for label in names.labels(query.key)]
        zone = next((names.to_text(each) for each in self._options.zone.zones if parse_reverse(each) is None), "")
        if texts[2:3] != ["svc"] or not zone or self._store.get("Service", (texts[1], texts[0])) is None:
            return ""
        return f"did you mean {'.'.join(texts[:3])}.{zone}?"

    # Names of the forward zones

    def _forward(self, name: Name, labels: Sequence[bytes], zone: str, query: Query) -> Iterator[Note]:
        match name.kind:
            case "service" | "endpoint" | "port":
                yield from self._below_service(name, zone, query)
            case "services" | "pods":
                yield from self._namespace_level(name, zone)
            case "pod":
                yield from self._pod(name, zone)
            case "none":
                yield from self._no_form(labels, zone)
            case "apex":
                yield Note(f"this is the zone {zone} itself")
            case _:
                yield Note("this name belongs to the zone itself, not to an object")

    def _below_service(self, name: Name, zone: str, query: Query) -> Iterator[Note]:
        missing = self._missing_namespace(name.namespace, zone, name.service)
        if missing is not None:
            yield missing
            return
        key = (name.namespace, name.service)
        service = self._store.get("Service", key)
        if service is None:
            yield self._missing_service(name, zone)
            return
        if service.type == "ExternalName":
            target = schema.external_name(service) if name.kind == "service" else None
            text = f"Service {name.namespace}/{name.service} is an alias of {target or service.external_name!r}"
            yield Note(
                text if target else f"{text}, which no name can lead to" if name.kind == "service" else text,
                origins=self._origins([service]),
            )
            return
        slices = self._store.slices_of(*key)
        if name.kind == "service" and not service.headless:
            yield from self._cluster_ip(service, slices, query)
        elif name.kind == "port" and not service.headless:
            yield self._port(service, name)
        else:
            yield from self._endpoints(service, slices, name, query)

    def _cluster_ip(self, service: Service, slices: Sequence[EndpointSlice], query: Query) -> Iterator[Note]:
        label = f"{service.namespace}/{service.name}"
        addresses = schema.cluster_addresses(service)
        origins = self._origins([service])
        family = query.qtype in (A, AAAA)
        fitting = [each for each in addresses if (":" in each) == (query.qtype == AAAA)]
        if not addresses:
            yield Note(
                f"Service {label} has no clusterIP yet", hint=f"Service {label} has no clusterIP yet", origins=origins
            )
        elif family and not fitting:
            version = "IPv6" if query.qtype == AAAA else "IPv4"
            yield Note(f"Service {label} has clusterIP {listed(addresses)}, but none of {version}", origins=origins)
        else:
            yield Note(f"Service {label} has clusterIP {listed(fitting or addresses)}", origins=origins)
        if self._options.zone.endpoints and not schema.has_ready(slices):
            what = "it does not exist for clients (ignore empty_service)" if self._options.zone.ignore_empty else ""
            yield Note(
                f"no endpoint of it is ready{': ' + what if what else ', which does not show in the answer'}",
                hint=f"Service {label} exists but has no ready endpoints: {self._readiness(slices)}",
            )

    def _port(self, service: Service, name: Name) -> Note:
        label = f"{service.namespace}/{service.name}"
        ports = [f"_{port.name}._{port.protocol.lower()}" for port in service.ports if port.name]
        if any(schema.matches(port, name) for port in service.ports):
            return Note(f"Service {label} has a port of that name", origins=self._origins([service]))
        asked = f"_{name.port}._{name.protocol}"
        has = f"its named ports are {listed(ports)}" if ports else "none of its ports has a name"
        return Note(f"Service {label} has no port {asked}: {has}", hint=f"Service {label} has no port {asked}: {has}")

    def _endpoints(self, service: Service, slices: Sequence[EndpointSlice], name: Name, query: Query) -> Iterator[Note]:
        label = f"{service.namespace}/{service.name}"
        kind = "headless Service" if service.headless else "Service"
        if not self._options.zone.endpoints:
            yield Note("names of endpoints don't exist here (noendpoints)", hint="remove noendpoints from kubernetes")
            return
        pod_names = self._options.zone.endpoint_pod_names
        ready = list(schema.endpoint_addresses(slices, pod_names))
        origins = self._origins([service, *slices])
        if name.kind == "endpoint":
            found = [each.address for each in ready if each.name == name.endpoint]
            known = sorted({each.name for each in ready})
            if found:
                yield Note(f"endpoint {name.endpoint} of {kind} {label} has {listed(found)}", origins=origins)
                return
            close = difflib.get_close_matches(name.endpoint, known, 1, _CUTOFF)
            text = f"{kind} {label} has no ready endpoint {name.endpoint}"
            hint = self._unready_endpoint(slices, name.endpoint, label)
            if not hint and close:
                hint = f"{text}; did you mean {close[0]}?"
            yield Note(f"{text}; it has {listed(known) if known else 'none'}", hint=hint)
            return
        hosts = schema.host_names(slices)
        if ready:
            fitting = [each.address for each in ready if (":" in each.address) == (query.qtype == AAAA)]
            count = len({each.address for each in ready})
            text = f"{kind} {label} has {count} ready endpoint{'' if count == 1 else 's'}"
            shown = f": {listed(fitting)}" if query.qtype in (A, AAAA) and fitting else ""
            yield Note(text + shown, origins=origins)
        elif hosts:
            yield Note(f"{kind} {label} leads to the host names {listed(hosts)}", origins=origins)
        else:
            why = self._readiness(slices)
            yield Note(
                f"{kind} {label} exists but has no ready endpoints: {why}",
                hint=f"{kind} {label} exists but has no ready endpoints: {why}",
                origins=origins,
            )

    def _unready_endpoint(self, slices: Sequence[EndpointSlice], label: str, service: str) -> str:
        pod_names = self._options.zone.endpoint_pod_names
        for piece in slices:
            for endpoint in piece.endpoints:
                for address in endpoint.addresses:
                    if not endpoint.ready and schema.endpoint_name(endpoint, address, pod_names) == label:
                        pod = f" (Pod {piece.namespace}/{endpoint.pod})" if endpoint.pod else ""
                        return f"endpoint {label} of Service {service} exists but isn't ready{pod}"
        return ""

    def _readiness(self, slices: Sequence[EndpointSlice]) -> str:
        """Why there is no ready endpoint."""
        if not slices:
            return "there is no EndpointSlice for it, so no Pod matches its selector"
        unready = [endpoint for piece in slices for endpoint in piece.endpoints if not endpoint.ready]
        if not unready:
            return "its EndpointSlices are empty, so no Pod matches its selector"
        pods = [endpoint.pod for endpoint in unready if endpoint.pod]
        shown = f" (Pods {listed(pods)})" if pods else ""
        return f"{len(unready)} {'is' if len(unready) == 1 else 'are'} not ready{shown}"

    # What isn't there

    def _missing_namespace(self, namespace: str, zone: str, service: str = "") -> Note | None:
        """None if the namespace exists and is served."""
        allowed = self._options.zone.namespaces
        if self._store.get("Namespace", ("", namespace)) is not None:
            if allowed is None or namespace in allowed:
                return None
            return Note(
                f"namespace {namespace} is not served: kubernetes has `namespaces {' '.join(sorted(allowed))}`",
                hint=f"namespace {namespace} is left out by `namespaces` in the Corefile",
            )
        known = [item.name for item in self._store.objects("Namespace") if allowed is None or item.name in allowed]
        text = f"there is no namespace {namespace}"
        if self._options.namespace_labels:
            text += f" with labels {self._options.namespace_labels}"
        close = difflib.get_close_matches(namespace, known, 1, _CUTOFF)
        hint = f"namespace {namespace} does not exist; did you mean {close[0]}?" if close else ""
        if not hint and service and self._store.get("Service", (service, namespace)) is not None:
            hint = f"did you mean {namespace}.{service}.svc.{zone}? First the Service, then the namespace"
        return Note(text, hint=hint)

    def _missing_service(self, name: Name, zone: str) -> Note:
        text = f"namespace {name.namespace} has no Service {name.service}"
        if self._options.labels:
            text += f" with labels {self._options.labels}"
        if name.kind != "service":
            return Note(text)
        elsewhere = self._namespaces_with(name.service)
        known = [service.name for service in self._store.services_in(name.namespace)]
        close = difflib.get_close_matches(name.service, known, 1, _CUTOFF)
        hint = ""
        if elsewhere:
            hint = _elsewhere(name.service, elsewhere, zone)
        elif close:
            hint = f"namespace {name.namespace} has no Service {name.service}; did you mean {close[0]}?"
        return Note(text, hint=hint)

    def _namespaces_with(self, service: str) -> list[str]:
        return [
            item.name
            for item in self._store.objects("Namespace")
            if self._store.get("Service", (item.name, service)) is not None
        ]

    def _namespace_level(self, name: Name, zone: str) -> Iterator[Note]:
        missing = self._missing_namespace(name.namespace, zone)
        if missing is None:
            if name.kind == "pods" and self._options.zone.pods == "disabled":
                yield Note("Pods have no names here (pods disabled)")
            else:
                yield Note(f"this is namespace {name.namespace}: it has no records of its own, only names below it")
            return
        holders = self._namespaces_with(name.namespace) if name.kind == "services" else []
        if holders:
            missing = Note(missing.text, hint=_elsewhere(name.namespace, holders, zone))
        yield missing

    def _no_form(self, labels: Sequence[bytes], zone: str) -> Iterator[Note]:
        texts = [label.decode("latin-1") for label in labels]
        hint = ""
        if len(texts) >= 2 and self._store.get("Service", (texts[-1], texts[-2])) is not None:
            hint = f"names of Services have svc in them: ask for {'.'.join(texts)}.svc.{zone}"
        elif len(texts) == _LABELS_OF_DOTTED_POD and texts[-1] == "pod" and all(map(str.isdecimal, texts[:4])):
            hint = f"names of Pods have dashes in the address: ask for {'-'.join(texts[:4])}.{texts[4]}.pod.{zone}"
        yield Note(
            f"no object can have this name: names here are SERVICE.NAMESPACE.svc.{zone} and IP.NAMESPACE.pod.{zone}",
            hint=hint,
        )

    # Pods and addresses

    def _pod(self, name: Name, zone: str) -> Iterator[Note]:
        mode = self._options.zone.pods
        address = schema.pod_address(name.endpoint)
        if mode == "disabled":
            yield Note(
                "Pods have no names here (pods disabled)",
                hint="write `pods insecure` or `pods verified` in kubernetes for names of Pods" if address else "",
            )
            return
        missing = self._missing_namespace(name.namespace, zone)
        if missing is not None:
            yield missing
        elif address is None:
            yield Note(
                f"{name.endpoint!r} is no address with dashes in the place of dots or colons",
                hint=self._pod_by_name(name, zone),
            )
        elif mode == "insecure":
            yield Note(f"every address is a name here (pods insecure): {address}")
        else:
            yield self._verified(name.namespace, address)

    def _pod_by_name(self, name: Name, zone: str) -> str:
        """What to ask for where a Pod's own name was."""
        pod = self._store.get("Pod", (name.namespace, name.endpoint))
        if pod is None or not pod.ips:
            return ""
        label = pod.ips[0].replace(".", "-").replace(":", "-")
        return f"Pods are found by their addresses: ask for {label}.{name.namespace}.pod.{zone}"

    def _verified(self, namespace: str, address: str) -> Note:
        holders = [pod for pod in self._store.objects("Pod") if any(_same(each, address) for each in pod.ips)]
        inside = [pod for pod in holders if pod.namespace == namespace]
        if inside:
            return Note(f"Pod {namespace}/{inside[0].name} has {address}", origins=self._origins(inside))
        text = f"no Pod in namespace {namespace} has {address} (pods verified)"
        other = f"{address} is that of Pod {holders[0].namespace}/{holders[0].name}" if holders else ""
        return Note(text, hint=other)

    def _reverse(self, query: Query) -> Iterator[Note]:
        key = parse_reverse(query.key)
        if key is None or not is_full(key):
            yield Note("this is no reverse name of one address")
            return
        if query.qtype != PTR:
            yield Note(f"reverse names have PTR records, not {type_text(query.qtype)}")
        shown = str(IPv6Address(int(key[1:], 16))) if key.startswith(":") else key
        services = [item for item in self._store.objects("Service") if self._holds(item, key)]
        if services:
            yield Note(
                f"{shown} is the clusterIP of Service {_label(services[0])}", origins=self._origins(services[:1])
            )
            return
        slices = [item for item in self._store.objects("EndpointSlice") if self._holds(item, key)]
        if slices:
            found = listed([f"{piece.namespace}/{piece.service}" for piece in slices])
            yield Note(f"{shown} is a ready endpoint of Service {found}", origins=self._origins(slices))
        else:
            yield Note(f"{shown} is neither a clusterIP nor a ready endpoint of a Service")

    def _holds(self, item: Service | EndpointSlice, key: str) -> bool:
        if self._missing_namespace(item.namespace, "") is not None:
            return False
        if isinstance(item, Service):
            addresses: Iterable[str] = [] if item.headless else schema.cluster_addresses(item)
        else:
            addresses = [each.address for each in schema.endpoint_addresses((item,), False)] if item.service else []
        return any(address_key(address) == key for address in addresses)

    def _origins(self, objects: Iterable[Object]) -> tuple[Origin, ...]:
        return tuple(self._origin(item) for item in tuple(objects)[: MAX_LISTED + 1])

    def _origin(self, item: Object) -> Origin:
        kind = _kind(item)
        revision = self._store.revision(kind)
        known = f"revision {revision}" if revision else f"change {self._store.number}"
        return Origin(kind, _label(item), known, self._place(kind, item.key))


def listed(texts: Sequence[str]) -> str:
    """The first ones, joined by commas."""
    more = len(texts) - MAX_LISTED
    return ", ".join(texts[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def _elsewhere(service: str, namespaces: Sequence[str], zone: str) -> str:
    return f"Service {service} is in namespace {listed(namespaces)}: ask for {service}.{namespaces[0]}.svc.{zone}"


def _kind(item: Object) -> Literal["Service", "EndpointSlice", "Pod", "Namespace"]:
    if isinstance(item, Service):
        return "Service"
    if isinstance(item, EndpointSlice):
        return "EndpointSlice"
    return "Pod" if isinstance(item, Pod) else "Namespace"


def _label(item: Object) -> str:
    return item.name if isinstance(item, Namespace) else f"{item.namespace}/{item.name}"


def _same(one: str, other: str) -> bool:
    return address_key(one) == address_key(other)
