# SPDX-License-Identifier: Apache-2.0
"""Whatever an API server does, the store ends up equal to it.

Each scenario sets up a cluster and one who follows it, lets something happen, and ends in the same assertion. The times
that a follower waits are short here; those that it takes are in the unit tests of the reflector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from support.following import Follower

from clusterdns.cluster.reflector import backoff, reflector, resync
from clusterdns.testing.apiserver import ApiServer, Ending, Settings, Storage, generate
from clusterdns.testing.apiserver.stored import Stored

QUICK = Settings(bookmark_seconds=0.1, storage_seconds=1.0, future_seconds=0.3)
USER = "system:serviceaccount:kube-system:coredns"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that takes seconds takes a part of one."""
    monkeypatch.setattr(reflector, "SILENCE_SECONDS", 0.6)
    monkeypatch.setattr(reflector, "HEADERS_SECONDS", 0.4)
    monkeypatch.setattr(reflector, "LONGEST_HEADERS_SECONDS", 1.0)
    monkeypatch.setattr(reflector, "LIST_IDLE_SECONDS", 0.4)
    monkeypatch.setattr(resync, "HEADERS_SECONDS", 0.4)
    monkeypatch.setattr(resync, "LAG_SECONDS", 0.1)
    monkeypatch.setattr(resync, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(backoff, "LAST_SECONDS", 0.5)


def service(name: str, port: int = 80, **more: object) -> dict[str, object]:
    return {"kind": "Service", "metadata": {"name": name, **more}, "spec": {"ports": [{"port": port}]}}


def endpoints(name: str, *addresses: str, **more: object) -> dict[str, object]:
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}, **more},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }


@pytest.fixture
def storage() -> Storage:
    """A small cluster."""
    found = Storage()
    for number in range(10):
        found.create(service(f"s{number}"))
        found.create(endpoints(f"s{number}", f"10.1.0.{number}", f"10.1.1.{number}"))
    return found


@pytest.fixture
def server(storage: Storage) -> Iterator[ApiServer]:
    with ApiServer(storage, settings=QUICK) as running:
        yield running


def churn(storage: Storage) -> None:
    """Something of everything: new, changed, gone, gone and back, gone to another type."""
    storage.apply(service("new"))
    storage.apply(endpoints("new", "10.2.0.1"))
    storage.apply(endpoints("s0", "10.2.0.2"))
    storage.update(service("s1", 8080))
    storage.delete("Service", "s2")
    storage.delete("EndpointSlice", "s2")
    storage.delete("Service", "s3")
    storage.create(service("s3", 9090))
    storage.update(
        {"kind": "Service", "metadata": {"name": "s4"}, "spec": {"type": "ExternalName", "externalName": "x.example"}}
    )
    storage.apply({"kind": "Namespace", "metadata": {"name": "dev"}})
    storage.apply(service("inside", namespace="dev"))


def undo(storage: Storage) -> None:
    """After ``churn``, other changes."""
    storage.delete("Namespace", "dev")
    storage.delete("Service", "new")
    storage.apply(service("s2"))
    storage.apply(service("s4"))


# --- The first list


@pytest.mark.parametrize("streamed_lists", ["on", "refused", "ignored"])
def test_any_server_is_followed(storage: Storage, streamed_lists: str) -> None:
    settings = Settings(streamed_lists=streamed_lists)  # type: ignore[arg-type]
    with ApiServer(storage, settings=settings) as server, Follower(server.url) as follower:
        follower.settle(storage)
        churn(storage)
        follower.settle(storage)
        undo(storage)
        follower.settle(storage)
        if streamed_lists == "on":
            assert server.asked("list") == []


def test_pages_that_expire_under_way_go_on_with_a_fresh_token() -> None:
    storage = Storage()
    generate(storage, services=1200, endpoints=1)

    def compact() -> None:
        storage.delete("Service", "svc-0", "ns-0")
        storage.apply(service("svc-1", 8080, namespace="ns-0"))
        storage.apply(service("zzz", namespace="ns-9"))
        storage.compact()

    with ApiServer(storage, settings=Settings(bookmark_seconds=0.1, streamed_lists="refused")) as server:
        server.when(compact, verb="list", resource="services", after=1)
        with Follower(server.url) as follower:
            follower.settle(storage)
        assert [request.status for request in server.asked("list", "services")].count(410) == 1


