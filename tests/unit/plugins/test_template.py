# SPDX-License-Identifier: Apache-2.0
"""What the ``template`` directive answers, and what it says about faulty options."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from support.serving import client, wire

from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import Verdict, check
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.types import FLAG_AA, FLAG_TC, NOERROR, REFUSED, SERVFAIL, parse_type, rcode_text
from clusterdns.observability.metrics import Registry, Value
from clusterdns.plugins import table
from clusterdns.plugins.template import Template
from clusterdns.serving.metadata import QueryMetadata
from clusterdns.serving.plugin import Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

NEXT = "next directive"
BY_IP = (
    "match ^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]example[.]$\n"
    'answer "{{ .Name }} 60 IN A 10.0.{{ .Group.a }}.{{ .Group.b }}"'
)


def verdict(directives: str, zones: str = "example") -> Verdict:
    corefile = f"{zones} {{\n{directives}\n}}\n"
    return check(Source("Corefile", corefile, "/"), LazyTable(table.DIRECTIVES, table.load), environment={})


def make(
    *uses: str, zones: str = "example", resolve: Callable[[Query, bytes, int], Result] | None = None
) -> tuple[Template, Registry]:
    """The plugin of a server block; each use is ``CLASS TYPE [ZONES…]``, a line end, and the lines of its block."""
    stanzas = [use.partition("\n") for use in uses]
    found = verdict("\n".join(f"template {head} {{\n{lines}\n}}" for head, _, lines in stanzas), zones)
    assert found.plan is not None, found.errors
    directive = found.plan.blocks[0].directive("template")
    assert directive is not None
    metrics = Registry()
    setup: Any = SimpleNamespace(
        view="",
        services=SimpleNamespace(metrics=metrics),
        resolve=resolve or (lambda query, name, qtype: Reply(REFUSED)),
    )
    plugin = Template(directive.options, setup)
    plugin.next = lambda query: Reply.failure(NEXT)
    return plugin, metrics


def query(name: str, rtype: str = "A", address: str = "192.0.2.1", **options: Any) -> Query:
    made = Query(wire(name, rtype, **options), client(address=address))
    made.resolve = lambda query, name, qtype: Reply(REFUSED)
    made.server = "dns://:53"
    return made


def ask(plugin: Template, name: str, rtype: str = "A", **options: Any) -> Reply:
    reply = plugin.handle(query(name, rtype, **options))
    assert isinstance(reply, Reply)
    return reply


def answer(plugin: Template, name: str, rtype: str = "A", **options: Any) -> list[str]:
    asked = query(name, rtype, **options)
    reply = plugin.handle(asked)
    assert isinstance(reply, Reply)
    assert (rcode_text(reply.rcode), reply.error, reply.flags & FLAG_AA) == ("NOERROR", "", FLAG_AA)
    return [" ".join(record_text(record).split("\t")) for record in reply.records(asked).answer]


def passes(plugin: Template, name: str, rtype: str = "A", **options: Any) -> bool:
    return ask(plugin, name, rtype, **options).error == NEXT


# Which queries


def test_groups_of_the_name_make_the_record() -> None:
    plugin, _ = make(f"IN A\n{BY_IP}\nfallthrough")
    assert answer(plugin, "ip-1-2.example.") == ["ip-1-2.example. 60 IN A 10.0.1.2"]
    assert passes(plugin, "x.example.")


def test_names_are_matched_and_shown_in_lower_case() -> None:
    plugin, _ = make(f"IN A\n{BY_IP}", 'IN TXT\nanswer "{{ .Name }} 1 IN TXT {{ .Question.Name }}"')
    assert answer(plugin, "IP-1-2.Example.") == ["ip-1-2.example. 60 IN A 10.0.1.2"]
    assert answer(plugin, "Foo.Example.", "TXT") == ['foo.example. 1 IN TXT "Foo.Example."']


@pytest.mark.parametrize(
    ("head", "name", "rtype", "matches"),
    [
        ("IN A", "x.example.", "A", True),
        ("IN A", "x.example.", "AAAA", False),
        ("IN A", "x.example.", "ANY", True),
        ("IN ANY", "x.example.", "MX", True),
        ("ANY ANY", "x.example.", "MX", True),
        ("CH A", "x.example.", "A", False),
        ("IN A sub.example", "x.example.", "A", False),
        ("IN A sub.example", "x.sub.example.", "A", True),
        ("IN A sub.example", "sub.example.", "A", True),
        ("IN A sub.example", "xsub.example.", "A", False),
        ("IN PTR 10.0.0.0/8", "1.2.3.10.in-addr.arpa.", "PTR", True),
    ],
)
def test_class_type_and_zones_select_queries(head: str, name: str, rtype: str, matches: bool) -> None:
    plugin, _ = make(f"{head}\nrcode NXDOMAIN")
    assert passes(plugin, name, rtype) != matches


def test_the_longest_zone_is_the_zone() -> None:
    plugin, _ = make('IN A example a.example\nanswer "{{ .Zone }} 1 IN A 10.0.0.1"')
    assert answer(plugin, "x.a.example.") == ["a.example. 1 IN A 10.0.0.1"]
    assert answer(plugin, "x.b.example.") == ["example. 1 IN A 10.0.0.1"]


def test_uses_are_tried_in_order() -> None:
    plugin, _ = make(
        'IN A\nmatch ^a[.]\nanswer "{{ .Name }} 1 A 10.0.0.1"\nfallthrough',
        'IN A\nmatch ^b[.] ^c[.]\nanswer "{{ .Name }} 1 A 10.0.0.2"\nfallthrough d.example',
        'IN A\nanswer "{{ .Name }} 1 A 10.0.0.3"',
    )
    assert [answer(plugin, f"{label}.example.")[0][-1] for label in "abc"] == ["1", "2", "2"]
    assert answer(plugin, "x.d.example.")[0][-1] == "3"
    reply = ask(plugin, "x.example.")
    assert (reply.rcode, reply.error, reply.flags, reply.plugin) == (SERVFAIL, "", 0, "template")


# What the reply is


def test_all_sections_have_records() -> None:
    plugin, _ = make(
        'IN MX\nanswer "{{ .Name }} 60 IN MX 10 {{ .Name }}" "{{ .Name }} 60 IN MX 20 b.example."\n'
        'additional "{{ .Name }} 60 IN A 10.0.0.1"\nauthority "example. 60 IN NS ns0.example."'
    )
    asked = query("x.example.", "MX")
    reply = plugin.handle(asked)
    assert isinstance(reply, Reply)
    sections = reply.records(asked)
    assert [len(sections.answer), len(sections.authority), len(sections.additional)] == [2, 1, 1]
    assert sections.authority == (parse_record("example. 60 IN NS ns0.example."),)


@pytest.mark.parametrize(
    ("lines", "rcode", "flags"),
    [
        ("", "NOERROR", FLAG_AA),
        ("rcode NXDOMAIN", "NXDOMAIN", FLAG_AA),
        ("rcode REFUSED", "REFUSED", FLAG_AA),
        ("rcode SERVFAIL", "SERVFAIL", 0),
        ('rcode SERVFAIL\nanswer "{{ .Name }} 1 IN A 10.0.0.1"', "SERVFAIL", 0),
        ("rcode NOTIMPL", "NOTIMP", FLAG_AA),
    ],
)
def test_rcode(lines: str, rcode: str, flags: int) -> None:
    reply = ask(make(f"IN A\n{lines}")[0], "x.example.")
    assert (rcode_text(reply.rcode), reply.flags, reply.error) == (rcode, flags, "")
    assert reply.records(query("x.example.")).answer == ()


def test_extended_error() -> None:
    reply = ask(make('IN A\nrcode NXDOMAIN\nederror 15 "not here"')[0], "x.example.")
    assert reply.options == extended_error(15, "not here")


def test_replies_are_made_anew_for_each_query() -> None:
    assert not ask(make("IN A\nrcode NXDOMAIN")[0], "x.example.").reusable


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("{{ .Zone }}", "example."),
        ("{{ .Class }}-{{ .Type }}", "IN-TXT"),
        ("{{ .Remote }}", "192.0.2.7"),
        ("{{ index .Match 0 }}", "a-b"),
        ("{{ index .Match 1 }}{{ .Group.two }}{{ index .Group `1` }}", "aba"),
        ("{{ .Group.nope }}", "<no value>"),
        ("{{ .Regex }}", "^(?P<one>.)-(?P<two>.)"),
        ("{{ .Question.Qtype }}", "16"),
        ("{{ .Question }}", ";A-b.example.\\009IN\\009 TXT"),
        ("{{ .Message.RecursionDesired }}", "true"),
        ("{{ .Message.Truncated }}{{ .Message.AuthenticatedData }}{{ .Message.Rcode }}", "falsefalse0"),
        ("{{ (index .Message.Question 0).Name }}", "A-b.example."),
        ("{{ len .Var }}", "0"),
        ("{{ .Meta `a/b` }}-", "-"),
        ("{{ parseInt `ff` 16 8 }}", "255"),
        ("{{ if eq .Type `TXT` }}yes{{ else }}no{{ end }}", "yes"),
    ],
)
def test_what_records_see(text: str, data: str) -> None:
    plugin, _ = make(f'IN ANY\nmatch ^(?P<one>.)-(?P<two>.)\nanswer "{{{{ .Name }}}} 1 IN TXT \\"{text}\\""')
    assert answer(plugin, "A-b.example.", "TXT", address="192.0.2.7") == [f'a-b.example. 1 IN TXT "{data}"']


def test_queries_of_any_type_show_the_type_that_the_directive_is_for() -> None:
    plugin, _ = make('IN TXT\nanswer "{{ .Name }} 1 IN TXT {{ .Type }}"')
    assert answer(plugin, "x.example.", "ANY") == ['x.example. 1 IN TXT "TXT"']


# Faults while answering


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ('answer "{{ .Nope }} 1 IN A 10.0.0.1"', "can't evaluate field Nope in type *template.templateData"),
        ('answer "{{ .Name }} 1 IN A {{ parseInt .Name 10 8 }}"', 'parsing "x.example.": invalid syntax'),
        ('answer "{{ .Name }} 1 IN A 10.0.0"', "template: answer: A record:"),
        ('answer "{{ range 1000000 }}x{{ end }}"', "steps"),
        ('authority "{{ .Name }}"', "template: authority: record type is missing"),
        ("expr incidr('x', '10.0.0.0/8')\nfallthrough", "template: first argument is not an IP address (1:1)"),
        ("var v int(name())", "template: invalid operation: int(x.example.) (1:1)"),
    ],
)
def test_faults_give_servfail_and_a_reason(lines: str, error: str) -> None:
    reply = ask(make(f"IN A\n{lines}")[0], "x.example.")
    assert (reply.rcode, reply.flags) == (SERVFAIL, 0)
    assert error in reply.error
    assert "\n" not in reply.error


# Expressions


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ("expr name() == 'a.example.'", "answers"),
        ("expr name() == 'b.example.'", "fails"),
        ("expr name() == 'b.example.'\nfallthrough", "passes"),
        ("expr name() == 'b.example.'\nfallthrough other.example", "fails"),
        ("expr true\nexpr type() == 'A'\nexpr class() == 'IN'\nexpr proto() == 'udp'", "answers"),
        ("expr true\nexpr false\nexpr true\nfallthrough", "passes"),
        ("expr 1\nfallthrough", "passes"),
        ("expr incidr(client_ip(), '192.0.2.0/24') && port() == '4242'", "answers"),
        ("expr incidr(client_ip(), '2001:db8::/32')\nfallthrough", "passes"),
        ("expr incidr('::ffff:10.0.0.1', '10.0.0.0/8')", "answers"),
        ("expr server_ip() == '192.0.2.53' and server_port() == '53'", "answers"),
        ("expr size() > 20 && bufsize() == 512 && opcode() == 0 && id() >= 0 && not do()", "answers"),
        ("expr metadata('a/b') == ''", "answers"),
        (
            "match ^(?P<n>.)[.]\nexpr group('n') == 'a' && group(1) == 'a' && group(0) == 'a.' && group(9) == ''",
            "answers",
        ),
        ("expr group(nil) == '' && group(true) == ''", "answers"),
        ("match ^b[.]\nexpr incidr('x', 'y')\nfallthrough", "passes"),
        ("expr \"any(['10.0.0.0/8', '192.0.2.0/24'], incidr(client_ip(), #))\"", "answers"),
    ],
)
def test_conditions(lines: str, outcome: str) -> None:
    reply = ask(make(f"IN A\n{lines}")[0], "a.example.")
    found = "answers" if reply.rcode == NOERROR else "passes" if reply.error == NEXT else "fails"
    assert found == outcome


def test_metadata_is_known_to_records_and_expressions() -> None:
    plugin, _ = make("IN A\nexpr metadata('a/b') == 'x'\nanswer \"{{ .Name }} 1 IN TXT {{ .Meta `a/b` }}\"")
    asked = query("a.example.")
    asked.metadata = QueryMetadata(asked, {})
    asked.metadata.set("a/b", "x")
    reply = plugin.handle(asked)
    assert isinstance(reply, Reply)
    (record,) = reply.records(asked).answer
    assert record.data == b"\x01x"
    assert not reply.reusable


def test_variables() -> None:
    plugin, _ = make(
        "IN A\nmatch ^(?P<n>[0-9]+)[.]\nvar num int(group('n'))\nvar double num * 2\nvar half num / 2\nexpr num > 1\n"
        'answer "{{ .Name }} 60 IN A 10.0.{{ .Var.num }}.{{ .Var.double }}"\n'
        'additional "{{ .Name }} 60 IN TXT {{ .Var.half }}"\nfallthrough'
    )
    assert answer(plugin, "3.example.") == ["3.example. 60 IN A 10.0.3.6"]
    assert passes(plugin, "1.example.")


def test_queries_passed_on_for_who_asks_are_not_reused() -> None:
    def reusable(lines: str) -> bool:
        plugin, _ = make(f"IN A\n{lines}\nfallthrough")

        def behind(query: Query) -> Reply:
            reply = Reply(REFUSED)
            reply.reusable = True
            return reply

        plugin.next = behind
        return ask(plugin, "a.example.").reusable

    assert reusable("expr name() == 'b.example.'")
    assert reusable("match ^b[.]\nexpr client_ip() == '10.0.0.1'") is False
    assert not reusable("expr client_ip() == '10.0.0.1'")
    assert not reusable("var who client_ip()\nexpr who == '10.0.0.1'")


# Aliases


def found(*records: str, flags: int = 0) -> Reply:
    reply = Reply.authoritative("other", answer=tuple(parse_record(record) for record in records))
    reply.flags |= flags
    return reply


def test_targets_of_aliases_are_looked_up() -> None:
    asked: list[tuple[str, int]] = []

    def resolve(query: Query, name: bytes, qtype: int) -> Result:
        asked.append((names.to_text(name), qtype))
        return found(f"{names.to_text(name)} 5 IN A 10.0.0.{len(asked)}", flags=FLAG_TC)

    plugin, _ = make(
        'IN ANY\nanswer "{{ .Name }} 60 IN CNAME one.test." "{{ .Name }} 60 IN TXT x"\n'
        'answer "{{ .Name }} 60 IN CNAME two.test."',
        resolve=resolve,
    )
    lines = answer(plugin, "x.example.")
    assert [line.split()[0] for line in lines] == ["x.example.", "one.test.", "x.example.", "x.example.", "two.test."]
    assert asked == [("one.test.", parse_type("A")), ("two.test.", parse_type("A"))]
    assert ask(plugin, "x.example.").flags & FLAG_TC
    assert len(answer(plugin, "x.example.", "MX")) == 3


def test_look_ups_may_take_their_time() -> None:
    async def later() -> Reply:
        await asyncio.sleep(0)
        return found("a.test. 5 IN A 10.0.0.1")

    plugin, _ = make('IN A\nanswer "{{ .Name }} 60 IN CNAME a.test."', resolve=lambda query, name, qtype: later())
    asked = query("x.example.")

    async def wait() -> Reply:
        result = plugin.handle(asked)
        assert not isinstance(result, Reply)
        return await result

    assert len(asyncio.run(wait()).records(asked).answer) == 2


@pytest.mark.parametrize("nothing", [Reply(REFUSED), Reply.no_reply("other"), Reply.failure("no")])
def test_an_alias_stands_alone_where_nothing_is_found(nothing: Reply) -> None:
    plugin, _ = make('IN A\nanswer "{{ .Name }} 60 IN CNAME a.test."', resolve=lambda query, name, qtype: nothing)
    assert answer(plugin, "x.example.") == ["x.example. 60 IN CNAME a.test."]


# Metrics


def counts(metrics: Registry, name: str) -> dict[tuple[str, ...], float]:
    children = metrics.families[f"coredns_template_{name}_total"].children
    return {labels: value.value for labels, value in children.items() if isinstance(value, Value)}


def test_matches_and_failures_are_counted() -> None:
    plugin, metrics = make('IN A\nanswer "{{  .Name }} 1 IN A {{ .Group.a }}"', "IN TXT\nanswer {{.Nope}}")
    ask(plugin, "x.example.")
    ask(plugin, "x.example.")
    ask(plugin, "x.example.", "TXT")
    ask(plugin, "x.example.", "MX")
    labels = ("dns://:53", "example.", "")
    assert counts(metrics, "matches") == {(*labels, "IN", "A"): 2, (*labels, "IN", "TXT"): 1}
    assert counts(metrics, "rr_failures") == {(*labels, "IN", "A", "answer", "{{.Name}} 1 IN A {{.Group.a}}"): 2}
    assert counts(metrics, "template_failures") == {(*labels, "IN", "TXT", "answer", "{{.Nope}}"): 1}


# Options


@pytest.mark.parametrize(
    ("directive", "error"),
    [
        ("template", "2:1: Wrong argument count or unexpected line ending after 'template'"),
        ("template IN", "2:10: Wrong argument count or unexpected line ending after 'IN'"),
        ("template XX A", "2:10: invalid query class XX"),
        ("template in A", "2:10: invalid query class in"),
        ("template IN XX", "2:13: invalid RR class XX"),
        ("template IN A {\nmatch\n}", "3:1: Wrong argument count or unexpected line ending after 'match'"),
        (
            "template IN A {\nmatch a (\n}",
            "3:9: could not parse regex: (, error parsing regexp: missing closing ): `(`",
        ),
        (f"template IN A {{\nmatch {'a' * 10001}\n}}", "3:7: regex pattern too long: 10001 > 10000"),
        ("template IN A {\nanswer\n}", "3:1: Wrong argument count or unexpected line ending after 'answer'"),
        (
            "template IN A {\nanswer {{.Name}\n}",
            "3:8: could not compile template: {{.Name}, template: answer:1: bad character U+007D '}'",
        ),
        ("template IN A {\nadditional {{x}}\n}", 'template: additional:1: function "x" not defined'),
        ("template IN A {\nauthority {{x}}\n}", 'template: authority:1: function "x" not defined'),
        ("template IN A {\nrcode NOPE\n}", "3:7: unknown rcode NOPE"),
        ("template IN A {\nrcode\n}", "3:1: Wrong argument count or unexpected line ending after 'rcode'"),
        ("template IN A {\nrcode NOERROR x\n}", "3:15: Wrong argument count or unexpected line ending after 'x'"),
        ("template IN A {\nederror\n}", "3:1: Wrong argument count or unexpected line ending after 'ederror'"),
        ("template IN A {\nederror 1 2 3\n}", "3:13: Wrong argument count or unexpected line ending after '3'"),
        (
            "template IN A {\nederror x\n}",
            '3:9: error parsing extended DNS error code x, strconv.ParseUint: parsing "x": invalid syntax',
        ),
        ("template IN A {\nederror 65536\n}", "value out of range"),
        ("template IN A {\nnope 1\n}", "3:1: Wrong argument count or unexpected line ending after 'nope'"),
        ("template IN A {\nvar a\n}", "3:5: Wrong argument count or unexpected line ending after 'a'"),
        ("template IN A {\nvar 1a 1\n}", '3:5: invalid variable name "1a"'),
        ("template IN A {\nvar name 1\n}", '3:5: variable name "name" is reserved'),
        ("template IN A {\nvar group 1\n}", '3:5: variable name "group" is reserved'),
        ("template IN A {\nvar len 1\n}", '3:5: variable name "len" is reserved'),
        ("template IN A {\nvar let 1\n}", '3:5: variable name "let" is reserved'),
        ("template IN A {\nvar a 1\nvar a 2\n}", '4:5: variable name "a" is reserved'),
        ("template IN A {\nvar a b + 1\nvar b 1\n}", "3:7: could not compile expression: a, unknown name b (1:1)"),
        ("template IN A {\nexpr\n}", "3:1: Wrong argument count or unexpected line ending after 'expr'"),
        ("template IN A {\nexpr nope(\n}", "3:6: could not compile expression: unexpected token EOF (1:5)"),
        ("template IN A {\nvar a 1\nexpr a + 'x'\n}", "invalid operation: + (mismatched types int and string)"),
        ("template IN A {\nfallthrough {\n}\n}", "Unexpected token '{', expecting argument"),
    ],
)
def test_faulty_options(directive: str, error: str) -> None:
    errors = [str(error) for error in verdict(directive).errors]
    assert len(errors) == 1
    assert error in errors[0]
    assert verdict(directive).errors[0].plugin == "template"


def test_all_faults_are_reported() -> None:
    found = verdict("template IN A {\nmatch (\nrcode NOPE\nnope\n}\ntemplate XX A")
    assert [error.line for error in found.errors] == [3, 4, 5, 7]


@pytest.mark.parametrize(
    ("directive", "warning"),
    [
        ("template IN A {\nanswer x.example 60 IN A 10.0.0.1\n}", "this is not a record"),
        ('template IN A {\nanswer "x.example. 60 IN A 10.0.0"\n}', "this is not a record"),
        ("template IN A 10.0.0.1", "10.0.0.1 is not a zone and is ignored"),
        ("template IN A {\nupstream\n}", "upstream does nothing"),
    ],
)
def test_what_loads_but_is_not_meant_is_warned_of(directive: str, warning: str) -> None:
    found = verdict(directive)
    assert found.errors == ()
    assert any(warning in str(each) for each in found.warnings)
