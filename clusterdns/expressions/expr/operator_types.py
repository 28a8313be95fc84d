# SPDX-License-Identifier: Apache-2.0
"""Which types the operators of expressions take, and which they give."""

from __future__ import annotations

from clusterdns.expressions.expr.types import ANY, BOOL, FLOAT, INT, NIL, STRING, UNKNOWN, Kind, Type, array_of


def unary_type(operator: str, operand: Type) -> Type | None:
    """The type of ``-x``, ``+x``, ``!x`` or ``not x``; None if it can't work."""
    if operator in ("!", "not"):
        return BOOL if operand.kind is Kind.BOOL or operand.is_unknown else None
    return operand if operand.is_number or operand.is_unknown else None


def binary_type(operator: str, left: Type, right: Type) -> Type | None:
    """The type of ``left operator right``; None if it can't work."""
    numbers = left.is_number and right.is_number
    match operator:
        case "==" | "!=":
            return BOOL if left.comparable_to(right) else None
        case "&&" | "||":
            return BOOL if _both(left, right, Kind.BOOL) else None
        case "<" | ">" | "<=" | ">=":
            return BOOL if numbers or _both(left, right, Kind.STRING, Kind.INT, Kind.FLOAT) else None
        case "+" if _both(left, right, Kind.STRING) and STRING in (left, right):
            return STRING if left == right else UNKNOWN
        case "+" | "-" | "*":
            if numbers:
                return FLOAT if FLOAT in (left, right) else INT
            return UNKNOWN if _both(left, right, Kind.INT, Kind.FLOAT) else None
        case "/" | "**":
            return FLOAT if numbers or _both(left, right, Kind.INT, Kind.FLOAT) else None
        case "%":
            return INT if _both(left, right, Kind.INT) else None
        case "..":
            return array_of(INT) if _both(left, right, Kind.INT) else None
        case "matches":
            bytes_left = left.kind is Kind.BYTES and right.kind is Kind.STRING
            return BOOL if bytes_left or _both(left, right, Kind.STRING) else None
        case "contains" | "startsWith" | "endsWith":
            return BOOL if _both(left, right, Kind.STRING) else None
        case "in":
            return BOOL if right.is_unknown or (left.is_unknown and right.kind is Kind.STRING) else None
    return _coalesced(left, right)


def _both(left: Type, right: Type, *kinds: Kind) -> bool:
    """Whether both are of one of the kinds, or may turn out to be."""
    if left.is_unknown:
        return right.is_unknown or right.kind in kinds
    return left.kind in kinds and (right.is_unknown or right.kind is left.kind)


def _coalesced(left: Type, right: Type) -> Type:
    if left.kind is Kind.NIL:
        return NIL if right.kind is Kind.NIL else right
    if right.kind is Kind.NIL or right.assignable_to(left):
        return left
    return UNKNOWN if left is not ANY else ANY
