# SPDX-License-Identifier: Apache-2.0
"""Single values by the verbs of Go's fmt: ``%d``, ``%05x``, ``%-10s``, ``%q``, ``%.2f`` …"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from clusterdns.expressions.quoting import quote, to_bytes

_BASES = {"b": 2, "o": 8, "O": 8, "d": 10, "v": 10, "x": 16, "X": 16}
_PREFIXES = {"b": "0b", "x": "0x", "X": "0X"}


@dataclass(frozen=True, slots=True)
class Flags:
    """Flags, width and precision of one verb.

    named: structs print with their field names, ``%+v``.
    literal: texts print quoted, ``%#v``.
    """

    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    named: bool = False
    literal: bool = False
    width: int | None = None
    precision: int | None = None

    def with_width(self, width: int) -> Flags:
        """A negative width, from ``*``, means padding on the right."""
        if width < 0:
            return replace(self, minus=True, zero=False, width=-width)
        return replace(self, width=width)

    def for_any(self) -> Flags:
        """For ``%v`` two flags mean something else."""
        return replace(self, plus=False, named=self.plus, sharp=False, literal=self.sharp)

    def with_precision(self, precision: int) -> Flags:
        return replace(self, precision=precision)

    def pad(self, text: str, *, zero: bool = False) -> str:
        """``text`` filled up to the width."""
        if self.width is None or len(text) >= self.width:
            return text
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if zero and self.zero else " ")


def format_scalar(value: object, verb: str, flags: Flags) -> str | None:
    """A bool, int, float, str or bytes by a verb; None if the verb is not for its type."""
    if isinstance(value, bool):
        return flags.pad("true" if value else "false", zero=True) if verb in ("t", "v") else None
    if isinstance(value, int):
        return _format_int(value, verb, flags)
    if isinstance(value, float):
        return _format_float(value, verb, flags)
    if isinstance(value, bytes):
        return _format_bytes(value, verb, flags)
    return _format_text(str(value), verb, flags)


def _format_int(value: int, verb: str, flags: Flags) -> str | None:
    if verb in _BASES:
        return flags.pad(_integer(value, verb, flags))
    if verb == "c":
        return flags.pad(_character(value), zero=True)
    if verb == "q":
        return flags.pad(quote(_character(value), ascii_only=flags.plus, mark="'"), zero=True)
    if verb == "U":
        code = f"U+{value & 0xFFFF_FFFF_FFFF_FFFF:0{max(4, flags.precision or 0)}X}"
        if flags.sharp and 0 <= value <= 0x10FFFF and chr(value).isprintable():
            code += f" '{chr(value)}'"
        return flags.pad(code)
    return None


def _character(value: int) -> str:
    return chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value <= 0xDFFF else "\ufffd"


def _integer(value: int, verb: str, flags: Flags) -> str:
    base = _BASES[verb]
    if flags.precision == 0 and value == 0:
        return ""
    kinds = {2: "b", 8: "o", 10: "d", 16: "X" if verb == "X" else "x"}
    digits = format(abs(value), kinds[base])
    sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
    if flags.precision is not None:
        digits = digits.zfill(flags.precision)
    elif flags.zero and not flags.minus and flags.width:
        digits = digits.zfill(flags.width - len(sign))
    if verb == "O":
        digits = "0o" + digits
    elif flags.sharp and base == 8:
        digits = digits if digits.startswith("0") else "0" + digits
    elif flags.sharp:
        digits = _PREFIXES.get(verb, "") + digits
    return sign + digits


def _format_float(value: float, verb: str, flags: Flags) -> str | None:
    style = {"v": "g", "F": "f"}.get(verb, verb)
    if style not in ("e", "E", "f", "g", "G"):
        return None
    precision = flags.precision
    if precision is None and style in ("e", "E", "f"):
        precision = 6
    text = format_float(value, style, precision)
    if not math.isfinite(value):
        return flags.pad(_signed_special(text, flags))
    if not text.startswith("-") and (flags.plus or flags.space):
        text = ("+" if flags.plus else " ") + text
    if flags.zero and not flags.minus and flags.width:
        sign = text[0] if text[0] in "+- " else ""
        return sign + text[len(sign) :].rjust(flags.width - len(sign), "0")
    return flags.pad(text)


def _signed_special(text: str, flags: Flags) -> str:
    """Infinities always show their sign, NaN only if asked to."""
    if text.startswith("-") or not (flags.plus or flags.space):
        return text
    return ("+" if flags.plus else " ") + text.lstrip("+")


def format_float(value: float, style: str = "g", precision: int | None = None) -> str:
    """``strconv.FormatFloat`` for styles e, E, f, g, G; precision None gives the fewest digits that read back equal."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if precision is not None:
        return f"{value:.{max(precision, 1) if style in 'gG' else precision}{style}}"
    mantissa, _, exponent_text = f"{value!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + ("" if fraction == "0" else fraction)).lstrip("0")
    exponent = int(exponent_text or "0") + len(whole) - 1
    if whole == "0":
        exponent = -1 - (len(fraction) - len(fraction.lstrip("0")))
    digits = digits.rstrip("0") or "0"
    if digits == "0":
        exponent = 0
    if style in ("e", "E") or (style in ("g", "G") and not -4 <= exponent < 6):
        mark = "E" if style in ("E", "G") else "e"
        body = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{body}{mark}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    padded = digits.ljust(exponent + 1, "0")
    tail = padded[exponent + 1 :]
    return f"{sign}{padded[: exponent + 1]}{'.' + tail if tail else ''}"


def _format_text(text: str, verb: str, flags: Flags) -> str | None:
    if verb in ("x", "X"):
        return _hex(to_bytes(text), verb, flags)
    if flags.precision is not None:
        text = text[: flags.precision]
    if verb == "v" and flags.literal:
        return flags.pad(quote(text), zero=True)
    if verb == "q":
        if flags.sharp and "`" not in text and text.replace("\t", " ").isprintable():
            return flags.pad(f"`{text}`", zero=True)
        return flags.pad(quote(text, ascii_only=flags.plus), zero=True)
    return flags.pad(text, zero=True) if verb in ("s", "v") else None


def _format_bytes(data: bytes, verb: str, flags: Flags) -> str | None:
    if verb in ("x", "X"):
        return _hex(data, verb, flags)
    if verb in ("v", "d"):
        return "[" + " ".join(_integer(byte, "d", flags) for byte in data) + "]"
    return _format_text(data.decode("utf-8", "surrogateescape"), verb, flags)


def _hex(data: bytes, verb: str, flags: Flags) -> str:
    if flags.precision is not None:
        data = data[: flags.precision]
    pairs = [format(byte, "02" + verb) for byte in data]
    prefix = "0" + verb if flags.sharp else ""
    if flags.space:
        return flags.pad(" ".join(prefix + pair for pair in pairs), zero=True)
    return flags.pad((prefix if pairs else "") + "".join(pairs), zero=True)
