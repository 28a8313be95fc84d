# SPDX-License-Identifier: Apache-2.0
"""Directives of other packages, without packages: their modules are made here."""

import sys
import types

import pytest

from clusterdns.app.directives import Directives, OutsideDirective
from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import check
from clusterdns.errors import PackageError
from clusterdns.plugins import table
from clusterdns.serving.plugin import Plugin


def declared(name, target, package="clusterdns-test 1.0"):
    return OutsideDirective(name, target, package)


def plugin_class(directive, *, parse=lambda reader: reader.once().expect(0), **attributes):
    attributes = {"name": directive, "before": "forward", "in_chain": True, "parse": staticmethod(parse)} | attributes
    return type("Made", (Plugin,), attributes)


@pytest.fixture
def directives(monkeypatch):
    """Makes the directives of this process with others, given as name and class (or another object)."""

    def make(**classes):
        module = types.ModuleType("clusterdns_made")
        module.__doc__ = "made - is made by a test."
        for name, found in classes.items():
            setattr(module, name, found)
            if isinstance(found, type):
                found.__module__ = module.__name__
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Directives(lambda: [declared(name, f"clusterdns_made:{name}") for name in classes])

    return make


def verdict(directives, text):
    return check(Source("Corefile", text), LazyTable(directives, directives.find), environment={})


def faults(directives, name="mine"):
    return [(str(error), error.hint) for error in verdict(directives, f". {{\n    {name}\n}}\n").errors]


def test_a_directive_of_a_package_stands_where_it_says(directives):
    known = directives(mine=plugin_class("mine"), last=plugin_class("last", before="acl"))
    found = verdict(known, ". {\n forward . 192.0.2.1\n last\n mine\n cache\n errors\n hosts\n}\n")
    assert found.errors == ()
    names = [directive.name for directive in found.plan.blocks[0].directives]
    assert names == ["errors", "last", "cache", "hosts", "mine", "forward"]
    assert list(known).index("mine") + 1 == list(known).index("forward")


def test_several_at_one_place_go_by_name():
    class First(Plugin):
        name = "alpha"
        before = "cache"
        in_chain = True
        parse = staticmethod(lambda reader: None)

    class Second(First):
        name = "beta"

    module = types.ModuleType("clusterdns_two")
    module.First, module.Second = First, Second
    sys.modules["clusterdns_two"] = module
    try:
        names = [declared("alpha", "clusterdns_two:First"), declared("beta", "clusterdns_two:Second")]
        known = Directives(lambda: names)
        assert verdict(known, ". {\n beta\n alpha\n}\n").errors == ()
        order = list(known)
        assert order[order.index("alpha") :][:3] == ["alpha", "beta", "cache"]
    finally:
        del sys.modules["clusterdns_two"]


def test_packages_are_looked_for_when_a_name_is_not_built_in():
    asked = []

    def find():
        asked.append(True)
        return []

    known = Directives(find)
    assert verdict(known, ". {\n whoami\n errors\n}\n").errors == ()
    assert len(known) == len(table.DIRECTIVES)
    assert asked == []
    assert faults(known, "whoam") == [("Corefile:2:5: Unknown directive 'whoam'", "did you mean whoami?")]
    assert len(asked) == 1
    faults(known, "other")
    assert len(asked) == 1


def test_a_module_is_imported_when_its_directive_is_used():
    known = Directives(lambda: [declared("mine", "clusterdns_that_is_not_there:Mine")])
    assert "mine" in known
    assert verdict(known, ". {\n whoami\n}\n").errors == ()
    ((message, hint),) = faults(known)
    assert message == (
        "Corefile:2:5: the directive 'mine' of the package clusterdns-test 1.0 can't be loaded: "
        "ModuleNotFoundError: No module named 'clusterdns_that_is_not_there'"
    )
    assert hint == "mend or reinstall the package"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (3, "clusterdns_made:mine is no subclass of clusterdns.serving.plugin.Plugin"),
        (type("Other", (), {}), "clusterdns_made:mine is no subclass of clusterdns.serving.plugin.Plugin"),
        (plugin_class("yours"), "clusterdns_made:mine.name is 'yours', not 'mine'"),
        (type("Bare", (Plugin,), {"name": "mine"}), "clusterdns_made:mine has no parse"),
        (
            plugin_class("mine", before=""),
            "clusterdns_made:mine.before doesn't say in front of which directive it sees queries",
        ),
        (
            plugin_class("mine", before="nobody"),
            "clusterdns_made:mine.before is 'nobody', which is no built-in directive",
        ),
    ],
)
def test_classes_that_lack_something(directives, found, reason):
    ((message, _),) = faults(directives(mine=found))
    assert message.endswith(f"can't be loaded: {reason}")


def test_an_attribute_that_is_not_there(directives):
    known = directives(other=plugin_class("other"))
    missing = Directives(lambda: [declared("mine", "clusterdns_made:Missing.Inner")])
    assert "AttributeError: module 'clusterdns_made' has no attribute 'Missing'" in faults(missing)[0][0]
    assert faults(known, "other") == []


def test_without_queries_no_place_is_needed(directives):
    known = directives(mine=plugin_class("mine", before="", in_chain=False))
    assert faults(known) == []
    assert list(known)[-1] == "mine"


def test_a_parser_that_breaks_is_a_fault_of_the_line(directives):
    def parse(reader):
        raise TypeError("no such thing")

    assert faults(directives(mine=plugin_class("mine", parse=parse))) == [
        (
            "Corefile:2:5: its package failed to read the directive: TypeError: no such thing",
            "mend the package, or write the directive as its manual page says",
        )
    ]
    ((message, _),) = faults(directives(mine=plugin_class("mine")), "mine x")
    assert message == "Corefile:2:10: Wrong argument count or unexpected line ending after 'x'"


@pytest.mark.parametrize("name", ["forward", "nomad", "import"])
def test_built_in_names_are_taken(name):
    known = Directives(lambda: [declared(name, "clusterdns_made:Mine")])
    (refusal,) = known.refusals()
    assert str(refusal) == (
        f"the directive '{name}' of the package clusterdns-test 1.0 is not used: one of this name is built in"
    )
    assert refusal.hint
    assert known.outside() == {}
    if name == "forward":
        assert known.load(name) is table.load(name)


def test_of_two_packages_with_one_name_neither_is_used():
    both = [declared("mine", "one:Mine", "clusterdns-one 1.0"), declared("mine", "two:Mine", "clusterdns-two 2.0")]
    known = Directives(lambda: both)
    message = "the packages clusterdns-one 1.0 and clusterdns-two 2.0 both bring a directive 'mine'"
    assert [str(refusal) for refusal in known.refusals()] == [message]
    assert faults(known) == [(f"Corefile:2:5: {message}", "uninstall one of them")]
    assert known.outside() == {}
    with pytest.raises(PackageError):
        known.load("mine")


def test_one_package_found_twice_is_one():
    known = Directives(lambda: [declared("mine", "clusterdns_made:Mine")] * 2)
    assert known.refusals() == []
    assert list(known.outside()) == ["mine"]


def test_the_manual_page_is_the_docstring_of_the_module(directives):
    known = directives(mine=plugin_class("mine"))
    assert known.manual_page("mine") == "made - is made by a test."
    assert known.manual_page("whoami").startswith("whoami - ")
    assert known.manual_page("nomad") == ""
    with pytest.raises(KeyError):
        known.manual_page("nobody")
