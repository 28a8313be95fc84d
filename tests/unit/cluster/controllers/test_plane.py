# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from clusterdns.cluster.controllers.allocation import parse_service_cidr
from clusterdns.cluster.controllers.plane import ControlPlane
from clusterdns.cluster.decode import declare, declared_kind
from clusterdns.cluster.objects import Endpoint, EndpointSlice, Pod, Service
from clusterdns.cluster.selectors import parse_selector
from clusterdns.cluster.store import Store


class Cluster:
    """A control plane and the store that it feeds."""

    def __init__(self, cidr: str = "10.96.0.0/12", **selectors: str) -> None:
        parsed = {name: parse_selector(text) for name, text in selectors.items()}
        self.plane = ControlPlane(parse_service_cidr(cidr), **parsed)
        self.store = Store()

    def apply(self, text: str) -> Cluster:
        self.store.apply_all(self.plane.update(list(self._changes(text, gone=False))), 0)
        return self

    def delete(self, text: str) -> Cluster:
        self.store.apply_all(self.plane.update(list(self._changes(text, gone=True))), 0)
        return self

    def _changes(self, text: str, *, gone: bool) -> Iterable[Any]:
        for value in yaml.safe_load_all(text):
            kind = declared_kind(value.get("apiVersion"), value["kind"])
            assert kind is not None
            value["metadata"].setdefault("namespace", "dev")
            declared = declare(kind, value)
            yield kind, declared.key, None if gone else declared

    def service(self, name: str) -> Service:
        found = self.store.get("Service", ("dev", name))
        assert found is not None
        return found

    def slices(self, name: str) -> tuple[EndpointSlice, ...]:
        return self.store.slices_of("dev", name)

    def endpoints(self, name: str) -> list[Endpoint]:
        return [endpoint for one in self.slices(name) for endpoint in one.endpoints]

    def addresses(self, name: str) -> list[str]:
        return [address for endpoint in self.endpoints(name) for address in endpoint.addresses]

    def faults(self) -> list[str]:
        return [f"{fault.kind} {fault.key[1]}: {fault.reason}" for fault in self.plane.faults]


WEB = """
kind: Service
metadata: {name: web, labels: {team: a}}
spec:
  clusterIP: 10.96.9.9
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}, {name: admin, port: 81, targetPort: 8081}]
"""


def pod(name: str, address: str = "", *, extra: str = "", status: str = "", spec: str = "", labels: str = "") -> str:
    ports = "containers: [{ports: [{name: http, containerPort: 8080}]}]"
    ip = f"podIP: {address}, " if address else ""
    return (
        f"kind: Pod\nmetadata: {{name: {name}, labels: {{app: web, {labels}}}, {extra}}}\n"
        f"spec: {{{ports}, {spec}}}\nstatus: {{{ip}{status}}}\n"
    )


def manifests(*texts: str) -> str:
    return "---\n".join(texts)


def test_a_service_gets_its_endpoints_from_the_pods_that_it_selects():
    cluster = Cluster().apply(
        manifests(
            WEB,
            pod("web-b", "10.0.0.2"),
            pod("web-a", "10.0.0.1"),
            pod("other", "10.0.0.3").replace("app: web", "app: api"),
            pod("elsewhere", "10.0.0.4").replace("labels:", "namespace: prod, labels:"),
        )
    )
    [found] = cluster.slices("web")
    assert found.address_type == "IPv4"
    assert [(port.name, port.protocol, port.port) for port in found.ports] == [
        ("http", "TCP", 8080),
        ("admin", "TCP", 8081),
    ]
    assert found.endpoints == (
        Endpoint(("10.0.0.1",), True, "", "web-a"),
        Endpoint(("10.0.0.2",), True, "", "web-b"),
    )


def test_endpoints_follow_their_pods():
    cluster = Cluster().apply(WEB).apply(pod("a", "10.0.0.1"))
    assert cluster.addresses("web") == ["10.0.0.1"]
    cluster.apply(pod("a", "10.0.0.7"))
    assert cluster.addresses("web") == ["10.0.0.7"]
    cluster.apply(pod("a", "10.0.0.7").replace("app: web", "app: api"))
    assert cluster.slices("web") == ()
    cluster.apply(pod("a", "10.0.0.7"))
    assert cluster.addresses("web") == ["10.0.0.7"]
    cluster.delete(pod("a", "10.0.0.7"))
    assert cluster.slices("web") == ()


