# SPDX-License-Identifier: Apache-2.0
"""How ``cache`` is read."""

import pytest
from support.directives import check, parse

from clusterdns.dns import names
from clusterdns.plugins.cache.options import Bounds, Prefetch, ServeStale

EXAMPLE = names.from_text("example.org.")


def options(text, **arguments):
    return parse(f"cache {text}", **arguments)


def test_defaults():
    found = options("")
    assert found.zones == (EXAMPLE,)
    assert found.zone_texts == ("example.org.",)
    assert found.success == Bounds(capacity=9984, max_ttl_seconds=3600, min_ttl_seconds=5)
    assert found.denial == Bounds(capacity=9984, max_ttl_seconds=1800, min_ttl_seconds=5)
    assert found.servfail_seconds == 5
    assert (found.prefetch, found.stale, found.keepttl) == (None, None, False)


def test_a_ttl_is_for_both_kinds():
    found = options("30")
    assert (found.success.max_ttl_seconds, found.denial.max_ttl_seconds) == (30, 30)
    assert options("99999999999").success.max_ttl_seconds == 2**31 - 1


def test_zones_of_its_own():
    found = options("30 a.example.org 10.0.0.0/8", zones="example.org 10.in-addr.arpa")
    assert found.zone_texts == ("a.example.org.", "10.in-addr.arpa.")


@pytest.mark.parametrize(
    ("arguments", "bounds"),
    [
        ("2000", Bounds(2000, 60, 5)),
        ("2000 100", Bounds(2000, 100, 5)),
        ("2000 100 0", Bounds(2000, 100, 0)),
        ("2000 100 200", Bounds(2000, 100, 200)),
        ("10", Bounds(1024, 60, 5)),
        ("-5", Bounds(1024, 60, 5)),
        ("2000 100 10 20 30", Bounds(2000, 100, 10)),
    ],
)
@pytest.mark.parametrize("kind", ["success", "denial"])
def test_bounds_of_one_kind(kind, arguments, bounds):
    found = options(f"60 {{\n {kind} {arguments}\n}}")
    other = {"success": "denial", "denial": "success"}[kind]
    assert getattr(found, kind) == bounds
    assert getattr(found, other).max_ttl_seconds == 60


@pytest.mark.parametrize(("ttl", "clamped"), [(0, 5), (5, 5), (70, 70), (5000, 3600)])
def test_ttls_are_put_between_the_bounds(ttl, clamped):
    assert Bounds().clamp(ttl) == clamped


def test_the_upper_bound_wins():
    assert Bounds(max_ttl_seconds=3, min_ttl_seconds=5).clamp(100) == 3


@pytest.mark.parametrize(
    ("arguments", "prefetch"),
    [
        ("3", Prefetch(3, 60.0, 10)),
        ("3 10s", Prefetch(3, 10.0, 10)),
        ("3 10s 25%", Prefetch(3, 10.0, 25)),
        ("0", None),
    ],
)
def test_prefetch(arguments, prefetch):
    assert options(f"{{\n prefetch {arguments}\n}}").prefetch == prefetch


@pytest.mark.parametrize(
    ("percentage", "ttl", "left"), [(10, 30, 3), (10, 31, 4), (10, 1, 1), (90, 10, 9), (33, 100, 33)]
)
def test_prefetch_is_due_when_the_percentage_rounded_up_is_left(percentage, ttl, left):
    assert Prefetch(1, percentage=percentage).threshold(ttl) == left


@pytest.mark.parametrize(
    ("arguments", "stale"),
    [
        ("", ServeStale(3600.0)),
        ("30m", ServeStale(1800.0)),
        ("1h Immediate", ServeStale(3600.0)),
        ("1h immediate 30s", ServeStale(3600.0, ttl_seconds=30)),
        ("1h immediate 30s 5m", ServeStale(3600.0, ttl_seconds=30, recheck_seconds=300.0)),
        ("1h verify", ServeStale(3600.0, verify=True)),
        ("1h verify 100ms", ServeStale(3600.0, verify=True, verify_seconds=0.1)),
        ("1h verify 0 30s 10s", ServeStale(3600.0, verify=True, ttl_seconds=30, recheck_seconds=10.0)),
        ("0s", None),
    ],
)
def test_serve_stale(arguments, stale):
    assert options(f"{{\n serve_stale {arguments}\n}}").stale == stale


def test_the_policy_may_stand_before_what_it_needs():
    assert options("{\n serve_stale_policy Prefer_Positive\n serve_stale\n}").stale == ServeStale(prefer_positive=True)


def test_disable_and_the_rest():
    found = options("{\n disable success a.example.org 10.0.0.0/8\n disable denial\n servfail 1s\n keepttl\n}")
    assert found.success_disabled == (names.from_text("a.example.org."), names.from_text("10.in-addr.arpa."))
    assert found.denial_disabled == (names.ROOT,)
    assert (found.servfail_seconds, found.keepttl) == (1.0, True)


