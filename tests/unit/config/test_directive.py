# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.config.directive import BlockContext, DirectiveReader, Line, Token, parse_with
from clusterdns.config.lexer import parse_lexemes
from clusterdns.config.parser import parse_lines
from clusterdns.errors import ConfigError, ExpressionError

BLOCK = BlockContext(zones=(".",), directory="/", root="", directives=frozenset({"demo"}))


def lines(text: str) -> tuple[Line, ...]:
    found, errors = parse_lines(parse_lexemes(text, "Corefile").tokens)
    assert errors == ()
    return found


def reader(text: str) -> DirectiveReader:
    return DirectiveReader("demo", lines(text), BLOCK)


@pytest.mark.parametrize(("text", "word"), [("demo", "demo"), ("demo a", "a"), ("demo a b c d", "d")])
def test_wrong_number_of_arguments_is_told_at_the_word_where_reading_stops(text: str, word: str) -> None:
    (line,) = lines(text)
    with pytest.raises(ConfigError) as raised:
        line.expect(2, 3)
    assert raised.value.message == f"Wrong argument count or unexpected line ending after '{word}'"
    assert raised.value.column == text.rindex(word) + 1


def test_arguments_within_the_bounds_are_given_back() -> None:
    (line,) = lines("demo a b")
    assert line.expect(2) == line.expect(1, 3) == ("a", "b")


def test_block_where_none_may_be_is_told_at_its_brace() -> None:
    (line,) = lines("demo a {\n}")
    with pytest.raises(ConfigError) as raised:
        line.no_block()
    assert str(raised.value) == "Corefile:1:8: Unexpected token '{', expecting argument"


def test_second_occurrence_of_a_directive_that_may_stand_once() -> None:
    found = reader("demo a\ndemo b\ndemo c")
    assert found.once().words == ("a",)
    assert [str(error) for error in found.errors] == [
        f"Corefile:{line}:1: this plugin can only be used once per Server Block" for line in (2, 3)
    ]
    assert found.errors[0].coredns_text() == "plugin/demo: this plugin can only be used once per Server Block"


def test_options_go_to_their_handlers_and_every_fault_is_collected() -> None:
    found = reader("demo {\n good 1\n bad\n strange\n good 2\n}")
    seen: list[str] = []

    def bad(line: Line) -> None:
        raise line.wrong_count()

    found.options(found.lines[0], {"good": lambda line: seen.extend(line.words), "bad": bad})
    assert seen == ["1", "2"]
    assert [error.coredns_text() for error in found.errors] == [
        "plugin/demo: Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'bad'",
        "plugin/demo: Corefile:4 - Error during parsing: unknown property 'strange'",
    ]


def test_warning_is_shown_with_the_directive_and_without_position_in_the_words_of_coredns() -> None:
    found = reader("demo x")
    found.warn(found.lines[0].args[0], "x is odd", hint="drop it")
    (warning,) = found.warnings
    assert (str(warning), warning.hint) == ("Corefile:1:6: x is odd", "drop it")
    assert warning.coredns_text() == "plugin/demo: x is odd"


def test_machine_has_no_interfaces_unless_told() -> None:
    assert BLOCK.interface_addresses("lo") == ()


def test_fault_of_an_expression_gets_the_position_of_its_word() -> None:
    def refuse(text: str) -> int:
        raise ExpressionError(f"bad {text}")

    with pytest.raises(ConfigError) as raised:
        parse_with(Token("5x", "Corefile", 4, 7), refuse)
    assert str(raised.value) == "Corefile:4:7: bad 5x"
    assert parse_with(Token("5", "Corefile", 4, 7), int) == 5
