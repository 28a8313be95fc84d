# SPDX-License-Identifier: Apache-2.0
"""The API server of the tests behaves towards a watcher as a real one does."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.api_client import ask, names, status, watch
from support.ports import free_port

from clusterdns.testing.apiserver import ApiServer, Settings, Storage, Tls, generate

SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
STREAMED = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
TLS = Path(__file__).parents[1] / "data" / "tls" / "api"
QUICK = Settings(bookmark_seconds=0.05, storage_seconds=0.2, future_seconds=0.1)


def service(name: str, **metadata: object) -> dict[str, object]:
    return {"kind": "Service", "metadata": {"name": name, **metadata}, "spec": {"ports": [{"port": 80}]}}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(settings=QUICK) as running:
        yield running


@pytest.fixture
def seven(server: ApiServer) -> ApiServer:
    for number in range(7):
        server.storage.create(service(f"s{number}", labels={"parity": str(number % 2)}))
    return server


def revision(server: ApiServer) -> str:
    return str(server.storage.revision)


# --- Lists


def test_a_list_is_whole_ordered_and_without_the_kind_of_its_items(seven: ApiServer) -> None:
    found = ask(seven, SERVICES).json()
    assert (found["kind"], found["apiVersion"]) == ("ServiceList", "v1")
    assert found["metadata"] == {"resourceVersion": revision(seven)}
    assert names(found["items"]) == [f"s{number}" for number in range(7)]
    assert "kind" not in found["items"][0]
    assert found["items"][0]["metadata"]["managedFields"]
    assert found["items"][0]["spec"]["clusterIP"].startswith("10.10")


def test_items_of_custom_resources_carry_their_kind(server: ApiServer) -> None:
    server.storage.create(
        {"kind": "ServiceImport", "metadata": {"name": "there"}, "spec": {"type": "ClusterSetIP", "ips": ["10.1.1.1"]}}
    )
    found = ask(server, "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports").json()
    assert found["items"][0]["kind"] == "ServiceImport"


def test_pages_are_of_one_revision_and_tell_how_many_remain(seven: ApiServer) -> None:
    first = ask(seven, SERVICES, limit=3).json()
    seven.storage.create(service("s00"))
    second = ask(seven, SERVICES, limit=3, **{"continue": first["metadata"]["continue"]}).json()
    third = ask(seven, SERVICES, limit=3, **{"continue": second["metadata"]["continue"]}).json()
    assert [page["metadata"].get("remainingItemCount") for page in (first, second, third)] == [4, 1, None]
    assert len({page["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1
    assert names(first["items"] + second["items"] + third["items"]) == [f"s{number}" for number in range(7)]
    assert "continue" not in third["metadata"]


def test_a_limit_is_ignored_with_revision_0(seven: ApiServer) -> None:
    found = ask(seven, SERVICES, limit=3, resourceVersion=0).json()
    assert len(found["items"]) == 7
    assert "continue" not in found["metadata"]


def test_an_expired_continue_token_comes_with_a_fresh_one_for_the_newest_rest(seven: ApiServer) -> None:
    first = ask(seven, SERVICES, limit=3).json()
    seven.storage.create(service("s9"))
    seven.storage.compact()
    gone = ask(seven, SERVICES, limit=3, **{"continue": first["metadata"]["continue"]})
    status = gone.json()
    assert (gone.status, status["reason"]) == (410, "Expired")
    rest = ask(seven, SERVICES, **{"continue": status["metadata"]["continue"]}).json()
    assert names(rest["items"]) == ["s3", "s4", "s5", "s6", "s9"]
    assert rest["metadata"]["resourceVersion"] == revision(seven)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"continue": "nonsense"}, 400),
        ({"resourceVersion": "x"}, 400),
        ({"limit": "x"}, 400),
        ({"labelSelector": "a in"}, 400),
        ({"fieldSelector": "spec.unknown=1"}, 400),
        ({"fieldSelector": "nonsense"}, 400),
        ({"sendInitialEvents": "true"}, 422),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exactly", "resourceVersion": "5"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "1"}, 410),
        ({"watch": "true", "sendInitialEvents": "true", "allowWatchBookmarks": "true"}, 422),
        ({"watch": "true", "resourceVersionMatch": "NotOlderThan"}, 422),
        ({"watch": "true", "continue": "x"}, 400),
        ({"watch": "true", "timeoutSeconds": "x"}, 400),
    ],
)
def test_parameters_that_cannot_be_are_refused(seven: ApiServer, query: dict[str, str], status: int) -> None:
    seven.storage.compact()
    answer = ask(seven, SERVICES, **query)
    assert (answer.status, answer.json()["code"]) == (status, status)


def test_an_older_revision_can_be_listed_exactly(seven: ApiServer) -> None:
    before = revision(seven)
    seven.storage.delete("Service", "s3")
    found = ask(seven, SERVICES, resourceVersion=before, resourceVersionMatch="Exact").json()
    assert (len(found["items"]), found["metadata"]["resourceVersion"]) == (7, before)


def test_a_revision_from_the_future_cannot_be_listed(server: ApiServer) -> None:
    answer = ask(server, SERVICES, resourceVersion=server.storage.revision + 5, resourceVersionMatch="NotOlderThan")
    status = answer.json()
    assert (answer.status, answer.headers["retry-after"]) == (504, "1")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_selectors_and_namespaces_narrow_a_list_and_hide_the_remaining_count(seven: ApiServer) -> None:
    seven.storage.create(service("s0", namespace="kube-system"))
    assert names(ask(seven, SERVICES, labelSelector="parity=1").json()["items"]) == ["s1", "s3", "s5"]
    assert len(ask(seven, "/api/v1/namespaces/default/services").json()["items"]) == 7
    assert names(ask(seven, SERVICES, fieldSelector="metadata.namespace!=default").json()["items"]) == ["s0"]
    page = ask(seven, SERVICES, labelSelector="parity=1", limit=2).json()
    assert "remainingItemCount" not in page["metadata"]
    rest = ask(seven, SERVICES, labelSelector="parity=1", **{"continue": page["metadata"]["continue"]}).json()
    assert names(page["items"] + rest["items"]) == ["s1", "s3", "s5"]


def test_pods_that_have_ended_can_be_left_out(server: ApiServer) -> None:
    for phase in ("Running", "Succeeded", "Failed", "Unknown", "Pending"):
        server.storage.create({"kind": "Pod", "metadata": {"name": phase.lower()}, "status": {"phase": phase}})
    selector = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
    assert names(ask(server, "/api/v1/pods", fieldSelector=selector).json()["items"]) == ["pending", "running"]


def test_large_lists_are_compressed_for_those_who_accept_it() -> None:
    storage = Storage()
    generate(storage, services=200, endpoints=0)
    with ApiServer(storage) as server:
        plain = ask(server, SERVICES)
        zipped = ask(server, SERVICES, headers={"Accept-Encoding": "gzip"})
        small = ask(server, SERVICES, limit=10, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert "content-encoding" not in small.headers
        assert zipped.headers["content-encoding"] == "gzip"
        assert gzip.decompress(zipped.body()) == plain.body()
        assert len(small.json()["items"]) == 10


def test_metadata_alone_can_be_asked_for(seven: ApiServer) -> None:
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    found = ask(seven, SERVICES, headers=accept).json()
    assert found["kind"] == "PartialObjectMetadataList"
    assert found["items"][0].keys() == {"kind", "apiVersion", "metadata"}
    assert names(found["items"]) == [f"s{number}" for number in range(7)]


# --- Watches


def test_a_watch_tells_what_happens_after_its_revision(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.storage.create(service("a"))
        server.storage.update({**service("a"), "spec": {"type": "ExternalName", "externalName": "x.example"}})
        server.storage.delete("Service", "a")
        events = [stream.event() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert all(event["object"]["kind"] == "Service" for event in events)
    assert "clusterIP" not in events[1]["object"]["spec"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(set(revisions))


def test_the_same_name_again_has_another_uid(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        for _ in range(2):
            server.storage.create(service("a"))
            server.storage.delete("Service", "a")
        events = [stream.event() for _ in range(4)]
    assert len({event["object"]["metadata"]["uid"] for event in events}) == 2


def test_a_watch_without_a_revision_begins_with_all_there_is(seven: ApiServer) -> None:
    with watch(seven, SERVICES) as stream:
        events = [stream.event() for _ in range(7)]
        assert {event["type"] for event in events} == {"ADDED"}
        seven.storage.delete("Service", "s0")
        assert stream.event()["type"] == "DELETED"


@pytest.mark.parametrize("since", ["", "0", "recent"])
def test_a_streamed_list_ends_with_a_marked_bookmark(seven: ApiServer, since: str) -> None:
    query = {"resourceVersion": revision(seven) if since == "recent" else since}
    with watch(seven, SERVICES, **STREAMED, **query) as stream:
        *events, end = stream.until_bookmark()
        assert names(events) == [f"s{number}" for number in range(7)]
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert end["object"]["metadata"]["resourceVersion"] == revision(seven)
        seven.storage.delete("Service", "s0")
        after = stream.until_bookmark()
        assert [event["type"] for event in after] == ["DELETED", "BOOKMARK"]
        assert "annotations" not in after[-1]["object"]["metadata"]


def test_an_old_server_refuses_a_streamed_list_or_does_not_know_it() -> None:
    with ApiServer(settings=Settings(streamed_lists="refused")) as server:
        assert status(server, SERVICES, watch="true", **STREAMED) == 422
    with ApiServer(settings=Settings(streamed_lists="ignored")) as server:
        server.storage.create(service("a"))
        with watch(server, SERVICES, **STREAMED) as stream:
            assert stream.event()["type"] == "ADDED"
            with pytest.raises(TimeoutError):
                stream.event(0.2)


def test_bookmarks_advance_with_the_writes_of_others(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server), allowWatchBookmarks="true") as stream:
        first = stream.event()
        server.storage.advance(10)
        second = stream.event()
    assert first["type"] == second["type"] == "BOOKMARK"
    before, after = (int(event["object"]["metadata"]["resourceVersion"]) for event in (first, second))
    assert after == before + 10


def test_a_watch_ends_properly_after_its_time(server: ApiServer) -> None:
    began = time.monotonic()
    with watch(server, SERVICES, resourceVersion=revision(server), timeoutSeconds=1) as stream:
        assert stream.body() == b""
    assert 0.9 < time.monotonic() - began < 3


def test_a_revision_that_is_no_longer_remembered_is_told_in_the_stream(server: ApiServer) -> None:
    before = revision(server)
    server.storage.create(service("a"))
    server.forget_history()
    with watch(server, SERVICES, resourceVersion=before) as stream:
        event = stream.event()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert stream.body() == b""


def test_compaction_alone_disturbs_no_watch(server: ApiServer) -> None:
    before = revision(server)
    server.storage.create(service("a"))
    server.storage.compact()
    with watch(server, SERVICES, resourceVersion=before) as stream:
        assert names([stream.event()]) == ["a"]


def test_a_watch_from_the_future_is_silent_although_things_change(server: ApiServer) -> None:
    future = server.storage.revision + 100
    with watch(server, SERVICES, resourceVersion=future, allowWatchBookmarks="true", timeoutSeconds=1) as stream:
        server.storage.create(service("a"))
        assert stream.body() == b""


def test_a_storage_restored_to_an_older_state_gives_its_revisions_out_again(server: ApiServer) -> None:
    backup = server.storage.snapshot()
    server.storage.create(service("lost"))
    after = revision(server)
    server.kill()
    server.storage.restore(backup)
    server.start()
    assert ask(server, SERVICES).json()["items"] == []
    with watch(server, SERVICES, resourceVersion=after) as stream:
        server.storage.create(service("new"))
        assert revision(server) == after
        with pytest.raises(TimeoutError):
            stream.event(0.2)


def test_an_object_that_leaves_the_selection_is_deleted_with_its_old_labels(server: ApiServer) -> None:
    server.storage.create(service("a", labels={"app": "x"}))
    with watch(server, SERVICES, resourceVersion=revision(server), labelSelector="app=x") as stream:
        server.storage.update(service("a", labels={"app": "y"}))
        gone = stream.event()
        assert (gone["type"], gone["object"]["metadata"]["labels"]) == ("DELETED", {"app": "x"})
        assert gone["object"]["metadata"]["resourceVersion"] == revision(server)
        server.storage.update(service("a", labels={"app": "x"}))
        assert stream.event()["type"] == "ADDED"


def test_deleting_a_namespace_deletes_what_is_in_it(server: ApiServer) -> None:
    server.storage.create({"kind": "Namespace", "metadata": {"name": "dev"}})
    server.storage.create(service("a", namespace="dev"))
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.storage.delete("Namespace", "dev")
        assert stream.event()["type"] == "DELETED"
    assert "dev" not in names(ask(server, "/api/v1/namespaces").json()["items"])


def test_a_slow_reader_is_cut_off_properly() -> None:
    with ApiServer(settings=Settings(send_buffer_bytes=8192)) as server:
        address = {"addresses": ["10.0.0.1"], "conditions": {"ready": True}}
        value = {
            "kind": "EndpointSlice",
            "metadata": {"name": "a"},
            "addressType": "IPv4",
            "endpoints": [address] * 300,
        }
        server.storage.create(value)
        with watch(server, SLICES, resourceVersion=revision(server)) as stream:
            for number in range(1000):
                server.storage.update({**value, "ports": [{"port": number + 1}]})
            time.sleep(0.3)
            count = stream.body().count(b"\n")
            assert 0 < count < 1000


# --- Ends, restarts and outages


@pytest.mark.parametrize("how", ["torn", "reset", "half line"])
def test_a_watch_can_end_without_its_end(server: ApiServer, how: str) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.wait_until(lambda server: server.open_watches("services") == 1)
        assert server.end_watches(how, "services") == 1  # type: ignore[arg-type]
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            stream.body()


@pytest.mark.parametrize(
    ("how", "body"), [("clean", b""), ("half line, clean", b'{"type":"MOD'), ("expired", b'{"type":"ERROR"')]
)
def test_a_watch_can_end_properly_and_be_of_no_use(server: ApiServer, how: str, body: bytes) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.wait_until(lambda server: server.open_watches("services") == 1)
        server.end_watches(how)  # type: ignore[arg-type]
        assert stream.body().startswith(body)


def test_events_can_be_lost_and_lines_made_up(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server), allowWatchBookmarks="true") as stream:
        server.wait_until(lambda server: server.open_watches("services") == 1)
        server.lose_events(1, "services")
        server.storage.create(service("lost"))
        server.storage.create(service("kept"))
        server.send_line(b'{"type":"WHATEVER"}', "services")
        kinds = []
        while "WHATEVER" not in kinds:
            event = stream.event()
            kinds.append(event["type"])
            assert event["type"] != "ADDED" or names([event]) == ["kept"]
    assert kinds.count("ADDED") == 1


def test_after_a_restart_old_revisions_are_expired_and_the_newest_is_not(server: ApiServer) -> None:
    before = revision(server)
    server.storage.create(service("a"))
    newest, port = revision(server), server.port
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server, SERVICES)
    server.start(forbidden_seconds=0.2)
    assert server.port == port
    assert status(server, SERVICES) == 403
    server.wait_until(lambda server: status(server, SERVICES) == 200)
    with watch(server, SERVICES, resourceVersion=before) as stream:
        assert stream.event()["object"]["code"] == 410
    with watch(server, SERVICES, resourceVersion=newest) as stream:
        server.storage.create(service("b"))
        assert names([stream.event()]) == ["b"]


def test_while_stopping_open_watches_live_on(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.wait_until(lambda server: server.open_watches() == 1)
        server.stop(linger_seconds=0.4)
        server.storage.create(service("a"))
        assert names([stream.event()]) == ["a"]
        with pytest.raises(ConnectionRefusedError):
            ask(server, SERVICES)
        assert stream.body() == b""


def test_a_killed_server_leaves_bodies_without_their_end(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.wait_until(lambda server: server.open_watches() == 1)
        server.kill()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            stream.body()


def test_a_server_that_hangs_accepts_and_says_nothing(server: ApiServer) -> None:
    with watch(server, SERVICES, resourceVersion=revision(server)) as stream:
        server.wait_until(lambda server: server.open_watches() == 1)
        server.hang()
        server.storage.create(service("a"))
        with pytest.raises(TimeoutError):
            stream.event(0.1)
        with pytest.raises(TimeoutError):
            ask(server, SERVICES, seconds=0.2)
    server.resume()
    with watch(server, SERVICES, resourceVersion=server.storage.revision - 1) as stream:
        assert names([stream.event()]) == ["a"]


def test_tls_handshakes_with_a_server_that_hangs_time_out() -> None:
    with ApiServer(tls=Tls(str(TLS / "server.pem"), str(TLS / "server.key"))) as server:
        assert status(server, SERVICES) == 200
        server.hang()
        with pytest.raises(TimeoutError):
            ask(server, SERVICES, seconds=0.3)


def test_without_its_storage_a_server_answers_from_memory_alone(seven: ApiServer) -> None:
    with watch(seven, SERVICES, resourceVersion=revision(seven)) as stream:
        seven.lose_storage()
        seven.storage.create(service("later"))
        assert len(ask(seven, SERVICES, resourceVersion=0).json()["items"]) == 7
        began = time.monotonic()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(seven, SERVICES)
        assert time.monotonic() - began >= 0.15
        with pytest.raises(TimeoutError):
            stream.event(0.1)
    seven.regain_storage()
    assert len(ask(seven, SERVICES).json()["items"]) == 8


def test_a_replica_that_lags_shows_the_past_but_for_consistent_reads(seven: ApiServer) -> None:
    with ApiServer(seven.storage, settings=QUICK) as behind:
        behind.lag()
        seven.storage.create(service("new"))
        assert len(ask(behind, SERVICES, resourceVersion=0).json()["items"]) == 7
        assert len(ask(behind, SERVICES).json()["items"]) == 8
        with watch(behind, SERVICES, **STREAMED) as stream:
            assert len([stream.event() for _ in range(7)]) == 7
            with pytest.raises(TimeoutError):
                stream.event(0.2)
        behind.catch_up()
        assert len(ask(behind, SERVICES, resourceVersion=0).json()["items"]) == 8


# --- Faults for one request


def test_requests_can_be_refused(server: ApiServer) -> None:
    server.fail(429, verb="list", resource="services")
    server.fail(500, resource="endpointslices", times=2)
    throttled = ask(server, SERVICES)
    assert (throttled.status, throttled.headers["retry-after"]) == (429, "1")
    assert throttled.headers["content-type"].startswith("text/plain")
    assert throttled.body() == b"Too many requests, please try again later.\n"
    assert [status(server, SLICES) for _ in range(3)] == [500, 500, 200]
    assert status(server, SERVICES) == 200


def test_bodies_can_be_cut_and_stall(seven: ApiServer) -> None:
    seven.cut(100, verb="list")
    with pytest.raises(http.client.IncompleteRead) as torn:
        ask(seven, SERVICES).body()
    assert len(torn.value.partial) == 100
    seven.stall(100, verb="list")
    with ask(seven, SERVICES, seconds=0.2) as answer, pytest.raises(TimeoutError):
        answer.body()
    seven.cut(10)
    seven.heal()
    assert len(ask(seven, SERVICES).json()["items"]) == 7


def test_answers_can_be_late(server: ApiServer) -> None:
    server.delay(0.2, verb="list")
    began = time.monotonic()
    assert status(server, SERVICES) == 200
    assert time.monotonic() - began >= 0.2


def test_things_happen_between_two_requests(seven: ApiServer) -> None:
    seven.when(seven.storage.compact, verb="list", after=1)
    seven.storage.create(service("before"))
    first = ask(seven, SERVICES, limit=3).json()
    seven.storage.create(service("between"))
    assert status(seven, SERVICES, **{"continue": first["metadata"]["continue"]}) == 410
    assert seven.storage.compacted == seven.storage.revision


# --- Who may what


def test_tokens_are_known_and_roles_obeyed() -> None:
    with ApiServer(tokens={"good": "system:serviceaccount:kube-system:coredns"}) as server:
        good = {"Authorization": "Bearer good"}
        server.access.grant(
            "system:serviceaccount:kube-system:coredns",
            [{"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]}],
        )
        assert status(server, SERVICES, headers=good) == 200
        assert status(server, SERVICES, headers={"Authorization": "Bearer bad"}) == 401
        refused = ask(server, SLICES, headers=good)
        assert refused.status == 403
        assert refused.json()["message"] == (
            'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:kube-system:coredns" cannot '
            'list resource "endpointslices" in API group "discovery.k8s.io" at the cluster scope'
        )
        assert status(server, SERVICES) == 403
        assert status(server, "/readyz") == 200
        assert status(server, "/version") == 200
        server.access.forbidden.add(("watch", "services"))
        assert status(server, SERVICES, headers=good, watch="true") == 403
        del server.access.tokens["good"]
        server.access.tokens["new"] = "somebody"
        assert status(server, SERVICES, headers=good) == 401


def test_a_client_certificate_tells_who_asks() -> None:
    import ssl

    files = Tls(str(TLS / "server.pem"), str(TLS / "server.key"), str(TLS / "authority.pem"))
    with ApiServer(tls=files) as server:
        context = ssl.create_default_context(cafile=str(TLS / "authority.pem"))
        assert status(server, SERVICES, tls=context) == 403
        context.load_cert_chain(TLS / "client.pem", TLS / "client.key")
        assert status(server, SERVICES, tls=context) == 200
        assert server.requests[-1].user == "system:serviceaccount:kube-system:coredns"


# --- Writes


def test_objects_are_written_over_http(server: ApiServer) -> None:
    here = "/api/v1/namespaces/default/services"
    created = ask(server, here, method="POST", body=service("web"))
    first = created.json()
    assert (created.status, first["spec"]["type"]) == (201, "ClusterIP")
    assert status(server, here, method="POST", body=service("web")) == 409
    assert status(server, "/api/v1/namespaces/none/services", method="POST", body=service("web")) == 404
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = ask(server, f"{here}/web", method="PATCH", body={"metadata": {"labels": {"a": "b"}}}, headers=merge)
    assert patched.json()["metadata"]["labels"] == {"a": "b"}
    assert status(server, f"{here}/web", method="PUT", body=first) == 409
    operations = [
        {"op": "add", "path": "/metadata/labels/c", "value": "d"},
        {"op": "remove", "path": "/metadata/labels/a"},
    ]
    json_patch = {"Content-Type": "application/json-patch+json"}
    patched = ask(server, f"{here}/web", method="PATCH", body=operations, headers=json_patch)
    assert patched.json()["metadata"]["labels"] == {"c": "d"}
    before = server.storage.revision
    assert status(server, f"{here}/web", method="PUT", body=service("web", labels={"c": "d"})) == 200
    assert server.storage.revision == before
    assert ask(server, f"{here}/web").json()["metadata"]["uid"] == first["metadata"]["uid"]
    assert status(server, f"{here}/web", method="DELETE") == 200
    assert status(server, f"{here}/web") == 404
    assert status(server, f"{here}/web", method="DELETE") == 404
    assert status(server, here, method="POST", body=b"\0k8s") == 400


def test_requests_are_remembered(server: ApiServer) -> None:
    ask(server, SERVICES, headers={"User-Agent": "me"}, limit=1).close()
    (request,) = server.asked("list", "services")
    assert (request.path, dict(request.query), request.headers["user-agent"]) == (SERVICES, {"limit": "1"}, "me")
    assert request.status == 200
    assert server.asked("watch") == []


# --- As a process


@pytest.fixture
def process() -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "clusterdns.testing.apiserver",
        "--port",
        "0",
        "--services",
        "20",
        "--endpoints",
        "3",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield running.stdout.readline().removeprefix("serving ").strip()
        running.terminate()
        assert running.wait(10) == 0


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kubectl_works_with_it(process: str, tmp_path: Path) -> None:
    def kubectl(*arguments: str) -> str:
        environment = {**os.environ, "HOME": str(tmp_path)}
        command = ["kubectl", "-s", process, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=20).stdout

    assert len(json.loads(kubectl("get", "services", "-A", "-o", "json"))["items"]) == 20
    manifest = tmp_path / "web.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", **service("web", namespace="default")}))
    kubectl("apply", "--validate=false", "-f", str(manifest))
    kubectl("label", "service", "web", "x=y")
    assert kubectl("get", "service", "web", "-o", "jsonpath={.metadata.labels.x}") == "y"
    kubectl("delete", "service", "web")


@pytest.mark.skipif("COREDNS" not in os.environ, reason="COREDNS names no CoreDNS")
def test_coredns_follows_it(tmp_path: Path) -> None:
    import dns.message
    import dns.query

    def ask_dns(name: str) -> list[str]:
        try:
            reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=port, timeout=1)
        except (OSError, dns.exception.Timeout):
            return []
        return [record.address for rrset in reply.answer for record in rrset]

    port = free_port()
    storage = Storage()
    generate(storage, services=200, endpoints=3, headless=10)
    with ApiServer(storage) as server:
        corefile = tmp_path / "Corefile"
        corefile.write_text(
            f".:{port} {{\nbind 127.0.0.1\nkubernetes cluster.local {{\nendpoint {server.url}\n}}\n}}\n"
        )
        with subprocess.Popen([os.environ["COREDNS"], "-conf", str(corefile)], stdout=subprocess.DEVNULL) as coredns:
            try:
                server.wait_until(lambda server: len(ask_dns("svc-5.ns-0.svc.cluster.local")) == 3)
                storage.create(service("new", namespace="ns-1"))
                server.wait_until(lambda server: len(ask_dns("new.ns-1.svc.cluster.local")) == 1)
                server.end_watches("torn")
                storage.delete("Service", "new", "ns-1")
                server.wait_until(lambda server: ask_dns("new.ns-1.svc.cluster.local") == [])
            finally:
                coredns.terminate()


def test_ports_can_be_told(tmp_path: Path) -> None:
    port = free_port()
    with ApiServer(port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), 1):
            pass
    server.close()
    with pytest.raises(RuntimeError):
        server.hang()
