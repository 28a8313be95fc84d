# SPDX-License-Identifier: Apache-2.0
"""errors - logs why queries could not be answered properly.

## Description

One line is logged for each query that a directive failed on:

~~~ txt
[ERROR] plugin/errors: 2 example.org. A: read udp 10.0.0.1:5->10.0.0.2:53: i/o timeout
~~~

That is the rcode as a number, the name, the type and the reason. A negative answer is no error, and neither is one that
an upstream server gave. It may be used once in a server block.

## Syntax

~~~ txt
errors [stdout] {
    stacktrace
    consolidate DURATION REGEXP [LEVEL] [show_first]
}
~~~

* `stdout` is where the lines go in any case.
* `stacktrace` logs the place in the program, too, when a directive fails on a query because of a fault of its own.
* `consolidate` gathers the errors whose reason matches **REGEXP** (RE2 syntax) and logs only how many there were, once
  **DURATION** has passed since the first: `3 errors like '^read udp .* timeout$' occurred in last 5m0s`. **LEVEL** is
  the level of that line: `error` (the default), `warning`, `info` or `debug`. With `show_first` the first of them is
  logged at once, and the number only if there were more. It may be repeated; the first expression that matches counts.

## Examples

~~~ corefile
. {
    errors
    whoami
}
~~~

Timeouts are counted, everything else is logged:

~~~ corefile
. {
    errors stdout {
        stacktrace
        consolidate 5m ".* i/o timeout$" warning show_first
        consolidate 30s "^no healthy proxies$"
    }
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, parse_with
from clusterdns.dns import names
from clusterdns.dns.types import type_text
from clusterdns.errors import ConfigError
from clusterdns.expressions.duration import format_duration, parse_duration
from clusterdns.expressions.regex import Regex, compile_regex
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

_LEVELS: Final = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_SHOW_FIRST: Final = "show_first"


class Pattern(msgspec.Struct, frozen=True):
    """One ``consolidate``. ``level`` is one of package logging."""

    duration_seconds: float
    regex: Regex
    level: int = logging.ERROR
    show_first: bool = False


class Options(msgspec.Struct, frozen=True):
    """``stacktrace``: log tracebacks of faults. ``patterns``: in file order."""

    stacktrace: bool = False
    patterns: tuple[Pattern, ...] = ()


class Errors(Plugin):
    """The directive. Replies with an error are never reused, so there are no hits to observe."""

    name = "errors"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """See the manual page."""
        patterns: list[Pattern] = []
        stacktrace = False
        line = reader.once()
        with reader.collecting():
            words = line.expect(0, 1)
            if words and words[0] != "stdout":
                raise line.args[0].error(f"invalid log file: {words[0]}", hint="errors are logged to stdout")
        for option in line.block or ():
            with reader.collecting():
                if option.name.text == "stacktrace":
                    option.expect(0)
                    option.no_block()
                    stacktrace = True
                elif option.name.text == "consolidate":
                    patterns.append(_parse_consolidate(option))
                else:
                    text = option.name.text
                    raise option.name.error(
                        f"Unexpected token '{text}', expecting 'Unknown field {text}'",
                        label=ConfigError.SYNTAX,
                        hint="the options are stacktrace and consolidate",
                    )
        return Options(stacktrace, tuple(patterns))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self.stacktrace = options.stacktrace
        self._gathered = tuple(_Gathered(self, pattern) for pattern in options.patterns)

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """See Observer."""
        error = reply.error
        if not error:
            return
        level = logging.ERROR
        for gathered in self._gathered:
            if gathered.pattern.regex.matches(error):
                if not gathered.add() or not gathered.pattern.show_first:
                    return
                level = gathered.pattern.level
                break
        self.log.log(level, "%d %s %s: %s", reply.rcode, names.to_text(query.key), type_text(query.qtype), error)

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """See HitObserver: nothing to log."""

    def observe_plain(self, query: Query, reply: Reply, size_bytes: int, number: int) -> None:
        """See PlainObserver: nothing to log."""

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """See HitObserver: nothing to log."""

    async def stop(self, final: bool) -> None:
        """Log what is gathered."""
        for gathered in self._gathered:
            await gathered.stop()


class _Gathered:
    """The errors of one pattern since the first of them."""

    def __init__(self, plugin: Errors, pattern: Pattern) -> None:
        self.pattern = pattern
        self._plugin = plugin
        self._count = 0
        self._timer: Lease | None = None

    def add(self) -> bool:
        """Count an error; True if it is the first."""
        self._count += 1
        if self._count > 1:
            return False
        self._timer = self._plugin.services.spawn("errors: consolidate", self._report_later())
        return True

    async def _report_later(self) -> None:
        await asyncio.sleep(self.pattern.duration_seconds)
        self._timer = None
        self._report()

    def _report(self) -> None:
        count, self._count = self._count, 0
        pattern = self.pattern
        if count > (1 if pattern.show_first else 0):
            self._plugin.log.log(
                pattern.level,
                "%d errors like '%s' occurred in last %s",
                count,
                pattern.regex.pattern,
                format_duration(pattern.duration_seconds),
            )

    async def stop(self) -> None:
        if self._timer is not None:
            await self._timer.release()
            self._timer = None
        self._report()


def _parse_consolidate(option: Line) -> Pattern:
    words = option.expect(2, 4)
    option.no_block()
    duration_seconds = parse_with(option.args[0], parse_duration)
    regex = parse_with(option.args[1], compile_regex)
    rest = list(option.args[2:])
    level = logging.ERROR
    if rest and rest[0].text in _LEVELS:
        level = _LEVELS[rest.pop(0).text]
    show_first = bool(rest) and rest[0].text == _SHOW_FIRST
    if show_first:
        rest.pop(0)
    if rest and rest[0].text in _LEVELS:
        raise rest[0].error(f"log level must come before {_SHOW_FIRST} in consolidate")
    if rest:
        raise rest[0].error(
            f"unknown option in consolidate: {rest[0].text}",
            hint=f"a level is one of {', '.join(_LEVELS)}; {_SHOW_FIRST} comes after it",
        )
    if duration_seconds <= 0:
        raise option.args[0].error(f"duration must be positive: {words[0]}")
    return Pattern(duration_seconds, regex, level, show_first)
