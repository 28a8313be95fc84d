# SPDX-License-Identifier: Apache-2.0
"""acl - lets only some clients ask some questions.

## Description

Rules are tried in the order in which they stand in the Corefile; a rule is for the queries in its zones. The first of
its policies that fits the type of the query and the address of the client decides. A query that no policy decides on is
allowed.

The decision is made before *cache*, so a client never gets from there what it may not ask for. Look-ups that the server
makes for a query, such as those for the target of a CNAME record, are decided on as if the client had made them.

## Syntax

~~~ txt
acl [ZONES...] {
    ACTION [type QTYPE...] [net SOURCE...]
}
~~~

It may be repeated, and has any number of policies.

* **ZONES** are the zones that the rule is for, by default those of the server block.
* **ACTION** is one of
    * `allow`: the query is passed on;
    * `block`: the reply is REFUSED, with the extended error "Blocked" (RFC 8914);
    * `filter`: the reply is empty, with NOERROR and the extended error "Filtered";
    * `drop`: there is no reply.
* `type` narrows the policy to queries of these types; `*` means all, as does leaving it out.
* `net` narrows it to clients with these addresses or in these networks; `*` means all, as does leaving it out.

Extended errors go only to clients that sent an OPT record.

## Metrics

* `coredns_acl_blocked_requests_total{server, zone, view}` - queries that were blocked.
* `coredns_acl_filtered_requests_total{server, zone, view}` - queries that were filtered.
* `coredns_acl_dropped_requests_total{server, zone, view}` - queries that were dropped.
* `coredns_acl_allowed_requests_total{server, view}` - queries that were allowed.

`zone` is the rule's zone.

## Examples

Nobody in 192.168.0.0/16 gets records of type A, and nobody at all those of type ANY:

~~~ corefile
. {
    acl {
        block type A net 192.168.0.0/16
        filter type ANY
    }
    whoami
}
~~~

Only two networks may ask for names in `corp.example`:

~~~ corefile
. {
    acl corp.example {
        allow net 10.0.0.0/8 fd00:10::/32
        drop
    }
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import NOERROR, REFUSED, TYPE_NUMBERS
from clusterdns.observability.metrics import Value
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

Network: TypeAlias = IPv4Network | IPv6Network

ALLOW: Final = "allow"
BLOCK: Final = "block"
FILTER: Final = "filter"
DROP: Final = "drop"
_ACTIONS: Final = (ALLOW, BLOCK, FILTER, DROP)
_COUNTED: Final = {BLOCK: "blocked", FILTER: "filtered", DROP: "dropped"}

_BLOCKED: Final = extended_error(15)
_FILTERED: Final = extended_error(17)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class Policy(msgspec.Struct, frozen=True):
    """``types`` and ``networks`` are None for all."""

    action: str
    types: frozenset[int] | None = None
    networks: tuple[Network, ...] | None = None


class Rule(msgspec.Struct, frozen=True):
    """``zones``: in lower-case wire form, the longest first."""

    zones: tuple[bytes, ...]
    policies: tuple[Policy, ...]


class Acl(Plugin):
    """The directive."""

    name = "acl"
    pure = True  # replies that the client's address decided on are marked one by one
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> tuple[Rule, ...]:
        """The rules, one for each line."""
        rules = []
        for line in reader.lines:
            zones = _zones(reader, line)
            policies = []
            for option in line.block or ():
                with reader.collecting():
                    policies.append(_policy(option))
            if not line.block:
                reader.warn(line.name, "without a policy this decides nothing: every query is allowed")
            rules.append(Rule(tuple(sorted(map(names.from_text, zones), key=len, reverse=True)), tuple(policies)))
        return tuple(rules)

    def __init__(self, options: tuple[Rule, ...], setup: Setup) -> None:
        super().__init__(options, setup)
        self._rules = [
            (
                rule.zones,
                [(policy, None if policy.networks is None else _Networks(policy.networks)) for policy in rule.policies],
            )
            for rule in options
        ]
        metrics = setup.services.metrics
        self._allowed = metrics.counter(
            "coredns_acl_allowed_requests_total", "Counter of DNS requests being allowed.", ("server", "view")
        )
        self._refused = {
            action: metrics.counter(
                f"coredns_acl_{word}_requests_total",
                f"Counter of DNS requests being {word}.",
                ("server", "zone", "view"),
            )
            for action, word in _COUNTED.items()
        }
        self._allowed_by_server: dict[str, Value] = {}

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, if the query is allowed."""
        action, zone, by_client = self._decide(query)
        if action != ALLOW:
            self._refused[action].labels(query.server, names.to_text(zone), self.setup.view).inc()
            return self._refuse(query, action)
        self._count_allowed(query.server)
        result = self.next(query)
        return after(result, _not_for_others) if by_client else result

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """Counted already."""

    def observe_hits(self, query: Query, reply: Reply, size_bytes: int, hits: int) -> None:
        """A reply can be reused only if the query was allowed whoever asked."""
        self._count_allowed(query.server, hits)

    def observe_hit_durations(self, server: str, zone: bytes, durations: list[tuple[float, int]]) -> None:
        """Not of interest."""

    def _decide(self, query: Query) -> tuple[str, bytes, bool]:
        """The action, the zone of the rule, and whether another client might get another answer."""
        by_client = False
        for zones, policies in self._rules:
            zone = next((zone for zone in zones if names.is_in(query.key, zone)), None)
            if zone is None:
                continue
            for policy, networks in policies:
                if policy.types is not None and query.qtype not in policy.types:
                    continue
                if networks is None:
                    return policy.action, zone, by_client
                by_client = True
                if networks.has(query.client.ip):
                    return policy.action, zone, by_client
        return ALLOW, b"", by_client

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        for number, (zones, policies) in enumerate(self._rules, 1):
            zone = next((zone for zone in zones if names.is_in(query.key, zone)), None)
            if zone is None:
                continue
            for position, (policy, networks) in enumerate(policies, 1):
                if _fits(policy, networks, query):
                    place = f"policy {position} of acl {number}, for {names.to_text(zone)}"
                    hint = "" if policy.action == ALLOW else f"acl {policy.action}s this query by {place}"
                    yield Note(f"{policy.action}: {place} is the first that fits", hint=hint)
                    return
        yield Note("allow: no policy fits")

    def _refuse(self, query: Query, action: str) -> Reply:
        if action == DROP:
            return Reply.no_reply(self.name)
        reply = Reply(REFUSED if action == BLOCK else NOERROR, plugin=self.name)
        reply.options = _BLOCKED if action == BLOCK else _FILTERED
        return reply

    def _count_allowed(self, server: str, queries: int = 1) -> None:
        value = self._allowed_by_server.get(server)
        if value is None:
            value = self._allowed_by_server[server] = self._allowed.labels(server, self.setup.view)
        value.value += queries


