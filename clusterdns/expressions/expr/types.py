# SPDX-License-Identifier: Apache-2.0
"""Types of expressions, as far as they are known before anything is evaluated."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a value is."""

    UNKNOWN = enum.auto()
    NIL = enum.auto()
    BOOL = enum.auto()
    INT = enum.auto()
    FLOAT = enum.auto()
    STRING = enum.auto()
    BYTES = enum.auto()
    ARRAY = enum.auto()
    MAP = enum.auto()
    FUNCTION = enum.auto()


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its kind, its name in Go, and of arrays the type of the elements."""

    kind: Kind
    name: str
    element: Type | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def is_unknown(self) -> bool:
        return self.kind is Kind.UNKNOWN

    @property
    def is_number(self) -> bool:
        return self.kind in (Kind.INT, Kind.FLOAT)

    def assignable_to(self, other: Type) -> bool:
        """Whether a value of this type may be given where ``other`` is asked for."""
        if other.kind is Kind.UNKNOWN:
            return self.kind is not Kind.UNKNOWN
        if self.kind is Kind.NIL:
            return other.kind in (Kind.ARRAY, Kind.MAP, Kind.FUNCTION)
        return self.kind is other.kind and self.name == other.name

    def comparable_to(self, other: Type) -> bool:
        """Whether ``==`` makes sense between the two."""
        return (
            self.is_unknown
            or other.is_unknown
            or Kind.NIL in (self.kind, other.kind)
            or (self.is_number and other.is_number)
            or (self.kind is Kind.ARRAY and other.kind is Kind.ARRAY)
            or self.assignable_to(other)
        )


UNKNOWN = Type(Kind.UNKNOWN, "unknown")
ANY = Type(Kind.UNKNOWN, "interface {}")
NIL = Type(Kind.NIL, "unknown")
BOOL = Type(Kind.BOOL, "bool")
INT = Type(Kind.INT, "int")
FLOAT = Type(Kind.FLOAT, "float64")
STRING = Type(Kind.STRING, "string")
BYTES = Type(Kind.BYTES, "[]uint8")
ARRAY = Type(Kind.ARRAY, "[]interface {}", ANY)
STRINGS = Type(Kind.ARRAY, "[]string", STRING)
MAP = Type(Kind.MAP, "map[string]interface {}", ANY)


def array_of(element: Type) -> Type:
    """The type of an array of which all elements have one type."""
    return Type(Kind.ARRAY, "[]interface {}", element)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives.

    parameters: type of each argument.
    result: type of what it gives.
    variadic: type of further arguments, None where there are none.
    """

    parameters: tuple[Type, ...]
    result: Type
    variadic: Type | None = None

    @property
    def name(self) -> str:
        """The signature as a Go type."""
        kinds = [str(parameter) for parameter in self.parameters]
        if self.variadic is not None:
            kinds.append(f"...{self.variadic}")
        return f"func({', '.join(kinds)}) {self.result}"
