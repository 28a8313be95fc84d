# SPDX-License-Identifier: Apache-2.0
"""A running server explains itself to ``clusterdns explain --server``: one question at a time, within bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from clusterdns.app.explain.asking import TOTAL_SECONDS, explain
from clusterdns.app.explain.request import Request
from clusterdns.app.instance import Instance
from clusterdns.errors import ExplainError
from clusterdns.serving.places import parse_place
from clusterdns.transports.control import ControlServer

_GRACE_SECONDS: Final = 10.0
"""Beyond TOTAL_SECONDS: for the step that is under way then."""

_START_SECONDS: Final = 2.0
"""So long a server that has just started is given to read its cluster."""

log = logging.getLogger("clusterdns.explain")


class _Lease:
    """A place where questions are answered."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server

    async def release(self) -> None:
        """Answer there no more."""
        await self._server.close()


class ExplainService:
    """See Explanations.

    instance: the one that runs, None before it does.
    """

    def __init__(self, instance: Callable[[], Instance | None]) -> None:
        self._instance = instance
        self._busy = False

    async def acquire(self, place: str) -> _Lease:
        """See Explanations."""
        server = ControlServer(parse_place(place), self.answer)
        await server.start()
        return _Lease(server)

    async def answer(self, line: bytes) -> bytes:
        """A Request in JSON to a Report in JSON, or to an object with ``error``."""
        if self._busy:
            return _error("another name is being explained: try again")
        self._busy = True
        try:
            async with asyncio.timeout(TOTAL_SECONDS + _GRACE_SECONDS):
                return await self._explain(line)
        except TimeoutError:
            return _error("it takes too long")
        except (ExplainError, msgspec.DecodeError) as error:
            return _error(str(error))
        except Exception as error:
            log.error("explaining failed: %s: %s", type(error).__name__, error, exc_info=error)
            return _error("the server failed to explain this; its log tells more")
        finally:
            self._busy = False

    async def _explain(self, line: bytes) -> bytes:
        request = msgspec.json.decode(line, type=Request)
        instance = self._instance()
        if instance is None:
            raise ExplainError("the server is starting")
        await instance.wait_ready(_START_SECONDS)
        return msgspec.json.encode(await explain(instance, request))


def _error(message: str) -> bytes:
    return msgspec.json.encode({"error": message})
