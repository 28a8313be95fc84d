# SPDX-License-Identifier: Apache-2.0
"""From the text of a template to its nodes, with the error texts of Go's text/template."""

from __future__ import annotations

from collections.abc import Collection

from clusterdns.errors import ExpressionError
from clusterdns.expressions.numerals import parse_float, parse_int, parse_uint
from clusterdns.expressions.quoting import quote, unquote
from clusterdns.expressions.template.lexer import Kind, Token
from clusterdns.expressions.template.nodes import (
    ActionNode,
    BoolNode,
    BranchNode,
    ChainNode,
    CommandNode,
    DotNode,
    EndNode,
    FieldNode,
    IdentifierNode,
    JumpNode,
    ListNode,
    NilNode,
    Node,
    NumberNode,
    Operand,
    PipeNode,
    StringNode,
    TemplateNode,
    TextNode,
    VariableNode,
)
from clusterdns.expressions.template.tokens import TokenReader

# Go allows 10,000 and has a stack that grows; nobody writes ten.
MAX_DEPTH = 60

_LITERALS = (BoolNode, StringNode, NumberNode, NilNode, DotNode)
_OPERAND_KINDS = frozenset(
    (
        Kind.BOOL,
        Kind.CHAR_CONSTANT,
        Kind.DOT,
        Kind.FIELD,
        Kind.IDENTIFIER,
        Kind.NUMBER,
        Kind.RAW_STRING,
        Kind.STRING,
        Kind.VARIABLE,
        Kind.LEFT_PAREN,
    )
)


def parse_template(text: str, name: str, functions: Collection[str]) -> dict[str, ListNode]:
    """The template's tree under its own name, and those of the templates that it defines.

    Raises ExpressionError ``template: NAME:LINE: …``.
    """
    parser = _Parser(text, name, functions)
    try:
        parser.parse()
    except RecursionError:
        raise ExpressionError(f"template: {name}: max expression depth exceeded") from None
    return parser.trees


