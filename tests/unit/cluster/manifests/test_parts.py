# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from clusterdns.cluster.declared import DeclaredPod, DeclaredService
from clusterdns.cluster.manifests import parts
from clusterdns.cluster.manifests.parts import Content, parse_manifest

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: dev}\n"


def parse(text: str | bytes, file: str = "x.yaml") -> Content:
    return parse_manifest(text.encode() if isinstance(text, str) else text, file)


def names(content: Content) -> list[tuple[str, str, int]]:
    return [(kind, key[1], line) for (kind, key), (_, line) in content.objects.items()]


def faults(content: Content) -> list[str]:
    return [str(problem) for problem in content.problems]


def test_documents_of_a_file_with_their_lines():
    content = parse(f"# a comment\n\n{SERVICE}---\n---\n# nothing\n--- # more\nkind: Pod\nmetadata:\n  name: p\n...\n")
    assert names(content) == [("Service", "web", 3), ("Pod", "p", 10)]
    assert faults(content) == []
    assert not content.broken


def test_other_kinds_are_counted():
    deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
    knative = "---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\n"
    content = parse(SERVICE + deployment * 2 + knative)
    assert names(content) == [("Service", "web", 1)]
    assert content.ignored == {"Deployment": 2, "Service": 1}


LIST = """apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    name: web
- apiVersion: v1
  kind: ConfigMap
  metadata:
    name: c
-
  kind: Pod
  metadata:
    name: p
kind: List
"""


def test_the_output_of_kubectl_get_in_yaml():
    content = parse(LIST)
    assert names(content) == [("Service", "web", 3), ("Pod", "p", 12)]
    assert content.ignored == {"ConfigMap": 1}


@pytest.mark.parametrize("indent", [None, 4])
def test_the_output_of_kubectl_get_in_json(indent):
    items = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
    ]
    text = json.dumps({"apiVersion": "v1", "items": items, "kind": "List"}, indent=indent)
    content = parse(text, "x.json")
    lines = [4, 18] if indent else [1, 1]
    assert names(content) == [("Service", "web", lines[0]), ("Pod", "p", lines[1])]
    assert content.ignored == {"Secret": 1}


@pytest.mark.parametrize("file", ["x.json", "x.yaml"])
def test_items_of_a_typed_list_need_no_kind(file):
    content = parse('{"kind": "ServiceList", "apiVersion": "v1", "items": [{"metadata": {"name": "web"}}]}', file)
    assert names(content) == [("Service", "web", 1)]
    assert names(parse('{"kind": "ServiceList", "items": null}', file)) == []


def test_several_json_documents_in_a_file():
    one = '{"kind": "Service",\n "metadata": {"name": "a"}}'
    other = '{"kind": "Service", "metadata": {"name": "b"}}'
    content = parse(f"\n{one}\n\n{other}{other.replace('b', 'c')}\n", "x.json")
    assert names(content) == [("Service", "a", 2), ("Service", "b", 5), ("Service", "c", 5)]
    assert faults(content) == []


def test_json_in_a_yaml_file_and_flow_yaml_that_looks_like_it():
    assert names(parse('{"kind": "Pod", "metadata": {"name": "p"}}')) == [("Pod", "p", 1)]
    assert names(parse("{kind: Pod, metadata: {name: p}}\n---\n{kind: Pod, metadata: {name: q}}")) == [
        ("Pod", "p", 1),
        ("Pod", "q", 3),
    ]
    assert faults(parse("{kind: Pod, metadata: {name: p}}", "x.json")) == [
        "x.json:1: JSON is malformed: object keys must be strings"
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kind: Service\nmetadata: {name: a\nspec: {}\n", "x.yaml:3: while parsing a flow mapping, did not find"),
        ("kind: Service\n\tmetadata: x\n", "x.yaml:2: while scanning a plain scalar, found a tab character"),
        (f"{SERVICE}---\na: 'b\n---\n", "x.yaml:5: while scanning a quoted scalar, found unexpected end of stream"),
        (f"{SERVICE}---\nname: web\n", "x.yaml:5: not a Kubernetes object: it has no kind"),
        ("- kind: Service\n", "x.yaml:1: not a Kubernetes object: it has no kind"),
        ("# c\njust text\n", "x.yaml:2: not a Kubernetes object: it has no kind"),
        ("kind: Pod\nmetadata:\n  labels: {}\n", "x.yaml:2: metadata.name: is missing"),
        (
            "kind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - name: x\n    port: http\n",
            "x.yaml:6: spec.ports[0]",
        ),
        (LIST.replace("name: p", "name: P"), "x.yaml:14: metadata.name: 'P' must be"),
        ("kind: Pod\nmetadata: *m\n", "x.yaml:2: undefined alias 'm'"),
        ("kind: Pod\nmetadata: &m {labels: *m}\n", "x.yaml:2: undefined alias 'm'"),
        ("[" * 5000, "x.yaml:1: nested too deeply"),
        (b"a: 1\nb: \xff\n", "x.yaml:2: not UTF-8"),
        ("kind: Pod # ä\n\x01", "x.yaml:2: character #x01: control characters are not allowed"),
        (
            f"{SERVICE}---\nkind: Pod\nmetadata:\n\tname: p\n",
            "x.yaml:7: found a tab: YAML is indented with spaces only",
        ),
        ("kind: Pod\nmetadata: {name: @p}\n", "x.yaml:2: found '@', which can't begin a value without quotes"),
    ],
)
def test_faults_have_a_line(text, fault):
    content = parse(text)
    assert len(content.problems) == 1
    assert str(content.problems[0]).startswith(fault)
    assert content.broken


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"kind": "Pod",\n "metadata": {"name": "p"}', "x.json:2: Input data was truncated"),
        ('{"kind": "Pod",\n "metadata": tru}', "x.json:2: JSON is malformed: invalid character"),
        ('[{"kind": "Pod"}]', "x.json:1: Expected object, got array"),
        ('\n{"kind": 5}', "x.json:2: Expected str, got int - at $.kind"),
        ('{"kind": "Pod",\n"spec": {},\n}', "x.json:2: JSON is malformed: trailing comma in object"),
        ('{"kind": "List", "items": [\n{"kind": "Pod"},\n]}', "x.json:2: JSON is malformed: trailing comma in array"),
        ('{"kind": "Pod", "metadata":\n {"name":\n "P"}}', "x.json:2: metadata.name: 'P' must be"),
        (
            '{"kind": "List", "items": [\n{"kind": "Pod",\n"metadata": {"name": 7}}]}',
            "x.json:3: metadata.name: expected",
        ),
        ('{"kind": "Pod", "metadata": {"name": "p"}}\n{}', "x.json:2: not a Kubernetes object: it has no kind"),
    ],
)
def test_faults_in_json_have_a_line_too(text, fault):
    content = parse(text, "x.json")
    assert [str(problem)[: len(fault)] for problem in content.problems] == [fault]