def test_endpoints_follow_the_selector():
    cluster = Cluster().apply(manifests(WEB, pod("a", "10.0.0.1")))
    cluster.apply(WEB.replace("app: web", "app: api"))
    assert cluster.slices("web") == ()
    cluster.apply(WEB.replace("{app: web}", "{}"))
    assert cluster.slices("web") == ()


def test_readiness_is_the_condition_without_termination():
    not_ready = "conditions: [{type: Ready, status: 'False'}]"
    cluster = Cluster().apply(
        manifests(
            WEB,
            pod("a-bare", "10.0.0.1"),
            pod("b-ready", "10.0.0.2", status="conditions: [{type: Ready, status: 'True'}]"),
            pod("c-not", "10.0.0.3", status=not_ready),
            pod("d-other", "10.0.0.4", status="conditions: [{type: Initialized, status: 'True'}]"),
            pod("e-leaving", "10.0.0.5", extra="deletionTimestamp: '2026-11-21T05:16:33Z'"),
        )
    )
    assert [(one.pod, one.ready) for one in cluster.endpoints("web")] == [
        ("a-bare", True),
        ("b-ready", True),
        ("c-not", False),
        ("d-other", False),
        ("e-leaving", False),
    ]
    assert [(one.pod, one.serving, one.terminating) for one in cluster.endpoints("web")] == [
        ("a-bare", True, False),
        ("b-ready", True, False),
        ("c-not", False, False),
        ("d-other", False, False),
        ("e-leaving", True, True),
    ]
    cluster.apply(WEB + "  publishNotReadyAddresses: true\n")
    assert all(one.ready for one in cluster.endpoints("web"))


def test_finished_pods_are_no_endpoints_and_pods_without_address_are_reported():
    cluster = Cluster().apply(
        manifests(
            WEB,
            pod("done", "10.0.0.1", status="phase: Succeeded"),
            pod("failed", "10.0.0.2", status="phase: Failed"),
            pod("waiting", status="phase: Pending"),
            pod("gone", status="phase: Failed"),
        )
    )
    assert cluster.slices("web") == ()
    assert cluster.store.objects("Pod") == ()
    assert cluster.faults() == ["Pod waiting: it has no status.podIP, so it is no endpoint"]
    cluster.apply(pod("waiting", "10.0.0.5"))
    assert cluster.faults() == []
    assert cluster.store.objects("Pod") == (Pod("dev", "waiting", ("10.0.0.5",), labels=(("app", "web"),)),)


def test_pods_with_other_numbers_for_a_named_port_make_a_slice_of_their_own():
    cluster = Cluster().apply(
        manifests(
            WEB,
            pod("a", "10.0.0.1"),
            pod("b", "10.0.0.2").replace("8080", "9090"),
            pod("c", "10.0.0.3").replace("name: http", "name: other"),
            pod("d", "10.0.0.4").replace("containerPort: 8080", "containerPort: 8080, protocol: UDP"),
        )
    )
    found = {
        tuple(port.port for port in one.ports): [end.pod for end in one.endpoints] for one in cluster.slices("web")
    }
    assert found == {(8080, 8081): ["a"], (9090, 8081): ["b"], (8081,): ["c", "d"]}


def test_a_hostname_counts_in_the_subdomain_of_the_service():
    cluster = Cluster().apply(
        manifests(
            WEB.replace("10.96.9.9", "None"),
            pod("a", "10.0.0.1", spec="hostname: web-0, subdomain: web"),
            pod("b", "10.0.0.2", spec="hostname: web-1, subdomain: other"),
            pod("c", "10.0.0.3", spec="hostname: web-2"),
        )
    )
    assert [one.hostname for one in cluster.endpoints("web")] == ["web-0", "", ""]


