# SPDX-License-Identifier: Apache-2.0
"""local - answers for localhost and the networks that never leave a host.

## Description

Names that only mean the host itself (RFC 6303, RFC 6761) are answered here, so that they don't get to other servers:

* `localhost` and the names below it have the addresses 127.0.0.1 and ::1;
* `localhost` in front of any other name, such as `localhost.example.org`, has them, too: clients with a search list
  make such names;
* the reverse zones `0.in-addr.arpa`, `127.in-addr.arpa` and `255.in-addr.arpa` are empty, but for
  1.0.0.127.in-addr.arpa, which points to `localhost`.

Every other query is passed on, and so are queries of other classes than IN.

## Syntax

~~~ txt
local {
    localhost_prefix on|off
}
~~~

* `localhost_prefix` says whether `localhost` in front of other names is answered; `on` by default.

## Metrics

* `coredns_local_localhost_requests_total{}` - queries for names below `localhost`, or with it in front.

## Examples

~~~ corefile
. {
    local
    whoami
}
~~~

~~~ corefile
. {
    local {
        localhost_prefix off
    }
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, ANY, IN, NOERROR, NS, NXDOMAIN, PTR, SOA, A
from clusterdns.dns.wire import Record
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note

TTL_SECONDS: Final = 604800

_LOCALHOST: Final = names.from_text("localhost.")
_PREFIX: Final = _LOCALHOST[:-1]
_REVERSE_ZONES: Final = tuple(map(names.from_text, ("127.in-addr.arpa.", "0.in-addr.arpa.", "255.in-addr.arpa.")))
_POINTER: Final = names.from_text("1.0.0.127.in-addr.arpa.")
_SOA: Final = (
    _LOCALHOST
    + names.from_text("root.localhost.")
    + b"".join(number.to_bytes(4, "big") for number in (1, 0, 0, 0, TTL_SECONDS))
)
_ADDRESSES: Final = {A: b"\x7f\0\0\1", AAAA: bytes(15) + b"\1"}


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    localhost_prefix: bool = True


class Local(Plugin):
    """The directive."""

    name = "local"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """One option; the last counts."""
        prefix = True

        def read_prefix(option: Line) -> None:
            nonlocal prefix
            (word,) = option.expect(1)
            option.no_block()
            if word not in ("on", "off"):
                raise option.args[0].error(f"localhost_prefix expects 'on' or 'off', got \"{word}\"")
            prefix = word == "on"

        for line in reader.lines:
            with reader.collecting():
                line.expect(0)
            reader.options(line, {"localhost_prefix": read_prefix})
        return Options(prefix)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._prefix = options.localhost_prefix
        self._requests = setup.services.metrics.counter(
            "coredns_local_localhost_requests_total", "Counter of special localhost subdomain requests."
        ).labels()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        key = query.key
        if query.qclass != IN:
            yield Note("passed on: not in class IN")
        elif names.is_in(key, _LOCALHOST):
            yield Note("localhost is this machine (RFC 6761 section 6.3)")
        elif self._prefix and key.startswith(_PREFIX):
            yield Note("a name that begins with localhost is this machine")
        elif any(names.is_in(key, zone) for zone in _REVERSE_ZONES):
            yield Note("the reverse zones of 0.0.0.0/8, 127.0.0.0/8 and 255.0.0.0/8 are answered here")
        else:
            yield Note("passed on: no name of this machine itself")

    def handle(self, query: Query) -> Result:
        """The host's own names, or the reply of the rest of the chain."""
        if query.qclass != IN:
            return self.next(query)
        key = query.key
        if key == _LOCALHOST:
            return self._localhost(query, _LOCALHOST)
        if names.is_in(key, _LOCALHOST):
            self._requests.inc()
            return self._localhost(query, _LOCALHOST)
        if self._prefix and key.startswith(_PREFIX):
            self._requests.inc()
            return self._localhost(query, query.name)
        for zone in _REVERSE_ZONES:
            if names.is_in(key, zone):
                return self._reverse(query, zone)
        return self.next(query)

    def _localhost(self, query: Query, zone: bytes) -> Reply:
        qtype = A if query.qtype == ANY else query.qtype
        address = _ADDRESSES.get(qtype)
        if address is not None:
            return self._answer(query, qtype, address)
        return self._of_zone(query, zone, apex=query.key == _LOCALHOST)

    def _reverse(self, query: Query, zone: bytes) -> Reply:
        key = query.key
        if key == _POINTER and query.qtype in (PTR, ANY):
            return self._answer(query, PTR, _LOCALHOST)
        exists = key == zone or names.is_in(_POINTER, key)
        return self._of_zone(query, zone, apex=key == zone, rcode=NOERROR if exists else NXDOMAIN)

    def _of_zone(self, query: Query, zone: bytes, *, apex: bool, rcode: int = NOERROR) -> Reply:
        """What every zone has at its top, otherwise a denial."""
        if apex and query.qtype == NS:
            return self._answer(query, NS, _LOCALHOST)
        if apex and query.qtype in (SOA, ANY):
            return self._answer(query, SOA, _SOA)
        denial = Sections(authority=(Record(zone, SOA, TTL_SECONDS, _SOA),))
        return Reply(rcode, denial, plugin=self.name)

    def _answer(self, query: Query, rtype: int, data: bytes) -> Reply:
        record = Record(query.name, rtype, TTL_SECONDS, data)
        return Reply(records=Sections(answer=(record,)), plugin=self.name)
