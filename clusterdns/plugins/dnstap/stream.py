# SPDX-License-Identifier: Apache-2.0
"""One connection to a collector, as the side that writes frames: handshake, messages, end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

import msgspec

from clusterdns.errors import UpstreamError
from clusterdns.observability.metrics import Value
from clusterdns.plugins.dnstap.backlog import Backlog, DropCounter
from clusterdns.plugins.dnstap.frames import CONTENT_TYPE, READY, START, STOP, ControlReader, ControlType, encode_data
from clusterdns.plugins.dnstap.message import Envelope
from clusterdns.upstream.ports import error_text

IO_SECONDS: Final = 4.0
"""For connecting, for each step of the handshake, and for a batch of messages."""

FINISH_SECONDS: Final = 1.0
_GATHER_SECONDS: Final = 0.05
"""Messages are sent together with those that follow so soon."""

_BATCH: Final = 256


async def wait_at_most(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; False if it doesn't come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class Delivery(msgspec.Struct, frozen=True):
    """What connections of one tap have in common.

    envelope: what goes around each message; sent, dropped: count messages.
    """

    envelope: Envelope
    sent: Value
    dropped: DropCounter


class Stream(asyncio.Protocol):
    """The connection.

    lost: why it can't be used any more; None while it can.
    accepted: called when the connection is there.
    """

    def __init__(self, buffer_bytes: int, accepted: Callable[[Stream], None] | None = None) -> None:
        self.lost: str | None = None
        self._buffer_bytes = buffer_bytes
        self._accepted = accepted
        self._transport: asyncio.Transport | None = None
        self._controls = ControlReader()
        self._expected: ControlType | None = ControlType.ACCEPT
        self._stirred = asyncio.Event()
        self._blocked = False
        self._backlog: Backlog | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, with TLS after the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer_bytes)
        if self._accepted is not None:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        """Octets of control frames."""
        try:
            for control in self._controls.feed(data):
                if control.kind != self._expected:
                    raise UpstreamError(f"frame stream: unexpected {control.kind.name} frame")
                if control.kind == ControlType.ACCEPT and not control.takes(CONTENT_TYPE):
                    raise UpstreamError(f"frame stream: the collector doesn't take {CONTENT_TYPE.decode()}")
                self._expected = None
        except UpstreamError as error:
            self._lose(str(error))
        self._stirred.set()

    def pause_writing(self) -> None:
        """The collector doesn't read as fast as we write."""
        self._blocked = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._blocked = False
        self._stirred.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lose("EOF" if exc is None else error_text(exc) if isinstance(exc, OSError) else str(exc))

    def _lose(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason
        self._stirred.set()
        if self._backlog is not None:
            self._backlog.changed.set()
        if self._transport is not None:
            self._transport.abort()

    # Our side

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait for the other side. Raises UpstreamError."""
        try:
            async with asyncio.timeout(seconds):
                while self.lost is None and not done():
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            self._lose("i/o timeout")
        if self.lost is not None:
            raise UpstreamError(self.lost)

    async def _write(self, data: bytes) -> None:
        assert self._transport is not None
        if self.lost is None:
            self._transport.write(data)
        await self._until(lambda: not self._blocked, IO_SECONDS)

    async def shake_hands(self) -> None:
        """Agree on what is in the frames. Raises UpstreamError."""
        await self._write(READY)
        await self._until(lambda: self._expected is None, IO_SECONDS)
        await self._write(START)

    async def send(self, backlog: Backlog, delivery: Delivery) -> None:
        """Send what is in the backlog until that is closed and empty. Raises UpstreamError."""
        self._backlog = backlog
        backlog.changed.set()
        encode = delivery.envelope.encode
        while True:
            await backlog.changed.wait()
            if not backlog.closing and self.lost is None:
                await asyncio.sleep(_GATHER_SECONDS)
            backlog.changed.clear()
            while self.lost is None and (items := backlog.take(_BATCH)):
                frames = [encode_data(encode(message, extra)) for message, extra in items]
                try:
                    await self._write(b"".join(frames))
                except BaseException:
                    delivery.dropped.add(len(items))
                    raise
                delivery.sent.value += len(items)
                await asyncio.sleep(0)
            if self.lost is not None:
                raise UpstreamError(self.lost)
            if backlog.closing:
                return

    async def finish(self) -> None:
        """End the stream in order. Raises UpstreamError."""
        self._expected = ControlType.FINISH
        await self._write(STOP)
        await self._until(lambda: self._expected is None, FINISH_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
