# SPDX-License-Identifier: Apache-2.0
"""What deploy/ says, read as kubectl reads it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
DISTRIBUTIONS = sorted((REPOSITORY / "tests" / "data" / "deployments").glob("*.yaml"))

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


@needs_kubectl
def test_the_role_lets_the_server_read_what_it_watches_and_nothing_else() -> None:
    (rule_of_core, rule_of_discovery) = of_kind(kubectl("kustomize", DEPLOY / "new"), "ClusterRole")["rules"]
    assert rule_of_core == {
        "apiGroups": [""],
        "resources": ["services", "pods", "namespaces"],
        "verbs": ["list", "watch"],
    }
    assert rule_of_discovery == {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    }
