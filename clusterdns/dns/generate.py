# SPDX-License-Identifier: Apache-2.0
r"""``$GENERATE RANGE NAME [TTL] [CLASS] TYPE DATA``: one record for each number of a range, as in BIND.

RANGE is ``START-STOP[/STEP]``. In the other words ``$`` is the number, ``${OFFSET,WIDTH,BASE}`` the number plus OFFSET
in BASE (``d``, ``o``, ``x``, ``X``, or ``n`` and ``N`` for hexadecimal nibbles in reverse order, as in ``ip6.arpa``),
filled up with zeros to WIDTH characters. ``\$`` and ``$$`` are a plain dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from clusterdns.dns.records.fields import Word
from clusterdns.errors import WireError

MAX_NUMBER: Final = 0x7FFFFFFF
MAX_WIDTH: Final = 255

_RANGE: Final = re.compile(r"([0-9]{1,10})-([0-9]{1,10})(?:/([0-9]{1,10}))?")
_VARIABLE: Final = re.compile(r"\\[\s\S]|\$\$|\$\{([^}]*)\}|\$(?!\{)|\$\{")
_MODIFIERS: Final = re.compile(r"([+-]?[0-9]{1,10})(?:,([0-9]{1,10})(?:,([doxXnN]))?)?")

_Part = str | Callable[[int], str]


class GeneratedRange(msgspec.Struct, frozen=True):
    """The numbers ``start``, ``start + step``, … up to ``stop``."""

    start: int
    stop: int
    step: int = 1

    def __len__(self) -> int:
        return (self.stop - self.start) // self.step + 1

    def lines(self, words: list[Word]) -> Iterator[list[Word]]:
        """The words of each record. Raises WireError."""
        if not words:
            raise WireError("$GENERATE needs a range and a record")
        parts = [(_parse_variables(word.text), word.quoted) for word in words]
        for number in range(self.start, self.stop + 1, self.step):
            yield [
                Word("".join([part if isinstance(part, str) else part(number) for part in word]), quoted)
                for word, quoted in parts
            ]


def parse_range(words: list[Word]) -> GeneratedRange:
    """The range of a ``$GENERATE`` entry. Raises WireError."""
    text = words[1].text if len(words) > 1 else ""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise WireError(f"not a range such as 1-254 or 0-100/5: {text[:40]}")
    start, stop, step = int(match[1]), int(match[2]), int(match[3] or "1")
    if start > stop or not step or stop > MAX_NUMBER:
        raise WireError(f"range is out of order: {text[:40]}")
    return GeneratedRange(start, stop, step)


def _parse_variables(text: str) -> list[_Part]:
    parts: list[_Part] = []
    position = 0
    for match in _VARIABLE.finditer(text):
        parts.append(text[position : match.start()])
        position = match.end()
        found = match.group()
        if match[1] is not None:
            parts.append(_parse_modifiers(match[1]))
        elif found == "${":
            raise WireError(f"brace is not closed: {text[:40]}")
        elif found == "$":
            parts.append(str)
        else:
            parts.append("$" if found in ("$$", "\\$") else found)
    parts.append(text[position:])
    return parts


def _parse_modifiers(text: str) -> Callable[[int], str]:
    match = _MODIFIERS.fullmatch(text)
    if match is None:
        raise WireError(f"not OFFSET,WIDTH,BASE: {text[:40]}")
    offset, width, base = int(match[1]), int(match[2] or "0"), match[3] or "d"
    if width > MAX_WIDTH:
        raise WireError(f"width is greater than {MAX_WIDTH}: {text[:40]}")

    def number_text(number: int) -> str:
        value = number + offset
        if not 0 <= value <= MAX_NUMBER:
            raise WireError(f"$GENERATE leads to {value}, which is not from 0 to {MAX_NUMBER}")
        if base in "nN":
            return _nibbles(f"{value:{'x' if base == 'n' else 'X'}}", width)
        return f"{value:0{width}{base}}" if width else f"{value:{base}}"

    return number_text


def _nibbles(digits: str, width: int) -> str:
    """The digits in reverse order with dots in between; ``width`` counts both."""
    return ".".join(reversed(digits.zfill((width + 1) // 2)))
