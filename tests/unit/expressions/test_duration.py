# SPDX-License-Identifier: Apache-2.0
"""Durations against what Go's package time makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterdns.errors import ExpressionError
from clusterdns.expressions.duration import format_duration, parse_duration, parse_duration_nanoseconds

DATA = Path(__file__).parents[2] / "data" / "expressions"
CASES: list[dict[str, Any]] = json.loads((DATA / "go_strconv.json").read_text())


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["call"][0] == "dur"], ids=lambda case: repr(case["call"][1])
)
def test_parsed_as_by_go(case: dict[str, Any]) -> None:
    text = case["call"][1]
    if "error" in case:
        with pytest.raises(ExpressionError) as caught:
            parse_duration_nanoseconds(text)
        assert str(caught.value) == case["error"]
    else:
        assert parse_duration_nanoseconds(text) == int(case["gives"])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["call"][0] == "durfmt"], ids=lambda case: case["gives"]
)
def test_formatted_as_by_go(case: dict[str, Any]) -> None:
    assert format_duration(int(case["call"][1]) / 1e9) == case["gives"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("1m30s", 90), ("250ms", 0.25), ("0", 0), ("-1.5h", -5400), ("2µs", 2e-6)]
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", 'time: missing unit in duration "30"'),
        ("x", 'time: invalid duration "x"'),
        ("3x", 'time: unknown unit "x" in duration "3x"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


def test_long_text_is_refused_fast() -> None:
    with pytest.raises(ExpressionError, match="invalid duration"):
        parse_duration("9" * 1_000_000 + "s")
    assert parse_duration("0." + "0" * 100_000 + "s") == 0
