# SPDX-License-Identifier: Apache-2.0
"""Documents name only what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = (REPOSITORY, REPOSITORY / "clusterdns")
DOCUMENTS = sorted(
    path for folder in (".", "docs", "deploy", "benchmarks", "zones") for path in (REPOSITORY / folder).glob("*.md")
)
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (REPOSITORY / "Makefile").read_text()))


def quoted(path: Path) -> list[str]:
    """Texts in single back quotes, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", path.read_text()))


def paths_named(path: Path) -> list[str]:
    """What is quoted and looks like a path of this repository: relative, with a folder or with a suffix that is ours.
    Patterns such as ``tests/unit/<package>`` name no single file.
    """
    return [
        each
        for each in quoted(path)
        if re.fullmatch(r"\.?\w[\w.-]*(/[\w.-]+)*/?", each) and re.search(r"/|\.(py|md|toml|txt|yaml|c|example)$", each)
    ]


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_the_architecture_names_paths() -> None:
    assert len(paths_named(REPOSITORY / "docs" / "architecture.md")) > 30


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_paths_in_a_document_exist(document: Path) -> None:
    roots = (*ROOTS, document.parent)
    gone = [each for each in paths_named(document) if not any((root / each).exists() for root in roots)]
    assert gone == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_in_a_document_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_make_targets_in_a_document_exist(document: Path) -> None:
    named = re.findall(r"(?m)(?:`|^\$? *)make ([a-z-]+)", document.read_text())
    assert [target for target in named if target not in TARGETS] == []


def test_the_architecture_names_every_package() -> None:
    packages = {path.parent.name for path in (REPOSITORY / "clusterdns").glob("*/__init__.py")}
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    assert {each for each in packages if f"`{each}/" not in text and f"`{each}`" not in text} == set()
