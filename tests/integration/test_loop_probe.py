# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from clusterdns.plugins import loop


class Answering(asyncio.DatagramProtocol):
    def __init__(self, change):
        self.change = change

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(self.change(data), addr)


def exchange(change):
    async def work():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Answering(change), local_addr=("127.0.0.1", 0)
        )
        try:
            port = transport.get_extra_info("sockname")[1]
            return await loop.ask(loop.probe_query(loop.probe_name(b"\0")), "", port)
        finally:
            transport.close()

    return asyncio.run(work())


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """On a busy machine even loopback takes its time."""
    monkeypatch.setattr(loop, "_ANSWER_SECONDS", 60)


def test_a_reply_is_an_answer():
    assert exchange(lambda data: data[:2] + b"\x81\x82" + data[4:]) is True


@pytest.mark.parametrize("change", [lambda data: b"\0\0" + data[2:], lambda data: data[:11]], ids=["id", "short"])
def test_something_else_is_no_answer(change, monkeypatch):
    monkeypatch.setattr(loop, "_ANSWER_SECONDS", 0.1)
    assert exchange(change) is False


def test_a_closed_port_is_no_answer():
    query = loop.probe_query(loop.probe_name(b"\0"))
    assert asyncio.run(asyncio.wait_for(loop.ask(query, "0.0.0.0", 1), 30)) is False
