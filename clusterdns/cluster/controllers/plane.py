# SPDX-License-Identifier: Apache-2.0
"""The control plane: declared objects in, events about finished objects out.

It works by difference. A change of a Service, of its slices or Endpoints, or of a Pod that it selects makes that
Service anew; the rest stays. The result is always the same as that of starting over with all objects.

- What is written wins. A Service with any written EndpointSlice, or else with Endpoints, gets none computed from Pods.
- A Namespace that objects live in but that isn't written is implied, with the one label that every Namespace has
  (kubernetes.io/metadata.name): the output of ``kubectl get svc,pods,endpointslices`` has no Namespaces.
- The selectors for labels work on the finished objects, as the API server's do: computed slices have the labels of
  their Service, mirrored ones those of the Endpoints, and both those that their controllers add.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from clusterdns.cluster.changes import Apply, Delete
from clusterdns.cluster.controllers.allocation import Network
from clusterdns.cluster.controllers.endpoints import (
    computed_labels,
    mirrored_labels,
    service_families,
    slices_from_endpoints,
    slices_from_pods,
)
from clusterdns.cluster.controllers.given import Given, Needs, give, needs_of
from clusterdns.cluster.controllers.matching import Matching
from clusterdns.cluster.declared import (
    Declared,
    DeclaredEndpoints,
    DeclaredImport,
    DeclaredKind,
    DeclaredNamespace,
    DeclaredPod,
    DeclaredService,
    DeclaredSlice,
)
from clusterdns.cluster.decode import NAMESPACE_NAME, SERVICE_NAME, service, slim
from clusterdns.cluster.objects import EndpointSlice, Key, Kind, Namespace, Object
from clusterdns.cluster.selectors import Selector

DeclaredChange: TypeAlias = tuple[DeclaredKind, Key, Declared | None]
"""Kind, key and the object as it is now, None for one that is gone."""

D = TypeVar("D")


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with an object that is served nevertheless, in whole or in part."""

    kind: DeclaredKind
    key: Key
    reason: str


