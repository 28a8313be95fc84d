# SPDX-License-Identifier: Apache-2.0
"""Names are tried as glibc tries them, and what musl would make of it is said."""

import pytest

from clusterdns.app.explain.search import Rules, Search, absolute_domains, parse_resolv_conf, verdict
from clusterdns.errors import ExplainError

POD = Rules(("dev.svc.cluster.local.", "svc.cluster.local.", "cluster.local."), 5)


def tried(name, rules=POD, **outcomes):
    """The search after all its attempts; ``outcomes`` are by the number of the attempt, else there is no name."""
    search = Search(name, rules)
    for number, attempt in enumerate(search.attempts(), 1):
        search.tell(attempt, outcomes.get(f"_{number}", "no name"))
    return search


def names_of(search):
    return [attempt.name for attempt, _ in search.outcomes]


def test_a_short_name_goes_through_the_search_list_and_is_tried_as_written_last():
    assert names_of(tried("api")) == [
        "api.dev.svc.cluster.local.", "api.svc.cluster.local.", "api.cluster.local.", "api.",
    ]  # fmt: skip


def test_an_answer_ends_the_search():
    assert names_of(tried("api", _2="answer")) == ["api.dev.svc.cluster.local.", "api.svc.cluster.local."]


def test_enough_dots_make_a_name_be_tried_as_written_first():
    search = tried("a.b.c.d.e.f")
    assert names_of(search)[:2] == ["a.b.c.d.e.f.", "a.b.c.d.e.f.dev.svc.cluster.local."]
    assert len(search.outcomes) == 4
    assert search.outcomes[0][0].reason == "as written first: it has 5 dots, at least ndots (5)"


def test_one_dot_less_makes_it_be_tried_last():
    search = tried("a.b.c.d.e")
    assert names_of(search)[-1] == "a.b.c.d.e."
    assert search.outcomes[-1][0].reason == "as written last: it has 4 dots, fewer than ndots (5)"


def test_a_dot_at_the_end_leaves_the_search_list_out():
    assert names_of(tried("api.")) == ["api."]


def test_without_a_search_list_a_name_is_tried_as_written():
    assert names_of(tried("api", Rules())) == ["api."]


@pytest.mark.parametrize("outcome", ["no data", "no name", "failure"])
def test_the_search_goes_on_after(outcome):
    assert len(tried("api", _1=outcome).outcomes) == 4


@pytest.mark.parametrize("outcome", ["refusal", "no reply"])
def test_what_is_no_answer_at_all_ends_the_search_list(outcome):
    assert names_of(tried("api", _1=outcome)) == ["api.dev.svc.cluster.local.", "api."]


@pytest.mark.parametrize(
    ("name", "outcomes", "said"),
    [
        ("api", {}, "no name"),
        ("api", {"_2": "no data"}, "no data"),
        ("api", {"_2": "failure"}, "failure"),
        ("api", {"_1": "failure", "_3": "no data"}, "no data"),
        ("api", {"_4": "answer", "_1": "failure"}, "answer"),
        ("a.b.c.d.e.f", {"_1": "failure", "_2": "no data"}, "failure"),
        ("api", {"_4": "refusal"}, "refusal"),
    ],
)
def test_the_caller_is_told(name, outcomes, said):
    assert verdict(tried(name, **outcomes)) == said


def test_names_too_long_for_a_domain_are_left_out():
    long = ".".join(["a" * 60] * 4)
    assert names_of(tried(long, Rules(("b" * 20 + ".", "c."), 5))) == [f"{long}.c.", f"{long}."]


def test_tries_in_vain_are_told_with_what_saves_them():
    (hint,) = tried("www.example.com", _4="answer").hints()
    assert hint.startswith("3 names were tried in vain first, because it has 2 dots and ndots is 5")
    assert "(www.example.com.)" in hint


def test_nothing_is_told_where_the_first_try_has_it():
    assert list(tried("api", _1="answer").hints()) == []


def test_musl_ends_its_search_where_glibc_goes_on():
    (hint,) = tried("api", _1="no data", _2="answer").hints()
    assert hint == "musl (Alpine) does not find it: its search ends at step 1, because the reply there isn't NXDOMAIN"


def test_musl_has_no_search_list_for_names_with_many_dots():
    (hint,) = tried("a.b.c.d.e.f", _2="answer").hints()
    assert hint.startswith("musl (Alpine) does not find it: a name with that many dots")


def test_a_name_with_many_dots_that_is_not_found_was_tried_absolute_first():
    assert (
        "it has 5 dots, at least ndots (5), so it was tried as an absolute name first" in tried("a.b.c.d.e.f").hints()
    )


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("search a.test b.test\noptions ndots:5 edns0\n", Rules(("a.test.", "b.test."), 5)),
        ("domain a.test more\n", Rules(("a.test.",), 1)),
        ("search a.test\nsearch b.test.\n", Rules(("b.test.",), 1)),
        ("# search a.test\nnameserver 1.2.3.4\noptions ndots:x ndots:99", Rules((), 15)),
        ("", Rules((), 1)),
    ],
)
def test_resolv_conf(text, rules):
    assert parse_resolv_conf(text) == rules


@pytest.mark.parametrize("name", ["a..b", "a" * 64, ".".join(["a" * 50] * 6)])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ExplainError, match="is no name"):
        Search(name, POD)
    with pytest.raises(ExplainError, match="is no name"):
        absolute_domains((name,))
