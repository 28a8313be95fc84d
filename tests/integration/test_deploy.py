# SPDX-License-Identifier: Apache-2.0
"""What deploy/ says, read as kubectl reads it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterdns.cluster.apiserver.explanations import refused
from clusterdns.cluster.objects import KINDS, Kind
from clusterdns.cluster.reflector.requests import resource_of
from clusterdns.testing.apiserver import RESOURCES, ApiServer, Resource, Storage

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
DISTRIBUTIONS = sorted((REPOSITORY / "tests" / "data" / "deployments").glob("*.yaml"))
DEPLOYED = (
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
)
"""What kubectl asks the API server about before it takes a manifest."""

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def kubectl(*arguments: object) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "KUBECONFIG": "/dev/null"},
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def paths(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """All leaves of an object with where they are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, f"{path}[{index}]")
    else:
        yield path, value


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


@needs_kubectl
@pytest.mark.parametrize("file", DISTRIBUTIONS, ids=lambda file: file.stem)
def test_swap_changes_the_image_and_nothing_else(file: Path) -> None:
    before = yaml.safe_load(file.read_text())
    (after,) = kubectl(
        "patch", "--local", "-f", file, "--patch-file", DEPLOY / "swap" / "deployment.yaml", "-o", "yaml"
    )  # fmt: skip
    assert set(paths(after)) ^ set(paths(before)) == {
        (".spec.template.spec.containers[0].image", before["spec"]["template"]["spec"]["containers"][0]["image"]),
        (".spec.template.spec.containers[0].image", "clusterdns:latest"),
    }


@pytest.mark.parametrize("file", DISTRIBUTIONS, ids=lambda file: file.stem)
def test_the_image_takes_the_arguments_that_the_deployment_passes(file: Path) -> None:
    (container,) = yaml.safe_load(file.read_text())["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["-conf", "/etc/coredns/Corefile"]
    assert "command" not in container, "the entry point of the image counts"
    assert (
        'ENTRYPOINT ["/opt/clusterdns/bin/python3", "-I", "-m", "clusterdns"]'
        in (REPOSITORY / "Dockerfile").read_text()
    )


@needs_kubectl
@pytest.mark.parametrize("directory", ["new", "overlays/k3s"])
def test_a_pod_of_the_deployment_fits_together(directory: str) -> None:
    objects = kubectl("kustomize", DEPLOY / directory)
    deployment = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} <= set(ports)
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert of_kind(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert pod["serviceAccountName"] == of_kind(objects, "ServiceAccount")["metadata"]["name"]
    binding = of_kind(objects, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == of_kind(objects, "ClusterRole")["metadata"]["name"]
    assert [(each["name"], each["namespace"]) for each in binding["subjects"]] == [("clusterdns", "kube-system")]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }
    assert pod["dnsPolicy"] == "Default"


@needs_kubectl
def test_the_service_leads_to_the_pods() -> None:
    objects = kubectl("kustomize", DEPLOY / "new")
    service = of_kind(objects, "Service")
    pod = of_kind(objects, "Deployment")["spec"]["template"]
    assert service["metadata"]["name"] == "kube-dns"
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    opened = {(port["containerPort"], port["protocol"]) for port in pod["spec"]["containers"][0]["ports"]}
    assert {(port["targetPort"], port["protocol"]) for port in service["spec"]["ports"]} <= opened
    assert {(port["port"], port["protocol"]) for port in service["spec"]["ports"]} == {
        (53, "UDP"),
        (53, "TCP"),
        (9153, "TCP"),
    }


@needs_kubectl
def test_the_pod_has_time_for_the_longest_lameduck() -> None:
    objects = kubectl("kustomize", DEPLOY / "new")
    corefile = of_kind(objects, "ConfigMap")["data"]["Corefile"]
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    assert "lameduck 5s 50s" in corefile
    assert pod["terminationGracePeriodSeconds"] >= 50 + 5


def rules(objects: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Group, resource and verb of all that the roles among the objects allow."""
    return {
        (group, resource, verb)
        for each in objects
        if each["kind"] == "ClusterRole"
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def watched(*kinds: Kind) -> set[tuple[str, str, str]]:
    """What the requests for these kinds need."""
    paths = [resource_of(kind).path.split("/") for kind in kinds]
    return {
        (path[2] if path[1] == "apis" else "", path[-1], verb) for path in paths for verb in ("list", "watch")
    }  # /api/v1/NAME and /apis/GROUP/VERSION/NAME


@needs_kubectl
def test_the_roles_let_the_server_read_what_it_watches_and_nothing_else(tmp_path: Path) -> None:
    everywhere: list[Kind] = [kind for kind in KINDS if kind != "ServiceImport"]
    assert rules(kubectl("kustomize", DEPLOY / "new")) == watched(*everywhere)
    assert rules(kubectl("kustomize", DEPLOY / "overlays" / "k3s")) == watched(*everywhere)
    place = tmp_path / "with-multicluster"
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    place.mkdir()
    (place / "kustomization.yaml").write_text(
        "resources: [../deploy/new]\ncomponents: [../deploy/components/multicluster]\n"
    )
    objects = kubectl("kustomize", place)
    assert rules(objects) == watched(*KINDS)
    bindings = [each for each in objects if each["kind"] == "ClusterRoleBinding"]
    roles = [each["metadata"]["name"] for each in objects if each["kind"] == "ClusterRole"]
    assert sorted(each["roleRef"]["name"] for each in bindings) == sorted(roles)
    account = of_kind(objects, "ServiceAccount")["metadata"]
    for each in bindings:
        (subject,) = each["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])


def test_errors_name_roles_that_are_there() -> None:
    for kind in KINDS:
        plural = resource_of(kind).name
        hint = str(refused(403, b"", verb="list", resource=plural)).rpartition(": see ")[2]
        roles = [each for each in yaml.safe_load_all((REPOSITORY / hint).read_text()) if each["kind"] == "ClusterRole"]
        assert watched(kind) <= rules(roles)


@needs_kubectl
@pytest.mark.parametrize("directory", ["new", "overlays/k3s"])
def test_kubectl_takes_the_manifests(directory: str, tmp_path: Path) -> None:
    with ApiServer(Storage(resources=(*RESOURCES, *DEPLOYED))) as server:
        done = subprocess.run(
            [
                *("kubectl", "--server", server.url, "apply", "-k", str(DEPLOY / directory)),
                *("--dry-run=client", "--validate=false", "-o", "name"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "KUBECONFIG": "/dev/null", "HOME": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == len(kubectl("kustomize", DEPLOY / directory))
        assert done.stderr == ""
        assert not [each for each in server.requests if each.method != "GET"]


@needs_kubectl
def test_the_corefiles_in_the_manifests_pass_the_check(tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    corefile.write_text(of_kind(kubectl("kustomize", DEPLOY / "new"), "ConfigMap")["data"]["Corefile"])
    done = subprocess.run(
        [sys.executable, "-m", "clusterdns", "check", str(corefile)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()


@needs_kubectl
def test_the_volume_for_the_snapshot_is_where_the_corefile_says() -> None:
    objects = kubectl("kustomize", DEPLOY / "new")
    corefile = of_kind(objects, "ConfigMap")["data"]["Corefile"]
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    (path,) = [line.split()[1] for line in corefile.splitlines() if line.split()[:1] == ["snapshot"]]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if path.startswith(f"{each['mountPath']}/")]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    assert "emptyDir" in volume
    assert not mount.get("readOnly")
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"], "who else may write there?"
