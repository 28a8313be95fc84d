# SPDX-License-Identifier: Apache-2.0
r"""template - answers with records written for the query.

## Description

The records of a reply are templates that see the query: its name, the parts of it that a regular expression matched,
its type, who asks. The directive may be used several times in a server block; its uses are tried in the order of the
Corefile, and the first that matches the query answers.

## Syntax

~~~ txt
template CLASS TYPE [ZONES...] {
    match REGEX...
    var NAME EXPRESSION
    expr EXPRESSION
    answer RECORD...
    additional RECORD...
    authority RECORD...
    rcode CODE
    ederror CODE [TEXT]
    fallthrough [ZONES...]
}
~~~

* **CLASS** and **TYPE** are those of the query, such as `IN` and `A`; `ANY` stands for all.
* **ZONES** are the zones to answer for, by default those of the server block. Queries outside of them, and those of
  another class or type, go on to the next use of the directive.
* `match` gives regular expressions in RE2 syntax, tried one after the other on the name of the query, which is in lower
  case and ends with a dot. Without it every name matches.
* `var` sets a variable that later expressions know by **NAME**, and records as `.Var.NAME`.
* `expr` is a condition: the query matches only if all of them are true.
* `answer`, `additional` and `authority` give records in zone-file syntax, with the template language of Go:
  `"{{ .Name }} 60 IN A {{ .Group.a }}"`. Quote what holds blanks.
* `rcode` is the code of the reply, by default `NOERROR`. With `SERVFAIL` there are no records.
* `ederror` adds an extended DNS error (RFC 8914) to replies to clients that understand it.
* `fallthrough` passes queries that no `match` or `expr` fits on to the next use of the directive, and behind the last
  one to the next directive; with **ZONES**, only for names in those. Without it such queries get SERVFAIL.

A CNAME record in the answer to a query for addresses is followed: what this server answers for its target is added.

### What records see

`.Zone` (the zone that matched), `.Name` (the name, lower case), `.Class`, `.Type`, `.Regex`, `.Match` (the matched text
and its groups: `index .Match 1`), `.Group` (the groups by number or name: `.Group.a`), `.Question` (`.Name` as sent,
`.Qtype`, `.Qclass`), `.Message` (`.Id`, `.Response`, `.Opcode`, `.Authoritative`, `.Truncated`, `.RecursionDesired`,
`.RecursionAvailable`, `.Zero`, `.AuthenticatedData`, `.CheckingDisabled` and `.Rcode`, the header of the query, and
`.Question`, a list of one), `.Remote` (the client's address), `.Var` and `.Meta "LABEL"` (empty without *metadata*).
Functions are those of Go's text/template and `parseInt TEXT BASE BITS`. Write `{{ $x }}` with blanks: `{$` starts an
environment variable.

### Expressions

Language of [expr-lang](https://expr-lang.org/docs/language-definition), with the functions `type()`, `name()`,
`class()`, `proto()`, `size()`, `bufsize()`, `id()`, `opcode()`, `do()`, `client_ip()`, `port()`, `server_ip()`,
`server_port()`, `incidr(IP, CIDR)`, `metadata(LABEL)`, and `group(NAME)` or `group(NUMBER)` for what the regular
expression matched. Quote expressions that hold a `#`.

## Metrics

* `coredns_template_matches_total{server, zone, view, class, type}` - queries that a use of the directive answered.
* `coredns_template_template_failures_total{server, zone, view, class, type, section, template}` - records whose
  template failed.
* `coredns_template_rr_failures_total{server, zone, view, class, type, section, template}` - records that could not be
  parsed.

## Examples

No addresses of the IPv6 kind:

~~~ corefile
. {
    template ANY AAAA {
        rcode NOERROR
    }
    whoami
}
~~~

Addresses in names, `ip-10-1-2-3.example.org`, only for private ones:

~~~ corefile
example.org {
    template IN A {
        match "^ip-(?P<a>10)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]example[.]org[.]$"
        var ip replace(trimPrefix(split(name(), '.')[0], 'ip-'), '-', '.')
        expr incidr(ip, '10.0.0.0/8')
        answer "{{ .Name }} 60 IN A {{ .Var.ip }}"
        fallthrough
    }
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import AAAA, CNAME, FLAG_TC, SERVFAIL, A
from clusterdns.dns.wire import Record
from clusterdns.errors import ExpressionError, WireError
from clusterdns.plugins.template.options import Options, RecordText, Rule, read_rule
from clusterdns.plugins.template.rule import Match, Refusal, RuleError, match
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, after, then
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note

_LABELS: Final = ("server", "zone", "view", "class", "type")
_LINE_END: Final = "\n"


class _RecordError(Exception):
    """A record could not be made; the text is for the ``errors`` directive."""


class Template(Plugin):
    """All uses of the directive in a server block."""

    name = "template"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """See the manual page."""
        rules = [rule for line in reader.lines if (rule := read_rule(reader, line)) is not None]
        return Options(tuple(rules))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._rules = options.rules
        metrics = setup.services.metrics
        self._matches = metrics.counter("coredns_template_matches_total", "Counter of template regex matches.", _LABELS)
        self._template_failures = metrics.counter(
            "coredns_template_template_failures_total",
            "Counter of go template failures.",
            (*_LABELS, "section", "template"),
        )
        self._record_failures = metrics.counter(
            "coredns_template_rr_failures_total",
            "Counter of mis-templated RRs.",
            (*_LABELS, "section", "template"),
        )

    def handle(self, query: Query) -> Result:
        """The reply of the first rule that matches."""
        depends_on_client = False
        for rule in self._rules:
            try:
                found = match(rule, query)
            except RuleError as error:
                return Reply.failure(f"template: {str(error).partition(_LINE_END)[0]}", plugin=self.name)
            if isinstance(found, Match):
                return self._answer(rule, found, query)
            if found is Refusal.FAILS:
                return Reply(SERVFAIL, plugin=self.name)
            depends_on_client = depends_on_client or (found is Refusal.PASSES and rule.asks_client)
        result = self.next(query)
        return after(result, _not_reusable) if depends_on_client else result

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        for number, rule in enumerate(self._rules, 1):
            try:
                found = match(rule, query)
            except RuleError as error:
                yield Note(f"template {number} fails: {str(error).partition(_LINE_END)[0]}")
                return
            if isinstance(found, Match):
                yield Note(f"template {number}, for {found.class_text} {found.type_text} in {found.zone}, matches")
                return
            if found is Refusal.FAILS:
                text = f"template {number} is for this query, but its match or expr isn't, and it has no fallthrough"
                yield Note(f"{text}: SERVFAIL", hint=f"{text}: add fallthrough to ask on")
                return
            if found is Refusal.PASSES:
                yield Note(f"template {number} is for this query, but its match or expr isn't (fallthrough)")
        yield Note("passed on: no template matches")

    def _answer(self, rule: Rule, found: Match, query: Query) -> Result:
        self._matches.labels(*self._labels(found, query)).inc()
        if rule.rcode == SERVFAIL:
            return Reply(SERVFAIL, plugin=self.name)
        try:
            answer = [self._record(record, "answer", found, query) for record in rule.answer]
            additional = tuple(self._record(record, "additional", found, query) for record in rule.additional)
            authority = tuple(self._record(record, "authority", found, query) for record in rule.authority)
        except _RecordError as error:
            return Reply.failure(str(error), plugin=self.name)
        reply = Reply.authoritative(self.name, rule.rcode, tuple(answer), authority, additional)
        reply.options = rule.extended_error
        if query.qtype in (A, AAAA) and any(record.rtype == CNAME for record in answer):
            return self._follow(query, reply, answer, 0)
        return reply

    def _record(self, text: RecordText, section: str, found: Match, query: Query) -> Record:
        if text.record is not None:
            return text.record
        try:
            rendered = text.template.render(found.data)
        except ExpressionError as error:
            self._template_failures.labels(*self._labels(found, query), section, text.template.canonical).inc()
            raise _RecordError(str(error)) from None
        try:
            return parse_record(rendered)
        except WireError as error:
            self._record_failures.labels(*self._labels(found, query), section, text.template.canonical).inc()
            raise _RecordError(f"template: {section}: {error} in {rendered[:200]!r}") from None

    def _labels(self, found: Match, query: Query) -> tuple[str, ...]:
        return query.server, found.zone, self.setup.view, found.class_text, found.type_text

    def _follow(self, query: Query, reply: Reply, answer: list[Record], start: int) -> Result:
        """Add behind each CNAME record from ``start`` on what its target has of the type asked for."""
        for position in range(start, len(answer)):
            record = answer[position]
            if record.rtype != CNAME:
                continue
            inner = query.derive(name=record.data)

            def add(found: Reply, position: int = position, inner: Query = inner) -> Result:
                records = () if found.dropped else found.records(inner).answer
                longer = [*answer[: position + 1], *records, *answer[position + 1 :]]
                reply.flags |= found.flags & FLAG_TC
                return self._follow(query, reply, longer, position + 1 + len(records))

            return then(self.setup.resolve(query, record.data, query.qtype), add)
        sections = reply.records(query)
        reply.set_records(Sections(tuple(answer), sections.authority, sections.additional))
        return reply


def _not_reusable(reply: Reply) -> Reply:
    reply.reusable = False
    return reply
