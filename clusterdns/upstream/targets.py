# SPDX-License-Identifier: Apache-2.0
"""The upstreams that a list of words means today: addresses, files like resolv.conf and host names."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from clusterdns.dns import names
from clusterdns.dns.types import AAAA, IN, A
from clusterdns.errors import UpstreamError
from clusterdns.serving.query import Client as Asking
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.upstream.address import TLS, Endpoint, Named, parse_resolv_conf
from clusterdns.upstream.client import Client

_NAME_SECONDS: Final = 30.0
"""Host names are looked up again after this time."""

_HEADER: Final = b"\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"

LookUp = Callable[[str], Awaitable[list[str]]]
"""Gives the IP addresses of a host name. Raises UpstreamError."""

_Signature = tuple[int, int, int]


class Targets:
    """Files are read again when they change, host names looked up again after a while."""

    def __init__(self, entries: Sequence[Endpoint | Named], look_up: LookUp, path: Callable[[str], str]) -> None:
        self._entries = tuple(entries)
        self._look_up = look_up
        self._path = path
        self._files: dict[str, _Signature | None] = {}
        self._has_names = False
        self._looked_up = 0.0

    async def load(self, now: float) -> tuple[Endpoint, ...]:
        """The upstreams, each once, in the order of the words. Raises UpstreamError; then nothing has changed."""
        found: dict[Endpoint, None] = {}
        files: dict[str, _Signature | None] = {}
        has_names = False
        for entry in self._entries:
            if isinstance(entry, Endpoint):
                found[entry] = None
                continue
            path = self._path(entry.text)
            signature = _signature(path)
            if signature is not None:
                files[path] = signature
                found.update(dict.fromkeys(_read(path)))
            elif entry.is_name:
                has_names = True
                found.update(dict.fromkeys(await self._resolve(entry)))
            else:
                raise UpstreamError(f'failed to resolve "{entry.text}": open {path}: no such file or directory')
        if not found:
            raise UpstreamError("no valid upstream addresses found")
        self._files, self._has_names, self._looked_up = files, has_names, now
        return tuple(found)

    async def _resolve(self, entry: Named) -> list[Endpoint]:
        try:
            addresses = await self._look_up(entry.host)
        except UpstreamError as error:
            raise UpstreamError(f'failed to resolve "{entry.host}": {error}') from None
        server_name = entry.host.rstrip(".") if entry.transport == TLS else ""
        return [Endpoint(address, entry.port, entry.transport, server_name) for address in addresses]

    def may_have_changed(self, now: float) -> bool:
        """True if it is worth to load again."""
        if self._has_names and now - self._looked_up >= _NAME_SECONDS:
            return True
        return any(_signature(path) != signature for path, signature in self._files.items())


def _signature(path: str) -> _Signature | None:
    """What changes with a file; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: str) -> tuple[Endpoint, ...]:
    try:
        return parse_resolv_conf(Path(path).read_text("utf-8", "replace"))
    except OSError as error:
        raise UpstreamError(f"open {path}: {(error.strerror or str(error)).lower()}") from None


async def look_up_by_system(host: str) -> list[str]:
    """The addresses that the system's resolver knows. Raises UpstreamError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        raise UpstreamError(f"lookup {host}: no such host") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def look_up_by(client: Client) -> LookUp:
    """A look-up that asks the client's servers for A and AAAA records."""

    async def look_up(host: str) -> list[str]:
        found: list[str] = []
        error = ""
        name = names.from_text(host)
        for qtype, family in ((A, socket.AF_INET), (AAAA, socket.AF_INET6)):
            packet = _HEADER + name + qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
            query = Query(packet, Asking("udp", "127.0.0.1", 0, "127.0.0.1", 0))
            reply = client.ask(query)
            if not isinstance(reply, Reply):
                reply = await reply
            error = error or reply.error
            answer = reply.records(query).answer
            found += [socket.inet_ntop(family, each.data) for each in answer if each.rtype == qtype]
        if not found:
            raise UpstreamError(f"lookup {host}: {error or 'no such host'}")
        return found

    return look_up
