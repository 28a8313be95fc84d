# SPDX-License-Identifier: Apache-2.0
"""The values that templates and expressions work on, and how Go would name their types.

None, bool, int, float, str, list or tuple, Mapping with text keys, Struct and Function: nothing else is looked into,
so that no template reaches an attribute of an object that it was not given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clusterdns.expressions.quoting import to_bytes

ANY = "interface {}"


@dataclass(frozen=True, slots=True)
class Struct:
    """A value with fixed fields: asking for another one is an error, where a Mapping just has no such key.

    type_name: as errors name it, ``dns.Question``.
    fields: name → value; a Function is a method.
    text: how it prints, for types that print in a way of their own.
    """

    type_name: str
    fields: Mapping[str, object]
    text: Callable[[], str] | None = None


class StringMap(dict[str, str]):
    """A map from text to text: ``index`` of a key that it doesn't have is an empty string, not nil."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that templates may call.

    call: gets the arguments; raises ExpressionError.
    parameters: type name of each, ``string``, ``int``, ``float64``, ``bool`` or ``interface {}``.
    variadic: type of the further ones, None where there are none.
    """

    call: Callable[..., object]
    parameters: tuple[str, ...] = ()
    variadic: str | None = None


def type_name(value: object) -> str:
    """The Go type of a value, as fmt's ``%T`` prints it."""
    if value is None:
        return "<nil>"
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return name
    if isinstance(value, Struct):
        return value.type_name
    if isinstance(value, StringMap):
        return "map[string]string"
    if isinstance(value, Mapping):
        return "map[string]interface {}"
    if isinstance(value, bytes):
        return "[]uint8"
    if isinstance(value, (list, tuple)):
        texts = bool(value) and all(isinstance(item, str) for item in value)
        return "[]string" if texts else "[]interface {}"
    return "func()" if isinstance(value, Function) else "interface {}"


def byte_length(text: str) -> int:
    """Go's ``len``: bytes of UTF-8."""
    return len(text) if text.isascii() else len(to_bytes(text))


def is_true(value: object) -> bool:
    """Whether templates take a value for true: not zero, not empty, not nil; a struct always is."""
    if isinstance(value, (Struct, Function)):
        return True
    return bool(value)
