# SPDX-License-Identifier: Apache-2.0
"""From the text of an expression to its nodes, with the error texts of expr-lang."""

from __future__ import annotations

from collections.abc import Collection

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.lexer import Kind, Token, is_word
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
from clusterdns.expressions.expr.tokens import MAX_DEPTH, TokenReader
from clusterdns.expressions.numerals import parse_float, parse_int

_UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
_BINARY = {
    "|": 0,
    "or": 10,
    "||": 10,
    "and": 15,
    "&&": 15,
    **dict.fromkeys(("==", "!=", "<", ">", ">=", "<=", "in", "matches", "contains", "startsWith", "endsWith"), 20),
    "..": 25,
    "+": 30,
    "-": 30,
    "*": 60,
    "/": 60,
    "%": 60,
    "**": 100,
    "^": 100,
    "??": 500,
}
_RIGHT_ASSOCIATIVE = frozenset(("**", "^"))
_COMPARISONS = frozenset(("<", ">", ">=", "<="))
_NEGATABLE = frozenset(("contains", "matches", "startsWith", "endsWith", "in"))
_SYNONYMS = {"and": "&&", "or": "||", "^": "**"}
_CONSTANTS = {"true": True, "false": False, "nil": None}

# Arguments of the functions that take a predicate: e an expression, p a predicate, capital where it may be left out.
PREDICATES = {
    **dict.fromkeys(("all", "none", "any", "one", "filter", "map", "find", "findIndex", "findLast"), "ep"),
    **dict.fromkeys(("findLastIndex", "groupBy"), "ep"),
    **dict.fromkeys(("count", "sum"), "eP"),
    **dict.fromkeys(("sortBy", "reduce"), "epE"),
}


def parse_expression(source: str, functions: Collection[str], builtins: Collection[str]) -> Node:
    """The nodes of an expression.

    functions: names that the caller has functions for; they win over built-in ones.
    builtins: names of the built-in functions.

    Raises ExpressionError.
    """
    parser = _Parser(source, functions, builtins)
    try:
        return parser.parse()
    except RecursionError:
        raise ExpressionError("expression nests too deeply") from None


