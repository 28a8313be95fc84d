# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from clusterdns.cluster.items import decode_names
from clusterdns.cluster.reflector.ledger import Ledger
from clusterdns.cluster.reflector.listing import Listing, StaleList
from clusterdns.cluster.reflector.state import WatchState
from clusterdns.errors import ApiError


def new(least: int = 0) -> Listing:
    return Listing(Ledger("Service", WatchState("Service")), decode_names, least)


def page(revision: str, token: str = "", *names: str) -> bytes:
    items = [{"metadata": {"name": name, "namespace": "dev", "resourceVersion": "1"}} for name in names]
    return json.dumps({"metadata": {"resourceVersion": revision, "continue": token}, "items": items}).encode()


def read(listing: Listing, data: bytes) -> int:
    listing.begin_page()
    return sum(len(events) for steps in (listing.feed(data), listing.end_page()) for events in steps)


def test_the_revision_of_a_list_is_that_of_its_first_page():
    listing = new()
    assert read(listing, page("50", "t1", "a", "b")) == 2
    assert (listing.token, listing.revision) == ("t1", "50")
    assert read(listing, page("70", "", "c")) == 1
    assert (listing.token, listing.revision) == ("", "50")


def test_an_older_list_is_refused_before_anything_of_it_is_handed_out():
    with pytest.raises(StaleList):
        read(new(51), page("50", "", "a"))
    assert read(new(50), page("50", "", "a")) == 1
    at_the_end = json.loads(page("50", "", "a"))
    at_the_end["metadata"], at_the_end["items"] = at_the_end.pop("metadata"), at_the_end.pop("items")
    backwards = json.dumps(dict(reversed(list(at_the_end.items())))).encode()
    assert backwards.startswith(b'{"items"')
    with pytest.raises(StaleList):
        read(new(51), backwards)
    assert read(new(50), backwards) == 1


def test_a_list_without_revision_or_with_a_token_that_leads_nowhere_is_refused():
    with pytest.raises(ApiError, match="no revision"):
        read(new(), page("", "", "a"))
    listing = new()
    read(listing, page("50", "t1", "a"))
    with pytest.raises(ApiError, match="in circles"):
        read(listing, page("50", "t1", "b"))


def test_an_expired_token_is_replaced_by_the_one_of_the_refusal_a_few_times():
    fresh = [json.dumps({"metadata": {"continue": f"fresh-{number}"}}).encode() for number in range(5)]
    listing = new()
    assert not listing.go_on(fresh[0])  # of a first page there is nothing to go on with
    read(listing, page("50", "t1", "a"))
    for body in (b"", b"gone", b"{}", b'{"metadata":{}}'):
        assert not listing.go_on(body)
    assert [listing.go_on(body) for body in fresh] == [True, True, True, False, False]
    assert listing.token == "fresh-2"


def test_a_page_may_be_repeated_a_few_times_but_not_the_first_one():
    listing = new()
    assert not listing.may_repeat()
    read(listing, page("50", "t1", "a"))
    assert [listing.may_repeat() for _ in range(5)] == [True, True, True, False, False]
    read(listing, page("50", "t2", "b"))
    assert listing.may_repeat()
