# SPDX-License-Identifier: Apache-2.0
"""Words to server blocks, snippets and imports, as they stand in one file.

The grammar is small. A file is a sequence of server blocks, snippets and imports; a server block is a list of keys and
a ``{ … }`` of lines; a line is a name, arguments up to the end of the line, and possibly a ``{ … }`` of lines itself.
A file of one block may leave the braces of that block out. Names and arguments mean nothing here yet.

A fault never ends the reading: it is noted, and reading goes on where a person would. Messages are CoreDNS's where it
has one for the fault.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from clusterdns.config.directive import Line, Token
from clusterdns.config.lexer import end_line
from clusterdns.errors import ConfigError

# Directives read one level of sub-block; deeper ones are only kept in balance. The limit keeps recursion harmless.
MAX_DEPTH = 50
TOO_DEEP = f"blocks are nested more than {MAX_DEPTH} deep"

_UNOPENED = "Unexpected '}' because no matching opening brace"
_BLANK_BEFORE_BRACE = "write a blank before the '{'"
_UNEXPECTED_BRACE = "Unexpected token '{', expecting argument"


class Block(msgspec.Struct, frozen=True):
    """A server block: its keys as written, commas included, and its lines.

    opening, closing: the braces, None where they are left out.
    """

    keys: tuple[Token, ...]
    lines: tuple[Line, ...]
    opening: Token | None = None
    closing: Token | None = None

    @property
    def position(self) -> Token:
        """Where the block starts."""
        if self.keys:
            return self.keys[0]
        return self.opening or self.lines[0].name


class Snippet(msgspec.Struct, frozen=True):
    """A named piece of Corefile: ``(name) { … }``. Its words get a meaning where they are imported, not before."""

    name: Token
    body: tuple[Token, ...]

    @property
    def key(self) -> str:
        """The name without its parentheses."""
        return self.name.text[1:-1]


Item: TypeAlias = Block | Snippet | Line


class Document(msgspec.Struct, frozen=True):
    """The items of one file (a Line at this level is an import), and the faults found in it."""

    items: tuple[Item, ...]
    errors: tuple[ConfigError, ...]


def parse_document(tokens: tuple[Token, ...]) -> Document:
    """Read the words of a file, or of a snippet that is imported outside all blocks."""
    parser = _Parser(tokens)
    items = parser.items()
    return Document(tuple(items), tuple(parser.errors))


def parse_lines(tokens: tuple[Token, ...]) -> tuple[tuple[Line, ...], tuple[ConfigError, ...]]:
    """Read the words of a file or snippet that is imported inside a block: lines, and the faults found in them."""
    parser = _Parser(tokens)
    lines = parser.lines_to_end()
    return tuple(lines), tuple(parser.errors)


def is_import(line: Line) -> bool:
    """True if the line is an import and not a directive."""
    return line.name.text == "import"


def _has_glued_brace(token: Token) -> bool:
    return len(token.text) > 1 and token.text.endswith("{")


class _Parser:
    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = tokens
        self.index = 0
        self.errors: list[ConfigError] = []
        self.ended_early = False

    # Looking at words

    def peek(self) -> Token | None:
        return self.tokens[self.index] if self.index < len(self.tokens) else None

    def take(self) -> Token:
        token = self.tokens[self.index]
        self.index += 1
        return token

    def starts_line(self) -> bool:
        """True if the next word is the first of its line."""
        if self.index == 0:
            return True
        return end_line(self.tokens[self.index - 1]) < self.tokens[self.index].line

    def report(self, token: Token, message: str, hint: str = "", label: str = ConfigError.PARSING) -> None:
        self.errors.append(token.error(message, hint=hint, label=label))

    def end_of_file(self, message: str, opening: Token | None, label: str = ConfigError.PARSING) -> None:
        """Report a file that ends too early; only once, for the innermost thing that is open."""
        if not self.ended_early:
            hint = f"the '{{' of line {opening.line} is never closed" if opening else ""
            self.report(self.tokens[-1], message, hint, label)
        self.ended_early = True

    # The outer level

    def items(self) -> list[Item]:
        items: list[Item] = []
        closed: Token | None = None
        while (token := self.peek()) is not None:
            if token.text == "}":
                self.stray(self.take(), closed)
            elif token.text == "import":
                if not self.starts_line():
                    self.report(token, "Unexpected token 'import' after '}'", "write it on a line of its own")
                line = self.line(0)
                items.extend([line] if line else [])
            else:
                item = self.server_block()
                items.extend([item] if item else [])
                closed = self.tokens[self.index - 1]
        return items

    def stray(self, token: Token, closed: Token | None = None) -> None:
        hint = f"the block before it is already closed in line {closed.line}" if closed and closed.text == "}" else ""
        self.report(token, _UNOPENED, hint or "remove it, or write the '{' that it closes")

    def server_block(self) -> Block | Snippet | None:
        keys = self.keys()
        token = self.peek()
        if keys and _has_glued_brace(keys[-1]):
            self.report(keys[-1], f"Unexpected '{{' at the end of '{keys[-1].text}'", _BLANK_BEFORE_BRACE)
            lines, closing = self.block_lines(keys[-1], 0)
            return Block(keys, lines, None, closing)
        if len(keys) == 1 and keys[0].text.startswith("(") and keys[0].text.endswith(")"):
            return self.snippet(keys[0])
        if token is None or token.text != "{":
            return Block(keys, tuple(self.lines_to_end())) if keys else None
        opening = self.take()
        if not keys:
            self.report(opening, "server block without a zone", "write the zones that it answers before the '{'")
        lines, closing = self.block_lines(opening, 0)
        return Block(keys, lines, opening, closing) if keys else None

    def keys(self) -> tuple[Token, ...]:
        """The keys up to the end of the line or a ``{``; a comma at the end of a key lets them go on after it."""
        keys: list[Token] = []
        another = False
        while (token := self.peek()) is not None:
            if token.text == "{":
                if another:
                    self.report(token, "Expected another address but had '{' - check for extra comma")
                return tuple(keys)
            if keys and not another and self.starts_line():
                return tuple(keys)
            if token.text == "}":
                self.stray(self.take())
                continue
            if another and token.text == "import" and self.starts_line():
                self.report(token, "import can't continue a list of keys", "write the keys here")
            keys.append(self.take())
            another = token.text.endswith(",")
        if another:
            self.end_of_file("Unexpected EOF", None)
        return tuple(keys)

    def snippet(self, name: Token) -> Snippet | None:
        opening = self.peek()
        if opening is None or opening.text != "{":
            at = opening or name
            self.report(at, f"Unexpected token '{at.text}', expecting '{{'", label=ConfigError.SYNTAX)
            return None
        self.take()
        start, depth = self.index, 1
        while (token := self.peek()) is not None:
            depth += (token.text == "{") - (token.text == "}")
            if depth == 0:
                self.take()
                return Snippet(name, self.tokens[start : self.index - 1])
            self.take()
        self.end_of_file(f"Unexpected token '{self.tokens[-1].text}', expecting '}}'", opening, ConfigError.SYNTAX)
        return None

    # Lines

    def lines_to_end(self) -> list[Line]:
        lines: list[Line] = []
        while (token := self.peek()) is not None:
            if token.text == "}":
                # Behind other words of its line it has been reported with them.
                if self.starts_line():
                    self.stray(token)
                self.take()
                continue
            line = self.line(0)
            lines.extend([line] if line else [])
        return lines

    def block_lines(self, opening: Token, depth: int) -> tuple[tuple[Line, ...], Token | None]:
        """The lines up to the ``}`` that closes ``opening``, and that ``}``; depth 0 is a server block."""
        lines: list[Line] = []
        while (token := self.peek()) is not None:
            if token.text == "}":
                return tuple(lines), self.take()
            line = self.line(depth)
            lines.extend([line] if line else [])
        if depth == 0:
            self.end_of_file(f"Unexpected token '{self.tokens[-1].text}', expecting '}}'", opening, ConfigError.SYNTAX)
        else:
            self.end_of_file("Unexpected EOF", opening)
        return tuple(lines), None

    def line(self, depth: int) -> Line | None:
        """One line with its block; None if it has no name and is only skipped. ``depth`` counts the open sub-blocks."""
        name = self.take()
        if name.text == "{":
            self.report(name, _UNEXPECTED_BRACE, "a '{' follows a directive or option on the same line")
            self.sub_block(name, depth)
            return None
        if depth == 0 and _has_glued_brace(name):
            self.report(name, f"Unknown directive '{name.text}'", _BLANK_BEFORE_BRACE)
            self.sub_block(name, depth)
            return None
        args: list[Token] = []
        while (token := self.peek()) is not None:
            if token.text == "{":
                if self.starts_line():
                    self.report(token, "Unexpected token '{' on a line of its own", f"move it up behind '{name.text}'")
                return self.with_block(name, tuple(args), depth)
            if self.starts_line():
                break
            if token.text == "}":
                if depth == 0:
                    self.closing_in_line(token)
                break
            args.append(self.take())
        return Line(name, tuple(args))

    def with_block(self, name: Token, args: tuple[Token, ...], depth: int) -> Line:
        opening = self.take()
        lines, closing = self.sub_block(opening, depth)
        token = self.peek()
        if closing is not None and token is not None and not self.starts_line():
            if token.text == "}":
                self.closing_in_line(token)
            elif token.text != "{":
                self.report(token, f"Unexpected token '{token.text}' after '}}'", "write it on a line of its own")
        return Line(name, args, lines, opening, closing)

    def sub_block(self, opening: Token, depth: int) -> tuple[tuple[Line, ...], Token | None]:
        if depth < MAX_DEPTH:
            return self.block_lines(opening, depth + 1)
        self.report(opening, TOO_DEEP)
        level = 1
        while (token := self.peek()) is not None and level:
            self.take()
            level += (token.text == "{") - (token.text == "}")
        if level:
            self.end_of_file("Unexpected EOF", opening)
        return (), None

    def closing_in_line(self, token: Token) -> None:
        """Report a ``}`` behind a directive, on its line. Behind an option it is good, and the end of the options.

        It is taken for the end of the server block, unless another ``}`` comes right after it.
        """
        self.report(token, _UNOPENED, "write it on a line of its own")
        after = self.tokens[self.index + 1] if self.index + 1 < len(self.tokens) else None
        if after is not None and after.text == "}":
            self.take()
