# SPDX-License-Identifier: Apache-2.0
"""v1 Pod from its shape in JSON to the declared object. Faults raise ObjectError."""

from __future__ import annotations

from sys import intern

from clusterdns.cluster import fields, raw
from clusterdns.cluster.declared import ContainerPort, DeclaredPod
from clusterdns.cluster.validation import subdomain_fault

_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_CLUSTER_FIRST = ("ClusterFirst", "ClusterFirstWithHostNet")


def addresses_of(pod_ip: str | None, pod_ips: list[raw.RawPodIP] | None) -> tuple[str, ...]:
    """status.podIPs, or status.podIP where there is no list."""
    texts = [entry.ip for entry in pod_ips or () if entry.ip]
    if pod_ip and pod_ip not in texts:
        texts.insert(0, pod_ip)
    return tuple([fields.address(text, "", "status.podIPs" if pod_ips else "status.podIP") for text in texts])


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


def has_cluster_search(dns_policy: str | None, dns_config: raw.RawDnsConfig | None) -> bool:
    """``Pod.cluster_search``, from spec.dnsPolicy and spec.dnsConfig."""
    searches = dns_config is not None and dns_config.searches
    return (dns_policy or _CLUSTER_FIRST[0]) in _CLUSTER_FIRST and not searches


def network_seconds(conditions: list[raw.RawCondition] | None, start_time: object) -> int:
    """``Pod.network_seconds``, from status.conditions and status.startTime."""
    for condition in conditions or ():
        if condition.type == "PodReadyToStartContainers" and condition.status == "True":
            return fields.seconds(condition.last_transition_time, "status.conditions[].lastTransitionTime")
    return fields.seconds(start_time, "status.startTime")


def declare_pod(shape: raw.RawPod) -> DeclaredPod:
    """The declared object of a shape."""
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
        ips=addresses_of(status.pod_ip, status.pod_ips),
        ready=ready,
        terminating=meta.deletion_timestamp is not None,
        phase=fields.choice(status.phase, "Running", _PHASES, "status.phase"),
        hostname=fields.hostname(spec.hostname, "spec.hostname"),
        subdomain=fields.hostname(spec.subdomain, "spec.subdomain"),
        ports=_container_ports(spec),
        uid=meta.uid or "",
        host_network=bool(spec.host_network),
        cluster_search=has_cluster_search(spec.dns_policy, spec.dns_config),
        network_seconds=network_seconds(status.conditions, status.start_time),
    )