class ControlPlane:
    """Finishes the objects of one directory.

    networks: the service CIDRs, primary first (``parse_service_cidr``).
    labels: selects Services, EndpointSlices and Pods; namespace_labels: Namespaces; None for all of them.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        labels: Selector | None = None,
        namespace_labels: Selector | None = None,
    ) -> None:
        self._networks = tuple(networks)
        self._families = tuple(f"IPv{network.version}" for network in networks)
        self._labels = labels
        self._namespace_labels = namespace_labels
        self._services: dict[Key, DeclaredService] = {}
        self._endpoints: dict[Key, DeclaredEndpoints] = {}
        self._slices: dict[Key, DeclaredSlice] = {}
        self._pods: dict[Key, DeclaredPod] = {}
        self._imports: dict[Key, DeclaredImport] = {}
        self._namespaces: dict[str, DeclaredNamespace] = {}
        self._inhabitants: dict[str, int] = {}
        self._written_slices: dict[Key, set[str]] = {}
        self._computed: dict[Key, tuple[EndpointSlice, ...]] = {}
        self._matching = Matching()
        self._needs: dict[Key, Needs] = {}
        self._given = Given()
        self._faults: dict[tuple[DeclaredKind, Key], str] = {}
        self._stale = _Stale()

    @property
    def faults(self) -> Iterator[Fault]:
        """What is wrong now."""
        for (kind, key), reason in self._faults.items():
            yield Fault(kind, key, reason)
        for key, reasons in self._given.faults.items():
            for reason in reasons:
                yield Fault("Service", key, reason)

    def update(self, changes: Iterable[DeclaredChange]) -> list[Apply | Delete]:
        """Take changes of declared objects, and tell what becomes of the finished ones.

        Events may repeat what is already so; the store leaves that out.
        """
        events: list[Apply | Delete] = []
        self._stale = stale = _Stale()
        for kind, key, new in changes:
            match kind:
                case "Service":
                    self._take_service(key, new if isinstance(new, DeclaredService) else None)
                case "Endpoints":
                    self._exchange(self._endpoints, key, new if isinstance(new, DeclaredEndpoints) else None)
                    stale.services.add(key)
                case "EndpointSlice":
                    events.append(self._take_slice(key, new if isinstance(new, DeclaredSlice) else None))
                case "Pod":
                    events.append(self._take_pod(key, new if isinstance(new, DeclaredPod) else None))
                case "Namespace":
                    self._take_namespace(key[1], new if isinstance(new, DeclaredNamespace) else None)
                case "ServiceImport":
                    found = new if isinstance(new, DeclaredImport) else None
                    self._exchange(self._imports, key, found)
                    events.append(Delete(kind, key) if found is None else Apply(kind, found.service_import))
        if stale.needs:
            given = give(self._needs, self._networks)
            stale.services |= given.changed_services(self._given)
            self._given = given
        events.extend(self._finish_namespace(namespace) for namespace in sorted(stale.namespaces))
        for key in sorted(stale.services):
            events.extend(self._finish_service(key))
        return events

    def _exchange(self, objects: dict[Key, D], key: Key, new: D | None) -> D | None:
        """Put the new object in the place of the old one, which is returned, and count the namespace's inhabitants."""
        old = objects.pop(key, None)
        if new is not None:
            objects[key] = new
        difference = (new is not None) - (old is not None)
        if difference:
            namespace = key[0]
            count = self._inhabitants.get(namespace, 0) + difference
            if count:
                self._inhabitants[namespace] = count
            else:
                del self._inhabitants[namespace]
            if count == 0 or count == difference:
                self._stale.namespaces.add(namespace)
        return old

    def _take_service(self, key: Key, new: DeclaredService | None) -> None:
        self._exchange(self._services, key, new)
        self._matching.set_service(key, new.selector if new else {})
        needs = needs_of(new, self._families) if new else Needs()
        if needs != self._needs.get(key, Needs()):
            self._stale.needs = True
        if needs == Needs():
            self._needs.pop(key, None)
        else:
            self._needs[key] = needs
        self._stale.services.add(key)

    def _take_slice(self, key: Key, new: DeclaredSlice | None) -> Apply | Delete:
        old = self._exchange(self._slices, key, new)
        self._faults.pop(("EndpointSlice", key), None)
        if old is not None:
            owner = (key[0], old.slice.service)
            names = self._written_slices[owner]
            names.discard(key[1])
            if not names:
                del self._written_slices[owner]
            self._stale.services.add(owner)
        if new is not None:
            owner = (key[0], new.slice.service)
            self._written_slices.setdefault(owner, set()).add(key[1])
            self._stale.services.add(owner)
            if not new.slice.service and not new.slice.imported:
                self._faults["EndpointSlice", key] = f"it belongs to no Service: it has no label {SERVICE_NAME}"
            return self._event("EndpointSlice", key, new.slice, new.labels)
        return Delete("EndpointSlice", key)

    def _take_pod(self, key: Key, new: DeclaredPod | None) -> Apply | Delete:
        self._exchange(self._pods, key, new)
        self._faults.pop(("Pod", key), None)
        self._stale.services.update(self._matching.services_of(key))
        self._matching.set_pod(key, new.labels if new else {})
        self._stale.services.update(self._matching.services_of(key))
        if new is None:
            return Delete("Pod", key)
        if not new.ips and not new.finished:
            self._faults["Pod", key] = "it has no status.podIP, so it is no endpoint"
        return self._event("Pod", key, slim(new), new.labels)

    def _take_namespace(self, name: str, new: DeclaredNamespace | None) -> None:
        if new is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = new
        self._stale.namespaces.add(name)

    def _event(self, kind: Kind, key: Key, finished: Object | None, labels: Mapping[str, str]) -> Apply | Delete:
        if finished is None or (self._labels is not None and not self._labels.matches(labels)):
            return Delete(kind, key)
        return Apply(kind, finished)

    def _finish_namespace(self, name: str) -> Apply | Delete:
        declared = self._namespaces.get(name)
        if declared is None and name not in self._inhabitants:
            return Delete("Namespace", ("", name))
        labels = declared.labels if declared is not None else {NAMESPACE_NAME: name}
        if self._namespace_labels is not None and not self._namespace_labels.matches(labels):
            return Delete("Namespace", ("", name))
        return Apply("Namespace", Namespace(name))

    def _finish_service(self, key: Key) -> Iterator[Apply | Delete]:
        declared = self._services.get(key)
        if declared is None:
            yield Delete("Service", key)
        else:
            finished = service(declared, self._given.cluster_ips(declared), self._given.node_ports_of(declared))
            yield self._event("Service", key, finished, declared.labels)
        slices, labels = self._compute(key, declared)
        names = {one.name for one in slices}
        for old in self._computed.pop(key, ()):
            if old.name not in names:
                yield Delete("EndpointSlice", old.key)
        for new in slices:
            yield self._event("EndpointSlice", new.key, new, labels)
        if slices:
            self._computed[key] = slices

    def _compute(
        self, key: Key, declared: DeclaredService | None
    ) -> tuple[tuple[EndpointSlice, ...], Mapping[str, str]]:
        """The slices that nobody wrote, and their labels."""
        endpoints = self._endpoints.get(key)
        self._faults.pop(("Endpoints", key), None)
        if declared is None:
            if endpoints is not None and endpoints.subsets:
                self._faults["Endpoints", key] = "there is no Service of that name, so they are not served"
            return (), {}
        if key in self._written_slices:
            return (), {}
        if endpoints is not None:
            return slices_from_endpoints(endpoints), mirrored_labels(endpoints)
        if declared.type == "ExternalName" or not declared.selector:
            return (), {}
        pods = [self._pods[pod] for pod in self._matching.pods_of(key)]
        families = service_families(declared, self._families)
        return slices_from_pods(declared, pods, families), computed_labels(declared)


class _Stale:
    """What has to be made anew at the end of an update."""

    def __init__(self) -> None:
        self.services: set[Key] = set()
        self.namespaces: set[str] = set()
        self.needs = False