class _Parser(TokenReader):
    def __init__(self, text: str, name: str, functions: Collection[str]) -> None:
        super().__init__(text, name)
        self.trees: dict[str, ListNode] = {}
        self._functions = functions
        self._variables = ["$"]
        self._range_depth = 0
        self._depth = 0

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error("max expression depth exceeded")

    def _leave(self) -> None:
        self._depth -= 1

    # Lists and actions

    def parse(self) -> None:
        """All of the text."""
        root = ListNode(0)
        while self._peek().kind is not Kind.EOF:
            if self._peek().kind is Kind.LEFT_DELIM:
                delim = self._next()
                word = self._next_word()
                if word.is_keyword("define"):
                    self._definition()
                    continue
                self._back(word)
                self._back(delim)
            node = self._text_or_action()
            if isinstance(node, EndNode):
                raise self._error(f"unexpected {node}")
            root.nodes.append(node)
        self._add(self._name, root)

    def _definition(self) -> None:
        context = "define clause"
        name = self._template_name(self._next_word(), context)
        self._expect(Kind.RIGHT_DELIM, context)
        self._add(name, self._separate_body(context))

    def _separate_body(self, context: str) -> ListNode:
        """The body of a ``define`` or ``block``, which sees no variables of what it stands in."""
        saved = self._variables, self._range_depth, self._action_line
        self._variables, self._range_depth, self._action_line = ["$"], 0, 0
        body, end = self._item_list()
        self._variables, self._range_depth, self._action_line = saved
        if end.word != "end":
            raise self._error(f"unexpected {end} in {context}")
        return body

    def _add(self, name: str, tree: ListNode) -> None:
        known = self.trees.get(name)
        if known is None or _is_empty(known):
            self.trees[name] = tree
        elif not _is_empty(tree):
            raise self._error(f"template: multiple definition of template {quote(name)}")

    def _item_list(self) -> tuple[ListNode, EndNode]:
        body = ListNode(self._peek_word().position)
        self._enter()
        while self._peek_word().kind is not Kind.EOF:
            node = self._text_or_action()
            if isinstance(node, EndNode):
                self._leave()
                return body, node
            body.nodes.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> Node | EndNode:
        token = self._next_word()
        if token.kind is Kind.TEXT:
            return TextNode(token.position, token.text)
        if token.kind is not Kind.LEFT_DELIM:
            raise self._unexpected(token, "input")
        self._action_line = token.line
        node = self._action()
        self._action_line = 0
        return node

    def _action(self) -> Node | EndNode:
        token = self._next_word()
        if token.kind is Kind.KEYWORD:
            match token.text:
                case "if" | "with" | "range":
                    return self._branch(token.text)
                case "end":
                    return EndNode(self._expect(Kind.RIGHT_DELIM, "end").position, "end")
                case "else":
                    return self._else()
                case "break" | "continue":
                    return self._jump(token)
                case "template":
                    return self._template_call()
                case "block":
                    return self._block()
        self._back(token)
        return ActionNode(token.position, self._pipeline("command", Kind.RIGHT_DELIM))

    def _jump(self, token: Token) -> JumpNode:
        node = JumpNode(token.position, token.text)
        following = self._next_word()
        if following.kind is not Kind.RIGHT_DELIM:
            raise self._unexpected(following, str(node))
        if not self._range_depth:
            raise self._error(f"{node} outside {{{{range}}}}")
        return node

    def _else(self) -> EndNode:
        following = self._peek_word()
        if following.is_keyword("if") or following.is_keyword("with"):
            return EndNode(following.position, "else")
        return EndNode(self._expect(Kind.RIGHT_DELIM, "else").position, "else")

    def _branch(self, word: str) -> BranchNode:
        visible = len(self._variables)
        pipe = self._pipeline(word, Kind.RIGHT_DELIM)
        self._range_depth += word == "range"
        body, end = self._item_list()
        self._range_depth -= word == "range"
        otherwise = None
        if end.word == "else":
            if word != "range" and self._peek().is_keyword(word):
                # "{{else if x}}" is "{{else}}{{if x}}" with one "{{end}}" for both.
                self._next()
                self._enter()
                otherwise = ListNode(end.position, [self._branch(word)])
                self._leave()
            else:
                otherwise, end = self._item_list()
                if end.word != "end":
                    raise self._error(f"expected end; found {end}")
        del self._variables[visible:]
        return BranchNode(pipe.position, word, pipe, body, otherwise)

    def _template_name(self, token: Token, context: str) -> str:
        if token.kind not in (Kind.STRING, Kind.RAW_STRING):
            raise self._unexpected(token, context)
        return self._unquote(token.text)

    def _template_call(self) -> TemplateNode:
        context = "template clause"
        token = self._next_word()
        name = self._template_name(token, context)
        following = self._next_word()
        pipe = None
        if following.kind is not Kind.RIGHT_DELIM:
            self._back(following)
            pipe = self._pipeline(context, Kind.RIGHT_DELIM)
        return TemplateNode(token.position, quote(name), name, pipe)

    def _block(self) -> TemplateNode:
        context = "block clause"
        token = self._next_word()
        name = self._template_name(token, context)
        pipe = self._pipeline(context, Kind.RIGHT_DELIM)
        self._add(name, self._separate_body(context))
        return TemplateNode(token.position, quote(name), name, pipe)

    # Pipelines

    def _pipeline(self, context: str, end: Kind) -> PipeNode:
        pipe = PipeNode(self._peek_word().position)
        while self._declaration(pipe, context):
            pass
        while True:
            token = self._next_word()
            if token.kind is end:
                break
            if token.kind not in _OPERAND_KINDS and not token.is_keyword("nil"):
                raise self._unexpected(token, context)
            self._back(token)
            pipe.commands.append(self._command())
        if not pipe.commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.args[0], _LITERALS):
                raise self._error(f"non executable command in pipeline stage {stage}")
        return pipe

    def _declaration(self, pipe: PipeNode, context: str) -> bool:
        """Read ``$x :=``, ``$x =`` or ``$x,`` if it is there; True if another variable has to follow."""
        variable = self._peek_word()
        if variable.kind is not Kind.VARIABLE:
            return False
        self._next()
        adjacent = self._peek()
        following = self._peek_word()
        is_comma = following.kind is Kind.CHAR and following.text == ","
        if following.kind not in (Kind.ASSIGN, Kind.DECLARE) and not is_comma:
            if adjacent.kind is Kind.SPACE:
                self._back(adjacent)
            self._back(variable)
            return False
        self._next_word()
        pipe.variables.append(VariableNode(variable.position, tuple(variable.text.split("."))))
        self._variables.append(variable.text)
        if not is_comma:
            pipe.assigns = following.kind is Kind.ASSIGN
            return False
        if context != "range" or len(pipe.variables) > 1:
            raise self._error(f"too many declarations in {context}")
        if self._peek_word().kind not in (Kind.VARIABLE, Kind.RIGHT_DELIM, Kind.RIGHT_PAREN):
            raise self._error("range can only initialize variables")
        return True

    def _command(self) -> CommandNode:
        command = CommandNode(self._peek_word().position)
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                command.args.append(operand)
            token = self._next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in (Kind.RIGHT_DELIM, Kind.RIGHT_PAREN):
                self._back(token)
            elif token.kind is not Kind.PIPE:
                raise self._unexpected(token, "operand")
            break
        if not command.args:
            raise self._error("empty command")
        return command

    def _operand(self) -> Operand | None:
        node = self._term()
        if node is None or self._peek().kind is not Kind.FIELD:
            return node
        position = self._peek().position
        names: list[str] = []
        while self._peek().kind is Kind.FIELD:
            names.append(self._next().text[1:])
        if isinstance(node, FieldNode):
            return FieldNode(position, (*node.names, *names))
        if isinstance(node, VariableNode):
            return VariableNode(position, (*node.names, *names))
        if isinstance(node, _LITERALS):
            raise self._error(f"unexpected . after term {quote(str(node))}")
        return ChainNode(position, node, tuple(names))

    def _term(self) -> Operand | None:
        token = self._next_word()
        position = token.position
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self._functions:
                    raise self._error(f"function {quote(token.text)} not defined")
                return IdentifierNode(position, token.text)
            case Kind.DOT:
                return DotNode(position)
            case Kind.VARIABLE:
                if token.text not in self._variables:
                    raise self._error(f"undefined variable {quote(token.text)}")
                return VariableNode(position, (token.text,))
            case Kind.FIELD:
                return FieldNode(position, (token.text[1:],))
            case Kind.BOOL:
                return BoolNode(position, token.text == "true")
            case Kind.NUMBER | Kind.CHAR_CONSTANT:
                return self._number(token)
            case Kind.STRING | Kind.RAW_STRING:
                return StringNode(position, token.text, self._unquote(token.text))
            case Kind.LEFT_PAREN:
                self._enter()
                pipe = self._pipeline("parenthesized pipeline", Kind.RIGHT_PAREN)
                self._leave()
                return pipe
        if token.is_keyword("nil"):
            return NilNode(position)
        self._back(token)
        return None

    def _unquote(self, literal: str) -> str:
        try:
            return unquote(literal)
        except ExpressionError as error:
            raise self._error(str(error)) from None

    def _number(self, token: Token) -> NumberNode:
        text = token.text
        if token.kind is Kind.CHAR_CONSTANT:
            code = self._character(text)
            return NumberNode(token.position, text, code, float(code))
        for parse in (parse_int, parse_uint):
            try:
                value = parse(text, 0)
            except ExpressionError:
                continue
            return NumberNode(token.position, text, value, float(value))
        try:
            real = parse_float(text)
        except ExpressionError:
            raise self._error(f"illegal number syntax: {quote(text)}") from None
        if not set(text) & set(".eEpP"):
            raise self._error(f"integer overflow: {quote(text)}")
        integer = int(real) if real.is_integer() and abs(real) < 1 << 63 else None
        return NumberNode(token.position, text, integer, real)

    def _character(self, literal: str) -> int:
        try:
            return ord(unquote(literal))
        except ExpressionError:
            pass
        if literal == "''":
            raise self._error("invalid syntax")
        try:
            unquote('"' + literal[1:-1].replace('"', '\\"') + '"')
        except ExpressionError as error:
            raise self._error(str(error)) from None
        raise self._error(f"malformed character constant: {literal}")


def _is_empty(tree: ListNode) -> bool:
    return all(isinstance(node, TextNode) and not node.text.strip() for node in tree.nodes)
