# SPDX-License-Identifier: Apache-2.0
"""The parts of a parsed template. ``str()`` of each gives it in Go's canonical form, as errors and metrics show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True)
class TextNode:
    """Text to be copied."""

    position: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class DotNode:
    """``.``"""

    position: int

    def __str__(self) -> str:
        return "."


@dataclass(slots=True)
class NilNode:
    """``nil``"""

    position: int

    def __str__(self) -> str:
        return "nil"


@dataclass(slots=True)
class BoolNode:
    """``true`` or ``false``."""

    position: int
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(slots=True)
class NumberNode:
    """A number or character constant. ``integer`` is None if it has no integral value of 64 bits."""

    position: int
    source: str
    integer: int | None
    real: float

    def __str__(self) -> str:
        return self.source

    @property
    def value(self) -> int | float | None:
        """What it stands for where no type is asked for; None if that doesn't fit Go's int."""
        if self.integer is None:
            return self.real
        looks_real = self.source[:1] != "'" and self.source[:2].lower() != "0x" and set(self.source) & set(".eE")
        if looks_real:
            return self.real
        return self.integer if self.integer < 1 << 63 else None


@dataclass(slots=True)
class StringNode:
    """A text constant; ``source`` is the literal."""

    position: int
    source: str
    value: str

    def __str__(self) -> str:
        return self.source


@dataclass(slots=True)
class IdentifierNode:
    """The name of a function."""

    position: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class FieldNode:
    """``.A.B``"""

    position: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join("." + name for name in self.names)


@dataclass(slots=True)
class VariableNode:
    """``$x.A.B``; the first of the names has the ``$``."""

    position: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(slots=True)
class ChainNode:
    """``(pipeline).A.B`` or ``function.A.B``."""

    position: int
    node: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        start = f"({self.node})" if isinstance(self.node, PipeNode) else str(self.node)
        return start + "".join("." + name for name in self.names)


@dataclass(slots=True)
class CommandNode:
    """A function or field with its arguments."""

    position: int
    args: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, PipeNode) else str(arg) for arg in self.args)


@dataclass(slots=True)
class PipeNode:
    """``$x := command | command``; ``assigns`` for ``=``."""

    position: int
    variables: list[VariableNode] = field(default_factory=list)
    assigns: bool = False
    commands: list[CommandNode] = field(default_factory=list)

    def __str__(self) -> str:
        names = ", ".join(str(variable) for variable in self.variables)
        start = f"{names} {'=' if self.assigns else ':='} " if names else ""
        return start + " | ".join(str(command) for command in self.commands)


@dataclass(slots=True)
class ListNode:
    """Things one after the other."""

    position: int
    nodes: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return "".join(str(node) for node in self.nodes)


@dataclass(slots=True)
class ActionNode:
    """``{{pipeline}}``"""

    position: int
    pipe: PipeNode

    def __str__(self) -> str:
        return "{{" + str(self.pipe) + "}}"


@dataclass(slots=True)
class BranchNode:
    """``if``, ``with`` or ``range``: the keyword is ``word``."""

    position: int
    word: str
    pipe: PipeNode
    body: ListNode
    otherwise: ListNode | None

    def __str__(self) -> str:
        tail = "" if self.otherwise is None else "{{else}}" + str(self.otherwise)
        return "{{" + f"{self.word} {self.pipe}" + "}}" + str(self.body) + tail + "{{end}}"


@dataclass(slots=True)
class JumpNode:
    """``break`` or ``continue``."""

    position: int
    word: str

    def __str__(self) -> str:
        return "{{" + self.word + "}}"


@dataclass(slots=True)
class TemplateNode:
    """``{{template "name" pipeline}}``; ``source`` is the name as a literal."""

    position: int
    source: str
    name: str
    pipe: PipeNode | None

    def __str__(self) -> str:
        return "{{template " + self.source + ("" if self.pipe is None else f" {self.pipe}") + "}}"


@dataclass(slots=True)
class EndNode:
    """``{{end}}`` or ``{{else}}``: where a list stops; not part of the finished tree."""

    position: int
    word: str

    def __str__(self) -> str:
        return "{{" + self.word + "}}"


Operand: TypeAlias = (
    DotNode
    | NilNode
    | BoolNode
    | NumberNode
    | StringNode
    | IdentifierNode
    | FieldNode
    | VariableNode
    | ChainNode
    | PipeNode
)
Node: TypeAlias = Operand | TextNode | CommandNode | ListNode | ActionNode | BranchNode | JumpNode | TemplateNode
