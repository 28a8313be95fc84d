# SPDX-License-Identifier: Apache-2.0
import asyncio
import logging

import pytest
from support.directives import FakeSetup, check, finished, make, metric, parse

from clusterdns.errors import LifecycleError


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "clusterdns")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_health_answers_until_it_is_stopped():
    plugin = make("health")
    finished(plugin.start())
    assert plugin.services.get(":8080", "/health") == (200, "OK")
    finished(plugin.stop(False))
    assert plugin.services.paths == {(":8080", "/health"): []}
    assert all(lease.released for _, lease in plugin.services.spawned)


def test_an_address_that_is_taken_is_an_error():
    setup = FakeSetup()
    setup.services.refused_addresses.add(":8080")
    with pytest.raises(LifecycleError):
        finished(make("health", setup=setup).start())


def test_a_plugin_that_did_not_start_stops_at_once():
    finished(make("health {\nlameduck 1h\n}").stop(True))


def lingering(text, monkeypatch, *, last_packet_seconds):
    """How long the end is put off, in a time of its own, where queries come until ``last_packet_seconds``."""
    plugin = make(text)
    finished(plugin.start())
    seconds = 0.0

    async def sleep(duration_seconds):
        nonlocal seconds
        assert plugin.services.get(":8080", "/health") == (200, "OK")
        seconds += duration_seconds
        plugin.services.packets += seconds <= last_packet_seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    finished(plugin.linger())
    finished(plugin.stop(True))
    return seconds


@pytest.mark.parametrize(
    ("lameduck", "last_packet_seconds", "seconds"),
    [
        ("lameduck 5s", 0, 5),
        ("lameduck 5s", 2.75, 5),
        ("lameduck 5s", 4, 6),
        ("lameduck 5s", 10, 12),
        ("lameduck 5s", 3600, 25),
        ("lameduck 40s", 3600, 40),
        ("lameduck 5s 12s", 3600, 12),
        ("lameduck 1s", 0, 2),
        ("lameduck 0s", 3600, 0),
    ],
)
def test_the_end_waits_for_lameduck_and_for_two_seconds_without_queries(
    lameduck, last_packet_seconds, seconds, monkeypatch
):
    text = f"health {{\n{lameduck}\n}}"
    assert lingering(text, monkeypatch, last_packet_seconds=last_packet_seconds) == seconds


def test_the_wait_is_logged_and_so_is_its_end_while_queries_come(lines, monkeypatch):
    lingering("health {\nlameduck 5s\n}", monkeypatch, last_packet_seconds=3600)
    assert lines() == [
        ("INFO", "Going into lameduck mode for 5s"),
        ("WARNING", "Queries still come 25s after the end was asked for; it doesn't wait longer"),
    ]


def test_metrics_start_at_zero_and_a_failed_probe_counts(lines):
    plugin = make("health")
    services = plugin.services
    assert metric(services, "coredns_health_request_failures_total") == 0
    assert metric(services, "coredns_health_request_duration_seconds") == 0
    finished(plugin.ask("http://127.0.0.1:1/health"))
    assert metric(services, "coredns_health_request_failures_total") == 1
    assert metric(services, "coredns_health_request_duration_seconds") == 1
    assert lines()[0][0] == "WARNING"
    assert lines()[0][1].startswith('Local health request to "http://127.0.0.1:1/health" failed: ')


def test_options():
    options = parse("health 127.0.0.1:0 {\nlameduck 1m\n}")
    assert (str(options.address), options.lameduck_seconds) == ("127.0.0.1:0", 60)
    assert str(parse("health [::1]:8080").address) == "[::1]:8080"
    options = parse("health {\nlameduck 5s\n}\nhealth :8081")
    assert (str(options.address), options.lameduck_seconds, options.longest_seconds) == (":8081", 5, 25)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "health {\nlameduck\n}",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'lameduck'",
        ),
        ("health {\nnope\n}", "Corefile:3 - Error during parsing: unknown property 'nope'"),
        ("health a b", "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'b'"),
        ("health nonsense", "address nonsense: missing port in address"),
        (
            "health {\nlameduck 5\n}",
            "unable to parse lameduck duration value: '5' : time: missing unit in duration \"5\"",
        ),
        (
            "health {\nlameduck 20s 10s\n}",
            "Corefile:3 - Error during parsing: the most seconds of lameduck are fewer than the least",
        ),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/health: {says}"]
