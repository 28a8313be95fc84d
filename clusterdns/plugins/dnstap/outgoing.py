# SPDX-License-Identifier: Apache-2.0
"""A collector that we connect to, and again after it was away."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Final

from clusterdns.errors import UpstreamError
from clusterdns.plugins.dnstap.backlog import Backlog
from clusterdns.plugins.dnstap.message import Message
from clusterdns.plugins.dnstap.options import TLS, UNIX, Tap
from clusterdns.plugins.dnstap.stream import IO_SECONDS, Delivery, Stream, wait_at_most
from clusterdns.upstream.ports import error_text
from clusterdns.upstream.server import TlsFiles
from clusterdns.upstream.shared import tls_context

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0


class Outgoing:
    """The collector of one tap. While it is away messages wait, as many as may, then they are dropped."""

    def __init__(self, tap: Tap, delivery: Delivery, log: logging.Logger) -> None:
        self._tap = tap
        self._delivery = delivery
        self._log = log
        self._backlog = Backlog(tap.queue_messages, delivery.dropped)
        self._closing = asyncio.Event()
        self._reported = False

    def put(self, message: Message, extra: bytes) -> None:
        """Send a message when there is time for it; never waits."""
        self._backlog.put(message, extra)

    def close(self) -> None:
        """Let ``run`` send what waits, and end."""
        self._backlog.close()
        self._closing.set()

    async def run(self) -> None:
        """Connect and send until it is closed."""
        loop = asyncio.get_running_loop()
        pause_seconds = _FIRST_PAUSE_SECONDS
        try:
            while not self._closing.is_set():
                began = loop.time()
                try:
                    await self._use(await self._connect())
                except UpstreamError as error:
                    self._report("No connection to dnstap endpoint: %s", error)
                if loop.time() - began > _LONGEST_PAUSE_SECONDS:
                    pause_seconds = _FIRST_PAUSE_SECONDS
                await wait_at_most(self._closing, pause_seconds)
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
        finally:
            self._backlog.drop_rest()

    async def _use(self, stream: Stream) -> None:
        try:
            await stream.shake_hands()
            if self._reported:
                self._reported = False
                self._log.info("Connected to dnstap endpoint %s again", self._tap.place)
            try:
                await stream.send(self._backlog, self._delivery)
                await stream.finish()
            except UpstreamError as error:
                self._report(f"Lost the connection to dnstap endpoint {self._tap.place}: %s", error)
        finally:
            stream.close()

    def _report(self, text: str, error: UpstreamError) -> None:
        """Log the first failure of several; at the end it is no news that there is nobody."""
        if not self._reported and not self._closing.is_set():
            self._reported = True
            self._log.error(text, error)

    async def _connect(self) -> Stream:
        """A connection without a handshake. Raises UpstreamError in Go's words."""
        place = self._tap.place
        loop = asyncio.get_running_loop()
        stream = Stream(self._tap.buffer_bytes)
        try:
            async with asyncio.timeout(IO_SECONDS):
                if place.transport == UNIX:
                    await loop.create_unix_connection(lambda: stream, place.path)
                else:
                    context = self._context() if place.transport == TLS else None
                    await loop.create_connection(lambda: stream, place.host, place.port, ssl=context)
        except TimeoutError:
            raise UpstreamError(f"dial {place}: i/o timeout") from None
        except ssl.SSLCertVerificationError as error:
            raise UpstreamError(f"tls: failed to verify certificate: {error.verify_message or error.reason}") from None
        except ssl.SSLError as error:
            raise UpstreamError(f"dial {place}: tls: {error.reason}") from None
        except socket.gaierror as error:
            raise UpstreamError(f"dial tcp: lookup {place.host}: {(error.strerror or str(error)).lower()}") from None
        except OSError as error:
            raise UpstreamError(f"dial {place}: connect: {error_text(error)}") from None
        return stream

    def _context(self) -> ssl.SSLContext:
        context = tls_context(TlsFiles())
        if not self._tap.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
