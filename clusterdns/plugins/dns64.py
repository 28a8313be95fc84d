# SPDX-License-Identifier: Apache-2.0
"""dns64 - gives IPv6 addresses to names that have only IPv4 ones, for clients behind a NAT64.

## Description

Where an AAAA query from a client over IPv6 finds no address, the name is asked for its A records, and each of them
becomes an AAAA record of the prefix and the IPv4 address in it (RFC 6147, RFC 6052), as the NAT64 translates it. The
TTL is that of the A record, at most that of the SOA record of the AAAA reply (without one, 600 seconds). A name that
does not exist (NXDOMAIN) isn't asked for again.

## Syntax

~~~ txt
dns64 [PREFIX] {
    prefix PREFIX
    translate_all
    allow_ipv4
}
~~~

* **PREFIX** is an IPv6 network of 32 to 96 bits, a multiple of 8, by default `64:ff9b::/96`; `prefix PREFIX` means the
  same.
* `translate_all` translates also where there are AAAA records; they are given only where there are no A records.
* `allow_ipv4` translates also for clients over IPv4.

## Metrics

* `coredns_dns64_requests_translated_total{server}` - replies with translated addresses.

## Examples

~~~ corefile
. {
    dns64
    whoami
}
~~~

With the prefix of the network, for all clients:

~~~ corefile
. {
    dns64 2001:db8:64::/96 {
        allow_ipv4
    }
    whoami
}
~~~

## Bugs

PTR queries for translated addresses are not answered from the IPv4 reverse zone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.dns.types import AAAA, FLAG_AA, FLAG_AD, FLAG_RA, IN, NXDOMAIN, SOA, A
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, then
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note

WELL_KNOWN: Final = ipaddress.IPv6Network("64:ff9b::/96")

NO_SOA_TTL_SECONDS: Final = 600
"""RFC 6147 section 5.1.7."""

_BITS: Final = range(32, 97, 8)
_RFC_6052_BITS: Final = (32, 40, 48, 56, 64, 96)
_MAPPED: Final = bytes(10) + b"\xff\xff"
_RESERVED_OCTET: Final = 8
_CIDR: Final = re.compile(r"([^/%]+)/([0-9]{1,3})", re.ASCII)


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    prefix: ipaddress.IPv6Network = WELL_KNOWN
    translate_all: bool = False
    allow_ipv4: bool = False


class Dns64(Plugin):
    """The directive."""

    name = "dns64"
    pure = True  # the client's address family keeps remembered replies apart
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """All uses in a block are one; the last prefix counts."""
        options = Options()

        def set_prefix(token: Token) -> None:
            nonlocal options
            options = msgspec.structs.replace(options, prefix=parse_prefix(token))
            if options.prefix.prefixlen not in _RFC_6052_BITS:
                reader.warn(token, "RFC 6052 has no prefix of this length", hint="take /32, /40, /48, /56, /64 or /96")

        def read_prefix(line: Line) -> None:
            line.expect(1)
            set_prefix(line.args[0])

        def read_flag(line: Line) -> None:
            nonlocal options
            line.expect(0)
            line.no_block()
            options = msgspec.structs.replace(options, **{line.name.text: True})

        for line in reader.lines:
            with reader.collecting():
                if line.expect(0, 1):
                    set_prefix(line.args[0])
            reader.options(line, {"prefix": read_prefix, "translate_all": read_flag, "allow_ipv4": read_flag})
        return options

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._translated = setup.services.metrics.counter(
            "coredns_dns64_requests_translated_total", "Counter of DNS requests translated by dns64.", ("server",)
        )

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        if query.qtype != AAAA or query.qclass != IN:
            yield Note("passed on: not of type AAAA")
        elif query.client.family == 1 and not self._options.allow_ipv4:
            yield Note("passed on: the client came over IPv4, and there is no allow_ipv4")
        else:
            when = "also where there are AAAA records" if self._options.translate_all else "if there is no AAAA record"
            yield Note(f"makes AAAA records of A records with the prefix {self._options.prefix}, {when}")

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, with addresses from A records where it has none."""
        result = self.next(query)
        if query.qtype != AAAA or query.qclass != IN or (query.client.family == 1 and not self._options.allow_ipv4):
            return result
        return then(result, lambda reply: self._translate(query, reply))

    def _translate(self, query: Query, reply: Reply) -> Result:
        if reply.dropped or reply.rcode == NXDOMAIN:
            return reply
        sections = reply.records(query)
        has_addresses = any(record.rtype == AAAA and not record.data.startswith(_MAPPED) for record in sections.answer)
        if has_addresses and not self._options.translate_all:
            return reply
        limit_seconds = next((record.ttl for record in sections.authority if record.rtype == SOA), NO_SOA_TTL_SECONDS)
        inner = query.derive(name=query.name, qtype=A)

        def synthesize(found: Reply) -> Result:
            if found.dropped or not found.plugin:
                return reply
            records = found.records(inner)
            if not any(record.rtype == A for record in records.answer):
                # RFC 6147 section 5.1.6: the empty result or error of the A query is the basis of the reply.
                if not has_addresses:
                    found.set_records(records)
                    found.reusable = found.reusable and reply.reusable
                    return found
                return reply
            answer = tuple(self._synthetic(record, limit_seconds) for record in records.answer)
            found.set_records(Sections(answer, records.authority, records.additional))
            found.flags &= ~(FLAG_AA | FLAG_AD | FLAG_RA)
            found.reusable = False  # each one is counted
            self._translated.labels(query.server).inc()
            return found

        return then(self.setup.resolve(query, query.name, A), synthesize)

    def _synthetic(self, record: Record, limit_seconds: int) -> Record:
        if record.rtype != A:
            return record
        ttl = min(record.ttl, limit_seconds)
        return Record(record.name, AAAA, ttl, embed(self._options.prefix, record.data), record.rclass)


def parse_prefix(token: Token) -> ipaddress.IPv6Network:
    """The IPv6 prefix that a word is. Raises ConfigError."""
    match = _CIDR.fullmatch(token.text)
    try:
        network = ipaddress.ip_network((match[1], int(match[2])), strict=False) if match else None
    except ValueError:
        network = None
    if network is None:
        raise token.error(f"invalid CIDR address: {token.text}", label=ConfigError.NO_POSITION)
    if not isinstance(network, ipaddress.IPv6Network):
        raise token.error(f'invalid netmask {network.max_prefixlen} IPv6 address: "{network}"')
    if network.prefixlen not in _BITS:
        raise token.error(f'invalid prefix length "{network}"', hint="take 32 to 96 bits, a multiple of 8")
    return network


def embed(prefix: ipaddress.IPv6Network, address: bytes) -> bytes:
    """The IPv6 address (16 octets) of an IPv4 address (4 octets): prefix, address, zeroes; octet 8 stays free.

    RFC 6052 section 2.2.
    """
    octets = bytearray(prefix.network_address.packed)
    position = prefix.prefixlen // 8
    for octet in address:
        position += position == _RESERVED_OCTET
        octets[position] = octet
        position += 1
    return bytes(octets)
