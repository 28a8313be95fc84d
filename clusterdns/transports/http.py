# SPDX-License-Identifier: Apache-2.0
"""HTTP over one listening socket, by aiohttp. Import it only where a server is opened: it costs time and memory.

The other side is a probe or a scraper, or whoever reaches the port: messages are small, connections few, and one that
doesn't say what it wants is closed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from aiohttp import web

from clusterdns.serving.capabilities import HttpAnswer

MAX_CONNECTIONS = 256
BACKLOG = 128
MAX_LINE_BYTES = 4096
MAX_HEADER_BYTES = 8190
REQUEST_SECONDS = 10.0
"""From the connection to the end of its first request's header."""

KEEPALIVE_SECONDS = 75.0
"""Between requests: longer than a scrape interval of one minute."""

CLOSE_SECONDS = 2.0

Answer: TypeAlias = Callable[[str, Mapping[str, str], Mapping[str, str]], HttpAnswer | Awaitable[HttpAnswer]]
"""Path, headers and the arguments behind ``?`` to the answer."""

log = logging.getLogger("clusterdns.admin")


class HttpServer:
    """A server that runs."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        # Connections that have not asked yet, each with the end of its time.
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        # All connections, and some that are gone; the one that has been quiet longest is first.
        self._by_use: dict[web.RequestHandler, None] = {}
        self._server = web.Server(
            self._handle,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            lingering_time=0,
            tcp_keepalive=True,
        )
        self._listening: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Serve on the socket, which is the server's from now on."""
        self._listening = await asyncio.get_running_loop().create_server(
            self._connection, sock=listener, backlog=BACKLOG
        )

    async def close(self) -> None:
        """End the server and its connections; a request that is being answered may finish."""
        if self._listening is not None:
            self._listening.close()
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()
        await self._server.shutdown(CLOSE_SECONDS)

    def _connection(self) -> asyncio.BaseProtocol:
        self._make_room()
        protocol = self._server()
        self._by_use[protocol] = None
        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(REQUEST_SECONDS, self._close_silent, protocol)
        return protocol

    def _make_room(self) -> None:
        """Close what has been quiet longest, so that idle connections don't keep a probe out."""
        connections = self._server.connections
        if len(connections) < MAX_CONNECTIONS:
            return
        living = set(connections)
        self._by_use = {protocol: None for protocol in self._by_use if protocol in living}
        for protocol in list(self._by_use)[: len(connections) - MAX_CONNECTIONS + 1]:
            del self._by_use[protocol]
            protocol.force_close()

    def _close_silent(self, protocol: web.RequestHandler) -> None:
        del self._silent[protocol]
        protocol.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._by_use.pop(request.protocol, None)
        self._by_use[request.protocol] = None
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        try:
            answer = self._answer(request.path, request.headers, request.query)
            status, content_type, body = await answer if isinstance(answer, Awaitable) else answer
        except Exception as error:
            log.error("answering %s failed: %s: %s", request.path, type(error).__name__, error, exc_info=error)
            status, content_type, body = 500, "text/plain; charset=utf-8", b"500 internal server error\n"
        return web.Response(status=status, body=body, headers={"Content-Type": content_type, "Server": "clusterdns"})


async def serve(listener: socket.socket, answer: Answer) -> HttpServer:
    """Serve HTTP on a listening socket."""
    server = HttpServer(answer)
    await server.listen(listener)
    return server
