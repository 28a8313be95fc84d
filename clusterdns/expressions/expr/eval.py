# SPDX-License-Identifier: Apache-2.0
"""Turns the nodes of an expression into functions that evaluate them, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.builtins import BUILTINS
from clusterdns.expressions.expr.lexer import error_at
from clusterdns.expressions.expr.nodes import (
    Array,
    Binary,
    Builtin,
    Call,
    Chain,
    Conditional,
    Constant,
    Identifier,
    Let,
    Map,
    Member,
    Node,
    Pointer,
    Predicate,
    Sequence,
    Slice,
    Unary,
)
from clusterdns.expressions.expr.operators import (
    OPERATIONS,
    Budget,
    Operation,
    arithmetic,
    clamp,
    element,
    integer,
    map_key,
    number,
    text,
    truth,
)
from clusterdns.expressions.expr.predicates import PREDICATE_BUILTINS, Frame
from clusterdns.expressions.expr.types import Kind, Signature
from clusterdns.expressions.numerals import wrap_int64
from clusterdns.expressions.quoting import to_bytes, to_text
from clusterdns.expressions.regex import compile_regex
from clusterdns.expressions.values import type_name

Step: TypeAlias = Callable[[Frame], object]


class _NilInChain(Exception):
    """A ``?.`` found nil: the value of its whole chain is nil."""


class Compiler:
    """Compiles checked nodes; ``source`` is for errors."""

    def __init__(
        self, source: str, functions: Mapping[str, Signature], variables: Mapping[str, object], environment: str
    ) -> None:
        self._source = source
        self._functions = functions
        self._variables = variables
        self._environment = environment
        self._locals: list[str] = []
        self._compilers: dict[type, Callable[..., Step]] = {
            Constant: lambda node: _constant(node.value),
            Identifier: self._identifier,
            Unary: self._unary,
            Binary: self._binary,
            Member: self._member,
            Chain: self._chain,
            Slice: self._slice,
            Call: self._call,
            Builtin: self._builtin,
            Predicate: lambda node: self.compile(node.body),
            Pointer: self._pointer,
            Let: self._let,
            Sequence: self._sequence,
            Conditional: self._conditional,
            Array: self._array,
            Map: self._map,
        }

    def compile(self, node: Node) -> Step:
        """A function that gives the node's value in a frame. It raises ExpressionError."""
        return self._compilers[type(node)](node)

    def _located(self, node: Node, step: Step) -> Step:
        """``step``, with errors that point at the node."""
        source, position = self._source, node.position

        def run(frame: Frame) -> object:
            try:
                return step(frame)
            except ExpressionError as error:
                if error.offset >= 0:
                    raise
                raise error_at(source, position, str(error)) from None

        return run

    def _identifier(self, node: Identifier) -> Step:
        name = node.name
        if name in self._locals:
            return lambda frame: frame.locals[name]
        if name == self._environment:
            return lambda frame: frame.variables
        if name in self._variables:
            return lambda frame: frame.variables.get(name)
        return lambda frame: frame.functions.get(name)

    def _unary(self, node: Unary) -> Step:
        operand = self.compile(node.operand)
        if node.operator in ("!", "not"):
            return self._located(node, lambda frame: not truth(operand(frame)))
        if node.operator == "+":
            return self._located(node, lambda frame: number(operand(frame)))

        def negate(frame: Frame) -> int | float:
            value = -number(operand(frame))
            return wrap_int64(value) if isinstance(value, int) else value

        return self._located(node, negate)

    # Binary operators

    def _binary(self, node: Binary) -> Step:
        # As in the checker: a chain of operators is a tree that leans to the left, here made a loop.
        spine: list[Binary] = []
        start: Node = node
        while isinstance(start, Binary):
            spine.append(start)
            start = start.left
        first = self.compile(start)
        if len(spine) == 1:
            return self._one_operator(node, first)
        links = [self._link(part) for part in reversed(spine)]

        def run(frame: Frame) -> object:
            value = first(frame)
            for link in links:
                value = link(value, frame)
            return value

        return run

    def _one_operator(self, node: Binary, left: Step) -> Step:
        link = self._link(node)
        return lambda frame: link(left(frame), frame)

    def _link(self, node: Binary) -> Callable[[object, Frame], object]:
        """The operator and its right side, to be applied to what is on the left."""
        right = self.compile(node.right)
        source, position = self._source, node.position
        apply = self._operation(node, right)

        def run(left: object, frame: Frame) -> object:
            try:
                return apply(left, frame)
            except ExpressionError as error:
                if error.offset >= 0:
                    raise
                raise error_at(source, position, str(error)) from None

        return run

    def _operation(self, node: Binary, right: Step) -> Callable[[object, Frame], object]:
        match node.operator:
            case "&&":
                return lambda left, frame: truth(left) and truth(right(frame))
            case "||":
                return lambda left, frame: truth(left) or truth(right(frame))
            case "??":
                return lambda left, frame: right(frame) if left is None else left
            case "matches" if isinstance(node.right, Constant) and isinstance(node.right.value, str):
                return _constant_match(node.right.value)
        operation: Operation = {"+": _add, "..": _range}.get(node.operator) or OPERATIONS[node.operator]
        return lambda left, frame: operation(left, right(frame), frame.budget)

    # Members

    def _member(self, node: Member) -> Step:
        base, index = self.compile(node.node), self.compile(node.index)
        if not node.optional:
            return self._located(node, lambda frame: _fetch(base(frame), index(frame)))

        def run(frame: Frame) -> object:
            value = base(frame)
            if value is None:
                raise _NilInChain
            return _fetch(value, index(frame))

        return self._located(node, run)

    def _chain(self, node: Chain) -> Step:
        inner = self.compile(node.node)

        def run(frame: Frame) -> object:
            try:
                return inner(frame)
            except _NilInChain:
                return None

        return run

    def _slice(self, node: Slice) -> Step:
        base = self.compile(node.node)
        start = _constant(None) if node.start is None else self.compile(node.start)
        stop = _constant(None) if node.stop is None else self.compile(node.stop)
        return self._located(node, lambda frame: _cut(base(frame), start(frame), stop(frame), frame.budget))

    # Calls

    def _call(self, node: Call) -> Step:
        args = [self.compile(arg) for arg in node.args]
        name = node.callee.name if isinstance(node.callee, Identifier) else None
        if name is None or name in self._locals or name in self._variables:
            callee = self.compile(node.callee)
            return self._located(node, lambda frame: _refuse_call(callee(frame)))
        signature = self._functions[name]
        rest = [signature.variadic] * (len(args) - len(signature.parameters))
        typed = [
            _converted(arg, kind.kind) if kind is not None else arg
            for arg, kind in zip(args, [*signature.parameters, *rest], strict=True)
        ]
        return self._located(node, lambda frame: frame.functions[name](*[arg(frame) for arg in typed]))

    def _builtin(self, node: Builtin) -> Step:
        args = [self.compile(arg) for arg in node.args]
        with_predicate = PREDICATE_BUILTINS.get(node.name)
        if with_predicate is not None:
            items, rest = args[0], args[1:]
            return self._located(node, lambda frame: with_predicate(frame, items(frame), *rest))
        function = BUILTINS[node.name]
        return self._located(node, lambda frame: function(frame.budget, *[arg(frame) for arg in args]))

    def _pointer(self, node: Pointer) -> Step:
        match node.name:
            case "index":
                return lambda frame: frame.scopes[-1].index
            case "acc":
                return lambda frame: frame.scopes[-1].accumulator
        return lambda frame: frame.scopes[-1].item

    # Control and literals

    def _let(self, node: Let) -> Step:
        value = self.compile(node.value)
        self._locals.append(node.name)
        body = self.compile(node.body)
        self._locals.pop()
        name = node.name

        def run(frame: Frame) -> object:
            frame.locals[name] = value(frame)
            return body(frame)

        return run

    def _sequence(self, node: Sequence) -> Step:
        *before, last = [self.compile(part) for part in node.nodes]

        def run(frame: Frame) -> object:
            for part in before:
                part(frame)
            return last(frame)

        return run

    def _conditional(self, node: Conditional) -> Step:
        condition = self._located(node.condition, self._truth(node.condition))
        then, otherwise = self.compile(node.then), self.compile(node.otherwise)
        return lambda frame: then(frame) if condition(frame) else otherwise(frame)

    def _truth(self, node: Node) -> Step:
        value = self.compile(node)
        return lambda frame: truth(value(frame))

    def _array(self, node: Array) -> Step:
        items = [self.compile(item) for item in node.nodes]

        def run(frame: Frame) -> object:
            frame.budget.grow(len(items))
            return [item(frame) for item in items]

        return self._located(node, run)

    def _map(self, node: Map) -> Step:
        pairs = [(self.compile(key), self.compile(value)) for key, value in node.pairs]

        def run(frame: Frame) -> object:
            frame.budget.grow(len(pairs))
            return {text(key(frame)): value(frame) for key, value in pairs}

        return self._located(node, run)


