# SPDX-License-Identifier: Apache-2.0
"""The locked versions are complete, exact, and what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCKS = ("build", "run", "dev")


def locked(lock: str) -> dict[str, str]:
    """Version by name."""
    text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text()
    return {canonicalize_name(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", text)}


def missing(requirements: list[str], lock: str) -> list[str]:
    versions = locked(lock)
    wanted = [Requirement(text) for text in requirements]
    return [
        str(each)
        for each in wanted
        if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"), prereleases=True)
        or canonicalize_name(each.name) not in versions
    ]


def test_all_that_pyproject_asks_for_is_locked() -> None:
    project = PROJECT["project"]
    assert missing(project["dependencies"], "run") == []
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    assert missing(project["dependencies"] + extras, "dev") == []
    assert missing(PROJECT["build-system"]["requires"], "build") == []


def test_locks_agree_with_each_other() -> None:
    dev = locked("dev")
    for lock in ("build", "run"):
        assert {name: dev.get(name) for name in locked(lock)} == locked(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_version_is_exact_and_has_hashes(lock: str) -> None:
    joined = (REPOSITORY / "requirements" / f"{lock}.txt").read_text().replace("\\\n", " ")
    entries = re.findall(r"(?m)^[^\s#].*", joined)
    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_host(lock: str) -> None:
    assert re.findall(r"\w+://\S+|(?m:^-.*)", (REPOSITORY / "requirements" / f"{lock}.txt").read_text()) == []
