# SPDX-License-Identifier: Apache-2.0
"""The services of names, as one query sees them: each key is read once, and there is a bound on how many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from clusterdns.errors import UpstreamError
from clusterdns.plugins.etcd.gateway import KeyValue
from clusterdns.plugins.etcd.service import DEFAULT_PRIORITY, Service, Tree, decode_service, group, ttl_seconds

MOST_READS: Final = 100
"""For one query: aliases may lead to one another."""

MOST_LEASES: Final = 100


class KeyValueStore(Protocol):
    """What is asked of etcd: ``Gateway``."""

    async def get(self, key: bytes) -> tuple[KeyValue, ...]: ...

    async def get_below(self, prefix: bytes) -> tuple[KeyValue, ...]: ...

    async def has_below(self, prefix: bytes) -> bool: ...

    async def remaining_seconds(self, lease: str) -> int: ...


class LeaseBounds(msgspec.Struct, frozen=True):
    """The least and the largest TTL in seconds that comes of a lease."""

    least: int = 30
    most: int = 86400


class Services:
    """What etcd says, for one query.

    complain: told about values that are no messages: key and reason.
    found: how many values there are at each key that was read, and below each that ends with a slash.
    """

    def __init__(
        self, store: KeyValueStore, tree: Tree, bounds: LeaseBounds, complain: Callable[[str, str], None]
    ) -> None:
        self.tree = tree
        self.found: dict[str, int] = {}
        self._store = store
        self._bounds = bounds
        self._complain = complain
        self._read: dict[tuple[bytes, bool], tuple[Service, ...] | None] = {}
        self._lease_seconds: dict[str, int | None] = {}

    async def at(self, key: bytes, *, exact: bool = False, texts: bool = False) -> list[Service] | None:
        """The services of a name in lower case, with their TTLs; None if no key speaks of it. Raises UpstreamError.

        exact: those of the very key only, not those below it.
        texts: also those with a text and no host.
        """
        if (key, exact) not in self._read:
            if len(self._read) >= MOST_READS:
                raise UpstreamError(f"more than {MOST_READS} names have to be looked up")
            self._read[key, exact] = await self._find(key, exact)
        found = self._read[key, exact]
        if found is None:
            return None
        shown = group([service for service in found if service.host or (texts and service.text)])
        await self._learn_leases(service.lease for service in shown)
        return [
            msgspec.structs.replace(
                service,
                ttl=ttl_seconds(service, self._lease_seconds.get(service.lease)),
                priority=service.priority or DEFAULT_PRIORITY,
            )
            for service in shown
        ]

    async def exist(self, key: bytes) -> bool:
        """True if a key speaks of a name or of one below it. Raises UpstreamError."""
        place = self.tree.place(key)
        if place is None:
            return False
        return bool(await self._store.get(place.key)) or await self._store.has_below(place.key + b"/")

    async def _find(self, key: bytes, exact: bool) -> tuple[Service, ...] | None:
        place = self.tree.place(key)
        if place is None:
            return None
        found = () if exact else self._note(place.key + b"/", await self._store.get_below(place.key + b"/"))
        found = found or self._note(place.key, await self._store.get(place.key))
        if not found:
            return None
        services, faults = [], []
        for each in found:
            text = each.key.decode("utf-8", "surrogateescape")
            if place.wildcard is not None and not place.fits(text):
                continue
            try:
                services.append(decode_service(each.value, text, each.lease))
            except ValueError as error:
                self._complain(text, str(error))
                faults.append(f"{text}: {error}")
        if faults and not services:
            raise UpstreamError(faults[0])
        return tuple(services)

    def _note(self, key: bytes, found: tuple[KeyValue, ...]) -> tuple[KeyValue, ...]:
        self.found[key.decode("utf-8", "surrogateescape")] = len(found)
        return found

    async def _learn_leases(self, leases: Iterable[str]) -> None:
        new = [lease for lease in dict.fromkeys(leases) if lease != "0" and lease not in self._lease_seconds]
        room = MOST_LEASES - len(self._lease_seconds)
        self._lease_seconds.update(dict.fromkeys(new, self._bounds.least))
        await asyncio.gather(*(self._learn_lease(lease) for lease in new[:room]))

    async def _learn_lease(self, lease: str) -> None:
        try:
            seconds = await self._store.remaining_seconds(lease)
        except UpstreamError:
            self._lease_seconds[lease] = None  # the record is there: its own TTL counts
        else:
            self._lease_seconds[lease] = min(max(seconds, self._bounds.least), self._bounds.most)