def test_the_other_objects_of_a_broken_file_are_there():
    content = parse(
        f"{SERVICE}---\nkind: Pod\nmetadata: {{name: P}}\n---\na: 'b\n---\nkind: Pod\nmetadata: {{name: p}}\n"
    )
    assert names(content) == [("Service", "web", 1), ("Pod", "p", 10)]
    assert [problem.line for problem in content.problems] == [6, 8]


def test_an_object_twice_in_a_file_counts_as_it_is_later():
    content = parse(SERVICE + "---\n" + SERVICE + "spec: {clusterIP: 10.96.0.1}\n")
    declared, line = content.objects["Service", ("dev", "web")]
    assert isinstance(declared, DeclaredService)
    assert (declared.cluster_ips, line) == (("10.96.0.1",), 5)
    assert faults(content) == ["x.yaml:1: Service dev/web is here again in line 5, which is the one that counts"]
    assert not content.broken


def test_scalars_mean_what_they_mean_to_kubectl():
    text = "kind: Pod\nmetadata: {name: p, labels: {day: 2026-11-21, time: '12:30', no: maybe, on: ''}}\n"
    text += "status: {podIPs: [{ip: 10:20:30:40:50:10:20:30}]}\n"
    text += "spec: {containers: [{ports: [{name: a, containerPort: 0x50}]}]}\n"
    declared, _ = parse(text).objects["Pod", ("default", "p")]
    assert isinstance(declared, DeclaredPod)
    assert declared.labels == {"day": "2026-11-21", "time": "12:30", "no": "maybe", "on": ""}
    assert declared.ips == ("10:20:30:40:50:10:20:30",)
    assert declared.ports[0].port == 80


def test_anchors_aliases_and_merge_keys():
    text = """
x-common: &common
  ports: [{port: 80}]
  type: NodePort
x-labels: {deep: &labels {a: b}}
kind: Service
metadata: {name: web, labels: *labels}
spec:
  <<: [*common, {clusterIP: 10.96.0.1, type: ClusterIP}]
  ports: [{port: 81}]
"""
    declared, _ = parse(text).objects["Service", ("default", "web")]
    assert isinstance(declared, DeclaredService)
    assert declared.labels == {"a": "b"}
    assert (declared.type, declared.cluster_ips, declared.ports[0].port) == ("NodePort", ("10.96.0.1",), 81)


def test_an_alias_bomb_costs_no_more_than_its_text():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 30)]
    content = parse("\n".join([*rows, "kind: Pod", "metadata: {name: p}"]))
    assert names(content) == [("Pod", "p", 1)]


def test_marks_and_encodings_of_other_systems():
    for text in (b"\xef\xbb\xbf" + SERVICE.encode(), SERVICE.encode("utf-16"), SERVICE.replace("\n", "\r\n").encode()):
        assert [name for _, name, _ in names(parse(text))] == ["web"]


def test_directives_belong_to_the_document_after_them():
    content = parse(f"%YAML 1.1\n---\n{SERVICE}")
    assert names(content) == [("Service", "web", 3)]


def test_after_an_edit_only_the_changed_documents_are_parsed(monkeypatch):
    documents = [f"kind: Pod\nmetadata: {{name: p{number}}}\n" for number in range(5)]
    before = parse("---\n".join(documents))
    parsed: list[bytes] = []
    read = parts._parse_part
    monkeypatch.setattr(parts, "_parse_part", lambda data, file: parsed.append(data) or read(data, file))
    documents[2] = "# new line\nkind: Pod\nmetadata: {name: new}\n"
    after = parse_manifest("---\n".join(documents).encode(), "x.yaml", before.parts)
    assert len(parsed) == 1
    assert names(after) == [("Pod", "p0", 1), ("Pod", "p1", 4), ("Pod", "new", 8), ("Pod", "p3", 11), ("Pod", "p4", 14)]
    assert set(after.parts) != set(before.parts)


def test_no_text_is_no_objects():
    for file in ("x.yaml", "x.json"):
        for text in ("", "\n\n", "null" if file == "x.yaml" else " "):
            assert (parse(text, file).objects, parse(text, file).problems) == ({}, ())
