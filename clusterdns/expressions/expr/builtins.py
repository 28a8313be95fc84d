# SPDX-License-Identifier: Apache-2.0
"""The built-in functions of expressions that take values; those with predicates are elsewhere."""

from __future__ import annotations

import base64
import binascii
import functools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.operators import (
    Budget,
    clamp,
    element,
    equal,
    integer,
    is_number,
    less,
    map_key,
    number,
    text,
)
from clusterdns.expressions.formatting import sprint
from clusterdns.expressions.numerals import atoi, parse_float, wrap_int64
from clusterdns.expressions.quoting import to_bytes, to_text
from clusterdns.expressions.values import type_name

BuiltinFunction: TypeAlias = Callable[..., object]

_MAX_DEPTH = 100
_MAX_REPEAT = 1_000_000


def items_of(value: object, action: str) -> Sequence[object]:
    """An array as it is; nothing else will do."""
    if isinstance(value, (list, tuple, bytes)):
        return value
    raise ExpressionError(f"cannot {action} {type_name(value)}")


def flattened(value: Sequence[object], budget: Budget, depth: int = 0) -> Iterator[object]:
    """The elements, those of arrays inside too."""
    if depth > _MAX_DEPTH:
        raise ExpressionError("recursion depth exceeded")
    for item in value:
        budget.step()
        if isinstance(item, (list, tuple)):
            yield from flattened(item, budget, depth + 1)
        else:
            yield item


# Numbers


def _length(budget: Budget, value: object) -> int:
    if isinstance(value, (str, bytes, list, tuple, Mapping)):
        return len(value)
    raise ExpressionError(f"invalid argument for len (type {type_name(value)})")


def _absolute(budget: Budget, value: object) -> int | float:
    if not is_number(value):
        raise ExpressionError(f"invalid argument for abs (type {type_name(value)})")
    size = abs(number(value))
    return wrap_int64(size) if isinstance(size, int) else size


def _rounding(name: str, round_to: Callable[[float], float]) -> BuiltinFunction:
    def apply(budget: Budget, value: object) -> float:
        if not is_number(value):
            raise ExpressionError(f"invalid argument for {name} (type {type_name(value)})")
        real = float(number(value))
        return float(round_to(real)) if math.isfinite(real) else real

    return apply


def _round_half_away(value: float) -> float:
    whole = math.trunc(value)
    return whole + math.copysign(1, value) if abs(value - whole) >= 0.5 else whole


def _to_int(budget: Budget, value: object) -> int:
    if isinstance(value, str):
        try:
            return atoi(value)
        except ExpressionError:
            raise ExpressionError(f"invalid operation: int({value[:100]})") from None
    return integer(value)


def _to_float(budget: Budget, value: object) -> float:
    if isinstance(value, str):
        try:
            return parse_float(value)
        except ExpressionError:
            raise ExpressionError(f"invalid operation: float({value[:100]})") from None
    return float(number(value))


def _numbers(name: str, values: tuple[object, ...], budget: Budget) -> list[int | float]:
    found = []
    for value in flattened(values, budget):
        if not is_number(value):
            raise ExpressionError(f"invalid argument for {name} (type {type_name(value)})")
        found.append(number(value))
    return found


def _extreme(name: str, choose: Callable[[list[int | float]], int | float]) -> BuiltinFunction:
    def apply(budget: Budget, *values: object) -> object:
        found = _numbers(name, values, budget)
        return choose(found) if found else None

    return apply


def _mean(budget: Budget, *values: object) -> float:
    found = _numbers("mean", values, budget)
    return math.fsum(found) / len(found) if found else 0.0


def _median(budget: Budget, *values: object) -> float:
    found = _numbers("median", values, budget)
    return float(statistics.median(found)) if found else 0.0


def _bits(combine: Callable[[int, int], int]) -> BuiltinFunction:
    return lambda budget, left, right: wrap_int64(combine(integer(left), integer(right)))


def _shift(shift: Callable[[int, int], int]) -> BuiltinFunction:
    def apply(budget: Budget, value: object, count: object) -> int:
        places = integer(count)
        if places < 0:
            raise ExpressionError(f"invalid operation: negative shift count {places} (type int)")
        return wrap_int64(shift(integer(value), min(places, 64)))

    return apply


# Texts


def _on_text(apply: Callable[[str], object]) -> BuiltinFunction:
    def call(budget: Budget, value: object) -> object:
        budget.read(value)
        budget.grow(len(text(value)))
        return apply(text(value))

    return call


