# SPDX-License-Identifier: Apache-2.0
"""Requests to answers: authentication, then discovery, lists, watches and writes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Mapping

import msgspec
from aiohttp import web

from clusterdns.testing.apiserver.access import forbidden
from clusterdns.testing.apiserver.discovery import OPEN_PATHS, describe
from clusterdns.testing.apiserver.faults import Fault
from clusterdns.testing.apiserver.instance import Instance, Request
from clusterdns.testing.apiserver.listing import encode_list, list_page, parse_list
from clusterdns.testing.apiserver.output import Output, Stopped
from clusterdns.testing.apiserver.resources import Target, parse_path
from clusterdns.testing.apiserver.selection import Selection
from clusterdns.testing.apiserver.statuses import ApiStatus, unavailable
from clusterdns.testing.apiserver.watching import Watcher, parse_watch, too_old
from clusterdns.testing.apiserver.writing import VERBS, write

GZIP_FROM_BYTES = 128 * 1024
BLOCKED_SECONDS = 0.05
BEFORE_THE_END_SECONDS = 2.0
"""A last bookmark comes so long before the end of a watch."""

JSON = "application/json"


class Answering:
    """Answers the requests of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._shared = instance.shared

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Cancelled when the client goes."""
        await self._instance.gate.wait()
        target = parse_path(request.path, self._shared.storage.resources)
        query = dict(request.query)
        seen = Request(
            _verb(request.method, target, query) if target else "",
            target.resource.plural if target else "",
            request.method,
            request.path,
            query,
            {name.lower(): value for name, value in request.headers.items()},
        )
        self._shared.requests.append(seen)
        fault = self._shared.faults.take(seen.verb, seen.resource)
        output = Output(request, self._instance.gate, fault)
        try:
            return await self._answer(request, seen, target, output, fault)
        except ApiStatus as status:
            seen.status = status.code
            headers = {"Content-Type": JSON}
            if status.retry_after_seconds is not None:
                headers["Retry-After"] = str(status.retry_after_seconds)
            return await _whole(output, status.code, status.encode() + b"\n", headers)
        except (Stopped, ConnectionError):
            return web.Response()  # goes nowhere: the connection is gone

    async def _answer(
        self, request: web.BaseRequest, seen: Request, target: Target | None, output: Output, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is not None:
            if fault.call is not None:
                fault.call()
            await asyncio.sleep(fault.delay_seconds)
            if fault.status:
                seen.status = fault.status
                headers = {"Content-Type": fault.content_type}
                if fault.retry_after:
                    headers["Retry-After"] = fault.retry_after
                return await _whole(output, fault.status, fault.body, headers)
        if self._instance.stopping:
            raise unavailable("apiserver is shutting down")
        certificate = request.get_extra_info("peercert")
        seen.user = self._shared.access.user(request.headers.get("Authorization", ""), certificate)
        if target is None:
            return await self._describe(request, seen, output)
        if asyncio.get_running_loop().time() < self._instance.forbidden_until:
            raise forbidden(seen.user, seen.verb, target)
        self._shared.access.check(seen.user, seen.verb, target)
        match seen.verb:
            case "list":
                return await self._list(request, seen, target, output)
            case "watch":
                return await self._watch(seen, target, output)
            case "get":
                await self._need_storage(output, seen.query.get("resourceVersion") != "0")
                body = self._shared.storage.get(target.resource, target.namespace, target.name).whole
                return await self._small(request, seen, output, 200, body)
        await self._need_storage(output, True)
        data = await request.read()
        status, body = write(
            self._shared.storage, request.method, target, data, request.headers.get("Content-Type", JSON), seen.query
        )
        return await self._small(request, seen, output, status, body)

    async def _describe(self, request: web.BaseRequest, seen: Request, output: Output) -> web.StreamResponse:
        body = describe(request.path, self._shared.storage.resources)
        if body is None or request.method not in ("GET", "HEAD"):
            raise ApiStatus(404, "NotFound", "the server could not find the requested resource")
        if request.path in OPEN_PATHS and request.path != "/version":
            seen.status = 200
            return await _whole(output, 200, body, {"Content-Type": "text/plain; charset=utf-8"})
        return await self._small(request, seen, output, 200, body)

    async def _small(
        self, request: web.BaseRequest, seen: Request, output: Output, status: int, body: bytes
    ) -> web.StreamResponse:
        seen.status = status
        if _pretty(request):
            body = msgspec.json.format(body, indent=2)
        return await _whole(output, status, body + b"\n", {"Content-Type": JSON})

    async def _need_storage(self, output: Output, needed: bool) -> None:
        """Wait while the storage is lost, and cut the connection when that takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._shared.settings.storage_seconds
        while needed and self._instance.storage_lost:
            if loop.time() >= deadline:
                await output.tear(reset=False)
                raise Stopped
            await asyncio.sleep(0.01)

    async def _list(
        self, request: web.BaseRequest, seen: Request, target: Target, output: Output
    ) -> web.StreamResponse:
        query = parse_list(seen.query)
        selection = Selection(target, seen.query)
        await self._need_storage(output, query.consistent)
        if query.revision and query.match != "Exact":
            await self._wait_for(query.revision)
        page = list_page(self._shared.storage, self._instance.heard_of, target, query, selection)
        pieces = encode_list(
            target, page, metadata_only="as=PartialObjectMetadataList" in request.headers.get("Accept", "")
        )
        seen.status = 200
        if _pretty(request):
            return await _whole(output, 200, msgspec.json.format(b"".join(pieces), indent=2), {"Content-Type": JSON})
        begun: list[bytes] = []
        size = 0
        for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if size >= GZIP_FROM_BYTES:
                break
        else:
            return await _whole(output, 200, b"".join(begun), {"Content-Type": JSON})
        begun = [b"".join(begun)]
        zipped = self._shared.settings.gzip and "gzip" in request.headers.get("Accept-Encoding", "")
        await output.begin(200, {"Content-Type": JSON} | ({"Content-Encoding": "gzip"} if zipped else {}))
        for data in _chain(begun, _gzip(begun, pieces) if zipped else pieces, zipped):
            await output.write(data)
            await asyncio.sleep(0)
        return await output.end()

    async def _wait_for(self, revision: int) -> None:
        """Wait until the server has heard of a revision. Raises ApiStatus 504 where that takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._shared.settings.future_seconds
        while self._instance.heard_of < revision:
            if loop.time() >= deadline:
                raise ApiStatus(
                    504,
                    "Timeout",
                    f"Too large resource version: {revision}, current: {self._instance.heard_of}",
                    retry_after_seconds=1,
                    cause="ResourceVersionTooLarge",
                )
            await asyncio.sleep(0.01)

    async def _watch(self, seen: Request, target: Target, output: Output) -> web.StreamResponse:
        query = parse_watch(seen.query, self._shared.settings.streamed_lists)
        watcher = Watcher(
            self._shared.storage,
            target,
            Selection(target, seen.query),
            query,
            metadata_only="as=PartialObjectMetadata" in seen.headers.get("accept", ""),
            bookmark_seconds=self._shared.settings.bookmark_seconds,
        )
        await self._need_storage(output, query.revision is None)
        first = watcher.begin(self._instance.heard_of, self._instance.oldest)
        self._instance.watchers.add(watcher)
        try:
            seen.status = 200
            await output.begin(200, {"Content-Type": JSON})
            for index in range(0, len(first), 100):
                await output.write(b"".join(first[index : index + 100]))
            return await self._stream(watcher, output)
        finally:
            self._instance.watchers.discard(watcher)

    async def _stream(self, watcher: Watcher, output: Output) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        began = loop.time()
        timeout = watcher.query.timeout_seconds
        if timeout > 2 * BEFORE_THE_END_SECONDS:
            watcher.next_bookmark_seconds = min(watcher.next_bookmark_seconds, timeout - BEFORE_THE_END_SECONDS)
        while True:
            await self._instance.gate.wait()
            watcher.wake.clear()
            if watcher.ending is not None:
                return await _end_watch(watcher, output)
            elapsed = loop.time() - began
            heard_of = self._instance.heard_of
            lines = watcher.due(heard_of) or watcher.bookmark(heard_of, elapsed)
            if lines:
                sent_at = loop.time()
                await output.write(b"".join(lines))
                blocked = loop.time() - sent_at > BLOCKED_SECONDS
                if blocked and watcher.behind(self._instance.heard_of) > self._shared.settings.slow_reader_events:
                    watcher.ending = "clean"
                continue
            if elapsed >= timeout:
                return await output.end()
            until = min(timeout, watcher.next_bookmark_seconds if watcher.query.bookmarks else timeout)
            try:
                async with asyncio.timeout(max(0.001, until - elapsed)):
                    await watcher.wake.wait()
            except TimeoutError:
                continue


async def _end_watch(watcher: Watcher, output: Output) -> web.StreamResponse:
    ending = watcher.ending
    if ending == "expired":
        await output.write(too_old(watcher.cursor, watcher.cursor))
    elif ending in ("half line", "half line, clean"):
        await output.write(b'{"type":"MODIFIED","object":{"metadata":{"name":"ha')
    if ending in ("clean", "expired", "half line, clean"):
        return await output.end()
    await output.tear(reset=ending == "reset")
    raise Stopped


async def _whole(output: Output, status: int, body: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    await output.begin(status, headers, len(body))
    await output.write(body)
    return await output.end()


def _verb(method: str, target: Target, query: Mapping[str, str]) -> str:
    if method not in ("GET", "HEAD"):
        verb = VERBS.get(method, method.lower())
        return "deletecollection" if verb == "delete" and not target.name else verb
    if query.get("watch") in ("true", "1"):
        return "watch"
    return "get" if target.name else "list"


def _pretty(request: web.BaseRequest) -> bool:
    return request.headers.get("User-Agent", "").startswith("curl") or request.query.get("pretty") == "true"


def _gzip(begun: list[bytes], pieces: Iterator[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in (*begun, *pieces):
        if data := squeeze.compress(piece):
            yield data
    yield squeeze.flush()


def _chain(begun: list[bytes], pieces: Iterator[bytes], zipped: bool) -> Iterator[bytes]:
    if not zipped:
        yield from begun
    yield from pieces
