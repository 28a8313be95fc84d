# SPDX-License-Identifier: Apache-2.0
"""Formatting against what Go's package fmt makes of the same values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterdns.errors import ExpressionError
from clusterdns.expressions.formatting import sprint, sprintf, sprintln
from clusterdns.expressions.formatting.verbs import format_float
from clusterdns.expressions.values import Function, StringMap, Struct

DATA = Path(__file__).parents[2] / "data" / "expressions"
CASES: list[dict[str, Any]] = json.loads((DATA / "go_fmt.json").read_text())
LIMIT = 1000


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['format']!r} {case['values']!r}")
def test_same_as_go(case: dict[str, Any]) -> None:
    assert sprintf(case["format"], case["values"], LIMIT) == case["gives"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["a", "b"], "ab"),
        ([1, 2], "1 2"),
        (["a", 1, 2, "b"], "a1 2b"),
        ([None], "<nil>"),
        ([True, 1.5], "true 1.5"),
        ([["a", 1, None]], "[a 1 <nil>]"),
        ([{"b": 1, "a": [2]}], "map[a:[2] b:1]"),
        ([StringMap(x="y")], "map[x:y]"),
        ([Struct("T", {"A": 1, "B": "x"})], "{1 x}"),
        ([b"\x01\xff"], "[1 255]"),
        ([float("inf"), float("-inf"), float("nan")], "+Inf -Inf NaN"),
        ([], ""),
    ],
)
def test_sprint(values: list[object], text: str) -> None:
    assert sprint(values, LIMIT) == text


def test_sprintln_puts_blanks_everywhere() -> None:
    assert sprintln(["a", "b", 1], LIMIT) == "a b 1\n"


def test_structs_print_their_way() -> None:
    assert sprintf("%+v", [Struct("T", {"A": 1, "B": Struct("U", {"C": "x"})})], LIMIT) == "{A:1 B:{C:x}}"
    assert sprintf("%v|%s|%d", [Struct("T", {"A": 1}, lambda: "shown")] * 3, LIMIT) == "shown|shown|{1}"
    assert sprintf("%+v", [Struct("T", {"A": 1, "M": Function(str)})], LIMIT) == "{A:1}"
    assert sprintf("%T", [Struct("dns.Question", {})], LIMIT) == "dns.Question"


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("%100000d", [1]),
        ("%99999999999d", [1]),
        ("%.100000f", [1.0]),
        ("%*d", [900_000, 1]),
        ("%s%s", ["x" * 600, "y" * 600]),
        ("%[1]s" * 1000, ["x" * 100]),
        ("%v", [[["x" * 100]] * 100]),
        ("%x", ["x" * 600]),
    ],
)
def test_long_results_are_refused_before_they_are_made(template: str, values: list[object]) -> None:
    with pytest.raises(ExpressionError, match="text of more than 1000 characters"):
        sprintf(template, values, LIMIT)


def test_deep_values_are_refused() -> None:
    value: object = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(ExpressionError, match="nests too deeply"):
        sprint([value], LIMIT)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (0.1, "0.1"), (100000.0, "100000"), (1000000.0, "1e+06"),
        (123456.789, "123456.789"), (1e21, "1e+21"), (1e-5, "1e-05"), (0.0001, "0.0001"), (5e-324, "5e-324"),
    ],
)  # fmt: skip
def test_floats_have_as_few_digits_as_possible(value: float, text: str) -> None:
    assert format_float(value) == text