def _on_texts(apply: Callable[[str, str], object], missing: str = " ") -> BuiltinFunction:
    def call(budget: Budget, value: object, second: object = missing) -> object:
        budget.read(value)
        budget.grow(len(text(value)))
        return apply(text(value), text(second))

    return call


def _trim(budget: Budget, value: object, characters: object = None) -> str:
    budget.read(value)
    return text(value).strip(None if characters is None else text(characters) or "\0")


def _split(budget: Budget, value: object, separator: object, limit: object = -1) -> list[str]:
    whole, mark, most = text(value), text(separator), integer(limit)
    budget.read(whole)
    budget.grow(len(whole))
    if most == 0:
        return []
    if not mark:
        pieces = list(whole)
        return pieces if most < 0 or len(pieces) <= most else [*pieces[: most - 1], "".join(pieces[most - 1 :])]
    return whole.split(mark, most - 1 if most > 0 else -1)


def _split_after(budget: Budget, value: object, separator: object, limit: object = -1) -> list[str]:
    pieces = _split(budget, value, separator, limit)
    mark = text(separator)
    return [piece + mark for piece in pieces[:-1]] + pieces[-1:]


def _replace(budget: Budget, value: object, old: object, new: object, limit: object = -1) -> str:
    whole, before, after, most = text(value), text(old), text(new), integer(limit)
    budget.read(whole)
    count = whole.count(before)
    count = count if most < 0 else min(count, most)
    budget.grow(len(whole) + count * max(len(after) - len(before), 0))
    return whole.replace(before, after, count)


def _repeat(budget: Budget, value: object, count: object) -> str:
    times = integer(count)
    if times < 0:
        raise ExpressionError(f"invalid argument for repeat (expected positive integer, got {times})")
    if times > _MAX_REPEAT:
        raise ExpressionError("memory budget exceeded")
    budget.grow(len(text(value)) * times)
    return text(value) * times


def _join(budget: Budget, value: object, separator: object = "") -> str:
    glue = text(separator)
    pieces = [text(item) for item in items_of(value, "join")]
    budget.step(len(pieces))
    budget.grow(sum(map(len, pieces)) + len(glue) * len(pieces))
    return glue.join(pieces)


def _byte_offset(whole: str, offset: int) -> int:
    return offset if offset < 0 or whole.isascii() else len(to_bytes(whole[:offset]))


def _decode_base64(value: str) -> str:
    try:
        return to_text(base64.b64decode(to_bytes(value), validate=True))
    except binascii.Error:
        raise ExpressionError("illegal base64 data") from None


def _to_string(budget: Budget, value: object) -> str:
    shown = "<nil>" if value is None else sprint([value], max(budget.memory, 0))
    budget.grow(len(shown))
    return shown


# Arrays and maps


def _made(budget: Budget, items: list[object]) -> list[object]:
    budget.grow(len(items))
    return items


def _end(index: int) -> BuiltinFunction:
    def apply(budget: Budget, value: object) -> object:
        items = value if isinstance(value, (list, tuple, bytes)) else ()
        return items[index] if items else None

    return apply


def _get(budget: Budget, value: object, index: object) -> object:
    if isinstance(value, Mapping):
        return value.get(map_key(index))
    if isinstance(value, (list, tuple, str, bytes)):
        items: Sequence[object] = to_bytes(value) if isinstance(value, str) else value
        position = integer(index)
        return element(items, position) if -len(items) <= position < len(items) else None
    return None


def _take(budget: Budget, value: object, count: object) -> list[object]:
    items = items_of(value, "take from")
    return _made(budget, list(items[: clamp(max(integer(count), 0), len(items), 0)]))


def _map_of(value: object, action: str) -> Mapping[object, object]:
    if isinstance(value, Mapping):
        return value
    raise ExpressionError(f"cannot {action.format(type_name(value))}")


def _from_pairs(budget: Budget, value: object) -> dict[str, object]:
    result: dict[str, object] = {}
    for pair in items_of(value, "transform from pairs"):
        budget.grow(1)
        items = items_of(pair, "take a pair from")
        if len(items) != 2:
            raise ExpressionError(f"invalid pair length {sprint([pair], 1000)}")
        result[text(items[0])] = items[1]
    return result


