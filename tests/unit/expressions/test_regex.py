# SPDX-License-Identifier: Apache-2.0
"""Regular expressions: what they match, and errors in the words of Go's package regexp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.effort import effort

from clusterdns.errors import ExpressionError
from clusterdns.expressions.regex import Regex, compile_regex

DATA = Path(__file__).parents[2] / "data" / "expressions"
CASES: list[dict[str, Any]] = json.loads((DATA / "go_regexp.json").read_text())


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=lambda case: repr(case["pattern"]))
def test_same_verdict_as_go(case: dict[str, Any]) -> None:
    if case["error"]:
        with pytest.raises(ExpressionError) as caught:
            compile_regex(case["pattern"])
        assert str(caught.value) == case["error"]
    else:
        assert isinstance(compile_regex(case["pattern"]), Regex)


@pytest.mark.parametrize("case", [case for case in CASES if "text" in case], ids=lambda case: repr(case["pattern"]))
def test_finds_what_go_finds(case: dict[str, Any]) -> None:
    regex = compile_regex(case["pattern"])
    groups = regex.find(case["text"])
    assert (None if groups is None else list(groups)) == case["finds"]
    assert regex.matches(case["text"]) == (case["finds"] is not None)


def test_groups_have_names_by_number() -> None:
    assert compile_regex("(?P<a>x)(y)(?P<b>z)").names == ("", "a", "", "b")
    assert compile_regex("x").names == ("",)


def test_span_counts_characters() -> None:
    assert compile_regex("é.").span("aéb") == (1, 3)
    assert compile_regex("b").span("ab") == (1, 2)
    assert compile_regex("c").span("ab") is None


def test_errors_know_where_they_are() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_regex("ab(c[d-a])")
    assert caught.value.offset == 5


@pytest.mark.parametrize("pattern", ["a\\C", "\\\\\\C"])
def test_any_byte_is_refused_as_by_go(pattern: str) -> None:
    with pytest.raises(ExpressionError, match=r"invalid escape sequence: `\\C`"):
        compile_regex(pattern)


@pytest.mark.parametrize("pattern", ["\\\\C", "\\Q\\C\\E", "\\Q\\C"])
def test_what_only_looks_like_any_byte_is_taken(pattern: str) -> None:
    assert compile_regex(pattern).matches("\\C")


def test_patterns_that_backtracking_engines_choke_on_take_linear_time() -> None:
    regex = compile_regex("(a*)*b")
    matches, turns = effort(lambda: regex.matches("a" * 100_000))
    assert not matches
    assert turns < 50


def test_large_patterns_get_more_memory_and_huge_ones_are_refused() -> None:
    assert compile_regex("(?:[a-z0-9]{20}[.]){50}").matches("abcdefghij0123456789." * 50)
    with pytest.raises(ExpressionError, match="expression too large"):
        compile_regex("((?:\\pL{100}){10}){1}(?:\\pN{100}){9}" * 40)


def test_nothing_is_written_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExpressionError):
        compile_regex("(")
    assert capfd.readouterr().err == ""


def test_equal_patterns_are_equal() -> None:
    assert compile_regex("a+") == compile_regex("a+")
    assert compile_regex("a+") != compile_regex("a*")
    assert len({compile_regex("a+"), compile_regex("a+")}) == 1
    assert repr(compile_regex("a+")) == "Regex('a+')"
