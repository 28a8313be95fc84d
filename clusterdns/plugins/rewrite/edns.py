# SPDX-License-Identifier: Apache-2.0
"""How ``rewrite edns0`` is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clusterdns.config.directive import Token, parse_with
from clusterdns.dns.edns import NSID
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.numerals import parse_uint
from clusterdns.expressions.quoting import quote
from clusterdns.plugins.rewrite.rules import (
    ACTIONS,
    SUBNET,
    VARIABLES,
    Action,
    Fixed,
    OptionRule,
    Subnet,
    Value,
    Variable,
)
from clusterdns.serving.metadata import is_label

_HEX: Final = "0x"
_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_V4_BITS: Final = 32
_V6_BITS: Final = 128
_UNSET_COUNTS: Final = {
    "local": (3, "local unset action requires exactly two arguments"),
    "nsid": (2, "nsid unset action requires exactly one argument"),
    "subnet": (2, "subnet unset action requires exactly one argument"),
}
_COUNTS: Final = {
    "local": (4, "EDNS0 local rules require three or four args"),
    "nsid": (2, "EDNS0 NSID rules can accept no more than one arg"),
    "subnet": (4, "EDNS0 subnet rules require three or four args"),
}


def read_option(at: Token, stop: bool, args: Sequence[Token]) -> OptionRule:
    """The rule whose words follow ``edns0``; ``at`` is the directive. Raises ConfigError."""
    if len(args) < 2:
        raise _fault(at, "too few arguments for an EDNS0 rule")
    kind = args[0].text.lower()
    action = _action(args[1])
    revert = action != "unset" and args[-1].text == "revert"
    if revert:
        args = args[:-1]
    counts = _UNSET_COUNTS if action == "unset" else _COUNTS
    if kind not in counts:
        raise _fault(args[0], f"invalid rule type {quote(kind)}")
    count, message = counts[kind]
    if len(args) != count:
        raise _fault(at, message)
    if kind == "nsid":
        return OptionRule(stop, action, NSID, Fixed(), revert)
    if kind == "subnet":
        subnet = Fixed() if action == "unset" else Subnet(_bits(args[2], 4, _V4_BITS), _bits(args[3], 6, _V6_BITS))
        return OptionRule(stop, action, SUBNET, subnet, revert)
    code = _number(args[2])
    return OptionRule(stop, action, code, Fixed() if action == "unset" else _value(args[3]), revert)


def _fault(at: Token, message: str) -> ConfigError:
    return at.error(message, label=ConfigError.NO_POSITION)


def _action(token: Token) -> Action:
    text = token.text.lower()
    for action in ACTIONS:
        if action == text:
            return action
    raise _fault(token, f"invalid action: {quote(text)}")


def _number(token: Token) -> int:
    return parse_with(token, lambda text: parse_uint(text, 0, 16), label=ConfigError.NO_POSITION)


def _bits(token: Token, version: int, most: int) -> int:
    bits = _number(token)
    if bits > most:
        raise _fault(token, f"invalid IPv{version} bit mask length {bits}")
    return bits


def _value(token: Token) -> Value:
    text = token.text
    if text.startswith("{") and text.endswith("}"):
        name = text[1:-1]
        if name not in VARIABLES and not is_label(name):
            raise _fault(token, f"unsupported variable name {quote(text)}")
        return Variable(name)
    if text.startswith(_HEX):
        return Fixed(parse_with(token, _parse_hex, label=ConfigError.NO_POSITION))
    return Fixed(text.encode())


def _parse_hex(text: str) -> bytes:
    """Octets as ``0x`` and pairs of hexadecimal digits, with the error texts of Go's encoding/hex."""
    digits = text[len(_HEX) :]
    for digit in digits:
        if digit not in _DIGITS:
            raise ExpressionError(f"encoding/hex: invalid byte: U+{ord(digit):04X} {quote(digit, mark=chr(39))}")
    if len(digits) % 2:
        raise ExpressionError("encoding/hex: odd length hex string")
    return bytes.fromhex(digits)
