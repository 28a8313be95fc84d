# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging

import pytest

from clusterdns.cluster.changes import Apply, Bookmark, Change, ChangeSet, Delete, Forget, Prune, Replace
from clusterdns.cluster.objects import EndpointSlice, Namespace, Service
from clusterdns.cluster.store import Store

WEB = Service("dev", "web", cluster_ips=("10.96.1.1",))
WEB_MOVED = Service("dev", "web", cluster_ips=("10.96.1.2",))
API = Service("dev", "api", cluster_ips=("10.96.1.3",))


def slice_of(service: str, name: str) -> EndpointSlice:
    return EndpointSlice("dev", name, service)


def test_an_object_is_new_then_changed_then_gone():
    store = Store()
    seen: list[ChangeSet] = []
    store.subscribe(seen.append)
    store.apply(Apply("Service", WEB), 1.0)
    store.apply(Apply("Service", WEB_MOVED), 2.0)
    store.apply(Delete("Service", WEB.key), 3.0)
    assert [one.changes for one in seen] == [
        (Change("Service", WEB.key, None, WEB),),
        (Change("Service", WEB.key, WEB, WEB_MOVED),),
        (Change("Service", WEB.key, WEB_MOVED, None),),
    ]
    assert [(one.number, one.arrival_seconds) for one in seen] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert store.number == 3


def test_what_leaves_everything_equal_is_no_change():
    store = Store()
    store.apply(Apply("Service", WEB), 0)
    seen: list[ChangeSet] = []
    store.subscribe(seen.append)
    copy = Service("dev", "web", cluster_ips=("10.96.1.1",))
    assert store.apply(Apply("Service", copy), 0) is None
    assert store.apply(Delete("Service", ("dev", "other")), 0) is None
    assert store.apply(Replace("Service", (copy,)), 0) is None
    assert store.apply(Bookmark("Service", "77"), 0) is None
    assert store.apply_all((Apply("Service", WEB_MOVED), Apply("Service", copy)), 0) is None
    assert seen == []
    assert store.get("Service", WEB.key) == WEB


def test_a_list_is_applied_as_a_difference_and_keeps_equal_objects():
    store = Store()
    store.apply_all((Apply("Service", WEB), Apply("Service", API)), 0)
    copy = Service("dev", "api", cluster_ips=("10.96.1.3",))
    changes = store.apply(Replace("Service", (copy, Service("dev", "new"))), 0)
    assert changes is not None
    assert {(change.key, change.new is None) for change in changes} == {(WEB.key, True), (("dev", "new"), False)}
    assert store.get("Service", API.key) is API


def test_a_list_is_read_lazily_and_only_once():
    store = Store()
    store.apply(Replace("Service", (one for one in (WEB, API))), 0)
    assert store.objects("Service") == (API, WEB)


def test_of_an_object_listed_twice_the_later_one_counts():
    store = Store()
    store.apply(Apply("Service", WEB), 0)
    store.apply(Replace("Service", (WEB_MOVED, WEB)), 0)
    assert store.get("Service", WEB.key) is WEB


def test_a_list_that_breaks_off_changes_nothing_of_its_kind():
    def broken():
        yield API
        raise ValueError("page 2")

    store = Store()
    store.apply(Apply("Service", WEB), 0)
    seen: list[ChangeSet] = []
    store.subscribe(seen.append)
    with pytest.raises(ValueError, match="page 2"):
        store.apply_all((Apply("Namespace", Namespace("dev")), Replace("Service", broken())), 0)
    assert store.objects("Service") == (WEB,)
    assert store.synced == frozenset()
    assert [change.kind for one in seen for change in one] == ["Namespace"]


def test_events_of_one_step_make_one_change_set_with_the_net_change():
    store = Store()
    store.apply(Apply("Service", WEB), 0)
    changes = store.apply_all(
        (
            Apply("Service", API),
            Delete("Service", WEB.key),
            Apply("Service", WEB_MOVED),
            Delete("Service", API.key),
        ),
        0,
    )
    assert changes is not None
    assert changes.changes == (Change("Service", WEB.key, WEB, WEB_MOVED),)


def test_a_kind_is_synced_by_its_list_alone_and_remembers_its_revision():
    store = Store()
    store.apply(Apply("Service", WEB, "5"), 0)
    assert store.synced == frozenset()
    store.apply(Replace("Service", (), "8"), 0)
    store.apply(Bookmark("Service", "9"), 0)
    store.apply(Delete("Service", WEB.key), 0)
    assert store.synced == {"Service"}
    assert store.revision("Service") == "9"
    assert store.revision("Pod") == ""


