# SPDX-License-Identifier: Apache-2.0
"""Which names a rule of ``rewrite`` is for, and how text is put in the place of what matched.

Names are text here: lower case, absolute, with a final dot, special octets escaped.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

import msgspec

from clusterdns.expressions.regex import Regex

Kind: TypeAlias = Literal["exact", "prefix", "suffix", "substring", "regex"]

KINDS: Final[tuple[Kind, ...]] = ("exact", "prefix", "suffix", "substring", "regex")

_GROUP: Final = re.compile(r"\{([0-9]{1,3})\}", re.ASCII)


class Pattern(msgspec.Struct, frozen=True):
    """What a name is compared with: ``text``, or ``regex`` if the kind is that."""

    kind: Kind
    text: str
    regex: Regex | None = None

    def matches(self, name: str) -> bool:
        """True if the name fits."""
        if self.regex is not None:
            return self.regex.matches(name)
        if self.kind == "exact":
            return name == self.text
        if self.kind == "prefix":
            return name.startswith(self.text)
        if self.kind == "suffix":
            return name.endswith(self.text)
        return self.text in name

    def replace(self, name: str, replacement: str) -> str | None:
        """The name with ``replacement`` for the part that matched (for a regular expression, for all of the name, with
        its groups in the place of ``{1}``); None if it doesn't fit.
        """
        if self.regex is not None:
            groups = self.regex.find(name)
            return None if groups is None else fill_in(replacement, groups)
        if not self.matches(name):
            return None
        if self.kind == "exact":
            return replacement
        if self.kind == "prefix":
            return replacement + name[len(self.text) :]
        if self.kind == "suffix":
            return name[: len(name) - len(self.text)] + replacement
        return name.replace(self.text, replacement)


def fill_in(replacement: str, groups: tuple[str, ...]) -> str:
    """``replacement`` with the groups in the place of ``{0}``, ``{1}`` …; numbers without a group stay."""

    def group(match: re.Match[str]) -> str:
        number = int(match[1])
        return groups[number] if number < len(groups) and match[1] == str(number) else match[0]

    return _GROUP.sub(group, replacement)


def groups_used(replacement: str) -> set[int]:
    """The numbers of the groups that the replacement refers to."""
    return {int(number) for number in _GROUP.findall(replacement)}


class Substitution(msgspec.Struct, frozen=True):
    """A regular expression and what to put in the place of a name that matches it."""

    pattern: Pattern
    replacement: str

    def apply(self, name: str) -> str:
        """The name, replaced if it matches."""
        replaced = self.pattern.replace(name, self.replacement)
        return name if replaced is None else replaced


class Exchange(msgspec.Struct, frozen=True):
    """Puts one name in the place of another, and of the end of the names below it."""

    old: str
    new: str

    def apply(self, name: str) -> str:
        """The name, exchanged if it is ``old`` or below it."""
        if name == self.old:
            return self.new
        front = name[: len(name) - len(self.old)]
        return front + self.new if name.endswith(self.old) and front.endswith(".") else name


Change: TypeAlias = Substitution | Exchange
"""What a rule does to the names in a reply."""
