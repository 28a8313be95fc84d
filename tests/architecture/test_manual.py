# SPDX-License-Identifier: Apache-2.0
"""The manual page of a directive, its module's docstring, is complete and true: what it shows is accepted."""

import inspect
import re

import pytest

from clusterdns.config import planner
from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import Verdict
from clusterdns.plugins import table

IMPLEMENTED = [name for name, target in table.DIRECTIVES.items() if target is not None]
SECTIONS = ("Description", "Syntax", "Ready", "Metrics", "Examples", "Bugs")
NONSENSE = "nosuchoption"


def page(name: str) -> str:
    plugin = table.load(name)
    assert plugin is not None
    return inspect.getdoc(inspect.getmodule(plugin)) or ""


def sections(name: str) -> dict[str, str]:
    parts = re.split(r"(?m)^## (.+)$", page(name))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"(?ms)^~~~ {kind}\n(.*?)^~~~$", text)


def syntax_options(name: str) -> list[str]:
    """The first words of the indented lines of the Syntax blocks."""
    found = blocks(sections(name)["Syntax"], "txt")
    return [match for block in found for match in re.findall(r"(?m)^ +([a-z0-9_-]+)", block)]


def check(corefile: str) -> Verdict:
    interfaces = {"lo": ("127.0.0.1", "127.0.0.2", "::1")}
    return planner.check(
        Source("example", corefile),
        LazyTable(table.DIRECTIVES, table.load),
        environment={},
        interface_addresses=lambda interface: interfaces.get(interface, ()),
    )


def examples(name: str) -> list[str]:
    return blocks(sections(name)["Examples"], "corefile")


def shown_options(name: str) -> set[str]:
    """The options that the examples use."""
    shown = set()
    for example in examples(name):
        verdict = check(example)
        assert verdict.plan is not None, (example, [str(error) for error in verdict.errors])
        for block in verdict.plan.blocks:
            directive = block.directive(name)
            shown |= (
                {option.name.text for line in directive.lines for option in line.block or ()} if directive else set()
            )
    return shown


def faults(name: str, option: str) -> list[str]:
    """What is wrong about the directive of the first example with one option that has two arguments."""
    head = re.search(rf"(?m)^ +({name}[^{{\n]*)", examples(name)[0])
    assert head is not None
    corefile = f"example.org {{\n{head.group(1)} {{\n{option} 1 1\n}}\n}}\n"
    return sorted(error.message.replace(option, "OPTION") for error in check(corefile).errors)


def test_every_directive_of_the_table_is_known_to_the_tests():
    assert {"errors", "kubernetes", "loadbalance", "whoami"} <= set(IMPLEMENTED)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_the_page_has_its_sections_in_order(name):
    first = page(name).splitlines()[0]
    assert re.fullmatch(rf"{name} - [a-z].*\.", first)
    found = list(sections(name))
    assert {"Description", "Syntax", "Examples"} <= set(found)
    assert found == [section for section in SECTIONS if section in found]
    assert all(line == line.rstrip() and len(line) <= 120 for line in page(name).splitlines())


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_the_syntax_begins_with_the_directive(name):
    for block in blocks(sections(name)["Syntax"], "txt"):
        assert block.split()[0] == name


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_the_examples_are_accepted_and_show_the_directive(name):
    assert examples(name)
    for example in examples(name):
        verdict = check(example)
        assert [str(error) for error in verdict.errors] == []
        assert any(block.directive(name) for block in verdict.plan.blocks)


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in IMPLEMENTED for option in syntax_options(name)]
)
def test_every_option_of_the_syntax_exists_and_is_explained(name, option):
    assert f"`{option}" in sections(name)["Syntax"]
    if option not in shown_options(name):
        assert faults(name, option) != faults(name, NONSENSE)


def test_an_option_that_does_not_exist_would_be_noticed():
    assert faults("health", "lame") == faults("health", NONSENSE)
    assert faults("health", "lameduck") != faults("health", NONSENSE)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_metrics_are_named_with_their_labels(name):
    for line in re.findall(r"(?m)^\* `((?:core|cluster)dns_[^`]*)`", sections(name).get("Metrics", "")):
        assert re.fullmatch(r"(core|cluster)dns_[a-z0-9_]+\{([a-z_]+(, [a-z_]+)*)?\}", line)
