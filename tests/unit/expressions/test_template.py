# SPDX-License-Identifier: Apache-2.0
"""Templates against what Go's text/template makes of them, and their limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.effort import effort

from clusterdns.errors import ExpressionError
from clusterdns.expressions.numerals import parse_uint
from clusterdns.expressions.template import Limits, Template
from clusterdns.expressions.values import Function, StringMap, Struct

DATA = Path(__file__).parents[2] / "data" / "expressions"
CASES: list[dict[str, Any]] = json.loads((DATA / "go_templates.json").read_text())

FUNCTIONS = {"parseInt": Function(parse_uint, ("string", "int", "int"))}
VIEW = Struct(
    "*main.D",
    {
        "Zone": "example.",
        "Name": "a.example.",
        "Regex": "",
        "Match": ["a.example.", "a"],
        "Group": StringMap({"0": "a.example.", "1": "a", "x": "ff"}),
        "Class": "IN",
        "Type": "A",
        "Question": Struct("*main.Q", {"Name": "A.example.", "Qtype": 1, "Qclass": 1}),
        "Remote": "10.0.0.1",
        "Var": {"i": 2, "s": "str", "b": True, "l": [1, "x", 2.5], "m": {"k": 1}},
        "N": 5,
        "F": 2.5,
        "B": True,
        "L": [1, "two", 3.0, True, None],
        "E": [],
        "U": None,
        "Meta": Function(lambda label: "v" if label == "k" else "", ("string",)),
    },
)


def render(text: str, data: object = VIEW, **limits: int) -> str:
    return Template.parse(text, "answer", FUNCTIONS, Limits(**limits)).render(data)


def failure(text: str, data: object = VIEW, **limits: int) -> str:
    with pytest.raises(ExpressionError) as caught:
        render(text, data, **limits)
    return str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["template"]))
def test_same_as_go(case: dict[str, Any]) -> None:
    if "error" in case:
        assert failure(case["template"]) == case["error"]
    else:
        assert render(case["template"]) == case["gives"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if "canonical" in case], ids=lambda case: repr(case["template"])
)
def test_canonical_form_is_gos(case: dict[str, Any]) -> None:
    assert Template.parse(case["template"], "answer", FUNCTIONS).canonical == case["canonical"]


def test_maps_do_as_data() -> None:
    assert render("{{ .a }}{{ .b.c }}{{ .d }}", {"a": 1, "b": {"c": "x"}}) == "1x<no value>"


def test_attributes_of_objects_are_out_of_reach() -> None:
    class Secret:
        password = "hunter2"

    for text in ("{{ .o.password }}", "{{ .o.__class__ }}", '{{ index .o "password" }}', "{{ .s.__class__ }}"):
        assert "hunter2" not in failure(text, {"o": Secret(), "s": "text"})


def test_numbers_and_booleans_do_not_mix() -> None:
    assert "incompatible types" in failure("{{ eq 1 true }}")
    assert "range can't iterate over true" in failure("{{ range .B }}{{ end }}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ call .Meta }}", 'function "call" not defined'),
        ("{{ 1i }}", 'illegal number syntax: "1i"'),
        ("{{ 1+2i }}", 'bad number syntax: "1+2i"'),
        ("{{ '' }}", "invalid syntax"),
    ],
)
def test_what_go_has_and_we_do_not_is_refused_when_parsed(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Template.parse(text, "answer")
    assert str(caught.value) == f"template: answer:1: {message}"


def test_errors_know_where_they_are() -> None:
    with pytest.raises(ExpressionError) as caught:
        Template.parse("a\n{{ nope }}", "answer")
    assert caught.value.offset == 5


# Limits


@pytest.mark.parametrize(
    "text",
    [
        "{{ range 1000000000 }}{{ end }}",
        "{{ range 1000000 }}x{{ end }}",
        "{{ range 1000 }}{{ range 1000 }}{{ end }}{{ end }}",
        '{{ define "r" }}{{ range 100 }}{{ template "s" }}{{ end }}{{ end }}'
        '{{ define "s" }}{{ range 100 }}{{ template "t" }}{{ end }}{{ end }}'
        '{{ define "t" }}{{ range 100 }}{{ end }}{{ end }}{{ template "r" }}',
    ],
)
def test_steps_are_limited(text: str) -> None:
    message, turns = effort(lambda: failure(text))
    assert "more than 100000 steps" in message or "output of more than" in message
    assert turns < 200


def test_output_is_limited() -> None:
    assert render("{{ range 10 }}0123456789{{ end }}", characters=100) == "0123456789" * 10
    assert "output of more than 99 characters" in failure("{{ range 10 }}0123456789{{ end }}", characters=99)


@pytest.mark.parametrize(
    "text",
    [
        '{{ $x := "0123456789" }}{{ range 100 }}{{ $x = printf "%s%s" $x $x }}{{ end }}',
        '{{ $x := "<" }}{{ range 100 }}{{ $x = html $x $x }}{{ end }}',
        '{{ $x := "&" }}{{ range 13 }}{{ $x = print $x $x }}{{ end }}{{ urlquery $x $x $x $x }}',
        '{{ printf "%100000d" 1 }}',
    ],
)
def test_texts_on_the_way_are_limited(text: str) -> None:
    assert "text of more than 65536 characters" in failure(text)


def test_long_texts_cost_steps() -> None:
    text = '{{ $x := printf "%60000s" "" }}{{ range 1000 }}{{ $y := print $x "" }}{{ end }}'
    assert "more than 100000 steps" in failure(text)


def test_recursion_is_limited() -> None:
    text = '{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}'
    assert "exceeded maximum template depth (100)" in failure(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}",
        "{{ if 1 }}" * 10_000 + "{{ end }}" * 10_000,
        "{{ if 1 }}" + "{{ else if 1 }}" * 10_000 + "{{ end }}",
        "{{ range 1 }}" * 200,
    ],
)
def test_nesting_is_limited(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"max expression depth exceeded|text of more than"):
        Template.parse(text, "answer")


def test_nesting_that_people_write_is_fine() -> None:
    assert render("{{ if 1 }}" * 25 + "x" + "{{ end }}" * 25) == "x"
    assert render("{{ if 0 }}" + "{{ else if 0 }}" * 25 + "{{ else }}x{{ end }}") == "x"
    assert render("{{ " + "(" * 25 + "print 1" + ")" * 25 + " }}") == "1"


def test_rendering_leaves_the_template_as_it_is() -> None:
    template = Template.parse("{{ $x := .a }}{{ $x = 2 }}{{ $x }}{{ .a }}", "answer")
    assert [template.render({"a": value}) for value in (1, 5)] == ["21", "25"]
