# SPDX-License-Identifier: Apache-2.0
"""The operators of expressions: what they do with values, within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from clusterdns.errors import ExpressionError
from clusterdns.expressions.numerals import wrap_int64
from clusterdns.expressions.quoting import to_text
from clusterdns.expressions.regex import compile_regex
from clusterdns.expressions.values import type_name

_MAX_DEPTH = 100
_CHARACTERS_A_STEP = 64


class Budget:
    """What one evaluation may use.

    steps: elements looked at.
    memory: characters and elements made.
    """

    __slots__ = ("memory", "steps")

    def __init__(self, steps: int, memory: int) -> None:
        self.steps = steps
        self.memory = memory

    def step(self, count: int = 1) -> None:
        self.steps -= count
        if self.steps < 0:
            raise ExpressionError("step limit exceeded")

    def grow(self, size: int) -> None:
        """Before something of that size is made."""
        self.memory -= size
        if self.memory < 0:
            raise ExpressionError("memory budget exceeded")

    def read(self, value: object) -> None:
        """Before all of a text or an array is looked at."""
        if isinstance(value, (str, bytes)):
            self.step(1 + len(value) // _CHARACTERS_A_STEP)
        elif isinstance(value, (list, tuple, Mapping)):
            self.step(len(value))


Operation: TypeAlias = Callable[[object, object, Budget], object]


def is_number(value: object) -> bool:
    """Whether a value is an int or a float, which in Python a bool would be as well."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left: object, right: object, budget: Budget, depth: int = 0) -> bool:
    """``==``: numbers by value whatever their type, arrays and maps by their elements, anything else by type too."""
    if is_number(left) and is_number(right):
        return left == right
    budget.step()
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        if depth > _MAX_DEPTH:
            raise ExpressionError("values nest too deeply to be compared")
        return len(left) == len(right) and all(equal(a, b, budget, depth + 1) for a, b in zip(left, right, strict=True))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if depth > _MAX_DEPTH:
            raise ExpressionError("values nest too deeply to be compared")
        return len(left) == len(right) and all(
            key in right and equal(value, right[key], budget, depth + 1) for key, value in left.items()
        )
    return type(left) is type(right) and left == right


def truth(value: object) -> bool:
    """A bool as it is; nothing else will do."""
    if isinstance(value, bool):
        return value
    raise ExpressionError(f"interface conversion: interface {{}} is {_shown(value)}, not bool")


def text(value: object) -> str:
    """A string as it is; nothing else will do."""
    if isinstance(value, str):
        return value
    raise ExpressionError(f"interface conversion: interface {{}} is {_shown(value)}, not string")


def integer(value: object) -> int:
    """A number as an int, cut towards zero."""
    if isinstance(value, float):
        return wrap_int64(int(value)) if math.isfinite(value) else -(1 << 63)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ExpressionError(f"invalid operation: int({type_name(value)})")


def number(value: object) -> int | float:
    """A number as it is; nothing else will do."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise ExpressionError(f"invalid operation: float({type_name(value)})")


def _shown(value: object) -> str:
    return "nil" if value is None else type_name(value)


def _mismatch(operator: str, left: object, right: object) -> ExpressionError:
    return ExpressionError(f"invalid operation: {type_name(left)} {operator} {type_name(right)}")


def arithmetic(operator: str, left: object, right: object) -> int | float:
    """``-``, ``*`` and, for numbers, ``+``: ints stay ints of 64 bits."""
    if not is_number(left) or not is_number(right):
        raise _mismatch(operator, left, right)
    a, b = number(left), number(right)
    result = a + b if operator == "+" else a - b if operator == "-" else a * b
    return wrap_int64(result) if isinstance(result, int) else result


def _divide(left: object, right: object) -> float:
    if not is_number(left) or not is_number(right):
        raise _mismatch("/", left, right)
    a, b = float(number(left)), float(number(right))
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _modulo(left: object, right: object) -> int:
    if not is_number(left) or not is_number(right):
        raise _mismatch("%", left, right)
    a, b = integer(left), integer(right)
    if b == 0:
        raise ExpressionError("integer divide by zero")
    return a - b * (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)


def _power(left: object, right: object) -> float:
    base, exponent = float(number(left)), float(number(right))
    try:
        return math.pow(base, exponent)
    except ValueError:
        return math.inf if base == 0 else math.nan
    except OverflowError:
        odd = exponent.is_integer() and exponent % 2 == 1
        return -math.inf if base < 0 and odd else math.inf


def less(left: object, right: object) -> bool:
    """``<`` of two numbers or two texts."""
    return compared("<", left, right) < 0


def compared(operator: str, left: object, right: object) -> float:
    """Below, at or above 0 as ``left`` is less, equal or greater; NaN where they have no order."""
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if not is_number(left) or not is_number(right):
        raise _mismatch(operator, left, right)
    a, b = number(left), number(right)
    return math.nan if a != a or b != b else (a > b) - (a < b)


def map_key(value: object) -> str:
    """What a map may be asked for: its keys are texts, and nil stands for the empty one."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise ExpressionError(f"value of type {type_name(value)} is not assignable to type string")


def contained(needle: object, items: object, budget: Budget) -> bool:
    """``needle in items``: an element of an array or a key of a map."""
    if items is None:
        return False
    if isinstance(items, (list, tuple)):
        budget.read(items)
        return any(equal(item, needle, budget) for item in items)
    if isinstance(items, Mapping):
        return map_key(needle) in items
    raise ExpressionError(f'operator "in" not defined on {type_name(items)}')


def _with_texts(test: Callable[[str, str], bool]) -> Operation:
    def apply(left: object, right: object, budget: Budget) -> bool:
        if left is None or right is None:
            return False
        budget.read(left)
        return test(text(left), text(right))

    return apply


def _matches(left: object, right: object, budget: Budget) -> bool:
    if left is None or right is None:
        return False
    budget.read(left)
    subject = to_text(left) if isinstance(left, bytes) else text(left)
    return compile_regex(text(right)).matches(subject)


# All that need no more than their two values; "+", "..", "&&", "||" and "??" are the evaluator's.
OPERATIONS: Mapping[str, Operation] = {
    "==": equal,
    "!=": lambda left, right, budget: not equal(left, right, budget),
    "<": lambda left, right, budget: compared("<", left, right) < 0,
    "<=": lambda left, right, budget: compared("<=", left, right) <= 0,
    ">": lambda left, right, budget: compared(">", left, right) > 0,
    ">=": lambda left, right, budget: compared(">=", left, right) >= 0,
    "-": lambda left, right, budget: arithmetic("-", left, right),
    "*": lambda left, right, budget: arithmetic("*", left, right),
    "/": lambda left, right, budget: _divide(left, right),
    "%": lambda left, right, budget: _modulo(left, right),
    "**": lambda left, right, budget: _power(left, right),
    "in": contained,
    "matches": _matches,
    "contains": _with_texts(lambda left, right: right in left),
    "startsWith": _with_texts(str.startswith),
    "endsWith": _with_texts(str.endswith),
}


def clamp(index: int | None, length: int, default: int) -> int:
    """A bound of a slice: negative ones count from the end, none reaches over it."""
    if index is None:
        return default
    return min(max(index + length if index < 0 else index, 0), length)


def element(items: Sequence[object] | bytes, index: int) -> object:
    """``items[index]``; negative ones count from the end."""
    length = len(items)
    position = index + length if index < 0 else index
    if not 0 <= position < length:
        raise ExpressionError(f"index out of range: {position} (array length is {length})")
    return items[position]
