# SPDX-License-Identifier: Apache-2.0
"""From services to records: what a name has of a type, as SkyDNS had it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from clusterdns.dns import names
from clusterdns.dns.types import AAAA, CNAME, FLAG_TC, MX, NOERROR, NS, PTR, SERVFAIL, SOA, SRV, TXT, A
from clusterdns.dns.wire import Record
from clusterdns.errors import UpstreamError, WireError
from clusterdns.plugins.etcd.service import Kind, Service
from clusterdns.plugins.etcd.store import Services

MOST_ALIASES: Final = 10
"""That lead to one another."""

MOST_STEPS: Final = 200
"""Names that are looked at for one query, those that were looked at before included."""

MOST_TARGETS: Final = 16
"""Names elsewhere whose addresses are looked up for the additional section."""

SOA_TTL_SECONDS: Final = 30
_REFRESH_SECONDS, _RETRY_SECONDS, _EXPIRE_SECONDS = 7200, 1800, 86400
_DEFAULT_WEIGHT: Final = 100
_STRING_BYTES: Final = 255
_KINDS: Final = {A: Kind.IPV4, AAAA: Kind.IPV6, TXT: Kind.TEXT}
_APEX: Final = b"\4apex\3dns"
_NAME_SERVERS: Final = b"\2ns\3dns"
_HOSTMASTER: Final = b"\x0ahostmaster"


class Elsewhere(msgspec.Struct, frozen=True):
    """What others answer about the target of an alias: rcode, flags, answer and authority section, and their error.

    As it is by default where there is nobody to ask.
    """

    rcode: int = NOERROR
    flags: int = 0
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    error: str = ""


Resolve: TypeAlias = Callable[[bytes, int], Awaitable[Elsewhere]]


class Found(msgspec.Struct):
    """The answer to a question; both sections empty where there is no data."""

    answer: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    rcode: int = NOERROR
    flags: int = 0


class Synthesis:
    """Makes records for one query.

    zone: of the directive, lower case. resolve: asks for names elsewhere.
    """

    def __init__(self, services: Services, zone: bytes, resolve: Resolve) -> None:
        self._services = services
        self._zone = zone
        self._resolve = resolve
        self._steps = 0
        self._replies: list[Elsewhere] = []

    async def find(self, name: bytes, qtype: int) -> Found | None:
        """What a name has of a type; None if it doesn't exist. Raises UpstreamError."""
        key = name.lower()
        if qtype in _KINDS:
            return await self._find_with_aliases(name, key, qtype)
        if qtype in (CNAME, PTR):
            return await self._find_exact(name, key, qtype)
        if qtype == SRV:
            return await self._find_servers(name, key)
        if qtype == MX:
            return await self._find_exchangers(name, key)
        if key == self._zone and qtype == NS:
            return await self._find_name_servers(name, key)
        if key == self._zone and qtype == SOA:
            return Found((soa(self._zone, name),))
        return None if await self._services.at(key) is None else Found()

    # Addresses and texts, over aliases

    async def _find_with_aliases(self, name: bytes, key: bytes, qtype: int) -> Found | None:
        records = await self._follow(name, key, qtype, ())
        if records is None:
            return None
        answer = _distinct(records)
        flags = 0
        for reply in self._replies:
            flags |= reply.flags & FLAG_TC
        failed = [reply for reply in self._replies if reply.rcode == SERVFAIL]
        if failed and not any(record.rtype == qtype for record in answer):
            raise UpstreamError(failed[0].error or "the target of an alias can't be looked up")
        found = Found(answer, flags=flags)
        if len(self._replies) == 1 and answer and all(record.rtype == CNAME for record in answer):
            # RFC 6604 section 3: the rcode is that of the end, and RFC 2308 section 2.1: so is the SOA record.
            found.rcode, found.authority = self._replies[0].rcode, self._replies[0].authority
        return found

    async def _follow(self, owner: bytes, key: bytes, qtype: int, chain: tuple[Record, ...]) -> list[Record] | None:
        """The records of a name and of what its aliases lead to; None if it doesn't exist."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise UpstreamError(f"more than {MOST_STEPS} aliases lead to one another")
        services = await self._services_of(key, qtype)
        if services is None:
            return None
        records: list[Record] = []
        for service in services:
            kind = service.kind
            if kind == _KINDS[qtype]:
                records.append(Record(owner, qtype, service.ttl, _data(service)))
            elif kind == Kind.ALIAS:
                records += await self._follow_alias(service, owner, key, qtype, chain)
        return records

    async def _services_of(self, key: bytes, qtype: int) -> list[Service] | None:
        """Addresses of the zone itself are at a place of their own, and where nothing is there in the whole zone."""
        if key == self._zone and qtype != TXT:
            services = await self._services.at(_APEX + self._zone)
            if services is not None:
                return services
        return await self._services.at(key, texts=qtype == TXT)

    async def _follow_alias(
        self, service: Service, owner: bytes, key: bytes, qtype: int, chain: tuple[Record, ...]
    ) -> list[Record]:
        target = _name(service)
        if target is None or names.is_in(target.lower(), key) or len(chain) > MOST_ALIASES:
            return []
        if any(record.data.lower() == target.lower() for record in chain):
            return []
        alias = Record(owner, CNAME, service.ttl, target)
        if names.is_in(target.lower(), self._zone):
            further = await self._follow(target, target.lower(), qtype, (*chain, alias))
            return [alias, *further] if further else []
        reply = await self._resolve(target, qtype)
        self._replies.append(reply)
        return [alias, *reply.answer]

    # The very key only

    async def _find_exact(self, name: bytes, key: bytes, qtype: int) -> Found | None:
        services = await self._services.at(key, exact=True)
        if services is None:
            return Found() if await self._services.exist(key) else None
        if qtype == CNAME:
            services = services[:1]
        targets = [(service.ttl, _name(service)) for service in services if service.address is None]
        records = [Record(name, qtype, ttl, target) for ttl, target in targets if target is not None]
        return Found(tuple({record.data: record for record in reversed(records)}.values())[::-1])

    # Records with a target

    async def _find_servers(self, name: bytes, key: bytes) -> Found | None:
        services = await self._services.at(key)
        if services is None:
            return None
        totals: dict[int, int] = {}
        for service in services:
            totals[service.priority] = totals.get(service.priority, 0) + _weight(service)

        def data(service: Service, target: bytes) -> bytes:
            share = max(1, _DEFAULT_WEIGHT * _weight(service) // totals[service.priority])
            return b"".join(_uint16(number) for number in (service.priority, share, service.port)) + target

        return await self._with_targets(name, SRV, [each for each in services if each.port >= 0], data)

    async def _find_exchangers(self, name: bytes, key: bytes) -> Found | None:
        services = await self._services.at(key)
        if services is None:
            return None
        return await self._with_targets(
            name, MX, [each for each in services if each.mail], lambda each, target: _uint16(each.priority) + target
        )

    async def _with_targets(
        self, name: bytes, qtype: int, services: Iterable[Service], data: Callable[[Service, bytes], bytes]
    ) -> Found:
        """Records with a target each, and the addresses of the targets. The one of an address is made from its key."""
        answer: dict[tuple[bytes, int], Record] = {}
        additional: list[Record] = []
        looked_up: dict[bytes, None] = {}
        for service in services:
            kind = service.kind
            named = _name(service) if kind == Kind.ALIAS else None if kind == Kind.TEXT else self._name_of_key(service)
            if named is None:
                continue
            target = service.stripped(named)
            record = Record(name, qtype, service.ttl, data(service, target))
            if kind == Kind.ALIAS:
                answer.setdefault((record.data, -1), record)
                looked_up.setdefault(target)
            else:
                answer.setdefault((target, service.port if qtype == SRV else service.priority), record)
                rtype = A if kind == Kind.IPV4 else AAAA
                additional.append(Record(target, rtype, service.ttl, _data(service)))
        additional += await self._addresses_of(looked_up)
        return Found(tuple(answer.values()), _distinct(additional))

    async def _addresses_of(self, targets: Iterable[bytes]) -> list[Record]:
        """The addresses of names, those that can be had: the records without them are right as well."""
        found: list[Record] = []
        elsewhere = 0
        for target in targets:
            inside = names.is_in(target.lower(), self._zone)
            elsewhere += not inside
            if elsewhere > MOST_TARGETS and not inside:
                continue
            for qtype in (A, AAAA):
                try:
                    if inside:
                        found += await self._follow(target, target.lower(), qtype, ()) or ()
                    else:
                        found += (await self._resolve(target, qtype)).answer
                except UpstreamError:
                    return found
        return found

    async def _find_name_servers(self, name: bytes, key: bytes) -> Found | None:
        services = await self._services.at(_NAME_SERVERS + self._zone)
        if services is None:
            return Found() if await self._services.exist(key) else None
        answer: dict[bytes, Record] = {}
        additional = []
        for service in services:
            if service.kind == Kind.ALIAS:
                raise UpstreamError(f"NS record must be an IP address: {service.host}")
            if service.kind == Kind.TEXT:
                continue
            named = self._name_of_key(service)
            if named is None:
                continue
            target = service.stripped(named)
            rtype = A if service.kind == Kind.IPV4 else AAAA
            answer.setdefault(target, Record(name, NS, service.ttl, target))
            additional.append(Record(target, rtype, service.ttl, _data(service)))
        return Found(tuple(answer.values()), _distinct(additional))

    def _name_of_key(self, service: Service) -> bytes | None:
        try:
            return self._services.tree.name(service.key)
        except WireError:
            return None


def soa(zone: bytes, owner: bytes) -> Record:
    """The SOA record of a zone. Its serial number is the time: nothing tells when something has changed."""
    numbers = (int(time.time()), _REFRESH_SECONDS, _RETRY_SECONDS, _EXPIRE_SECONDS, SOA_TTL_SECONDS)
    data = _NAME_SERVERS + zone + _HOSTMASTER + zone
    return Record(owner, SOA, SOA_TTL_SECONDS, data + b"".join(number.to_bytes(4, "big") for number in numbers))


def _data(service: Service) -> bytes:
    """The data of the record that a service is by itself: an address or a text."""
    address = service.address
    if address is not None:
        return address.packed
    text = service.text.encode("utf-8", "surrogateescape")
    parts = [text[start : start + _STRING_BYTES] for start in range(0, len(text), _STRING_BYTES)]
    return b"".join(bytes([len(part)]) + part for part in parts)


def _name(service: Service) -> bytes | None:
    try:
        return service.host_name
    except WireError:
        return None


def _weight(service: Service) -> int:
    return service.weight if service.weight > 0 else _DEFAULT_WEIGHT


def _uint16(number: int) -> bytes:
    return min(max(number, 0), 0xFFFF).to_bytes(2, "big")


def _distinct(records: Iterable[Record]) -> tuple[Record, ...]:
    """Without records that differ in their TTL alone (RFC 2181 section 5.2)."""
    kept: dict[tuple[bytes, int, bytes], Record] = {}
    for record in records:
        kept.setdefault((record.name.lower(), record.rtype, record.data), record)
    return tuple(kept.values())
