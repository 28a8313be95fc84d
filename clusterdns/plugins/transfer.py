# SPDX-License-Identifier: Apache-2.0
"""transfer - zone transfers to secondary servers.

## Description

Gives whole zones away, by AXFR (RFC 5936) over TCP, and tells secondary servers of new versions with NOTIFY (RFC 1996)
when a zone is read for the first time and whenever its serial number changes, but of one zone no more often than every
5 seconds. IXFR gets the SOA record alone if the client has the newest version, and the whole zone otherwise. The zones
are those of other directives in the server block: `file`, `auto`, `secondary`, `kubernetes` and `k8s_external`.

Of several servers for one cluster each has serial numbers of its own, which tell when it saw the last change. Let a
secondary server transfer from one of them, not from the address of the Service in front of all.

Over UDP transfers are refused, and so they are for clients that aren't named. The directive may be used several times;
the use with the longest zone decides.

## Syntax

~~~ txt
transfer [ZONES...] {
    to ADDRESS...
    source ADDRESS
}
~~~

* **ZONES** are the zones that may be transferred, by default those of the server block, with all below them.
* `to` names the secondary servers, as `IP` or `IP:PORT`. They may transfer the zones, and get NOTIFY at the port, by
  default 53. `*` lets everybody transfer them; nobody is told then. At least one is required.
* `source` is the address that NOTIFY is sent from.

## Examples

~~~ corefile
example.org {
    file db.example.org
    transfer {
        to 192.0.2.10 [2001:db8::10]:5353
        source 192.0.2.1
    }
}
~~~

Everybody may have the zone:

~~~ corefile
example.org {
    file db.example.org
    transfer {
        to *
    }
}
~~~
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import chain
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.dns import names
from clusterdns.dns.types import AXFR, FORMERR, IXFR, REFUSED
from clusterdns.dns.wire import Record
from clusterdns.errors import UpstreamError
from clusterdns.serving.capabilities import Lease, Setup, ZoneSource
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note
from clusterdns.serving.zones import read_zones
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.transfer import read_server, send_notify
from clusterdns.zone.transfer import requested_serial
from clusterdns.zone.tree import is_newer, soa_numbers

MAX_NOTIFYING: Final = 16
"""Servers told at a time: those that don't answer hold up the others only when there are many."""

_LOOK_SECONDS: Final = 1.0
"""How often zones are looked at that couldn't be read yet."""

NOTIFY_GAP_SECONDS: Final = 5.0
"""Between NOTIFYs about one zone: a cluster may change 20 times a second, and each NOTIFY makes a transfer."""


class Use(msgspec.Struct, frozen=True):
    """One use. ``zones`` are in wire form; ``source`` is empty for any address."""

    zones: tuple[bytes, ...]
    everybody: bool
    secondaries: tuple[Endpoint, ...]
    source: str = ""

    def allows(self, address: str) -> bool:
        """True if a client may have the zones."""
        return self.everybody or any(address == secondary.host for secondary in self.secondaries)


