# SPDX-License-Identifier: Apache-2.0
"""any - answers queries of type ANY with next to nothing.

## Description

A query of type ANY gets one HINFO record that says `ANY obsoleted`, as RFC 8482 section 4.2 proposes: it serves no
purpose that another type wouldn't, and its large replies are what attackers want who forge a victim's address. Every
other query is passed on.

## Syntax

~~~ txt
any
~~~

## Examples

~~~ corefile
example.org {
    any
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns.types import ANY, HINFO
from clusterdns.dns.wire import Record
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.relay import PlainStep
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note

_TTL_SECONDS: Final = 8482
_DATA: Final = b"\x0dANY obsoleted\x0cSee RFC 8482"


class Any(Plugin):
    """The directive."""

    name = "any"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> None:
        """No options."""
        reader.takes_nothing()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        if query.qtype == ANY:
            yield Note("queries of type ANY get one HINFO record (RFC 8482), whatever the name has")
        else:
            yield Note("passed on: not of type ANY")

    def plain(self, zone: bytes) -> PlainStep:
        """Other types are passed on."""
        return PlainStep.TRANSPARENT

    def handle(self, query: Query) -> Result:
        """The record, or the reply of the rest of the chain."""
        if query.qtype != ANY:
            return self.next(query)
        record = Record(query.name, HINFO, _TTL_SECONDS, _DATA, query.qclass)
        return Reply(records=Sections(answer=(record,)), plugin=self.name)
