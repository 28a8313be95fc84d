# SPDX-License-Identifier: Apache-2.0
"""A server process and an API server that comes late, hangs, goes and comes back: what is answered meanwhile, and what
probes, metrics and the log say of it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api_cluster import HEADLESS, NAMES, WEB, cluster, headless, service, slice_of
from support.api_process import ApiProcess
from support.balancer import Balancer
from support.ports import free_port
from support.upstream import UpstreamThread

from clusterdns.testing.apiserver import ApiServer, Settings, Storage, generate

READ_SECONDS = 1.2
"""The first queries wait for a second, rather than be told SERVFAIL."""


@pytest.fixture
def storage() -> Storage:
    found = Storage()
    for each in cluster():
        found.apply(each)
    return found


@pytest.fixture
def server(storage: Storage) -> Iterator[ApiServer]:
    with ApiServer(storage, settings=Settings(bookmark_seconds=1.0)) as running:
        yield running


# --- Until the cluster has been read


@pytest.mark.slow
def test_ports_are_open_at_once_and_other_zones_are_answered(tmp_path: Path, server: ApiServer) -> None:
    server.hang()
    other = (
        'example.org:{dns} {{\n bind 127.0.0.1\n template IN A {{\n answer "{{{{ .Name }}}} 60 IN A 192.0.2.7"\n }}\n}}'
    )
    with ApiProcess(tmp_path, f"endpoint {server.url}", blocks=other) as dns:
        assert dns.ask("www.example.org") == ["192.0.2.7"]
        assert dns.ready() == (503, "kubernetes(endpointslices,namespaces,services)")
        assert dns.page("health", "/health") == (200, "OK")
        time.sleep(READ_SECONDS)
        for name, rtype in NAMES:
            assert dns.refusal(name, rtype) == ("SERVFAIL", [14]), name
        assert dns.refusal("cluster.local", "SOA") == ("NOERROR", []), "which nothing that is watched can change"
        assert set(dns.by_resource("synced").values()) == {0}
        dns.until_logged("starting server with unsynced Kubernetes API: endpointslices, namespaces, services")
        server.resume()
        dns.until([WEB], "web.default.svc.cluster.local")
        dns.until_ready()
        assert dns.by_resource("synced") == {"endpointslices": 1, "namespaces": 1, "services": 1}
        assert dns.by_resource("watch_connected") == {"endpointslices": 1, "namespaces": 1, "services": 1}
        dns.until_logged("the Kubernetes API has been read")


@pytest.mark.slow
def test_nothing_leaks_and_nothing_is_cached_before_the_cluster_is_read(tmp_path: Path, server: ApiServer) -> None:
    server.hang()
    with UpstreamThread() as upstream:
        forward = f"forward . 127.0.0.1:{upstream.port}\n cache 30"
        with ApiProcess(tmp_path, f"endpoint {server.url}", "fallthrough", more=forward) as dns:
            time.sleep(READ_SECONDS)
            for name, rtype in NAMES * 2:
                assert dns.refusal(name, rtype) == ("SERVFAIL", [14]), name
            assert upstream.questions == []
            server.resume()
            dns.until([WEB], "web.default.svc.cluster.local")
            dns.until(sorted(HEADLESS), "headless.default.svc.cluster.local")
            assert dns.ask("1.1.96.10.in-addr.arpa", "PTR") == ["web.default.svc.cluster.local."]


@pytest.mark.slow
def test_addresses_of_services_need_no_endpoints(tmp_path: Path, server: ApiServer) -> None:
    server.stall(0, verb="watch", resource="endpointslices", times=100)
    server.stall(0, verb="list", resource="endpointslices", times=100)
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until([WEB], "web.default.svc.cluster.local")
        assert dns.ask("nothing.default.svc.cluster.local") == ["NXDOMAIN"]
        assert dns.ask("web.nowhere.svc.cluster.local") == ["NXDOMAIN"]
        assert dns.ask("1.1.96.10.in-addr.arpa", "PTR") == ["web.default.svc.cluster.local."]
        time.sleep(READ_SECONDS)
        assert dns.refusal("headless.default.svc.cluster.local") == ("SERVFAIL", [14])
        assert dns.refusal("one.headless.default.svc.cluster.local") == ("SERVFAIL", [14])
        assert dns.refusal("1.0.1.10.in-addr.arpa", "PTR") == ("SERVFAIL", [14])
        assert dns.ready() == (503, "kubernetes(endpointslices)")
        assert dns.by_resource("synced") == {"endpointslices": 0, "namespaces": 1, "services": 1}


def test_a_role_that_lacks_a_resource_shows_in_ready_and_in_the_log(tmp_path: Path, server: ApiServer) -> None:
    server.access.forbidden = {("", "endpointslices")}
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until([WEB], "web.default.svc.cluster.local")
        dns.until_ready(503)
        assert dns.ready() == (503, "kubernetes(endpointslices)")
        dns.until_logged(" endpointslices: see deploy/new/rbac.yaml")
        server.access.forbidden = set()
        dns.until(sorted(HEADLESS), "headless.default.svc.cluster.local")
        dns.until_ready()


# --- Once it has been read


@pytest.mark.slow
def test_a_lost_api_server_changes_no_answer(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}", monitor="monitor continuously") as dns:
        dns.until_ready()
        before = dns.zone()
        server.kill()
        dns.wait(lambda: set(dns.by_resource("watch_connected").values()) == {0})
        storage.apply(service("late", "10.96.1.9"))
        assert dns.zone() == before
        assert dns.ready() == (200, "OK")
        assert set(dns.by_resource("synced").values()) == {1}
        aged = dns.by_resource("last_event_age_seconds")
        time.sleep(1.0)
        assert all(age > aged[resource] for resource, age in dns.by_resource("last_event_age_seconds").items())
        dns.until_logged("connection refused: nothing listens there")
        server.start()
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local")
        dns.wait(lambda: set(dns.by_resource("watch_connected").values()) == {1})
        dns.until_logged("watching the Kubernetes API again")
        assert dns.output().count("connection refused") == 1, "once, however often it was tried"


def test_a_stopped_api_server_changes_no_answer(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        server.hang()
        storage.apply(service("late", "10.96.1.9"))
        time.sleep(0.5)
        assert dns.ask("late.default.svc.cluster.local") == ["NXDOMAIN"]
        assert dns.ask("web.default.svc.cluster.local") == [WEB]
        assert dns.ready() == (200, "OK")
        server.resume()
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local")


def test_a_watch_that_is_too_old_is_made_up_by_a_list(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        server.wait_until(lambda server: server.open_watches() == 3)
        server.delay(0.5, verb="watch", times=3)
        server.end_watches("torn")
        storage.delete("Service", "web", "default")
        storage.apply(service("late", "10.96.1.9"))
        server.forget_history()
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local")
        assert dns.ask("web.default.svc.cluster.local") == ["NXDOMAIN"]
        dns.wait(lambda: dns.by_resource("relists_total")["services"] >= 1)
        assert dns.by_resource("watch_restarts_total")["services"] >= 1


@pytest.mark.slow
def test_an_api_server_that_lags_takes_nothing_back(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiServer(storage) as behind, Balancer(server.port) as balancer:
        behind.lag()
        with ApiProcess(tmp_path, f"endpoint {balancer.url}") as dns:
            dns.until_ready()
            storage.apply(service("late", "10.96.1.9"))
            dns.until(["10.96.1.9"], "late.default.svc.cluster.local")
            storage.apply(service("later", "10.96.1.10"))
            dns.until(["10.96.1.10"], "later.default.svc.cluster.local")
            storage.advance(10)
            behind.lose_storage()  # so that it has nothing to say but what it remembers
            behind.forget_history()
            balancer.lead_to(behind.port)
            dns.wait(lambda: dns.by_resource("stale_lists_discarded_total").get("services", 0) >= 1, 30)
            assert dns.ask("late.default.svc.cluster.local") == ["10.96.1.9"]
            assert dns.ask("later.default.svc.cluster.local") == ["10.96.1.10"]
            assert dns.ready() == (200, "OK")
            behind.regain_storage()
            storage.delete("Service", "late", "default")
            dns.until(["NXDOMAIN"], "late.default.svc.cluster.local", seconds=40)


@pytest.mark.slow
def test_a_storage_that_was_restored_is_noticed(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    backup = storage.snapshot()
    with ApiProcess(tmp_path, f"endpoint {server.url}", "resync 1s") as dns:
        dns.until_ready()
        storage.apply(service("lost", "10.96.1.9"))
        dns.until(["10.96.1.9"], "lost.default.svc.cluster.local")
        server.kill()
        storage.restore(backup)
        server.start()
        dns.until(["NXDOMAIN"], "lost.default.svc.cluster.local", seconds=40)
        storage.apply(service("new", "10.96.1.10"))
        dns.until(["10.96.1.10"], "new.default.svc.cluster.local", seconds=40)


@pytest.mark.slow
def test_a_missed_event_is_made_up_for(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}", "resync 1s") as dns:
        dns.until_ready()
        server.wait_until(lambda server: server.open_watches() == 3)
        server.lose_events(1, "services")
        storage.apply(service("late", "10.96.1.9"))
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local", seconds=30)
        assert dns.by_resource("watch_gaps_repaired_total")["services"] == 1


def test_probes_and_queries_go_on_while_much_is_read(tmp_path: Path) -> None:
    storage = Storage()
    generate(storage, services=3000, endpoints=10)
    with ApiServer(storage) as server, ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        longest = 0.0
        while dns.ready()[0] != 200:
            began = time.monotonic()
            dns.query("example.org")
            longest = max(longest, time.monotonic() - began)
        assert longest < 0.5
        assert dns.by_resource("objects") == {"endpointslices": 3000, "namespaces": 34, "services": 3000}


# --- Reloads, and several blocks


def test_a_reload_keeps_the_watches(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        server.wait_until(lambda server: server.open_watches() == 3)
        asked = len(server.requests)
        dns.configure(f"endpoint {server.url}", "ttl 60", "endpoint_pod_names")
        dns.reload()
        assert dns.query("web.default.svc.cluster.local").answer[0].ttl == 60
        server.kill()
        dns.configure(f"endpoint {server.url}", "ttl 61", "endpoint_pod_names")
        dns.reload()
        assert dns.query("web.default.svc.cluster.local").answer[0].ttl == 61
        assert dns.ready() == (200, "OK")
        assert {request.verb for request in list(server.requests)[asked:]} <= {"watch"}
        assert all(
            "sendInitialEvents" not in each.query
            for each in list(server.requests)[asked:]
            if each.resource == "services"
        )


def test_a_reload_waits_for_what_is_new(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {},
           "status": {"phase": "Running", "podIP": "10.2.0.1", "podIPs": [{"ip": "10.2.0.1"}]}}  # fmt: skip
    storage.apply(pod)
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        server.delay(1.0, resource="pods", times=2)
        dns.configure(f"endpoint {server.url}", "pods verified")
        dns.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        assert dns.ask("10-2-0-1.default.pod.cluster.local") == ["NXDOMAIN"], "as the old configuration has it"
        dns.until(["10.2.0.1"], "10-2-0-1.default.pod.cluster.local")
        assert "not ready in time" not in dns.output()
        assert server.open_watches() == 4
        dns.configure(f"endpoint {server.url}")
        dns.reload()
        server.wait_until(lambda server: server.open_watches() == 3)


def test_a_reload_to_another_cluster_that_is_away_takes_over_after_a_while(tmp_path: Path, server: ApiServer) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        dns.configure(f"endpoint http://127.0.0.1:{free_port()}", "startup_timeout 1s")
        dns.process.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        assert dns.ask("web.default.svc.cluster.local") == [WEB], "the old configuration answers meanwhile"
        dns.until_logged("Reloading complete")
        dns.until_logged("not ready in time")
        server.wait_until(lambda server: server.open_watches() == 0)


def test_a_reload_without_credentials_changes_nothing(tmp_path: Path, server: ApiServer) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        dns.configure("kubeconfig /nowhere/kubeconfig")
        dns.process.send_signal(signal.SIGUSR1)
        dns.until_logged(
            "[ERROR] Restart failed: plugin/kubernetes: stat /nowhere/kubeconfig: no such file or directory"
        )
        assert dns.ask("web.default.svc.cluster.local") == [WEB]
        assert dns.ready() == (200, "OK")
        assert server.open_watches() == 3


@pytest.mark.slow
def test_a_server_that_hangs_is_named_with_what_may_be_the_cause(tmp_path: Path, server: ApiServer) -> None:
    server.hang()
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_logged(f"Failed to watch: {server.url}: no answer within 8 s: it hangs, or packets are dropped")
        assert dns.output().count("Failed to watch") == 1, "once for all that is watched"


def test_blocks_share_one_set_of_watches(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    port = free_port()
    block = (
        f".:{port} {{{{\n bind 127.0.0.1\n kubernetes cluster.local {{{{\n endpoint {server.url}\n ttl 7\n }}}}\n}}}}"
    )
    with ApiProcess(tmp_path, f"endpoint {server.url}", blocks=block) as dns:
        dns.until_ready()
        assert dns.ask("web.default.svc.cluster.local", port=port) == [WEB]
        server.wait_until(lambda server: server.open_watches() == 3)
        assert len(server.asked("watch")) == 3
        storage.apply(service("late", "10.96.1.9"))
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local")
        assert dns.ask("late.default.svc.cluster.local", port=port) == ["10.96.1.9"]


# --- Metrics, and the end


def test_metrics_of_changes_and_requests(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        changed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for name in ("web", "headless"):
            changed_slice = slice_of(name, "10.1.0.99")
            changed_slice["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": changed}
            storage.apply(changed_slice)
        dns.until(["10.1.0.99"], "headless.default.svc.cluster.local")
        programming = dns.metrics("coredns_kubernetes_dns_programming_duration_seconds_count")
        assert programming['service_kind="cluster_ip"'] == 1
        assert programming['service_kind="headless_without_selector"'] == 1
        host = server.url.removeprefix("http://")
        applied = dns.metrics("clusterdns_kubernetes_event_apply_seconds_count")
        assert applied[f'host="{host}"'] >= 2
        requests = dns.metrics("coredns_kubernetes_rest_client_requests_total")
        assert requests[f'code="200",method="GET",host="{host}"'] >= 3
        names = [
            "synced", "watch_connected", "last_event_age_seconds", "objects", "relists_total",
            "watch_gaps_repaired_total", "stale_lists_discarded_total", "decode_errors_total",
        ]  # fmt: skip
        for name in names:
            assert dns.by_resource(name).keys() == {"endpointslices", "namespaces", "services"}, name
        assert dns.metrics("clusterdns_kubernetes_snapshot_age_seconds") == {}


def test_an_object_that_is_wrong_is_left_out_and_named(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    storage.apply(slice_of("headless", "300.0.0.1", name="wrong"))
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        assert dns.ask("headless.default.svc.cluster.local") == sorted(HEADLESS)
        assert dns.by_resource("decode_errors_total")["endpointslices"] == 1
        dns.until_logged("default/wrong")


def test_it_says_at_once_that_it_ends_and_answers_on(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}", lameduck="lameduck 2s") as dns:
        dns.until_ready()
        dns.process.terminate()
        began = time.monotonic()
        dns.until_ready(503)
        assert time.monotonic() - began < 0.5
        assert dns.ready() == (503, "shutting down")
        assert dns.page("health", "/health") == (200, "OK")
        storage.apply(service("late", "10.96.1.9"))
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local", seconds=1.5)
        assert dns.process.wait(10) == 0
        server.wait_until(lambda server: server.open_watches() == 0)


@pytest.mark.parametrize("state", ["hangs", "is away"])
def test_it_ends_at_once_while_the_api_server(tmp_path: Path, server: ApiServer, state: str) -> None:
    server.hang() if state == "hangs" else server.kill()
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        time.sleep(0.3)
        began = time.monotonic()
        dns.terminate()
        assert time.monotonic() - began < 3
        assert "Traceback" not in dns.output()
        assert "Unclosed" not in dns.output()


def test_a_headless_service_comes_with_its_first_endpoint(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    storage.apply(headless("lonely"))
    with ApiProcess(tmp_path, f"endpoint {server.url}") as dns:
        dns.until_ready()
        assert dns.ask("lonely.default.svc.cluster.local") == ["NXDOMAIN"]
        storage.apply(slice_of("lonely", "10.1.0.77"))
        dns.until(["10.1.0.77"], "lonely.default.svc.cluster.local")
