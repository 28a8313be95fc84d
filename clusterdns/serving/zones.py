# SPDX-License-Identifier: Apache-2.0
"""What the directives have in common that serve whole zones (``file``, ``auto``, ``secondary``)."""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from clusterdns.config.directive import DirectiveReader, Line, Token, parse_with
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.types import AXFR, DS, FLAG_AA, FLAG_TC, IN, IXFR, NOTIFY, NXDOMAIN, REFUSED, SERVFAIL, type_text
from clusterdns.dns.wire import Record
from clusterdns.errors import ConfigError
from clusterdns.expressions.duration import parse_duration
from clusterdns.expressions.numerals import atoi
from clusterdns.serving.capabilities import ZoneListener
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Plain, Unless
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note, Origin
from clusterdns.zone.lookup import Answer, find
from clusterdns.zone.tree import Zone

if TYPE_CHECKING:
    from clusterdns.serving.capabilities import Setup

T = TypeVar("T")

_MAX_TTL_SECONDS: Final = 3600


class ZonePlugin(Plugin):
    """Answers from whole zones.

    zones: by name, lower case; None for one that isn't there yet or can't be trusted any more.
    fallthrough: zones for whose names, where they don't exist, the next plugin is asked.
    """

    pure: ClassVar[bool] = True
    in_chain: ClassVar[bool] = True
    end_rcode: ClassVar[int] = REFUSED

    def __init__(self, options: Any, setup: Setup, fallthrough: tuple[bytes, ...] = ()) -> None:
        super().__init__(options, setup)
        self.zones: dict[bytes, Zone | None] = {}
        self.fallthrough = fallthrough

    def plain(self, zone: bytes) -> Plain | None:
        """Passed on outside of the zones, which may become others."""
        return Unless(lambda name: any(suffix in self.zones for suffix in names.suffixes(name)))

    def handle(self, query: Query) -> Result:
        """Answer a query for a name in the zones."""
        origin = self._origin(query)
        if origin is None or query.qclass != IN:
            return self.next(query)
        if query.qtype in (AXFR, IXFR):
            return Reply(REFUSED, plugin=self.name)
        if query.opcode == NOTIFY:
            return self.notified(query, origin)
        zone = self.zones[origin]
        if zone is None:
            return Reply.failure(f"zone {names.to_text(origin)} is not loaded", plugin=self.name)
        do = query.edns is not None and query.edns.do
        answer = find(zone, query.key, query.qtype, do=do, every_set=query.client.protocol != "udp")
        if answer.wildcard is not None:
            query.metadata.set("zone/wildcard", names.to_text(answer.wildcard))
        if answer.rcode == NXDOMAIN and not answer.answer and self._falls_through(query.key):
            return self.next(query)
        if answer.leads_to is None:
            return self._reply(answer, Sections(answer.answer, answer.authority, answer.additional), answer.rcode)
        inner = query.derive(name=answer.leads_to)
        return after(query.resolve(query, answer.leads_to, query.qtype), partial(self._join, inner, answer))

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        origin = self._origin(query)
        if origin is None or query.qclass != IN:
            zones = ", ".join(map(names.to_text, self.zones)) or "a zone, for there is none"
            yield Note(f"passed on: the name is not in {zones}")
            return
        zone, text = self.zones[origin], names.to_text(origin)
        if zone is None:
            yield Note(f"zone {text} is not loaded", hint=f"{self.name} has not loaded zone {text}: its log tells why")
        elif query.qtype in (AXFR, IXFR):
            yield Note("zone transfers are up to transfer, which does not stand in front or lets this one pass")
        else:
            yield from self._explain_answer(query, zone, Origin("Zone", text, f"serial {zone.serial}"))

    def _explain_answer(self, query: Query, zone: Zone, origin: Origin) -> Iterator[Note]:
        answer = find(zone, query.key, query.qtype)
        if answer.rcode == NXDOMAIN and not answer.answer:
            falls = self._falls_through(query.key)
            end = ": passed on (fallthrough)" if falls else ", and no fallthrough is for it"
            yield Note(f"zone {origin.name} does not have the name{end}", origins=(origin,))
            return
        through = "" if answer.wildcard is None else f" by the wildcard {names.to_text(answer.wildcard)}"
        if not answer.authoritative:
            yield Note(f"zone {origin.name} delegates the name to other servers", origins=(origin,))
        elif answer.answer:
            yield Note(f"zone {origin.name} has the name{through}", origins=(origin,))
        else:
            rtype = type_text(query.qtype)
            yield Note(f"zone {origin.name} has the name{through}, but no {rtype} record", origins=(origin,))
        if answer.leads_to is not None:
            yield Note(f"an alias leads out of the zone, to {names.to_text(answer.leads_to)}")

    def notified(self, query: Query, origin: bytes) -> Result:
        """Somebody says that a zone has changed. Who isn't to say so gets no reply (RFC 1996 section 3.10)."""
        self.log.debug("Dropping notify from %s for %s", query.client.address, names.to_text(origin))
        return Reply.no_reply(self.name)

    def _origin(self, query: Query) -> bytes | None:
        """The longest zone that the name is in; for DS at its top the zone above (RFC 4035 section 3.1.4.1)."""
        zones = self.zones
        at_top: bytes | None = None
        for name in names.suffixes(query.key):
            if name in zones:
                if query.qtype != DS or name != query.key:
                    return name
                at_top = name
        return at_top

    def _falls_through(self, key: bytes) -> bool:
        return any(names.is_in(key, zone) for zone in self.fallthrough)

    def _reply(self, answer: Answer, sections: Sections, rcode: int, *, reusable: bool = True) -> Reply:
        reply = Reply(rcode, sections, flags=FLAG_AA if answer.authoritative else 0, plugin=self.name)
        reply.reusable = reusable
        return reply

    def _join(self, inner: Query, answer: Answer, found: Reply) -> Reply:
        """An alias, and what others answered for its end: their rcode is that of the whole (RFC 6604 section 3)."""
        if not found.plugin:  # nobody to ask: as an authoritative server that doesn't have the target's zone
            return self._reply(answer, Sections(answer.answer, answer.authority), answer.rcode, reusable=False)
        if found.dropped:
            return self._reply(answer, Sections(answer.answer), SERVFAIL, reusable=False)
        records = found.records(inner)
        authority = answer.authority if records.answer else records.authority
        sections = Sections((*answer.answer, *records.answer), authority)
        reply = self._reply(answer, sections, found.rcode, reusable=found.reusable)
        reply.transient = found.transient
        reply.flags |= found.flags & FLAG_TC
        reply.options = found.options
        reply.error = found.error
        return reply

    @cached_property
    def _zone_listeners(self) -> tuple[ZoneListener, ...]:
        # Looked for once: to find out takes long, and there may be thousands of zones.
        return tuple(plugin for plugin in self.setup.siblings.values() if isinstance(plugin, ZoneListener))

    def publish(self, origin: bytes) -> None:
        """A zone has changed: forget what was remembered, and tell those that want to know."""
        self.setup.publish()
        for listener in self._zone_listeners:
            listener.zone_changed(origin)

    def transferable(self) -> tuple[bytes, ...]:
        """See ZoneSource."""
        return tuple(self.zones)

    def zone_records(self, zone: bytes) -> Iterable[Record] | None:
        """See ZoneSource."""
        found = self.zones.get(zone)
        return None if found is None else found.records()


