# SPDX-License-Identifier: Apache-2.0
import asyncio
import logging

import pytest
from support.directives import FakeSetup, check, finished, make, parse, query

from clusterdns.dns.types import REFUSED
from clusterdns.serving.capabilities import HitObserver, Observer
from clusterdns.serving.reply import Reply

WRONG_COUNT = "Wrong argument count or unexpected line ending after"
TIMEOUT = "read udp 127.0.0.1:5->10.0.0.1:53: i/o timeout"


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, "clusterdns")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def fail(plugin, error=TIMEOUT, times=1, rcode=2):
    for _ in range(times):
        plugin.observe(query("A.Example.org."), Reply.failure(error, rcode), 30, 0.1)


def test_an_error_is_logged_with_rcode_name_and_type(lines):
    fail(make("errors"))
    fail(make("errors stdout"), "refused", rcode=REFUSED)
    assert lines() == [
        ("ERROR", f"2 a.example.org. A: {TIMEOUT}"),
        ("ERROR", "5 a.example.org. A: refused"),
    ]


def test_a_reply_without_error_is_not_logged(lines):
    make("errors").observe(query(), Reply(2), 30, 0.1)
    assert lines() == []


def test_replies_may_be_reused_behind_it():
    plugin = make("errors")
    assert isinstance(plugin, Observer)
    assert isinstance(plugin, HitObserver)


def consolidated(setup, *options):
    lines = "\n".join(f"consolidate {option}" for option in options)
    return make(f"errors {{\n{lines}\n}}", setup=setup)


async def run_timers(setup):
    for work, _ in setup.services.spawned:
        await work
    setup.services.spawned.clear()


@pytest.fixture
def at_once(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return slept


def test_matching_errors_are_counted_and_reported_after_the_duration(lines, at_once):
    setup = FakeSetup()
    plugin = consolidated(setup, '5m ".* i/o timeout$" warning', '30s "^other"')
    fail(plugin, times=3)
    fail(plugin, "something else")
    assert lines() == [("ERROR", "2 a.example.org. A: something else")]
    finished(run_timers(setup))
    assert lines()[1:] == [("WARNING", "3 errors like '.* i/o timeout$' occurred in last 5m0s")]
    assert at_once == [300]
    fail(plugin)
    finished(run_timers(setup))
    assert lines()[2:] == [("WARNING", "1 errors like '.* i/o timeout$' occurred in last 5m0s")]


def test_with_show_first_the_first_is_logged_and_the_number_only_if_there_were_more(lines, at_once):
    setup = FakeSetup()
    plugin = consolidated(setup, '5s "timeout$" info show_first')
    fail(plugin)
    finished(run_timers(setup))
    assert lines() == [("INFO", f"2 a.example.org. A: {TIMEOUT}")]
    fail(plugin, times=2)
    finished(run_timers(setup))
    assert lines()[1:] == [
        ("INFO", f"2 a.example.org. A: {TIMEOUT}"),
        ("INFO", "2 errors like 'timeout$' occurred in last 5s"),
    ]


def test_the_first_pattern_that_matches_counts(lines, at_once):
    setup = FakeSetup()
    plugin = consolidated(setup, '1s "timeout"', '1s "read"')
    fail(plugin)
    finished(run_timers(setup))
    assert lines() == [("ERROR", "1 errors like 'timeout' occurred in last 1s")]


def test_what_is_gathered_is_logged_at_the_end(lines):
    setup = FakeSetup()
    plugin = consolidated(setup, '1h "timeout"')
    fail(plugin, times=2)
    finished(plugin.stop(True))
    assert lines() == [("ERROR", "2 errors like 'timeout' occurred in last 1h0m0s")]
    assert setup.services.spawned[0][1].released


def test_stacktrace_is_an_option():
    assert parse("errors {\nstacktrace\n}").stacktrace is True
    assert parse("errors").stacktrace is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("errors x", "plugin/errors: Corefile:2 - Error during parsing: invalid log file: x"),
        (
            "errors stdout x",
            f"plugin/errors: Corefile:2 - Error during parsing: {WRONG_COUNT} 'x'",
        ),
        ("errors\nerrors", "plugin/errors: this plugin can only be used once per Server Block"),
        (
            "errors {\n nope\n}",
            "plugin/errors: Corefile:3 - Syntax error: Unexpected token 'nope', expecting 'Unknown field nope'",
        ),
        (
            "errors {\n consolidate 5m\n}",
            f"plugin/errors: Corefile:3 - Error during parsing: {WRONG_COUNT} '5m'",
        ),
        (
            'errors {\n consolidate x "a"\n}',
            'plugin/errors: Corefile:3 - Error during parsing: time: invalid duration "x"',
        ),
        (
            'errors {\n consolidate 5m "("\n}',
            "plugin/errors: Corefile:3 - Error during parsing: error parsing regexp: missing closing ): `(`",
        ),
        (
            'errors {\n consolidate 5m "a" loud\n}',
            "plugin/errors: Corefile:3 - Error during parsing: unknown option in consolidate: loud",
        ),
        (
            'errors {\n consolidate 5m "a" show_first info\n}',
            "plugin/errors: Corefile:3 - Error during parsing: log level must come before show_first in consolidate",
        ),
        (
            'errors {\n consolidate -5m "a"\n}',
            "plugin/errors: Corefile:3 - Error during parsing: duration must be positive: -5m",
        ),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [says]
