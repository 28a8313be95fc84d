# SPDX-License-Identifier: Apache-2.0
"""The words of a template with look-ahead, and the errors about them."""

from __future__ import annotations

from clusterdns.errors import ExpressionError
from clusterdns.expressions.template.lexer import Kind, Lexer, Token


class TokenReader:
    """Reads tokens, takes them back, and knows where it is.

    As in Go, an error names the line of the token that was read last, look-ahead included.
    """

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._lexer = Lexer(text)
        self._ahead: list[Token] = []  # tokens given back, the next one last
        self._line = 1
        self._position = 0
        self._action_line = 0

    def _next(self) -> Token:
        if self._ahead:
            return self._ahead.pop()
        token = self._lexer.next()
        self._line = token.line
        self._position = token.position
        return token

    def _back(self, token: Token) -> None:
        self._ahead.append(token)

    def _peek(self) -> Token:
        token = self._next()
        self._back(token)
        return token

    def _next_word(self) -> Token:
        """The next token that is not space."""
        token = self._next()
        while token.kind is Kind.SPACE:
            token = self._next()
        return token

    def _peek_word(self) -> Token:
        token = self._next_word()
        self._back(token)
        return token

    def _expect(self, kind: Kind, context: str) -> Token:
        token = self._next_word()
        if token.kind is not kind:
            raise self._unexpected(token, context)
        return token

    def _error(self, message: str) -> ExpressionError:
        return ExpressionError(f"template: {self._name}:{self._line}: {message}", self._position)

    def _unexpected(self, token: Token, context: str) -> ExpressionError:
        if token.kind is not Kind.ERROR:
            return self._error(f"unexpected {token} in {context}")
        extra = ""
        if self._action_line not in (0, token.line):
            extra = " in action" if not token.text.endswith(" action") else ""
            extra += f" started at {self._name}:{self._action_line}"
        return self._error(f"{token}{extra}")
