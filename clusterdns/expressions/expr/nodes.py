# SPDX-License-Identifier: Apache-2.0
"""The parts of a parsed expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(slots=True)
class Constant:
    """A literal: None, bool, int, float, str or bytes."""

    position: int
    value: object


@dataclass(slots=True)
class Identifier:
    """A name."""

    position: int
    name: str


@dataclass(slots=True)
class Unary:
    """``-x``, ``+x``, ``not x``."""

    position: int
    operator: str
    operand: Node


@dataclass(slots=True)
class Binary:
    """``left operator right``."""

    position: int
    operator: str
    left: Node
    right: Node


@dataclass(slots=True)
class Member:
    """``node.name``, ``node[index]``; ``optional`` with ``?.``; ``method`` if it is called."""

    position: int
    node: Node
    index: Node
    optional: bool = False
    method: bool = False


@dataclass(slots=True)
class Chain:
    """The extent of a ``?.``: where the rest is skipped to."""

    position: int
    node: Node


@dataclass(slots=True)
class Slice:
    """``node[start:stop]``."""

    position: int
    node: Node
    start: Node | None
    stop: Node | None


@dataclass(slots=True)
class Call:
    """A call of a function given by the caller."""

    position: int
    callee: Node
    args: list[Node]


@dataclass(slots=True)
class Builtin:
    """A call of a built-in function; predicates are among its arguments."""

    position: int
    name: str
    args: list[Node]


@dataclass(slots=True)
class Predicate:
    """The body that a built-in function runs for each element."""

    position: int
    body: Node


@dataclass(slots=True)
class Pointer:
    """``#``, ``#index`` or ``#acc`` in a predicate."""

    position: int
    name: str


@dataclass(slots=True)
class Let:
    """``let name = value; body``."""

    position: int
    name: str
    value: Node
    body: Node


@dataclass(slots=True)
class Sequence:
    """``a; b``: the value is the last one's."""

    position: int
    nodes: list[Node]


@dataclass(slots=True)
class Conditional:
    """``condition ? then : otherwise``, or with ``if`` and ``else``."""

    position: int
    condition: Node
    then: Node
    otherwise: Node


@dataclass(slots=True)
class Array:
    """``[a, b]``."""

    position: int
    nodes: list[Node]


@dataclass(slots=True)
class Map:
    """``{key: value}``."""

    position: int
    pairs: list[tuple[Node, Node]]


Node: TypeAlias = (
    Constant
    | Identifier
    | Unary
    | Binary
    | Member
    | Chain
    | Slice
    | Call
    | Builtin
    | Predicate
    | Pointer
    | Let
    | Sequence
    | Conditional
    | Array
    | Map
)
