# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in a Corefile: it is read or refused with positions, and formatting never changes what it says."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.config.expand import Source
from clusterdns.config.format import format_text
from clusterdns.config.lexer import Comment, Word, parse_lexemes
from clusterdns.config.parser import Block, Snippet, parse_document
from clusterdns.config.plan import Plan
from clusterdns.config.planner import Verdict, check
from clusterdns.errors import ConfigErrors


class AnyArguments:
    """A directive that takes what it gets and remembers it without positions."""

    def __init__(self, terminal: bool = False) -> None:
        self.in_chain = True
        self.terminal = terminal

    def parse(self, reader: DirectiveReader) -> Any:
        return shape(reader.lines)


TABLE = {"log": AnyArguments(), "kubernetes": AnyArguments(), "whoami": AnyArguments(True), "forward": None}
ENVIRONMENT = {"A": "a.test", "LOOP": "x{$LOOP}", "TWO": "{$A}.b", "EMPTY": ""}
FILES = {"/etc/more.conf": "log\nwhoami\n", "/etc/self.conf": "import self.conf\n", "/etc/server.conf": "c.test {\n}\n"}


class MemoryFiles:
    def read(self, path: str) -> str:
        if path not in FILES:
            raise FileNotFoundError(path)
        return FILES[path]

    def glob(self, pattern: str) -> list[str]:
        return sorted(FILES) if pattern == "/etc/*.conf" else []


SYMBOLS = ["{", "}", "{", "}", "\n", "\n", "\n", " ", " ", "\t", "\r\n", "\r", "#", '"', "\\", ",", ":", "/", "@", "."]
KEYS = [
    "a.test",
    "b.test:53",
    "10.0.0.0/7",
    "::/0",
    "tls://a",
    "a.test{",
    "{$A}",
    "{$LOOP}",
    "{%TWO%}",
    "{$EMPTY}",
    "{$}",
]
DIRECTIVES = ["whoami", "log", "kubernetes", "forward", "nope", "fallthrough", "(s)", "s", "import"]
IMPORTS = ["more.conf", "self.conf", "server.conf", "*.conf"]
ODDITIES = ["\u2028", "\x1c", "\ufeff", "é", "\x00"]
pieces = st.sampled_from([*SYMBOLS, *KEYS, *DIRECTIVES, *IMPORTS, *ODDITIES])
spaced = st.lists(st.tuples(pieces, st.sampled_from(["", " ", "\n"])).map("".join), max_size=40).map("".join)
corefile_texts = spaced | st.text(max_size=60)

words = st.text(string.ascii_letters + string.digits + "._:/-$%\\", min_size=1, max_size=8).filter(
    lambda text: text != "import"
)
quoted = st.text(string.printable.replace("\\", ""), max_size=8).filter(lambda text: text not in ("{", "}"))
arguments = words | quoted.map(lambda text: '"' + text.replace('"', '\\"') + '"')
blanks = st.sampled_from([" ", "  ", "\t", " \r "])
line_ends = st.sampled_from(["\n", " # note\n", "#glued\n", "\n\n\n", "\r\n", "\n   # own line\n"])


@st.composite
def valid_corefiles(draw: st.DrawFn) -> str:
    """Server blocks with known directives, in every layout that the language allows."""
    parts = [draw(st.sampled_from(["", "\ufeff", "# head\n", "\n\n"]))]
    for number in range(draw(st.integers(1, 3))):
        keys = [f"z{number}{index}.test" for index in range(draw(st.integers(1, 3)))]
        parts.append(draw(st.sampled_from([" ", ",\n", ", # c\n"])).join(keys))
        parts.append(draw(st.sampled_from([" {", "\n{", " # c\n# d\n{"])) + draw(line_ends | blanks))
        for _ in range(draw(st.integers(0, 3))):
            parts.append(draw(blanks) + draw(st.sampled_from(["log", "kubernetes"])))
            parts.extend(draw(blanks) + argument for argument in draw(st.lists(arguments, max_size=3)))
            if draw(st.booleans()):
                parts.append(draw(blanks) + "{" + draw(line_ends | blanks))
                for _ in range(draw(st.integers(0, 3))):
                    parts.append(draw(blanks) + draw(words))
                    parts.extend(draw(blanks) + argument for argument in draw(st.lists(arguments, max_size=2)))
                    parts.append(draw(line_ends))
                parts.append("}")
            parts.append(draw(line_ends))
        parts.append("}" + draw(line_ends | blanks))
    return "".join(parts)


