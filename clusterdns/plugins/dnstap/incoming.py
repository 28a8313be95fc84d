# SPDX-License-Identifier: Apache-2.0
"""Collectors that connect to us: each is given every message from then on."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from clusterdns.errors import UpstreamError
from clusterdns.plugins.dnstap.backlog import Backlog
from clusterdns.plugins.dnstap.message import Message
from clusterdns.plugins.dnstap.options import TLS, UNIX, Tap
from clusterdns.plugins.dnstap.stream import IO_SECONDS, Delivery, Stream, wait_at_most
from clusterdns.upstream.ports import error_text
from clusterdns.upstream.shared import read_tls_files

MOST_COLLECTORS: Final = 16
_RETRY_SECONDS: Final = 10.0


class Incoming:
    """The collectors of one tap. One that is too slow loses messages; without any, messages are for nobody."""

    def __init__(self, tap: Tap, delivery: Delivery, log: logging.Logger) -> None:
        self._tap = tap
        self._delivery = delivery
        self._log = log
        self._backlogs: dict[Stream, Backlog] = {}
        self._closing = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def put(self, message: Message, extra: bytes) -> None:
        """Send a message to each collector when there is time for it; never waits."""
        for backlog in self._backlogs.values():
            backlog.put(message, extra)

    def close(self) -> None:
        """Let ``run`` send what waits, and end."""
        self._closing.set()
        for backlog in self._backlogs.values():
            backlog.close()

    async def run(self) -> None:
        """Listen and send until it is closed; where it can't listen, try again every ten seconds."""
        reported = False
        while not self._closing.is_set():
            try:
                server, inode = await self._open()
            except UpstreamError as error:
                if not reported:
                    reported = True
                    self._log.error("Failed to start dnstap listener: %s", error)
                await wait_at_most(self._closing, _RETRY_SECONDS)
                continue
            try:
                async with asyncio.TaskGroup() as self._tasks:
                    await server.start_serving()
                    await self._closing.wait()
                    server.close()
            finally:
                server.close()
                if inode:
                    remove_unix(self._tap.place.path, inode)

    async def _open(self) -> tuple[asyncio.Server, int]:
        """What listens, and the inode of its Unix socket, 0 without one. Raises UpstreamError in Go's words."""
        place = self._tap.place
        loop = asyncio.get_running_loop()
        try:
            if place.transport == UNIX:
                listener = listen_unix(place.path)
                inode = os.stat(place.path).st_ino
                return await loop.create_unix_server(self._new_stream, sock=listener, start_serving=False), inode
            context = self._context() if place.transport == TLS else None
            server = await loop.create_server(
                self._new_stream,
                place.host or None,
                place.port,
                reuse_port=True,
                ssl=context,
                ssl_handshake_timeout=IO_SECONDS if context is not None else None,
                start_serving=False,
            )
        except ssl.SSLError as error:
            raise UpstreamError(f"tls: {error.reason}") from None
        except OSError as error:
            name = f"open {error.filename}" if error.filename else f"listen {place}: bind"
            raise UpstreamError(f"{name}: {error_text(error)}") from None
        return server, 0

    def _new_stream(self) -> Stream:
        return Stream(self._tap.buffer_bytes, accepted=self._take)

    def _context(self) -> ssl.SSLContext:
        files = read_tls_files(self._tap.tls)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.authorities or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(files.certificate, files.key)
        if files.authorities:
            context.verify_mode = ssl.CERT_REQUIRED if self._tap.verify else ssl.CERT_OPTIONAL
        return context

    def _take(self, stream: Stream) -> None:
        """A collector has connected."""
        if self._closing.is_set() or self._tasks is None or len(self._backlogs) >= MOST_COLLECTORS:
            if not self._closing.is_set():
                self._log.warning("A dnstap collector is turned away: there are %d already", MOST_COLLECTORS)
            stream.close()
            return
        backlog = self._backlogs[stream] = Backlog(self._tap.queue_messages, self._delivery.dropped)
        self._tasks.create_task(self._serve(stream, backlog))

    async def _serve(self, stream: Stream, backlog: Backlog) -> None:
        try:
            await stream.shake_hands()
            await stream.send(backlog, self._delivery)
            await stream.finish()
        except UpstreamError as error:
            if not self._closing.is_set():
                self._log.warning("A dnstap collector at %s is gone: %s", self._tap.place, error)
        finally:
            del self._backlogs[stream]
            backlog.drop_rest()
            stream.close()


def listen_unix(path: str) -> socket.socket:
    """A listening Unix socket in the place of one that may be there: of a process that has ended, or of the
    configuration before this one, whose connections go on. Raises OSError, also where there is another kind of file.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    beside = f"{path}~"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(beside).st_mode):
                os.unlink(beside)
        listener.bind(beside)
        os.rename(beside, path)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def remove_unix(path: str, inode: int) -> None:
    """Remove a socket, unless another has taken its place."""
    with suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:
            Path(path).unlink()
