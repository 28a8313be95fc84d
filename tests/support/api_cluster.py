# SPDX-License-Identifier: Apache-2.0
"""A small cluster as objects, one who writes objects over HTTP, and scenarios for any API server."""

from __future__ import annotations

import json
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from support.api_process import ApiProcess

WEB = "10.96.1.1"
HEADLESS = ("10.1.0.1", "10.1.0.2")
NAMES = (
    ("web.default.svc.cluster.local", "A"),
    ("_http._tcp.web.default.svc.cluster.local", "SRV"),
    ("headless.default.svc.cluster.local", "A"),
    ("one.headless.default.svc.cluster.local", "A"),
    ("nothing.default.svc.cluster.local", "A"),
    ("web.nowhere.svc.cluster.local", "A"),
    ("1.1.96.10.in-addr.arpa", "PTR"),
    ("1.0.1.10.in-addr.arpa", "PTR"),
    ("9.9.9.9.in-addr.arpa", "PTR"),
)
"""Names of the cluster, and some that look like it, whose answers depend on what is in it."""

SECONDS = 30.0
_COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{}/services",
    "Pod": "/api/v1/namespaces/{}/pods",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(name: str, address: str = "", *, inside: str = "default", **spec: Any) -> dict[str, Any]:
    """A Service with a port named http; with ``address`` as its clusterIP, else with what it is given."""
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    found = {"ports": ports, **({"clusterIP": address} if address else {}), **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": inside}, "spec": found}


def headless(name: str, *, inside: str = "default") -> dict[str, Any]:
    return service(name, "None", inside=inside)


def external(name: str, target: str, *, inside: str = "default") -> dict[str, Any]:
    return service(name, inside=inside, type="ExternalName", externalName=target)


def slice_of(of: str, *addresses: str, name: str = "", inside: str = "default") -> dict[str, Any]:
    """An EndpointSlice of a Service; the first endpoint has the hostname ``one``."""
    family = "IPv6" if ":" in "".join(addresses) else "IPv4"
    ready = {"ready": True, "serving": True, "terminating": False}
    endpoints: list[dict[str, Any]] = [{"addresses": [address], "conditions": ready} for address in addresses]
    if endpoints:
        endpoints[0]["hostname"] = "one"
    metadata = {"name": name or of, "namespace": inside, "labels": {"kubernetes.io/service-name": of}}
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": family,
        "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }  # fmt: skip


def cluster() -> Iterator[dict[str, Any]]:
    """One of each kind."""
    yield from (namespace("default"), namespace("dev"))
    yield from (service("web", WEB), slice_of("web", "10.1.0.11", "10.1.0.12"))
    yield from (headless("headless"), slice_of("headless", *HEADLESS))
    yield external("outside", "www.example.org")


class Writer:
    """Writes objects to an API server over HTTP.

    token: whose role allows that; context: of TLS, None for plain HTTP.
    """

    def __init__(self, url: str, token: str, context: ssl.SSLContext | None = None) -> None:
        self.url, self._token, self._context = url, token, context

    def request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer. Raises urllib.error.HTTPError."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        message = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(message, timeout=SECONDS, context=self._context) as reply:
            found: dict[str, Any] = json.load(reply)
            return found

    def apply(self, value: dict[str, Any]) -> None:
        """Create an object, or put it in the place of the one of its name."""
        collection, name = self._place(value["kind"], value["metadata"].get("namespace", "")), value["metadata"]["name"]
        try:
            old = self.request("GET", f"{collection}/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            self.request("POST", collection, value)
            return
        revision = old["metadata"]["resourceVersion"]
        self.request(
            "PUT", f"{collection}/{name}", {**value, "metadata": {**value["metadata"], "resourceVersion": revision}}
        )

    def create(self, value: dict[str, Any]) -> None:
        self.request("POST", self._place(value["kind"], value["metadata"].get("namespace", "")), value)

    def delete(self, kind: str, name: str, inside: str = "default") -> None:
        self.request("DELETE", f"{self._place(kind, inside)}/{name}")

    @staticmethod
    def _place(kind: str, inside: str) -> str:
        return _COLLECTIONS[kind].format(inside)


class ApiCluster(Protocol):
    """An API server that a test has in its hands: real, or ours."""

    writer: Writer
    options: tuple[str, ...]
    """Lines of *kubernetes* that lead there, as a service account that may do what its manifest says."""

    def kill(self) -> None:
        """End the API server as SIGKILL does."""

    def start(self) -> None:
        """Start it again; returns once it answers."""

    def stop_storage(self) -> None:
        """Take its storage away."""

    def start_storage(self) -> None:
        """Give it back; returns once writes work."""

    def compact(self) -> None:
        """Forget what was before now."""

    def rotate(self) -> None:
        """Put another token into the file, and refuse the one that was there."""


def as_after_a_fresh_start(dns: ApiProcess, fresh: ApiProcess) -> bool:
    """What every scenario ends in: True once the answers are those of a process that has just read it all."""
    with fresh:
        fresh.until_ready()
        expected = fresh.zone()
        dns.wait(lambda: dns.zone() == expected, SECONDS)
        return dns.zone() == expected


# --- What can happen


def every_kind_of_service(api: ApiCluster, dns: ApiProcess) -> None:
    """Created, changed, changed to another kind, deleted, and created again under the same name."""
    writer = api.writer
    writer.apply(service("web", "10.96.2.1"))
    writer.apply(slice_of("web", "10.1.2.1"))
    writer.apply(headless("many"))
    writer.apply(slice_of("many", "10.1.2.2", "10.1.2.3"))
    writer.apply(external("away", "a.example.org"))
    writer.apply(service("node", "10.96.2.4", type="NodePort"))
    writer.apply(service("balanced", "10.96.2.5", type="LoadBalancer"))
    writer.apply(service("many-ports", "10.96.2.6", ports=[
        {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]))  # fmt: skip
    dns.until(["10.96.2.6"], "many-ports.default.svc.cluster.local")
    for name, found in {
        "web": ["10.96.2.1"], "many": ["10.1.2.2", "10.1.2.3"], "away": ["a.example.org."],
        "node": ["10.96.2.4"], "balanced": ["10.96.2.5"],
    }.items():  # fmt: skip
        dns.until(found, f"{name}.default.svc.cluster.local", "CNAME" if name == "away" else "A")
    dns.until(
        ["0 100 53 many-ports.default.svc.cluster.local."], "_dns._udp.many-ports.default.svc.cluster.local", "SRV"
    )
    writer.apply(slice_of("many", "10.1.2.3", "10.1.2.9"))
    dns.until(["10.1.2.3", "10.1.2.9"], "many.default.svc.cluster.local")
    writer.apply(slice_of("many", "fd00::1", name="many-6"))
    dns.until(["fd00::1"], "many.default.svc.cluster.local", "AAAA")
    writer.apply(external("away", "b.example.org"))
    dns.until(["b.example.org."], "away.default.svc.cluster.local", "CNAME")
    writer.delete("Service", "node")
    writer.apply(external("node", "c.example.org"))
    dns.until(["c.example.org."], "node.default.svc.cluster.local", "CNAME")
    for name in ("web", "many", "away", "balanced"):
        writer.delete("Service", name)
        dns.until(["NXDOMAIN"], f"{name}.default.svc.cluster.local")
    writer.apply(service("web", "10.96.2.7"))
    dns.until(["10.96.2.7"], "web.default.svc.cluster.local")
    dns.until(["web.default.svc.cluster.local."], "7.2.96.10.in-addr.arpa", "PTR")
    dns.until(["NXDOMAIN"], "1.2.96.10.in-addr.arpa", "PTR")


def namespaces_come_and_go(api: ApiCluster, dns: ApiProcess) -> None:
    """A Service is there with its namespace. Without controllers nobody empties a namespace that ends, so it stays."""
    api.writer.apply(namespace("prod"))
    api.writer.apply(service("web", "10.96.3.1", inside="prod"))
    dns.until(["10.96.3.1"], "web.prod.svc.cluster.local")
    api.writer.delete("Service", "web", "prod")
    dns.until(["NXDOMAIN"], "web.prod.svc.cluster.local")


def many_services_in_and_out(api: ApiCluster, dns: ApiProcess, count: int) -> None:
    """All answered, and none left."""
    api.writer.apply(namespace("bulk"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: api.writer.create(service(f"s{number}", inside="bulk")), range(count)))
        dns.wait(lambda: dns.by_resource("objects")["services"] >= count, SECONDS)
        dns.wait(lambda: dns.ask(f"s{count - 1}.bulk.svc.cluster.local") != ["NXDOMAIN"])
        list(pool.map(lambda number: api.writer.delete("Service", f"s{number}", "bulk"), range(count)))
    dns.wait(lambda: dns.by_resource("objects")["services"] < count // 10, SECONDS)
    for number in (0, count // 2, count - 1):
        dns.until(["NXDOMAIN"], f"s{number}.bulk.svc.cluster.local")


def the_api_server_is_killed(api: ApiCluster, dns: ApiProcess) -> None:
    """Nothing is forgotten while it is away, and what comes after is seen."""
    before = dns.zone()
    api.kill()
    dns.wait(lambda: set(dns.by_resource("watch_connected").values()) == {0})
    assert dns.zone() == before
    assert dns.ready() == (200, "OK")
    api.start()
    api.writer.apply(service("after-kill", "10.96.4.1"))
    dns.until(["10.96.4.1"], "after-kill.default.svc.cluster.local", seconds=2 * SECONDS)


def the_storage_is_away(api: ApiCluster, dns: ApiProcess, away_seconds: float) -> None:
    """Neither a relist nor a change of an answer."""
    before, relists = dns.zone(), dns.by_resource("relists_total")
    api.stop_storage()
    time.sleep(away_seconds)
    assert dns.zone() == before
    assert dns.ready() == (200, "OK")
    api.start_storage()
    api.writer.apply(service("after-storage", "10.96.4.2"))
    dns.until(["10.96.4.2"], "after-storage.default.svc.cluster.local", seconds=2 * SECONDS)
    assert dns.by_resource("relists_total") == relists


def compaction_while_stopped(api: ApiCluster, dns: ApiProcess) -> None:
    """A process that stood still learns of all that happened, although the storage has forgotten how."""
    dns.process.send_signal(signal.SIGSTOP)
    try:
        for number in range(200):
            api.writer.apply(slice_of("headless", f"10.1.5.{number + 1}"))
        api.writer.apply(service("while-stopped", "10.96.4.3"))
        api.compact()
        api.kill()
        api.start()
        api.compact()
    finally:
        dns.process.send_signal(signal.SIGCONT)
    dns.until(["10.96.4.3"], "while-stopped.default.svc.cluster.local", seconds=2 * SECONDS)
    dns.until(["10.1.5.200"], "headless.default.svc.cluster.local", seconds=2 * SECONDS)


def the_token_rotates(api: ApiCluster, dns: ApiProcess) -> None:
    """The next watches come with the new token, and nobody notices."""
    api.rotate()
    api.kill()
    api.start()
    api.writer.apply(service("after-rotation", "10.96.4.4"))
    dns.until(["10.96.4.4"], "after-rotation.default.svc.cluster.local", seconds=2 * SECONDS)
    assert "401" not in dns.output()
