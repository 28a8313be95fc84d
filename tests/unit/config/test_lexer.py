# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.config.lexer import Comment, end_line, parse_lexemes


def words(text: str) -> list[str]:
    return [token.text for token in parse_lexemes(text, "Corefile").tokens]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a b\tc\nd", ["a", "b", "c", "d"]),
        ("a\u00a0b\u2003c\u3000d", ["a", "b", "c", "d"]),
        ("a\x1cb", ["a\x1cb"]),
        ("\ufeffa", ["a"]),
        ("a\r\nb", ["a", "b"]),
        ("a\rb", ["ab"]),
        ("health{", ["health{"]),
        ('"a b" c', ["a b", "c"]),
        ('"a"b', ["a", "b"]),
        ('a"b c"', ['a"b', 'c"']),
        ('"a # b"', ["a # b"]),
        ('"a\nb"', ["a\nb"]),
        ('"a\r\nb"', ["a\r\nb"]),
        (r'"say \"hi\""', ['say "hi"']),
        (r'"\d+\\"', [r"\d+\\"]),
        ('""', [""]),
        ('"{"', ["{"]),
        ("# all of it", []),
        ("a # b", ["a"]),
        ("a #b\nc", ["a", "c"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_comment_glued_to_a_word_ends_the_word_and_runs_to_the_end_of_the_line() -> None:
    assert words("whoami#x foo\nlog") == ["whoami", "log"]


def test_comment_after_a_quoted_word() -> None:
    assert words('"a"#b c\nd') == ["a", "d"]


def test_words_know_file_line_and_column() -> None:
    tokens = parse_lexemes('a\n  "b\nc" d\n', "conf/Corefile").tokens
    assert [(token.text, token.file, token.line, token.column) for token in tokens] == [
        ("a", "conf/Corefile", 1, 1),
        ("b\nc", "conf/Corefile", 2, 3),
        ("d", "conf/Corefile", 3, 4),
    ]
    assert [end_line(token) for token in tokens] == [1, 3, 3]


def test_columns_do_not_count_the_byte_order_mark() -> None:
    (token,) = parse_lexemes("\ufeffa", "Corefile").tokens
    assert token.column == 1


def test_comments_are_kept_with_their_position() -> None:
    lexemes = parse_lexemes("a # one  \n\t#two\r\n", "Corefile")
    assert [item for item in lexemes.items if isinstance(item, Comment)] == [
        Comment("# one", 1, 3),
        Comment("#two", 2, 2),
    ]


@pytest.mark.parametrize(("text", "expected"), [('a "b c\n', ["a", "b c\n"]), ('a "b\\', ["a", "b"]), ('a "', ["a"])])
def test_quote_that_is_never_closed_runs_to_the_end_with_a_warning(text: str, expected: list[str]) -> None:
    lexemes = parse_lexemes(text, "Corefile")
    assert [token.text for token in lexemes.tokens] == expected
    assert [str(warning) for warning in lexemes.warnings] == ["Corefile:1:3: the quote is never closed"]
