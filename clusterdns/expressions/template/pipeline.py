# SPDX-License-Identifier: Apache-2.0
"""Evaluates the pipelines of a template: commands, fields, function calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clusterdns.errors import ExpressionError
from clusterdns.expressions.quoting import quote
from clusterdns.expressions.template.nodes import (
    BoolNode,
    ChainNode,
    CommandNode,
    DotNode,
    FieldNode,
    IdentifierNode,
    ListNode,
    NilNode,
    Node,
    NumberNode,
    PipeNode,
    StringNode,
    VariableNode,
)
from clusterdns.expressions.values import ANY, Function, Struct, is_true, type_name

# A step may copy a text; long ones cost more steps.
_CHARACTERS_A_STEP = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rendering may use.

    steps: parts of the template evaluated, loops counted.
    characters: size of the result, and of each text on the way to it.
    calls: nesting of templates, lists and parentheses.
    """

    steps: int = 100_000
    characters: int = 65_536
    calls: int = 100


class _Missing:
    """No value came down the pipeline, which is not the same as nil."""


_MISSING = _Missing()


class Evaluator:
    """What one rendering has so far: values of variables, output, steps taken."""

    def __init__(
        self, name: str, text: str, trees: Mapping[str, ListNode], functions: Mapping[str, Function], limits: Limits
    ) -> None:
        self._name = name
        self._text = text
        self._trees = trees
        self._functions = functions
        self._limits = limits
        self._template = name
        self._node: Node | None = None
        self._variables: list[tuple[str, object]] = []
        self._output: list[str] = []
        self._size = 0
        self._steps = 0
        self._depth = 0

    # Faults and limits

    def _fault(self, message: str) -> ExpressionError:
        if self._node is None:
            return ExpressionError(f"template: {self._template}: {message}")
        position = self._node.position
        before = self._text[:position]
        column = len(before.rpartition("\n")[2].encode("utf-8", "replace"))
        place = f"{self._name}:{before.count(chr(10)) + 1}:{column}"
        context = str(self._node)
        return ExpressionError(
            f"template: {place}: executing {quote(self._template)} at <{context}>: {message}", position
        )

    def _step(self, cost: int = 1) -> None:
        self._steps += cost
        if self._steps > self._limits.steps:
            raise self._fault(f"more than {self._limits.steps} steps")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > self._limits.calls:
            raise self._fault(f"exceeded maximum template depth ({self._limits.calls})")

    # Pipelines

    def _assign(self, name: str, value: object) -> None:
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                self._variables[at] = (name, value)
                return
        raise self._fault(f"undefined variable: {name}")

    def _variable(self, name: str) -> object:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise self._fault(f"undefined variable: {name}")

    def _pipeline(self, dot: object, pipe: PipeNode) -> object:
        self._node = pipe
        self._enter()
        value: object = _MISSING
        for command in pipe.commands:
            value = self._command(dot, command, value)
        for variable in pipe.variables:
            if pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self._variables.append((variable.names[0], value))
        self._depth -= 1
        return value

    def _command(self, dot: object, command: CommandNode, final: object) -> object:
        self._step()
        first = command.args[0]
        match first:
            case FieldNode():
                self._node = first
                return self._chain(dot, dot, first, first.names, command.args, final)
            case ChainNode():
                return self._chain_node(dot, first, command.args, final)
            case IdentifierNode():
                return self._function(dot, first, command, command.args, final)
            case PipeNode():
                self._refuse_arguments(command.args, final)
                return self._pipeline(dot, first)
            case VariableNode():
                return self._variable_node(dot, first, command.args, final)
        self._node = first
        self._refuse_arguments(command.args, final)
        return self._constant(dot, first)

    def _constant(self, dot: object, node: Node) -> object:
        match node:
            case DotNode():
                return dot
            case BoolNode() | StringNode():
                return node.value
            case NumberNode():
                if node.value is None:
                    raise self._fault(f"{node.source} overflows int")
                return node.value
            case NilNode():
                raise self._fault("nil is not a command")
        raise self._fault(f"can't evaluate command {quote(str(node))}")

    def _refuse_arguments(self, args: list[Node], final: object) -> None:
        if len(args) > 1 or final is not _MISSING:
            raise self._fault(f"can't give argument to non-function {args[0]}")

    def _variable_node(self, dot: object, node: VariableNode, args: list[Node], final: object) -> object:
        self._node = node
        value = self._variable(node.names[0])
        if len(node.names) == 1:
            self._refuse_arguments(args or [node], final)
            return value
        return self._chain(dot, value, node, node.names[1:], args, final)

    def _chain_node(self, dot: object, node: ChainNode, args: list[Node], final: object) -> object:
        self._node = node
        if isinstance(node.node, NilNode):
            raise self._fault(f"indirection through explicit nil in {node}")
        value = self._argument(dot, ANY, node.node)
        return self._chain(dot, value, node, node.names, args, final)

    def _chain(
        self, dot: object, value: object, node: Node, names: tuple[str, ...], args: list[Node], final: object
    ) -> object:
        for name in names[:-1]:
            value = self._field(dot, value, node, name, [], _MISSING)
        return self._field(dot, value, node, names[-1], args, final)

    def _field(self, dot: object, value: object, node: Node, name: str, args: list[Node], final: object) -> object:
        has_arguments = len(args) > 1 or final is not _MISSING
        if isinstance(value, Struct):
            if name in value.fields:
                found = value.fields[name]
                if isinstance(found, Function):
                    return self._call(dot, found, node, name, args[1:], final)
                if has_arguments:
                    raise self._fault(f"{name} has arguments but cannot be invoked as function")
                return found
        elif isinstance(value, Mapping):
            if has_arguments:
                raise self._fault(f"{name} is not a method but has arguments")
            return value.get(name)
        elif value is None:
            return None
        raise self._fault(f"can't evaluate field {name} in type {type_name(value)}")

    # Calls

    def _function(self, dot: object, node: IdentifierNode, whole: Node, args: list[Node], final: object) -> object:
        self._node = node
        if node.name in ("and", "or") and (args[1:] or final is not _MISSING):
            return self._short_circuit(dot, node.name == "or", args[1:], final)
        return self._call(dot, self._functions[node.name], whole, node.name, args[1:], final)

    def _call(self, dot: object, function: Function, node: Node, name: str, args: list[Node], final: object) -> object:
        count = len(args) + (final is not _MISSING)
        fixed = len(function.parameters)
        if function.variadic is not None:
            if count < fixed:
                raise self._fault(f"wrong number of args for {name}: want at least {fixed} got {len(args)}")
        elif count != fixed:
            raise self._fault(f"wrong number of args for {name}: want {fixed} got {count}")
        types = [*function.parameters, *[function.variadic or ANY] * (count - fixed)]
        values = [self._argument(dot, kind, arg) for kind, arg in zip(types, args, strict=False)]
        if final is not _MISSING:
            values.append(self._typed(final, types[-1]))
        try:
            result = function.call(*values)
        except ExpressionError as error:
            self._node = node
            raise self._fault(f"error calling {name}: {error}") from None
        if isinstance(result, str):
            self._step(len(result) // _CHARACTERS_A_STEP)
            if len(result) > self._limits.characters:
                raise self._fault(f"error calling {name}: text of more than {self._limits.characters} characters")
        return result

    def _short_circuit(self, dot: object, stop: bool, args: list[Node], final: object) -> object:
        value: object = None
        for arg in args:
            value = self._argument(dot, ANY, arg)
            if is_true(value) is stop:
                return value
        return value if final is _MISSING else final

    def _argument(self, dot: object, kind: str, node: Node) -> object:
        self._node = node
        self._step()
        match node:
            case NilNode():
                if kind != ANY:
                    raise self._fault(f"cannot assign nil to {kind}")
                return None
            case DotNode():
                return self._typed(dot, kind)
            case FieldNode():
                return self._typed(self._chain(dot, dot, node, node.names, [node], _MISSING), kind)
            case VariableNode():
                return self._typed(self._variable_node(dot, node, [], _MISSING), kind)
            case PipeNode():
                return self._typed(self._pipeline(dot, node), kind)
            case IdentifierNode():
                return self._typed(self._function(dot, node, node, [], _MISSING), kind)
            case ChainNode():
                return self._typed(self._chain_node(dot, node, [], _MISSING), kind)
        return self._literal(kind, node)

    def _literal(self, kind: str, node: Node) -> object:
        match kind, node:
            case ("interface {}", _):
                return self._constant(None, node)
            case ("string", StringNode(value=value)):
                return value
            case ("bool", BoolNode(value=value)):
                return value
            case ("int", NumberNode(integer=int(integer))):
                return integer
            case ("float64", NumberNode(real=real)):
                return real
        wanted = {"int": "integer", "float64": "float"}.get(kind, kind)
        raise self._fault(f"expected {wanted}; found {node}")

    def _typed(self, value: object, kind: str) -> object:
        if kind == ANY:
            return value
        if value is None:
            raise self._fault(f"invalid value; expected {kind}")
        if type_name(value) != kind:
            raise self._fault(f"wrong type for value; expected {kind}; got {type_name(value)}")
        return value
