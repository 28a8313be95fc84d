# SPDX-License-Identifier: Apache-2.0
"""``clusterdns serve --manifests`` on a directory that is edited while it is asked."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "service-clusterip.dev.svc.cluster.local."
END_SECONDS = 5.0
OTHERS = """\
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: b}}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(REPOSITORY / "zones" / "manifests", tmp_path / "manifests"))


@pytest.fixture
def served(start_server: Any, directory: Path) -> Any:
    return start_server("serve", "--manifests", str(directory), "--port", "PORT", first_name=NAME)


def addresses(served: Any, name: str = NAME) -> list[str]:
    return [record.to_text() for rrset in served.ask(name, "A").answer for record in rrset]


def comes(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + END_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def test_it_serves_the_directory_and_nothing_else_without_complaints(start_server: Any, directory: Path) -> None:
    (directory / "others.yaml").write_text(OTHERS)
    served = start_server("serve", "--manifests", str(directory), "--port", "PORT", first_name=NAME)
    assert addresses(served) == ["10.10.97.97"]
    assert served.ask("97.97.10.10.in-addr.arpa.", "PTR").answer[0][0].to_text() == NAME
    assert served.ask("example.org.", "A").rcode().name == "REFUSED"
    assert f"[INFO] {directory}: objects of other kinds are ignored: Deployment (1), Ingress (2)\n" in served.output()
    assert "[WARNING]" not in served.output()
    assert "[ERROR]" not in served.output()


def test_a_broken_manifest_is_reported_with_its_line_and_changes_no_answer(served: Any, directory: Path) -> None:
    manifest = directory / "03-clusterip.yaml"
    good = manifest.read_text()
    line = 1 + good[: good.index("clusterIP:")].count("\n")
    manifest.write_text(good.replace("10.10.97.97", "10.10.97.977"))
    report = f"[ERROR] {manifest}:{line}: spec.clusterIP: '10.10.97.977' is not an IP address\n"
    assert comes(lambda: report in served.output())
    assert addresses(served) == ["10.10.97.97"]
    assert addresses(served, "kubernetes.default.svc.cluster.local.") == ["10.10.0.1"]
    manifest.write_text(good.replace("10.10.97.97", "10.10.97.98"))
    assert comes(lambda: addresses(served) == ["10.10.97.98"])
    assert served.output().count("[ERROR]") == 1
