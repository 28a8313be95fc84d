# SPDX-License-Identifier: Apache-2.0
"""Messages that wait to be sent: bounded, so that a collector that is slow or away costs messages, not memory."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, TypeAlias

from clusterdns.observability.metrics import Value
from clusterdns.plugins.dnstap.message import Message

BYTES_PER_MESSAGE: Final = 2048
"""On average at most, so that large replies don't fill the memory."""

REPORT_SECONDS: Final = 10.0

_OVERHEAD_BYTES: Final = 256

Item: TypeAlias = tuple[Message, bytes]
"""A message, and the ``extra`` text that goes with it."""


class DropCounter:
    """Counts dropped messages, and logs how many every ten seconds as long as there are some."""

    def __init__(self, total: Value, log: logging.Logger) -> None:
        self._total = total
        self._log = log
        self._unreported = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, number: int = 1) -> None:
        """Messages were dropped."""
        self._total.value += number
        self._unreported += number
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REPORT_SECONDS, self.report)

    def report(self) -> None:
        """Log what hasn't been logged yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        number, self._unreported = self._unreported, 0
        if number:
            self._log.warning("Dropped dnstap messages: %d", number)


class Backlog:
    """What waits for one collector.

    changed: set when something was added, and by others who want the one who sends to look around.
    closing: True if nothing more is to come.
    """

    def __init__(self, most_messages: int, dropped: DropCounter) -> None:
        self.changed = asyncio.Event()
        self.closing = False
        self.dropped = dropped
        self._most_messages = most_messages
        self._most_bytes = most_messages * BYTES_PER_MESSAGE
        self._items: deque[Item] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, message: Message, extra: bytes) -> None:
        """Add a message, or drop it where there is no room."""
        size = len(message.octets) + len(extra) + _OVERHEAD_BYTES
        if self.closing or len(self._items) >= self._most_messages or self._bytes + size > self._most_bytes:
            self.dropped.add()
            return
        self._items.append((message, extra))
        self._bytes += size
        if not self.changed.is_set():
            self.changed.set()

    def take(self, most: int) -> list[Item]:
        """Up to ``most`` messages, the oldest first."""
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._bytes -= sum([len(message.octets) + len(extra) + _OVERHEAD_BYTES for message, extra in items])
        return items

    def close(self) -> None:
        """Take no more; what is there may still be sent."""
        self.closing = True
        self.changed.set()

    def drop_rest(self) -> None:
        """Count what is still there as dropped."""
        rest = len(self._items)
        self._items.clear()
        self._bytes = 0
        if rest:
            self.dropped.add(rest)
