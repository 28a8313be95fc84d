# SPDX-License-Identifier: Apache-2.0
"""How ``rewrite`` is read: the forms of a rule, and CoreDNS's error texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.dns import names
from clusterdns.dns.types import CLASS_NUMBERS, RCODE_NUMBERS, TYPE_NUMBERS
from clusterdns.errors import ConfigError, ExpressionError, WireError
from clusterdns.expressions.numerals import parse_uint
from clusterdns.expressions.quoting import quote
from clusterdns.expressions.regex import Regex, compile_regex
from clusterdns.plugins.rewrite.edns import read_option
from clusterdns.plugins.rewrite.matching import KINDS, Kind, Pattern, Substitution, groups_used
from clusterdns.plugins.rewrite.restoring import Owners, Rcode, Step, Target, Ttls, Values
from clusterdns.plugins.rewrite.rules import ClassRule, NameRule, ReplyRule, Rule, TypeRule

MAX_REGEX_CHARACTERS: Final = 10_000
MAX_TTL_SECONDS: Final = 2147483647
MAX_RCODE: Final = 23

_MODES: Final = {"continue": False, "stop": True}
_RCODES: Final = {**RCODE_NUMBERS, "NOTIMPL": RCODE_NUMBERS["NOTIMP"], "BADSIG": RCODE_NUMBERS["BADVERS"]}
_COUNTED_GROUPS: Final = range(101)

T = TypeVar("T")


class Options(msgspec.Struct, frozen=True):
    """All rules of a server block, in file order."""

    rules: tuple[Rule, ...] = ()


def read_options(reader: DirectiveReader) -> Options:
    """The rules of all uses; faults go to the reader."""
    rules: list[Rule] = []
    final: Token | None = None
    for line in reader.lines:
        if final is not None:
            reader.warn(
                line.name,
                f"this rule is never reached: the one of line {final.line} is for every query",
                hint="write `rewrite continue` there, or move it to the end",
            )
        with reader.collecting():
            rule = _RuleReader(reader, line).read()
            rules.append(rule)
            if rule.always and rule.stop and final is None:
                final = line.name
    return Options(tuple(rules))


class _RuleReader:
    """Reads one use of the directive, whose words may stand in a block."""

    def __init__(self, reader: DirectiveReader, line: Line) -> None:
        self._reader = reader
        self._at = line.name
        self._words = _words(line)
        self._stop = True

    def _fault(self, message: str, at: Token | None = None) -> ConfigError:
        return (at or self._at).error(message, label=ConfigError.NO_POSITION)

    def read(self) -> Rule:
        """Raises ConfigError."""
        words = self._words
        if not words:
            raise self._fault("no rule type specified for rewrite")
        mode = words[0].text.lower()
        if mode in _MODES:
            self._stop = _MODES[mode]
            words = words[1:]
            if not words:
                raise self._fault(f"{mode} rule must begin with a rule type")
        kinds: dict[str, Callable[[Sequence[Token]], Rule]] = {
            "name": self._name,
            "class": self._class,
            "type": self._type,
            "edns0": self._edns0,
            "ttl": self._ttl,
            "cname": self._cname,
            "rcode": self._rcode,
        }
        kind = words[0].text.lower()
        if kind == "answer":
            raise self._fault("response rewrites must begin with a name rule", words[0])
        if kind not in kinds:
            raise self._fault(f"invalid rule type {quote(words[0].text)}", words[0])
        return kinds[kind](words[1:])

    # Changes of the question

    def _class(self, args: Sequence[Token]) -> Rule:
        old, new = self._two("class", args)
        return ClassRule(
            self._stop, self._number("class", CLASS_NUMBERS, old), self._number("class", CLASS_NUMBERS, new)
        )

    def _type(self, args: Sequence[Token]) -> Rule:
        old, new = self._two("type", args)
        return TypeRule(self._stop, self._number("type", TYPE_NUMBERS, old), self._number("type", TYPE_NUMBERS, new))

    def _two(self, kind: str, args: Sequence[Token]) -> Sequence[Token]:
        if len(args) != 2:
            raise self._fault(f"{kind} rules must have exactly two arguments")
        return args

    def _number(self, kind: str, numbers: dict[str, int], token: Token) -> int:
        number = numbers.get(token.text.upper())
        if number is None:
            raise self._fault(f"invalid {kind} {quote(token.text.upper())}", token)
        return number

    def _name(self, args: Sequence[Token]) -> Rule:
        if len(args) < 2:
            raise self._fault("too few arguments for a name rule")
        text = "exact" if len(args) == 2 else args[0].text.lower()
        old, new = args if len(args) == 2 else args[1:3]
        auto, steps = self._answers(text, args[3:]) if len(args) > 3 else (False, ())
        kind = _kind(text)
        if kind is None:
            raise self._fault(
                f"name rule supports only exact, prefix, suffix, substring, and regex name matching, received: {text}",
                args[0],
            )
        if kind == "regex":
            self._check_groups(old, new)
        pattern = self._pattern(kind, old, lambda error: f"invalid regex matching pattern: {old.text}")
        replacement = _absolute(new.text)
        if kind == "exact":
            self._check_name(new, replacement)
        if kind == "prefix" and old.text.endswith("-"):
            self._reader.warn(
                old,
                f"this is taken for {pattern.text}, with a dot at its end: no name begins like that",
                hint=f"write `name regex ^{old.text}(.*) {new.text}{{1}}`",
            )
        if kind == "suffix" and auto:  # the end of any name can be changed back, not only that of this query
            undo = Substitution(Pattern("suffix", replacement), pattern.text)
            return NameRule(self._stop, pattern, replacement, False, (Owners(undo), Values(undo), *steps))
        return NameRule(self._stop, pattern, replacement, auto or kind == "exact", steps)

    def _check_name(self, token: Token, name: str) -> None:
        try:
            names.from_text(name)
        except WireError as error:
            self._reader.warn(token, f"this is not a name, queries get SERVFAIL: {error}")

    # Changes of the names in a reply

    def _answers(self, kind: str, args: Sequence[Token]) -> tuple[bool, tuple[Step, ...]]:
        auto = False
        steps: list[Step] = []
        if len(args) < 2:
            raise self._fault(f"invalid arguments for {kind} rule", args[0])
        if args[0].text != "answer":
            raise self._fault(
                f"exceeded the number of arguments for a non-answer rule argument for {kind} rule", args[0]
            )
        position = 0
        while position < len(args):
            position += args[position].text == "answer"
            if position == len(args):
                raise self._fault(f"type missing for answer rule for {kind} rule", args[-1])
            what = args[position]
            position += 1
            if what.text == "auto":
                auto = True
                continue
            if what.text not in ("name", "value"):
                raise self._fault(f"invalid type {quote(what.text)} for answer rule for {kind} rule", what)
            if len(args) - position < 2:
                raise self._fault(f"{what.text} answer rule for {kind} rule: 2 arguments required", what)
            change = self._substitution(
                args[position], args[position + 1], f"{what.text} answer rule for {kind} rule: "
            )
            steps.append(Owners(change) if what.text == "name" else Values(change))
            position += 2
        if auto and any(isinstance(step, Owners) for step in steps):
            raise self._fault("auto name answer rule cannot be combined with explicit name anwer rules")
        return auto, tuple(steps)

    def _substitution(self, old: Token, new: Token, prefix: str) -> Substitution:
        pattern = self._pattern("regex", old, lambda error: f"{prefix}invalid regex matching pattern: {old.text}")
        self._check_groups(old, new, prefix)
        return Substitution(pattern, _absolute(new.text))

    def _check_groups(self, old: Token, new: Token, prefix: str = "") -> None:
        regex = self._regex(old, "", lambda error: f"{prefix}invalid regex matching pattern: {old.text}")
        used = groups_used(new.text) & set(_COUNTED_GROUPS)
        groups = len(regex.names) - 1
        if len(used) > groups:
            raise self._fault(
                f"{prefix}the rewrite regex pattern ({new.text}) uses more subexpressions than its corresponding "
                f"matching regex pattern ({old.text})",
                new,
            )
        if used and max(used) > groups:
            self._reader.warn(new, f"{{{max(used)}}} stays as it is: the expression has {groups} groups")

    # Changes of the rest of a reply

    def _ttl(self, args: Sequence[Token]) -> Rule:
        if len(args) < 2:
            raise self._fault(f"too few ({len(args)}) arguments for a ttl rule")
        token = args[len(args) - 1]
        bounds = parse_ttl_range(token.text) if len(args) <= 3 else None
        if bounds is None:
            raise self._fault(f"invalid TTL '{token.text}' for a ttl rule", token)
        return ReplyRule(self._stop, Ttls(*bounds), self._matching("ttl", args[:-1]))

    def _rcode(self, args: Sequence[Token]) -> Rule:
        if len(args) < 3:
            raise self._fault(f"too few ({len(args)}) arguments for a rcode rule")
        numbers = []
        for what, token in zip(("matching", "replacement"), args[-2:], strict=True):
            number = parse_rcode(token.text) if len(args) <= 4 else None
            if number is None:
                raise self._fault(f"invalid {what} RCODE '{token.text}' for a rcode rule", token)
            numbers.append(number)
        return ReplyRule(self._stop, Rcode(*numbers), self._matching("rcode", args[:-2]))

    def _matching(self, rule: str, args: Sequence[Token]) -> Pattern:
        """``[KIND] NAME`` of a rule for queries."""
        kind = _kind(args[0].text.lower()) if len(args) == 2 else "exact"
        if kind is None:
            raise self._fault(
                f"{rule} rule supports only exact, prefix, suffix, substring, and regex name matching", args[0]
            )
        token = args[-1]
        return self._pattern(kind, token, lambda error: f"invalid regex pattern in a {rule} rule: {token.text}", rule)

    def _cname(self, args: Sequence[Token]) -> Rule:
        if len(args) not in (2, 3):
            raise self._fault(f"too few ({len(args)}) arguments for a cname rule")
        text = args[0].text.lower() if len(args) == 3 else "exact"
        kind = _kind(text)
        if kind is None:
            raise self._fault(f"unknown cname rewrite type: {text}", args[0])
        old, new = args[-2:]
        complete = kind in ("exact", "suffix")  # targets end with a dot
        if kind == "regex":
            lower = msgspec.structs.replace(old, text=old.text.lower())
            pattern = self._pattern(kind, lower, lambda error: f"invalid cname rewrite regex pattern: {error}", "cname")
        else:
            pattern = Pattern(kind, _absolute(old.text) if complete else old.text.lower())
        replacement = _absolute(new.text) if complete else new.text.lower()
        return ReplyRule(self._stop, Target(pattern, replacement))

    def _edns0(self, args: Sequence[Token]) -> Rule:
        return read_option(self._at, self._stop, args)

    # Patterns

    def _pattern(self, kind: Kind, token: Token, message: Callable[[ExpressionError], str], rule: str = "") -> Pattern:
        if kind == "regex":
            return Pattern(kind, token.text, self._regex(token, rule, message))
        return Pattern(kind, _absolute(token.text))

    def _regex(self, token: Token, rule: str, message: Callable[[ExpressionError], str]) -> Regex:
        size = len(token.text)
        if size > MAX_REGEX_CHARACTERS:
            place = f" in a {rule} rule" if rule else ""
            raise self._fault(f"regex pattern too long{place}: {size} > {MAX_REGEX_CHARACTERS}", token)
        try:
            return compile_regex(token.text)
        except ExpressionError as error:
            raise self._fault(message(error), token) from None


def _words(line: Line) -> list[Token]:
    """The words of a rule: the arguments, or, where there are fewer than two, those of the block, too."""
    words = list(line.args)
    if line.block is not None:
        if len(words) > 1:
            line.no_block()
        for option in line.block:
            option.no_block()
            words += (option.name, *option.args)
    return words


def _kind(text: str) -> Kind | None:
    return next((kind for kind in KINDS if kind == text), None)


def _absolute(text: str) -> str:
    """As CoreDNS completes names and parts of them: in lower case, with a final dot."""
    return text.lower() if text.endswith(".") and not text.endswith("\\.") else text.lower() + "."


def parse_ttl_range(text: str) -> tuple[int, int] | None:
    """The bounds in ``N``, ``MIN-MAX``, ``MIN-`` or ``-MAX``; None if it is none of them."""
    first, dash, last = text.partition("-")
    if not (first or last):
        return None
    try:
        least = parse_uint(first, 10, 32) if first else 0
        if not dash:
            return least, least
        most = parse_uint(last, 10, 32) if last else MAX_TTL_SECONDS
    except ExpressionError:
        return None
    return (least, most) if least <= most else None


def parse_rcode(text: str) -> int | None:
    """The number of an rcode given by number or mnemonic; None if it is neither."""
    try:
        number = parse_uint(text, 10, 32)
    except ExpressionError:
        return _RCODES.get(text.upper())
    return number if number <= MAX_RCODE else None
