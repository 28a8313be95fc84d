# SPDX-License-Identifier: Apache-2.0
"""Expressions against what expr-lang makes of them, and their limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from support.effort import effort

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr import Expression, is_reserved_name
from clusterdns.expressions.expr.types import ANY, ARRAY, BOOL, FLOAT, INT, MAP, STRING, Signature, Type
from clusterdns.expressions.formatting import sprint

DATA = Path(__file__).parents[2] / "data" / "expressions"
CASES: list[dict[str, Any]] = json.loads((DATA / "expr_lang.json").read_text())

SIGNATURES = {
    "incidr": Signature((STRING, STRING), BOOL),
    "metadata": Signature((STRING,), STRING),
    **dict.fromkeys(("type", "name", "client_ip"), Signature((), STRING)),
    "size": Signature((), INT),
    "do": Signature((), BOOL),
    "group": Signature((ANY,), STRING),
}
TYPES: dict[str, Type] = {"n": INT, "s": STRING, "b": BOOL, "f": FLOAT, "l": ARRAY, "m": MAP, "u": ANY}
VALUES: dict[str, object] = {
    "n": 5, "s": "abc", "b": True, "f": 2.5, "l": [1, "x", 2.5, None], "m": {"k": 1, "z": None}, "u": None,
}  # fmt: skip


def incidr(address: str, network: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        raise ExpressionError("first argument is not an IP address") from None


FUNCTIONS: dict[str, Callable[..., object]] = {
    "incidr": incidr,
    "metadata": lambda label: f"md:{label}",
    "type": lambda: "A",
    "name": lambda: "a.example.",
    "client_ip": lambda: "10.0.0.1",
    "size": lambda: 30,
    "do": lambda: True,
    "group": lambda which: sprint([which], 1000),
}


def parse(text: str) -> Expression:
    return Expression.parse(text, SIGNATURES, TYPES)


def value(text: str) -> object:
    return parse(text).evaluate(FUNCTIONS, VALUES)


def failure(text: str) -> str:
    expression = parse(text)
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(FUNCTIONS, VALUES)
    return str(caught.value)


def refusal(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["expression"]))
def test_same_as_expr_lang(case: dict[str, Any]) -> None:
    text = case["expression"]
    if "refused" in case:
        assert refusal(text) == case["refused"]
    elif "fails" in case:
        assert failure(text) == case["fails"]
    else:
        result = value(text)
        assert (sprint([result], 10_000) if result is not None else "<nil>") == case["gives"]


def test_an_error_points_at_its_place() -> None:
    assert refusal("nope(") == "unexpected token EOF (1:5)\n | nope(\n | ....^"
    assert refusal("1 +\n 'x'").endswith("(1:3)\n | 1 +\n | ..^")
    with pytest.raises(ExpressionError) as caught:
        parse("true &&\n nope")
    assert caught.value.offset == 9
    assert str(caught.value) == "unknown name nope (2:2)\n |  nope\n | .^"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "unknown name nope"),
        ("nope()", "unknown name nope"),
        ("len", "function len has to be called"),
        ("any == nil", "function any has to be called"),
        ("now()", "function now is not supported here"),
        ("client_ip == '10.0.0.1'", "invalid operation: == (mismatched types func() string and string)"),
        ("name(1)", "too many arguments to call name"),
        ("incidr('a')", "not enough arguments to call incidr"),
        ("incidr(1, 'a')", "cannot use int as argument (type string) to call incidr"),
        ("n + 'x'", "invalid operation: + (mismatched types int and string)"),
        ("s matches '('", "error parsing regexp: missing closing ): `(`"),
        ("let n = 1; n", "cannot redeclare n"),
        ("filter([1], 'x')", "predicate should return boolean (got string)"),
    ],
)
def test_faults_show_when_parsed(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", INT), ("1.5", FLOAT), ("'x'", STRING), ("true", BOOL), ("name()", STRING), ("n + 1", INT),
        ("n / 2", FLOAT), ("s + 'x'", STRING), ("l", ARRAY), ("m", MAP), ("split(s, 'b')[0]", STRING),
        ("b ? 1 : 2", INT), ("group(1) == ''", BOOL), ("let x = 1; x", INT), ("len(s)", INT),
    ],
)  # fmt: skip
def test_the_type_of_the_result_is_known(text: str, kind: Type) -> None:
    assert parse(text).type == kind


def test_names_in_use_are_known() -> None:
    assert parse("incidr(client_ip(), '10.0.0.0/8') && n > len(s)").used == {"incidr", "client_ip", "n", "s"}
    assert parse("$env.n + 1").used == {"n"}
    assert parse("let x = 1; x").used == set()


def test_long_chains_of_operators_are_no_nesting() -> None:
    assert value(" || ".join(f"name() == 'host{number}.example.'" for number in range(1000))) is False
    assert value(" + ".join(["1"] * 1000)) == 1000
    assert value(" && ".join(["true"] * 1000)) is True
    assert value("name() in [" + ", ".join(f"'h{number}'" for number in range(1000)) + "]") is False


def test_what_is_not_needed_is_not_evaluated() -> None:
    assert value("false && incidr('x', 'y')") is False
    assert value("true || incidr('x', 'y')") is True
    assert value("false && true || true") is True
    assert value("true ? 1 : int('x')") == 1
    assert value("1 ?? int('x')") == 1
    assert value("m?.z?.a.b.c") is None


def test_arguments_of_unknown_type_are_checked_when_they_are_there() -> None:
    assert failure("metadata(l[0])").startswith("interface conversion: interface {} is int, not string")
    assert failure("u && true").startswith("interface conversion: interface {} is nil, not bool")


def test_integers_have_64_bits() -> None:
    assert value("9223372036854775807 + 1") == -(2**63)
    assert value("4611686018427387904 * 4") == 0
    assert value("bitshl(1, 1000)") == 0


@pytest.mark.parametrize("name", ["len", "any", "true", "let", "not", "in", "now", "1a", "a-b", "", "nil", "matches"])
def test_names_with_a_meaning_are_reserved(name: str) -> None:
    assert is_reserved_name(name)


@pytest.mark.parametrize("name", ["a", "ip", "lens", "_x", "type2"])
def test_other_names_are_free(name: str) -> None:
    assert not is_reserved_name(name)


# Limits


@pytest.mark.parametrize(
    "text",
    [
        "1..1000000000",
        "1..9223372036854775807",
        "len(repeat('x', 1000000))",
        "reduce(1..100, #acc + #acc, 'xxxxxxxxxx')",
        "map(1..1000, 1..1000)",
        "let a = repeat('x', 10000); replace(a, '', a)",
        "join(map(1..1000, repeat('x', 1000)))",
        "split(repeat('x', 60000), '') == split(repeat('x', 60000), '')",
        "reduce(1..40, [#acc, #acc], [1]) | flatten()",
        "string(reduce(1..40, [#acc, #acc], [1]))",
        "all(1..1000, all(1..1000, true))",
        "uniq(1..5000)",
        "let a = 1..40000; 0 in a || 0 in a || 0 in a",
        "reduce(1..60, [#acc, #acc], [1]) == reduce(1..60, [#acc, #acc], [1])",
    ],
)
def test_work_and_memory_are_limited(text: str) -> None:
    message, turns = effort(lambda: failure(text))
    limits = ("memory budget exceeded", "step limit exceeded", "text of more than")
    assert any(limit in message for limit in limits), message
    assert turns < 200


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "[" * 10_000,
        "!" * 10_000 + "true",
        "-" * 5000 + "1",
        "1 ? " * 5000 + "1",
        "let a = 1; " * 5000 + "1",
        "m" + ".k" * 5000,
        "1" + " | string()" * 5000,
        "2 ** " * 5000 + "2",
        "[" + "1, " * 20_000 + "1]",
        "x" * 100_000,
    ],
)
def test_nesting_and_size_are_limited_when_parsed(text: str) -> None:
    assert any(words in refusal(text) for words in ("nests too deeply", "exceeds maximum allowed nodes", "more than"))


def test_nesting_that_people_write_is_fine() -> None:
    assert value("(" * 20 + "1" + ")" * 20) == 1
    assert value("b ? " * 20 + "1" + " : 2" * 20) == 1
    assert value("".join(f"let x{n} = {n}; " for n in range(20)) + "x19") == 19


def test_values_that_nest_without_end_are_refused() -> None:
    assert "too deeply" in failure("string(reduce(1..5000, [#acc], [1]))")
    assert "recursion depth" in failure("flatten(reduce(1..5000, [#acc], [1]))")
