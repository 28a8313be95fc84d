# SPDX-License-Identifier: Apache-2.0
"""Runs a parsed template over data, within limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from clusterdns.errors import ExpressionError
from clusterdns.expressions.formatting import sprint
from clusterdns.expressions.quoting import quote
from clusterdns.expressions.template.nodes import (
    ActionNode,
    BranchNode,
    JumpNode,
    ListNode,
    PipeNode,
    TemplateNode,
    TextNode,
)
from clusterdns.expressions.template.pipeline import Evaluator
from clusterdns.expressions.values import Function, is_true, type_name


class _Jump(Exception):
    """``break`` or ``continue`` on its way to the loop."""


class _Break(_Jump):
    pass


class _Continue(_Jump):
    pass


class Execution(Evaluator):
    """One rendering of one template."""

    def run(self, data: object) -> str:
        """The rendered text. Raises ExpressionError ``template: NAME:LINE:COLUMN: executing "NAME" at <…>: …``."""
        self._variables = [("$", data)]
        self._list(data, self._trees[self._name])
        return "".join(self._output)

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > self._limits.characters:
            raise self._fault(f"output of more than {self._limits.characters} characters")
        self._output.append(text)

    # Lists and control

    def _list(self, dot: object, body: ListNode) -> None:
        self._enter()
        for node in body.nodes:
            self._node = node
            self._step()
            match node:
                case TextNode():
                    self._write(node.text)
                case ActionNode():
                    self._action(dot, node)
                case BranchNode():
                    self._branch(dot, node)
                case TemplateNode():
                    self._call_template(dot, node)
                case JumpNode():
                    raise _Break if node.word == "break" else _Continue
        self._depth -= 1

    def _action(self, dot: object, node: ActionNode) -> None:
        value = self._pipeline(dot, node.pipe)
        if node.pipe.variables:
            return
        self._node = node
        if isinstance(value, str):
            self._write(value)
        elif value is None:
            self._write("<no value>")
        elif isinstance(value, Function):
            raise self._fault(f"can't print {node} of type {type_name(value)}")
        else:
            self._write(self._show(value))

    def _show(self, value: object) -> str:
        try:
            return sprint([value], self._limits.characters)
        except ExpressionError as error:
            raise self._fault(str(error)) from None

    def _branch(self, dot: object, node: BranchNode) -> None:
        mark = len(self._variables)
        value = self._pipeline(dot, node.pipe)
        if node.word == "range":
            done = self._range(value, node)
        else:
            done = is_true(value)
            if done:
                self._list(value if node.word == "with" else dot, node.body)
        if not done and node.otherwise is not None:
            self._list(dot, node.otherwise)
        del self._variables[mark:]

    def _range(self, value: object, node: BranchNode) -> bool:
        """Run the body for each element; False if there is none."""
        mark = len(self._variables)
        depth = self._depth
        seen = False
        try:
            for index, element in self._elements(value, node):
                seen = True
                self._step()
                self._set_loop_variables(node.pipe, mark, index, element)
                try:
                    self._list(element, node.body)
                except _Continue:
                    self._depth = depth
                del self._variables[mark:]
        except _Break:
            self._depth = depth
        return seen

    def _elements(self, value: object, node: BranchNode) -> Iterator[tuple[object, object]]:
        pairs: Iterable[tuple[object, object]]
        if isinstance(value, int) and not isinstance(value, bool):
            if len(node.pipe.variables) > 1:
                raise self._fault(f"can't use {value} to iterate over more than one variable")
            pairs = ((None, number) for number in range(value))
        elif isinstance(value, (list, tuple)):
            pairs = enumerate(value)
        elif isinstance(value, Mapping):
            pairs = sorted(value.items(), key=lambda item: str(item[0]))
        elif value is None:
            pairs = ()
        else:
            raise self._fault(f"range can't iterate over {self._show(value)}")
        return iter(pairs)

    def _set_loop_variables(self, pipe: PipeNode, mark: int, index: object, element: object) -> None:
        names = [variable.names[0] for variable in pipe.variables]
        values = [index, element] if len(names) == 2 else [element]
        for offset, (name, value) in enumerate(zip(names, values, strict=False)):
            if pipe.assigns:
                self._assign(name, value)
            else:
                self._variables[mark - len(names) + offset] = (name, value)

    def _call_template(self, dot: object, node: TemplateNode) -> None:
        tree = self._trees.get(node.name)
        if tree is None:
            raise self._fault(f"template {quote(node.name)} not defined")
        value = self._pipeline(dot, node.pipe) if node.pipe is not None else None
        outer = self._template, self._variables
        self._template, self._variables = node.name, [("$", value)]
        self._list(value, tree)
        self._template, self._variables = outer
