# SPDX-License-Identifier: Apache-2.0
"""Words of a template: text outside ``{{ … }}``, and what stands inside (Go package text/template/parse)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from clusterdns.expressions.quoting import quote

_SPACES = " \t\r\n"
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?",
    re.ASCII,
)
_QUOTED = {
    '"': (re.compile(r'"(?:[^"\\\n]|\\[^\n])*"'), "unterminated quoted string"),
    "'": (re.compile(r"'(?:[^'\\\n]|\\[^\n])*'"), "unterminated character constant"),
    "`": (re.compile(r"`[^`]*`"), "unterminated raw quoted string"),
}


class Kind(enum.Enum):
    """What a token is."""

    ERROR = enum.auto()
    EOF = enum.auto()
    TEXT = enum.auto()
    LEFT_DELIM = enum.auto()
    RIGHT_DELIM = enum.auto()
    SPACE = enum.auto()
    ASSIGN = enum.auto()
    DECLARE = enum.auto()
    PIPE = enum.auto()
    CHAR = enum.auto()
    CHAR_CONSTANT = enum.auto()
    STRING = enum.auto()
    RAW_STRING = enum.auto()
    NUMBER = enum.auto()
    BOOL = enum.auto()
    DOT = enum.auto()
    FIELD = enum.auto()
    VARIABLE = enum.auto()
    IDENTIFIER = enum.auto()
    LEFT_PAREN = enum.auto()
    RIGHT_PAREN = enum.auto()
    KEYWORD = enum.auto()


KEYWORDS = frozenset(("block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with"))
_SINGLE = {"=": Kind.ASSIGN, "|": Kind.PIPE, "(": Kind.LEFT_PAREN, ")": Kind.RIGHT_PAREN}
_OF_QUOTE = {'"': Kind.STRING, "'": Kind.CHAR_CONSTANT, "`": Kind.RAW_STRING}


@dataclass(frozen=True, slots=True)
class Token:
    """A word: its text, where it starts, and its line counted from 1."""

    kind: Kind
    text: str
    position: int
    line: int

    def __str__(self) -> str:
        if self.kind in (Kind.EOF, Kind.ERROR):
            return self.text
        if self.kind in (Kind.KEYWORD, Kind.DOT):
            return f"<{self.text}>"
        return f"{quote(self.text[:10])}..." if len(self.text) > 10 else quote(self.text)

    def is_keyword(self, word: str) -> bool:
        return self.kind is Kind.KEYWORD and self.text == word


class Lexer:
    """Reads a template word by word. A fault is a token too; after it comes only the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._inside = False
        self._depth = 0

    def next(self) -> Token:
        """The next word."""
        return self._next_inside() if self._inside else self._next_outside()

    def _take(self, kind: Kind, end: int) -> Token:
        token = Token(kind, self._text[self._at : end], self._at, self._line)
        self._skip_to(end)
        return token

    def _skip_to(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _fault(self, message: str) -> Token:
        token = Token(Kind.ERROR, message, self._at, self._line)
        self._text = ""
        self._at = 0
        self._inside = False
        return token

    def _next_outside(self) -> Token:
        text = self._text
        while self._at < len(text):
            opening = text.find("{{", self._at)
            if opening < 0:
                return self._take(Kind.TEXT, len(text))
            trims = self._has_left_marker(opening + 2)
            end = opening
            if trims:
                while end > self._at and text[end - 1] in _SPACES:
                    end -= 1
            if end > self._at:
                token = self._take(Kind.TEXT, end)
                self._skip_to(opening)
                return token
            self._skip_to(opening)
            inside = opening + (4 if trims else 2)
            if not text.startswith("/*", inside):
                token = self._take(Kind.LEFT_DELIM, opening + 2)
                self._skip_to(inside)
                self._inside = True
                self._depth = 0
                return token
            fault = self._skip_comment(inside)
            if fault is not None:
                return fault
        return Token(Kind.EOF, "EOF", self._at, self._line)

    def _skip_comment(self, start: int) -> Token | None:
        self._skip_to(start)
        end = self._text.find("*/", start + 2)
        if end < 0:
            return self._fault("unclosed comment")
        width, trims = self._right_delim(end + 2)
        if not width:
            return self._fault("comment ends before closing delimiter")
        self._skip_to(end + 2 + width)
        if trims:
            self._skip_spaces()
        return None

    def _has_left_marker(self, at: int) -> bool:
        return self._text[at : at + 1] == "-" and self._text[at + 1 : at + 2] in tuple(_SPACES)

    def _right_delim(self, at: int) -> tuple[int, bool]:
        """Width of the right delimiter at a place, 0 if there is none, and whether it trims."""
        text = self._text
        if text[at : at + 1] in tuple(_SPACES) and text.startswith("-}}", at + 1):
            return 4, True
        return (2 if text.startswith("}}", at) else 0), False

    def _skip_spaces(self) -> None:
        end = self._at
        while end < len(self._text) and self._text[end] in _SPACES:
            end += 1
        self._skip_to(end)

    def _next_inside(self) -> Token:
        width, trims = self._right_delim(self._at)
        if width:
            if self._depth:
                return self._fault("unclosed left paren")
            return self._take_right_delim(width, trims)
        char = self._text[self._at : self._at + 1]
        if not char:
            return self._fault("unclosed action")
        if char in _SPACES:
            return self._take_spaces()
        if char in _OF_QUOTE:
            pattern, message = _QUOTED[char]
            match = pattern.match(self._text, self._at)
            return self._take(_OF_QUOTE[char], match.end()) if match else self._fault(message)
        following = self._text[self._at + 1 : self._at + 2]
        if char == ":":
            return self._take(Kind.DECLARE, self._at + 2) if following == "=" else self._fault("expected :=")
        if char == "$" or (char == "." and following and not "0" <= following <= "9"):
            return self._take_name(Kind.VARIABLE if char == "$" else Kind.FIELD)
        if char in "+-." or "0" <= char <= "9":
            return self._take_number()
        if _is_word(char):
            return self._take_identifier()
        return self._take_punctuation(char)

    def _take_punctuation(self, char: str) -> Token:
        if char == "(":
            self._depth += 1
        elif char == ")":
            if not self._depth:
                return self._fault("unexpected right paren")
            self._depth -= 1
        if char in _SINGLE:
            return self._take(_SINGLE[char], self._at + 1)
        if " " <= char <= "~":
            return self._take(Kind.CHAR, self._at + 1)
        return self._fault(f"unrecognized character in action: {describe(char)}")

    def _take_right_delim(self, width: int, trims: bool) -> Token:
        self._skip_to(self._at + width - 2)
        token = self._take(Kind.RIGHT_DELIM, self._at + 2)
        if trims:
            self._skip_spaces()
        self._inside = False
        return token

    def _take_spaces(self) -> Token:
        end = self._at
        while end < len(self._text) and self._text[end] in _SPACES:
            end += 1
        if self._text.startswith("-}}", end):
            end -= 1  # the last space belongs to the trim marker
        return self._take(Kind.SPACE, end)

    def _take_name(self, kind: Kind) -> Token:
        end = self._at + 1
        if self._is_terminator(end):
            return self._take(Kind.DOT if kind is Kind.FIELD else kind, end)
        end = self._word_end(end)
        if not self._is_terminator(end):
            return self._fault(f"bad character {describe(self._text[end])}")
        return self._take(kind, end)

    def _take_identifier(self) -> Token:
        end = self._word_end(self._at)
        if not self._is_terminator(end):
            return self._fault(f"bad character {describe(self._text[end])}")
        word = self._text[self._at : end]
        if word in KEYWORDS:
            return self._take(Kind.KEYWORD, end)
        return self._take(Kind.BOOL if word in ("true", "false") else Kind.IDENTIFIER, end)

    def _take_number(self) -> Token:
        match = _NUMBER.match(self._text, self._at)
        end = match.end() if match else self._at + 1
        if end < len(self._text) and _is_word(self._text[end]):
            return self._fault(f"bad number syntax: {quote(self._text[self._at : end + 1])}")
        if self._text[end : end + 1] in ("+", "-"):  # a complex number, which nothing here can use
            second = _NUMBER.match(self._text, end)
            end = second.end() if second else end
            end += end < len(self._text) and _is_word(self._text[end])
            return self._fault(f"bad number syntax: {quote(self._text[self._at : end])}")
        return self._take(Kind.NUMBER, end)

    def _word_end(self, at: int) -> int:
        while at < len(self._text) and _is_word(self._text[at]):
            at += 1
        return at

    def _is_terminator(self, at: int) -> bool:
        """Whether a name may end here; ``$x+2`` is refused."""
        char = self._text[at : at + 1]
        return not char or char in _SPACES or char in ".,|:)(" or self._text.startswith("}}", at)


def describe(char: str) -> str:
    """A character as fmt's ``%#U`` prints it: ``U+0040 '@'``."""
    code = f"U+{ord(char):04X}"
    return f"{code} '{char}'" if char.isprintable() else code


def _is_word(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdecimal()
