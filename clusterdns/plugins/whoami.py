# SPDX-License-Identifier: Apache-2.0
"""whoami - tells a client its own address, port and protocol.

## Description

Every query gets an empty answer; the additional section holds an A or AAAA record with the client's address, and an SRV
record of the owner `_udp.NAME` or `_tcp.NAME` with its port. The TTLs are 0. Nothing behind it is asked.

It is what a server without a Corefile does, and shows that a server answers at all.

## Syntax

~~~ txt
whoami
~~~

## Examples

~~~ corefile
. {
    whoami
}
~~~

`dig @localhost example.org` shows, apart from the port:

~~~ txt
;; ADDITIONAL SECTION:
example.org.            0       IN      A       127.0.0.1
_udp.example.org.       0       IN      SRV     0 0 40212 .
~~~
"""

from __future__ import annotations

from collections.abc import Iterator

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns.names import MAX_NAME_BYTES, ROOT
from clusterdns.dns.types import AAAA, SRV, A
from clusterdns.dns.wire import Record
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

_LABELS = {"udp": b"\x04_udp", "tcp": b"\x04_tcp"}


class Whoami(Plugin):
    """The directive."""

    name = "whoami"
    in_chain = True
    terminal = True

    @staticmethod
    def parse(reader: DirectiveReader) -> None:
        """No options."""
        reader.takes_nothing()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        yield Note("answers every query with the address and port of the client")

    def handle(self, query: Query) -> Result:
        """The client's address and port."""
        client = query.client
        address = client.ip
        records = [Record(query.name, A if address.version == 4 else AAAA, 0, address.packed, query.qclass)]
        owner = _LABELS[client.protocol] + query.name
        if len(owner) <= MAX_NAME_BYTES:
            data = b"\0\0\0\0" + client.port.to_bytes(2, "big") + ROOT
            records.append(Record(owner, SRV, 0, data, query.qclass))
        return Reply.authoritative(self.name, additional=tuple(records))
