# SPDX-License-Identifier: Apache-2.0
"""A connection to modelled API servers, for an event loop with virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from clusterdns.cluster.reflector.requests import Request
from clusterdns.errors import ApiError
from support.model_apiserver import Answer, Replica

POLL_SECONDS = 0.01


class ModelConnection:
    """``replica`` answers; ``opened`` counts answers that haven't been closed."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.opened = 0
        self.closed = False
        self.requests: list[Request] = []

    async def open(
        self, path: str, query: Mapping[str, str], *, headers_seconds: float, accept: str = "application/json"
    ) -> ModelResponse:
        clock = asyncio.get_running_loop().time
        request = Request("watch" if "watch" in query else "list", path, dict(query), accept)
        self.requests.append(request)
        answer = self.replica.ask(request, clock())
        if answer is None:
            raise ApiError("connection refused")
        until = clock() + headers_seconds
        while not answer.status:
            if answer.end == "broken":
                raise ApiError("closed the connection without an answer", cut=True)
            if clock() >= until:
                answer.closed = True
                raise ApiError(f"no answer within {headers_seconds:g} s", timed_out=True, category="no answer")
            await asyncio.sleep(POLL_SECONDS)
        self.opened += 1
        return ModelResponse(self, answer)

    async def close(self) -> None:
        self.closed = True


class ModelResponse:
    """An ApiResponse."""

    def __init__(self, connection: ModelConnection, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._connection = connection
        self._answer = answer

    async def read(self, idle_seconds: float) -> bytes:
        clock = asyncio.get_running_loop().time
        until = clock() + idle_seconds
        while True:
            self._connection.replica.tick(clock())
            if self._answer.parts:
                return self._answer.parts.popleft()
            if self._answer.end == "clean":
                return b""
            if self._answer.end == "broken":
                raise ApiError("connection reset")
            if clock() >= until:
                raise ApiError(f"nothing came for {idle_seconds:g} s", timed_out=True, category="nothing came")
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        if not self._answer.closed:
            self._answer.closed = True
            self._connection.opened -= 1