def test_a_list_that_breaks_off_or_stalls_is_taken_up_again() -> None:
    storage = Storage()
    generate(storage, services=1200, endpoints=1)
    with ApiServer(storage, settings=Settings(bookmark_seconds=0.1, streamed_lists="refused")) as server:
        server.cut(5000, verb="list", resource="services")
        server.stall(20_000, verb="list", resource="endpointslices")
        server.cut(5000, verb="list", resource="endpointslices", reset=True)
        with Follower(server.url) as follower:
            follower.settle(storage)


def test_a_streamed_list_that_breaks_off_or_stalls_is_taken_up_again(storage: Storage, server: ApiServer) -> None:
    server.cut(3000, verb="watch", resource="services")
    server.stall(3000, verb="watch", resource="endpointslices")
    with Follower(server.url) as follower:
        follower.settle(storage)


def test_a_server_that_comes_later_is_found(storage: Storage, server: ApiServer) -> None:
    server.kill()
    with Follower(server.url) as follower:
        time.sleep(0.3)
        assert follower.source.problems
        server.start(forbidden_seconds=0.2)
        follower.settle(storage)
        follower.wait(lambda: not follower.source.problems)


# --- Ends of watches


@pytest.mark.parametrize("how", ["clean", "torn", "reset", "half line", "half line, clean", "expired"])
def test_watches_end_in_every_way(storage: Storage, server: ApiServer, how: Ending) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        for change in (churn, undo):
            server.wait_until(lambda server: server.open_watches() == 3)
            server.end_watches(how)
            change(storage)
            follower.settle(storage)


@pytest.mark.parametrize(
    "garbage", [b"no json", b'{"type":"MODIFIED"', b"[]", b'{"type":"ADDED","object":{"kind":"Service"}}']
)
def test_lines_that_cannot_be_read_do_no_harm(storage: Storage, server: ApiServer, garbage: bytes) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        server.wait_until(lambda server: server.open_watches() == 3)
        server.send_line(garbage)
        churn(storage)
        follower.settle(storage)


def test_objects_that_are_wrong_are_kept_out_and_nothing_else(storage: Storage, server: ApiServer) -> None:
    wrong = endpoints("wrong", "300.0.0.1")
    with Follower(server.url) as follower:
        follower.settle(storage)
        storage.create(wrong)
        churn(storage)
        follower.settle(storage)
        assert ("default", "wrong") not in follower.objects("EndpointSlice")
        storage.update(endpoints("wrong", "10.3.0.1"))
        follower.settle(storage)
        assert ("default", "wrong") in follower.objects("EndpointSlice")
        storage.update(wrong)
        follower.settle(storage)


# --- 410 Gone


