# SPDX-License-Identifier: Apache-2.0
"""Words of an expression (expr-lang), and errors that show where in the expression they are."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from clusterdns.errors import ExpressionError
from clusterdns.expressions.quoting import quote
from clusterdns.expressions.template.lexer import describe

_WORD_OPERATORS = frozenset(
    ("not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else")
)
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_NUMBER = re.compile(
    r"(?:0[xX][0-9a-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*)"
    r"(?:\.(?!\.)[0-9_]*)?(?:[eE][+-]?[0-9_]*)?",
    re.ASCII,
)
_OPERATOR = re.compile(r"\?[.?]?|\|\|?|::?|[&!=*<>][&=*]?|\.\.?|[,;%+\-^/]")


class Kind(enum.Enum):
    """What a token is; the value is its name in errors."""

    IDENTIFIER = "Identifier"
    NUMBER = "Number"
    STRING = "String"
    BYTES = "Bytes"
    OPERATOR = "Operator"
    BRACKET = "Bracket"
    EOF = "EOF"


@dataclass(frozen=True, slots=True)
class Token:
    """A word: its text (of literals, what they stand for) and where it starts."""

    kind: Kind
    text: str
    position: int

    def __str__(self) -> str:
        return f"{self.kind.value}({quote(self.text)})" if self.text else self.kind.value

    def is_operator(self, text: str) -> bool:
        return self.kind is Kind.OPERATOR and self.text == text

    def is_bracket(self, text: str) -> bool:
        return self.kind is Kind.BRACKET and self.text == text


def error_at(source: str, position: int, message: str) -> ExpressionError:
    """An error that points into the expression: ``MESSAGE (LINE:COLUMN)``, the line, and a caret below."""
    before, line_break, _ = source[:position].rpartition("\n")
    start = len(before) + len(line_break)
    line = source[start:].partition("\n")[0]
    if not line:
        return ExpressionError(message, position)
    column = min(position, len(source)) - start
    number = source.count("\n", 0, start) + 1
    shown = line.replace("\t", " ")
    return ExpressionError(f"{message} ({number}:{column + 1})\n | {shown}\n | {'.' * column}^", position)


class Lexer:
    """Reads an expression word by word."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def next(self) -> Token:
        """The next word; EOF for ever at the end. Raises ExpressionError."""
        source = self._source
        self._skip_blank()
        start = self._at
        char = source[start : start + 1]
        if not char:
            return Token(Kind.EOF, "", max(len(source) - 1, 0))
        if char in "'\"":
            return self._string(start, Kind.STRING)
        if char in "bB" and source[start + 1 : start + 2] in ("'", '"'):
            return self._string(start, Kind.BYTES)
        if char == "`":
            return self._raw_string(start)
        if "0" <= char <= "9" or (char == "." and "0" <= source[start + 1 : start + 2] <= "9"):
            return self._number(start)
        if char in "([{)]}":
            return self._take(Kind.BRACKET, start + 1)
        if char == "#":
            return self._take(Kind.OPERATOR, start + (2 if source.startswith("##", start) else 1))
        operator = _OPERATOR.match(source, start)
        if operator:
            return self._take(Kind.OPERATOR, operator.end())
        if not is_word(char):
            raise self._error(f"unrecognized character: {describe(char)}", start)
        end = self._word_end(start)
        return self._take(Kind.OPERATOR if source[start:end] in _WORD_OPERATORS else Kind.IDENTIFIER, end)

    def _take(self, kind: Kind, end: int) -> Token:
        token = Token(kind, self._source[self._at : end], self._at)
        self._at = end
        return token

    def _error(self, message: str, position: int) -> ExpressionError:
        return error_at(self._source, position, message)

    def _skip_blank(self) -> None:
        source = self._source
        while self._at < len(source):
            if source[self._at].isspace():
                self._at += 1
            elif source.startswith("//", self._at):
                end = source.find("\n", self._at)
                self._at = len(source) if end < 0 else end + 1
            elif source.startswith("/*", self._at):
                end = source.find("*/", self._at + 2)
                if end < 0:
                    raise self._error("unclosed comment", len(source))
                self._at = end + 2
            else:
                return

    def _word_end(self, at: int) -> int:
        while at < len(self._source) and is_word(self._source[at]):
            at += 1
        return at

    def _number(self, start: int) -> Token:
        match = _NUMBER.match(self._source, start)
        end = match.end() if match else start + 1
        if end < len(self._source) and is_word(self._source[end]):
            raise self._error(f"bad number syntax: {quote(self._source[start : end + 1])}", end)
        return self._take(Kind.NUMBER, end)

    def _raw_string(self, start: int) -> Token:
        end = start + 1
        while True:
            end = self._source.find("`", end)
            if end < 0:
                raise self._error("literal not terminated", len(self._source))
            if not self._source.startswith("``", end):
                break
            end += 2
        self._at = end + 1
        return Token(Kind.STRING, self._source[start + 1 : end].replace("``", "`"), start)

    def _string(self, start: int, kind: Kind) -> Token:
        source = self._source
        at = start + (2 if kind is Kind.BYTES else 1)
        mark = source[at - 1]
        pieces: list[str] = []
        while True:
            char = source[at : at + 1]
            if not char or char == "\n":
                raise self._error("literal not terminated", at)
            if char == mark:
                break
            if char == "\\":
                piece, at = self._escape(at + 1, mark, kind)
                pieces.append(piece)
            else:
                newline = char == "\r"
                at += 2 if newline and source.startswith("\r\n", at) else 1
                pieces.append("\n" if newline else char)
        self._at = at + 1
        return Token(kind, "".join(pieces), start)

    def _escape(self, at: int, mark: str, kind: Kind) -> tuple[str, int]:
        source = self._source
        name = source[at : at + 1]
        if name in _SIMPLE_ESCAPES or name == mark:
            return _SIMPLE_ESCAPES.get(name, name), at + 1
        if name and name in "01234567":
            code, end = self._digits(at, 3, 8)
            if code > 0xFF:
                raise self._error("unable to unescape string", end)
        elif name == "x":
            code, end = self._digits(at + 1, 2, 16)
        elif name in ("u", "U") and kind is Kind.STRING:
            if source.startswith("u{", at):
                closing = source.find("}", at)
                code, end = self._digits(at + 2, max(closing, at + 3) - at - 2, 16)
                end += 1
            else:
                code, end = self._digits(at + 1, 4 if name == "u" else 8, 16)
            if code > 0x10FFFF:
                raise self._error("unable to unescape string", end)
        else:
            raise self._error("invalid char escape", at)
        return chr(0xFFFD if 0xD800 <= code <= 0xDFFF else code), end

    def _digits(self, at: int, count: int, base: int) -> tuple[int, int]:
        allowed = "01234567" if base == 8 else "0123456789abcdefABCDEF"
        if count > 8:
            raise self._error("invalid char escape", at)
        for offset in range(count):
            digit = self._source[at + offset : at + offset + 1]
            if not digit or digit not in allowed:
                raise self._error("invalid char escape", at + offset)
        return int(self._source[at : at + count], base), at + count


def is_word(char: str) -> bool:
    """Whether a character may stand in a name."""
    return char in "_$" or char.isalpha() or char.isdecimal()
