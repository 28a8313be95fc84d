# SPDX-License-Identifier: Apache-2.0
"""Environment variables in words of a Corefile: ``{$NAME}``, and ``{%NAME%}`` which is replaced first.

A value is looked through again, so values may refer to other variables. A variable that isn't set is empty. ``{$}``
has no name: it stays, and so does everything after it.
"""

from __future__ import annotations

from collections.abc import Mapping

from clusterdns.config.directive import Token
from clusterdns.errors import ConfigError

_FORMS = (("{%", "%}"), ("{$", "}"))
# A chain of references is a few long at most; what goes on after this many refers to itself.
_MAX_REFERENCES = 100
_MAX_CHARACTERS = 1 << 16


def expand_token(token: Token, environment: Mapping[str, str], unset: list[str]) -> Token:
    """The word with its references replaced; the names of variables that aren't set are added to ``unset``.

    Raises ConfigError at the word if references never come to an end.
    """
    if "{" not in token.text:
        return token
    text = token.text
    for opening, closing in _FORMS:
        text = _replace(token, text, (opening, closing), environment, unset)
    return token if text == token.text else Token(text, token.file, token.line, token.column)


def _replace(token: Token, text: str, form: tuple[str, str], environment: Mapping[str, str], unset: list[str]) -> str:
    opening, closing = form
    for _ in range(_MAX_REFERENCES):
        start = text.find(opening)
        end = text.find(closing, start) if start >= 0 else -1
        if end <= start + len(opening):
            return text
        name = text[start + len(opening) : end]
        if name not in environment:
            unset.append(name)
        text = text.replace(text[start : end + len(closing)], environment.get(name, ""))
        if len(text) > _MAX_CHARACTERS:
            break
    raise ConfigError(
        f"environment variables refer to each other without end: {token.text}",
        file=token.file,
        line=token.line,
        column=token.column,
        hint=f"look at the value of {name}",
    )
