# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from clusterdns.config.directive import DirectiveReader
from clusterdns.config.expand import Source
from clusterdns.config.plan import Directive, LazyTable, Plan
from clusterdns.config.planner import check, plan
from clusterdns.errors import ConfigErrors


class Words(msgspec.Struct, frozen=True):
    words: tuple[str, ...]


class Addresses(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...]


class Plain:
    """Takes any arguments, but none that begins with a minus."""

    def __init__(self, terminal: bool = False) -> None:
        self.in_chain = True
        self.terminal = terminal

    def parse(self, reader: DirectiveReader) -> Any:
        self.block = reader.block
        for line in reader.lines:
            for arg in line.args:
                if arg.text.startswith("-"):
                    reader.report(arg.error(f"bad argument {arg.text}"))
                if arg.text.startswith("?"):
                    reader.warn(arg, f"odd argument {arg.text}")
        return Words(tuple(word for line in reader.lines for word in line.words))


class Once(Plain):
    def parse(self, reader: DirectiveReader) -> Any:
        reader.once().expect(0)
        return None


class Bind(Plain):
    def parse(self, reader: DirectiveReader) -> Any:
        words = [word for line in reader.lines for word in line.words]
        return Addresses(tuple(a for word in words for a in reader.block.interface_addresses(word) or (word,)))


def table() -> dict[str, Directive | None]:
    return {
        "root": Plain(),
        "bind": Bind(),
        "errors": Once(),
        "log": Plain(),
        "forward": None,
        "whoami": Plain(terminal=True),
        "view": Plain(),
    }


def planned(text: str, **options: Any) -> Plan:
    return plan(Source("Corefile", text, "/etc/coredns"), options.pop("table", table()), environment={}, **options)


def errors(text: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as raised:
        planned(text, **options)
    return [error.coredns_text() for error in raised.value.errors]


def test_directives_are_sorted_in_execution_order_and_occurrences_are_joined_in_file_order() -> None:
    (block,) = planned("a.test b.test:1053 {\n whoami\n log x\n errors\n log y\n}\n").blocks
    assert [directive.name for directive in block.directives] == ["errors", "log", "whoami"]
    assert block.directives[1].options == Words(("x", "y"))
    assert [line.name.line for line in block.directives[1].lines] == [3, 5]
    assert [key.address for key in block.keys] == ["dns://a.test.:53", "dns://b.test.:1053"]
    assert block.zones == ("a.test.", "b.test.")
    assert block.binds == ()
    assert (block.position.line, block.position.column) == (1, 1)
    assert block.directives[2].terminal
    assert block.directive("log") is block.directives[1]
    assert block.directive("root") is None


def test_networks_become_zones_and_each_zone_is_listed_once() -> None:
    (block,) = planned("a.test:1 10.0.0.0/15 a.test:2 {\n}\n", default_port=3).blocks
    assert [key.address for key in block.keys] == [
        "dns://a.test.:1",
        "dns://0.10.in-addr.arpa.:3",
        "dns://1.10.in-addr.arpa.:3",
        "dns://a.test.:2",
    ]
    assert block.zones == ("a.test.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa.")


def test_directives_know_their_block() -> None:
    directives = table()
    planned("a.test {\n log\n root x\n root /zones\n}\n", table=directives)
    log = directives["log"]
    assert isinstance(log, Plain)
    assert log.block.zones == ("a.test.",)
    assert log.block.directory == "/etc/coredns"
    assert log.block.root == "/zones"
    assert log.block.directives == {"log", "root"}


def test_all_faults_are_told_by_position() -> None:
    found = errors(
        "a..b tls://x {\n log -1 -2\n errors x\n errors\n nope\n forward . 1.1.1.1\n whoami\n}\n}\nb.test {\n log -3\n"
    )
    assert found == [
        "error inspecting server blocks: zone is not a valid domain name: a..b",
        "Corefile:1 - Error during parsing: tls:// isn't implemented yet",
        "plugin/log: Corefile:2 - Error during parsing: bad argument -1",
        "plugin/log: Corefile:2 - Error during parsing: bad argument -2",
        "plugin/errors: Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'x'",
        "plugin/errors: this plugin can only be used once per Server Block",
        "Corefile:5 - Error during parsing: Unknown directive 'nope'",
        "Corefile:6 - Error during parsing: directive 'forward' isn't implemented yet",
        "Corefile:9 - Error during parsing: Unexpected '}' because no matching opening brace",
        "plugin/log: Corefile:11 - Error during parsing: bad argument -3",
        "Corefile:11 - Syntax error: Unexpected token '-3', expecting '}'",
    ]


def test_fault_in_a_snippet_that_is_used_twice_is_told_once() -> None:
    assert errors("(s) {\n log -1\n}\na.test {\n import s\n}\nb.test {\n import s\n}\n") == [
        "plugin/log: Corefile:2 - Error during parsing: bad argument -1"
    ]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("whoam", "did you mean whoami?"),
        ("Log", "did you mean log?"),
        ("proxy . 192.0.2.53", "write forward: it is in the place of proxy since CoreDNS 1.5"),
        ("b.test {\n}", "if this is a new server block, the '}' of the one before it is missing"),
        ("xyzzy", "`clusterdns plugins` lists the directives that there are"),
        ('""', "an environment variable here is empty"),
    ],
)
def test_unknown_directive_has_a_hint(line: str, hint: str) -> None:
    (error,) = check(Source("Corefile", f". {{\n {line}\n}}\n"), table(), environment={}).errors
    assert error.message.startswith("Unknown directive '")
    assert error.hint == hint


