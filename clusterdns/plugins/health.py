# SPDX-License-Identifier: Apache-2.0
"""health - tells over HTTP that the process lives, and holds back its end for a while.

## Description

Serves `/health`, which answers `200 OK` as long as the process runs. It is what a liveness probe of Kubernetes asks;
use *ready* for a readiness probe. One address may be named in several server blocks.

Once a second the process asks itself. That it is slow to answer shows in a metric and, above one second, in the log.

## Syntax

~~~ txt
health [ADDRESS] {
    lameduck DURATION [MAXIMUM]
}
~~~

* **ADDRESS** is `HOST:PORT`, by default `:8080`, which is all addresses of the machine.
* `lameduck` lets the process answer as before for **DURATION** after it was told to end, and then until no query has
  come for two seconds, so that clients that still send to it find somebody. After **MAXIMUM** it ends however many
  still ask: by default after 25 seconds, which fits into the 30 seconds that Kubernetes gives a Pod, or after
  **DURATION** where that is longer. The `/ready` of *ready* is `503` meanwhile. A reload doesn't wait.

## Metrics

* `coredns_health_request_duration_seconds{}` - how long the process took to answer itself.
* `coredns_health_request_failures_total{}` - how often it didn't.

## Examples

~~~ corefile
. {
    health
    whoami
}
~~~

~~~ corefile
. {
    health localhost:8091 {
        lameduck 5s
    }
    whoami
}
~~~

A Pod with a `terminationGracePeriodSeconds` of 60 may wait longer for those who ask on:

~~~ corefile
. {
    health localhost:8091 {
        lameduck 5s 50s
    }
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

import msgspec

from clusterdns.config.address import HostPort, listen_address
from clusterdns.config.directive import DirectiveReader, Line, parse_with
from clusterdns.errors import ConfigError
from clusterdns.expressions.duration import format_duration, parse_duration
from clusterdns.serving.capabilities import HttpAnswer, HttpLease, HttpRequest, Lease, Setup
from clusterdns.serving.plugin import Plugin

PATH: Final = "/health"
_ALIVE: Final[HttpAnswer] = (200, "text/plain; charset=utf-8", b"OK")
_SECONDS_BOUNDS: Final = tuple(0.00025 * 10**power for power in range(5))
_PROBE_INTERVAL_SECONDS: Final = 1.0
_PROBE_TIMEOUT_SECONDS: Final = 5.0
_SLOW_SECONDS: Final = 1.0
_STATUS_LINE_BYTES: Final = 64
_QUIET_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 25.0
"""What is left of Kubernetes' 30 seconds is for queries under way and connections to close."""


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    address: HostPort = HostPort("", 8080)
    lameduck_seconds: float = 0.0
    longest_seconds: float = 0.0


class Health(Plugin):
    """The directive."""

    name = "health"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """An address and the time to wait; of several lines the last counts."""
        options = Options()
        for line in reader.lines:
            lameduck: list[tuple[float, float]] = []

            def read_lameduck(option: Line, lameduck: list[tuple[float, float]] = lameduck) -> None:
                option.expect(1, 2)
                option.no_block()
                lameduck.append(_lameduck(option))

            with reader.collecting():
                if line.expect(0, 1):
                    options = msgspec.structs.replace(options, address=listen_address(line.args[0]))
            reader.options(line, {"lameduck": read_lameduck})
            if lameduck:
                options = Options(options.address, *lameduck[-1])
        return options

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        metrics = setup.services.metrics
        self._durations = metrics.histogram(
            "coredns_health_request_duration_seconds",
            "Histogram of the time (in seconds) each request took.",
            bounds=_SECONDS_BOUNDS,
        ).labels()
        self._failures = metrics.counter(
            "coredns_health_request_failures_total", "The number of times the health check failed."
        ).labels()
        self._endpoint: HttpLease | None = None
        self._probe: Lease | None = None

    async def start(self) -> None:
        """Open the endpoint and begin to ask it. Raises LifecycleError."""
        self._endpoint = await self.services.http.acquire(str(self._options.address), PATH, _answer)
        self._probe = self.services.spawn("health: self-probe", self._ask_forever(self._endpoint.url))

    async def linger(self) -> None:
        """Wait for ``lameduck``, and until nobody asks any more, so that all who still ask get their answers."""
        lameduck_seconds = self._options.lameduck_seconds
        if lameduck_seconds <= 0:
            return
        self.log.info("Going into lameduck mode for %s", format_duration(lameduck_seconds))
        passed_seconds = quiet_seconds = 0.0
        packets = self.services.packets
        while passed_seconds < lameduck_seconds or quiet_seconds < _QUIET_SECONDS:
            if passed_seconds >= self._options.longest_seconds:
                longest = format_duration(self._options.longest_seconds)
                self.log.warning("Queries still come %s after the end was asked for; it doesn't wait longer", longest)
                return
            await asyncio.sleep(_LOOK_SECONDS)
            passed_seconds += _LOOK_SECONDS
            quiet_seconds = quiet_seconds + _LOOK_SECONDS if self.services.packets == packets else 0.0
            packets = self.services.packets

    async def stop(self, final: bool) -> None:
        """Close the endpoint."""
        if self._probe is not None:
            await self._probe.release()
        if self._endpoint is not None:
            await self._endpoint.release()
        self._probe = self._endpoint = None

    async def _ask_forever(self, url: str) -> None:
        while True:
            await asyncio.sleep(_PROBE_INTERVAL_SECONDS)
            await self.ask(url)

    async def ask(self, url: str) -> None:
        """Ask the endpoint once, and note how that went."""
        started = perf_counter()
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                await _get(url)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            self._durations.observe(perf_counter() - started)
            self._failures.inc()
            self.log.warning('Local health request to "%s" failed: %s', url, str(error) or type(error).__name__)
            return
        seconds = perf_counter() - started
        self._durations.observe(seconds)
        if seconds > _SLOW_SECONDS:
            self.log.warning('Local health request to "%s" took more than 1s: %s', url, format_duration(seconds))


def _answer(request: HttpRequest) -> HttpAnswer:
    return _ALIVE


async def _get(url: str) -> None:
    """Ask for ``url`` on a new connection, as a probe does. Raises OSError or EOFError unless the status is 200."""
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, port = authority.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readuntil(b"\r\n"))[:_STATUS_LINE_BYTES].split()
        if len(status) < 2 or status[1] != b"200":
            raise ConnectionError(f"the reply was {b' '.join(status).decode('ascii', 'replace')}")
        await reader.read()
    finally:
        writer.close()


def _lameduck(option: Line) -> tuple[float, float]:
    """The least and the most seconds to wait."""
    seconds = []
    for token in option.args:
        try:
            seconds.append(max(0.0, parse_with(token, parse_duration)))
        except ConfigError as error:
            raise token.error(
                f"unable to parse lameduck duration value: '{token.text}' : {error.message}",
                label=ConfigError.NO_POSITION,
            ) from None
    if len(seconds) == 1:
        return seconds[0], max(seconds[0], _LONGEST_SECONDS)
    if seconds[1] < seconds[0]:
        raise option.args[1].error("the most seconds of lameduck are fewer than the least", hint="write them last")
    return seconds[0], seconds[1]
