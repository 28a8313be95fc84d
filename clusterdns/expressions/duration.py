# SPDX-License-Identifier: Apache-2.0
"""Durations as Go reads and writes them: ``1h30m``, ``250ms``, ``-1.5s`` (package time)."""

from __future__ import annotations

import re

from clusterdns.errors import ExpressionError
from clusterdns.expressions.quoting import to_bytes

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, micro sign
    "μs": 1_000,  # U+03BC, Greek letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LIMIT = 1 << 63
_PART = re.compile(r"([0-9]*)(\.([0-9]*))?([^0-9.]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds that a duration such as ``5s`` or ``1m30s`` stands for.

    Raises ExpressionError with Go's words: ``time: missing unit in duration "30"``.
    """
    return parse_duration_nanoseconds(text) / 1_000_000_000


def parse_duration_nanoseconds(text: str) -> int:
    """As parse_duration, exact: nanoseconds."""
    negative = text[:1] == "-"
    rest = text[1:] if text[:1] in ("+", "-") and text else text
    if rest == "0":
        return 0
    if not rest:
        raise _invalid(text)
    total = 0
    at = 0
    while at < len(rest):
        part, at = _parse_part(rest, at, text)
        total += part
        if total > _LIMIT:
            raise _invalid(text)
    if total == _LIMIT and not negative:
        raise _invalid(text)
    return -total if negative else total


def _parse_part(rest: str, at: int, text: str) -> tuple[int, int]:
    match = _PART.match(rest, at)
    if match is None:  # the pattern matches everywhere, the empty string included
        raise _invalid(text)
    whole, point, fraction, unit = match.groups()
    if not whole and not fraction:
        raise _invalid(text)
    # 64 bits have 19 digits: more are out of range, or don't count behind the point.
    digits = whole.lstrip("0")
    if len(digits) > 19 or int(digits or "0") > _LIMIT:
        raise _invalid(text)
    if not unit:
        raise ExpressionError(f"time: missing unit in duration {_quote(text)}")
    scale = _NANOSECONDS.get(unit)
    if scale is None:
        raise ExpressionError(f"time: unknown unit {_quote(unit)} in duration {_quote(text)}")
    value = int(digits or "0") * scale
    if point and fraction:
        value += _fraction(fraction, scale)
    if value > _LIMIT:
        raise _invalid(text)
    return value, match.end()


def _fraction(digits: str, scale: int) -> int:
    """Nanoseconds of the digits behind the point: as Go does it, so that the last one is the same."""
    value, power = 0, 1.0
    for digit in digits:
        if value > (_LIMIT - 1) // 10 or value * 10 + int(digit) > _LIMIT:
            break
        value = value * 10 + int(digit)
        power *= 10
    return int(float(value) * (float(scale) / power))


def _quote(text: str) -> str:
    """Package time has a quoting of its own: everything that isn't ASCII as bytes."""
    pieces = []
    for byte in to_bytes(text):
        if byte in b'"\\':
            pieces.append("\\" + chr(byte))
        else:
            pieces.append(chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}")
    return '"' + "".join(pieces) + '"'


def _invalid(text: str) -> ExpressionError:
    return ExpressionError(f"time: invalid duration {_quote(text)}")


def format_duration(seconds: float) -> str:
    """Seconds as Go prints a Duration: ``5s``, ``1m30s``, ``250ms``, ``0s``; rounded to nanoseconds."""
    nanoseconds = round(seconds * 1_000_000_000)
    sign = "-" if nanoseconds < 0 else ""
    nanoseconds = abs(nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit, scale in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < scale * 1_000:
            return f"{sign}{_decimal(nanoseconds, scale)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{clock}{_decimal(rest, 1_000_000_000)}s"


def _decimal(value: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    if not fraction:
        return str(whole)
    digits = len(str(scale)) - 1
    return f"{whole}.{str(fraction).zfill(digits).rstrip('0')}"
