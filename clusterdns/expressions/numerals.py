# SPDX-License-Identifier: Apache-2.0
"""Numbers as Go reads them (package strconv), with Go's error texts: ``strconv.Atoi: parsing "x": invalid syntax``."""

from __future__ import annotations

import math
import re

from clusterdns.errors import ExpressionError
from clusterdns.expressions.quoting import quote

_SYNTAX = "invalid syntax"
_RANGE = "value out of range"
_PREFIXES = {"b": 2, "o": 8, "x": 16}
_DIGITS = {char: value for value, char in enumerate("0123456789abcdefghijklmnopqrstuvwxyz")}
_DIGITS |= {char.upper(): value for char, value in _DIGITS.items()}
_DECIMAL_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_HEX_FLOAT = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+", re.ASCII)
_SPECIAL_FLOAT = re.compile(r"[+-]?(?:inf|infinity)|nan", re.IGNORECASE | re.ASCII)
_STRAY_UNDERSCORE = re.compile(r"(?<![0-9])_|_(?![0-9])", re.ASCII)
_STRAY_HEX_UNDERSCORE = re.compile(r"(?<![0-9a-fA-FxX])_|_(?![0-9a-fA-F])", re.ASCII)
_BASE_PREFIX = re.compile(r"[+-]?0([bBoO])_", re.ASCII)

# Longer text can't be a number that anybody writes, and big digit strings are slow to convert.
MAX_FLOAT_CHARACTERS = 4096


def atoi(text: str) -> int:
    """``strconv.Atoi``: a decimal integer of 64 bits, sign allowed. Raises ExpressionError."""
    return _signed(text, 10, 64, "Atoi")


def parse_int(text: str, base: int = 10, bits: int = 64) -> int:
    """``strconv.ParseInt``: base 2 to 36, or 0 to go by the prefix; bits 0 means 64. Raises ExpressionError."""
    return _signed(text, base, bits, "ParseInt")


def parse_uint(text: str, base: int = 10, bits: int = 64) -> int:
    """``strconv.ParseUint``: as parse_int, without sign. Raises ExpressionError."""
    return _unsigned(text, text, base, bits, "ParseUint")


def parse_float(text: str) -> float:
    """``strconv.ParseFloat`` with 64 bits: decimal, hexadecimal with exponent, inf, nan. Raises ExpressionError."""
    if len(text) <= MAX_FLOAT_CHARACTERS and _underscores_in_place(text):
        digits = text.replace("_", "")
        if _DECIMAL_FLOAT.fullmatch(digits):
            value = float(digits)
            if math.isinf(value):
                raise _fault("ParseFloat", text, _RANGE)
            return value
        if _HEX_FLOAT.fullmatch(digits):
            try:
                return float.fromhex(digits)
            except OverflowError:
                raise _fault("ParseFloat", text, _RANGE) from None
        if _SPECIAL_FLOAT.fullmatch(text):
            return float(text)
    raise _fault("ParseFloat", text, _SYNTAX)


def wrap_int64(value: int) -> int:
    """``value`` as Go's int keeps it: 64 bits, two's complement, wrapping around."""
    return (value + 0x8000_0000_0000_0000 & 0xFFFF_FFFF_FFFF_FFFF) - 0x8000_0000_0000_0000


def _fault(function: str, text: str, reason: str) -> ExpressionError:
    return ExpressionError(f"strconv.{function}: parsing {quote(text)}: {reason}")


def _signed(text: str, base: int, bits: int, function: str) -> int:
    negative = text[:1] == "-"
    digits = text[1:] if text[:1] in ("+", "-") and text else text
    value = _unsigned(digits, text, base, bits, function)
    limit = 1 << ((bits or 64) - 1)
    if value > limit or (value == limit and not negative):
        raise _fault(function, text, _RANGE)
    return -value if negative else value


def _unsigned(digits: str, text: str, base: int, bits: int, function: str) -> int:
    if not digits:
        raise _fault(function, text, _SYNTAX)
    if base != 0 and not 2 <= base <= 36:
        raise _fault(function, text, f"invalid base {base}")
    if not 0 <= bits <= 64:
        raise _fault(function, text, f"invalid bit size {bits}")
    if base == 0:
        base, digits = _by_prefix(digits, text, function)
    limit = 1 << (bits or 64)
    value = 0
    for char in digits:
        digit = _DIGITS.get(char, base)
        if digit >= base:
            raise _fault(function, text, _SYNTAX)
        value = value * base + digit
        if value >= limit:
            raise _fault(function, text, _RANGE)
    return value


def _by_prefix(digits: str, text: str, function: str) -> tuple[int, str]:
    if not _underscores_in_place(digits):
        raise _fault(function, text, _SYNTAX)
    digits = digits.replace("_", "")
    if digits[0] != "0":
        return 10, digits
    base = _PREFIXES.get(digits[1:2].lower())
    if base is not None:
        if len(digits) == 2:
            raise _fault(function, text, _SYNTAX)
        return base, digits[2:]
    return 8, digits[1:] or "0"


def _underscores_in_place(text: str) -> bool:
    """Whether each underscore stands between digits, or between a base prefix and a digit."""
    if "_" not in text:
        return True
    text = _BASE_PREFIX.sub("0", text)
    stray = _STRAY_HEX_UNDERSCORE if text.lstrip("+-")[:2].lower() == "0x" else _STRAY_UNDERSCORE
    return stray.search(text) is None
