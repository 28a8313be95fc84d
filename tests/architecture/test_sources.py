# SPDX-License-Identifier: Apache-2.0
"""Rules for every source file: its size, its licence line, its name, and tests that can fail."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "clusterdns"
MOST_MODULE_LINES = 450
MOST_FUNCTION_LINES = 60
SAYS_NOTHING = {"util", "utils", "helper", "helpers", "common", "manager", "misc"}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


ALL = sources("clusterdns", "tests", "benchmarks")
PRODUCT = sources("clusterdns")
TEST_MODULES = [path for path in sources("tests") if path.name.startswith("test_")]


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def judges(function: ast.AST) -> bool:
    """True if a function asserts, raises, or expects an exception itself."""
    return any(
        isinstance(node, ast.Assert | ast.Raise)
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.raises", "pytest.warns", "pytest.fail"})
        for node in ast.walk(function)
    )


def calls(function: ast.AST) -> set[str]:
    """The names of what it calls."""
    return {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(function) if isinstance(node, ast.Call)}


JUDGES = {each.name for path in sources("tests") for each in functions(ast.parse(path.read_text())) if judges(each)}
SUPPORT = [each for path in sources("tests/support") for each in functions(ast.parse(path.read_text()))]
JUDGES |= {each.name for each in SUPPORT if not JUDGES.isdisjoint(calls(each))}


def can_fail(test: ast.AST) -> bool:
    """True if a test judges itself, or calls a function of the tests that does, or one of support that calls one."""
    return judges(test) or not JUDGES.isdisjoint(calls(test))


def test_the_rules_see_the_sources() -> None:
    assert len(PRODUCT) > 10
    assert Path(__file__).resolve() in TEST_MODULES


@pytest.mark.parametrize("path", ALL, ids=name)
def test_first_line_is_the_licence(path: Path) -> None:
    assert path.read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_module_and_its_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MOST_MODULE_LINES
    lengths = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions(ast.parse(text))}
    assert {each: length for each, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_module_says_what_it_is(path: Path) -> None:
    assert path.stem not in SAYS_NOTHING
    assert path.name == "_version.py" or ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_no_exception_is_swallowed_unseen(path: Path) -> None:
    swallowed = [
        handler.lineno
        for handler in ast.walk(ast.parse(path.read_text()))
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"})
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in handler.body)
    ]
    assert swallowed == []


@pytest.mark.parametrize("path", TEST_MODULES, ids=name)
def test_every_test_can_fail(path: Path) -> None:
    tests = [each for each in functions(ast.parse(path.read_text())) if each.name.startswith("test_")]
    assert [each.name for each in tests if not can_fail(each)] == []
