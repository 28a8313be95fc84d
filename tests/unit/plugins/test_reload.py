# SPDX-License-Identifier: Apache-2.0
import asyncio
import logging

import pytest
from support.directives import FakeServices, FakeSetup, check, finished, make, metric, parse

from clusterdns.errors import ConfigError, ConfigErrors


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "clusterdns")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


class LoopServices(FakeServices):
    """Background work runs as tasks."""

    def spawn(self, name, work):
        task = asyncio.ensure_future(work)
        self.spawned.append((task, None))

        class Lease:
            async def release(self):
                if asyncio.current_task() is not task:
                    task.cancel()

        return Lease()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_running_configuration_is_logged_and_exported(lines):
    async def work():
        services = LoopServices()
        plugin = make("reload", setup=FakeSetup(services))
        await plugin.start()
        await settle()
        assert lines() == [("INFO", "Running configuration SHA512 = running")]
        assert metric(services, "coredns_reload_version_info", "sha512", "running") == 1
        assert metric(services, "coredns_reload_failed_total") == 0
        await plugin.stop(True)

    finished(work())


def test_several_in_a_process_work_once_and_a_reload_hands_over(lines):
    async def work():
        services = LoopServices()
        old = [make("reload", setup=FakeSetup(services)) for _ in range(2)]
        for plugin in old:
            await plugin.start()
        await settle()
        assert len(lines()) == 1
        new = make("reload", setup=FakeSetup(services))
        await new.start()
        await settle()
        assert len(lines()) == 1
        services.digest = "new"
        for plugin in reversed(old):
            await plugin.stop(False)
        await settle()
        assert lines()[1:] == [("INFO", "Running configuration SHA512 = new")]
        assert metric(services, "coredns_reload_version_info", "sha512", "running") is None
        assert metric(services, "coredns_reload_version_info", "sha512", "new") == 1
        await new.stop(True)

    finished(work())


def test_a_reload_that_stops_its_own_plugin_ends_its_work(monkeypatch):
    async def work():
        services = LoopServices()
        plugin = make("reload 2s 0", setup=FakeSetup(services))
        plugin._interval_seconds = 0
        services.on_disk = "new"

        async def reload():
            services.digest = "new"
            await plugin.stop(False)
            return True

        services.reload = reload
        await plugin.start()
        task = services.spawned[0][0]
        await asyncio.wait_for(task, 5)

    finished(work())


def test_an_unchanged_configuration_is_left_alone():
    plugin = make("reload")
    finished(plugin.look())
    assert plugin.services.reloads == []


def test_a_changed_configuration_is_taken_over():
    plugin = make("reload")
    plugin.services.on_disk = "new"
    finished(plugin.look())
    finished(plugin.look())
    assert plugin.services.reloads == ["new"]


def test_a_failed_configuration_is_not_tried_again_until_it_changes(lines):
    plugin = make("reload")
    services = plugin.services
    services.reload_succeeds = False
    for on_disk in ("bad", "bad", "worse", "worse", "running", "worse"):
        services.on_disk = on_disk
        finished(plugin.look())
    assert services.reloads == ["bad", "worse", "worse"]
    assert metric(services, "coredns_reload_failed_total") == 3
    assert lines()[0][0] == "ERROR"
    assert lines()[0][1].startswith("Corefile changed but reload failed: ")


def test_a_file_that_cannot_be_understood_is_told_each_time_and_counted_once(lines):
    plugin = make("reload")
    plugin.services.on_disk = ConfigErrors([ConfigError("Unknown directive 'x'", file="Corefile", line=3, column=5)])
    for _ in range(2):
        finished(plugin.look())
    assert lines() == [("WARNING", "Corefile parse failed: Corefile:3:5: Unknown directive 'x'")] * 2
    assert plugin.services.reloads == []
    assert metric(plugin.services, "coredns_reload_failed_total") == 1


@pytest.mark.parametrize(
    ("text", "interval_seconds", "jitter_seconds"),
    [
        ("reload", 30, 15),
        ("reload 10s", 10, 5),
        ("reload 1m 20s", 60, 20),
        ("reload 2s 0s", 2, 0),
        ("reload 4s 1h", 4, 2),
        ("reload 6s 2s\nreload x", 6, 2),
    ],
)
def test_options(text, interval_seconds, jitter_seconds):
    options = parse(text)
    assert (options.interval_seconds, options.jitter_seconds) == (interval_seconds, jitter_seconds)


def test_intervals_differ_by_half_the_jitter_at_most():
    intervals = {make("reload 10s 4s")._interval_seconds for _ in range(50)}
    assert 8 <= min(intervals) < max(intervals) <= 12


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reload 1s", "interval value must be greater or equal to 2s"),
        ("reload 10s x", 'time: invalid duration "x"'),
        ("reload 10s 0.5s", "jitter value must be 0 or greater or equal to 1s"),
        ("reload x", 'time: invalid duration "x"'),
        (
            "reload 5s 1s x",
            "Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'x'",
        ),
    ],
)
def test_faults(text, says):
    assert [error.coredns_text() for error in check(text).errors] == [f"plugin/reload: {says}"]
