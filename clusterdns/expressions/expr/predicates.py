# SPDX-License-Identifier: Apache-2.0
"""The built-in functions of expressions that run a predicate for each element of an array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.builtins import sorted_by
from clusterdns.expressions.expr.operators import Budget, arithmetic, number, truth
from clusterdns.expressions.values import type_name


class Scope:
    """What ``#``, ``#index`` and ``#acc`` stand for while a predicate runs."""

    __slots__ = ("accumulator", "index", "item")

    def __init__(self) -> None:
        self.item: object = None
        self.index = 0
        self.accumulator: object = None


class Frame:
    """One evaluation: what it was given, and what it has so far."""

    __slots__ = ("budget", "functions", "locals", "scopes", "variables")

    def __init__(
        self, functions: Mapping[str, Callable[..., object]], variables: Mapping[str, object], budget: Budget
    ) -> None:
        self.functions = functions
        self.variables = variables
        self.budget = budget
        self.locals: dict[str, object] = {}
        self.scopes: list[Scope] = []


Body: TypeAlias = Callable[[Frame], object]
PredicateFunction: TypeAlias = Callable[..., object]


def _values(frame: Frame, items: Sequence[object], body: Body, *, backwards: bool = False) -> Iterator[object]:
    """The predicate's value for each element, one after the other."""
    scope = frame.scopes[-1]
    indexes = range(len(items))
    for index in reversed(indexes) if backwards else indexes:
        frame.budget.step()
        scope.item, scope.index = items[index], index
        yield body(frame)


def _over_array(name: str, run: Callable[..., object]) -> PredicateFunction:
    """``run`` on an array, with a scope for its predicate."""

    def call(frame: Frame, items: object, *rest: Body) -> object:
        if not isinstance(items, (list, tuple, bytes)):
            raise ExpressionError(f"builtin {name} takes only array (got {type_name(items)})")
        frame.scopes.append(Scope())
        try:
            return run(frame, items, *rest)
        finally:
            frame.scopes.pop()

    return call


def _all(frame: Frame, items: Sequence[object], body: Body) -> bool:
    return all(truth(value) for value in _values(frame, items, body))


def _any(frame: Frame, items: Sequence[object], body: Body) -> bool:
    return any(truth(value) for value in _values(frame, items, body))


def _count(frame: Frame, items: Sequence[object], body: Body | None = None) -> int:
    return sum(truth(value) for value in (_values(frame, items, body) if body is not None else items))


def _filter(frame: Frame, items: Sequence[object], body: Body) -> list[object]:
    frame.budget.grow(len(items))
    return [frame.scopes[-1].item for value in _values(frame, items, body) if truth(value)]


def _map(frame: Frame, items: Sequence[object], body: Body) -> list[object]:
    frame.budget.grow(len(items))
    return list(_values(frame, items, body))


def _sum(frame: Frame, items: Sequence[object], body: Body | None = None) -> int | float:
    total: int | float = 0
    for value in _values(frame, items, body) if body is not None else items:
        frame.budget.step()
        total = arithmetic("+", total, number(value))
    return total


def _found_index(frame: Frame, items: Sequence[object], body: Body, *, backwards: bool) -> int:
    for value in _values(frame, items, body, backwards=backwards):
        if truth(value):
            return frame.scopes[-1].index
    return -1


def _find(*, backwards: bool) -> Callable[..., object]:
    def run(frame: Frame, items: Sequence[object], body: Body) -> object:
        index = _found_index(frame, items, body, backwards=backwards)
        return None if index < 0 else items[index]

    return run


def _find_index(*, backwards: bool) -> Callable[..., object]:
    def run(frame: Frame, items: Sequence[object], body: Body) -> int | None:
        index = _found_index(frame, items, body, backwards=backwards)
        return None if index < 0 else index

    return run


def _group_by(frame: Frame, items: Sequence[object], body: Body) -> dict[object, list[object]]:
    frame.budget.grow(len(items))
    groups: dict[object, list[object]] = {}
    for key in _values(frame, items, body):
        if not (key is None or isinstance(key, (str, int, float))):
            raise ExpressionError(f"cannot use {type_name(key)} as a key for groupBy: type is not comparable")
        groups.setdefault(key, []).append(frame.scopes[-1].item)
    return groups


def _sort_by(frame: Frame, items: Sequence[object], body: Body, order: Body | None = None) -> list[object]:
    direction = "asc" if order is None else order(frame)
    if direction not in ("asc", "desc"):
        raise ExpressionError("unknown order, use asc or desc")
    return sorted_by(list(_values(frame, items, body)), items, direction, frame.budget)


def _reduce(frame: Frame, items: Sequence[object], body: Body, start: Body | None = None) -> object:
    scope = frame.scopes[-1]
    first = 0
    if start is not None:
        scope.accumulator = start(frame)
    elif not items:
        raise ExpressionError("reduce of empty array with no initial value")
    else:
        scope.accumulator, first = items[0], 1
    for index in range(first, len(items)):
        frame.budget.step()
        scope.item, scope.index = items[index], index
        scope.accumulator = body(frame)
    return scope.accumulator


# Each gets the frame, the array, and its further arguments as functions of the frame.
PREDICATE_BUILTINS: Mapping[str, PredicateFunction] = {
    name: _over_array(name, run)
    for name, run in {
        "all": _all,
        "none": lambda frame, items, body: not _any(frame, items, body),
        "any": _any,
        "one": lambda frame, items, body: _count(frame, items, body) == 1,
        "filter": _filter,
        "map": _map,
        "count": _count,
        "sum": _sum,
        "find": _find(backwards=False),
        "findLast": _find(backwards=True),
        "findIndex": _find_index(backwards=False),
        "findLastIndex": _find_index(backwards=True),
        "groupBy": _group_by,
        "sortBy": _sort_by,
        "reduce": _reduce,
    }.items()
}
