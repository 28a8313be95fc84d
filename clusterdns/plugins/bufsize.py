# SPDX-License-Identifier: Apache-2.0
"""bufsize - bounds the UDP payload size that clients announce, to avoid IP fragmentation.

## Description

A client's EDNS(0) size above the bound is lowered to it: for the directives behind this one, for the size of the reply
and in the reply itself. Smaller sizes stay, and queries without EDNS(0) stay without. Replies that don't fit are
truncated, so that the client asks again over TCP.

## Syntax

~~~ txt
bufsize [SIZE]
~~~

* **SIZE** is a number of octets from 512 to 4096, by default 1232, which passes every IPv6 path in one fragment.

## Examples

~~~ corefile
. {
    bufsize 512
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.errors import ExpressionError
from clusterdns.expressions.numerals import atoi
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.relay import PlainStep
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

_LEAST = 512
_MOST = 4096


class Options(msgspec.Struct, frozen=True):
    """``size``: octets."""

    size: int = 1232


class Bufsize(Plugin):
    """The directive."""

    name = "bufsize"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """One number; of several lines the first counts."""
        line = reader.first()
        with reader.collecting():
            words = line.expect(0, 1)
            line.no_block()
            return Options(_size(line)) if words else Options()
        return Options()

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._size = options.size

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        edns = query.edns
        if edns is None:
            yield Note("passed on: without EDNS a reply has 512 octets at most anyway")
        elif edns.size <= self._size:
            yield Note(f"passed on: the client takes {edns.size} octets, not more than {self._size}")
        else:
            yield Note(f"lowers the size that the client takes from {edns.size} to {self._size} octets")

    def plain(self, zone: bytes) -> PlainStep:
        """Queries without EDNS are passed on."""
        return PlainStep.BARRING_EDNS

    def handle(self, query: Query) -> Result:
        """The reply to the query with a size that isn't too large."""
        edns = query.edns
        if edns is None or edns.size <= self._size:
            return self.next(query)
        return after(self.next(query.derive(edns=msgspec.structs.replace(edns, size=self._size))), self._bound)

    def _bound(self, reply: Reply) -> Reply:
        reply.edns_size = self._size
        return reply


def _size(line: Line) -> int:
    try:
        size = atoi(line.words[0])
    except ExpressionError:
        size = 0
    if not _LEAST <= size <= _MOST:
        error = line.wrong_count()
        error.hint = f"the size is a number from {_LEAST} to {_MOST}"
        raise error
    return size
