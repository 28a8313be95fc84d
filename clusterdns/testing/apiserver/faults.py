# SPDX-License-Identifier: Apache-2.0
"""What a test tells the server to do wrong, and to which requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

Ending: TypeAlias = Literal["clean", "torn", "reset", "half line", "half line, clean", "expired"]
"""How an open watch ends.

clean: with the terminator of the chunked body, as at the end of timeoutSeconds.
torn: the connection is closed without the terminator.
reset: the connection is reset.
half line: half an event, then as ``torn``; with ``clean`` the body ends properly behind it.
expired: an ERROR event with code 410, then clean.
"""


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong. ``verb`` and ``resource`` (plural) say for whom; empty is any.

    call: what happens when the request comes, before it is answered, on the thread of the server.
    delay_seconds: before anything is answered.
    status, body, content_type, retry_after: an answer instead of the real one; status 0 for none.
    cut_after_bytes: the body ends there without its end; -1 for never. With ``reset`` the connection is reset.
    stall_after_bytes: nothing more comes from there, and the connection stays; -1 for never.
    """

    verb: str = ""
    resource: str = ""
    call: Callable[[], object] | None = None
    delay_seconds: float = 0.0
    status: int = 0
    body: bytes = b""
    content_type: str = "application/json"
    retry_after: str = ""
    cut_after_bytes: int = -1
    reset: bool = False
    stall_after_bytes: int = -1


class Faults:
    """The faults that wait for their requests, in order. May be used from any thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, float]] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault, times: float) -> None:
        """Let the next ``times`` requests that it is meant for have the fault; math.inf for all."""
        with self._lock:
            self._waiting.append((fault, times))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._waiting.clear()

    def take(self, verb: str, resource: str) -> Fault | None:
        """The fault of a request, None for none."""
        with self._lock:
            for index, (fault, times) in enumerate(self._waiting):
                if fault.verb in ("", verb) and fault.resource in ("", resource):
                    if times <= 1:
                        del self._waiting[index]
                    else:
                        self._waiting[index] = (fault, times - 1)
                    return fault
        return None
