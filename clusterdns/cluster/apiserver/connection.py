# SPDX-License-Identifier: Apache-2.0
"""HTTP to one API server. The owner of aiohttp here, which is imported for the first request, on another thread: that
takes a tenth of a second, and queries come in by then.

A connection opens requests one by one and gives out their bodies as they come, in pieces of any size. It knows about
TLS, tokens, proxies, rates and metrics, and nothing of what is in the bodies.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlencode, urlsplit

from clusterdns._version import __version__
from clusterdns.cluster.apiserver.access import Credentials
from clusterdns.cluster.apiserver.explanations import not_json, unreachable
from clusterdns.cluster.apiserver.metrics import RestMetrics
from clusterdns.cluster.apiserver.options import ApiServerOptions
from clusterdns.cluster.apiserver.proxies import environment_proxy
from clusterdns.cluster.apiserver.signing import Signer
from clusterdns.cluster.apiserver.throttle import Inflight, TokenBucket
from clusterdns.errors import ApiError
from clusterdns.observability.metrics import Registry

if TYPE_CHECKING:
    import aiohttp

JSON = "application/json"
READ_BUFFER_BYTES = 64 * 1024
"""Twice as much is read ahead of whoever reads a body; then the API server has to wait."""

KEEPALIVE_SECONDS = 30.0
"""Of a connection between two requests: the pages of a list come one after the other."""

USER_AGENT = f"clusterdns/{__version__} ({platform.system().lower()}/{platform.machine()})"


class ApiResponse(Protocol):
    """An answer whose header is there.

    status: of HTTP; headers: with lower-case names.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    async def read(self, idle_seconds: float) -> bytes:
        """The next piece of the body; empty at its proper end. Raises ApiError for a body that broke off, and when
        nothing came for so long.
        """

    async def close(self) -> None:
        """Be done with it, whatever of it is still to come. May be called again."""


class ApiConnection:
    """One API server.

    credentials: where it is, and as whom to ask.
    options: how fast.
    registry: gets CoreDNS' metrics of requests; None for none.

    Raises ApiError for files that the credentials name and that can't be used. No connection is made yet.
    """

    def __init__(
        self,
        credentials: Credentials,
        options: ApiServerOptions | None = None,
        registry: Registry | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        options = options or ApiServerOptions()
        self.server = credentials.server
        self.host = urlsplit(credentials.server).netloc.rpartition("@")[2]
        """``address:port`` of the URL, for metrics."""
        self._credentials = credentials
        self._proxy = credentials.proxy or environment_proxy(credentials.server, environ)
        self._metrics = RestMetrics(registry or Registry(), self.host)
        self._bucket = TokenBucket(options.qps, options.burst)
        self._inflight = Inflight(options.max_inflight)
        self._signer = Signer(credentials)
        self._session: aiohttp.ClientSession | None = None
        self._imported = False
        self._importing = asyncio.Lock()

    async def open(
        self, path: str, query: Mapping[str, str], *, headers_seconds: float, accept: str = JSON
    ) -> ApiResponse:
        """GET ``path?query``; returns when the header of the answer is there.

        headers_seconds: for the connection, TLS and the wait for the header together.
        accept: as ``application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1``; JSON in any case.

        An answer of any status is returned, but for 200 with something else than JSON. Raises ApiError.
        """
        await self._import_aiohttp()
        self._metrics.waited(await self._bucket.wait())
        leave = await self._inflight.enter()
        try:
            response = await self._ask(path, query, headers_seconds, accept, leave)
        except BaseException:
            leave()
            raise
        if query.get("watch"):
            leave()  # only what ends by itself counts as under way
        return response

    async def close(self) -> None:
        """End all connections. Afterwards another ``open`` begins anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _import_aiohttp(self) -> None:
        # What sys.modules has may be half imported, and then an import statement waits for the other half.
        if self._imported:
            return
        async with self._importing:
            if not self._imported:
                await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._imported = True

    async def _ask(
        self, path: str, query: Mapping[str, str], seconds: float, accept: str, leave: Callable[[], None]
    ) -> _Response:
        headers = {
            "Accept": accept,
            # What comes in one go is worth it. A watch would be kept in the compressor of a proxy.
            "Accept-Encoding": "identity" if query.get("watch") else "gzip",
            "User-Agent": USER_AGENT,
        }
        url = f"{self.server}{path}?{urlencode(query, quote_via=quote)}" if query else f"{self.server}{path}"
        signed = await self._signer.sign()
        response = await self._get(url, {**headers, **signed.headers}, signed.tls, seconds)
        if response.status == 401 and self._signer.renew(signed):
            response.close()
            signed = await self._signer.sign()
            response = await self._get(url, {**headers, **signed.headers}, signed.tls, seconds)
        found = _Response(response, self.server, leave)
        content_type = found.headers.get("content-type", "")
        if response.status == 200 and content_type.partition(";")[0].strip() != JSON:
            await found.close()
            raise not_json(content_type, path.rpartition("/")[2])
        return found

    async def _get(
        self, url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, seconds: float
    ) -> aiohttp.ClientResponse:
        import aiohttp

        session = self._session or self._open_session()
        clock = asyncio.get_running_loop().time
        began = clock()
        status = 0
        try:
            async with asyncio.timeout(seconds):
                response = await session.get(
                    url,
                    headers=headers,
                    allow_redirects=False,
                    ssl=tls if tls is not None else True,
                    server_hostname=self._credentials.server_name or None,
                    proxy=self._proxy or None,
                )
            status = response.status
        except TimeoutError:
            raise ApiError(
                f"{self.server}: no answer within {seconds:g} s",
                "it hangs, or packets are dropped on the way; check kube-proxy of this node, and network policies",
                timed_out=True,
                category=f"{self.server}: no answer",
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explain(self.server, self._proxy, error) from error
        finally:
            self._metrics.answered(status, clock() - began)
        return response

    def _open_session(self) -> aiohttp.ClientSession:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BUFFER_BYTES,
        )
        return self._session


class _Response:
    """An ApiResponse of aiohttp's."""

    def __init__(self, response: aiohttp.ClientResponse, server: str, leave: Callable[[], None]) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._server = server
        self._leave = leave

    async def read(self, idle_seconds: float) -> bytes:
        import aiohttp

        try:
            async with asyncio.timeout(idle_seconds):
                data = await self._response.content.readany()
        except TimeoutError:
            silence = f"{self._server}: nothing came"
            raise ApiError(f"{silence} for {idle_seconds:.0f} s", timed_out=True, category=silence) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = "connection reset" if isinstance(error, ConnectionResetError) else "its end is missing"
            raise ApiError(f"{self._server}: the answer broke off ({reason})") from error
        if not data:
            self._leave()
        return data

    async def close(self) -> None:
        self._leave()
        self._response.close()


def _explain(server: str, proxy: str, error: Exception) -> ApiError:
    """An error of aiohttp by what is below it, the proxy's errors as such."""
    import aiohttp

    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return unreachable(f"proxy {_without_password(proxy)}", error.os_error)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ApiError(f"proxy {_without_password(proxy)}: {error.status} {error.message}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return unreachable(server, error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return unreachable(server, error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return ApiError(f"{server}: closed the connection without an answer", cut=True)
    explained = unreachable(server, error)
    explained.cut = isinstance(error, aiohttp.ClientOSError)  # of the exchange; those of connecting are above
    return explained


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
