# SPDX-License-Identifier: Apache-2.0
"""The options of ``template``, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import CLASS_NUMBERS, NOERROR, RCODE_NUMBERS, TYPE_NUMBERS
from clusterdns.dns.wire import Record
from clusterdns.errors import ExpressionError, WireError
from clusterdns.expressions.expr import Expression, is_reserved_name
from clusterdns.expressions.expr.types import ANY, STRING, Signature, Type
from clusterdns.expressions.numerals import parse_uint
from clusterdns.expressions.quoting import quote
from clusterdns.expressions.regex import Regex, compile_regex
from clusterdns.expressions.template import Template
from clusterdns.expressions.values import Function
from clusterdns.serving.query_functions import OF_THE_CLIENT, SIGNATURES

MAX_REGEX_CHARACTERS: Final = 10_000

_RCODES: Final = {**RCODE_NUMBERS, "NOTIMPL": RCODE_NUMBERS["NOTIMP"], "BADSIG": RCODE_NUMBERS["BADVERS"]}
_VARIABLE_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_TEMPLATE_FUNCTIONS: Final = {"parseInt": Function(parse_uint, ("string", "int", "int"))}
_EXPRESSION_FUNCTIONS: Final[Mapping[str, Signature]] = {**SIGNATURES, "group": Signature((ANY,), STRING)}
_EVERYTHING: Final = compile_regex(".*")


class RecordText(msgspec.Struct, frozen=True):
    """A record as a template; ``record`` is the record itself if it is the same for all queries."""

    template: Template
    record: Record | None = None


class Rule(msgspec.Struct, frozen=True):
    """One use of the directive.

    qclass, qtype: of the queries it is for; ANY is 255.
    zones: in lower-case wire form and as text.
    variables: names and expressions, in file order.
    extended_error: an EDNS option in wire form, or empty.
    fallthrough: zones in lower-case wire form.
    asks_client: True if an expression looks at more than the bytes of the query.
    mentions_message: True if a record may look at ``.Message`` or ``.Question``.
    """

    qclass: int
    qtype: int
    zones: tuple[tuple[bytes, str], ...]
    regexes: tuple[Regex, ...] = (_EVERYTHING,)
    variables: tuple[tuple[str, Expression], ...] = ()
    conditions: tuple[Expression, ...] = ()
    answer: tuple[RecordText, ...] = ()
    additional: tuple[RecordText, ...] = ()
    authority: tuple[RecordText, ...] = ()
    rcode: int = NOERROR
    extended_error: bytes = b""
    fallthrough: tuple[bytes, ...] = ()
    asks_client: bool = False
    mentions_message: bool = False


class Options(msgspec.Struct, frozen=True):
    """All uses in a server block, in file order."""

    rules: tuple[Rule, ...] = ()


def read_rule(reader: DirectiveReader, line: Line) -> Rule | None:
    """One use of the directive; None if there are faults, which are reported."""
    faults = len(reader.errors)
    with reader.collecting():
        rule = _RuleReader(reader, line)
        rule.read()
    return rule.result() if len(reader.errors) == faults else None


class _RuleReader:
    """Reads the lines of one block."""

    def __init__(self, reader: DirectiveReader, line: Line) -> None:
        self._reader = reader
        self._line = line
        self._qclass = self._mnemonic(0, CLASS_NUMBERS, "query class")
        self._qtype = self._mnemonic(1, TYPE_NUMBERS, "RR class")
        self._regexes: list[Regex] = []
        self._types: dict[str, Type] = {}
        self._variables: list[tuple[str, Expression]] = []
        self._conditions: list[Expression] = []
        self._sections: dict[str, list[RecordText]] = {"answer": [], "additional": [], "authority": []}
        self._rcode = NOERROR
        self._extended_error = b""
        self._fallthrough: list[str] = []

    def _mnemonic(self, position: int, numbers: Mapping[str, int], what: str) -> int:
        if len(self._line.args) <= position:
            raise self._line.wrong_count()
        token = self._line.args[position]
        number = numbers.get(token.text)
        if number is None:
            hint = "write it in upper case" if token.text.upper() in numbers else "ANY stands for all"
            raise token.error(f"invalid {what} {token.text}", hint=hint)
        return number

    def read(self) -> None:
        handlers: dict[str, Callable[[Line], None]] = {
            "match": self._match,
            "var": self._var,
            "expr": self._expr,
            "answer": self._records,
            "additional": self._records,
            "authority": self._records,
            "rcode": self._read_rcode,
            "ederror": self._ederror,
            "fallthrough": self._read_fallthrough,
            "upstream": self._upstream,
        }
        for option in self._line.block or ():
            with self._reader.collecting():
                option.no_block()
                handler = handlers.get(option.name.text)
                if handler is None:
                    error = option.wrong_count(option.name)
                    error.hint = f"there is no option '{option.name.text}'"
                    raise error
                handler(option)

    def result(self) -> Rule:
        expressions = [expression for _, expression in self._variables] + self._conditions
        texts = [record.template.text for records in self._sections.values() for record in records]
        return Rule(
            qclass=self._qclass,
            qtype=self._qtype,
            zones=tuple((names.from_text(zone), zone) for zone in self._zones(self._line.args[2:])),
            regexes=tuple(self._regexes) or (_EVERYTHING,),
            variables=tuple(self._variables),
            conditions=tuple(self._conditions),
            rcode=self._rcode,
            extended_error=self._extended_error,
            fallthrough=tuple(names.from_text(zone) for zone in self._fallthrough),
            asks_client=any(expression.used & OF_THE_CLIENT for expression in expressions),
            mentions_message=any("Message" in text or "Question" in text for text in texts),
            **{section: tuple(records) for section, records in self._sections.items()},
        )

    def _zones(self, tokens: tuple[Token, ...]) -> list[str]:
        for token in tokens:
            if expand_zones([token.text])[1]:
                self._reader.warn(token, f"{token.text} is not a zone and is ignored")
        return expand_zones(token.text for token in tokens)[0] if tokens else list(self._reader.block.zones)

    def _match(self, line: Line) -> None:
        for token in _arguments(line, 1):
            size = len(token.text)
            if size > MAX_REGEX_CHARACTERS:
                raise token.error(f"regex pattern too long: {size} > {MAX_REGEX_CHARACTERS}")
            try:
                self._regexes.append(compile_regex(token.text))
            except ExpressionError as error:
                raise token.error(f"could not parse regex: {token.text}, {error}") from None

    def _var(self, line: Line) -> None:
        token = _arguments(line, 2)[0]
        name = token.text
        if not _VARIABLE_NAME.fullmatch(name):
            raise token.error(f"invalid variable name {quote(name)}", hint="use letters, digits and underscores")
        if name in _EXPRESSION_FUNCTIONS or name in self._types or is_reserved_name(name):
            raise token.error(f"variable name {quote(name)} is reserved", hint="choose a name that has no meaning yet")
        expression = self._expression(line.args[1:], f"could not compile expression: {name}, ")
        self._types[name] = expression.type
        self._variables.append((name, expression))

    def _expr(self, line: Line) -> None:
        expression = self._expression(_arguments(line, 1), "could not compile expression: ")
        self._conditions.append(expression)

    def _expression(self, tokens: tuple[Token, ...], prefix: str) -> Expression:
        text = " ".join(token.text for token in tokens)
        try:
            return Expression.parse(text, _EXPRESSION_FUNCTIONS, self._types)
        except ExpressionError as error:
            raise tokens[0].error(f"{prefix}{error}") from None

    def _records(self, line: Line) -> None:
        section = line.name.text
        for token in _arguments(line, 1):
            try:
                template = Template.parse(token.text, section, _TEMPLATE_FUNCTIONS)
            except ExpressionError as error:
                raise token.error(f"could not compile template: {token.text}, {error}") from None
            self._sections[section].append(RecordText(template, self._fixed_record(token)))

    def _fixed_record(self, token: Token) -> Record | None:
        if "{{" in token.text:
            return None
        try:
            return parse_record(token.text)
        except WireError as error:
            self._reader.warn(
                token, f"this is not a record, queries get SERVFAIL: {error}", hint="quote the whole record"
            )
            return None

    def _read_rcode(self, line: Line) -> None:
        line.expect(1)
        token = line.args[0]
        rcode = _RCODES.get(token.text)
        if rcode is None:
            raise token.error(f"unknown rcode {token.text}", hint="for example NOERROR, NXDOMAIN, REFUSED")
        self._rcode = rcode

    def _ederror(self, line: Line) -> None:
        line.expect(1, 2)
        token = line.args[0]
        try:
            code = parse_uint(token.text, 10, 16)
        except ExpressionError as error:
            raise token.error(f"error parsing extended DNS error code {token.text}, {error}") from None
        self._extended_error = extended_error(code, line.args[1].text if len(line.args) > 1 else "")

    def _read_fallthrough(self, line: Line) -> None:
        self._fallthrough = self._zones(line.args) if line.args else ["."]

    def _upstream(self, line: Line) -> None:
        self._reader.warn(line.name, "upstream does nothing", hint="remove it")


def _arguments(line: Line, least: int) -> tuple[Token, ...]:
    if len(line.args) < least:
        raise line.wrong_count()
    return line.args
