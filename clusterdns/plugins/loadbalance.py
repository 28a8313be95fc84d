# SPDX-License-Identifier: Apache-2.0
"""loadbalance - changes the order of the addresses in replies, so that clients spread over them.

## Description

Most clients connect to the first address of a reply. By default *loadbalance* shuffles the A and AAAA records, and the
MX records, of each section; CNAME records come first, then the others in their order, then the shuffled ones. The order
of SRV records stays. Only replies with rcode NOERROR are changed.

## Syntax

~~~ txt
loadbalance [round_robin] {
    prefer CIDR...
}
~~~

* `round_robin` is the default policy: every address comes first equally often.
* `prefer` puts the addresses in the networks **CIDR** before all others; among themselves both stay shuffled. It may be
  repeated.

~~~ txt
loadbalance weighted FILE {
    reload DURATION
}
~~~

* `weighted` puts one address first, chosen by weights, and leaves the others in their order. It looks at queries for A,
  AAAA and SRV records, and at their answer and additional sections.
* **FILE** has the weights. A relative path starts at *root*. It has one line with a domain name, then one for each
  address: `IP WEIGHT`, the weight being 1 to 255. An address that isn't listed has weight 1. Lines that begin with `#`
  are comments. A file that isn't there is read when it is.
* `reload` is the time between two looks at the file, by default 30s; 0s reads it only once.

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

One of three addresses gets half of the clients:

~~~ corefile
example.org {
    loadbalance weighted /etc/coredns/weights {
        reload 10s
    }
    whoami
}
~~~

~~~ txt
# /etc/coredns/weights
www.example.org
192.0.2.1 2
192.0.2.2 1
192.0.2.3 1
~~~
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, AXFR, CNAME, IXFR, MX, NOERROR, SRV, A
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError, ExpressionError, LifecycleError, WireError
from clusterdns.expressions.duration import format_duration, parse_duration
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Plain, PlainStep
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note

Network: TypeAlias = IPv4Network | IPv6Network

Weights: TypeAlias = dict[bytes, dict[bytes, int]]
"""By lower-case domain name and address in network order."""

_ADDRESSES: Final = (A, AAAA)
_FIXED_BYTES: Final = 12
"""Octets of a compiled address record before its address: pointer, type, class, TTL, length."""


class WeightFile(msgspec.Struct, frozen=True):
    """``path`` as written; ``reload_seconds`` is 0 for never."""

    path: str
    reload_seconds: float = 30.0


class Options(msgspec.Struct, frozen=True):
    """``prefer``: networks whose addresses come first. ``weights``: where they are, None for round_robin."""

    prefer: tuple[Network, ...] = ()
    weights: WeightFile | None = None


class Loadbalance(Plugin):
    """The directive."""

    name = "loadbalance"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """A policy and its options; of several lines the last decides the policy, networks add up."""
        prefer: list[Network] = []
        weights: WeightFile | None = None

        def read_prefer(option: Line) -> None:
            option.no_block()
            for token in option.args:
                with reader.collecting():
                    prefer.append(_network(token))

        for line in reader.lines:
            with reader.collecting():
                weights = _parse_policy(line)
                if weights is None:
                    reader.options(line, {"prefer": read_prefer})
                    continue
                seconds = [weights.reload_seconds]

                def read_reload(option: Line, seconds: list[float] = seconds) -> None:
                    seconds.append(_parse_reload(option))

                reader.options(line, {"reload": read_reload})
                weights = WeightFile(weights.path, seconds[-1])
        return Options(tuple(prefer), weights)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._random = Random()
        self._prefer = _Preference(options.prefer)
        self._file = options.weights
        self._weights: Weights = {}
        self._read = ""
        self._task: Lease | None = None

    async def start(self) -> None:
        """Read the weights. Raises LifecycleError if they are wrong."""
        if self._file is None:
            return
        seconds = self._file.reload_seconds
        try:
            self.read_weights()
        except OSError as error:
            if not seconds:
                raise LifecycleError(f"plugin/{self.name}: weight file open error: {error}") from None
            wait = format_duration(seconds)
            self.log.warning("Failed to open weight file:weight file open error. Will try again in %s", wait)
        except ValueError as error:
            raise LifecycleError(f"plugin/{self.name}: {error}") from None
        if seconds:
            self._task = self.services.spawn("loadbalance: weights", self._read_forever(seconds))

    async def stop(self, final: bool) -> None:
        """Look at the file no more."""
        if self._task is not None:
            await self._task.release()
            self._task = None

    async def _read_forever(self, interval_seconds: float) -> None:
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                self.read_weights()
            except (OSError, ValueError) as error:
                self.log.error("%s", error)

    def read_weights(self) -> None:
        """Take over the weight file if it has changed. Raises OSError or ValueError, and then keeps the old weights."""
        assert self._file is not None
        path = self.setup.path(self._file.path)
        text = Path(path).read_text("utf-8", "replace")
        if text != self._read:
            self._weights = parse_weights(text, path)
            self._read = text
            self.log.info("Successfully reloaded weight file %s", path)

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        if query.qtype in (AXFR, IXFR):
            yield Note("passed on: a zone transfer has its own order")
            return
        if self._file is not None:
            weights = self._weights.get(query.key)
            yield Note(
                f"puts an address first that is drawn by the weights in {self._file.path}"
                + ("" if weights else ", which has none for this name, so each is as likely")
            )
        else:
            yield Note("puts the addresses of the reply into another order for each client")
        if self._prefer:
            yield Note("addresses in the networks of `prefer` come first")

    def plain(self, zone: bytes) -> Plain | None:
        """Addresses without weights and preferences change places at random."""
        return None if self._file is not None or self._prefer else PlainStep.SHUFFLING

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, in another order."""
        result = self.next(query)
        if query.qtype in (AXFR, IXFR):
            return result
        if self._file is not None:
            return after(result, lambda reply: self._put_first(query, reply))
        return after(result, lambda reply: self._reorder(query, reply))

    def _put_first(self, query: Query, reply: Reply) -> Reply:
        if reply.rcode != NOERROR or query.qtype not in (A, AAAA, SRV):
            return reply
        before = reply.records(query)
        ordered = Sections(self._weigh(before.answer), before.authority, self._weigh(before.additional))
        if any(map(_has_choice, (before.answer, before.additional))):
            reply.set_records(ordered)
            reply.reusable = False  # the next client gets another choice
        return reply

    def _weigh(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        first, others, addresses, mail = _groups(records)
        if addresses:
            weights = [self._weights.get(record.name.lower(), {}).get(record.data, 1) for record in addresses]
            (top,) = self._random.choices(range(len(addresses)), weights)
            addresses[0], addresses[top] = addresses[top], addresses[0]
        if self._prefer:
            addresses.sort(key=lambda record: not self._prefer.has(record.data))
        return (*first, *others, *addresses, *mail)

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
            reply.set_records(ordered)
        if any(map(_has_choice, (before.answer, before.authority, before.additional))):
            reply.reusable = False  # else every client would get this one order
        return reply

    def _order(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        if len(records) < 2:
            return records
        first, others, addresses, mail = _groups(records)
        self._random.shuffle(addresses)
        self._random.shuffle(mail)
        if self._prefer:
            addresses.sort(key=lambda record: not self._prefer.has(record.data))
        return (*first, *others, *addresses, *mail)


def _groups(records: tuple[Record, ...]) -> tuple[list[Record], list[Record], list[Record], list[Record]]:
    """CNAME records, others, addresses and MX records, which is the order of a section."""
    first = [record for record in records if record.rtype == CNAME]
    others = [record for record in records if record.rtype not in (CNAME, *_ADDRESSES, MX)]
    addresses = [record for record in records if record.rtype in _ADDRESSES]
    mail = [record for record in records if record.rtype == MX]
    return first, others, addresses, mail


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
        first, records, rest = compiled.split(body)
        records.sort(key=lambda record: not self.has(record[_FIXED_BYTES:]))
        return b"".join((first, *records, rest))


def _parse_policy(line: Line) -> WeightFile | None:
    if not line.args:
        return None
    policy = line.args[0]
    if policy.text == "weighted":
        if len(line.args) < 2:
            raise policy.error("missing weight file argument")
        if len(line.args) > 2:
            raise line.args[2].error("unexpected argument(s)")
        return WeightFile(line.words[1])
    if policy.text != "round_robin":
        raise policy.error(
            f"unknown policy: {policy.text}",
            label=ConfigError.NO_POSITION,
            hint="the policies are round_robin and weighted",
        )
    if len(line.args) > 1:
        raise line.args[1].error("unknown property for round_robin")
    return None


def _parse_reload(option: Line) -> float:
    option.no_block()
    if not option.args:
        raise option.name.error("reload duration value is missing")
    if len(option.args) > 1:
        raise option.args[1].error("unexpected argument")
    try:
        seconds = parse_duration(option.words[0])
    except ExpressionError:
        raise option.args[0].error(f"invalid reload duration '{option.words[0]}'") from None
    if seconds < 0:
        raise option.args[0].error(f"invalid reload duration '{option.words[0]}'", hint="it can't be negative")
    return seconds


def parse_weights(text: str, path: str) -> Weights:
    """The weights in a file. Raises ValueError in CoreDNS's words."""
    domains: Weights = {}
    weights: dict[bytes, int] | None = None
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) == 1:
            weights = domains.setdefault(_parse_domain(words[0], path), {})
        elif len(words) > 2:
            raise ValueError(f'could not parse weight line:"{line.strip()}" in weight file {path}')
        elif weights is None:
            raise ValueError(f"missing domain name in weight file {path}")
        else:
            try:
                address = ip_address(words[0])
            except ValueError:
                raise ValueError(f'wrong IP address:"{words[0]}" in weight file {path}') from None
            if not (words[1].isascii() and words[1].isdigit() and len(words[1]) < 10 and 1 <= int(words[1]) <= 255):
                raise ValueError(f'wrong weight value:"{words[1]}" in weight file {path}')
            weights.setdefault(address.packed, int(words[1]))
    return domains


def _parse_domain(word: str, path: str) -> bytes:
    try:
        ip_address(word)
    except ValueError:
        try:
            return names.from_text(word).lower()
        except WireError as error:
            raise ValueError(f"{error} in weight file {path}") from None
    raise ValueError(f'wrong domain name:"{word}" in weight file {path}. (Maybe a missing weight value?)')


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
