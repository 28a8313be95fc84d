# SPDX-License-Identifier: Apache-2.0
"""The admin HTTP servers: one for each address, with ``/health``, ``/ready`` and ``/metrics`` on it as asked for.

A server opens with the first path on its address and closes with the last. On a reload the new plugins take their paths
before the old ones give theirs up, so an address that stays never closes, and a new one that can't be had is found out
while the old configuration still runs.

aiohttp takes about a quarter of a second and 17 MiB to import, so it is imported when the first address is asked for,
in a thread of its own: DNS is answered meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import logging
import socket
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING

import msgspec

from clusterdns.errors import LifecycleError
from clusterdns.serving.capabilities import HttpAnswer, HttpHandler

if TYPE_CHECKING:
    from clusterdns.transports import http

BACKLOG = 64

log = logging.getLogger("clusterdns.admin")

_NOT_FOUND: HttpAnswer = (404, "text/plain; charset=utf-8", b"404 page not found\n")


class Request(msgspec.Struct, frozen=True):
    """See HttpRequest."""

    path: str
    headers: dict[str, str]
    query: dict[str, str]


class PathLease:
    """See HttpLease."""

    def __init__(self, server: _AddressServer, path: str, handler: HttpHandler) -> None:
        self._server = server
        self._path = path
        self._handler = handler
        self._released = False

    @property
    def url(self) -> str:
        """See HttpLease."""
        return f"http://{self._server.authority}{self._path}"

    async def release(self) -> None:
        """Give the path up; the address closes with its last path. More than one call does no harm."""
        if not self._released:
            self._released = True
            await self._server.remove(self._path, self._handler)


class AdminServers:
    """See HttpEndpoints. It belongs to one event loop."""

    def __init__(self) -> None:
        self._servers: dict[str, _AddressServer] = {}

    async def acquire(self, address: str, path: str, handler: HttpHandler) -> PathLease:
        """See HttpEndpoints."""
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = _AddressServer(address)
        await server.add(path, handler)
        return PathLease(server, path, handler)


class _AddressServer:
    """The paths of one address. ``paths`` holds the handlers of each, the newest last."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._paths: dict[str, list[HttpHandler]] = {}
        self._changing = asyncio.Lock()
        self._running: http.HttpServer | None = None
        self.authority = address

    async def add(self, path: str, handler: HttpHandler) -> None:
        async with self._changing:
            if self._running is None:
                await self._open()
            self._paths.setdefault(path, []).append(handler)

    async def remove(self, path: str, handler: HttpHandler) -> None:
        async with self._changing:
            handlers = self._paths[path]
            # The newest one first: a handler may have been taken twice.
            del handlers[len(handlers) - 1 - handlers[::-1].index(handler)]
            if not handlers:
                del self._paths[path]
            if not self._paths and self._running is not None:
                running, self._running = self._running, None
                await running.close()

    async def _open(self) -> None:
        host, _, port_text = self._address.rpartition(":")
        listener = await open_listener(host.removeprefix("[").removesuffix("]"), int(port_text))
        try:
            http = await asyncio.to_thread(importlib.import_module, "clusterdns.transports.http")
            self._running = await http.serve(listener, self._answer)
        except BaseException:
            listener.close()
            raise
        self.authority = _authority(listener)

    def _answer(
        self, path: str, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> HttpAnswer | Awaitable[HttpAnswer]:
        handlers = self._paths.get(path)
        if not handlers:
            return _NOT_FOUND
        return handlers[-1](Request(path, {key.lower(): value for key, value in headers.items()}, dict(query)))


def _authority(listener: socket.socket) -> str:
    """Where the listener is reached from this machine, as a URL has it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        return f"127.0.0.1:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def open_listener(host: str, port: int) -> socket.socket:
    """A listening TCP socket; an empty host means all addresses of both families. Raises LifecycleError.

    It shares its port with other processes that ask for that (SO_REUSEPORT), as CoreDNS's do: while one process takes
    over from another, both may listen.
    """
    if not host:
        try:
            return _listen(socket.AF_INET6, ("::", port, 0, 0), ":", dual_stack=True)
        except LifecycleError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
        return _listen(socket.AF_INET, ("0.0.0.0", port), ":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LifecycleError(f"listen tcp {host}:{port}: lookup {host}: {error.strerror or error}") from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)  # a name is an IPv4 address if it can be, as in Go
    family, _, _, _, address = found[0]
    return _listen(family, address, host)


def _listen(family: int, address: tuple[object, ...], host: str, *, dual_stack: bool = False) -> socket.socket:
    listener = None
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        if listener is not None:
            listener.close()
        place = f":{address[1]}" if host == ":" else f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
        reason = (error.strerror or str(error)).lower()
        raise LifecycleError(f"listen tcp {place}: bind: {reason}") from error
    return listener
