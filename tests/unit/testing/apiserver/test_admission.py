# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.testing.apiserver import Storage


@pytest.fixture
def storage():
    return Storage(service_cidr="10.0.0.0/24")


def spec(storage, name="web", **given):
    value = {"kind": "Service", "metadata": {"name": name}, "spec": given}
    return storage.apply(value).decode()["spec"]


def test_a_service_without_an_address_gets_one(storage):
    found = spec(storage, ports=[{"port": 80}])
    assert found["clusterIPs"] == [found["clusterIP"]] == ["10.0.0.128"]
    assert spec(storage, "other")["clusterIP"] == "10.0.0.129"
    assert (found["type"], found["ipFamilies"], found["ipFamilyPolicy"]) == ("ClusterIP", ["IPv4"], "SingleStack")
    assert found["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


def test_a_service_keeps_its_address_and_headless_ones_have_none(storage):
    before = spec(storage)["clusterIP"]
    assert spec(storage, ports=[{"port": 81}])["clusterIP"] == before
    assert spec(storage, "headless", clusterIP="None")["clusterIPs"] == ["None"]
    assert spec(storage, "dual", clusterIPs=["10.0.0.9", "fd00::9"])["ipFamilies"] == ["IPv4", "IPv6"]


def test_an_external_name_has_no_address_any_more(storage):
    spec(storage)
    assert "clusterIP" not in spec(storage, type="ExternalName", externalName="x.example")
    assert "clusterIP" in spec(storage, type="ClusterIP")


def test_node_ports_are_given(storage):
    found = spec(storage, type="NodePort", ports=[{"port": 80}, {"port": 443, "nodePort": 31000}])
    assert 30000 <= found["ports"][0]["nodePort"] <= 32767
    assert found["ports"][1]["nodePort"] == 31000


def test_metadata_is_completed_and_kept(storage):
    value = {"kind": "Pod", "metadata": {"generateName": "web-", "namespace": None}}
    first = storage.create(value).decode()["metadata"]
    second = storage.create(value).decode()["metadata"]
    assert first["name"].startswith("web-")
    assert first["name"] != second["name"]
    assert first["namespace"] == "default"
    assert first["uid"] != second["uid"]
    changed = {"kind": "Pod", "metadata": {"name": first["name"], "labels": {"a": "b"}, "uid": "other"}}
    later = storage.update(changed).decode()["metadata"]
    assert (later["uid"], later["creationTimestamp"]) == (first["uid"], first["creationTimestamp"])


def test_managed_fields_name_what_was_set():
    value = {"kind": "Pod", "metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"nodeName": "n"}}
    (entry,) = Storage().create(value, manager="kubelet").decode()["metadata"]["managedFields"]
    assert entry["manager"] == "kubelet"
    assert entry["fieldsV1"] == {"f:spec": {"f:nodeName": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}
    assert "managedFields" not in Storage(managed_fields=False).create(value).decode()["metadata"]


def test_a_status_outlives_updates_without_one(storage):
    pod = {"kind": "Pod", "metadata": {"name": "a"}}
    storage.create({**pod, "status": {"phase": "Running"}})
    assert storage.update({**pod, "spec": {"nodeName": "n"}}).decode()["status"] == {"phase": "Running"}


def test_a_namespace_is_active_and_labelled_with_its_name(storage):
    found = storage.create({"kind": "Namespace", "metadata": {"name": "dev", "labels": {"a": "b"}}}).decode()
    assert found["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": "dev"}
    assert found["status"] == {"phase": "Active"}
    assert "namespace" not in found["metadata"]
