# SPDX-License-Identifier: Apache-2.0
"""Plans are compared by what they mean."""

import inspect
import re

import pytest

from clusterdns.config.diff import diff_plans
from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import plan
from clusterdns.plugins import table


def planned(text, file="Corefile"):
    return plan(
        Source(file, text),
        LazyTable(table.DIRECTIVES, table.load),
        environment={"PORT": "53"},
        interface_addresses=lambda name: ("127.0.0.1", "127.0.0.2"),
    )


def diff(old, new):
    return diff_plans(planned(old, "old"), planned(new, "new"))


def lines(change):
    return [("+" if line.kind == "added" else "-") + line.text for line in change.lines]


BLOCK = ".:53 {\n    errors\n    cache 30\n    whoami\n}\n"


@pytest.mark.parametrize(
    "other",
    [
        "# a comment\n.:53 {\n    whoami\n    cache   30\n    errors\n}\n",
        ".:{$PORT} {\n    errors\n    cache 30\n    whoami\n}\n",
        "(rest) {\n    errors\n    cache 30\n    whoami\n}\n. {\n    import rest\n}\n",
        ". {\n    errors\n    cache 30 {\n        denial 9984 30\n        success 9984 30\n    }\n    whoami\n}\n",
    ],
)
def test_what_means_the_same_is_no_difference(other):
    assert diff(BLOCK, other) == ()


def examples():
    for name, target in table.DIRECTIVES.items():
        page = inspect.getdoc(inspect.getmodule(table.load(name))) if target is not None else ""
        yield from re.findall(r"(?ms)^~~~ corefile\n(.*?)^~~~$", page or "")


@pytest.mark.parametrize("text", list(examples()))
def test_every_example_of_the_manual_equals_itself_wherever_it_stands(text):
    assert diff(text, f"\n\n# moved down\n{text}") == ()


def test_a_changed_argument_shows_with_both_places():
    (block,) = diff(BLOCK, BLOCK.replace("cache 30", "cache 60"))
    (change,) = block.directives
    assert (block.kind, block.block, block.old, block.new) == ("changed", ".:53", "old:1", "new:1")
    assert (change.name, change.kind, change.old, change.new) == ("cache", "changed", "old:3", "new:3")
    assert lines(change) == ["-cache 30", "+cache 60"]


def test_a_changed_option_shows_alone():
    old = "example.org {\n    forward . 10.0.0.1 {\n        max_fails 3\n        policy random\n    }\n}\n"
    (block,) = diff(old, old.replace("max_fails 3", "max_fails 5"))
    assert lines(block.directives[0]) == ["-    max_fails 3", "+    max_fails 5"]


def test_words_with_blanks_are_quoted():
    old = 'example.org {\n    template IN A {\n        answer "{{ .Name }} 60 IN A 192.0.2.1"\n    }\n}\n'
    (block,) = diff(old, old.replace("192.0.2.1", "192.0.2.2"))
    assert lines(block.directives[0])[1] == '+    answer "{{ .Name }} 60 IN A 192.0.2.2"'


def test_directives_that_come_and_go():
    (block,) = diff(BLOCK, BLOCK.replace("errors", "minimal"))
    assert {(each.name, each.kind) for each in block.directives} == {("errors", "removed"), ("minimal", "added")}


def test_blocks_that_come_and_go():
    other = "example.org:53 {\n    whoami\n}\n"
    assert [(each.kind, each.block, each.new) for each in diff(BLOCK, BLOCK + other)] == [
        ("added", "example.org.:53", "new:6")
    ]
    assert [(each.kind, each.block, each.old) for each in diff(BLOCK + other, BLOCK)] == [
        ("removed", "example.org.:53", "old:6")
    ]


def test_the_order_of_blocks_means_nothing_where_their_zones_differ():
    other = "example.org:53 {\n    whoami\n}\n"
    assert diff(BLOCK + other, other + BLOCK) == ()


def test_the_order_of_blocks_with_views_of_one_zone_does():
    views = [f"a.test {{\n    view {name} {{\n        expr true\n    }}\n    whoami\n}}\n" for name in "vw"]
    changes = diff("".join(views), "".join(reversed(views)))
    assert [(each.block, each.order) for each in changes] == [("a.test.:53 view w", True)]


def test_a_block_is_known_again_by_its_zones():
    old = "a.test b.test {\n    whoami\n}\nc.test {\n    whoami\n}\n"
    new = "c.test {\n    whoami\n}\nb.test d.test {\n    whoami\n}\n"
    (block,) = diff(old, new)
    assert [(line.kind, line.text) for line in block.keys] == [("removed", "a.test.:53"), ("added", "d.test.:53")]


def test_a_port_that_changes_is_a_key_that_changes():
    (block,) = diff(". {\n    whoami\n}\n", ".:5353 {\n    whoami\n}\n")
    assert [line.text for line in block.keys] == [".:53", ".:5353"]


def test_addresses_to_listen_on():
    old = ". {\n    bind 127.0.0.1\n    whoami\n}\n"
    (block,) = diff(old, old.replace("127.0.0.1", "127.0.0.3 127.0.0.1"))
    assert [(line.kind, line.text) for line in block.binds] == [("added", "127.0.0.3")]
    assert block.directives == ()


def test_the_same_text_may_mean_something_else_in_another_block():
    old = "a.test {\n    hosts {\n        192.0.2.1 www.a.test\n    }\n}\n"
    (block,) = diff(old, old.replace("a.test {", "a.test b.test {", 1))
    (change,) = block.directives
    assert (change.name, change.lines) == ("hosts", ())
    assert change.note.startswith("the text is the same")


def test_conditions_are_compared_as_written():
    old = "a.test {\n    view v {\n        expr type() == 'A'\n    }\n    whoami\n}\n"
    (block,) = diff(old, old.replace("'A'", "'AAAA'"))
    assert [each.name for each in block.directives] == ["view"]
