# SPDX-License-Identifier: Apache-2.0
"""Expressions in the language of expr-lang, interpreted within limits.

Understood is all of the language but dates, JSON and methods of objects: literals, operators, ``in``, ``matches``,
``?:``, ``??``, ``?.``, ranges, slices, ``let``, ``if``, pipes, predicates and the built-in functions. Names, numbers
of arguments and types are checked when the expression is parsed. Texts of errors are expr-lang's, with the place::

    unexpected token EOF (1:5)
     | nope(
     | ....^
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.check import ENVIRONMENT, Checker
from clusterdns.expressions.expr.eval import Compiler, Step
from clusterdns.expressions.expr.lexer import is_word
from clusterdns.expressions.expr.nodes import Identifier
from clusterdns.expressions.expr.operators import Budget
from clusterdns.expressions.expr.parser import parse_expression
from clusterdns.expressions.expr.predicates import Frame
from clusterdns.expressions.expr.signatures import BUILTIN_FUNCTIONS, UNSUPPORTED_FUNCTIONS
from clusterdns.expressions.expr.types import Signature, Type

# One evaluation looks at so many elements at most, and makes so many characters and elements.
MAX_STEPS = 100_000
MAX_MEMORY = 100_000
MAX_EXPRESSION_CHARACTERS = 65_536

_NO_FUNCTIONS: Mapping[str, Callable[..., object]] = {}


class Expression:
    """A parsed expression; evaluating it leaves it as it is.

    text: as written.
    type: of the values that it gives, as far as known.
    used: names of the functions and variables of its environment that it uses.
    """

    __slots__ = ("_run", "text", "type", "used")

    def __init__(self, text: str, run: Step, result: Type, used: frozenset[str]) -> None:
        self.text = text
        self._run = run
        self.type = result
        self.used = used

    @classmethod
    def parse(
        cls, text: str, functions: Mapping[str, Signature] | None = None, variables: Mapping[str, Type] | None = None
    ) -> Expression:
        """Parse and check ``text``, which may use the given functions and variables.

        Raises ExpressionError.
        """
        if len(text) > MAX_EXPRESSION_CHARACTERS:
            raise ExpressionError(f"expression of more than {MAX_EXPRESSION_CHARACTERS} characters")
        functions = functions or {}
        variables = variables or {}
        node = parse_expression(text, functions, BUILTIN_FUNCTIONS)
        try:
            checker = Checker(text, functions, variables)
            result = checker.visit(node)
            run = Compiler(text, functions, variables, ENVIRONMENT).compile(node)
        except RecursionError:
            raise ExpressionError("expression nests too deeply") from None
        return cls(text, run, result, frozenset(checker.used))

    def evaluate(
        self,
        functions: Mapping[str, Callable[..., object]] = _NO_FUNCTIONS,
        variables: Mapping[str, object] | None = None,
    ) -> object:
        """The value: None, bool, int, float, str, bytes, list or dict.

        functions: one for each that the expression was parsed with; they raise ExpressionError.

        Raises ExpressionError.
        """
        try:
            return self._run(Frame(functions, variables or {}, Budget(MAX_STEPS, MAX_MEMORY)))
        except RecursionError:
            raise ExpressionError("expression nests too deeply") from None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def is_reserved_name(name: str) -> bool:
    """Whether expressions already give the name a meaning: a built-in function, an operator or a literal."""
    if name in BUILTIN_FUNCTIONS or name in UNSUPPORTED_FUNCTIONS:
        return True
    if not name or not all(is_word(char) for char in name):
        return True
    try:
        return not isinstance(parse_expression(name, (), ()), Identifier)
    except ExpressionError:
        return True