class _UseReader:
    """Reads one use."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self._everybody = False
        self._secondaries: dict[Endpoint, None] = {}
        self._source = ""
        self._named = False

    def read(self, line: Line) -> Use:
        zones = read_zones(self._reader, line.args)
        handlers = {"to": self._read_to, "source": self._read_source}
        faults = len(self._reader.errors)
        for option in line.block or ():
            with self._reader.collecting():
                if option.name.text not in handlers:
                    raise option.name.error(f'unknown property "{option.name.text}"')
                handlers[option.name.text](option)
        if not self._named and len(self._reader.errors) == faults:
            raise line.name.error("'to' is required", hint="name the servers that may transfer the zones, or * for all")
        return Use(zones, self._everybody, tuple(self._secondaries), self._source)

    def _read_to(self, line: Line) -> None:
        line.no_block()
        self._named = True
        if not line.args:
            raise line.wrong_count()
        for token in line.args:
            if token.text == "*":
                self._everybody = True
            else:
                self._secondaries[read_server(token)] = None

    def _read_source(self, line: Line) -> None:
        line.no_block()
        line.expect(1)
        if self._source:
            raise line.name.error("source already specified")
        try:
            self._source = str(ip_address(line.words[0]))
        except ValueError:
            raise line.args[0].error(f'invalid source address "{line.words[0]}"') from None


class Transfer(Plugin):
    """All uses in a server block. ``clock`` gives seconds and never goes back."""

    name = "transfer"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> tuple[Use, ...]:
        """See the manual page."""
        uses = []
        for line in reader.lines:
            with reader.collecting():
                uses.append(_UseReader(reader).read(line))
        return tuple(uses)

    def __init__(self, options: tuple[Use, ...], setup: Setup, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(options, setup)
        self._uses = options
        self._clock = clock
        self._changed: dict[bytes, float] = {}
        """When somebody is to be told, by zone, in seconds of the clock."""
        self._told: dict[bytes, float] = {}
        self._unread: set[bytes] = set()
        self._wake = asyncio.Event()
        self._task: Lease | None = None

    async def start(self) -> None:
        """Tell the secondary servers of all zones that there are."""
        if self.setup.listen and any(use.secondaries for use in self._uses):
            for source in self._sources():
                self._unread.update(source.transferable())
            self._task = self.services.spawn("transfer: notify", self._notify_forever())

    async def stop(self, final: bool) -> None:
        """Tell nobody any more."""
        if self._task is not None:
            await self._task.release()
            self._task = None

    def _sources(self) -> Iterator[ZoneSource]:
        return (plugin for plugin in self.setup.siblings.values() if isinstance(plugin, ZoneSource))

    def _use(self, zone: bytes) -> Use | None:
        """The use with the longest zone that a zone is in."""
        found = [(len(own), use) for use in self._uses for own in use.zones if names.is_in(zone, own)]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        if query.qtype not in (AXFR, IXFR):
            yield Note("passed on: no zone transfer")
        elif query.client.protocol != "tcp":
            yield Note("zones are transferred over TCP only")
        else:
            use = self._use(query.key)
            if use is None:
                yield Note("passed on: no zone of a transfer")
            else:
                may = "may" if use.allows(query.client.address) else "may not"
                yield Note(f"{query.client.address} {may} have this zone (`to`)")

    def handle(self, query: Query) -> Result:
        """Transfer a zone to a client that may have it."""
        if query.qtype not in (AXFR, IXFR):
            return self.next(query)
        client = query.client
        if client.protocol != "tcp":
            return Reply(REFUSED, plugin=self.name)
        use = self._use(query.key)
        if use is None:
            return self.next(query)
        if not use.allows(client.address):
            return Reply(REFUSED, plugin=self.name)
        for source in self._sources():
            if query.key in source.transferable():
                records = source.zone_records(query.key)
                if records is None:
                    return Reply.failure(f"zone {names.to_text(query.key)} is not loaded", plugin=self.name)
                return self._transfer(query, iter(records))
        return self.next(query)

    def _transfer(self, query: Query, records: Iterator[Record]) -> Reply:
        soa = next(records)
        serial = soa_numbers(soa.data)[0]
        zone = names.to_text(query.key)
        reply = Reply.authoritative(self.name, answer=(soa,))
        if query.qtype == IXFR:
            theirs = requested_serial(query.packet, query.question_end)
            if theirs is None:
                return Reply.failure(f"IXFR of {zone} without a serial number", FORMERR, plugin=self.name)
            if not is_newer(serial, theirs):
                return reply
        reply.stream = chain(records, (soa,))
        self.log.info('Outgoing transfer of zone "%s" to %s for %d SOA serial', zone, query.client.address, serial)
        return reply

    def zone_changed(self, zone: bytes) -> None:
        """See ZoneListener."""
        self._unread.discard(zone)
        if zone not in self._changed:
            told_seconds = self._told.get(zone)
            now_seconds = self._clock()
            due_seconds = now_seconds if told_seconds is None else max(now_seconds, told_seconds + NOTIFY_GAP_SECONDS)
            self._changed[zone] = due_seconds
        self._wake.set()

    async def _notify_forever(self) -> None:
        limit = asyncio.Semaphore(MAX_NOTIFYING)
        while True:
            await self._wait()
            now_seconds = self._clock()
            changed = [zone for zone, due_seconds in self._changed.items() if due_seconds <= now_seconds]
            for zone in changed:
                del self._changed[zone]
                self._told[zone] = now_seconds
            async with asyncio.TaskGroup() as group:
                for zone in changed:
                    use = self._use(zone)
                    for secondary in use.secondaries if use else ():
                        assert use is not None
                        group.create_task(self._notify(limit, zone, secondary, use.source))

    async def _wait(self) -> None:
        """Until a zone is due."""
        while True:
            self._wake.clear()
            self._look_for_unread()
            due_seconds = min(self._changed.values(), default=math.inf)
            left_seconds = due_seconds - self._clock()
            if left_seconds <= 0:
                return
            if self._unread:
                left_seconds = min(left_seconds, _LOOK_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if left_seconds == math.inf else left_seconds):
                    await self._wake.wait()

    def _look_for_unread(self) -> None:
        """A zone may be read without a change: that of a cluster with nothing in it."""
        for source in self._sources() if self._unread else ():
            for zone in source.transferable():
                if zone in self._unread and source.zone_records(zone) is not None:
                    self.zone_changed(zone)

    async def _notify(self, limit: asyncio.Semaphore, zone: bytes, secondary: Endpoint, source: str) -> None:
        async with limit:
            try:
                await send_notify(zone, secondary, source)
            except UpstreamError as error:
                zone_text = names.to_text(zone)
                self.log.warning('notify for zone "%s" was not accepted by "%s": %s', zone_text, secondary, error)
