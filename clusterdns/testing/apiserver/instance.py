# SPDX-License-Identifier: Apache-2.0
"""One life of a server, from its start to its end, on the event loop: sockets, connections, and what is open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from clusterdns.testing.apiserver.access import Access
from clusterdns.testing.apiserver.faults import Ending, Faults
from clusterdns.testing.apiserver.output import abort
from clusterdns.testing.apiserver.storage import Storage
from clusterdns.testing.apiserver.watching import StreamedLists, Watcher

BACKLOG = 128
CLOSE_SECONDS = 1.0
POLL_SECONDS = 0.002
MAX_REQUESTS = 10_000


class Settings(msgspec.Struct, frozen=True):
    """How a server is set up; seconds are those of a real one.

    streamed_lists: what it makes of sendInitialEvents.
    bookmark_seconds: between bookmarks of a watch.
    storage_seconds: how long a request waits for a storage that is lost, before its connection is cut.
    future_seconds: how long a list waits for a revision that isn't there yet.
    slow_reader_events: a watch that is blocked and has this many events before it is ended.
    send_buffer_bytes: of the kernel, for each connection; 0 leaves it as it is.
    gzip: lists of 128 KiB and more are compressed for those who accept it.
    """

    streamed_lists: StreamedLists = "on"
    bookmark_seconds: float = 60.0
    storage_seconds: float = 60.0
    future_seconds: float = 3.0
    slow_reader_events: int = 100
    send_buffer_bytes: int = 0
    gzip: bool = True


class Request(msgspec.Struct):
    """A request that came. ``verb`` is Kubernetes' (get, list, watch, create, …), empty for paths without objects;
    ``resource`` the plural; ``headers`` have lower-case names; ``status`` is 0 until it is answered.
    """

    verb: str
    resource: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    user: str = ""
    status: int = 0


class Shared(msgspec.Struct, frozen=True):
    """What outlives a restart of the server."""

    storage: Storage
    access: Access
    faults: Faults
    settings: Settings
    requests: deque[Request]


class Instance:
    """A server process, as it were. All of it belongs to one event loop."""

    def __init__(self, shared: Shared, *, forbidden_seconds: float = 0.0) -> None:
        self.shared = shared
        self.gate = asyncio.Event()
        self.gate.set()
        self.watchers: set[Watcher] = set()
        self.oldest = shared.storage.revision
        """Watches from revisions before this one are told 410."""
        self.stopping = False
        self.storage_lost = False
        self.forbidden_until = asyncio.get_running_loop().time() + forbidden_seconds
        self._frozen_at: int | None = None
        self._loop = asyncio.get_running_loop()
        self._http: web.Server | None = None
        self._listener: socket.socket | None = None
        self._accepted: set[socket.socket] = set()  # and not yet handed to _http
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unlisten = shared.storage.on_change(self._changed)

    @property
    def heard_of(self) -> int:
        """The newest revision that the server knows."""
        newest = self.shared.storage.revision
        return newest if self._frozen_at is None else min(newest, self._frozen_at)

    def freeze(self, frozen: bool) -> None:
        """Hear of no more changes, or of all again."""
        self._frozen_at = self.heard_of if frozen else None
        self.wake()

    def listen(self, http: web.Server, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Accept connections on a listening socket, which is the instance's from now on."""
        listener.setblocking(False)
        self._http, self._listener = http, listener
        self.spawn(self._accept(listener, context))

    def spawn(self, work: Any) -> None:
        """Run a coroutine that ends with the instance."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def wake(self) -> None:
        """Let every watch look for what it is due."""
        for watcher in self.watchers:
            watcher.wake.set()

    def end_watches(self, how: Ending, resource: str) -> int:
        """End the watches of a resource (of all, if empty); how many there were."""
        found = [each for each in self.watchers if resource in ("", each.target.resource.plural)]
        for watcher in found:
            watcher.ending = how
            watcher.wake.set()
        return len(found)

    async def stop(self, linger_seconds: float) -> None:
        """As on SIGTERM: no new connections; open watches live on for so long and then end properly."""
        self.stopping = True
        self._close_listener()
        if linger_seconds:
            await asyncio.sleep(linger_seconds)
        self.gate.set()
        self.end_watches("clean", "")
        for _ in range(int(CLOSE_SECONDS / POLL_SECONDS)):
            if not self.watchers:
                break
            await asyncio.sleep(POLL_SECONDS)
        await self._end()

    async def kill(self, *, reset: bool) -> None:
        """As on SIGKILL: connections end where they are."""
        self._close_listener()
        assert self._http is not None
        for connection in list(self._http.connections):
            if connection.transport is not None:
                abort(connection.transport, reset=reset)
        await self._end()

    async def _end(self) -> None:
        self._unlisten()
        for task in list(self._tasks):
            task.cancel()
        for connection in self._accepted:
            connection.close()
        self.gate.set()
        assert self._http is not None
        await self._http.shutdown(CLOSE_SECONDS)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _changed(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.wake)

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        while True:
            await self.gate.wait()
            connection, _ = await self._loop.sock_accept(listener)
            if self.shared.settings.send_buffer_bytes:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.shared.settings.send_buffer_bytes)
            self._accepted.add(connection)
            self.spawn(self._connect(connection, context))

    async def _connect(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        assert self._http is not None
        await self.gate.wait()
        try:
            await self._loop.connect_accepted_socket(self._http, connection, ssl=context)
        except OSError:  # a handshake that failed
            connection.close()
        self._accepted.discard(connection)


def open_listener(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
