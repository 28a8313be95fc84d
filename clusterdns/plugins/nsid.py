# SPDX-License-Identifier: Apache-2.0
"""nsid - names the server in its replies to clients that ask for that.

## Description

A reply to a query with the EDNS option NSID (RFC 5001) has that option with the name of the server in it, so that one
can tell which of many servers behind one address has answered. Other replies stay as they are.

It may be used once in a server block.

## Syntax

~~~ txt
nsid [DATA...]
~~~

* **DATA** is what names the server, its words joined by blanks; by default the host's name.

## Examples

~~~ corefile
. {
    nsid "node 17"
    whoami
}
~~~

`dig +nsid @localhost example.org` then shows:

~~~ txt
; NSID: 6e 6f 64 65 20 31 37 ("node 17")
~~~
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns.edns import NSID, encode_option
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.relay import PlainStep
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note


class Options(msgspec.Struct, frozen=True):
    """``data``: as written; None for the host's name."""

    data: str | None = None


class Nsid(Plugin):
    """The directive."""

    name = "nsid"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Words."""
        line = reader.once()
        with reader.collecting():
            line.no_block()
        return Options(" ".join(line.words) if line.args else None)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        data = socket.gethostname() if options.data is None else options.data
        self._option = encode_option(NSID, data.encode("utf-8", "replace"))

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        asked = query.edns is not None and any(code == NSID for code, _ in query.edns.option_list())
        yield Note(
            "puts its name into the reply" if asked else "passed on: the client doesn't ask for the server's name"
        )

    def plain(self, zone: bytes) -> PlainStep:
        """A plain query asks for no option."""
        return PlainStep.TRANSPARENT

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, with the option where the query has it."""
        result = self.next(query)
        edns = query.edns
        if edns is None or not edns.options or all(code != NSID for code, _ in edns.option_list()):
            return result
        return after(result, self._sign)

    def _sign(self, reply: Reply) -> Reply:
        reply.options += self._option
        return reply
