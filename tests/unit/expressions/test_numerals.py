# SPDX-License-Identifier: Apache-2.0
"""Numbers and literals against what Go's strconv makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterdns.errors import ExpressionError
from clusterdns.expressions import numerals
from clusterdns.expressions.quoting import quote, to_bytes, to_text, unquote

DATA = Path(__file__).parents[2] / "data" / "expressions"
CASES: list[dict[str, Any]] = [
    case for case in json.loads((DATA / "go_strconv.json").read_text()) if not case["call"][0].startswith("dur")
]


def call(function: str, text: str, *numbers: str) -> str:
    match function:
        case "atoi":
            return str(numerals.atoi(text))
        case "int":
            return str(numerals.parse_int(text, *map(int, numbers)))
        case "uint":
            return str(numerals.parse_uint(text, *map(int, numbers)))
        case "float":
            shown = f"{numerals.parse_float(text):.17e}"
            return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(shown, shown)
        case "quote":
            return quote(text)
        case "quotea":
            return quote(text, ascii_only=True)
    return unquote(text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(map(repr, case["call"])))
def test_same_as_go(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(ExpressionError) as caught:
            call(*case["call"])
        assert str(caught.value) == case["error"]
    else:
        assert call(*case["call"]) == case["gives"]


def test_long_digit_strings_end_at_the_limit_not_at_their_end() -> None:
    with pytest.raises(ExpressionError, match="value out of range"):
        numerals.atoi("9" * 1_000_000)
    with pytest.raises(ExpressionError, match="invalid syntax"):
        numerals.parse_float("9" * 1_000_000)


@pytest.mark.parametrize(
    ("value", "wrapped"), [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (-(2**63) - 1, 2**63 - 1), (2**64, 0)]
)
def test_integers_wrap_around_at_64_bits(value: int, wrapped: int) -> None:
    assert numerals.wrap_int64(value) == wrapped


@pytest.mark.parametrize("data", [b"plain", b"\xff\x00", "é".encode()])
def test_bytes_survive_as_text(data: bytes) -> None:
    assert to_bytes(to_text(data)) == data


def test_lone_surrogates_do_not_break_encoding() -> None:
    assert to_bytes("a\ud800b") == b"a?b"
    assert quote("\ud800") == '"\\ufffd"'
    assert quote("\udcff") == '"\\xff"'