def test_dual_stack_pods_give_one_slice_per_family():
    both = pod("a", status="podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]")
    service = WEB.replace("clusterIP: 10.96.9.9", "clusterIPs: [10.96.9.9, 'fd00:96::9']")
    cluster = Cluster().apply(manifests(service, both))
    assert [(one.address_type, one.endpoints[0].addresses) for one in cluster.slices("web")] == [
        ("IPv4", ("10.0.0.1",)),
        ("IPv6", ("fd00::1",)),
    ]
    single = Cluster().apply(manifests(WEB, both))
    assert single.addresses("web") == ["10.0.0.1"]
    headless = WEB.replace("clusterIP: 10.96.9.9", "clusterIP: None\n  ipFamilyPolicy: PreferDualStack")
    assert Cluster().apply(manifests(headless, both)).addresses("web") == ["10.0.0.1", "fd00::1"]
    only_six = WEB.replace("clusterIP: 10.96.9.9", "clusterIP: None\n  ipFamilies: [IPv6]")
    assert Cluster().apply(manifests(only_six, both)).addresses("web") == ["fd00::1"]


SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [192.168.1.1]}]
ports: [{port: 3306}]
"""
ENDPOINTS = """
kind: Endpoints
metadata: {name: web}
subsets:
- addresses: [{ip: 192.168.1.100, hostname: db}, {ip: 'fd00::100'}]
  notReadyAddresses: [{ip: 192.168.1.101, targetRef: {kind: Pod, name: db-1}}]
  ports: [{name: mysql, port: 3306}]
"""


def test_written_slices_win_over_endpoints_and_those_over_pods():
    cluster = Cluster().apply(manifests(WEB, pod("a", "10.0.0.1")))
    assert cluster.addresses("web") == ["10.0.0.1"]
    cluster.apply(ENDPOINTS)
    assert cluster.addresses("web") == ["192.168.1.100", "192.168.1.101", "fd00::100"]
    cluster.apply(SLICE)
    assert cluster.addresses("web") == ["192.168.1.1"]
    cluster.apply(SLICE.replace("service-name: web", "service-name: api"))
    assert cluster.addresses("web") == ["192.168.1.100", "192.168.1.101", "fd00::100"]
    cluster.delete(ENDPOINTS)
    assert cluster.addresses("web") == ["10.0.0.1"]


def test_a_written_slice_without_endpoints_still_wins():
    cluster = Cluster().apply(manifests(WEB, pod("a", "10.0.0.1"), SLICE.replace("[{addresses: [192.168.1.1]}]", "[]")))
    assert cluster.addresses("web") == []


def test_endpoints_are_mirrored_by_family_with_their_readiness():
    cluster = Cluster().apply(manifests(WEB.replace("selector: {app: web}", ""), ENDPOINTS))
    assert [(one.address_type, one.endpoints) for one in cluster.slices("web")] == [
        ("IPv4", (Endpoint(("192.168.1.100",), True, "db"), Endpoint(("192.168.1.101",), False, "", "db-1", False))),
        ("IPv6", (Endpoint(("fd00::100",), True),)),
    ]
    assert [(port.name, port.port) for port in cluster.slices("web")[0].ports] == [("mysql", 3306)]


def test_endpoints_and_slices_that_lead_nowhere_are_reported():
    cluster = Cluster().apply(ENDPOINTS)
    assert cluster.slices("web") == ()
    assert cluster.faults() == ["Endpoints web: there is no Service of that name, so they are not served"]
    cluster.apply(WEB)
    assert cluster.faults() == []
    cluster.apply(SLICE.replace("{kubernetes.io/service-name: web}", "{}"))
    assert cluster.faults() == [
        "EndpointSlice web-x: it belongs to no Service: it has no label kubernetes.io/service-name"
    ]


def test_an_external_name_gets_neither_address_nor_endpoints():
    text = "kind: Service\nmetadata: {name: web}\n"
    text += "spec: {type: ExternalName, externalName: www.example.com, selector: {app: web}, ports: [{port: 80}]}\n"
    cluster = Cluster().apply(manifests(text, pod("a", "10.0.0.1")))
    assert cluster.service("web").cluster_ips == ()
    assert cluster.slices("web") == ()


def test_service_imports_and_their_slices_are_served_as_they_are_written():
    service_import = """
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {name: web, namespace: dev}
spec: {type: Headless}
"""
    piece = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: west, namespace: dev, labels: {multicluster.kubernetes.io/service-name: web}}
addressType: IPv4
"""
    cluster = Cluster(labels="app=web").apply(manifests(service_import))
    assert [(one.name, one.headless) for one in cluster.store.objects("ServiceImport")] == [("web", True)]
    assert [one.name for one in cluster.store.objects("Namespace")] == ["dev"]
    cluster = Cluster().apply(manifests(service_import, piece))
    assert [one.name for one in cluster.store.imported_slices_of("dev", "web")] == ["west"]
    assert list(cluster.plane.faults) == []
    cluster.delete(service_import)
    assert cluster.store.objects("ServiceImport") == ()


