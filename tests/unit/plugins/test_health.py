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


def test_the_end_of_the_process_waits_while_health_answers(lines, monkeypatch):
    plugin = make("health {\nlameduck 5s\n}")
    finished(plugin.start())
    seen = []

    async def sleep(seconds):
        assert plugin.services.get(":8080", "/health") == (200, "OK")
        seen.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    finished(plugin.linger())
    assert seen == [5]
    assert lines() == [("INFO", "Going into lameduck mode for 5s")]
    finished(plugin.stop(True))


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
    assert (str(options.address), options.lameduck_seconds) == (":8081", 5)


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
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/health: {says}"]
