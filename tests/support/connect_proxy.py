# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy for one test: it tunnels (CONNECT), forwards GETs of absolute URLs as they are, or refuses."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Proxy:
    """What was asked of it, as first lines of requests, and its port."""

    def __init__(self, status=200):
        self.asked = []
        self.port = 0
        self._status = status

    async def serve(self, reader, writer):
        first = await reader.readline()
        self.asked.append(first.decode().strip())
        head = b""
        while (line := await reader.readline()) not in (b"\r\n", b""):
            head += line
        method, target, _ = first.decode().split()
        if self._status != 200:
            writer.write(f"HTTP/1.1 {self._status} No\r\nContent-Length: 0\r\n\r\n".encode())
        elif method == "CONNECT":
            host, _, port = target.rpartition(":")
            await self._tunnel(reader, writer, host, int(port), b"HTTP/1.1 200 OK\r\n\r\n", b"")
        else:
            parts = urlsplit(target)
            await self._tunnel(reader, writer, parts.hostname, parts.port, b"", first + head + b"\r\n")
        writer.close()

    async def _tunnel(self, reader, writer, host, port, back, forth):
        there, here = await asyncio.open_connection(host, port)
        writer.write(back)
        here.write(forth)
        await asyncio.gather(_copy(reader, here), _copy(there, writer))


async def _copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


@asynccontextmanager
async def running(status=200):
    """A proxy on 127.0.0.1 that answers CONNECT with this status."""
    proxy = Proxy(status)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