def read_zones(reader: DirectiveReader, tokens: tuple[Token, ...]) -> tuple[bytes, ...]:
    """The zones written as arguments, those of the server block without any; words that aren't zones are warned of."""
    for token in tokens:
        if expand_zones([token.text])[1]:
            reader.warn(token, f"{token.text} is not a zone and is ignored")
    zones = expand_zones([token.text for token in tokens])[0] if tokens else reader.block.zones
    return tuple(names.from_text(zone) for zone in zones)


def read_fallthrough(reader: DirectiveReader, line: Line) -> tuple[bytes, ...]:
    """The zones of a ``fallthrough``, all without arguments."""
    line.no_block()
    return read_zones(reader, line.args) if line.args else (names.ROOT,)


def read_ttl(reader: DirectiveReader, line: Line) -> int:
    """The TTL in seconds of a ``ttl`` of *kubernetes* or *k8s_external*. Raises ConfigError in CoreDNS's words."""
    if not line.args:
        raise line.wrong_count()
    seconds = parse_with(line.args[0], atoi, label=ConfigError.NO_POSITION)
    if not 0 <= seconds <= _MAX_TTL_SECONDS:
        raise line.args[0].error(f"ttl must be in range [0, {_MAX_TTL_SECONDS}]: {seconds}")
    for token in line.args[1:]:
        reader.warn(token, f"{token.text} is ignored: ttl takes one number")
    return seconds


def read_reload(line: Line) -> float:
    """The duration of a ``reload`` in seconds, 0 for never. Raises ConfigError in CoreDNS's words."""
    line.no_block()
    if not line.args:
        raise line.name.error("reload duration value is expected", label=ConfigError.NO_POSITION)
    line.expect(1)
    seconds = parse_with(line.args[0], parse_duration, label=ConfigError.NO_POSITION)
    if seconds < 0:
        raise line.args[0].error("invalid duration", label=ConfigError.NO_POSITION, hint="0 never reads it again")
    return seconds


def ignore_upstream(reader: DirectiveReader, line: Line) -> None:
    """``upstream``, which older versions of CoreDNS had, does nothing."""
    reader.warn(line.name, "upstream does nothing any more", hint="remove it: names outside are asked of this server")


@types.coroutine
def _pause() -> Generator[None, None, None]:
    """Let the event loop do other work first."""
    yield


async def in_turns(work: Generator[None, None, T]) -> T:
    """The result of ``work``, with other tasks in between where it yields."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await _pause()
