# SPDX-License-Identifier: Apache-2.0
"""The words of an expression with look-ahead, the errors about them, and limits to its size."""

from __future__ import annotations

from clusterdns.errors import ExpressionError
from clusterdns.expressions.expr.lexer import Kind, Lexer, Token, error_at

# Nesting of parentheses, calls and the like; chains of operators are not nesting.
MAX_DEPTH = 100
MAX_NODES = 10_000


class TokenReader:
    """Reads tokens one by one; ``_current`` is the one to be looked at."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lexer = Lexer(source)
        self._stashed: Token | None = None
        self._current = self._lexer.next()
        self._depth = 0
        self._nodes = 0

    def _error(self, message: str, token: Token | None = None) -> ExpressionError:
        return error_at(self._source, (token or self._current).position, message)

    def _unexpected(self) -> ExpressionError:
        return self._error(f"unexpected token {self._current}")

    def _next(self) -> Token:
        """Go on to the next token; gives the one that was current."""
        token = self._current
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error("compilation failed: expression exceeds maximum allowed nodes")
        if self._stashed is not None:
            self._current, self._stashed = self._stashed, None
        else:
            self._current = self._lexer.next()
        return token

    def _expect(self, kind: Kind, text: str | None = None) -> Token:
        if self._current.kind is not kind or (text is not None and self._current.text != text):
            raise self._unexpected()
        return self._next()

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error("expression nests too deeply")
