# SPDX-License-Identifier: Apache-2.0
"""The time from the start of a server block until its cluster has been read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

HOLD_SECONDS: Final = 1.0
"""The first queries wait so long for the cluster to be read, rather than be told SERVFAIL."""

_LOOK_SECONDS: Final = 0.01


class Opening:
    """Lets the first queries wait for the cluster.

    read: True once it has been read. late: told when that takes longer than ``patience_seconds``.
    """

    def __init__(self, read: Callable[[], bool], late: Callable[[], None], patience_seconds: float) -> None:
        self._read = read
        self._late = late
        self._patience_seconds = patience_seconds
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def holds(self) -> bool:
        """True as long as queries are to wait."""
        return not self._over.done()

    async def wait(self) -> None:
        """Until queries needn't wait any longer: the cluster has been read, or that takes too long."""
        await asyncio.wait([self._over])

    async def run(self) -> None:
        """Look until the cluster has been read or is late."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while not self._read():
                passed_seconds = loop.time() - began
                if passed_seconds > HOLD_SECONDS and self.holds:
                    self._over.set_result(None)
                if passed_seconds > self._patience_seconds:
                    self._late()
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if self.holds:
                self._over.set_result(None)
