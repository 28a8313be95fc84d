# SPDX-License-Identifier: Apache-2.0
"""Questions of the operator to a running server: one line in, one line out, over a Unix socket or loopback.

Nobody else is to reach it: a Unix socket is for its owner alone (mode 0600) from its first moment on, and addresses
that other machines or Pods could reach are refused. It bounds all that a client can do: the length of a line, the
time, the number of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from clusterdns.errors import ExplainError, LifecycleError
from clusterdns.serving.places import Place, parse_place

MAX_LINE_BYTES: Final = 16384
MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
MAX_CONNECTIONS: Final = 8
READ_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 5.0

_BACKLOG: Final = 8
_MODE: Final = 0o600
_PIECE_BYTES: Final = 65536

Answer: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""What is asked (one line, without its end) to what is answered (one line, too)."""

log = logging.getLogger("clusterdns.control")


class ControlServer:
    """Answers at one place (see ``parse_place``), which is taken at once. Raises LifecycleError.

    answer: bounds its time itself, and raises nothing.
    """

    def __init__(self, place: Place, answer: Answer) -> None:
        self._listener = open_place(place)
        self._answer = answer
        self._path = path = place if isinstance(place, str) else ""
        self._inode = os.stat(path).st_ino if path else 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to answer."""
        if self._path:
            self._server = await asyncio.start_unix_server(self._serve, sock=self._listener, limit=MAX_LINE_BYTES)
        else:
            self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=MAX_LINE_BYTES)

    async def close(self) -> None:
        """Answer no more; what is under way is given up."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=READ_SECONDS)
        with contextlib.suppress(OSError):
            if self._path and os.stat(self._path).st_ino == self._inode:  # a newer configuration may have taken it over
                os.unlink(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._connections) >= MAX_CONNECTIONS:
                return
            self._connections.add(task)
            async with asyncio.timeout(READ_SECONDS):
                line = await reader.readuntil(b"\n")
            reply = await self._answer(line.rstrip(b"\r\n"))
            async with asyncio.timeout(WRITE_SECONDS):
                writer.write(reply + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.debug("a question was given up: %s: %s", type(error).__name__, error)
        finally:
            self._connections.discard(task)
            writer.close()


def open_place(place: Place) -> socket.socket:
    """A listening socket. Raises LifecycleError.

    The file of a Unix socket takes its place only once its mode is set and it listens; a socket that is there already,
    left over or of an older configuration, gives way to it in one step.
    """
    if isinstance(place, tuple):
        return _open_loopback(place)
    temporary = f"{place}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(os.lstat(place).st_mode):
                raise OSError(0, "there is a file that is no socket")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        listener.bind(temporary)
        os.chmod(temporary, _MODE)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        os.rename(temporary, place)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        reason = (error.strerror or str(error)).lower()
        raise LifecycleError(f"listen unix {place}: bind: {reason}") from error
    return listener


def _open_loopback(place: tuple[str, int]) -> socket.socket:
    host, port = place
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # while a reload takes over, two listen
        listener.bind(place)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise LifecycleError(f"listen tcp {host}:{port}: bind: {reason}") from error
    return listener


def ask_control(text: str, line: bytes, seconds: float) -> bytes:
    """Ask the server at a place (see ``parse_place``); its reply. Blocks. Raises ExplainError."""
    try:
        place = parse_place(text)
    except ValueError as error:
        raise ExplainError(f"{text[:200]}: {error}") from None
    family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    received = bytearray()
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(seconds)
            sock.connect(place)
            sock.sendall(line + b"\n")
            while piece := sock.recv(_PIECE_BYTES):
                received += piece
                if len(received) > MAX_REPLY_BYTES:
                    raise ExplainError(f"{text}: the reply is too long")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ExplainError(f"{text}: {reason}; does the server have the directive `explain {text}`?") from None
    if not received.endswith(b"\n"):
        raise ExplainError(f"{text}: the server hung up; is another question under way?")
    return bytes(received[:-1])
