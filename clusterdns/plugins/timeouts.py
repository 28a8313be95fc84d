# SPDX-License-Identifier: Apache-2.0
"""timeouts - says how long connections of clients may take.

## Description

It governs connections (TCP), not datagrams. The limits belong to a listener: they hold for all server blocks on the
same address and port. Where several of those have *timeouts*, the last one in the Corefile counts, option by option. A
reload changes them for connections that are open, too.

## Syntax

~~~ txt
timeouts {
    read DURATION
    write DURATION
    idle DURATION
    maxtcpqueries NUMBER
}
~~~

Each **DURATION** is from 1s to 24h; a plain number means seconds. There must be at least one option.

* `read` is how long a connection has for its first query, and any later query once it has begun, by default 3s.
* `write` is how long a client that doesn't read its replies is borne with, by default 5s.
* `idle` is the time between a reply and the next query, by default 10s.
* `maxtcpqueries` closes a connection after so many queries; -1, the default, never does.

## Examples

~~~ corefile
. {
    timeouts {
        read 5s
        idle 1m
        maxtcpqueries 100
    }
    whoami
}
~~~
"""

from __future__ import annotations

from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token, parse_with
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.duration import format_duration, parse_duration
from clusterdns.expressions.numerals import atoi
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.limits import ConnectionLimits
from clusterdns.serving.plugin import Plugin

_LEAST_SECONDS: Final = 1
_MOST_SECONDS: Final = 24 * 60 * 60
_UNLIMITED: Final = -1


class Options(msgspec.Struct, frozen=True):
    """None where it isn't written; ``max_queries`` is 0 for any number."""

    read_seconds: float | None = None
    write_seconds: float | None = None
    idle_seconds: float | None = None
    max_queries: int | None = None


class Timeouts(Plugin):
    """The directive."""

    name = "timeouts"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Durations and a number; of several the last counts."""
        seconds: dict[str, float] = {}
        queries: list[int] = []

        def read_seconds(option: Line) -> None:
            option.expect(1)
            option.no_block()
            seconds[f"{option.name.text}_seconds"] = _seconds(option.args[0])

        def read_queries(option: Line) -> None:
            option.expect(1)
            option.no_block()
            queries.append(_queries(option.args[0]))

        handlers = {"read": read_seconds, "write": read_seconds, "idle": read_seconds, "maxtcpqueries": read_queries}
        for line in reader.lines:
            with reader.collecting():
                line.expect(0)
                if not line.block:
                    raise (line.closing or line.name).error("timeouts block with no timeouts specified")
                for option in line.block:
                    with reader.collecting():
                        if option.name.text not in handlers:
                            raise option.name.error(f"unknown option: '{option.name.text}'")
                        handlers[option.name.text](option)
        return Options(**seconds, max_queries=queries[-1] if queries else None)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options

    def limit(self, limits: ConnectionLimits) -> ConnectionLimits:
        """The limits with those that are written here."""
        written = {name: value for name, value in msgspec.structs.asdict(self._options).items() if value is not None}
        return msgspec.structs.replace(limits, **written)


def _seconds(token: Token) -> float:
    try:
        seconds = float(atoi(token.text))
    except ExpressionError:
        try:
            seconds = parse_duration(token.text)
        except ExpressionError as error:
            raise token.error(f"failed to parse duration '{token.text}'", hint=str(error)) from None
    if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise token.error(f"timeout provided '{_written(seconds)}' needs to be between 1 second and 24 hours")
    return seconds


def _written(seconds: float) -> str:
    # A number of seconds beyond what Go's durations hold is shown as it is.
    return format_duration(seconds) if abs(seconds) < 9e9 else f"{seconds:.0f}s"


def _queries(token: Token) -> int:
    try:
        number = parse_with(token, atoi)
    except ConfigError as error:
        raise token.error(f"invalid value for maxtcpqueries '{token.text}': {error.message}") from None
    if number == _UNLIMITED:
        return 0
    if number < 1:
        raise token.error(f"maxtcpqueries provided '{token.text}' needs to be -1 (unlimited) or a positive integer")
    return number