def bare(name: str, spec: str = "") -> str:
    return f"kind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}], {spec}}}\n"


def test_services_without_addresses_get_them_and_keep_them():
    cluster = Cluster().apply(manifests(bare("a"), bare("b"), bare("head", "clusterIP: None")))
    a, b = cluster.service("a").cluster_ips, cluster.service("b").cluster_ips
    assert len(a) == len(b) == 1
    assert a != b
    assert cluster.service("head").cluster_ips == ("None",)
    cluster.apply(manifests(bare("c"), bare("a", "sessionAffinity: ClientIP"))).delete(bare("b"))
    assert cluster.service("a").cluster_ips == a
    assert Cluster().apply(bare("b")).service("b").cluster_ips == b


def test_a_written_address_takes_the_place_of_a_given_one():
    cluster = Cluster().apply(bare("web"))
    [given] = cluster.service("web").cluster_ips
    cluster.apply(bare("zoo", f"clusterIP: {given}"))
    assert cluster.service("zoo").cluster_ips == (given,)
    assert cluster.service("web").cluster_ips != (given,)
    cluster.delete(bare("zoo"))
    assert cluster.service("web").cluster_ips == (given,)


def test_dual_stack_services_get_an_address_of_each_family():
    cluster = Cluster("10.96.0.0/12,fd00:96::/112").apply(
        manifests(
            bare("single"),
            bare("both", "ipFamilyPolicy: PreferDualStack"),
            bare("six", "ipFamilies: [IPv6]"),
            bare("turned", "ipFamilies: [IPv6, IPv4]"),
            bare("half", "clusterIP: 10.96.9.9, ipFamilyPolicy: RequireDualStack"),
        )
    )
    families = {
        name: ["IPv6" if ":" in address else "IPv4" for address in cluster.service(name).cluster_ips]
        for name in ("single", "both", "six", "turned", "half")
    }
    assert families == {
        "single": ["IPv4"],
        "both": ["IPv4", "IPv6"],
        "six": ["IPv6"],
        "turned": ["IPv6", "IPv4"],
        "half": ["IPv4", "IPv6"],
    }
    assert cluster.service("half").cluster_ips[0] == "10.96.9.9"


def test_what_cannot_be_given_is_reported():
    cluster = Cluster("10.0.0.0/30").apply(
        manifests(
            bare("a"),
            bare("b"),
            bare("six", "ipFamilies: [IPv6]"),
            bare("both", "clusterIP: 10.0.0.9, ipFamilyPolicy: RequireDualStack"),
            bare("maybe", "clusterIP: 10.0.0.10, ipFamilyPolicy: PreferDualStack"),
        )
    )
    assert cluster.service("a").cluster_ips == ("10.0.0.2",)
    assert cluster.service("b").cluster_ips == ()
    assert sorted(cluster.faults()) == [
        "Service b: it gets no IPv4 address: the IPv4 service CIDR is full",
        "Service both: it gets no IPv6 address: there is no IPv6 service CIDR",
        "Service six: it gets no IPv6 address: there is no IPv6 service CIDR",
    ]


def test_written_addresses_and_node_ports_that_two_services_have_are_reported():
    spec = "type: NodePort, clusterIP: 10.96.1.1"
    cluster = Cluster().apply(manifests(bare("a", spec), bare("b", spec)).replace("80", "80, nodePort: 30002"))
    assert cluster.service("a").cluster_ips == cluster.service("b").cluster_ips
    assert sorted(cluster.faults()) == [
        "Service b: its address 10.96.1.1 is that of Service dev/a too",
        "Service b: its node port 30002 (TCP) is that of Service dev/a too",
    ]


