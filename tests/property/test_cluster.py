# SPDX-License-Identifier: Apache-2.0
"""Any order of events gives the same picture as one list of what is left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.cluster.changes import Apply, Bookmark, ChangeSet, Delete, Event, Replace
from clusterdns.cluster.controllers.allocation import parse_service_cidr
from clusterdns.cluster.controllers.plane import ControlPlane, DeclaredChange
from clusterdns.cluster.declared import (
    ContainerPort,
    Declared,
    DeclaredEndpoints,
    DeclaredKind,
    DeclaredNamespace,
    DeclaredPod,
    DeclaredPort,
    DeclaredService,
    DeclaredSlice,
    Subset,
)
from clusterdns.cluster.manifests.directory import Directory
from clusterdns.cluster.manifests.parts import parse_manifest
from clusterdns.cluster.objects import KINDS, Endpoint, EndpointPort, EndpointSlice, Key, Namespace, Object, Service
from clusterdns.cluster.selectors import parse_selector
from clusterdns.cluster.store import Store
from clusterdns.errors import ExpressionError

names = st.sampled_from(["a", "b", "c"])
namespaces = st.sampled_from(["dev", "prod"])
labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=2)


@st.composite
def events(draw: st.DrawFn) -> Event:
    services = st.builds(Service, namespaces, names, cluster_ips=st.sampled_from([(), ("None",), ("10.0.0.1",)]))
    slices = st.builds(EndpointSlice, namespaces, names, names)
    objects = draw(st.sampled_from([services, slices, st.builds(Namespace, namespaces)]))
    some = draw(st.lists(objects, min_size=1, max_size=4))
    kind = type(some[0]).__name__
    return draw(
        st.sampled_from(
            [
                Apply(kind, some[0]),
                Delete(kind, some[0].key),
                Replace(kind, tuple(some), "7"),
                Bookmark(kind, "8"),
            ]
        )
    )


@given(st.lists(st.lists(events(), max_size=4), max_size=8))
def test_change_sets_replayed_give_the_store_and_its_indexes_a_fresh_list(steps):
    store = Store()
    replayed: dict[tuple[str, Key], Object] = {}

    def replay(changes: ChangeSet) -> None:
        assert changes.changes
        for change in changes:
            assert change.old != change.new
            assert replayed.get((change.kind, change.key)) == change.old
            if change.new is None:
                del replayed[change.kind, change.key]
            else:
                replayed[change.kind, change.key] = change.new

    store.subscribe(replay)
    for step in steps:
        store.apply_all(step, 0)
    assert store.failures == 0
    fresh = Store()
    fresh.apply_all([Replace(kind, store.objects(kind)) for kind in KINDS], 0)
    assert replayed == {(kind, one.key): one for kind in KINDS for one in store.objects(kind)}
    for namespace in ("dev", "prod"):
        assert store.services_in(namespace) == fresh.services_in(namespace)
        for name in ("a", "b", "c"):
            assert store.slices_of(namespace, name) == fresh.slices_of(namespace, name)


declared_ports = st.lists(
    st.builds(
        DeclaredPort,
        st.sampled_from(["", "http"]),
        st.sampled_from(["TCP", "UDP"]),
        st.sampled_from([80, 443]),
        st.sampled_from([8080, "http"]),
        st.sampled_from([0, 30001]),
    ),
    max_size=2,
).map(tuple)
services = st.builds(
    DeclaredService,
    namespaces,
    names,
    labels,
    type=st.sampled_from(["ClusterIP", "NodePort"]),
    cluster_ips=st.sampled_from([(), ("None",), ("10.0.0.20",), ("10.0.0.2", "fd00::2")]),
    ports=declared_ports,
    selector=labels,
    publish_not_ready=st.booleans(),
    family_policy=st.sampled_from(["", "PreferDualStack"]),
)
pods = st.builds(
    DeclaredPod,
    namespaces,
    names,
    labels,
    ips=st.sampled_from([(), ("10.1.0.1",), ("10.1.0.2", "fd00:1::2")]),
    ready=st.booleans(),
    terminating=st.booleans(),
    phase=st.sampled_from(["Running", "Succeeded"]),
    hostname=names,
    subdomain=names,
    ports=st.sampled_from([(), (ContainerPort("http", "TCP", 9090),)]),
)
slices = st.builds(
    DeclaredSlice,
    st.builds(EndpointSlice, namespaces, names, st.sampled_from(["", "a", "b"])),
    labels,
)
endpoints = st.builds(
    DeclaredEndpoints,
    namespaces,
    names,
    labels,
    st.sampled_from([(), (Subset((Endpoint(("10.2.0.1",)),), (EndpointPort("", "TCP", 1),)),)]),
)
declared_namespaces = st.builds(DeclaredNamespace, namespaces, labels)
_KIND_OF: dict[type, DeclaredKind] = {
    DeclaredService: "Service",
    DeclaredPod: "Pod",
    DeclaredSlice: "EndpointSlice",
    DeclaredEndpoints: "Endpoints",
    DeclaredNamespace: "Namespace",
}


@st.composite
def declared_changes(draw: st.DrawFn) -> DeclaredChange:
    declared: Declared = draw(st.one_of(services, pods, slices, endpoints, declared_namespaces))
    return _KIND_OF[type(declared)], declared.key, draw(st.sampled_from([declared, declared, None]))


@settings(max_examples=300)
@given(
    st.lists(st.lists(declared_changes(), max_size=5), max_size=10),
    st.sampled_from(["10.0.0.0/28", "10.0.0.0/28,fd00::/124"]),
    st.sampled_from([None, "app=x"]),
    st.randoms(use_true_random=False),
)
def test_the_control_plane_by_difference_is_the_control_plane_from_scratch(steps, cidr, selector, random):
    def plane() -> ControlPlane:
        chosen = parse_selector(selector) if selector else None
        return ControlPlane(parse_service_cidr(cidr), chosen, chosen)

    by_difference, store = plane(), Store()
    left: dict[tuple[DeclaredKind, Key], Declared] = {}
    for step in steps:
        store.apply_all(by_difference.update(step), 0)
        for kind, key, new in step:
            left.pop((kind, key), None)
            if new is not None:
                left[kind, key] = new
    from_scratch, fresh = plane(), Store()
    shuffled = [(*ident, declared) for ident, declared in left.items()]
    random.shuffle(shuffled)
    fresh.apply_all(from_scratch.update(shuffled), 0)
    for kind in KINDS:
        assert store.objects(kind) == fresh.objects(kind)
    assert sorted(map(repr, by_difference.faults)) == sorted(map(repr, from_scratch.faults))


file_texts = st.lists(
    st.builds("kind: Pod\nmetadata: {{name: {}}}\nstatus: {{podIP: 10.0.0.{}}}\n".format, names, st.integers(1, 3)),
    max_size=3,
).map("---\n".join)


@given(st.lists(st.tuples(st.sampled_from(["1", "2", "3"]), st.none() | file_texts), max_size=12))
def test_the_directory_by_difference_is_the_directory_from_scratch(edits):
    directory = Directory()
    told: dict[Key, Declared] = {}
    files: dict[str, str] = {}
    for path, text in edits:
        if text is None:
            files.pop(path, None)
            changes = directory.remove(path)
        else:
            files[path] = text
            changes = directory.put(path, parse_manifest(text.encode(), path))
        for _, key, declared in changes:
            told.pop(key, None)
            if declared is not None:
                told[key] = declared
    fresh = Directory()
    expected = {
        key: declared
        for path in sorted(files)
        for _, key, declared in fresh.put(path, parse_manifest(files[path].encode(), path))
    }
    assert told == expected
    assert list(map(str, directory.problems(()))) == list(map(str, fresh.problems(())))


WORDS = ["kind: ", "Service", "Pod", "List", "metadata: ", "name: ", "a", "items:", "spec: ", "ports: ", "null", "1"]
MARKS = ["&x ", "*x", "<<: ", "---", "...", "!!", "- ", ": ", "  ", *" \n\t-{}[]:'\"%|#?,"]
yaml_soup = st.lists(st.sampled_from(WORDS + MARKS), max_size=25).map("".join)


@given(st.one_of(st.binary(max_size=60), yaml_soup.map(str.encode)), st.sampled_from(["f.yaml", "f.json"]))
def test_no_bytes_break_the_reading_of_manifests(data, file):
    content = parse_manifest(data, file)
    lines = data.count(b"\n") + 1
    assert all(problem.file == file and 1 <= problem.line <= lines for problem in content.problems)
    again = parse_manifest(data, file, content.parts)
    assert (again.objects, list(map(str, again.problems))) == (content.objects, list(map(str, content.problems)))


@given(st.text(alphabet="ab=!,() <>in\t-/.", max_size=20), labels)
def test_no_text_breaks_the_parsing_of_selectors(text, some_labels):
    try:
        selector = parse_selector(text)
    except ExpressionError:
        return
    assert selector.matches(some_labels) == all(one.matches(some_labels) for one in selector.requirements)
    assert len(selector.requirements) <= text.count(",") + 1
