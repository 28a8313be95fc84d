# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.config.directive import Token
from clusterdns.config.environment import expand_token
from clusterdns.errors import ConfigError

ENVIRONMENT = {"A": "1", "B": "{$A}2", "C": "a b", "SELF": "x{$SELF}", "PING": "{$PONG}", "PONG": "{$PING}"}


def expand(text: str) -> tuple[str, list[str]]:
    unset: list[str] = []
    return expand_token(Token(text, "Corefile", 3, 4), ENVIRONMENT, unset).text, unset


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{$A}", "1"),
        ("{%A%}", "1"),
        ("x{$A}y{$A}z{%A%}", "x1y1z1"),
        ("{$B}", "12"),
        ("{%B%}", "12"),
        ("{$C}", "a b"),
        ("{$}", "{$}"),
        ("{$}{$A}", "{$}{$A}"),
        ("{%}", "{%}"),
        ("{$A", "{$A"),
        ("}{$A}", "}1"),
        ("{{ .Name }}", "{{ .Name }}"),
        ("{{ $v }}", "{{ $v }}"),
    ],
)
def test_references(text: str, expected: str) -> None:
    assert expand(text) == (expected, [])


def test_variable_that_is_not_set_is_empty_and_told() -> None:
    assert expand("a{$NOPE}b{%NADA%}") == ("ab", ["NADA", "NOPE"])


def test_word_keeps_its_position() -> None:
    token = expand_token(Token("{$A}", "Corefile", 3, 4), ENVIRONMENT, [])
    assert token == Token("1", "Corefile", 3, 4)


@pytest.mark.parametrize("text", ["{$SELF}", "{$PING}"])
def test_references_without_end_are_a_fault(text: str) -> None:
    with pytest.raises(ConfigError, match="without end") as raised:
        expand(text)
    assert (raised.value.line, raised.value.column) == (3, 4)


def test_values_that_double_without_end_are_stopped_by_size() -> None:
    with pytest.raises(ConfigError, match="without end"):
        expand_token(Token("{$X}", "Corefile", 1, 1), {"X": "{$X}{$Y}", "Y": "y" * 50_000}, [])