ARGUMENTS = "Wrong argument count or unexpected line ending after"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "cache TTL can not be zero or negative: 0"),
        ("-3 example.org", "cache TTL can not be zero or negative: -3"),
        ("{\n success\n}", f"{ARGUMENTS} 'success'"),
        ("{\n success x\n}", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("{\n success 1000 0\n}", "cache TTL can not be zero or negative: 0"),
        ("{\n denial 1000 5 -1\n}", "cache min TTL can not be negative: -1"),
        ("{\n prefetch\n}", f"{ARGUMENTS} 'prefetch'"),
        ("{\n prefetch 1 1m 10% 4\n}", f"{ARGUMENTS} '4'"),
        ("{\n prefetch -1\n}", "prefetch amount should be positive: -1"),
        ("{\n prefetch 1 x\n}", 'time: invalid duration "x"'),
        ("{\n prefetch 1 1m 20\n}", "last character of percentage should be `%`, but is: '0'"),
        ('{\n prefetch 1 1m ""\n}', "last character of percentage should be `%`, but is: ''"),
        ("{\n prefetch 1 1m x%\n}", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("{\n prefetch 1 1m 9%\n}", "percentage should fall in range [10, 90]: 9"),
        ("{\n serve_stale 5\n}", 'time: missing unit in duration "5"'),
        ("{\n serve_stale -1h\n}", "invalid negative duration for serve_stale"),
        ("{\n serve_stale 1h nope\n}", "invalid value for serve_stale refresh mode: nope"),
        ("{\n serve_stale 1h immediate 1500ms\n}", "serve_stale response TTL must be a whole number of seconds"),
        ("{\n serve_stale 1h immediate -1s\n}", "invalid negative response TTL for serve_stale"),
        ("{\n serve_stale 1h immediate 2000000h\n}", "serve_stale response TTL exceeds the DNS TTL range"),
        ("{\n serve_stale 1h immediate x\n}", 'invalid serve_stale response TTL: time: invalid duration "x"'),
        ("{\n serve_stale 1h immediate 1s 10m\n}", "serve_stale failure recheck cannot exceed 5 minutes"),
        ("{\n serve_stale 1h immediate 1s -1s\n}", "invalid negative failure recheck for serve_stale"),
        ("{\n serve_stale 1h immediate 1s 1m x\n}", f"{ARGUMENTS} 'x'"),
        ("{\n serve_stale 1h verify x\n}", 'invalid serve_stale verify timeout: time: invalid duration "x"'),
        ("{\n serve_stale 1h verify -1s\n}", "invalid negative timeout for serve_stale verify"),
        ("{\n serve_stale 1h verify 0 1s 1s 1s\n}", f"{ARGUMENTS} '1s'"),
        ("{\n serve_stale_policy prefer_positive\n}", "serve_stale_policy requires serve_stale"),
        ("{\n serve_stale\n serve_stale_policy x\n}", "invalid serve_stale_policy: x"),
        ("{\n serve_stale\n serve_stale_policy\n}", f"{ARGUMENTS} 'serve_stale_policy'"),
        (
            "{\n serve_stale\n serve_stale_policy prefer_positive\n serve_stale_policy prefer_positive\n}",
            "serve_stale_policy can only be specified once",
        ),
        ("{\n servfail\n}", f"{ARGUMENTS} 'servfail'"),
        ("{\n servfail 5\n}", 'time: missing unit in duration "5"'),
        ("{\n servfail -1s\n}", "invalid negative ttl for servfail"),
        ("{\n servfail 10m\n}", "caching SERVFAIL responses over 5 minutes is not permitted"),
        ("{\n disable\n}", f"{ARGUMENTS} 'disable'"),
        ("{\n disable all\n}", 'cache type for disable must be "success" or "denial"'),
        ("{\n disable success a..b\n}", "invalid disabled zone: a..b"),
        ("{\n keepttl x\n}", f"{ARGUMENTS} 'x'"),
        ("{\n nope\n}", f"{ARGUMENTS} 'nope'"),
        ("{\n success 2000 {\n a\n }\n}", "Unexpected token '{', expecting argument"),
        ("\ncache", "this plugin can only be used once per Server Block"),
    ],
)
def test_faults_in_the_words_of_coredns(text, message):
    assert [error.message for error in check(f"cache {text}").errors] == [message]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("3600s", "caches only the zone 3600s., nothing else: the TTL is a number of seconds without a unit"),
        ("example.net", "caches nothing of example.net: no query for that zone comes here"),
        ("a..b", "a..b is not a zone and is ignored"),
        ("{\n success 100\n}", "a cache holds at least 1024 answers"),
        ("{\n denial 0\n}", "a cache holds at least 1024 answers"),
        ("{\n success 2000 5 10\n}", "the shortest TTL is above the longest, 5 seconds, which wins"),
        ("{\n success 2000 5 5 x\n}", "x is ignored: success takes a capacity, a TTL and a shortest TTL"),
        ("{\n prefetch 0\n}", "prefetch 0 does nothing"),
        ("{\n serve_stale 0\n}", "serve_stale 0 keeps nothing"),
        ("{\n disable denial a.org\n disable denial b.org\n}", "replaces the disable denial of a line before"),
    ],
)
def test_what_surely_is_not_meant_is_warned_of(text, warning):
    verdict = check(f"cache {text}\nwhoami")
    assert verdict.plan is not None
    assert warning in [found.message for found in verdict.warnings]


def test_a_ttl_with_a_unit_is_told_how_to_be_written():
    (warning,) = [found for found in check("cache 1h\nwhoami", zones=".").warnings if found.plugin == "cache"]
    assert warning.hint == "write cache 3600"
    assert (warning.line, warning.column) == (2, 7)


def test_good_files_are_not_warned_of():
    text = "cache 30 {\n success 9984 30\n denial 9984 5\n disable success cluster.local\n}\nwhoami"
    assert not check(text).warnings
