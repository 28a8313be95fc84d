# SPDX-License-Identifier: Apache-2.0
"""What waits for a collector is bounded, and what is dropped is counted and logged."""

import asyncio
import logging

import pytest

from clusterdns.observability.metrics import Value
from clusterdns.plugins.dnstap import backlog as backlogs
from clusterdns.plugins.dnstap.backlog import BYTES_PER_MESSAGE, Backlog, DropCounter
from clusterdns.plugins.dnstap.message import Kind, Message, SocketProtocol


def message(size=40):
    return Message(Kind.CLIENT_QUERY, SocketProtocol.UDP, octets=bytes(size))


@pytest.fixture
def dropped():
    return DropCounter(Value(), logging.getLogger("clusterdns.plugin.dnstap"))


def in_loop(steps):
    """Run ``steps`` in an event loop."""

    async def run():
        return steps()

    return asyncio.run(run())


def test_messages_beyond_the_number_are_dropped(dropped):
    backlog = Backlog(3, dropped)
    in_loop(lambda: [backlog.put(message(number), b"") for number in range(1, 6)])
    assert [len(item.octets) for item, _ in backlog.take(10)] == [1, 2, 3]
    assert dropped._total.value == 2


def test_large_messages_are_dropped_before_they_fill_the_memory(dropped):
    backlog = Backlog(10, dropped)
    in_loop(lambda: [backlog.put(message(4 * BYTES_PER_MESSAGE), b"") for _ in range(5)])
    assert len(backlog) == 2
    assert dropped._total.value == 3
    backlog.take(1)
    in_loop(lambda: backlog.put(message(4 * BYTES_PER_MESSAGE), b""))
    assert len(backlog) == 2


def test_a_closed_backlog_takes_nothing_and_counts_what_is_left(dropped):
    backlog = Backlog(10, dropped)

    def steps():
        backlog.put(message(), b"extra")
        backlog.close()
        backlog.put(message(), b"")
        assert len(backlog) == 1
        backlog.drop_rest()

    in_loop(steps)
    assert len(backlog) == 0
    assert dropped._total.value == 2


def test_dropped_messages_are_logged_together_and_only_then(dropped, caplog, monkeypatch):
    monkeypatch.setattr(backlogs, "REPORT_SECONDS", 0.0)

    async def run():
        dropped.add()
        dropped.add(4)
        assert caplog.messages == []
        await asyncio.sleep(0.01)
        assert caplog.messages == ["Dropped dnstap messages: 5"]
        dropped.report()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert len(caplog.messages) == 1


def test_what_is_dropped_at_the_end_is_logged_too(dropped, caplog):
    def steps():
        dropped.add(2)
        dropped.report()

    in_loop(steps)
    assert caplog.messages == ["Dropped dnstap messages: 2"]
