# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterdns.cluster.changes import Replace
from clusterdns.cluster.decode import decode_object
from clusterdns.cluster.manifests.source import ManifestSource
from clusterdns.cluster.objects import KINDS
from clusterdns.cluster.selectors import parse_selector
from clusterdns.cluster.source import Source
from clusterdns.cluster.store import Store
from clusterdns.errors import ObjectError

GOLDEN = Path(__file__).parents[3] / "data" / "golden" / "cluster-2.json.gz"


def recorded() -> list[dict[str, Any]]:
    with gzip.open(GOLDEN) as file:
        objects: list[dict[str, Any]] = json.load(file)["objects"]
    return objects


def loaded(directory: Path, **options: Any) -> tuple[ManifestSource, Store]:
    source = ManifestSource(directory, **options)
    store = Store()
    store.apply_all(source.load(), 0)
    return source, store


@pytest.mark.parametrize("form", ["json", "yaml", "many"])
def test_the_output_of_kubectl_serves_as_it_is(tmp_path, form):
    objects = recorded()
    everything = {"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}}
    if form == "json":
        (tmp_path / "all.json").write_text(json.dumps(everything, indent=4))
    elif form == "yaml":
        (tmp_path / "all.yaml").write_text(yaml.dump(everything, Dumper=yaml.CSafeDumper))
    else:
        for number, value in enumerate(objects):
            (tmp_path / f"{number}.yml").write_text(yaml.dump(value, Dumper=yaml.CSafeDumper))
    source, store = loaded(tmp_path)
    expected = {value for value in map(decode_object, objects) if value is not None}
    assert {found for kind in KINDS for found in store.objects(kind)} == expected
    assert source.problems == ()
    assert source.ignored == {}


def test_a_list_of_services_pods_and_slices_alone_has_its_namespaces_too(tmp_path):
    objects = [value for value in recorded() if value["kind"] != "Namespace"]
    (tmp_path / "all.json").write_text(json.dumps({"kind": "List", "items": objects}))
    _, store = loaded(tmp_path)
    living = {value["metadata"]["namespace"] for value in objects}
    assert {one.name for one in store.objects("Namespace")} == living


def test_loading_replaces_every_kind_and_syncs(tmp_path):
    source = ManifestSource(tmp_path)
    assert source.synced == frozenset()
    events = source.load()
    assert [event.kind for event in events if isinstance(event, Replace)] == list(KINDS)
    assert source.synced == source.kinds == frozenset(KINDS)


def test_what_is_filtered_out_by_a_later_file_is_not_listed(tmp_path):
    slice_text = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
    slice_text += "metadata: {name: s, labels: {team: %s, kubernetes.io/service-name: web}}\n"
    (tmp_path / "a.yaml").write_text(slice_text % "a")
    (tmp_path / "b.yaml").write_text(slice_text % "b")
    _, store = loaded(tmp_path, labels=parse_selector("team=a"))
    assert store.objects("EndpointSlice") == ()


def test_two_processes_give_out_the_same(tmp_path):
    services = [
        f"kind: Service\nmetadata: {{name: s{number}}}\nspec: {{type: NodePort, ports: [{{port: 80}}]}}\n"
        for number in range(50)
    ]
    one, other = tmp_path / "one", tmp_path / "other"
    for directory, texts in ((one, services), (other, services[::-1])):
        directory.mkdir()
        (directory / "all.yaml").write_text("---\n".join(texts))
    first, second = loaded(one)[1], loaded(other)[1]
    assert first.objects("Service") == second.objects("Service")
    assert len({service.cluster_ips for service in first.objects("Service")}) == 50
    assert len({service.ports[0].node_port for service in first.objects("Service")}) == 50


def test_problems_are_reported_once_with_file_and_line(tmp_path):
    reported: list[str] = []
    (tmp_path / "a.yaml").write_text("kind: Pod\nmetadata: {name: p}\n---\nkind: Service\nmetadata: {name: S}\n")
    (tmp_path / "b.yaml").write_text("---\nkind: Pod\nmetadata: {name: p}\n---\nkind: ConfigMap\n")
    source, _ = loaded(tmp_path, report=lambda problem: reported.append(str(problem)))
    assert reported == [str(problem) for problem in source.problems]
    assert [text.removeprefix(f"{tmp_path}/") for text in reported] == [
        "a.yaml:5: metadata.name: 'S' must be 1–63 characters a–z, 0–9 and '-', with a letter or digit at both ends",
        f"a.yaml:1: Pod default/p is also in {tmp_path}/b.yaml:2, which is the one that counts",
        "b.yaml:2: Pod default/p: it has no status.podIP, so it is no endpoint",
    ]
    assert source.ignored == {"ConfigMap": 1}


def test_a_service_cidr_that_is_none_is_refused(tmp_path):
    with pytest.raises(ObjectError):
        ManifestSource(tmp_path, service_cidr="10.96.0.0/33")


def test_it_is_a_source(tmp_path):
    source: Source = ManifestSource(tmp_path)
    assert source.problems == ()
