# SPDX-License-Identifier: Apache-2.0
"""Clusters of any size, for benchmarks: each object is made of a template when it is sent, so that a hundred thousand
take little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from clusterdns.testing.apiserver.admission import complete, with_managed_fields
from clusterdns.testing.apiserver.resources import PODS, SERVICES, SLICES, Resource
from clusterdns.testing.apiserver.storage import Storage
from clusterdns.testing.apiserver.stored import Key, Stored

SERVICES_PER_NAMESPACE = 100
CREATED = "2026-01-01T00:00:00Z"


def generate(storage: Storage, *, services: int, endpoints: int, headless: int = 0, pods: int = 0) -> None:
    """Put a cluster into the storage.

    services: named svc-0 … in namespaces ns-0 … of a hundred each, ClusterIPs from 10.96.0.0/12 upwards of .1.0, ports
        http and https.
    endpoints: Pod addresses of each in one EndpointSlice; 0 for no slices.
    headless: so many of the Services, the first ones, are headless.
    pods: named pod-0 … in the same namespaces, running, addresses from 10.128.0.0 on.
    """
    namespaces = -(-max(services, pods, 1) // SERVICES_PER_NAMESPACE)
    for number in range(namespaces):
        storage.create({"kind": "Namespace", "metadata": {"name": f"ns-{number}"}})
    storage.load(SERVICES, _services(services, headless))
    if endpoints:
        storage.load(SLICES, _slices(services, endpoints))
    storage.load(PODS, _pods(pods, namespaces))


def namespace_of(number: int) -> str:
    """The namespace of Service number so-and-so."""
    return f"ns-{number // SERVICES_PER_NAMESPACE}"


def _template(resource: Resource, value: Mapping[str, Any]) -> Callable[[Mapping[bytes, object]], bytes]:
    """What makes the body of an object of its values: ``%(key)d`` in the text of the object is put in."""
    whole = with_managed_fields(complete(resource, value, None, lambda: "%(address)s"), "kube-controller-manager")
    body = {key: part for key, part in whole.items() if key not in ("kind", "apiVersion")}
    return msgspec.json.encode(body).__mod__


def _metadata(name: str, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "namespace": "%(namespace)s",
        "uid": "00000000-0000-4000-8000-%(number)012d",
        "resourceVersion": "%(revision)d",
        "creationTimestamp": CREATED,
        **more,
    }


class _Maker:
    """Makes the stored objects of one template."""

    def __init__(self, resource: Resource, value: Mapping[str, Any], name: str) -> None:
        self._resource = resource
        self._body = _template(resource, value)
        self._name = name

    def __call__(
        self,
        number: int,
        namespace: str,
        values: Mapping[bytes, object],
        labels: Mapping[str, str],
        fields: Mapping[str, str],
    ) -> tuple[Key, Callable[[int], Stored]]:
        key = (namespace, f"{self._name}-{number}")

        def make(revision: int) -> Stored:
            filled = {b"number": number, b"namespace": namespace.encode(), b"revision": revision, **values}
            return Stored(
                self._resource,
                key,
                revision,
                partial(self._body, filled),
                labels,
                {"metadata.name": key[1], "metadata.namespace": namespace, **fields},
            )

        return key, make


def _address(base: int, number: int) -> str:
    value = base + number
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _services(count: int, headless: int) -> Iterator[tuple[Key, Callable[[int], Stored]]]:
    labels = {"app": "app", "app.kubernetes.io/managed-by": "Helm"}
    value = {
        "metadata": _metadata("svc-%(number)d", labels=labels),
        "spec": {
            "selector": {"app": "svc-%(number)d"},
            "clusterIP": "%(address)s",
            "clusterIPs": ["%(address)s"],
            "ipFamilies": ["IPv4"],
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080},
                {"name": "https", "port": 443, "targetPort": 8443},
            ],
        },
    }
    make = _Maker(SERVICES, value, "svc")
    for number in range(count):
        address = "None" if number < headless else _address(0x0A600100, number)
        yield make(
            number,
            namespace_of(number),
            {b"address": address.encode()},
            labels,
            {"spec.type": "ClusterIP", "spec.clusterIP": address},
        )


def _slices(count: int, endpoints: int) -> Iterator[tuple[Key, Callable[[int], Stored]]]:
    value = {
        "metadata": _metadata(
            "svc-%(number)d",
            generateName="svc-%(number)d-",
            labels={
                "app": "app",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": "svc-%(number)d",
            },
            ownerReferences=[
                {
                    "apiVersion": "v1",
                    "blockOwnerDeletion": True,
                    "controller": True,
                    "kind": "Service",
                    "name": "svc-%(number)d",
                    "uid": "00000000-0000-4000-8000-%(number)012d",
                }
            ],
            annotations={"endpoints.kubernetes.io/last-change-trigger-time": CREATED},
        ),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"%(ip{index})s"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{index % 10}",
                "targetRef": {
                    "kind": "Pod",
                    "name": f"svc-%(number)d-{index}",
                    "namespace": "%(namespace)s",
                    "uid": f"00000000-0000-4000-80{index:02x}-%(number)012d",
                },
                "zone": f"zone-{index % 3}",
            }
            for index in range(endpoints)
        ],
        "ports": [
            {"name": "http", "port": 8080, "protocol": "TCP"},
            {"name": "https", "port": 8443, "protocol": "TCP"},
        ],
    }
    make = _Maker(SLICES, value, "svc")
    for number in range(count):
        addresses = {
            b"ip%d" % index: _address(0x0B000001, number * endpoints + index).encode() for index in range(endpoints)
        }
        name = f"svc-{number}"
        labels = {
            "app": "app",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": name,
        }
        yield make(number, namespace_of(number), addresses, labels, {})


def _pods(count: int, namespaces: int) -> Iterator[tuple[Key, Callable[[int], Stored]]]:
    address = "%(address)s"
    value = {
        "metadata": _metadata("pod-%(number)d", labels={"app": "pod", "pod-template-hash": "5d69b7f8c"}),
        "spec": {
            "nodeName": "node-1",
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/app:1.2.3",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                    "env": [{"name": f"VARIABLE_{index}", "value": "value"} for index in range(10)],
                    "volumeMounts": [
                        {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                    ],
                }
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "192.0.2.1",
            "conditions": [{"type": each, "status": "True"} for each in ("Initialized", "Ready", "PodScheduled")],
            "startTime": CREATED,
        },
    }
    make = _Maker(PODS, value, "pod")
    labels = {"app": "pod", "pod-template-hash": "5d69b7f8c"}
    for number in range(count):
        given = _address(0x0A800000, number + 1)
        fields = {
            "status.phase": "Running",
            "status.podIP": given,
            "spec.nodeName": "node-1",
            "spec.hostNetwork": "",
            "spec.restartPolicy": "Always",
        }
        yield make(number, f"ns-{number % namespaces}", {b"address": given.encode()}, labels, fields)
