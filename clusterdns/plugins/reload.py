# SPDX-License-Identifier: Apache-2.0
"""reload - takes over a changed configuration without a restart.

## Description

From time to time the Corefile and all files that it imports are read again. If they say something else than before
(comments and white space don't count, environment variables do), the new configuration is taken over; queries that come
meanwhile are answered. If it can't be, the old one goes on, and the same files aren't tried again until they change. A
file that can't be understood is told about each time it is read.

Once in any server block is enough for the process. The signal SIGUSR1 takes a configuration over at once, with *reload*
and without.

## Syntax

~~~ txt
reload [INTERVAL [JITTER]]
~~~

* **INTERVAL** is the time between two looks, at least 2s, by default 30s.
* **JITTER** makes each process differ: its interval is up to half of **JITTER** longer or shorter. It is 0 or at least
  1s, by default 15s, and never more than half of **INTERVAL**.

## Metrics

* `coredns_reload_failed_total{}` - how many changed configurations could not be understood or taken over.
* `coredns_reload_version_info{hash, value}` - 1; `hash` is `sha512`, `value` the digest of the configuration that runs.

## Examples

~~~ corefile
. {
    reload
    whoami
}
~~~

~~~ corefile
. {
    reload 10s 5s
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import ClassVar, Final

import msgspec

from clusterdns.config.directive import DirectiveReader, parse_with
from clusterdns.errors import ConfigError, ConfigErrors
from clusterdns.expressions.duration import parse_duration
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.peers import Peers
from clusterdns.serving.plugin import Plugin

_LEAST_INTERVAL_SECONDS: Final = 2.0
_LEAST_JITTER_SECONDS: Final = 1.0
_HASH: Final = "sha512"


class Options(msgspec.Struct, frozen=True):
    """See the manual page; the jitter is bounded already."""

    interval_seconds: float = 30.0
    jitter_seconds: float = 15.0


class Reload(Plugin):
    """The directive. Of several ones in a process the oldest works."""

    name = "reload"
    peers: ClassVar[Peers[Reload]] = Peers()

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Interval and jitter; of several lines the first counts."""
        line = reader.first()
        with reader.collecting():
            line.expect(0, 2)
            line.no_block()
            seconds = [parse_with(token, parse_duration, label=ConfigError.NO_POSITION) for token in line.args]
            interval_seconds, jitter_seconds = [*seconds, *(30.0, 15.0)[len(seconds) :]]
            if interval_seconds < _LEAST_INTERVAL_SECONDS:
                raise line.args[0].error("interval value must be greater or equal to 2s", label=ConfigError.NO_POSITION)
            if jitter_seconds < _LEAST_JITTER_SECONDS and jitter_seconds != 0:
                raise line.last.error("jitter value must be 0 or greater or equal to 1s", label=ConfigError.NO_POSITION)
            return Options(interval_seconds, min(jitter_seconds, interval_seconds / 2))
        return Options()

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        half_seconds = options.jitter_seconds / 2
        self._interval_seconds = options.interval_seconds + Random().uniform(-half_seconds, half_seconds)
        metrics = setup.services.metrics
        self._failures = metrics.counter(
            "coredns_reload_failed_total", "Counter of the number of failed reload attempts."
        ).labels()
        self._version = metrics.gauge(
            "coredns_reload_version_info",
            "A metric with a constant '1' value labeled by hash, and value.",
            ("hash", "value"),
        )
        # Digest of the configuration that could not be taken over, or the faults of one that could not be understood.
        self._failed_digest = ""
        self._turn = asyncio.Event()
        self._task: Lease | None = None

    async def start(self) -> None:
        """Begin to look, once those that started before are gone."""
        self.peers.join(self.services, self)
        self._wake_oldest()
        self._task = self.services.spawn("reload", self._look_forever())

    async def stop(self, final: bool) -> None:
        """Look no more."""
        self.peers.leave(self.services, self)
        self._wake_oldest()
        if self._task is not None:
            await self._task.release()
            self._task = None

    def _wake_oldest(self) -> None:
        for peer in self.peers.all(self.services)[:1]:
            peer._turn.set()

    async def _look_forever(self) -> None:
        await self._turn.wait()
        digest = self.services.reloading.digest
        self.log.info("Running configuration SHA512 = %s", digest)
        self._version.clear()
        self._version.labels(_HASH, digest).value = 1
        while self in self.peers.all(self.services):
            await asyncio.sleep(self._interval_seconds)
            await self.look()

    async def look(self) -> None:
        """Read the configuration, and take it over if it has changed."""
        reloading = self.services.reloading
        try:
            digest = await reloading.check()
        except ConfigErrors as errors:
            if str(errors) != self._failed_digest:
                self._failed_digest = str(errors)
                self._failures.inc()
            for error in errors.errors:
                self.log.warning("Corefile parse failed: %s", error)
            return
        if digest == reloading.digest:
            self._failed_digest = ""
            return
        if digest == self._failed_digest:
            return
        self._failed_digest = digest
        if not await reloading.reload():
            self._failures.inc()
            self.log.error("Corefile changed but reload failed: the configuration before it goes on, see above")
