# SPDX-License-Identifier: Apache-2.0
"""loadbalance - changes the order of the addresses in replies, so that clients spread over them.

## Description

Most clients connect to the first address of a reply. *loadbalance* shuffles the A and AAAA records, and the MX records,
of each section; CNAME records come first, then the others in their order, then the shuffled ones. The order of SRV
records stays. Only replies with rcode NOERROR are changed.

## Syntax

~~~ txt
loadbalance [round_robin] {
    prefer CIDR...
}
~~~

* `round_robin` is the only policy there is, and the default.
* `prefer` puts the addresses in the networks **CIDR** before all others; among themselves both stay shuffled. It may be
  repeated.

## Examples

~~~ corefile
. {
    loadbalance
    whoami
}
~~~

Addresses of the own site first:

~~~ corefile
. {
    loadbalance round_robin {
        prefer 10.20.0.0/16 fd00:20::/32
    }
    whoami
}
~~~
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from random import Random
from typing import Final, TypeAlias

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.dns.types import AAAA, AXFR, CNAME, IXFR, MX, NOERROR, A
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections

Network: TypeAlias = IPv4Network | IPv6Network

_ADDRESSES: Final = (A, AAAA)
_FIXED_BYTES: Final = 12
"""Octets of a compiled address record before its address: pointer, type, class, TTL, length."""


class Options(msgspec.Struct, frozen=True):
    """``prefer``: networks whose addresses come first."""

    prefer: tuple[Network, ...] = ()


class Loadbalance(Plugin):
    """The directive."""

    name = "loadbalance"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """A policy and networks."""
        prefer: list[Network] = []

        def read_prefer(option: Line) -> None:
            option.no_block()
            for token in option.args:
                with reader.collecting():
                    prefer.append(_network(token))

        for line in reader.lines:
            with reader.collecting():
                _check_policy(line)
                reader.options(line, {"prefer": read_prefer})
        return Options(tuple(prefer))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._prefer = _Preference(options.prefer)
        self._random = Random()

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, in another order."""
        result = self.next(query)
        if query.qtype in (AXFR, IXFR):
            return result
        return after(result, lambda reply: self._reorder(query, reply))

    def _reorder(self, query: Query, reply: Reply) -> Reply:
        if reply.rcode != NOERROR:
            return reply
        compiled = reply.compiled
        if compiled is not None:
            if compiled.rotating > 1:
                variants = compiled.shuffled(self._random)
                reply.variants = self._prefer.variants(compiled, variants) if self._prefer else variants
            return reply
        before = reply.records(query)
        ordered = Sections(self._order(before.answer), self._order(before.authority), self._order(before.additional))
        if ordered != before:
            reusable = reply.reusable
            reply.set_records(ordered)
            reply.reusable = reusable
        if any(map(_has_choice, (before.answer, before.authority, before.additional))):
            reply.reusable = False  # else every client would get this one order
        return reply

    def _order(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        if len(records) < 2:
            return records
        names = [record for record in records if record.rtype == CNAME]
        others = [record for record in records if record.rtype not in (CNAME, *_ADDRESSES, MX)]
        addresses = [record for record in records if record.rtype in _ADDRESSES]
        mail = [record for record in records if record.rtype == MX]
        self._random.shuffle(addresses)
        self._random.shuffle(mail)
        if self._prefer:
            addresses.sort(key=lambda record: not self._prefer.has(record.data))
        return (*names, *others, *addresses, *mail)


def _has_choice(records: tuple[Record, ...]) -> bool:
    """True if the records could stand in more than one order."""
    types = [record.rtype for record in records]
    return types.count(A) + types.count(AAAA) > 1 or types.count(MX) > 1


class _Preference:
    """Which addresses come first."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = tuple(
            (network.max_prefixlen // 8, int(network.netmask), int(network.network_address)) for network in networks
        )

    def __bool__(self) -> bool:
        return bool(self._networks)

    def has(self, address: bytes) -> bool:
        """True if the address, in network order, is in one of the networks."""
        value = int.from_bytes(address, "big")
        size = len(address)
        return any(size == octets and value & mask == network for octets, mask, network in self._networks)

    def variants(self, compiled: CompiledAnswer, variants: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """The orders of a compiled answer, each with the preferred addresses first."""
        return tuple([self._first(compiled, body) for body in variants])

    def _first(self, compiled: CompiledAnswer, body: bytes) -> bytes:
        size = compiled.record_bytes
        end = compiled.rotating * size
        records = [body[start : start + size] for start in range(0, end, size)]
        records.sort(key=lambda record: not self.has(record[_FIXED_BYTES:]))
        return b"".join(records) + body[end:]


def _check_policy(line: Line) -> None:
    if not line.args:
        return
    policy = line.args[0]
    if policy.text == "weighted":
        if len(line.args) < 2:
            raise policy.error("missing weight file argument")
        raise policy.error("policy 'weighted' isn't implemented yet", hint="use round_robin")
    if policy.text != "round_robin":
        raise policy.error(
            f"unknown policy: {policy.text}", label=ConfigError.NO_POSITION, hint="the policy there is: round_robin"
        )
    if len(line.args) > 1:
        raise line.args[1].error("unknown property for round_robin")


def _network(token: Token) -> Network:
    address, _, prefix = token.text.partition("/")
    try:
        if "%" in address or not (prefix.isascii() and prefix.isdigit()):
            raise ValueError(token.text)
        return ip_network(token.text, strict=False)
    except ValueError:
        raise token.error(
            f'invalid CIDR "{token.text}": invalid CIDR address: {token.text}',
            hint="write it as ADDRESS/BITS, such as 10.0.0.0/8",
        ) from None
