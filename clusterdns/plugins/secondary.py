# SPDX-License-Identifier: Apache-2.0
"""secondary - zones transferred from primary servers.

## Description

Fetches whole zones from their primary servers by AXFR (RFC 5936) and answers authoritatively from them, as `file` does.
A zone is checked for a new serial number as its SOA record says (REFRESH, RETRY), and when a primary server sends
NOTIFY (RFC 1996). Zones are kept in memory only: until the first transfer has succeeded, and once the primary servers
haven't been reached for the time that EXPIRE says, the zone answers SERVFAIL.

The directive may be used several times in a server block.

## Syntax

~~~ txt
secondary [ZONES...] {
    transfer from ADDRESS [ADDRESS...]
    fallthrough [ZONES...]
}
~~~

* **ZONES** are the zones to fetch, by default those of the server block.
* `transfer from` names the primary servers, as `IP` or `IP:PORT`; the port is 53 by default. They are asked in this
  order, until one answers. At least one is required.
* `fallthrough` passes queries for names that don't exist on to the next directive, instead of answering NXDOMAIN; with
  **ZONES**, only for names in those.

## Examples

~~~ corefile
example.org {
    secondary {
        transfer from 192.0.2.1 192.0.2.2:5353
    }
}
~~~

A zone that is given on to others:

~~~ corefile
. {
    secondary example.org {
        transfer from 192.0.2.1
        fallthrough
    }
    transfer example.org {
        to 198.51.100.1
    }
    whoami
}
~~~

## Bugs

Incremental transfers aren't asked for, and catalog zones aren't implemented yet.
"""

from __future__ import annotations

from functools import partial

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.dns import names
from clusterdns.dns.types import FLAG_AA
from clusterdns.errors import ConfigError
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.plugin import Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.zones import ZonePlugin, read_fallthrough, read_zones
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.secondary import Secondary as SecondaryZone
from clusterdns.upstream.transfer import read_server
from clusterdns.zone.tree import Zone


class Options(msgspec.Struct, frozen=True):
    """All uses in a server block: the primary servers of each zone, and where names that don't exist go on."""

    primaries: tuple[tuple[bytes, tuple[Endpoint, ...]], ...]
    fallthrough: tuple[bytes, ...] = ()


class _UseReader:
    """Reads one use."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self.zones: tuple[bytes, ...] = ()
        self.primaries: dict[Endpoint, None] = {}
        self.fallthrough: tuple[bytes, ...] = ()

    def read(self, line: Line) -> None:
        self.zones = read_zones(self._reader, line.args)
        faults = len(self._reader.errors)
        handlers = {
            "transfer": self._read_transfer,
            "catalog": self._read_catalog,
            "fallthrough": self._read_fallthrough,
        }
        self._reader.options(line, handlers)
        if not self.primaries and len(self._reader.errors) == faults:
            at = line.closing or line.last
            raise at.error("secondary zones require a transfer from property", hint="add: transfer from ADDRESS")

    def _read_transfer(self, line: Line) -> None:
        line.no_block()
        if not line.args:
            raise line.wrong_count()
        if line.words[0] != "from":
            raise line.args[0].error(f"unknown property {line.words[0]}")
        if len(line.args) < 2:
            raise line.wrong_count()
        for token in line.args[1:]:
            if token.text == "*":
                raise token.error("can't use '*' in transfer from", label=ConfigError.NO_POSITION)
            self.primaries[read_server(token)] = None

    def _read_catalog(self, line: Line) -> None:
        raise line.name.error("'catalog' isn't implemented yet", hint="name the zones instead")

    def _read_fallthrough(self, line: Line) -> None:
        self.fallthrough = read_fallthrough(self._reader, line)


class Secondary(ZonePlugin):
    """The zones of all uses in a server block."""

    name = "secondary"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """See the manual page."""
        primaries: dict[bytes, tuple[Endpoint, ...]] = {}
        fallthrough: tuple[bytes, ...] = ()
        for line in reader.lines:
            use = _UseReader(reader)
            with reader.collecting():
                use.read(line)
            primaries.update(dict.fromkeys(use.zones, tuple(use.primaries)))
            fallthrough += use.fallthrough
        return Options(tuple(primaries.items()), fallthrough)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup, options.fallthrough)
        self._secondaries = {
            zone: SecondaryZone(zone, primaries, partial(self._publish_zone, zone), self.log)
            for zone, primaries in options.primaries
        }
        self.zones = dict.fromkeys(self._secondaries)
        self._tasks: list[Lease] = []

    async def start(self) -> None:
        """Begin to fetch the zones."""
        for zone, secondary in self._secondaries.items():
            self._tasks.append(self.services.spawn(f"secondary: {names.to_text(zone)}", secondary.run()))

    async def stop(self, final: bool) -> None:
        """Fetch no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await task.release()

    def _publish_zone(self, origin: bytes, zone: Zone | None) -> None:
        self.zones[origin] = zone
        self.publish(origin)

    def notified(self, query: Query, origin: bytes) -> Result:
        """Check a zone whose primary server says that it has changed."""
        secondary = self._secondaries[origin]
        address = query.client.address
        if query.key != origin or not any(address == primary.host for primary in secondary.primaries):
            return super().notified(query, origin)
        self.log.info("Notify from %s for %s: checking transfer", address, names.to_text(origin))
        secondary.notify()
        return Reply(flags=FLAG_AA, plugin=self.name)
