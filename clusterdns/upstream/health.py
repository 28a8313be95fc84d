# SPDX-License-Identifier: Apache-2.0
"""Whether an upstream answers: one prober for each, whoever uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from clusterdns.dns.names import ROOT
from clusterdns.dns.types import FLAG_RD, IN, NS
from clusterdns.observability.metrics import Value

_LEAST_INTERVAL_SECONDS: Final = 0.05


class HealthCheck(msgspec.Struct, frozen=True):
    """How an upstream is asked whether it is back.

    interval_seconds: between two probes; recursion: RD flag; domain: whose NS records are asked for, in wire form.
    force_tcp: over TCP.
    """

    interval_seconds: float = 0.5
    recursion: bool = True
    domain: bytes = ROOT
    force_tcp: bool = False

    def wire(self) -> bytes:
        """The question, without an ID."""
        flags = FLAG_RD if self.recursion else 0
        question = self.domain + NS.to_bytes(2, "big") + IN.to_bytes(2, "big")
        return flags.to_bytes(2, "big") + b"\x00\x01\x00\x00\x00\x00\x00\x00" + question


Probe = Callable[[HealthCheck], Awaitable[bool]]
"""Asks once; True for a reply of any rcode."""


class Health:
    """What is known of one upstream.

    fails: probes failed in a row. An upstream is only probed after a question to it failed, until it answers again.
    """

    def __init__(self, failures: Value) -> None:
        self.fails = 0
        self._failures = failures
        self._members: list[tuple[HealthCheck, Probe]] = []
        self._task: asyncio.Task[None] | None = None

    def join(self, check: HealthCheck, probe: Probe) -> None:
        """Somebody uses the upstream. Of several checks the one with the shortest interval is used."""
        self._members.append((check, probe))

    def leave(self, check: HealthCheck, probe: Probe) -> bool:
        """Somebody uses it no more; True if nobody does."""
        self._members.remove((check, probe))
        return not self._members

    def down(self, most_fails: int) -> bool:
        """True if more than ``most_fails`` probes failed; with 0 never."""
        return 0 < most_fails < self.fails

    def answered(self) -> None:
        """A question was answered."""
        self.fails = 0

    def suspect(self) -> None:
        """A question was not answered: find out."""
        if self._task is None and self._members:
            self._task = asyncio.get_running_loop().create_task(self._probe_until_it_answers())

    @property
    def probing(self) -> bool:
        """True while probes are sent."""
        return self._task is not None

    async def _probe_until_it_answers(self) -> None:
        try:
            while True:
                check, probe = min(self._members, key=lambda member: member[0].interval_seconds)
                if await probe(check):
                    self.fails = 0
                    return
                self.fails += 1
                self._failures.inc()
                await asyncio.sleep(max(_LEAST_INTERVAL_SECONDS, check.interval_seconds))
        finally:
            self._task = None

    async def close(self) -> None:
        """Probe no more."""
        if self._task is not None:
            task = self._task
            task.cancel()
            await asyncio.wait([task])
