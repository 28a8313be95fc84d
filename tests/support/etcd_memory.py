# SPDX-License-Identifier: Apache-2.0
"""A store like etcd's in memory, without a server."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from clusterdns.plugins.etcd.gateway import KeyValue


class MemoryStore:
    """Keys below ``/skydns/``, each with a message or octets.

    leases: of keys, each with the seconds that it lives, or a failure. reads: how often each key, prefix and lease was
    asked for. failure: raised for all that is asked, unless it is None.
    """

    def __init__(self, messages: dict[str, Any], leases: dict[str, Any] | None = None) -> None:
        self.values = {
            f"/skydns/{path}".encode(): each if isinstance(each, bytes) else json.dumps(each).encode()
            for path, each in messages.items()
        }
        self.leases = {f"/skydns/{path}".encode(): seconds for path, seconds in (leases or {}).items()}
        self.reads: Counter[object] = Counter()
        self.failure: Exception | None = None

    def _read(self, what: object) -> None:
        self.reads[what] += 1
        if self.failure is not None:
            raise self.failure

    def _found(self, keys: list[bytes]) -> tuple[KeyValue, ...]:
        numbers = {key: str(number) for number, key in enumerate(self.leases, 1)}
        return tuple(KeyValue(key, self.values[key], numbers.get(key, "0")) for key in sorted(keys))

    async def get(self, key: bytes) -> tuple[KeyValue, ...]:
        self._read(key)
        return self._found([key] if key in self.values else [])

    async def get_below(self, prefix: bytes) -> tuple[KeyValue, ...]:
        self._read(prefix)
        return self._found([key for key in self.values if key.startswith(prefix)])

    async def has_below(self, prefix: bytes) -> bool:
        self._read(("has", prefix))
        return any(key.startswith(prefix) for key in self.values)

    async def remaining_seconds(self, lease: str) -> int:
        self._read(("lease", lease))
        seconds = list(self.leases.values())[int(lease) - 1]
        if isinstance(seconds, Exception):
            raise seconds
        return int(seconds)
