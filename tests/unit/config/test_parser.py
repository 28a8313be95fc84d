# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from clusterdns.config.directive import Line
from clusterdns.config.lexer import parse_lexemes
from clusterdns.config.parser import MAX_DEPTH, Block, Document, Snippet, parse_document, parse_lines


def document(text: str) -> Document:
    return parse_document(parse_lexemes(text, "Corefile").tokens)


def errors(text: str) -> list[str]:
    return [error.coredns_text() for error in document(text).errors]


def places(text: str) -> list[str]:
    return [str(error) for error in document(text).errors]


def shape(line: Line) -> Any:
    return [line.name.text, *line.words, *([] if line.block is None else [[shape(inner) for inner in line.block]])]


def blocks(text: str) -> list[tuple[list[str], list[Any]]]:
    found = document(text)
    assert found.errors == ()
    return [
        ([key.text for key in item.keys], [shape(line) for line in item.lines])
        for item in found.items
        if isinstance(item, Block)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (". {\n}\n", [(["."], [])]),
        (". { }", [(["."], [])]),
        (".\n\n{\n whoami\n}\n", [(["."], [["whoami"]])]),
        (". { whoami\n}", [(["."], [["whoami"]])]),
        ("a b:53 {\n}", [(["a", "b:53"], [])]),
        ("a,\nb {\n}", [(["a,", "b"], [])]),
        ("a, b {\n}", [(["a,", "b"], [])]),
        ("a {\n} b {\n}", [(["a"], []), (["b"], [])]),
        ("a b", [(["a", "b"], [])]),
        ("a\nwhoami\nlog x", [(["a"], [["whoami"], ["log", "x"]])]),
        ("a {\n x {\n  y z\n }\n w\n}", [(["a"], [["x", [["y", "z"]]], ["w"]])]),
        ("a {\n x { y z\n }\n}", [(["a"], [["x", [["y", "z"]]]])]),
        ("a {\n x { y }\n z {\n  y 1 }\n}", [(["a"], [["x", [["y"]]], ["z", [["y", "1"]]]])]),
        ("a {\n x { }\n}", [(["a"], [["x", []]])]),
        ("a {\n x {\n  y {\n   z\n  }\n }\n}", [(["a"], [["x", [["y", [["z"]]]]]])]),
        ('a {\n x "1\n2" 3\n 4\n}', [(["a"], [["x", "1\n2", "3"], ["4"]])]),
        ('a {\n x "{"\n  y\n "}"\n}', [(["a"], [["x", [["y"]]]])]),
    ],
)
def test_blocks(text: str, expected: list[tuple[list[str], list[Any]]]) -> None:
    assert blocks(text) == expected


def test_block_knows_its_braces_and_its_position() -> None:
    (block,) = document("a.test {\n whoami\n}\n").items
    assert isinstance(block, Block)
    assert block.position.text == "a.test"
    assert block.opening is not None
    assert block.closing is not None
    assert (block.opening.line, block.opening.column, block.closing.line) == (1, 8, 3)


def test_snippet_keeps_its_words_unread() -> None:
    (snippet,) = document("(s) {\n a { {\n }\n b\n }\n}\n").items
    assert isinstance(snippet, Snippet)
    assert snippet.key == "s"
    assert [token.text for token in snippet.body] == ["a", "{", "{", "}", "b", "}"]


