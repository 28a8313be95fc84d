# SPDX-License-Identifier: Apache-2.0
"""erratic - answers with fixed addresses, and not always, to test how clients bear that.

## Description

Every query of type A gets 192.0.2.53, AAAA gets 2001:db8::53, and a transfer a small made-up zone; other types get
SERVFAIL. Some queries are dropped, or answered late or truncated. Queries are counted from the first one on, which is
always among those.

## Syntax

~~~ txt
erratic {
    drop [AMOUNT]
    truncate [AMOUNT]
    delay [AMOUNT [DURATION]]
    large
}
~~~

* `drop` drops one of **AMOUNT** queries, by default of 2; 0 drops none. Without `drop`, `truncate` and `delay` one of 2
  is dropped, with one of the others none.
* `truncate` sets the TC flag in the reply to one of **AMOUNT** queries, by default of 2. A transfer lacks its last SOA
  record then.
* `delay` waits **DURATION**, by default 100ms, before the reply to one of **AMOUNT** queries, by default of 2.
* `large` answers with 32 addresses instead of one.

## Ready

Reports ready once it has been asked three times.

## Examples

~~~ corefile
example.org {
    erratic {
        drop 3
    }
}
~~~

~~~ corefile
example.org {
    erratic {
        delay 3 50ms
        truncate 5
        large
    }
}
~~~
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, parse_with
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import AAAA, AXFR, FLAG_TC, SERVFAIL, A
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError
from clusterdns.expressions.duration import parse_duration
from clusterdns.expressions.numerals import parse_int
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

_ADDRESSES: Final = {A: IPv4Address("192.0.2.53").packed, AAAA: IPv6Address("2001:db8::53").packed}
_LARGE: Final = 32
_READY_QUERIES: Final = 3
_AMOUNT: Final = 2
_SOA: Final = "@ 0 SOA sns.dns.icann.org. noc.dns.icann.org. 2018050825 7200 3600 1209600 3600"
_ZONE: Final = (_SOA, "@ 0 NS b", "@ 0 NS a", "a 0 AAAA 2001:bd8::53", "b 0 AAAA 2001:500::54", _SOA)


class Options(msgspec.Struct, frozen=True):
    """``drop``, ``truncate`` and ``delay`` are one of how many, 0 for none."""

    drop: int = _AMOUNT
    truncate: int = 0
    delay: int = 0
    delay_seconds: float = 0.1
    large: bool = False


class Erratic(Plugin):
    """The directive."""

    name = "erratic"
    in_chain = True
    terminal = True
    ready_by_queries = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """The options; of several the last counts."""
        found: dict[str, int] = {}
        delays = [Options().delay_seconds]
        large: list[bool] = []

        def read_amount(option: Line) -> None:
            words = option.expect(0, 2 if option.name.text == "delay" else 1)
            option.no_block()
            found[option.name.text] = _amount(option) if words else _AMOUNT
            if len(words) > 1:
                delays.append(parse_with(option.args[1], parse_duration, label=ConfigError.NO_POSITION))

        def read_large(option: Line) -> None:
            if option.args:
                raise option.args[0].error(f"unknown property '{option.words[0]}'")
            large.append(True)

        handlers = {"drop": read_amount, "truncate": read_amount, "delay": read_amount, "large": read_large}
        for line in reader.lines:
            for token in line.args:
                reader.warn(token, f"erratic has no arguments: '{token.text}' does nothing")
            reader.options(line, handlers)
        if found and "drop" not in found:
            found["drop"] = 0
        return Options(**found, delay_seconds=max(0.0, delays[-1]), large=bool(large))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._queries = 0

    def ready(self) -> bool:
        """True after some queries."""
        return self._queries >= _READY_QUERIES

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        options = self._options
        due = [
            what
            for what, amount in (("drop", options.drop), ("truncate", options.truncate), ("delay", options.delay))
            if amount > 0 and self._queries % amount == 0
        ]
        what = f"; this one is its turn to {' and '.join(due)}" if due else ""
        yield Note(f"answers every query with a fixed address, for tests{what}")

    def handle(self, query: Query) -> Result:
        """The fixed answer, or what the turn of the query asks for."""
        number = self._queries
        self._queries += 1
        drop, truncate, delay = [
            amount > 0 and number % amount == 0
            for amount in (self._options.drop, self._options.truncate, self._options.delay)
        ]
        if drop:
            return Reply.no_reply(self.name)
        reply = self._reply(query, truncate)
        return self._late(reply) if delay else reply

    async def _late(self, reply: Reply) -> Reply:
        await asyncio.sleep(self._options.delay_seconds)
        return reply

    def _reply(self, query: Query, truncate: bool) -> Reply:
        address = _ADDRESSES.get(query.qtype)
        if address is not None:
            count = _LARGE if self._options.large else 1
            first, octets = int.from_bytes(address, "big"), len(address)
            records = [
                Record(query.name, query.qtype, 0, (first + number).to_bytes(octets, "big"), query.qclass)
                for number in range(count)
            ]
            reply = Reply.authoritative(self.name, answer=tuple(records))
        elif query.qtype == AXFR:
            records = [parse_record(text, query.name) for text in (_ZONE[:-1] if truncate else _ZONE)]
            reply = Reply.authoritative(self.name, answer=tuple(records))
        else:
            return Reply(SERVFAIL, plugin=self.name)
        if truncate:
            reply.flags |= FLAG_TC
        return reply


def _amount(option: Line) -> int:
    token = option.args[0]
    amount = parse_with(token, partial(parse_int, bits=32), label=ConfigError.NO_POSITION)
    if amount < 0:
        raise token.error(f'illegal amount value given "{token.text}"', label=ConfigError.NO_POSITION)
    return amount
