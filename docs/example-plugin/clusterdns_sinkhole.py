# SPDX-License-Identifier: Apache-2.0
"""sinkhole - denies names on a list.

## Description

Queries for the names given and for all names below them are answered with NXDOMAIN. It sees queries before *forward*,
so that what other directives know stays as it is. It may be repeated in a server block.

## Syntax

~~~ txt
sinkhole NAMES... {
    ttl SECONDS
}
~~~

* **NAMES** are the names that don't exist.
* `ttl` is for how many seconds others may remember that; default 60.

## Metrics

* `clusterdns_sinkhole_denied_total{server, view}` - queries that were denied.

## Examples

~~~ corefile
. {
    sinkhole ads.example tracker.example {
        ttl 300
    }
    forward . 10.0.0.53
}
~~~
"""

from __future__ import annotations

from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, parse_with
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.types import NXDOMAIN, SOA
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError
from clusterdns.expressions.numerals import atoi
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

DEFAULT_TTL_SECONDS: Final = 60
MAX_TTL_SECONDS: Final = 86400


class Options(msgspec.Struct, frozen=True):
    """What the directives of one server block say. ``ttl_seconds`` by name, which is in lower-case wire form."""

    ttl_seconds: dict[bytes, int]


class Sinkhole(Plugin):
    """The directive."""

    name = "sinkhole"
    before = "forward"  # where it stands in the order of execution
    pure = True  # replies depend on the query alone, so the server may send them again from memory
    in_chain = True  # it sees queries

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Read all occurrences in a server block; nothing has an effect here, so `clusterdns check` can do it, too."""
        found: dict[bytes, int] = {}
        for line in reader.lines:
            with reader.collecting():  # a fault doesn't keep the others from being reported
                found |= _read(reader, line)
        return Options(found)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._ttl_seconds = options.ttl_seconds
        self._denied = setup.services.metrics.counter(
            "clusterdns_sinkhole_denied_total", "Counter of queries that were denied.", ("server", "view")
        )

    def handle(self, query: Query) -> Result:
        """Deny the name, or give the query to the next directive."""
        for name in names.suffixes(query.key):
            ttl_seconds = self._ttl_seconds.get(name)
            if ttl_seconds is not None:
                reply = Reply.authoritative(self.name, NXDOMAIN, authority=(_soa(name, ttl_seconds),))
                reply.reusable = True
                return reply
        return self.next(query)

    # With these three methods it counts what it denies, also where the server has sent the reply again from memory.

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """See Observer."""
        self.observe_hits(query, reply, size_bytes, 1)

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """See HitObserver."""
        if reply.plugin == self.name:
            self._denied.labels(query.server, self.setup.view).inc(hits)

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """See HitObserver."""


def _read(reader: DirectiveReader, line: Line) -> dict[bytes, int]:
    """One occurrence. Raises ConfigError."""
    ttl_seconds = DEFAULT_TTL_SECONDS

    def read_ttl(option: Line) -> None:
        nonlocal ttl_seconds
        option.expect(1)
        option.no_block()
        ttl_seconds = parse_with(option.args[0], atoi)
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise option.args[0].error(f"ttl must be in range [0, {MAX_TTL_SECONDS}]: {ttl_seconds}")

    if not line.args:
        raise line.wrong_count()
    reader.options(line, {"ttl": read_ttl})
    zones, invalid = expand_zones(line.words)
    for token in line.args:
        if token.text in invalid:
            raise token.error(f"'{token.text}' is no name", label=ConfigError.NO_POSITION)
    if "." in zones:
        reader.warn(line.name, "every name is denied", hint="write the names that are not to exist")
    return {names.from_text(zone): ttl_seconds for zone in zones}


def _soa(name: bytes, ttl_seconds: int) -> Record:
    """What makes a denial one that others may remember (RFC 2308 section 3)."""
    times = (1, 7200, 1800, 86400, ttl_seconds)
    data = name + names.from_text("nobody.invalid.") + b"".join(number.to_bytes(4, "big") for number in times)
    return Record(name, SOA, ttl_seconds, data)