def test_import_outside_blocks_is_a_line() -> None:
    line, block = document("import x\na {\n}\n").items
    assert isinstance(line, Line)
    assert shape(line) == ["import", "x"]
    assert isinstance(block, Block)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (". {\n whoami\n", "Corefile:2 - Syntax error: Unexpected token 'whoami', expecting '}'"),
        (". {", "Corefile:1 - Syntax error: Unexpected token '{', expecting '}'"),
        (". {\n errors {\n", "Corefile:2 - Error during parsing: Unexpected EOF"),
        (
            ". {\n whoami }\n}\n",
            "Corefile:2 - Error during parsing: Unexpected '}' because no matching opening brace",
        ),
        (
            ". { whoami }\n",
            "Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace",
        ),
        (
            "a, {\n}",
            "Corefile:1 - Error during parsing: Expected another address but had '{' - check for extra comma",
        ),
        ("a,\n", "Corefile:1 - Error during parsing: Unexpected EOF"),
        (". {\n}\n}\n", "Corefile:3 - Error during parsing: Unexpected '}' because no matching opening brace"),
        (".\nwhoami\n}\n", "Corefile:3 - Error during parsing: Unexpected '}' because no matching opening brace"),
        ("a } {\n}\n", "Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace"),
        ("(s)\n", "Corefile:1 - Syntax error: Unexpected token '(s)', expecting '{'"),
        ("(s) {\n a\n", "Corefile:2 - Syntax error: Unexpected token 'a', expecting '}'"),
        (
            ". {\n health {\n } }\n",
            "Corefile:3 - Error during parsing: Unexpected '}' because no matching opening brace",
        ),
        (". {\n health {\n } log\n}\n", "Corefile:3 - Error during parsing: Unexpected token 'log' after '}'"),
        ("a {\n} import b\n", "Corefile:2 - Error during parsing: Unexpected token 'import' after '}'"),
        (". {\n health{\n }\n}\n", "Corefile:2 - Error during parsing: Unknown directive 'health{'"),
        (".{\n whoami\n}\n", "Corefile:1 - Error during parsing: Unexpected '{' at the end of '.{'"),
        (
            ". {\n errors\n {\n  stacktrace\n }\n}\n",
            "Corefile:3 - Error during parsing: Unexpected token '{' on a line of its own",
        ),
        (". {\n {\n }\n}\n", "Corefile:2 - Error during parsing: Unexpected token '{', expecting argument"),
        ("{\n whoami\n}\n", "Corefile:1 - Error during parsing: server block without a zone"),
        ("a,\nimport b\n", "Corefile:2 - Error during parsing: import can't continue a list of keys"),
    ],
)
def test_one_fault_is_reported_once_and_alone(text: str, expected: str) -> None:
    assert errors(text) == [expected]


def test_all_faults_are_reported_and_reading_goes_on_after_each() -> None:
    text = "a {\n health {\n  lameduck 5s }\n log }\nb, {\n errors\n {\n }\n}\n}\nc {\n whoami\n"
    assert places(text) == [
        "Corefile:4:6: Unexpected '}' because no matching opening brace",
        "Corefile:5:4: Expected another address but had '{' - check for extra comma",
        "Corefile:7:2: Unexpected token '{' on a line of its own",
        "Corefile:10:1: Unexpected '}' because no matching opening brace",
        "Corefile:12:2: Unexpected token 'whoami', expecting '}'",
    ]
    keys = [[key.text for key in item.keys] for item in document(text).items if isinstance(item, Block)]
    assert keys == [["a"], ["b,"], ["c"]]


def test_hints_name_the_line_to_look_at() -> None:
    (unclosed,) = document("a {\n x {\n  y\n").errors
    assert unclosed.hint == "the '{' of line 2 is never closed"
    (stray,) = document("a {\n}\n\n}\n").errors
    assert stray.hint == "the block before it is already closed in line 2"


def test_blocks_nested_too_deeply_are_a_fault_and_not_a_crash() -> None:
    text = "a {\n" + "x {\n" * 5000 + "}\n" * 5000 + "}\n"
    (error,) = document(text).errors
    assert str(error) == f"Corefile:{MAX_DEPTH + 2}:3: blocks are nested more than {MAX_DEPTH} deep"


def test_lines_for_an_import_inside_a_block() -> None:
    lines, faults = parse_lines(parse_lexemes("a b\nc {\n d\n}\n}\n", "x.conf").tokens)
    assert [shape(line) for line in lines] == [["a", "b"], ["c", [["d"]]]]
    assert [str(fault) for fault in faults] == ["x.conf:5:1: Unexpected '}' because no matching opening brace"]
