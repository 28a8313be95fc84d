# SPDX-License-Identifier: Apache-2.0
"""A store that follows API servers over real sockets, on an event loop of its own thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from clusterdns.cluster.apiserver.access import Credentials
from clusterdns.cluster.apiserver.connection import ApiConnection
from clusterdns.cluster.apiserver.source import ApiServerSource
from clusterdns.cluster.changes import Change, ChangeSet
from clusterdns.cluster.items import ItemDecoder
from clusterdns.cluster.objects import Key, Kind, Object
from clusterdns.cluster.store import Store
from clusterdns.testing.apiserver import Storage
from clusterdns.testing.apiserver.stored import Stored

SETTLE_SECONDS = 15.0
KINDS: tuple[Kind, ...] = ("Namespace", "Service", "EndpointSlice")


def everything(stored: Stored) -> bool:
    return True


class Follower:
    """Follows what ``url`` serves.

    changes: what the store told its subscribers, in order.
    """

    def __init__(self, url: str, *, kinds: tuple[Kind, ...] = KINDS, token: str = "", **options: Any) -> None:
        self.store = Store()
        self.changes: list[Change] = []
        self.kinds = kinds
        self.store.subscribe(self._note)
        self._credentials = Credentials(url, "a test", token=token)
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.source: ApiServerSource

    def _note(self, changes: ChangeSet) -> None:
        self.changes.extend(changes)

    def __enter__(self) -> Follower:
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._connection = ApiConnection(self._credentials, environ={})
        self.source = ApiServerSource(self._connection, **self._options)
        for kind in self.kinds:
            self.source.want(kind)
        self.source.start(self.store.apply_all)

    async def _stop(self) -> None:
        await self.source.stop()
        await self._connection.close()

    def call(self, work: Any) -> Any:
        """Run a coroutine on the follower's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30.0)

    def block(self, seconds: float) -> None:
        """Keep the follower from doing anything for so long, as a stopped process or a busy machine does."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    def objects(self, kind: Kind) -> dict[Key, Object]:
        async def look() -> dict[Key, Object]:
            return {each.key: each for each in self.store.objects(kind)}

        found: dict[Key, Object] = self.call(look())
        return found

    def differences(self, storage: Storage, selected: Callable[[Stored], bool] = everything) -> dict[str, set[Key]]:
        """By kind, the keys of objects that a fresh list would give otherwise than the store has them."""
        found = {}
        for kind in self.kinds:
            here, there = self.objects(kind), fresh(storage, kind, selected)
            wrong = {key for key in here.keys() | there.keys() if here.get(key) != there.get(key)}
            if wrong or kind not in self.store.synced:
                found[kind] = wrong
        return found

    def settle(
        self, storage: Storage, selected: Callable[[Stored], bool] = everything, seconds: float = SETTLE_SECONDS
    ) -> None:
        """Wait until the store equals what the server has. Fails with what differs."""
        deadline = time.monotonic() + seconds
        while (wrong := self.differences(storage, selected)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert wrong == {}

    def wait(self, condition: Callable[[], bool], seconds: float = SETTLE_SECONDS) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.005)


def fresh(storage: Storage, kind: Kind, selected: Callable[[Stored], bool] = everything) -> dict[Key, Object]:
    """What a fresh start would have of a kind."""
    decoder = ItemDecoder(kind)
    resource = storage.resource({"kind": kind})
    items = [decoder.item(each.whole) for each in storage.ordered(resource, storage.revision) if selected(each)]
    return {item.object.key: item.object for item in items if item.object is not None}
