# SPDX-License-Identifier: Apache-2.0
"""Reading ``view`` and what it admits."""

import pytest
from support.directives import check, client, make, query
from support.serving import wire

from clusterdns.serving.metadata import QueryMetadata
from clusterdns.serving.query import Query


def errors(text):
    return [error.coredns_text() for error in check(text).errors]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("view", "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'view'"),
        ("view a b", "Wrong argument count or unexpected line ending after 'b'"),
        ("view a\nview b", "this plugin can only be used once per Server Block"),
        ("view a {\nnope\n}", "Corefile:3 - Error during parsing: unknown property 'nope'"),
        ("view a {\nexpr\n}", "plugin/view: unexpected token EOF"),
        ("view a {\nexpr nope(\n}", "unexpected token EOF (1:5)\n | nope(\n | ....^"),
        ("view a {\nexpr true {\n}\n}", "Unexpected token '{', expecting argument"),
    ],
)
def test_what_cannot_be_read(text, message):
    (error,) = errors(text)
    assert message in error


def test_a_condition_that_is_neither_true_nor_false_is_warned_of():
    (warning,) = check("view a {\nexpr 1\n}\nwhoami").warnings
    assert "neither true nor false" in str(warning)


@pytest.mark.parametrize(
    ("conditions", "admitted"),
    [
        ([], True),
        (["type() == 'A'"], True),
        (["type() == 'A'", "name() == 'other.'"], False),
        (["name() == 'www.example.org.' && proto() == 'udp'"], True),
        (["incidr(client_ip(), '192.0.2.0/24')"], True),
        (["incidr('nowhere', '192.0.2.0/24')"], False),
        (["1"], False),
    ],
)
def test_a_query_is_admitted_if_all_conditions_are_true(conditions, admitted):
    plugin = make("view v {\n" + "".join(f"expr {condition}\n" for condition in conditions) + "}")
    assert plugin.admits(query("WWW.example.org.")) is admitted


@pytest.mark.parametrize(
    ("condition", "asks"),
    [
        ("type() == 'A' || do() || name() contains 'x'", False),
        ("incidr(client_ip(), '10.0.0.0/8')", True),
        ("proto() == 'tcp'", True),
        ("metadata('a/b') == ''", True),
        ("id() > 7", True),
    ],
)
def test_conditions_that_look_at_the_client_are_known(condition, asks):
    assert make(f"view v {{\nexpr type() != 'X'\nexpr {condition}\n}}").asks_client is asks


def test_metadata_of_others_is_known_to_the_conditions():
    view = make("view v {\nexpr metadata('view/name') == 'v'\n}")
    asked = Query(wire(), client())
    assert not view.admits(asked)
    asked.metadata = QueryMetadata(asked, {"view": view})
    assert view.admits(asked)
    assert asked.metadata.get("view/other") == ""