def verdict(text: str, table: Mapping[str, Any] = TABLE) -> Verdict:
    return check(Source("Corefile", text, "/etc"), table, environment=ENVIRONMENT, files=MemoryFiles())


def shape(lines: tuple[Line, ...]) -> list[Any]:
    return [(line.name.text, line.words, None if line.block is None else shape(line.block)) for line in lines]


def document_shape(text: str) -> list[Any]:
    shapes: list[Any] = []
    for item in parse_document(parse_lexemes(text, "Corefile").tokens).items:
        if isinstance(item, Block):
            shapes.append((tuple(key.text for key in item.keys), item.opening is not None, shape(item.lines)))
        elif isinstance(item, Snippet):
            shapes.append((item.name.text, tuple(token.text for token in item.body)))
        else:
            shapes.append(shape((item,)))
    return shapes


def plan_shape(plan: Plan) -> list[Any]:
    return [
        ([key.address for key in block.keys], [(part.name, part.options) for part in block.directives])
        for block in plan.blocks
    ]


@given(corefile_texts)
@example("{" * 3000)
@example("a {\n" * 3000)
@example(". {\n kubernetes\n {")
@example("(s) {\nimport s\n}\n. {\nimport s\n}")
@example('. {\n log "')
def test_every_text_gets_a_plan_or_faults_with_positions(text: str) -> None:
    found = verdict(text)
    assert (found.plan is None) == bool(found.errors)
    for error in (*found.errors, *found.warnings):
        assert error.message
        assert error.line >= 1
        assert error.column >= 1
        assert str(error).startswith(f"{error.file}:{error.line}:{error.column}: ")


@given(corefile_texts)
def test_positions_point_at_the_words(text: str) -> None:
    rows = text.removeprefix("\ufeff").split("\n")
    for item in parse_lexemes(text, "Corefile").items:
        place = item.token if isinstance(item, Word) else item
        first = item.raw[0] if isinstance(item, Word) else "#"
        assert rows[place.line - 1][place.column - 1] == first


@given(corefile_texts)
def test_a_raw_word_read_again_is_the_same_word(text: str) -> None:
    for item in parse_lexemes(text, "Corefile").items:
        if isinstance(item, Word):
            (again,) = parse_lexemes("\n" + item.raw, "Corefile").items
            assert isinstance(again, Word)
            assert (again.raw, again.token.text) == (item.raw, item.token.text)


@given(corefile_texts)
def test_formatting_is_idempotent_and_keeps_words_and_comments(text: str) -> None:
    try:
        formatted = format_text(text)
    except ConfigErrors:
        assert parse_document(parse_lexemes(text, "Corefile").tokens).errors
        return
    assert format_text(formatted) == formatted
    assert document_shape(formatted) == document_shape(text)
    assert comments(formatted) == comments(text)


def comments(text: str) -> list[str]:
    return [item.text for item in parse_lexemes(text, "Corefile").items if isinstance(item, Comment)]


@given(valid_corefiles())
def test_formatting_keeps_the_plan(text: str) -> None:
    before, after = verdict(text).plan, verdict(format_text(text)).plan
    assert before is not None
    assert after is not None
    assert plan_shape(after) == plan_shape(before)


@given(valid_corefiles(), st.sampled_from(["    ", "\t"]))
def test_digest_ignores_indentation_and_trailing_comments_but_not_new_lines(text: str, indent: str) -> None:
    def digest(changed: str) -> str:
        plan = verdict(changed).plan
        assert plan is not None
        return plan.digest

    text = text.removeprefix("\ufeff")
    assert digest(indent + text.rstrip() + " # more") == digest(text)
    assert digest("\n" + text) != digest(text)
