# SPDX-License-Identifier: Apache-2.0
"""v1 Pod from its shape in JSON to the declared object. Faults raise ObjectError."""

from __future__ import annotations

from sys import intern

from clusterdns.cluster import fields, raw
from clusterdns.cluster.declared import ContainerPort, DeclaredPod
from clusterdns.cluster.validation import subdomain_fault

_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_CLUSTER_FIRST = ("ClusterFirst", "ClusterFirstWithHostNet")


def _pod_ips(status: raw.RawPodStatus) -> tuple[str, ...]:
    texts = [entry.ip for entry in status.pod_ips or () if entry.ip]
    if status.pod_ip and status.pod_ip not in texts:
        texts.insert(0, status.pod_ip)
    return tuple(fields.address(text, "", "status.podIPs" if status.pod_ips else "status.podIP") for text in texts)


def _container_ports(spec: raw.RawPodSpec) -> tuple[ContainerPort, ...]:
    """Of the containers, then of the sidecars: init containers with restartPolicy Always."""
    sidecars = [container for container in spec.init_containers or () if container.restart_policy == "Always"]
    return tuple(
        ContainerPort(
            intern(port.name),
            fields.choice(port.protocol, "TCP", fields.PROTOCOLS, "spec.containers[].ports[].protocol"),
            fields.port_number(port.container_port, "spec.containers[].ports[].containerPort"),
        )
        for container in (*(spec.containers or ()), *sidecars)
        for port in container.ports or ()
        if port.name
    )


def _has_cluster_search(spec: raw.RawPodSpec) -> bool:
    searches = spec.dns_config is not None and spec.dns_config.searches
    return (spec.dns_policy or _CLUSTER_FIRST[0]) in _CLUSTER_FIRST and not searches


def _network_seconds(status: raw.RawPodStatus) -> int:
    for condition in status.conditions or ():
        if condition.type == "PodReadyToStartContainers" and condition.status == "True":
            return fields.seconds(condition.last_transition_time, "status.conditions[].lastTransitionTime")
    return fields.seconds(status.start_time, "status.startTime")


def declare_pod(shape: raw.RawPod) -> DeclaredPod:
    """The Pod, as it is written. Raises ObjectError."""
    namespace, name, meta = fields.named(shape.metadata, subdomain_fault)
    spec = shape.spec or raw.RawPodSpec()
    status = shape.status or raw.RawPodStatus()
    ready = not status.conditions or any(
        condition.type == "Ready" and condition.status == "True" for condition in status.conditions
    )
    return DeclaredPod(
        namespace,
        name,
        fields.labels(meta.labels),
        ips=_pod_ips(status),
        ready=ready,
        terminating=meta.deletion_timestamp is not None,
        phase=fields.choice(status.phase, "Running", _PHASES, "status.phase"),
        hostname=fields.hostname(spec.hostname, "spec.hostname"),
        subdomain=fields.hostname(spec.subdomain, "spec.subdomain"),
        ports=_container_ports(spec),
        uid=meta.uid or "",
        host_network=bool(spec.host_network),
        cluster_search=_has_cluster_search(spec),
        network_seconds=_network_seconds(status),
    )