class _Parser(TokenReader):
    def __init__(self, source: str, functions: Collection[str], builtins: Collection[str]) -> None:
        super().__init__(source)
        self._functions = functions
        self._builtins = builtins
        self._predicates = 0

    def parse(self) -> Node:
        node = self._sequence()
        if self._current.kind is not Kind.EOF:
            raise self._unexpected()
        return node

    # Expressions

    def _sequence(self) -> Node:
        self._enter()
        nodes = [self._expression(0)]
        while self._current.is_operator(";"):
            self._next()
            if self._current.kind is Kind.EOF:
                break
            nodes.append(self._expression(0))
        self._depth -= 1
        return nodes[0] if len(nodes) == 1 else Sequence(nodes[0].position, nodes)

    def _expression(self, precedence: int) -> Node:
        self._enter()
        if precedence == 0 and self._current.is_operator("let"):
            node = self._let()
        elif precedence == 0 and self._current.is_operator("if"):
            node = self._if()
        else:
            node = self._operators(self._primary(), precedence)
            if precedence == 0:
                node = self._conditional(node)
        self._depth -= 1
        return node

    def _operators(self, left: Node, precedence: int) -> Node:
        previous = ""
        pipes = 0
        while self._current.kind is Kind.OPERATOR:
            token, negated = self._operator(precedence)
            if token is None:
                break
            if token.text == "|":
                pipes += 1
                if pipes > MAX_DEPTH:
                    raise self._error("expression nests too deeply")
                left = self._call(self._expect(Kind.IDENTIFIER), [left], overridable=True)
            elif previous == "??" and token.text != "??":
                raise self._error(
                    f"Operator ({token.text}) and coalesce expressions (??) cannot be mixed. "
                    "Wrap either by parentheses.",
                    token,
                )
            elif token.text in _COMPARISONS:
                left = self._comparison(left, token)
            else:
                level = _BINARY[token.text]
                right = self._expression(level if token.text in _RIGHT_ASSOCIATIVE else level + 1)
                left = Binary(token.position, _SYNONYMS.get(token.text, token.text), left, right)
                if negated:
                    left = Unary(token.position, "not", left)
            previous = token.text
        return left

    def _operator(self, precedence: int) -> tuple[Token | None, bool]:
        """Read a binary operator that binds at least as ``precedence``, ``not in`` included; None if there is none."""
        token = self._current
        if not token.is_operator("not"):
            if _BINARY.get(token.text, -1) < precedence:
                return None, False
            return self._next(), False
        self._next()
        if self._current.text not in _NEGATABLE or self._current.kind is not Kind.OPERATOR:
            raise self._unexpected()
        if _BINARY[self._current.text] < precedence:
            self._stashed, self._current = self._current, token
            return None, False
        return self._next(), True

    def _comparison(self, left: Node, token: Token) -> Node:
        """``a < b < c`` means ``a < b && b < c``."""
        whole: Node | None = None
        while True:
            right = self._expression(_BINARY[token.text] + 1)
            part = Binary(token.position, token.text, left, right)
            whole = part if whole is None else Binary(token.position, "&&", whole, part)
            left, token = right, self._current
            if token.kind is not Kind.OPERATOR or token.text not in _COMPARISONS:
                return whole
            self._next()

    def _let(self) -> Node:
        self._next()
        name = self._expect(Kind.IDENTIFIER)
        self._expect(Kind.OPERATOR, "=")
        value = self._expression(0)
        self._expect(Kind.OPERATOR, ";")
        return Let(name.position, name.text, value, self._sequence())

    def _if(self) -> Node:
        position = self._next().position
        self._enter()
        condition = self._expression(0)
        then = self._block()
        self._expect(Kind.OPERATOR, "else")
        otherwise = self._if() if self._current.is_operator("if") else self._block()
        self._depth -= 1
        return Conditional(position, condition, then, otherwise)

    def _block(self) -> Node:
        self._expect(Kind.BRACKET, "{")
        node = self._sequence()
        self._expect(Kind.BRACKET, "}")
        return node

    def _conditional(self, node: Node) -> Node:
        while self._current.is_operator("?"):
            self._next()
            if self._current.is_operator(":"):
                self._next()
                then = node
            else:
                then = self._expression(0)
                self._expect(Kind.OPERATOR, ":")
            otherwise = self._expression(0)
            node = Conditional(self._current.position, node, then, otherwise)
        return node

    def _primary(self) -> Node:
        token = self._current
        if token.kind is Kind.OPERATOR:
            if token.text in _UNARY:
                self._next()
                operand = self._expression(_UNARY[token.text])
                return self._postfix(Unary(token.position, token.text, operand))
            if self._predicates and token.text in ("#", "."):
                return self._postfix(self._pointer(token))
            if token.text == "::":
                self._next()
                return self._postfix(self._call(self._expect(Kind.IDENTIFIER), [], overridable=False))
        if token.is_bracket("("):
            self._next()
            node = self._sequence()
            self._expect(Kind.BRACKET, ")")
            return self._postfix(node)
        return self._secondary(token)

    def _pointer(self, token: Token) -> Pointer:
        name = ""
        if token.text == "#":
            self._next()
            if self._current.kind is Kind.IDENTIFIER:
                name = self._next().text
        return Pointer(token.position, name)

    def _secondary(self, token: Token) -> Node:
        match token.kind:
            case Kind.IDENTIFIER:
                self._next()
                if token.text in _CONSTANTS:
                    return Constant(token.position, _CONSTANTS[token.text])
                if self._current.is_bracket("("):
                    return self._postfix(self._call(token, [], overridable=True))
                return self._postfix(Identifier(token.position, token.text))
            case Kind.NUMBER:
                self._next()
                return Constant(token.position, self._number(token.text))
            case Kind.STRING:
                self._next()
                return self._postfix(Constant(token.position, token.text))
            case Kind.BYTES:
                self._next()
                return self._postfix(Constant(token.position, token.text.encode("latin-1", "replace")))
        if token.is_bracket("["):
            return self._postfix(self._array(token))
        if token.is_bracket("{"):
            return self._postfix(self._map(token))
        raise self._unexpected()

    def _number(self, text: str) -> int | float:
        digits = text.replace("_", "")
        prefix = digits[:2].lower()
        kinds = {"0x": "hex", "0b": "binary", "0o": "octal"}
        try:
            if prefix != "0x" and set(digits) & set(".eE"):
                return parse_float(digits)
            return parse_int(digits, 0 if prefix in kinds else 10)
        except ExpressionError as error:
            kind = kinds.get(prefix, "float" if set(digits) & set(".eE") else "integer")
            raise self._error(f"invalid {kind} literal: {error}") from None

    # Calls and literals

    def _call(self, token: Token, args: list[Node], *, overridable: bool) -> Node:
        overridden = overridable and token.text in self._functions
        if token.text in PREDICATES and not overridden:
            return Builtin(token.position, token.text, self._predicate_arguments(PREDICATES[token.text], args))
        arguments = self._arguments(args)
        if token.text in self._builtins and not overridden:
            return Builtin(token.position, token.text, arguments)
        return Call(token.position, Identifier(token.position, token.text), arguments)

    def _predicate_arguments(self, form: str, args: list[Node]) -> list[Node]:
        self._expect(Kind.BRACKET, "(")
        kinds = form[len(args) :]
        for number, kind in enumerate(kinds):
            if self._current.is_bracket(")"):
                if kind.isupper():
                    break
                raise self._error(f"expected at least {len(kinds)} arguments")
            if number:
                self._expect(Kind.OPERATOR, ",")
                if self._current.is_bracket(")") and kind.isupper():
                    break
            args.append(self._predicate() if kind in "pP" else self._expression(0))
        if self._current.is_operator(","):
            self._next()
        self._expect(Kind.BRACKET, ")")
        return args

    def _predicate(self) -> Predicate:
        start = self._current.position
        braces = self._current.is_bracket("{")
        if braces:
            self._next()
        self._predicates += 1
        body = self._sequence() if braces else self._expression(0)
        if not braces and self._current.is_operator(";"):
            raise self._error("wrap predicate with brackets { and }")
        self._predicates -= 1
        if braces:
            self._expect(Kind.BRACKET, "}")
        return Predicate(start, body)

    def _arguments(self, args: list[Node]) -> list[Node]:
        self._expect(Kind.BRACKET, "(")
        return args + self._items(")")

    def _items(self, closing: str) -> list[Node]:
        """Expressions up to a bracket, with commas between them and perhaps one at the end."""
        items: list[Node] = []
        while not self._current.is_bracket(closing):
            if items:
                self._expect(Kind.OPERATOR, ",")
                if self._current.is_bracket(closing):
                    break
            items.append(self._expression(0))
        self._next()
        return items

    def _array(self, token: Token) -> Node:
        self._next()
        return Array(token.position, self._items("]"))

    def _map(self, token: Token) -> Node:
        self._next()
        pairs: list[tuple[Node, Node]] = []
        while not self._current.is_bracket("}"):
            if pairs:
                self._expect(Kind.OPERATOR, ",")
                if self._current.is_bracket("}"):
                    break
                if self._current.is_operator(","):
                    raise self._unexpected()
            key = self._map_key()
            self._expect(Kind.OPERATOR, ":")
            pairs.append((key, self._expression(0)))
        self._next()
        return Map(token.position, pairs)

    def _map_key(self) -> Node:
        if self._current.kind in (Kind.NUMBER, Kind.STRING, Kind.IDENTIFIER):
            token = self._next()
            return Constant(token.position, token.text)
        if self._current.is_bracket("("):
            return self._expression(0)
        raise self._error(
            "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses "
            f"(unexpected token {self._current})"
        )

    # What follows an operand

    def _postfix(self, node: Node) -> Node:
        links = 0
        while True:
            token = self._current
            optional = token.is_operator("?.")
            if optional or token.is_operator("."):
                self._next()
                if optional and self._current.is_bracket("["):
                    node = self._index(node, self._next(), optional=True)
                else:
                    node = self._name(node, optional)
            elif token.is_bracket("["):
                node = self._index(node, self._next(), optional=False)
            else:
                return node
            links += 1
            if links > MAX_DEPTH:
                raise self._error("expression nests too deeply")

    def _name(self, node: Node, optional: bool) -> Node:
        token = self._next()
        is_name = token.kind is Kind.OPERATOR and all(is_word(char) for char in token.text)
        if token.kind is not Kind.IDENTIFIER and not is_name:
            raise self._error("expected name")
        in_chain = isinstance(node, Chain)
        inner = node.node if isinstance(node, Chain) else node
        member = Member(token.position, inner, Constant(token.position, token.text), optional)
        result: Node = member
        if self._current.is_bracket("("):
            member.method = True
            result = Call(token.position, member, self._arguments([]))
        return Chain(token.position, result) if in_chain or optional else result

    def _index(self, node: Node, bracket: Token, *, optional: bool) -> Node:
        start: Node | None = None
        if not self._current.is_operator(":"):
            start = self._expression(0)
        if not self._current.is_operator(":"):
            self._expect(Kind.BRACKET, "]")
            member = Member(bracket.position, node, start or Constant(bracket.position, None), optional)
            return Chain(bracket.position, member) if optional else member
        self._next()
        stop = None if self._current.is_bracket("]") else self._expression(0)
        self._expect(Kind.BRACKET, "]")
        return Slice(bracket.position, node, start, stop)
