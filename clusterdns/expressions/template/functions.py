# SPDX-License-Identifier: Apache-2.0
"""The functions that every template has: those of Go's text/template, except ``call``.

``and`` and ``or`` evaluate only as many arguments as they need, so the evaluator does them itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote_plus

from clusterdns.errors import ExpressionError
from clusterdns.expressions.formatting import sprint, sprintf, sprintln
from clusterdns.expressions.quoting import to_bytes, to_text
from clusterdns.expressions.values import ANY, Function, StringMap, Struct, byte_length, is_true, type_name

_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})
_JS = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        '"': '\\"',
        "<": "\\u003C",
        ">": "\\u003E",
        "&": "\\u0026",
        "=": "\\u003D",
        **{chr(code): f"\\u{code:04X}" for code in range(0x20)},
    }
)


def builtin_functions(limit: int) -> Mapping[str, Function]:
    """All of them; texts that they make have at most ``limit`` characters."""

    def escaper(escape: Callable[[str], str]) -> Function:
        return Function(lambda *values: escape(sprint([_printable(value) for value in values], limit)), variadic=ANY)

    return {
        "and": Function(_unreachable, (ANY,), ANY),
        "or": Function(_unreachable, (ANY,), ANY),
        "not": Function(lambda value: not is_true(value), (ANY,)),
        "len": Function(_length, (ANY,)),
        "index": Function(_index, (ANY,), ANY),
        "slice": Function(_slice, (ANY,), ANY),
        "print": Function(lambda *values: sprint(values, limit), variadic=ANY),
        "printf": Function(lambda form, *values: sprintf(form, values, limit), ("string",), ANY),
        "println": Function(lambda *values: sprintln(values, limit), variadic=ANY),
        "html": escaper(lambda text: text.translate(_HTML)),
        "js": escaper(_escape_js),
        "urlquery": escaper(lambda text: quote_plus(to_bytes(text), safe="")),
        "eq": Function(_equal, (ANY,), ANY),
        "ne": Function(lambda left, right: not _equal(left, right), (ANY, ANY)),
        "lt": Function(_less, (ANY, ANY)),
        "le": Function(_less_or_equal, (ANY, ANY)),
        "gt": Function(lambda left, right: not _less_or_equal(left, right), (ANY, ANY)),
        "ge": Function(lambda left, right: not _less(left, right), (ANY, ANY)),
    }


def _unreachable(*values: object) -> object:
    raise ExpressionError("and, or are evaluated argument by argument")


def _printable(value: object) -> object:
    return "<no value>" if value is None else value


def _escape_js(text: str) -> str:
    escaped = text.translate(_JS)
    if escaped.isascii():
        return escaped
    return "".join(char if char.isprintable() else f"\\u{ord(char):04X}" for char in escaped)


def _length(value: object) -> int:
    if isinstance(value, str):
        return byte_length(value)
    if isinstance(value, (Mapping, list, tuple)):
        return len(value)
    if value is None:
        raise ExpressionError("len of nil pointer")
    raise ExpressionError(f"len of type {type_name(value)}")


def _position(index: object, length: int) -> int:
    if isinstance(index, bool) or not isinstance(index, int):
        kind = "nil" if index is None else f"type {type_name(index)}"
        raise ExpressionError(f"cannot index slice/array with {kind}")
    if not 0 <= index <= length:
        raise ExpressionError(f"index out of range: {index}")
    return index


def _index(item: object, *indexes: object) -> object:
    if item is None:
        raise ExpressionError("index of untyped nil")
    for index in indexes:
        if item is None:
            raise ExpressionError("index of nil pointer")
        if isinstance(item, Mapping):
            item = _value_of_key(item, index)
        elif isinstance(item, (str, list, tuple)):
            items: bytes | list[object] | tuple[object, ...] = to_bytes(item) if isinstance(item, str) else item
            position = _position(index, len(items))
            if position == len(items):
                kind = "string" if isinstance(item, str) else "slice"
                raise ExpressionError(f"reflect: {kind} index out of range")
            item = items[position]
        else:
            raise ExpressionError(f"can't index item of type {type_name(item)}")
    return item


def _value_of_key(item: Mapping[object, object], key: object) -> object:
    if key is None:
        raise ExpressionError("value is nil; should be of type string")
    if not isinstance(key, str):
        raise ExpressionError(f"value has type {type_name(key)}; should be string")
    return item.get(key, "" if isinstance(item, StringMap) else None)


def _slice(item: object, *indexes: object) -> object:
    if item is None:
        raise ExpressionError("slice of untyped nil")
    if len(indexes) > 3:
        raise ExpressionError(f"too many slice indexes: {len(indexes)}")
    if not isinstance(item, (str, list, tuple)):
        raise ExpressionError(f"can't slice item of type {type_name(item)}")
    if isinstance(item, str) and len(indexes) == 3:
        raise ExpressionError("cannot 3-index slice a string")
    items: bytes | list[object] | tuple[object, ...] = to_bytes(item) if isinstance(item, str) else item
    bounds = [0, len(items), len(items)]
    for number, index in enumerate(indexes):
        bounds[number] = _position(index, len(items))
    for low, high in ((bounds[0], bounds[1]), (bounds[1], bounds[2])):
        if low > high:
            raise ExpressionError(f"invalid slice index: {low} > {high}")
    part = items[bounds[0] : bounds[1]]
    return to_text(part) if isinstance(part, bytes) else part


def _basic_kind(value: object) -> type | None:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind
    return None


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise ExpressionError("missing argument for comparison")
    kind = _basic_kind(first)
    return any(_equal_one(first, kind, other) for other in others)


def _equal_one(first: object, kind: type | None, other: object) -> bool:
    if first is None or other is None:
        return first is other
    if kind is not _basic_kind(other):
        raise ExpressionError(f"incompatible types for comparison: {type_name(first)} and {type_name(other)}")
    if kind is None:
        if not isinstance(first, Struct) or not isinstance(other, Struct):
            raise ExpressionError(f"non-comparable type {sprint([other], 200)}: {type_name(other)}")
        return first is other
    return bool(first == other)


def _less(left: object, right: object) -> bool:
    kinds = _basic_kind(left), _basic_kind(right)
    if None in kinds:
        raise ExpressionError("invalid type for comparison")
    if isinstance(left, str) and isinstance(right, str):
        return left < right
    if kinds[0] is not kinds[1]:
        raise ExpressionError(f"incompatible types for comparison: {type_name(left)} and {type_name(right)}")
    if isinstance(left, (int, float)) and isinstance(right, (int, float)) and kinds[0] is not bool:
        return left < right
    raise ExpressionError("invalid type for comparison")


def _less_or_equal(left: object, right: object) -> bool:
    return _less(left, right) or _equal(left, right)
