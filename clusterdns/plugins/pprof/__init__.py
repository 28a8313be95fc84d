# SPDX-License-Identifier: Apache-2.0
"""pprof - shows over HTTP what the process is busy with.

## Description

Serves profiles of the running process below `/debug/pprof`. They are Python's own, not those of Go, and `go tool pprof`
can't read them:

* `/debug/pprof/profile?seconds=30` runs cProfile for that time and tells which functions took how long. `sort` is
  `cumulative`, the default, `tottime` or `ncalls`; with `format=pstats` the reply is a file for the module *pstats*.
* `/debug/pprof/heap?seconds=10` runs tracemalloc for that time and tells what was allocated in it and is still there,
  by the places in the code.
* `/debug/pprof/stacks` tells where each thread and each task is.
* `/debug/pprof/block` tells how long the event loop was held up, where `block` is written.
* `/debug/pprof/cmdline` is the command line.

Profiles take at most 5 minutes, one of each kind at a time. While *profile* or *heap* runs, queries take up to twice as
long. Whoever reaches the address sees file names and can slow the server down: keep it on a loopback address.

It may be used once in a server block; one address may be named in several.

## Syntax

~~~ txt
pprof [ADDRESS] {
    block [RATE]
}
~~~

* **ADDRESS** is `HOST:PORT`, by default `localhost:6053`.
* `block` measures how late the event loop gets to its work. Delays of less than **RATE** nanoseconds, by default 1,
  aren't counted; with 0 or less nothing is measured.

## Examples

~~~ corefile
. {
    pprof
    whoami
}
~~~

~~~ corefile
. {
    pprof localhost:9876 {
        block 1000000
    }
    whoami
}
~~~
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from clusterdns.config.address import HostPort, parse_host_port
from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.errors import ExpressionError
from clusterdns.expressions.numerals import atoi
from clusterdns.plugins.pprof.profiles import SORTS, Busy, LoopDelays, profile_cpu, profile_heap, stacks
from clusterdns.serving.capabilities import HttpAnswer, HttpLease, HttpRequest, Lease, Setup
from clusterdns.serving.plugin import Plugin

ROOT: Final = "/debug/pprof"
MAX_SECONDS: Final = 300
_TEXT: Final = "text/plain; charset=utf-8"
_BINARY: Final = "application/octet-stream"
_NANOSECOND: Final = 1e-9
_INDEX: Final = (
    f"{ROOT}/profile?seconds=30&sort=cumulative\n{ROOT}/heap?seconds=10\n{ROOT}/stacks\n{ROOT}/block\n{ROOT}/cmdline\n"
).encode()


class Options(msgspec.Struct, frozen=True):
    """``block_rate``: nanoseconds, 0 for no measuring."""

    address: HostPort = HostPort("localhost", 6053)
    block_rate: int = 0


class Pprof(Plugin):
    """The directive."""

    name = "pprof"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """An address and a rate; of several the last counts."""
        line = reader.once()
        address = Options().address
        rates = [0]

        def read_block(option: Line) -> None:
            words = option.expect(0, 1)
            option.no_block()
            try:
                rates.append(atoi(words[0]) if words else 1)
            except ExpressionError:
                raise option.args[0].error(f"property 'block' invalid integer value '{words[0]}'") from None

        with reader.collecting():
            if line.expect(0, 1):
                try:
                    address = parse_host_port(line.words[0])
                except ValueError as error:
                    raise line.args[0].error(
                        str(error), hint="write it as HOST:PORT, or :PORT for all addresses"
                    ) from None
        reader.options(line, {"block": read_block})
        return Options(address, max(0, rates[-1]))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._leases: list[HttpLease] = []
        self._delays = LoopDelays(options.block_rate * _NANOSECOND) if options.block_rate else None
        self._watch: Lease | None = None

    async def start(self) -> None:
        """Open the endpoint. Raises LifecycleError."""
        pages: dict[str, Callable[[HttpRequest], HttpAnswer | Awaitable[HttpAnswer]]] = {
            "": _index,
            "/": _index,
            "/profile": _profile,
            "/heap": _heap,
            "/stacks": _stacks,
            "/block": self._block,
            "/cmdline": _command_line,
        }
        for page, handler in pages.items():
            self._leases.append(await self.services.http.acquire(str(self._options.address), ROOT + page, handler))
        if self._delays is not None:
            self._watch = self.services.spawn("pprof: delays of the event loop", self._delays.watch())

    async def stop(self, final: bool) -> None:
        """Close the endpoint."""
        while self._leases:
            await self._leases.pop().release()
        if self._watch is not None:
            await self._watch.release()
            self._watch = None

    def _block(self, request: HttpRequest) -> HttpAnswer:
        if self._delays is None:
            return 404, _TEXT, b"it isn't measured: write block into the block of pprof\n"
        return 200, _TEXT, self._delays.text()


def _index(request: HttpRequest) -> HttpAnswer:
    return 200, _TEXT, _INDEX


def _stacks(request: HttpRequest) -> HttpAnswer:
    return 200, _TEXT, stacks()


def _command_line(request: HttpRequest) -> HttpAnswer:
    return 200, _TEXT, "\0".join(sys.orig_argv).encode("utf-8", "replace")


async def _profile(request: HttpRequest) -> HttpAnswer:
    sort, form = request.query.get("sort", SORTS[0]), request.query.get("format", "text")
    if sort not in SORTS or form not in ("text", "pstats"):
        return _wrong(f"sort is one of {', '.join(SORTS)}, format is text or pstats")
    raw = form == "pstats"
    return await _taken(request, 30, lambda seconds: profile_cpu(seconds, sort, raw=raw), _BINARY if raw else _TEXT)


async def _heap(request: HttpRequest) -> HttpAnswer:
    return await _taken(request, 10, profile_heap, _TEXT)


async def _taken(
    request: HttpRequest, default_seconds: float, take: Callable[[float], Awaitable[bytes]], content_type: str
) -> HttpAnswer:
    try:
        seconds = float(request.query.get("seconds", default_seconds))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_SECONDS:
        return _wrong(f"seconds is a number above 0, up to {MAX_SECONDS}")
    try:
        return 200, content_type, await take(seconds)
    except Busy as busy:
        return 409, _TEXT, f"{busy}\n".encode()


def _wrong(text: str) -> HttpAnswer:
    return 400, _TEXT, f"{text}\n".encode()
