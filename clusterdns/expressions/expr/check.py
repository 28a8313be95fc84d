# SPDX-License-Identifier: Apache-2.0
"""Finds the type of an expression, and refuses what can't work: unknown names, wrong arguments, ``1 + 'x'``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clusterdns.errors import ExpressionError
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
from clusterdns.expressions.expr.operator_types import binary_type, unary_type
from clusterdns.expressions.expr.signatures import BUILTIN_FUNCTIONS, OVERLOADS, UNSUPPORTED_FUNCTIONS, VALIDATORS
from clusterdns.expressions.expr.types import (
    ANY,
    ARRAY,
    BOOL,
    BYTES,
    FLOAT,
    INT,
    MAP,
    NIL,
    STRING,
    UNKNOWN,
    Kind,
    Signature,
    Type,
    array_of,
)
from clusterdns.expressions.regex import compile_regex

ENVIRONMENT = "$env"
_BOOLEAN_PREDICATES = frozenset(
    ("all", "none", "any", "one", "filter", "count", "find", "findLast", "findIndex", "findLastIndex")
)
_OF_VALUE: dict[type, Type] = {bool: BOOL, int: INT, float: FLOAT, str: STRING, bytes: BYTES, type(None): NIL}


class Checker:
    """Visits the nodes of one expression in the order in which errors are to be found.

    used: names of the given functions and variables that it has met.
    """

    def __init__(self, source: str, functions: Mapping[str, Signature], variables: Mapping[str, Type]) -> None:
        self._source = source
        self._functions = functions
        self._variables = variables
        self.used: set[str] = set()
        self._locals: list[tuple[str, Type]] = []
        self._scopes: list[tuple[Type, dict[str, Type]]] = []
        self._visitors: dict[type, Callable[..., Type]] = {
            Identifier: self._identifier,
            Unary: self._unary,
            Binary: self._binary,
            Member: self._member,
            Chain: lambda node: self.visit(node.node),
            Slice: self._slice,
            Call: self._call,
            Builtin: self._builtin,
            Predicate: lambda node: self.visit(node.body),
            Pointer: self._pointer,
            Let: self._let,
            Sequence: lambda node: [self.visit(part) for part in node.nodes][-1],
            Conditional: self._conditional,
            Array: self._array,
            Map: self._map,
            Constant: lambda node: _OF_VALUE[type(node.value)],
        }

    def visit(self, node: Node) -> Type:
        """The type of a node. Raises ExpressionError."""
        return self._visitors[type(node)](node)

    def _error(self, node: Node, message: str) -> ExpressionError:
        return error_at(self._source, node.position, message)

    def _identifier(self, node: Identifier) -> Type:
        for name, known in reversed(self._locals):
            if name == node.name:
                return known
        if node.name == ENVIRONMENT:
            self.used.update(self._variables)
            return UNKNOWN
        self.used.add(node.name)
        known_variable = self._variables.get(node.name)
        if known_variable is not None:
            return known_variable
        signature = self._functions.get(node.name)
        if signature is not None:
            return Type(Kind.FUNCTION, signature.name)
        if node.name in BUILTIN_FUNCTIONS:
            raise self._error(node, f"function {node.name} has to be called")
        if node.name in UNSUPPORTED_FUNCTIONS:
            raise self._error(node, f"function {node.name} is not supported here")
        raise self._error(node, f"unknown name {node.name}")

    def _unary(self, node: Unary) -> Type:
        kind = self.visit(node.operand)
        result = unary_type(node.operator, kind)
        if result is None:
            raise self._error(node, f"invalid operation: {node.operator} (mismatched type {kind})")
        return result

    def _binary(self, node: Binary) -> Type:
        # Long chains are trees that lean to the left: no recursion there.
        spine: list[Binary] = []
        start: Node = node
        while isinstance(start, Binary):
            spine.append(start)
            start = start.left
        left = self.visit(start)
        for part in reversed(spine):
            left = self._combine(part, left, self.visit(part.right))
        return left

    def _combine(self, node: Binary, left: Type, right: Type) -> Type:
        if node.operator == "matches" and isinstance(node.right, Constant) and isinstance(node.right.value, str):
            try:
                compile_regex(node.right.value)
            except ExpressionError as error:
                raise self._error(node, str(error)) from None
        if node.operator == "in":
            if right.kind is Kind.MAP:
                if not left.is_unknown and left.kind is not Kind.STRING:
                    raise self._error(node, f"cannot use {left} as type string in map key")
                return BOOL
            if right.kind is Kind.ARRAY:
                if not left.comparable_to(right.element or ANY):
                    raise self._error(node, f"cannot use {left} as type {right.element} in array")
                return BOOL
        result = binary_type(node.operator, left, right)
        if result is None:
            raise self._error(node, f"invalid operation: {node.operator} (mismatched types {left} and {right})")
        return result

    def _member(self, node: Member) -> Type:
        name = node.index.value if isinstance(node.index, Constant) and isinstance(node.index.value, str) else None
        if isinstance(node.node, Identifier) and node.node.name == ENVIRONMENT and name is not None:
            self.used.add(name)
            known = self._variables.get(name)
            if known is None and not node.optional:
                raise self._error(node, f"unknown name {name}")
            return known or UNKNOWN
        base = self.visit(node.node)
        index = self.visit(node.index)
        if base.is_unknown:
            return UNKNOWN
        if base.kind is Kind.NIL and name is not None:
            raise self._error(node, f"type nil has no field {name}")
        if base.kind is Kind.MAP:
            if index.kind is not Kind.STRING and not index.is_unknown:
                raise self._error(node.index, f"cannot use {index} to get an element from {base}")
            return base.element or ANY
        if base.kind in (Kind.ARRAY, Kind.BYTES):
            if index.kind is not Kind.INT and not index.is_unknown:
                message = f"array elements can only be selected using an integer (got {index})"
                raise self._error(node.index, message)
            return INT if base.kind is Kind.BYTES else base.element or ANY
        if name is not None:
            raise self._error(node, f"type {base} has no {'method' if node.method else 'field'} {name}")
        raise self._error(node, f"type {base}[{index}] is undefined")

    def _slice(self, node: Slice) -> Type:
        base = self.visit(node.node)
        if base.is_unknown:
            for bound in (node.start, node.stop):
                if bound is not None:
                    self.visit(bound)
            return UNKNOWN
        if base.kind not in (Kind.STRING, Kind.ARRAY, Kind.BYTES):
            raise self._error(node, f"cannot slice {base}")
        for bound in (node.start, node.stop):
            if bound is not None:
                kind = self.visit(bound)
                if kind.kind is not Kind.INT and not kind.is_unknown:
                    raise self._error(bound, f"non-integer slice index {kind}")
        return base

    def _let(self, node: Let) -> Type:
        if node.name in self._variables or node.name in self._functions:
            raise self._error(node, f"cannot redeclare {node.name}")
        if node.name in BUILTIN_FUNCTIONS:
            raise self._error(node, f"cannot redeclare builtin {node.name}")
        if any(name == node.name for name, _ in self._locals):
            raise self._error(node, f"cannot redeclare variable {node.name}")
        self._locals.append((node.name, self.visit(node.value)))
        result = self.visit(node.body)
        self._locals.pop()
        return result

    def _conditional(self, node: Conditional) -> Type:
        condition = self.visit(node.condition)
        if condition.kind is not Kind.BOOL and not condition.is_unknown:
            raise self._error(node.condition, f"non-bool expression (type {condition}) used as condition")
        then = self.visit(node.then)
        otherwise = self.visit(node.otherwise)
        if then.kind is Kind.NIL:
            return otherwise
        if otherwise.kind is Kind.NIL:
            return then
        if not then.assignable_to(otherwise):
            return UNKNOWN
        return ARRAY if then.kind is Kind.ARRAY and then.element != otherwise.element else then

    def _array(self, node: Array) -> Type:
        kinds = [self.visit(item) for item in node.nodes]
        same = bool(kinds) and all(kind.kind is kinds[0].kind for kind in kinds)
        return array_of(kinds[-1]) if same else ARRAY

    def _map(self, node: Map) -> Type:
        for key, value in node.pairs:
            self.visit(key)
            self.visit(value)
        return MAP

    # Calls

    def _call(self, node: Call) -> Type:
        if isinstance(node.callee, Identifier):
            name = node.callee.name
            if name == ENVIRONMENT:
                raise self._error(node, f"{MAP} is not callable")
            signature = self._functions.get(name)
            if signature is not None and not any(known == name for known, _ in self._locals):
                self.used.add(name)
                return self._arguments(name, signature, node.args, node)
        callee = self.visit(node.callee)
        if not callee.is_unknown:
            raise self._error(node, f"{callee} is not callable")
        # Nothing that a function gives or a variable holds can be called, but that shows only then.
        for arg in node.args:
            self.visit(arg)
        return UNKNOWN

    def _arguments(self, name: str, signature: Signature, args: list[Node], node: Node) -> Type:
        count = len(signature.parameters)
        if len(args) > count and signature.variadic is None:
            raise self._wrong_count(args, node, f"too many arguments to call {name}")
        if len(args) < count:
            raise self._wrong_count(args, node, f"not enough arguments to call {name}")
        for number, arg in enumerate(args):
            wanted = signature.parameters[number] if number < count else signature.variadic or ANY
            given = self.visit(arg)
            if wanted.kind is Kind.FLOAT and given.kind is Kind.INT:
                continue
            if given.kind is Kind.NIL and not wanted.is_unknown:
                raise self._error(arg, f"cannot use nil as argument (type {wanted}) to call {name}")
            if not given.is_unknown and not given.assignable_to(wanted):
                raise self._error(arg, f"cannot use {given} as argument (type {wanted}) to call {name} ")
        return signature.result

    def _wrong_count(self, args: list[Node], node: Node, message: str) -> ExpressionError:
        for arg in args:
            self.visit(arg)
        return self._error(node, message)

    def _builtin(self, node: Builtin) -> Type:
        if any(isinstance(arg, Predicate) for arg in node.args) or node.name in ("count", "sum"):
            return self._with_predicate(node)
        validate = VALIDATORS.get(node.name)
        if validate is not None:
            kinds = [self.visit(arg) for arg in node.args]
            try:
                return validate(kinds)
            except ExpressionError as error:
                raise self._error(node, str(error)) from None
        failure: ExpressionError | None = None
        for signature in OVERLOADS[node.name]:
            try:
                return self._arguments(node.name, signature, node.args, node)
            except ExpressionError as error:
                failure = error
        raise failure or self._error(node, f"no matching overload for {node.name}")

    def _with_predicate(self, node: Builtin) -> Type:
        name = node.name
        collection = self.visit(node.args[0])
        if collection.kind is not Kind.ARRAY and not collection.is_unknown:
            raise self._error(node.args[0], f"builtin {name} takes only array (got {collection})")
        element = collection.element or ANY if collection.kind is Kind.ARRAY else UNKNOWN
        body = element
        if len(node.args) > 1:
            extra = {"map": {"index": INT}, "reduce": {"index": INT, "acc": UNKNOWN}}.get(name, {})
            self._scopes.append((element, extra))
            body = self.visit(node.args[1])
            self._scopes.pop()
            if name in _BOOLEAN_PREDICATES and body.kind is not Kind.BOOL and not body.is_unknown:
                raise self._error(node.args[1], f"predicate should return boolean (got {body})")
        if len(node.args) > 2:
            third = self.visit(node.args[2])
            if name == "sortBy" and third.kind is not Kind.STRING and not third.is_unknown:
                raise self._error(node.args[2], f"sortBy order argument must be a string (got {third})")
        match name:
            case "all" | "none" | "any" | "one":
                return BOOL
            case "count" | "findIndex" | "findLastIndex":
                return INT
            case "filter":
                return array_of(element)
            case "map":
                return array_of(body)
            case "groupBy":
                return Type(Kind.MAP, "map[interface {}][]interface {}", array_of(element))
            case "sortBy":
                return collection
            case "find" | "findLast":
                return element
        return body  # sum, reduce

    def _pointer(self, node: Pointer) -> Type:
        element, extra = self._scopes[-1]
        if not node.name:
            return element
        if node.name not in extra:
            raise self._error(node, f"unknown pointer #{node.name}")
        return extra[node.name]