def test_history_that_is_forgotten_is_made_up_by_a_list(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        server.fail(500, verb="watch", times=3)
        server.end_watches("torn")
        churn(storage)
        server.forget_history()
        follower.settle(storage)


def test_a_list_again_changes_only_what_has_changed(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        before = follower.objects("Service")
        follower.changes.clear()
        server.wait_until(lambda server: server.open_watches() == 3)
        lists = len(server.asked("watch"))
        server.end_watches("expired")
        server.wait_until(lambda server: len(server.asked("watch")) >= lists + 3 and server.open_watches() == 3)
        storage.update(service("s1", 8080))
        follower.settle(storage)
        assert {change.key for change in follower.changes} == {("default", "s1")}
        after = follower.objects("Service")
        assert all(after[key] is before[key] for key in before if key != ("default", "s1"))


@pytest.mark.parametrize("code", [410, 429, 500, 503, 504])
def test_requests_that_are_refused_come_again(storage: Storage, server: ApiServer, code: int) -> None:
    server.fail(code, times=4)
    with Follower(server.url) as follower:
        follower.settle(storage)
        server.fail(code, times=4)
        server.end_watches("torn")
        churn(storage)
        follower.settle(storage)


# --- Servers that hang, go and come


def test_a_server_that_is_stopped_and_goes_on(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        server.hang()
        churn(storage)
        time.sleep(1.5)
        assert follower.differences(storage)
        server.resume()
        follower.settle(storage)


def test_another_server_is_asked_when_one_hangs(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        server.hang()
        churn(storage)
        time.sleep(0.2)
        server.kill()
        server.start()
        follower.settle(storage)


@pytest.mark.parametrize("end", ["stop", "linger", "kill", "reset"])
def test_a_server_is_restarted(storage: Storage, server: ApiServer, end: str) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        match end:
            case "stop":
                server.stop()
            case "linger":
                server.stop(linger_seconds=0.5)
            case _:
                server.kill(reset=end == "reset")
        churn(storage)
        time.sleep(0.2)
        server.start(forbidden_seconds=0.2)
        follower.settle(storage)
        undo(storage)
        follower.settle(storage)


def test_a_storage_that_is_gone_for_a_while(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        server.lose_storage()
        time.sleep(1.5)
        assert follower.objects("Service").keys() >= {("default", f"s{number}") for number in range(10)}
        churn(storage)
        server.regain_storage()
        follower.settle(storage)


def test_a_start_without_a_storage_takes_what_the_server_remembers(storage: Storage, server: ApiServer) -> None:
    server.lose_storage()
    with Follower(server.url) as follower:
        follower.settle(storage)
        assert server.asked("list", "services")[-1].query["resourceVersion"] == "0"
        churn(storage)
        server.regain_storage()
        follower.settle(storage)


def test_a_storage_that_is_restored_to_an_older_state_is_noticed(storage: Storage, server: ApiServer) -> None:
    backup = storage.snapshot()
    with Follower(server.url) as follower:
        follower.settle(storage)
        churn(storage)
        follower.settle(storage)
        server.kill()
        storage.restore(backup)
        server.start()
        follower.settle(storage)
        storage.create(service("after"))
        follower.settle(storage)


def test_a_storage_that_is_restored_below_a_server_that_runs(storage: Storage, server: ApiServer) -> None:
    backup = storage.snapshot()
    with Follower(server.url) as follower:
        churn(storage)
        follower.settle(storage)
        storage.restore(backup)
        follower.settle(storage)


def test_a_replica_that_lags_takes_nothing_back(storage: Storage, server: ApiServer) -> None:
    with ApiServer(storage, settings=QUICK) as behind, Follower(server.url) as follower:
        behind.lag()
        follower.settle(storage)
        churn(storage)
        follower.settle(storage)
        new = follower.objects("Service")
        behind.lose_storage()  # so that there is nothing but what it remembers
        behind.stop()
        port = server.port
        server.kill()
        behind.port = port
        behind.start()
        behind.lag()
        time.sleep(1.0)
        assert follower.objects("Service") == new
        behind.catch_up()
        undo(storage)
        follower.settle(storage)


# --- Gaps and slow readers


def test_a_gap_in_a_watch_is_found_and_mended(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url, resync_seconds=0.5) as follower:
        follower.settle(storage)
        server.wait_until(lambda server: server.open_watches() == 3)
        server.lose_events(3)
        storage.create(service("missed"))
        storage.delete("EndpointSlice", "s5")
        storage.update(service("s6", 8080))
        follower.settle(storage)


def test_without_the_watchdog_a_gap_stays(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url, resync_seconds=0) as follower:
        follower.settle(storage)
        server.wait_until(lambda server: server.open_watches() == 3)
        server.lose_events(1, "services")
        storage.create(service("missed"))
        storage.create(service("seen"))
        time.sleep(1.0)
        assert follower.differences(storage) == {"Service": {("default", "missed")}}


def test_a_follower_that_was_too_slow_catches_up(storage: Storage) -> None:
    settings = Settings(bookmark_seconds=0.1, send_buffer_bytes=8192)
    addresses = [f"10.4.{number}.1" for number in range(100)]
    with ApiServer(storage, settings=settings) as server, Follower(server.url) as follower:
        follower.settle(storage)
        follower.block(1.0)
        for number in range(1000):
            storage.apply(endpoints("big", *addresses[number % 50 :]))
        churn(storage)
        follower.settle(storage)
        assert len(server.asked("watch", "endpointslices")) > 1  # it was cut off


# --- Selectors, roles and tokens


def test_selectors_hold_for_what_comes_and_goes(storage: Storage, server: ApiServer) -> None:
    def selected(stored: Stored) -> bool:
        return stored.resource.kind == "Namespace" or stored.labels.get("app") == "x"

    with Follower(server.url, labels="app=x") as follower:
        storage.create(service("a", labels={"app": "x"}))
        storage.create(service("b", labels={"app": "y"}))
        follower.settle(storage, selected)
        storage.update(service("a", labels={"app": "y"}))
        storage.update(service("b", labels={"app": "x"}))
        follower.settle(storage, selected)
        assert set(follower.objects("Service")) == {("default", "b")}
        server.end_watches("expired")
        storage.update(service("b", labels={}))
        follower.settle(storage, selected)


def test_namespaces_can_be_selected(storage: Storage, server: ApiServer) -> None:
    storage.create({"kind": "Namespace", "metadata": {"name": "dev", "labels": {"dns": "yes"}}})
    with Follower(server.url, kinds=("Namespace",), namespace_labels="dns=yes") as follower:
        follower.settle(storage, lambda stored: stored.labels.get("dns") == "yes")
        assert set(follower.objects("Namespace")) == {("", "dev")}


def test_pods_that_end_are_gone(storage: Storage, server: ApiServer) -> None:
    def pod(name: str, phase: str) -> dict[str, object]:
        status = {"phase": phase, "podIP": "10.5.0.1", "podIPs": [{"ip": "10.5.0.1"}]}
        return {"kind": "Pod", "metadata": {"name": name}, "spec": {}, "status": status}

    storage.create(pod("one", "Running"))
    storage.create(pod("two", "Succeeded"))
    with Follower(server.url, kinds=("Pod",)) as follower:
        follower.wait(lambda: set(follower.objects("Pod")) == {("default", "one")})
        storage.update(pod("one", "Failed"))
        storage.create(pod("three", "Running"))
        follower.wait(lambda: set(follower.objects("Pod")) == {("default", "three")})


def test_a_role_that_lacks_a_resource_is_named_and_the_others_are_followed() -> None:
    storage = Storage()
    storage.create(service("a"))
    with ApiServer(storage, settings=QUICK, tokens={"good": USER}) as server:
        rule = {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]}
        server.access.grant(USER, [rule])
        with Follower(server.url, token="good") as follower:
            follower.wait(lambda: follower.store.synced == {"Namespace", "Service"})
            follower.wait(lambda: bool(follower.source.problems))
            (problem,) = {str(problem) for problem in follower.source.problems}
            assert problem.startswith(f'403: user "{USER}" may not ')
            assert problem.endswith(" endpointslices: see deploy/new/rbac.yaml")
            slices = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
            server.access.grant(USER, [rule, slices])
            storage.create(endpoints("a", "10.1.1.1"))
            follower.settle(storage)


# --- Wanting more, and much


def test_another_kind_can_be_wanted_later(storage: Storage, server: ApiServer) -> None:
    with Follower(server.url) as follower:
        follower.settle(storage)
        storage.create(
            {
                "kind": "ServiceImport",
                "metadata": {"name": "there"},
                "spec": {"type": "ClusterSetIP", "ips": ["10.9.0.1"]},
            }
        )

        async def want() -> None:
            follower.source.want("ServiceImport")

        follower.call(want())
        follower.kinds = (*follower.kinds, "ServiceImport")
        follower.settle(storage)
        assert server.open_watches("serviceimports") == 1

        async def unwant() -> None:
            follower.source.unwant("ServiceImport")

        follower.call(unwant())
        server.wait_until(lambda server: server.open_watches("serviceimports") == 0)
        follower.kinds = follower.kinds[:-1]
        churn(storage)
        follower.settle(storage)


def test_five_thousand_services_come_and_go() -> None:
    storage = Storage()
    with ApiServer(storage, settings=QUICK) as server, Follower(server.url) as follower:
        follower.settle(storage)
        for number in range(5000):
            storage.create(service(f"s{number}"))
        follower.settle(storage)
        for number in range(5000):
            storage.delete("Service", f"s{number}")
        follower.settle(storage)
        assert follower.objects("Service") == {}


def test_all_of_it_at_once(storage: Storage, server: ApiServer) -> None:
    """A bad day: everything goes wrong, one after the other, while the cluster changes."""
    backup = storage.snapshot()
    with Follower(server.url, resync_seconds=0.5) as follower:
        steps: list[Callable[[], object]] = [
            lambda: server.end_watches("torn"),
            lambda: server.lose_events(2),
            lambda: server.fail(429, times=3),
            lambda: (server.kill(reset=True), server.start(forbidden_seconds=0.1)),
            server.forget_history,
            lambda: server.end_watches("half line, clean"),
            lambda: server.delay(0.2, times=5),
            lambda: (server.hang(), time.sleep(0.5), server.resume()),
            lambda: storage.restore(backup),
            lambda: server.cut(500, times=3),
            lambda: (server.lose_storage(), time.sleep(0.5), server.regain_storage()),
        ]
        for number, step in enumerate(steps):
            storage.apply(service(f"t{number}", 80 + number))
            storage.apply(endpoints("s7", f"10.6.0.{number + 1}"))
            step()
            storage.apply(service("s8", 1000 + number))
        server.heal()
        follower.settle(storage)
