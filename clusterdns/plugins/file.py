# SPDX-License-Identifier: Apache-2.0
"""file - zones from files in the syntax of RFC 1035.

## Description

Answers authoritatively from zone files, as NSD, Knot and BIND read them: `$ORIGIN`, `$TTL`, `$INCLUDE` and `$GENERATE`
are understood. Wildcards, DNAME records, delegations with their glue and empty non-terminals work as the RFCs say. A
CNAME record that leads out of the zone is followed by asking this server for its target. Signed zones are served with
their signatures and NSEC proofs to clients that want them; NSEC3 isn't supported.

The directive may be used several times in a server block.

## Syntax

~~~ txt
file DBFILE [ZONES...] {
    reload DURATION
    reload_by_mtime
    fallthrough [ZONES...]
}
~~~

* **DBFILE** is the zone file, relative to `root` or else to the working directory. It must have a SOA record of its
  zone. Relative paths of `$INCLUDE` start at the directory of the file that has them.
* **ZONES** are the zones that it is read for, by default those of the server block. Names that are relative in the file
  become names in each of them.
* `reload` is the time between two looks at the file, by default `1m`; `0` never reads it again. A changed file is taken
  over if the serial number of its SOA record has changed.
* `reload_by_mtime` takes over every change of the file, whatever its serial number.
* `fallthrough` passes queries for names that don't exist on to the next directive, instead of answering NXDOMAIN; with
  **ZONES**, only for names in those.

A file that isn't there is warned of, and its zone answers SERVFAIL until it appears; with `reload 0` the server doesn't
start. A file with a fault keeps the server from starting; later on, the zone stays as it was and the fault is logged.

## Examples

~~~ corefile
example.org {
    file db.example.org
}
~~~

A zone of several files, and names of it that another directive knows:

~~~ corefile
. {
    file /etc/clusterdns/db.example.org example.org {
        reload 30s
        reload_by_mtime
        fallthrough dev.example.org
    }
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.dns import names
from clusterdns.errors import LifecycleError, MasterFileError
from clusterdns.expressions.duration import format_duration
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.zones import ZonePlugin, ignore_upstream, in_turns, read_fallthrough, read_reload, read_zones
from clusterdns.zone.files import ZoneFile

RELOAD_SECONDS = 60.0


class Use(msgspec.Struct, frozen=True):
    """One use. ``path`` is as written, ``zones`` are in wire form; ``reload_seconds`` is 0 for never."""

    path: str
    zones: tuple[bytes, ...]
    reload_seconds: float = RELOAD_SECONDS
    by_time: bool = False


class Options(msgspec.Struct, frozen=True):
    """All uses in a server block."""

    uses: tuple[Use, ...]
    fallthrough: tuple[bytes, ...] = ()


class _UseReader:
    """Reads one use."""

    def __init__(self, reader: DirectiveReader) -> None:
        self._reader = reader
        self._reload_seconds = RELOAD_SECONDS
        self._by_time = False
        self.fallthrough: tuple[bytes, ...] = ()

    def read(self, line: Line) -> Use:
        if not line.args:
            raise line.wrong_count()
        zones = read_zones(self._reader, line.args[1:])
        handlers: dict[str, Callable[[Line], None]] = {
            "reload": self._read_reload,
            "reload_by_mtime": self._read_by_time,
            "fallthrough": self._read_fallthrough,
            "upstream": partial(ignore_upstream, self._reader),
        }
        self._reader.options(line, handlers)
        return Use(line.words[0], zones, self._reload_seconds, self._by_time)

    def _read_reload(self, line: Line) -> None:
        self._reload_seconds = read_reload(line)

    def _read_by_time(self, line: Line) -> None:
        line.expect(0)
        line.no_block()
        self._by_time = True

    def _read_fallthrough(self, line: Line) -> None:
        self.fallthrough = read_fallthrough(self._reader, line)


class File(ZonePlugin):
    """The zones of all uses in a server block."""

    name = "file"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """See the manual page."""
        uses: dict[bytes, Use] = {}
        fallthrough: tuple[bytes, ...] = ()
        for line in reader.lines:
            with reader.collecting():
                use_reader = _UseReader(reader)
                use = use_reader.read(line)
                for zone in use.zones:
                    if zone in uses:
                        zone_text = names.to_text(zone)
                        reader.warn(line.name, f"{zone_text} is read from {use.path}, not from {uses[zone].path}")
                uses.update(dict.fromkeys(use.zones, use))
                fallthrough += use_reader.fallthrough
        own = [(use, tuple(zone for zone in use.zones if uses[zone] is use)) for use in dict.fromkeys(uses.values())]
        return Options(tuple(msgspec.structs.replace(use, zones=zones) for use, zones in own), fallthrough)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup, options.fallthrough)
        self._uses: list[tuple[Use, list[ZoneFile]]] = []
        for use in options.uses:
            files = [ZoneFile(zone, setup.path(use.path), by_time=use.by_time) for zone in use.zones]
            self.zones.update((file.origin, None) for file in files)
            self._uses.append((use, files))
        self._tasks: list[Lease] = []

    async def start(self) -> None:
        """Read the files. Raises LifecycleError for one with a fault, and one that isn't there and never looked for."""
        for use, files in self._uses:
            for file in files:
                try:
                    await self._look(file)
                except MasterFileError as error:
                    raise LifecycleError(f"plugin/{self.name}: {error}") from None
                except OSError as error:
                    reason = f"open {error.filename or file.path}: {(error.strerror or '').lower()}"
                    if not use.reload_seconds:
                        raise LifecycleError(f"plugin/{self.name}: {reason}") from None
                    wait = format_duration(use.reload_seconds)
                    self.log.warning('Failed to open "%s": trying again in %s', reason, wait)
            if use.reload_seconds:
                work = self._look_forever(use.reload_seconds, files)
                self._tasks.append(self.services.spawn(f"file: {use.path}", work))

    async def stop(self, final: bool) -> None:
        """Look no more."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await task.release()

    async def _look_forever(self, seconds: float, files: list[ZoneFile]) -> None:
        while True:
            await asyncio.sleep(seconds)
            for file in files:
                await self.look_again(file)

    async def look_again(self, file: ZoneFile) -> None:
        """Take over a changed file; what is wrong with it is logged."""
        origin = names.to_text(file.origin)
        try:
            if await self._look(file) and file.zone is not None:
                serial = file.zone.serial
                self.log.info('Successfully reloaded zone "%s" in "%s" with %d SOA serial', origin, file.path, serial)
        except MasterFileError as error:
            self.log.error('Parsing zone "%s": %s', origin, error)
        except OSError as error:
            self.log.error('Failed to open zone "%s" in "%s": %s', origin, file.path, error.strerror or error)

    async def _look(self, file: ZoneFile) -> bool:
        changed = await in_turns(file.refresh())
        if changed and file.zone is not None:
            for warning in file.zone.warnings:
                self.log.warning("%s: %s", file.path, warning)
            self.zones[file.origin] = file.zone
            self.publish(file.origin)
        return changed