def test_a_list_in_parts_ends_with_what_it_kept():
    store = Store()
    store.apply_all((Apply("Service", WEB), Apply("Service", API), Apply("Service", Service("prod", "web"))), 0)
    seen: list[ChangeSet] = []
    store.subscribe(seen.append)
    assert store.apply(Apply("Service", WEB), 0) is None
    assert store.synced == frozenset()
    changes = store.apply(Prune("Service", {"dev": {"web": 7}}, "12"), 0)
    assert changes is not None
    assert [(change.key, change.new) for change in changes] == [(API.key, None), (("prod", "web"), None)]
    assert store.synced == {"Service"}
    assert store.revision("Service") == "12"
    assert store.objects("Service") == (WEB,)
    assert (store.count("Service"), store.services_in("prod")) == (1, ())
    assert store.apply(Prune("Service", {"dev": ["web", "other"]}), 0) is None


def test_a_kind_that_nobody_speaks_for_is_forgotten():
    store = Store()
    store.apply_all((Replace("Service", (WEB, API), "5"), Replace("Namespace", ())), 0)
    changes = store.apply(Forget("Service"), 0)
    assert changes is not None
    assert [(change.key, change.new) for change in changes] == [(API.key, None), (WEB.key, None)]
    assert store.synced == {"Namespace"}
    assert store.revision("Service") == ""


def test_changes_tell_when_what_they_follow_from_happened():
    store = Store()
    piece = slice_of("web", "web-1")
    new = store.apply(Apply("EndpointSlice", piece, "5", 12.5), 0)
    assert new is not None
    assert [change.triggered_seconds for change in new] == [12.5]
    assert store.apply(Apply("EndpointSlice", piece, "6", 13.5), 0) is None
    gone = store.apply(Delete("EndpointSlice", piece.key), 0)
    assert gone is not None
    assert [change.triggered_seconds for change in gone] == [None]


def test_slices_are_found_by_the_import_that_they_belong_to():
    store = Store()
    west, east = (EndpointSlice("dev", name, "", imported="web", cluster=name) for name in ("west", "east"))
    store.apply_all((Apply("EndpointSlice", west), Apply("EndpointSlice", east)), 0)
    assert store.imported_slices_of("dev", "web") == (east, west)
    assert store.slices_of("dev", "") == store.slices_of("dev", "web") == ()
    store.apply_all((Delete("EndpointSlice", west.key), Delete("EndpointSlice", east.key)), 0)
    assert store.imported_slices_of("dev", "web") == ()


def test_slices_are_found_by_service_in_the_order_of_their_names():
    store = Store()
    for name in ("b", "c", "a"):
        store.apply(Apply("EndpointSlice", slice_of("web", name)), 0)
    assert [one.name for one in store.slices_of("dev", "web")] == ["a", "b", "c"]
    store.apply(Apply("EndpointSlice", slice_of("api", "b")), 0)
    store.apply(Delete("EndpointSlice", ("dev", "c")), 0)
    assert [one.name for one in store.slices_of("dev", "web")] == ["a"]
    assert [one.name for one in store.slices_of("dev", "api")] == ["b"]
    assert store.slices_of("other", "web") == ()


def test_services_are_found_by_namespace():
    store = Store()
    store.apply_all((Apply("Service", WEB), Apply("Service", API), Apply("Service", Service("prod", "web"))), 0)
    assert store.services_in("dev") == (API, WEB)
    store.apply(Replace("Service", (WEB_MOVED,)), 0)
    assert store.services_in("dev") == (WEB_MOVED,)
    assert store.services_in("prod") == ()


def test_a_subscriber_sees_the_store_as_it_is_after_the_change():
    store = Store()
    seen = []
    store.subscribe(lambda _: seen.append(store.get("Service", WEB.key)))
    store.apply(Apply("Service", WEB), 0)
    assert seen == [WEB]


def test_a_failing_subscriber_is_logged_and_the_others_get_the_change(caplog):
    store = Store()
    seen: list[ChangeSet] = []

    def fail(_: ChangeSet) -> None:
        raise RuntimeError("broken subscriber")

    store.subscribe(fail)
    store.subscribe(seen.append)
    with caplog.at_level(logging.ERROR):
        assert store.apply(Apply("Service", WEB), 0) is not None
    assert len(seen) == 1
    assert store.failures == 1
    assert "broken subscriber" in caplog.text


def test_unsubscribing_ends_the_calls_even_from_within_one():
    store = Store()
    seen: list[int] = []

    def once(changes: ChangeSet) -> None:
        seen.append(changes.number)
        end()

    end = store.subscribe(once)
    store.apply(Apply("Service", WEB), 0)
    store.apply(Apply("Service", API), 0)
    end()
    assert seen == [1]


def test_a_subscriber_must_not_change_the_store():
    store = Store()
    store.subscribe(lambda _: store.apply(Apply("Service", API), 0))
    store.apply(Apply("Service", WEB), 0)
    assert store.failures == 1
    assert store.objects("Service") == (WEB,)
    store.apply(Delete("Service", WEB.key), 0)
    assert store.objects("Service") == ()
