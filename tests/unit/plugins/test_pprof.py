# SPDX-License-Identifier: Apache-2.0
import asyncio
import io
import marshal
import sys
import tracemalloc

import pytest
from support.directives import FakeSetup, check, finished, make, parse

from clusterdns.config.address import HostPort
from clusterdns.plugins.pprof import profiles

ADDRESS = "localhost:6053"


class Request:
    headers: dict[str, str] = {}

    def __init__(self, path, **query):
        self.path = path
        self.query = query


def started(text="pprof"):
    plugin = make(text, setup=FakeSetup())
    finished(plugin.start())
    return plugin


async def asked(plugin, page, **query):
    request = Request("/debug/pprof" + page, **query)
    answer = plugin.services.paths[ADDRESS, request.path][-1](request)
    return answer if isinstance(answer, tuple) else await answer


def get(plugin, page, **query):
    status, content_type, body = finished(asked(plugin, page, **query))
    return status, content_type.split(";")[0], body


def test_the_index_names_the_pages():
    plugin = started()
    for page in ("", "/"):
        status, kind, body = get(plugin, page)
        assert (status, kind) == (200, "text/plain")
    for line in body.decode().split():
        assert (ADDRESS, line.partition("?")[0]) in plugin.services.paths


def burn():
    return sum(number * number for number in range(1000))


async def burning(plugin, page, **query):
    task = asyncio.create_task(asked(plugin, page, **query))
    while not task.done():
        burn()
        await asyncio.sleep(0.001)
    return await task


def test_profile_names_what_ran():
    status, kind, body = finished(burning(started(), "/profile", seconds="0.05", sort="tottime"))
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert b"(burn)" in body
    assert b"Ordered by: internal time" in body


def test_profile_as_a_file_for_pstats():
    status, kind, body = finished(burning(started(), "/profile", seconds="0.05", format="pstats"))
    assert (status, kind) == (200, "application/octet-stream")
    assert any(function == "burn" for _, _, function in marshal.load(io.BytesIO(body)))


def test_heap_names_where_memory_went():
    kept = []
    plugin = started()

    async def work():
        task = asyncio.create_task(asked(plugin, "/heap", seconds="0.05"))
        await asyncio.sleep(0.01)
        kept.append(bytes(1_000_000))
        return await task

    status, _, body = finished(work())
    assert status == 200
    assert b"test_pprof.py" in body.split(b"\n\n")[1]
    assert not tracemalloc.is_tracing()


def test_one_profile_of_a_kind_at_a_time():
    plugin = started()

    async def work():
        first = asyncio.create_task(asked(plugin, "/heap", seconds="0.05"))
        await asyncio.sleep(0.01)
        second = await asked(plugin, "/heap", seconds="0.05")
        return (await first)[0], second[0], (await asked(plugin, "/heap", seconds="0.01"))[0]

    assert finished(work()) == (200, 409, 200)


def test_a_profile_that_is_given_up_ends():
    plugin = started()

    async def work():
        for page in ("/profile", "/heap"):
            task = asyncio.create_task(asked(plugin, page, seconds="60"))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
        return [(await asked(plugin, page, seconds="0.01"))[0] for page in ("/profile", "/heap")]

    assert finished(work()) == [200, 200]
    assert not tracemalloc.is_tracing()


@pytest.mark.parametrize(
    "query",
    [{"seconds": "0"}, {"seconds": "x"}, {"seconds": "301"}, {"seconds": "nan"}, {"sort": "x"}, {"format": "x"}],
)
def test_wrong_arguments(query):
    assert get(started(), "/profile", **query)[0] == 400


def test_stacks_of_threads_and_tasks():
    plugin = started()

    async def work():
        task = asyncio.create_task(asyncio.sleep(60), name="sleeper")
        await asyncio.sleep(0)
        body = (await asked(plugin, "/stacks"))[2].decode()
        task.cancel()
        return body

    body = finished(work())
    assert "thread MainThread" in body
    assert "task sleeper" in body
    assert "test_pprof.py" in body


def test_command_line():
    assert get(started(), "/cmdline")[2].split(b"\0")[0] == sys.orig_argv[0].encode()


def test_block():
    assert get(started(), "/block")[0] == 404
    plugin = started("pprof {\nblock 1000000\n}")
    ((_, lease),) = plugin.services.spawned
    status, _, body = get(plugin, "/block")
    assert (status, b"number 0, sum 0s, longest 0s" in body) == (200, True)
    finished(plugin.stop(True))
    assert lease.released


def test_delays():
    delays = profiles.LoopDelays(0.002)
    for seconds in (-0.001, 0.001, 0.003, 0.5, 100.0):
        delays.add(seconds)
    lines = delays.text().decode().splitlines()
    assert lines[1] == "number 3, sum 1m40.503s, longest 1m40s"
    assert [line.split()[-1] for line in lines[2:]] == ["0", "1", "0", "0", "0", "1", "0", "1"]


def test_delays_are_measured(monkeypatch):
    monkeypatch.setattr(profiles, "TICK_SECONDS", 0.0)
    delays = profiles.LoopDelays(0.0)

    async def work():
        task = asyncio.create_task(delays.watch())
        await asyncio.sleep(0.005)
        task.cancel()

    finished(work())
    assert not delays.text().startswith(b"number 0")


def test_stop_releases_everything():
    plugin = started("pprof {\nblock\n}")
    assert all(plugin.services.paths.values())
    finished(plugin.stop(False))
    assert not any(plugin.services.paths.values())


def test_options():
    assert parse("pprof").address == HostPort("localhost", 6053)
    assert parse("pprof :1").address == HostPort("", 1)
    assert [parse(f"pprof {{\n{text}\n}}").block_rate for text in ("block", "block 5", "block 0", "block -1")] == [
        1, 5, 0, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("pprof 127.0.0.1", "address 127.0.0.1: missing port in address", 2),
        ("pprof a b", "Wrong argument count or unexpected line ending after 'b'", 2),
        ("pprof {\nfoo\n}", "unknown property 'foo'", 3),
        ("pprof {\nblock x\n}", "property 'block' invalid integer value 'x'", 3),
        ("pprof {\nblock 1 2\n}", "Wrong argument count or unexpected line ending after '2'", 3),
        ("pprof\npprof", "this plugin can only be used once per Server Block", 3),
    ],
)
def test_faults(text, message, line):
    (error,) = check(text).errors
    assert (error.message, error.line) == (message, line)
