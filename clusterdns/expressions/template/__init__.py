# SPDX-License-Identifier: Apache-2.0
"""Templates in the language of Go's text/template, interpreted within limits.

Understood is all of the language but ``call`` and complex numbers: actions, pipelines, variables, fields of maps and
structs, methods, ``if``, ``with``, ``range`` over lists, maps and numbers, ``break``, ``continue``, ``define``,
``template``, ``block``, comments and trim markers. Parsing is strict, so that a fault shows when the configuration is
read; faults of data show when the template is rendered. Texts of errors are Go's.
"""

from __future__ import annotations

from collections.abc import Mapping

from clusterdns.errors import ExpressionError
from clusterdns.expressions.template.eval import Execution
from clusterdns.expressions.template.functions import builtin_functions
from clusterdns.expressions.template.nodes import ListNode
from clusterdns.expressions.template.parser import parse_template
from clusterdns.expressions.template.pipeline import Limits
from clusterdns.expressions.values import Function

__all__ = ["Limits", "Template"]

# Far above every template that fits a line of a Corefile.
MAX_TEMPLATE_CHARACTERS = 65_536


class Template:
    """A parsed template; rendering it leaves it as it is.

    name: as it appears in errors.
    text: as written.
    """

    __slots__ = ("_functions", "_limits", "_trees", "name", "text")

    def __init__(
        self,
        name: str,
        text: str,
        trees: Mapping[str, ListNode],
        functions: Mapping[str, Function],
        limits: Limits,
    ) -> None:
        self.name = name
        self.text = text
        self._trees = trees
        self._functions = functions
        self._limits = limits

    @classmethod
    def parse(
        cls, text: str, name: str, functions: Mapping[str, Function] | None = None, limits: Limits | None = None
    ) -> Template:
        """Parse ``text``; ``functions`` come on top of the built-in ones.

        Raises ExpressionError ``template: NAME:LINE: …``.
        """
        limits = limits or Limits()
        if len(text) > MAX_TEMPLATE_CHARACTERS:
            raise ExpressionError(f"template: {name}: text of more than {MAX_TEMPLATE_CHARACTERS} characters")
        known = {**builtin_functions(limits.characters), **(functions or {})}
        return cls(name, text, parse_template(text, name, known), known, limits)

    @property
    def canonical(self) -> str:
        """The template in Go's canonical form: without comments, trimmed, evenly spaced."""
        return str(self._trees[self.name])

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and (self.name, self.text) == (other.name, other.text)

    def __hash__(self) -> int:
        return hash((self.name, self.text))

    def render(self, data: object) -> str:
        """The text for ``data``, a Mapping or Struct.

        Raises ExpressionError ``template: NAME:LINE:COLUMN: executing "NAME" at <…>: …``.
        """
        execution = Execution(self.name, self.text, self._trees, self._functions, self._limits)
        try:
            return execution.run(data)
        except RecursionError:
            raise ExpressionError(f"template: {self.name}: nests too deeply") from None
