# SPDX-License-Identifier: Apache-2.0
"""What the built-in functions of expressions take and give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.types import (
    ANY,
    ARRAY,
    BOOL,
    FLOAT,
    INT,
    MAP,
    STRING,
    STRINGS,
    UNKNOWN,
    Kind,
    Signature,
    Type,
)


def _takes(*parameters: Type, gives: Type) -> Signature:
    return Signature(parameters, gives)


_TWO_TEXTS = (_takes(STRING, STRING, gives=BOOL),)
_TWO_TEXTS_TO_INT = (_takes(STRING, STRING, gives=INT),)
_TEXT_TO_TEXT = (_takes(STRING, gives=STRING),)
_CUT = (_takes(STRING, STRING, gives=STRING), _takes(STRING, gives=STRING))
_SPLIT = (_takes(STRING, STRING, gives=STRINGS), _takes(STRING, STRING, INT, gives=STRINGS))
_TWO_INTS = (_takes(INT, INT, gives=INT),)
_ARRAYS = (ARRAY, STRINGS)

# Tried one after the other; the error is that of the last.
OVERLOADS: Mapping[str, tuple[Signature, ...]] = {
    "string": (_takes(ANY, gives=STRING),),
    "type": (_takes(ANY, gives=STRING),),
    "upper": _TEXT_TO_TEXT,
    "lower": _TEXT_TO_TEXT,
    "trim": (_takes(STRING, gives=STRING), _takes(STRING, STRING, gives=STRING)),
    "trimPrefix": _CUT,
    "trimSuffix": _CUT,
    "split": _SPLIT,
    "splitAfter": _SPLIT,
    "replace": (_takes(STRING, STRING, STRING, INT, gives=STRING), _takes(STRING, STRING, STRING, gives=STRING)),
    "repeat": (_takes(STRING, INT, gives=STRING),),
    "join": (
        _takes(STRINGS, STRING, gives=STRING),
        _takes(ARRAY, STRING, gives=STRING),
        _takes(ARRAY, gives=STRING),
        _takes(STRINGS, STRING, gives=STRING),
        _takes(STRINGS, gives=STRING),
    ),
    "indexOf": _TWO_TEXTS_TO_INT,
    "lastIndexOf": _TWO_TEXTS_TO_INT,
    "hasPrefix": _TWO_TEXTS,
    "hasSuffix": _TWO_TEXTS,
    "toBase64": _TEXT_TO_TEXT,
    "fromBase64": _TEXT_TO_TEXT,
    "sort": tuple(
        [_takes(kind, STRING, gives=ARRAY) for kind in _ARRAYS] + [_takes(kind, gives=ARRAY) for kind in _ARRAYS]
    ),
    "bitand": _TWO_INTS,
    "bitor": _TWO_INTS,
    "bitxor": _TWO_INTS,
    "bitnand": _TWO_INTS,
    "bitshl": _TWO_INTS,
    "bitshr": _TWO_INTS,
    "bitushr": _TWO_INTS,
    "bitnot": (_takes(INT, gives=INT),),
}

_NUMBERS = (Kind.INT, Kind.FLOAT, Kind.UNKNOWN)
_SEQUENCES = (Kind.ARRAY, Kind.BYTES, Kind.UNKNOWN)


def _count(kinds: Sequence[Type], wanted: int) -> None:
    if len(kinds) != wanted:
        raise ExpressionError(f"invalid number of arguments (expected {wanted}, got {len(kinds)})")


def _one(name: str, accepted: tuple[Kind, ...], result: Type | None, kinds: Sequence[Type]) -> Type:
    """One argument of a kind; None as result means that of the argument."""
    _count(kinds, 1)
    if kinds[0].kind not in accepted:
        raise ExpressionError(f"invalid argument for {name} (type {kinds[0]})")
    return result or kinds[0]


def _array(action: str, result: Type | None, kinds: Sequence[Type]) -> Type:
    """One array; None as result means the type of its elements."""
    _count(kinds, 1)
    if kinds[0].kind not in _SEQUENCES:
        raise ExpressionError(f"cannot {action.format(kinds[0])}")
    return result or kinds[0].element or UNKNOWN


def _map(action: str, result: Type, kinds: Sequence[Type]) -> Type:
    _count(kinds, 1)
    if kinds[0].kind not in (Kind.MAP, Kind.UNKNOWN):
        raise ExpressionError(f"cannot {action.format(kinds[0])}")
    return result


def _aggregate(name: str, kinds: Sequence[Type]) -> Type:
    if not kinds:
        raise ExpressionError(f"not enough arguments to call {name}")
    for kind in kinds:
        if kind.kind in _SEQUENCES:
            return UNKNOWN
        if not kind.is_number:
            raise ExpressionError(f"invalid argument for {name} (type {kind})")
    return kinds[0]


def _concat(kinds: Sequence[Type]) -> Type:
    if not kinds:
        raise ExpressionError("invalid number of arguments (expected at least 1, got 0)")
    for kind in kinds:
        if kind.kind not in _SEQUENCES:
            raise ExpressionError(f"cannot concat {kind}")
    return ARRAY


def _take(kinds: Sequence[Type]) -> Type:
    _count(kinds, 2)
    if kinds[0].kind not in _SEQUENCES:
        raise ExpressionError(f"cannot take from {kinds[0]}")
    if kinds[1].kind not in (Kind.INT, Kind.UNKNOWN):
        raise ExpressionError(f"cannot take {kinds[1]} elements")
    return kinds[0]


def _get(kinds: Sequence[Type]) -> Type:
    _count(kinds, 2)
    base, index = kinds
    if base.is_unknown:
        return UNKNOWN
    if base.kind is Kind.ARRAY:
        if index.kind not in (Kind.INT, Kind.UNKNOWN):
            raise ExpressionError(f"non-integer slice index {index}")
        return base.element or ANY
    if base.kind is not Kind.MAP:
        raise ExpressionError(f"type {base} does not support indexing")
    if index.kind not in (Kind.STRING, Kind.UNKNOWN):
        raise ExpressionError(f"cannot use {index} to get an element from {base}")
    return base.element or ANY


VALIDATORS: Mapping[str, Callable[[Sequence[Type]], Type]] = {
    "len": partial(_one, "len", (Kind.ARRAY, Kind.BYTES, Kind.MAP, Kind.STRING, Kind.UNKNOWN), INT),
    "abs": partial(_one, "abs", _NUMBERS, None),
    "ceil": partial(_one, "ceil", _NUMBERS, FLOAT),
    "floor": partial(_one, "floor", _NUMBERS, FLOAT),
    "round": partial(_one, "round", _NUMBERS, FLOAT),
    "int": partial(_one, "int", (*_NUMBERS, Kind.STRING), INT),
    "float": partial(_one, "float", (*_NUMBERS, Kind.STRING), FLOAT),
    "max": partial(_aggregate, "max"),
    "min": partial(_aggregate, "min"),
    "mean": partial(_aggregate, "mean"),
    "median": partial(_aggregate, "median"),
    "first": partial(_array, "get first element from {}", None),
    "last": partial(_array, "get last element from {}", None),
    "get": _get,
    "take": _take,
    "keys": partial(_map, "get keys from {}", ARRAY),
    "values": partial(_map, "get values from {}", ARRAY),
    "toPairs": partial(_map, "transform {} to pairs", ARRAY),
    "fromPairs": partial(_array, "transform {} from pairs", MAP),
    "reverse": partial(_array, "reverse {}", ARRAY),
    "uniq": partial(_array, "uniq {}", ARRAY),
    "flatten": partial(_array, "flatten {}", ARRAY),
    "concat": _concat,
}

PREDICATE_FUNCTIONS = frozenset(
    (
        *("all", "none", "any", "one", "filter", "map", "count", "sum", "find", "findIndex"),
        *("findLast", "findLastIndex", "groupBy", "sortBy", "reduce"),
    )
)

BUILTIN_FUNCTIONS = frozenset((*OVERLOADS, *VALIDATORS, *PREDICATE_FUNCTIONS))

# Of expr-lang, but not here: they need a clock, a calendar, or JSON. Their names stay reserved.
UNSUPPORTED_FUNCTIONS = frozenset(("now", "duration", "date", "timezone", "toJSON", "fromJSON"))
