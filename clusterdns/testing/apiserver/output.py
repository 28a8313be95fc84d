# SPDX-License-Identifier: Apache-2.0
"""The body of one answer on its way out, with what a test wants to go wrong on it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping

from aiohttp import web

from clusterdns.testing.apiserver.faults import Fault

FLUSH_SECONDS = 2.0
POLL_SECONDS = 0.002


class Stopped(Exception):
    """The body ended as a test wanted it to; nothing more is to be written."""


class Output:
    """Writes a body; ``gate`` is closed while the server hangs."""

    def __init__(self, request: web.BaseRequest, gate: asyncio.Event, fault: Fault | None) -> None:
        self._request = request
        self._gate = gate
        self._fault = fault or Fault()
        self._written = 0
        self._response: web.StreamResponse | None = None

    async def begin(self, status: int, headers: Mapping[str, str], length: int | None = None) -> None:
        """Send the header; ``length`` None for a chunked body."""
        await self._gate.wait()
        response = web.StreamResponse(status=status, headers=headers)
        if length is None:
            response.enable_chunked_encoding()
        else:
            response.content_length = length
        self._response = response
        await response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        """Send a part of the body. Raises Stopped where a fault ends it."""
        assert self._response is not None
        await self._gate.wait()
        fault, room = self._fault, len(data)
        if fault.cut_after_bytes >= 0:
            room = min(room, fault.cut_after_bytes - self._written)
        if fault.stall_after_bytes >= 0:
            room = min(room, fault.stall_after_bytes - self._written)
        await self._response.write(data[:room])
        self._written += room
        if room == len(data):
            return
        if fault.stall_after_bytes == self._written:
            await asyncio.Event().wait()
        await self.tear(reset=fault.reset)
        raise Stopped

    async def end(self) -> web.StreamResponse:
        """Finish the body."""
        assert self._response is not None
        await self._gate.wait()
        await self._response.write_eof()
        return self._response

    async def tear(self, *, reset: bool) -> None:
        """Close the connection with the body unfinished."""
        transport = self._request.transport
        if transport is None:
            return
        for _ in range(int(FLUSH_SECONDS / POLL_SECONDS)):
            if not transport.get_write_buffer_size():
                break
            await asyncio.sleep(POLL_SECONDS)
        abort(transport, reset=reset)


def abort(transport: asyncio.BaseTransport, *, reset: bool) -> None:
    """Close a connection as the death of its process does: no TLS farewell, and with ``reset`` an RST."""
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, asyncio.Transport)
    transport.abort()
