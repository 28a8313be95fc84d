# SPDX-License-Identifier: Apache-2.0
"""etcd's key-value store through its JSON gateway (``/v3/kv/range``), which every server of etcd 3.4 or later has.

One endpoint is asked after the other, beginning with the last one that answered, until one answers or the time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from clusterdns.errors import UpstreamError

GET_SECONDS: Final = 5.0
_UNAUTHENTICATED: Final = 401
_AUTH_IS_OFF: Final = "authentication is not enabled"

T = TypeVar("T")


class Reply(Protocol):
    """An HTTP reply."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


class Poster(Protocol):
    """What sends requests: ``HttpClient``."""

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str], seconds: float) -> Reply:
        """Send JSON. Raises UpstreamError."""


class KeyValue(msgspec.Struct, frozen=True):
    """``mvccpb.KeyValue``. ``lease`` is 0 for a key that stays; its number is beyond what JSON numbers hold."""

    key: bytes
    value: bytes = b""
    lease: str = "0"


class _Range(msgspec.Struct):
    kvs: tuple[KeyValue, ...] = ()
    count: str = "0"


class _Lease(msgspec.Struct):
    TTL: str = "0"


class _Token(msgspec.Struct):
    token: str = ""


class _Failure(msgspec.Struct):
    error: str = ""
    message: str = ""


class Gateway:
    """The store.

    endpoints: URLs without a path. user, password: empty for none.
    """

    def __init__(self, poster: Poster, endpoints: tuple[str, ...], user: str = "", password: str = "") -> None:
        self._poster = poster
        self._endpoints = endpoints
        self._user = user
        self._password = password
        self._token = ""
        self._has_token = not (user and password)
        self._authenticating = asyncio.Lock()
        self._first = 0

    async def get(self, key: bytes) -> tuple[KeyValue, ...]:
        """The key, if it is there. Raises UpstreamError."""
        return (await self._range({"key": key})).kvs

    async def get_below(self, prefix: bytes) -> tuple[KeyValue, ...]:
        """All keys with the prefix, in their order. Raises UpstreamError."""
        return (await self._range({"key": prefix, "range_end": range_end(prefix)})).kvs

    async def has_below(self, prefix: bytes) -> bool:
        """True if a key has the prefix. Raises UpstreamError."""
        found = await self._range({"key": prefix, "range_end": range_end(prefix), "limit": 1, "keys_only": True})
        return bool(found.kvs)

    async def remaining_seconds(self, lease: str) -> int:
        """How long a lease still lives, 0 or less if it doesn't. Raises UpstreamError."""
        return int((await self._ask("/v3/lease/timetolive", {"ID": lease}, _Lease)).TTL)

    async def _range(self, request: dict[str, Any]) -> _Range:
        return await self._ask("/v3/kv/range", request, _Range)

    async def _ask(self, path: str, request: dict[str, Any], kind: type[T]) -> T:
        body = msgspec.json.encode(request)
        try:
            async with asyncio.timeout(GET_SECONDS):
                if not self._has_token:
                    await self._authenticate("")
                token = self._token
                reply = await self._post(path, body, token)
                if reply.status == _UNAUTHENTICATED and self._user:
                    await self._authenticate(token)
                    reply = await self._post(path, body, self._token)
        except TimeoutError:
            raise UpstreamError("context deadline exceeded") from None
        return _decode(reply, kind)

    async def _authenticate(self, used: str) -> None:
        """Get a token in the place of the one that was used; only one of those who need one asks for it."""
        async with self._authenticating:
            if self._has_token and self._token != used:
                return
            body = msgspec.json.encode({"name": self._user, "password": self._password})
            reply = await self._post("/v3/auth/authenticate", body, "")
            try:
                self._token = _decode(reply, _Token).token
            except UpstreamError as error:
                if _AUTH_IS_OFF not in str(error):
                    raise
                self._token = ""
            self._has_token = True

    async def _post(self, path: str, body: bytes, token: str) -> Reply:
        """The reply of the first endpoint that has one. Raises UpstreamError with the reason of the last."""
        headers = {"Authorization": token} if token else {}
        number = len(self._endpoints)
        first = self._first
        seconds = GET_SECONDS / number  # one that hangs leaves time for the others
        failure: UpstreamError | None = None
        for place in range(number):
            endpoint = self._endpoints[(first + place) % number]
            try:
                reply = await self._poster.post(endpoint + path, body, headers=headers, seconds=seconds)
            except UpstreamError as error:
                failure = error
                continue
            if reply.status < 500:
                self._first = (first + place) % number
                return reply
            failure = UpstreamError(f"{endpoint}: {_failure_text(reply)}")
        assert failure is not None, "there is an endpoint at least"
        raise failure


def range_end(prefix: bytes) -> bytes:
    """The first key behind all that have the prefix; the octet 0, which means all, where there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"


def _decode(reply: Reply, kind: type[T]) -> T:
    if reply.status != 200:
        raise UpstreamError(_failure_text(reply))
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except msgspec.MsgspecError as error:
        raise UpstreamError(f"not a reply of etcd: {error}") from None


def _failure_text(reply: Reply) -> str:
    try:
        failure = msgspec.json.decode(reply.body, type=_Failure)
    except msgspec.MsgspecError:
        return f"HTTP status {reply.status}"
    return failure.error or failure.message or f"HTTP status {reply.status}"
