# SPDX-License-Identifier: Apache-2.0
"""Whether a query matches a ``template``, and what its records then see."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from clusterdns.dns import names
from clusterdns.dns.types import (
    ANY,
    CLASS_ANY,
    FLAG_AA,
    FLAG_AD,
    FLAG_CD,
    FLAG_RA,
    FLAG_RD,
    FLAG_TC,
    FLAG_Z,
    class_text,
    type_text,
)
from clusterdns.errors import ClusterDNSError, ExpressionError
from clusterdns.expressions.values import Function, StringMap, Struct
from clusterdns.plugins.template.options import Rule
from clusterdns.serving.query import Query
from clusterdns.serving.query_functions import query_functions

# In the order of the fields of Go's dns.MsgHdr.
_FLAGS: Final = {
    "Authoritative": FLAG_AA,
    "Truncated": FLAG_TC,
    "RecursionDesired": FLAG_RD,
    "RecursionAvailable": FLAG_RA,
    "Zero": FLAG_Z,
    "AuthenticatedData": FLAG_AD,
    "CheckingDisabled": FLAG_CD,
}
_RCODE_BITS: Final = 0x000F


class RuleError(ClusterDNSError):
    """An expression failed on a query."""


class Refusal(enum.Enum):
    """Why a rule doesn't answer: it isn't meant, it passes the query on, or nobody else may answer either."""

    NOT_MEANT = enum.auto()
    PASSES = enum.auto()
    FAILS = enum.auto()


class Match(msgspec.Struct, frozen=True):
    """What the records of a rule see; ``zone``, ``class_text`` and ``type_text`` are labels of the metrics, too."""

    zone: str
    class_text: str
    type_text: str
    data: Struct


def match(rule: Rule, query: Query) -> Match | Refusal:
    """Whether the query matches the rule. Raises RuleError."""
    zone = _zone(rule, query.key)
    if (
        zone is None
        or not _is_meant(rule.qclass, query.qclass, CLASS_ANY)
        or not _is_meant(rule.qtype, query.qtype, ANY)
    ):
        return Refusal.NOT_MEANT
    name = names.to_text(query.key)
    for regex in rule.regexes:
        groups = regex.find(name)
        if groups is None:
            continue
        by_name = StringMap({str(number): group for number, group in enumerate(groups)})
        by_name.update({label: group for label, group in zip(regex.names, groups, strict=True) if label})
        variables: dict[str, object] = {}
        if (rule.variables or rule.conditions) and not _evaluate(rule, query, by_name, variables):
            return _refusal(rule, query)
        return _matched(rule, query, zone, name, regex.pattern, groups, by_name, variables)
    return _refusal(rule, query)


def _zone(rule: Rule, key: bytes) -> str | None:
    """The longest of the rule's zones that the name is in."""
    best: tuple[int, str] | None = None
    for zone, text in rule.zones:
        if names.is_in(key, zone) and (best is None or len(zone) > best[0]):
            best = len(zone), text
    return None if best is None else best[1]


def _is_meant(wanted: int, asked: int, everything: int) -> bool:
    return wanted == asked or everything in (wanted, asked)


def _refusal(rule: Rule, query: Query) -> Refusal:
    passes = any(names.is_in(query.key, zone) for zone in rule.fallthrough)
    return Refusal.PASSES if passes else Refusal.FAILS


def _evaluate(rule: Rule, query: Query, groups: StringMap, variables: dict[str, object]) -> bool:
    """Set the variables; True if all conditions are."""

    def group(which: object) -> str:
        known = isinstance(which, (str, int)) and not isinstance(which, bool)
        return groups.get(str(which), "") if known else ""

    functions = query_functions(query)
    functions["group"] = group
    try:
        for name, expression in rule.variables:
            variables[name] = expression.evaluate(functions, variables)
        return all(condition.evaluate(functions, variables) is True for condition in rule.conditions)
    except ExpressionError as error:
        raise RuleError(str(error)) from None


def _matched(
    rule: Rule,
    query: Query,
    zone: str,
    name: str,
    pattern: str,
    groups: tuple[str, ...],
    by_name: StringMap,
    variables: dict[str, object],
) -> Match:
    qclass = class_text(rule.qclass if query.qclass == CLASS_ANY else query.qclass)
    qtype = type_text(rule.qtype if query.qtype == ANY else query.qtype)
    fields: dict[str, object] = {
        "Zone": zone,
        "Name": name,
        "Regex": pattern,
        "Match": list(groups),
        "Group": by_name,
        "Class": qclass,
        "Type": qtype,
        "Remote": query.client.address,
        "Var": variables,
        "Meta": Function(query.metadata.get, ("string",)),
    }
    if rule.mentions_message:
        fields["Question"] = _question(query)
        fields["Message"] = _message(query)
    return Match(zone, qclass, qtype, Struct("*template.templateData", fields))


def _question(query: Query) -> Struct:
    name = names.to_text(query.name)
    fields = {"Name": name, "Qtype": query.qtype, "Qclass": query.qclass}
    return Struct("*dns.Question", fields, lambda: f";{name}\t{class_text(query.qclass)}\t {type_text(query.qtype)}")


def _message(query: Query) -> Struct:
    fields = {
        "Id": query.id,
        "Response": False,
        "Opcode": query.opcode,
        **{name: bool(query.flags & flag) for name, flag in _FLAGS.items()},
        "Rcode": query.flags & _RCODE_BITS,
        "Question": [_question(query)],
    }
    return Struct("*dns.Msg", fields)
