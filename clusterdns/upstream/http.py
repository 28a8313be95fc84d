# SPDX-License-Identifier: Apache-2.0
"""HTTP as a client, by aiohttp. Import it only where it is used: it costs time and memory.

For a few servers that are asked small questions again and again: connections are kept, and everything has a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
import msgspec

from clusterdns.errors import UpstreamError

MOST_CONNECTIONS: Final = 64
"""To one server; further requests wait for one of them."""

_KEEPALIVE_SECONDS: Final = 30.0


class HttpReply(msgspec.Struct, frozen=True):
    """Status and whole body."""

    status: int
    body: bytes


class HttpClient:
    """Requests over connections that are kept. It belongs to one event loop.

    context: for ``https://``; most_bytes: of the body of a reply.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(
                ssl=True if context is None else context,
                limit=0,
                limit_per_host=MOST_CONNECTIONS,
                keepalive_timeout=_KEEPALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "clusterdns"},
            raise_for_status=False,
        )

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str], seconds: float) -> HttpReply:
        """Send JSON, and read the whole reply within ``seconds``. Raises UpstreamError if there is none."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.post(
                url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=timeout,
                allow_redirects=False,
            ) as reply:
                return HttpReply(reply.status, await self._read(reply))
        except TimeoutError:
            raise UpstreamError(f"{_origin(url)}: i/o timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"{_origin(url)}: {_reason(error)}") from None

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        chunks = []
        room = self._most_bytes
        async for chunk in reply.content.iter_any():
            room -= len(chunk)
            if room < 0:
                raise ValueError(f"the reply has more than {self._most_bytes} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def close(self) -> None:
        """Close the connections; what is under way fails."""
        await self._session.close()
        await asyncio.sleep(0)


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _reason(error: Exception) -> str:
    """What went wrong, in the words that Go has for it where there are some."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
        return f"tls: failed to verify certificate: {reason}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"tls: {getattr(error.os_error, 'reason', None) or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (error.os_error.strerror or str(error.os_error)).partition(" [")[0].lower()
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error) or type(error).__name__