def _constant(value: object) -> Step:
    return lambda frame: value


def _converted(step: Step, kind: Kind) -> Step:
    """An argument of which the type was not known when the expression was checked: checked when it is there."""
    match kind:
        case Kind.STRING:
            return lambda frame: text(step(frame))
        case Kind.BOOL:
            return lambda frame: truth(step(frame))
        case Kind.INT:
            return lambda frame: integer(step(frame))
        case Kind.FLOAT:
            return lambda frame: float(number(step(frame)))
    return step


def _constant_match(pattern: str) -> Callable[[object, Frame], object]:
    regex = compile_regex(pattern)

    def run(left: object, frame: Frame) -> bool:
        if left is None:
            return False
        frame.budget.read(left)
        return regex.matches(to_text(left) if isinstance(left, bytes) else text(left))

    return run


def _add(left: object, right: object, budget: Budget) -> object:
    if isinstance(left, str) and isinstance(right, str):
        budget.grow(len(left) + len(right))
        return left + right
    return arithmetic("+", left, right)


def _range(left: object, right: object, budget: Budget) -> list[int]:
    start, stop = integer(left), integer(right) + 1
    budget.grow(max(stop - start, 0))
    return list(range(start, stop))


def _fetch(base: object, index: object) -> object:
    if isinstance(base, Mapping):
        return base.get(map_key(index))
    if isinstance(base, (list, tuple, bytes)):
        return element(base, integer(index))
    if isinstance(base, str):
        return element(to_bytes(base), integer(index))
    raise ExpressionError(f"cannot fetch {index if isinstance(index, (str, int)) else '?'} from {type_name(base)}")


def _cut(base: object, start: object, stop: object, budget: Budget) -> object:
    if not isinstance(base, (str, bytes, list, tuple)):
        raise ExpressionError(f"cannot slice {type_name(base)}")
    items = to_bytes(base) if isinstance(base, str) else base
    budget.grow(len(items))
    low = clamp(None if start is None else integer(start), len(items), 0)
    high = clamp(None if stop is None else integer(stop), len(items), len(items))
    part = items[low : max(low, high)]
    return to_text(part) if isinstance(part, bytes) and isinstance(base, str) else part


def _refuse_call(value: object) -> object:
    if value is None:
        raise ExpressionError("invalid operation: cannot call nil")
    raise ExpressionError(f"invalid operation: cannot call non-function of type {type_name(value)}")