def _not_for_others(reply: Reply) -> Reply:
    reply.reusable = False
    return reply


def _fits(policy: Policy, networks: _Networks | None, query: Query) -> bool:
    if policy.types is not None and query.qtype not in policy.types:
        return False
    return networks is None or networks.has(query.client.ip)


class _Networks:
    """Addresses by the networks that they are in: one look-up for each length of prefix, however many there are."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._masked: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            masks = self._masked[network.version]
            masks.setdefault(int(network.netmask), set()).add(int(network.network_address))

    def has(self, address: IPv4Address | IPv6Address) -> bool:
        value = int(address)
        return any(value & mask in networks for mask, networks in self._masked[address.version].items())


def _zones(reader: DirectiveReader, line: Line) -> list[str]:
    for token in line.args:
        if expand_zones([token.text])[1]:
            reader.warn(token, f"'{token.text}' is no zone and is left out")
    return expand_zones(line.words)[0] if line.args else list(reader.block.zones)


def _policy(option: Line) -> Policy:
    action = option.name.text.lower()
    if action not in _ACTIONS:
        raise option.name.error(f"unexpected token \"{option.name.text}\"; expect 'allow', 'block', 'filter' or 'drop'")
    option.no_block()
    sections: dict[str, list[Token]] = {}
    section: list[Token] | None = None
    for token in option.args:
        if token.text in ("type", "net"):
            section = sections.setdefault(token.text, [])
        elif section is None:
            raise token.error(f"unexpected token \"{token.text}\"; expect 'type | net'")
        else:
            section.append(token)
    for word, tokens in sections.items():
        if not tokens:
            raise option.last.error(f'no token specified in "{word}" section')
    types = sections.get("type")
    networks = sections.get("net")
    return Policy(
        action,
        None if types is None else _types(types),
        None if networks is None else _networks(networks),
    )


def _types(tokens: list[Token]) -> frozenset[int] | None:
    types = set()
    for token in tokens:
        if token.text != "*" and token.text not in TYPE_NUMBERS:
            raise token.error(f'unexpected token "{token.text}"; expect legal QTYPE')
        types.add(TYPE_NUMBERS.get(token.text, 0))
    return None if any(token.text == "*" for token in tokens) else frozenset(types)


def _networks(tokens: list[Token]) -> tuple[Network, ...] | None:
    networks = tuple(_network(token) for token in tokens if token.text != "*")
    return None if any(token.text == "*" for token in tokens) else networks


def _network(token: Token) -> Network:
    """A network or an address; IPv4-mapped ones are IPv4, as clients' addresses are."""
    text = token.text if "/" in token.text else f"{token.text}/{128 if ':' in token.text else 32}"
    address, _, bits = text.partition("/")
    try:
        if not (bits.isascii() and bits.isdigit() and address.isascii()) or "%" in address:
            raise ValueError(text)
        network = ip_network(text, strict=False)
    except ValueError:
        raise token.error(f'illegal CIDR notation "{text}"') from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return ip_network((str(mapped), network.prefixlen - 96))
    return network
