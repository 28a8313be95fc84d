# SPDX-License-Identifier: Apache-2.0
"""A directive as the parser leaves it, and the means by which plugins read their own arguments.

Reading has no effects. A plugin's ``parse(reader)`` turns all occurrences of its directive in one server block into its
``Options``; faults go into the reader's list one by one, so that ``check`` can report them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from clusterdns.errors import ConfigError, ExpressionError

T = TypeVar("T")


class Token(msgspec.Struct, frozen=True):
    """A word of the Corefile after environment expansion, and where it starts (counted from 1)."""

    text: str
    file: str
    line: int
    column: int

    def error(self, message: str, *, hint: str = "", label: str = ConfigError.PARSING) -> ConfigError:
        """A fault at this word."""
        return ConfigError(message, file=self.file, line=self.line, column=self.column, hint=hint, label=label)


class Line(msgspec.Struct, frozen=True):
    """One line: a name and its arguments.

    ``block`` holds the lines of a ``{ … }`` after them, None where there is none; ``opening`` is the ``{`` and
    ``closing`` the ``}`` of the block.
    """

    name: Token
    args: tuple[Token, ...] = ()
    block: tuple[Line, ...] | None = None
    opening: Token | None = None
    closing: Token | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The arguments as text."""
        return tuple(arg.text for arg in self.args)

    @property
    def last(self) -> Token:
        """The last word of the line."""
        return self.args[-1] if self.args else self.name

    def wrong_count(self, at: Token | None = None) -> ConfigError:
        """CoreDNS's error for too few or too many arguments; ``at`` is the word it stopped at, the last by default."""
        token = at or self.last
        return token.error(f"Wrong argument count or unexpected line ending after '{token.text}'")

    def expect(self, least: int, most: int | None = None) -> tuple[str, ...]:
        """The arguments as text, if there are at least ``least`` and at most ``most`` (default: ``least``) of them.

        Raises ConfigError.
        """
        most = least if most is None else most
        if len(self.args) < least:
            raise self.wrong_count()
        if len(self.args) > most:
            raise self.wrong_count(self.args[most])
        return self.words

    def no_block(self) -> None:
        """Raise ConfigError if a block follows the arguments."""
        if self.opening is not None:
            raise self.opening.error("Unexpected token '{', expecting argument")

    def unknown(self) -> ConfigError:
        """CoreDNS's error for an option that the directive doesn't have."""
        return self.name.error(f"unknown property '{self.name.text}'")


def _no_interfaces(name: str) -> tuple[str, ...]:
    """The machine without network interfaces: what a plan sees that nobody told about the real ones."""
    return ()


class BlockContext(msgspec.Struct, frozen=True):
    """What a directive may know about the server block that it stands in.

    zones: the block's zones, absolute, lower case, as text (``cluster.local.``), CIDR keys expanded, in file order.
    directory: the directory of the Corefile, where relative paths start unless ``root`` says otherwise.
    root: argument of the block's ``root`` directive, empty without one.
    directives: names of the directives in the block.
    interface_addresses: the IP addresses (as text) of a network interface, empty if there is none of that name.
    manifests: the directory whose manifests stand in for the API server where none is named; empty for none.
    """

    zones: tuple[str, ...]
    directory: str
    root: str
    directives: frozenset[str]
    interface_addresses: Callable[[str], tuple[str, ...]] = _no_interfaces
    manifests: str = ""


class DirectiveReader:
    """All occurrences of one directive in one block, and the faults and warnings found in them.

    lines: the occurrences, in file order, at least one.
    """

    def __init__(self, name: str, lines: tuple[Line, ...], block: BlockContext) -> None:
        self.name = name
        self.lines = lines
        self.block = block
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []

    def once(self) -> Line:
        """The single occurrence; reports ``this plugin can only be used once per Server Block`` for the others."""
        for line in self.lines[1:]:
            self.report(
                line.name.error(
                    "this plugin can only be used once per Server Block",
                    label=ConfigError.NO_POSITION,
                    hint=f"remove it, or merge its options into the {self.name} of {_place(self.lines[0], line)}",
                )
            )
        return self.lines[0]

    def first(self) -> Line:
        """The first occurrence, which alone counts; warns of the others."""
        for line in self.lines[1:]:
            self.warn(
                line.name,
                f"this {self.name} has no effect: the one of {_place(self.lines[0], line)} counts",
                hint="remove one of the two",
            )
        return self.lines[0]

    def takes_nothing(self) -> None:
        """Report arguments and blocks: the directive has none, and may be repeated."""
        for line in self.lines:
            with self.collecting():
                line.expect(0)
                line.no_block()

    def report(self, error: ConfigError) -> None:
        """Add a fault; the rest of the directive is still read."""
        error.plugin = error.plugin or self.name
        self.errors.append(error)

    def warn(self, token: Token, message: str, *, hint: str = "") -> None:
        """Add a warning: this loads but surely isn't meant."""
        warning = token.error(message, hint=hint, label=ConfigError.NO_POSITION)
        warning.plugin = self.name
        self.warnings.append(warning)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Turn a ConfigError raised inside into a reported fault, so that reading goes on after it."""
        try:
            yield
        except ConfigError as error:
            self.report(error)

    def options(self, line: Line, handlers: Mapping[str, Callable[[Line], None]]) -> None:
        """Read the block of ``line``: each of its lines goes to the handler of its name, unknown ones are reported."""
        for option in line.block or ():
            with self.collecting():
                handler = handlers.get(option.name.text)
                if handler is None:
                    raise option.unknown()
                handler(option)


def _place(line: Line, seen_from: Line) -> str:
    """Where a line is; without the file where it is the same."""
    same = line.name.file == seen_from.name.file
    return f"line {line.name.line}" if same else f"{line.name.file}:{line.name.line}"


def parse_with(token: Token, parse: Callable[[str], T], *, label: str = ConfigError.PARSING) -> T:
    """``parse(token.text)``, with an ExpressionError turned into a ConfigError at the token."""
    try:
        return parse(token.text)
    except ExpressionError as error:
        raise token.error(str(error), label=label) from None
