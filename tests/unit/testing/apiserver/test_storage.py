# SPDX-License-Identifier: Apache-2.0
import json
import threading

import pytest

from clusterdns.testing.apiserver import ApiStatus, Storage
from clusterdns.testing.apiserver.resources import PODS, SERVICES
from clusterdns.testing.apiserver.storage import MAX_EVENTS, SYSTEM_NAMESPACES
from clusterdns.testing.apiserver.stored import Stored


def service(name, namespace="default", **spec):
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def names(storage, revision=None):
    found = storage.ordered(SERVICES, storage.revision if revision is None else revision)
    return [each.key[1] for each in found]


@pytest.fixture
def storage():
    return Storage()


def test_the_namespaces_of_every_cluster_are_there(storage):
    assert [each["metadata"]["name"] for each in storage.objects("Namespace")] == list(SYSTEM_NAMESPACES)


def test_every_write_has_the_next_revision(storage):
    before = storage.revision
    created = storage.create(service("a"))
    updated = storage.update(service("a", externalName="x.example", type="ExternalName"))
    deleted = storage.delete("Service", "a")
    assert [created.revision, updated.revision, deleted.revision] == [before + 1, before + 2, before + 3]
    assert deleted.decode()["metadata"]["resourceVersion"] == str(before + 3)
    assert [event.revision for event in storage.events(SERVICES, before, before + 2)] == [before + 1, before + 2]


def test_what_changes_nothing_has_no_revision(storage):
    first = storage.apply(service("a", ports=[{"port": 80}]))
    again = storage.apply(service("a", ports=[{"port": 80}]))
    assert again is first
    assert storage.revision == first.revision


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (lambda storage: storage.create(service("a")), 409),
        (lambda storage: storage.create(service("b", "nowhere")), 404),
        (lambda storage: storage.create({"kind": "Service"}), 422),
        (lambda storage: storage.update(service("b")), 404),
        (lambda storage: storage.update({**service("a"), "metadata": {"name": "a", "resourceVersion": "1"}}), 409),
        (lambda storage: storage.delete("Service", "b"), 404),
        (lambda storage: storage.get("Service", "default", "b"), 404),
    ],
)
def test_writes_that_cannot_be_are_refused(storage, write, code):
    storage.create(service("a"))
    with pytest.raises(ApiStatus) as caught:
        write(storage)
    assert caught.value.code == code
    assert json.loads(caught.value.encode())["code"] == code


def test_kinds_that_are_not_there_are_an_error(storage):
    with pytest.raises(KeyError):
        storage.create({"kind": "Widget", "metadata": {"name": "a"}})


def test_any_revision_can_be_seen_again(storage):
    seen = [(storage.revision, names(storage))]
    for name in "cab":
        storage.create(service(name))
        seen.append((storage.revision, names(storage)))
    storage.delete("Service", "a")
    seen.append((storage.revision, names(storage)))
    assert seen[-2][1] == ["a", "b", "c"]
    assert [(revision, names(storage, revision)) for revision, _ in reversed(seen)] == list(reversed(seen))


def test_a_backup_brings_back_objects_and_revision(storage):
    storage.create(service("kept"))
    backup = storage.snapshot()
    storage.create(service("lost"))
    storage.delete("Service", "kept")
    storage.restore(backup)
    assert names(storage) == ["kept"]
    assert storage.revision == backup.revision
    assert storage.events(SERVICES, backup.revision, 10**9) == []
    assert storage.create(service("new")).revision == backup.revision + 1


def test_objects_that_are_loaded_leave_no_history(storage):
    before = storage.revision

    def make(revision):
        return Stored(SERVICES, ("default", "a"), revision, b'{"metadata":{"name":"a"}}', {}, {})

    storage.load(SERVICES, [(("default", "a"), make)])
    assert (names(storage), storage.revision) == (["a"], before + 1)
    assert storage.events(SERVICES, 0, storage.revision) == []
    assert storage.forgotten(SERVICES) == storage.revision
    with pytest.raises(ApiStatus):
        storage.ordered(SERVICES, before)


def test_history_is_bounded(storage, monkeypatch):
    monkeypatch.setattr("clusterdns.testing.apiserver.storage.MAX_EVENTS", 20)
    for number in range(50):
        storage.apply(service("a", ports=[{"port": number + 1}]))
    assert len(storage.events(SERVICES, 0, storage.revision)) <= 20
    assert storage.forgotten(SERVICES) > 0
    assert MAX_EVENTS > 10_000


def test_listeners_hear_of_changes_until_they_are_taken_off(storage):
    heard = []
    forget = storage.on_change(lambda: heard.append(storage.revision))
    storage.create(service("a"))
    storage.advance(5)
    forget()
    storage.create(service("b"))
    assert heard == [storage.revision - 6, storage.revision - 1]


def test_writers_on_many_threads_get_along(storage):
    def write(thread):
        for number in range(50):
            storage.create({"kind": "Pod", "metadata": {"name": f"p-{thread}-{number}"}})

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    revisions = [event.revision for event in storage.events(PODS, 0, storage.revision)]
    assert len(set(revisions)) == 200
    assert revisions == sorted(revisions)