def test_warnings_come_with_and_without_faults() -> None:
    text = "bad_name.test {\n log ?1\n}\n"
    warnings = [str(warning) for warning in planned(text).warnings]
    assert warnings == [
        'Corefile:1:1: Domain "bad_name.test." does not follow RFC1035 preferred syntax',
        "Corefile:2:6: odd argument ?1",
    ]
    verdict = check(Source("Corefile", text + "}"), table(), environment={})
    assert verdict.plan is None
    assert [str(warning) for warning in verdict.warnings] == warnings


@pytest.mark.parametrize("text", ["", "# nothing\n", "(s) {\n log\n}\n", "import *.server\n"])
def test_corefile_without_server_block_means_the_built_in_one(text: str) -> None:
    found = planned(text, default_port=1053)
    assert found.builtin
    (block,) = found.blocks
    assert [key.address for key in block.keys] == ["dns://.:1053"]
    assert [directive.name for directive in block.directives] == ["log", "whoami"]


def test_corefile_with_faults_only_is_not_the_built_in_one() -> None:
    assert errors("}\n") == ["Corefile:1 - Error during parsing: Unexpected '}' because no matching opening brace"]


def test_same_digest_for_the_same_words_with_and_without_faults() -> None:
    source = Source("Corefile", ". {\n nope\n}\n")
    verdict = check(source, table(), environment={})
    assert verdict.plan is None
    assert verdict.digest == check(source, {**table(), "nope": Plain()}, environment={}).digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.test {\n}\na.test {\n}\n", "cannot serve dns://a.test.:53 - it is already defined"),
        ("a.test A.Test. {\n}\n", "cannot serve dns://a.test.:53 - it is already defined"),
        ("10.0.0.0/8 10.1.2.3/8 {\n}\n", "cannot serve dns://10.in-addr.arpa.:53 - it is already defined"),
        (
            "a.test {\n}\na.test {\n bind 127.0.0.1\n}\n",
            "cannot serve dns://a.test.:53 on 127.0.0.1 - zone overlap listener capacity with dns://a.test.:53",
        ),
        (
            "a.test {\n bind 127.0.0.1\n}\na.test {\n}\n",
            "cannot serve dns://a.test.:53 - zone overlap listener capacity with dns://a.test.:53 on 127.0.0.1",
        ),
        (
            "a.test {\n bind ::1\n}\na.test {\n bind ::1\n}\n",
            "cannot serve dns://a.test.:53 on ::1 - it is already defined",
        ),
        (
            "a.test {\n}\na.test {\n bind ::1\n view\n}\n",
            "cannot serve dns://a.test.:53 on ::1 - zone overlap listener capacity with dns://a.test.:53",
        ),
    ],
)
def test_clashes_between_listeners(text: str, expected: str) -> None:
    assert errors(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "a.test {\n}\na.test:54 {\n}\n",
        "a.test {\n bind 127.0.0.1\n}\na.test {\n bind 127.0.0.2\n}\n",
        "a.test {\n bind 127.0.0.1\n}\nb.test {\n}\n",
        "a.test {\n view\n}\na.test {\n view\n}\na.test {\n}\n",
        "a.test {\n}\na.test {\n view\n}\n",
    ],
)
def test_no_clash(text: str) -> None:
    assert planned(text).blocks


def test_clash_is_placed_at_the_later_key_and_names_the_first() -> None:
    (error,) = check(Source("Corefile", "a.test {\n}\nb.test a.test {\n}\n"), table(), environment={}).errors
    assert (error.line, error.column, error.hint) == (3, 8, "the first one is in Corefile:1")


def test_block_whose_bind_is_faulty_does_not_clash() -> None:
    class Refusing(Bind):
        def parse(self, reader: DirectiveReader) -> Any:
            raise reader.lines[0].wrong_count()

    found = errors("a.test {\n bind x\n}\na.test {\n}\n", table={**table(), "bind": Refusing()})
    assert len(found) == 1
    assert found[0].startswith("plugin/bind: Corefile:2 - ")


def test_interfaces_are_resolved_by_the_function_that_is_given() -> None:
    found = planned(". {\n bind lo\n}\n", interface_addresses={"lo": ("127.0.0.1", "::1")}.__getitem__)
    assert found.blocks[0].binds == ("127.0.0.1", "::1")


def test_lazy_table_loads_only_what_a_corefile_uses() -> None:
    loaded = []
    directives: Mapping[str, Directive | None] = table()

    def load(name: str) -> Directive | None:
        loaded.append(name)
        return directives[name]

    lazy = LazyTable(directives, load)
    found = planned(". {\n whoami\n log\n}\n", table=lazy)
    assert [directive.name for directive in found.blocks[0].directives] == ["log", "whoami"]
    assert sorted(loaded) == ["log", "whoami"]
    assert len(lazy) == len(directives)
