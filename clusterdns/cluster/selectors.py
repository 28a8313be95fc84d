# SPDX-License-Identifier: Apache-2.0
"""Label selectors: the expressions of ``kubectl -l`` and of the ``labels`` and ``namespace_labels`` options.

Grammar (Kubernetes "Labels and Selectors"): requirements joined by commas, all of which must hold. A requirement is
``KEY``, ``!KEY``, ``KEY = VALUE``, ``KEY == VALUE``, ``KEY != VALUE``, ``KEY in (V, …)``, ``KEY notin (V, …)``,
``KEY > INTEGER`` or ``KEY < INTEGER``. ``in`` and ``notin`` are ordinary words where a key or a value is expected.
``!=`` and ``notin`` hold for objects without the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from clusterdns.cluster.validation import label_key_fault, label_value_fault
from clusterdns.errors import ExpressionError

_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+|$)")
_SYMBOLS = frozenset(("==", "!=", "=", "!", "(", ")", ",", "<", ">"))
_OPERATORS = {"in": "in", "notin": "notin", "=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt"}
_OPERATOR_NAMES = "in, notin, =, ==, !=, gt, lt"
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


class Requirement(msgspec.Struct, frozen=True):
    """One condition: ``operator`` is ``in``, ``notin``, ``=``, ``!=``, ``gt``, ``lt``, ``exists`` or ``!``."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True if an object with these labels meets the condition."""
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=":
                return value in self.values
            case "notin" | "!=":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not _INTEGER.fullmatch(value):
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == "gt" else int(value) < bound


class Selector(msgspec.Struct, frozen=True):
    """All requirements must hold; without any, everything is selected. ``text`` is what it was parsed from."""

    requirements: tuple[Requirement, ...] = ()
    text: str = ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True if an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """True if every pair of a Service's spec.selector is among the labels."""
    return all(labels.get(key) == value for key, value in selector.items())


def parse_selector(text: str) -> Selector:
    """Parse a selector expression; the empty one selects everything.

    Raises ExpressionError with the wording of Kubernetes' own parser and the offset of the word that it stopped at.
    """
    return Selector(_Parser(text).parse(), text)


class _Parser:
    """Recursive descent over the words of one expression; the last word is empty and stands for the end."""

    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        self.offsets: list[int] = []
        position = 0
        while True:
            found = _TOKEN.match(text, position)
            if found is None:  # the pattern matches at every position; this is for the type checker
                raise ExpressionError("unreadable label selector", position)
            self.words.append(found[1])
            self.offsets.append(found.start(1))
            if not found[1]:
                break
            position = found.end()
        self.at = 0

    @property
    def word(self) -> str:
        return self.words[self.at]

    def is_identifier(self) -> bool:
        return bool(self.word) and self.word not in _SYMBOLS

    def take(self) -> str:
        word = self.word
        if word:
            self.at += 1
        return word

    def fail(self, message: str, *, at: int | None = None) -> NoReturn:
        raise ExpressionError(message, self.offsets[self.at if at is None else at])

    def found(self, expected: str) -> NoReturn:
        self.fail(f"found '{self.word}', expected: {expected}")

    def parse(self) -> tuple[Requirement, ...]:
        requirements: list[Requirement] = []
        if not self.word:
            return ()
        if not self.is_identifier() and self.word != "!":
            self.found("!, identifier, or 'end of string'")
        while True:
            try:
                requirements.append(self.requirement())
            except ExpressionError as error:
                raise ExpressionError(f"unable to parse requirement: {error}", error.offset) from None
            if not self.word:
                return tuple(requirements)
            if self.word != ",":
                self.found("',' or 'end of string'")
            self.take()
            if not self.is_identifier() and self.word != "!":
                self.found("identifier after ','")

    def requirement(self) -> Requirement:
        negated = self.word == "!"
        if negated:
            self.take()
        if not self.is_identifier():
            self.found("identifier")
        start = self.at
        key = self.take()
        if fault := label_key_fault(key):
            self.fail(f'Invalid value: "{key}": {fault}', at=start)
        if negated:
            return Requirement(key, "!")
        if self.word in ("", ","):
            return Requirement(key, "exists")
        operator = _OPERATORS.get(self.word)
        if operator is None:
            self.found(_OPERATOR_NAMES)
        self.take()
        start = self.at
        values = self.values() if operator in ("in", "notin") else (self.value(),)
        for value in values:
            if operator in ("gt", "lt") and not _INTEGER.fullmatch(value):
                self.fail(f"Invalid value: \"{value}\": '>' and '<' compare with an integer", at=start)
            if fault := label_value_fault(value):
                self.fail(f'Invalid value: "{value}": {fault}', at=start)
        return Requirement(key, operator, values)

    def value(self) -> str:
        """The right side of a comparison; nothing before a comma or the end is the empty value."""
        if self.word in ("", ","):
            return ""
        if not self.is_identifier():
            self.found("identifier")
        return self.take()

    def values(self) -> tuple[str, ...]:
        """A parenthesized list; ``()`` and places between commas that hold nothing are the empty value."""
        if self.word != "(":
            self.fail(f"found '{self.word}' expected: '('")
        self.take()
        values: set[str] = set()
        while True:
            if self.is_identifier():
                values.add(self.take())
            elif self.word in (",", ")"):
                values.add("")
            else:
                self.found("',', ')' or identifier")
            if self.word == ")":
                self.take()
                return tuple(sorted(values))
            if self.word != ",":
                self.found("',' or ')'")
            self.take()
