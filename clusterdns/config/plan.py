# SPDX-License-Identifier: Apache-2.0
"""What a Corefile asks for, typed: the result of planning and the input of activation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.config.expand import Glob
from clusterdns.config.keys import Key
from clusterdns.errors import ConfigError


class Directive(Protocol):
    """What planning needs of a directive; the classes of plugins have it.

    in_chain: it sees queries.
    terminal: it answers every query that reaches it.
    """

    @property
    def in_chain(self) -> bool: ...

    @property
    def terminal(self) -> bool: ...

    def parse(self, reader: DirectiveReader, /) -> Any:
        """Read the directive's occurrences in one block into its options; faults go to the reader."""


# Every directive there is, in the order of execution; None for one that isn't implemented yet. Looking one up may raise
# PackageError, and may show where it belongs in the order.
DirectiveTable: TypeAlias = Mapping[str, Directive | None]


class LazyTable(Mapping[str, Directive | None]):
    """A table whose directives are loaded when a Corefile first uses them.

    names: the directives in the order of execution.
    load: gives a directive, None for one that isn't implemented yet.
    """

    def __init__(self, names: Collection[str], load: Callable[[str], Directive | None]) -> None:
        self._names = names
        self._load = load

    def __getitem__(self, name: str) -> Directive | None:
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class DirectivePlan(msgspec.Struct, frozen=True):
    """A directive of one block.

    options: what its parser made of it.
    lines: its occurrences in file order.
    in_chain: it sees queries.
    terminal: it answers every query that reaches it.
    """

    name: str
    options: Any
    lines: tuple[Line, ...]
    in_chain: bool = False
    terminal: bool = False


class BlockPlan(msgspec.Struct, frozen=True):
    """A server block; its keys share one set of plugin instances.

    keys: in file order, networks replaced by their reverse zones.
    zones: the zones of the keys, each once, in file order.
    binds: the IP addresses to listen on; empty for all of the machine.
    directives: in the order of execution.
    position: where the block starts.
    """

    keys: tuple[Key, ...]
    zones: tuple[str, ...]
    binds: tuple[str, ...]
    directives: tuple[DirectivePlan, ...]
    position: Token

    def directive(self, name: str) -> DirectivePlan | None:
        """The directive of that name, if the block has it."""
        return next((directive for directive in self.directives if directive.name == name), None)


class Plan(msgspec.Struct, frozen=True):
    """A whole configuration without faults.

    blocks: in file order.
    files: absolute paths of the imported files.
    globs: the import patterns and what they matched.
    warnings: what loads but surely isn't meant, by position.
    digest: SHA-512 of the words with file and line, in hex; equal digests mean equal configurations.
    builtin: True if there was no server block and the built-in configuration is used.
    """

    blocks: tuple[BlockPlan, ...]
    files: tuple[str, ...]
    globs: tuple[Glob, ...]
    warnings: tuple[ConfigError, ...]
    digest: str
    builtin: bool = False