def test_node_ports_are_given_where_the_type_wants_them():
    dns = "kind: Service\nmetadata: {name: dns}\nspec: {type: NodePort, ports: [{name: u, port: 53, protocol: UDP}, "
    dns += "{name: t, port: 53}, {name: m, port: 9153}, {name: w, port: 80, nodePort: 30002}]}\n"
    cluster = Cluster().apply(
        manifests(
            dns,
            bare("plain"),
            bare("balanced", "type: LoadBalancer"),
            bare("without", "type: LoadBalancer, allocateLoadBalancerNodePorts: false"),
        )
    )
    udp, tcp, metrics, written = [port.node_port for port in cluster.service("dns").ports]
    assert udp == tcp
    assert len({udp, metrics, 30002}) == 3
    assert written == 30002
    assert 30000 <= cluster.service("balanced").ports[0].node_port <= 32767
    assert cluster.service("plain").ports[0].node_port == 0
    assert cluster.service("without").ports[0].node_port == 0


def test_a_port_shares_the_written_node_port_of_another_with_its_number():
    dns = "kind: Service\nmetadata: {name: dns}\nspec: {type: NodePort, ports: [{name: u, port: 53, protocol: UDP}, "
    dns += "{name: t, port: 53, nodePort: 30053}, {name: m, port: 9153}]}\n"
    udp, tcp, metrics = [port.node_port for port in Cluster().apply(dns).service("dns").ports]
    assert (udp, tcp) == (30053, 30053)
    assert metrics not in (0, 30053)
    balanced = dns.replace("NodePort,", "LoadBalancer, allocateLoadBalancerNodePorts: false,")
    assert [port.node_port for port in Cluster().apply(balanced).service("dns").ports] == [0, 30053, 0]


def test_namespaces_that_objects_live_in_are_implied():
    cluster = Cluster().apply(bare("web"))
    assert [one.name for one in cluster.store.objects("Namespace")] == ["dev"]
    cluster.apply("kind: Namespace\nmetadata: {name: empty}\n")
    assert [one.name for one in cluster.store.objects("Namespace")] == ["dev", "empty"]
    cluster.delete(bare("web")).delete("kind: Namespace\nmetadata: {name: empty}\n")
    assert cluster.store.objects("Namespace") == ()


def test_labels_select_services_slices_and_pods_after_the_work_is_done():
    cluster = Cluster(labels="team=a")
    cluster.apply(manifests(WEB, bare("api"), pod("x", "10.0.0.1"), pod("y", "10.0.0.2", labels="team: a")))
    assert [one.name for one in cluster.store.objects("Service")] == ["web"]
    assert [one.name for one in cluster.store.objects("Pod")] == ["y"]
    assert cluster.addresses("web") == ["10.0.0.1", "10.0.0.2"]
    cluster.apply(SLICE)
    assert cluster.slices("web") == ()
    cluster.delete(SLICE).apply(WEB.replace("team: a", "team: b"))
    assert cluster.store.objects("Service") == ()
    assert cluster.store.objects("EndpointSlice") == ()


def test_computed_slices_have_the_labels_that_controllers_give_them():
    cluster = Cluster(labels="!service.kubernetes.io/headless")
    headless = WEB.replace("name: web,", "name: pods,").replace("10.96.9.9", "None")
    cluster.apply(manifests(WEB, headless, pod("x", "10.0.0.1")))
    assert cluster.addresses("web") == ["10.0.0.1"]
    assert cluster.service("pods").headless
    assert cluster.slices("pods") == ()
    for owner, others in (("service", "web"), ("endpoints", "written")):
        controller = {"service": "endpointslice-controller", "endpoints": "endpointslicemirroring-controller"}[owner]
        cluster = Cluster(labels=f"endpointslice.kubernetes.io/managed-by={controller}.k8s.io")
        written = "kind: Endpoints\nmetadata: {name: written}\nsubsets: [{addresses: [{ip: 10.0.0.9}]}]\n"
        cluster.apply(manifests(WEB, pod("x", "10.0.0.1"), bare("written"), written))
        assert {one.service for one in cluster.store.objects("EndpointSlice")} == {others}


def test_namespace_labels_select_namespaces_by_the_label_that_all_have_too():
    namespaces = "kind: Namespace\nmetadata: {name: dev, labels: {exposed: 'yes'}}\n---\n"
    namespaces += "kind: Namespace\nmetadata: {name: prod}\n"
    cluster = Cluster(namespace_labels="exposed=yes").apply(manifests(namespaces, bare("web")))
    assert [one.name for one in cluster.store.objects("Namespace")] == ["dev"]
    cluster = Cluster(namespace_labels="kubernetes.io/metadata.name in (dev,prod)").apply(bare("web"))
    assert [one.name for one in cluster.store.objects("Namespace")] == ["dev"]
