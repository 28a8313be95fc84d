# SPDX-License-Identifier: Apache-2.0
"""An option that is read into a field and never looked at again does nothing: each field has a reader."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "clusterdns"
TREES = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def fields() -> Iterator[tuple[str, str]]:
    """The structures that plugins and what they configure are made of: ``module.Class`` and the name of a field."""
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any("Struct" in ast.unparse(base) for base in node.bases):
                for line in node.body:
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                        yield f"{path.relative_to(PACKAGE)}:{node.name}", line.target.id


def read_names() -> Counter[str]:
    """How often each name is read as an attribute, by dot or by ``getattr``."""
    found: Counter[str] = Counter()
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found[node.attr] += 1
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                found.update(str(argument.value) for argument in node.args[1:2] if isinstance(argument, ast.Constant))
    return found


def test_no_option_is_read_and_forgotten() -> None:
    read = read_names()
    known = [*fields()]
    assert len(known) > 300
    configured = [(place, name) for place, name in known if place.startswith(("plugins/", "upstream/"))]
    assert [f"{place}.{name}" for place, name in configured if not read[name]] == []
