# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.cluster.selectors import parse_selector, selects
from clusterdns.errors import ExpressionError

LABELS = {"app": "web", "tier": "front", "weight": "7"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("   ", True),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("app=web", True),
        ("app == web", True),
        ("app=api", False),
        ("missing=web", False),
        ("app!=api", True),
        ("missing!=web", True),
        ("app in (api, web)", True),
        ("app in(api)", False),
        ("app notin (api)", True),
        ("missing notin (api)", True),
        ("app notin (web,api)", False),
        ("app=web,tier in (front),!missing", True),
        ("app=web,tier=back", False),
        ("weight>6", True),
        ("weight > 7", False),
        ("weight<8", True),
        ("app>1", False),
        ("missing<1", False),
        ("missing=", False),
        ("app in ()", False),
    ],
)
def test_expressions_select_as_kubernetes_does(text, expected):
    assert parse_selector(text).matches(LABELS) is expected


def test_in_and_notin_are_ordinary_words_as_keys_and_values():
    assert parse_selector("in in (in,notin)").matches({"in": "notin"})
    assert parse_selector("notin").matches({"notin": ""})


def test_empty_places_in_a_list_are_the_empty_value():
    for text in ("a in (,x)", "a in (x,)", "a in (x,,y)", "a in ()"):
        assert parse_selector(text).matches({"a": ""}), text
        assert not parse_selector(text).matches({}), text


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("a in", "unable to parse requirement: found '' expected: '('", 4),
        ("a,", "found '', expected: identifier after ','", 2),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt", 2),
        ("=a", "found '=', expected: !, identifier, or 'end of string'", 0),
        ("a=b=c", "found '=', expected: ',' or 'end of string'", 3),
        ("!a=b", "found '=', expected: ',' or 'end of string'", 2),
        ("a=!", "unable to parse requirement: found '!', expected: identifier", 2),
        ("!,", "unable to parse requirement: found ',', expected: identifier", 1),
        ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'", 8),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier", 6),
    ],
)
def test_faults_are_worded_as_by_kubernetes_and_have_an_offset(text, message, offset):
    with pytest.raises(ExpressionError) as caught:
        parse_selector(text)
    assert (str(caught.value), caught.value.offset) == (message, offset)


@pytest.mark.parametrize("text", ["-a", "a/b/c", "x.Y/z", "a=-b", f"a={'x' * 64}", f"{'k' * 64}", "a>b", "a<1.5"])
def test_names_and_values_that_no_label_can_have_are_refused(text):
    with pytest.raises(ExpressionError, match="Invalid value"):
        parse_selector(text)


def test_a_services_selector_wants_every_pair():
    assert selects({"app": "web"}, LABELS)
    assert not selects({"app": "web", "tier": "back"}, LABELS)
    assert not selects({"missing": ""}, LABELS)
