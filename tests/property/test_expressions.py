# SPDX-License-Identifier: Apache-2.0
"""Any text is understood or refused with an ExpressionError, and what is understood runs within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import assume, given
from hypothesis import strategies as st

from clusterdns.errors import ExpressionError
from clusterdns.expressions import numerals
from clusterdns.expressions.duration import format_duration, parse_duration, parse_duration_nanoseconds
from clusterdns.expressions.expr import Expression
from clusterdns.expressions.expr.types import ANY, ARRAY, BOOL, INT, MAP, STRING, Signature
from clusterdns.expressions.formatting import sprintf
from clusterdns.expressions.quoting import quote, unquote
from clusterdns.expressions.regex import compile_regex
from clusterdns.expressions.template import Limits, Template
from clusterdns.expressions.values import Function, StringMap, Struct

LIMITS = Limits(steps=2000, characters=2000)
DATA = Struct(
    "T",
    {
        "Name": "a.example.",
        "Match": ["a.example.", "a"],
        "Group": StringMap({"a": "1"}),
        "Var": {"n": 1, "f": 1.5, "b": False, "none": None, "l": [1, "x", [2]]},
        "Meta": Function(lambda label: label * 2, ("string",)),
    },
)
TEMPLATE_PIECES = st.sampled_from(
    ["{{", "}}", "{{- ", " -}}", ".Name", ".Match", ".Group.a", ".Var.l", ".Var.none", ".Meta", " ", "if ", "else ",
     "end", "range ", "with ", "define ", "template ", "block ", "break", "continue", "$x", "$", ":=", "=", ",",
     "|", "(", ")",
     '"t"', '"%[1]*v %q"', "'c'", "1", "-0x1F", "1e999", ".", "printf ", "index ", "slice ", "len ", "html ", "eq ",
     "lt ", "and ", "not ", "nil", "true", "{{/* c */}}", "\n", "é", "\udcff"]
)  # fmt: skip
EXPRESSION_PIECES = st.sampled_from(
    ["n", "s", "l", "m", "u", "f()", "g(", "1", "1.5", "0x", "1e999", "'a'", "`r`", "b'x'", "true", "nil", "[", "]",
     "{", "}", "(", ")", ",", ":", ";", "?", "?.", "??", ".", "..", "|", "||", "&&", "!", "not ", " in ", " contains ",
     " matches ", "+", "-", "*", "/", "%", "**", "==", "<", "let x = ", "x", "if ", "else ", "#", "#acc", "map(",
     "filter(", "reduce(", "len(", "split(", "replace(", "repeat(", "flatten(", "sort(", "max(", "int(", "string(",
     " ", "\n", "é", "//", "/*"]
)  # fmt: skip
SIGNATURES = {"f": Signature((), STRING), "g": Signature((STRING, ANY), BOOL)}
TYPES = {"n": INT, "s": STRING, "l": ARRAY, "m": MAP, "u": ANY}
FUNCTIONS = {"f": lambda: "x", "g": lambda text, value: text == value}
VALUES: dict[str, object] = {"n": 3, "s": "abc", "l": [1, "x", None, [2.5]], "m": {"k": [1]}, "u": None}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


T = TypeVar("T")


def attempt(call: Callable[..., T], *args: Any) -> tuple[T | None, str]:
    """What the call gives, and the text of its error, of which there must be one kind only."""
    try:
        return call(*args), ""
    except ExpressionError as error:
        return None, str(error) or "no reason"


@given(st.lists(TEMPLATE_PIECES, max_size=20).map("".join) | st.text(max_size=60))
def test_any_template_renders_within_limits_or_is_refused(text: str) -> None:
    template, error = attempt(lambda: Template.parse(text, "t", limits=LIMITS))
    rendered = None
    if template is not None:
        rendered, error = attempt(template.render, DATA)
    assert error.startswith("template: t") if rendered is None else len(rendered) <= LIMITS.characters


@given(st.lists(TEMPLATE_PIECES, max_size=20).map("".join))
def test_canonical_templates_mean_the_same(text: str) -> None:
    template, _ = attempt(lambda: Template.parse("{{ $x := 1 }}" + text, "t", limits=LIMITS))
    rendered, _ = attempt(template.render, DATA) if template is not None else (None, "")
    assume(template is not None and rendered is not None and "{{" not in rendered)
    assume("define" not in text and "block" not in text)
    assert template is not None
    again = Template.parse(template.canonical, "t", limits=LIMITS)
    assert again.canonical == template.canonical
    assert again.render(DATA) == rendered


@given(st.lists(EXPRESSION_PIECES, max_size=16).map("".join) | st.text(max_size=60))
def test_any_expression_gives_a_value_or_is_refused(text: str) -> None:
    expression, _ = attempt(Expression.parse, text, SIGNATURES, TYPES)
    value, _ = attempt(expression.evaluate, FUNCTIONS, VALUES) if expression is not None else (None, "")
    assert value is None or isinstance(value, (bool, int, float, str, bytes, list, tuple, dict)) or callable(value)


@given(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70), st.sampled_from("+-*/%"))
def test_arithmetic_stays_in_64_bits(left: int, right: int, operator: str) -> None:
    value, error = attempt(lambda: Expression.parse(f"{left} {operator} ({right})").evaluate())
    assert error or isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**63)


@given(st.text(max_size=40) | st.text("()[]{}*+?|\\.^$a-z0-9<>P:=!", max_size=30), st.text(max_size=20))
def test_any_pattern_matches_or_is_refused(pattern: str, text: str) -> None:
    regex, error = attempt(compile_regex, pattern)
    if regex is None:
        assert error.startswith("error parsing regexp: ")
    else:
        found = regex.find(text)
        assert regex.matches(text) == (found is not None)
        assert found is None or len(found) == len(regex.names)


@given(st.text() | st.text("0123456789.+-nuµsmh", max_size=12))
def test_any_duration_is_seconds_or_refused(text: str) -> None:
    seconds, error = attempt(parse_duration, text)
    assert error.startswith("time: ") if seconds is None else math.isfinite(seconds)


@given(st.integers(-(10**15), 10**15))
def test_formatted_durations_read_back_equal(nanoseconds: int) -> None:
    assert parse_duration_nanoseconds(format_duration(nanoseconds / 1e9)) == nanoseconds


@given(st.text() | st.text("0123456789_xXbo.+-eEpPabcinf", max_size=12))
def test_any_number_is_read_or_refused(text: str) -> None:
    for parse in (numerals.atoi, numerals.parse_uint, numerals.parse_float, lambda text: numerals.parse_int(text, 0)):
        value, error = attempt(parse, text)
        assert error.startswith("strconv.") if value is None else isinstance(value, (int, float))


@given(st.text(), st.booleans())
def test_quoted_text_reads_back_equal(text: str, ascii_only: bool) -> None:
    assert unquote(quote(text, ascii_only=ascii_only)) == text


@given(st.text() | st.text("\"`'\\nxu0123abc", max_size=12))
def test_any_literal_is_read_or_refused(literal: str) -> None:
    text, error = attempt(unquote, literal)
    assert error == "invalid syntax" if text is None else len(text) < len(literal)


@given(st.text("%vdsqxXoOUceEfFgGtT+-# 0123456789.*[]a", max_size=20), st.lists(ANYTHING, max_size=3))
def test_any_format_prints_within_its_limit(template: str, values: list[object]) -> None:
    text, error = attempt(sprintf, template, values, 500)
    assert "more than 500 characters" in error or "nests" in error if text is None else len(text) <= 500
