# SPDX-License-Identifier: Apache-2.0
"""Corefile text to words.

Words are separated by Unicode white space. A ``"`` at the start of a word opens a quoted one, which may hold blanks,
``#`` and line ends and knows one escape, ``\\"``; after its closing quote the next word may follow at once. A quoted
word means the same as a bare one. ``#`` begins a comment wherever it stands outside quotes, also glued to a word, and
the comment runs to the end of the line. A CR outside quotes is dropped, as if it weren't there.
"""

from __future__ import annotations

import msgspec

from clusterdns.config.directive import Token
from clusterdns.errors import ConfigError

BYTE_ORDER_MARK = "\ufeff"
# Unicode's White_Space property. str.isspace() has four separators (U+001C to U+001F) more.
_BLANKS = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)


class Word(msgspec.Struct, frozen=True):
    """A word as it is written: ``raw`` keeps the quotes and escapes that ``token.text`` has lost."""

    token: Token
    raw: str


class Comment(msgspec.Struct, frozen=True):
    """A comment from its ``#`` to the end of the line, without blanks at its end."""

    text: str
    line: int
    column: int


class Lexemes(msgspec.Struct, frozen=True):
    """What a text consists of: words and comments in their order, and what is odd but read all the same."""

    items: tuple[Word | Comment, ...]
    warnings: tuple[ConfigError, ...] = ()

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The words alone, which is all that has a meaning."""
        return tuple(item.token for item in self.items if isinstance(item, Word))


def parse_lexemes(text: str, file: str) -> Lexemes:
    """Split the text of ``file`` into words and comments. Every text can be split."""
    return _Lexer(text, file).run()


def end_line(token: Token) -> int:
    """The line that the word ends on: a quoted word may run over several."""
    return token.line + token.text.count("\n")


class _Lexer:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.position = 1 if text.startswith(BYTE_ORDER_MARK) else 0
        self.line = 1
        self.line_start = self.position
        self.items: list[Word | Comment] = []
        self.warnings: list[ConfigError] = []

    def run(self) -> Lexemes:
        text, size = self.text, len(self.text)
        while self.position < size:
            char = text[self.position]
            if char == "\n":
                self.position += 1
                self._new_line(self.position)
            elif char in _BLANKS:
                self.position += 1
            elif char == "#":
                self._comment()
            elif char == '"':
                self._quoted()
            else:
                self._bare()
        return Lexemes(tuple(self.items), tuple(self.warnings))

    def _new_line(self, start: int) -> None:
        self.line += 1
        self.line_start = start

    def _column(self) -> int:
        return self.position - self.line_start + 1

    def _comment(self) -> None:
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        self.items.append(Comment(self.text[self.position : end].rstrip(), self.line, self._column()))
        self.position = end

    def _bare(self) -> None:
        text, start = self.text, self.position
        end = start
        while end < len(text) and text[end] != "#" and (text[end] not in _BLANKS or text[end] == "\r"):
            end += 1
        word = text[start:end].replace("\r", "")
        self.items.append(Word(Token(word, self.file, self.line, self._column()), word))
        self.position = end

    def _quoted(self) -> None:
        text, start = self.text, self.position
        line, column = self.line, self._column()
        value: list[str] = []
        at = start + 1
        while at < len(text) and text[at] != '"':
            char = text[at]
            if char == "\\" and at + 1 == len(text):
                break
            if char == "\\":
                at += 1
                char = '"' if text[at] == '"' else "\\" + text[at]
            if char.endswith("\n"):
                self._new_line(at + 1)
            value.append(char)
            at += 1
        token = Token("".join(value), self.file, line, column)
        if at < len(text) and text[at] == '"':
            self.items.append(Word(token, text[start : at + 1]))
            self.position = at + 1
            return
        self.warnings.append(
            token.error(
                "the quote is never closed", hint='write a " where the text ends', label=ConfigError.NO_POSITION
            )
        )
        if value:
            self.items.append(Word(token, text[start:at] + '"'))
        self.position = len(text)