def _unique(budget: Budget, value: object) -> list[object]:
    kept: list[object] = []
    for item in items_of(value, "uniq"):
        budget.step(len(kept))
        if not any(equal(item, known, budget) for known in kept):
            budget.grow(1)
            kept.append(item)
    return kept


def _concat(budget: Budget, *values: object) -> list[object]:
    result: list[object] = []
    for value in values:
        items = items_of(value, "concat")
        budget.grow(len(items))
        result.extend(items)
    return result


def _flatten(budget: Budget, value: object) -> list[object]:
    result: list[object] = []
    for item in flattened(items_of(value, "flatten"), budget):
        budget.grow(1)
        result.append(item)
    return result


def sorted_by(keys: Sequence[object], values: Sequence[object], order: object, budget: Budget) -> list[object]:
    """``values`` in the order of their ``keys``, ``asc`` or ``desc``."""
    if order not in ("asc", "desc"):
        raise ExpressionError(f"invalid order {text(order)}, expected asc or desc")
    budget.grow(len(values))
    budget.step(len(values) * max(len(values).bit_length(), 1))

    def compare(left: int, right: int) -> int:
        return -1 if less(keys[left], keys[right]) else int(less(keys[right], keys[left]))

    positions = sorted(range(len(values)), key=functools.cmp_to_key(compare), reverse=order == "desc")
    return [values[position] for position in positions]


def _sort(budget: Budget, value: object, order: object = "asc") -> list[object]:
    items = items_of(value, "sort")
    return sorted_by(items, items, order, budget)


# Each gets the budget, then its arguments, which the checker has counted.
BUILTINS: Mapping[str, BuiltinFunction] = {
    "len": _length,
    "abs": _absolute,
    "ceil": _rounding("ceil", math.ceil),
    "floor": _rounding("floor", math.floor),
    "round": _rounding("round", _round_half_away),
    "int": _to_int,
    "float": _to_float,
    "string": _to_string,
    "type": lambda budget, value: _type_word(value),
    "max": _extreme("max", max),
    "min": _extreme("min", min),
    "mean": _mean,
    "median": _median,
    "bitand": _bits(lambda left, right: left & right),
    "bitor": _bits(lambda left, right: left | right),
    "bitxor": _bits(lambda left, right: left ^ right),
    "bitnand": _bits(lambda left, right: left & ~right),
    "bitshl": _shift(lambda value, places: value << places),
    "bitshr": _shift(lambda value, places: value >> places),
    "bitushr": _shift(lambda value, places: (value & 0xFFFF_FFFF_FFFF_FFFF) >> places),
    "bitnot": lambda budget, value: ~integer(value),
    "upper": _on_text(str.upper),
    "lower": _on_text(str.lower),
    "trim": _trim,
    "trimPrefix": _on_texts(str.removeprefix),
    "trimSuffix": _on_texts(str.removesuffix),
    "split": _split,
    "splitAfter": _split_after,
    "replace": _replace,
    "repeat": _repeat,
    "join": _join,
    "indexOf": _on_texts(lambda whole, part: _byte_offset(whole, whole.find(part))),
    "lastIndexOf": _on_texts(lambda whole, part: _byte_offset(whole, whole.rfind(part))),
    "hasPrefix": _on_texts(str.startswith),
    "hasSuffix": _on_texts(str.endswith),
    "toBase64": _on_text(lambda value: base64.b64encode(to_bytes(value)).decode()),
    "fromBase64": _on_text(_decode_base64),
    "first": _end(0),
    "last": _end(-1),
    "get": _get,
    "take": _take,
    "keys": lambda budget, value: _made(budget, list(_map_of(value, "get keys from {}"))),
    "values": lambda budget, value: _made(budget, list(_map_of(value, "get values from {}").values())),
    "toPairs": lambda budget, value: _made(
        budget, [[key, item] for key, item in _map_of(value, "transform {} to pairs").items()]
    ),
    "fromPairs": _from_pairs,
    "reverse": lambda budget, value: _made(budget, list(items_of(value, "reverse"))[::-1]),
    "uniq": _unique,
    "concat": _concat,
    "flatten": _flatten,
    "sort": _sort,
}

_TYPE_WORDS = {"<nil>": "nil", "float64": "float"}


def _type_word(value: object) -> str:
    name = type_name(value)
    if name.startswith("[]"):
        return "array"
    return "map" if name.startswith("map") else _TYPE_WORDS.get(name, name)
