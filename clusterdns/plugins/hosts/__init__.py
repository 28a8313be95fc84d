# SPDX-License-Identifier: Apache-2.0
"""hosts - answers from a file like /etc/hosts.

## Description

Answers queries of type A, AAAA and PTR with what a hosts file says, and with lines that stand in the Corefile. A name
that is there without an address of the type gets an empty answer, and so does any other type. The first label of a name
may be `*`, which stands for any one label; a name of its own comes first.

The file is read again when its time or size has changed. As long as it isn't there, or is larger than 16 MiB, what was
read before stays. What can't be read of a line is left out, as it is by all readers of such files.

It may be used once in a server block.

## Syntax

~~~ txt
hosts [FILE [ZONES...]] {
    [INLINE]
    ttl SECONDS
    no_reverse
    reload DURATION
    fallthrough [ZONES...]
    fallthrough_unsupported
}
~~~

* **FILE** is the file, by default `/etc/hosts`. A relative path starts at *root*.
* **ZONES** are the zones whose names count, by default those of the server block. Addresses of such names have PTR
  records in whatever zone.
* **INLINE** are lines as in the file, `ADDRESS NAME...`. They count in addition to the file, and stand before
  `fallthrough`.
* `ttl` is the TTL of the records, 1 to 65535, by default 3600.
* `no_reverse` leaves PTR records out.
* `reload` is the time between two looks at the file, by default 5s; 0 never looks again.
* `fallthrough` passes queries for names that aren't here on to the directives behind this one; with **ZONES**, only for
  names in those. Without it they get SERVFAIL. PTR queries that have no answer here are always passed on.
* `fallthrough_unsupported` passes on queries of types other than A, AAAA and PTR, too, where `fallthrough` passes
  names.

## Metrics

* `coredns_hosts_entries{hostsfile}` - names with an address and addresses with a name, in the file and inline.
* `coredns_hosts_reload_timestamp_seconds{}` - the time of the file that was read last.

## Examples

The nodes of a cluster, as k3s has them:

~~~ corefile
. {
    hosts /etc/coredns/NodeHosts {
        ttl 60
        reload 15s
        fallthrough
    }
    whoami
}
~~~

Two names without a file, and everything else asked behind:

~~~ corefile
example.org {
    hosts empty.hosts example.org {
        192.0.2.1 www.example.org
        192.0.2.2 *.dev.example.org
        no_reverse
        fallthrough
        fallthrough_unsupported
    }
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.types import AAAA, IN, PTR, SERVFAIL, A
from clusterdns.dns.wire import Record
from clusterdns.errors import ExpressionError
from clusterdns.expressions.duration import parse_duration
from clusterdns.expressions.numerals import atoi
from clusterdns.plugins.hosts.entries import Entries, is_entry
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.relay import Plain, PlainStep, Unless
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

DEFAULT_FILE: Final = "/etc/hosts"
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_TTL_SECONDS: Final = 65535
_ANSWERING: Final = frozenset(
    ("kubernetes", "file", "auto", "secondary", "etcd", "k8s_external", "forward", "grpc", "erratic", "whoami")
)


class Options(msgspec.Struct, frozen=True):
    """``path`` as written; zones in lower-case wire form; ``reload_seconds`` is 0 for never."""

    path: str
    zones: tuple[bytes, ...]
    inline: tuple[str, ...] = ()
    ttl_seconds: int = 3600
    reverse: bool = True
    reload_seconds: float = 5.0
    fallthrough: tuple[bytes, ...] = ()
    fallthrough_unsupported: bool = False


class Hosts(Plugin):
    """The directive."""

    name = "hosts"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """Read the one occurrence."""
        return _Parser(reader).read()

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._path = Path(setup.path(options.path))
        self._entries = self._entries_of(options.inline)
        self._stamp: tuple[int, ...] = ()
        self._problem = ""
        self._task: Lease | None = None
        metrics = setup.services.metrics
        self._count = metrics.gauge(
            "coredns_hosts_entries", "The combined number of entries in hosts and Corefile.", ("hostsfile",)
        )
        self._timestamp = metrics.gauge(
            "coredns_hosts_reload_timestamp_seconds", "The timestamp of the last reload of hosts file."
        ).labels()

    async def start(self) -> None:
        """Read the file, and look at it from time to time."""
        self._count.labels(str(self._path)).value = self._entries.count
        await self.read_file()
        if self._options.reload_seconds:
            self._task = self.services.spawn(f"hosts: {self._path}", self._look_forever(self._options.reload_seconds))

    async def stop(self, final: bool) -> None:
        """Look at the file no more."""
        if self._task is not None:
            await self._task.release()
            self._task = None

    async def _look_forever(self, interval_seconds: float) -> None:
        while True:
            await asyncio.sleep(interval_seconds)
            await self.read_file()

    async def read_file(self) -> None:
        """Take over the file if it has changed. What is wrong with it is logged once; then the old entries stay."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            # Large files take a second, in which queries are to be answered.
            self._entries = await asyncio.to_thread(self._read)
        except FileNotFoundError:
            self._complain(f"File does not exist: {self._path}")
        except IsADirectoryError:
            self._complain(f'Hosts file "{self._path}" is a directory')
        except (OSError, ValueError) as error:
            self._complain(f"{self._path} can't be read: {error}")
        else:
            self._stamp = stamp
            self._problem = ""
            self._count.labels(str(self._path)).value = self._entries.count
            self._timestamp.value = status.st_mtime
            self.log.debug("Parsed hosts file into %d entries", self._entries.count)
            self.setup.publish()

    def _read(self) -> Entries:
        with self._path.open("rb") as file:
            octets = file.read(MAX_FILE_BYTES + 1)
        if len(octets) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} octets")
        lines = octets.decode("utf-8", "replace").splitlines()
        return self._entries_of(chain(lines, self._options.inline))

    def _entries_of(self, lines: Iterable[str]) -> Entries:
        return Entries(lines, zones=self._options.zones, reverse=self._options.reverse)

    def _complain(self, problem: str) -> None:
        if problem != self._problem:
            self.log.warning("%s", problem)
            self._problem = problem

    def plain(self, zone: bytes) -> Plain | None:
        """Names that it has no addresses of are passed on where they fall through."""
        if not _is_in_any(zone, self._options.zones):
            return PlainStep.TRANSPARENT
        if not _is_in_any(zone, self._options.fallthrough):
            return None
        return Unless(lambda name: self._entries.find(name) is not None)

    def plain_zones(self) -> tuple[bytes, ...]:
        """See Plugin."""
        return (*self._options.zones, *self._options.fallthrough)

    def handle(self, query: Query) -> Result:
        """What is known about the name, or the reply of the rest of the chain."""
        key = query.key
        if query.qclass != IN:
            return self.next(query)
        if query.qtype == PTR:
            pointers = self._entries.pointers.get(key)
            return self.next(query) if pointers is None else self._reply(query, pointers)
        if not _is_in_any(key, self._options.zones):
            return self.next(query)
        found = self._entries.find(key)
        if found is None:
            if _is_in_any(key, self._options.fallthrough):
                return self.next(query)
            return Reply(SERVFAIL, plugin=self.name)
        if query.qtype == A:
            return self._reply(query, found[0])
        if query.qtype == AAAA:
            return self._reply(query, found[1])
        if self._options.fallthrough_unsupported and _is_in_any(key, self._options.fallthrough):
            return self.next(query)
        return self._reply(query, ())

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        key, options = query.key, self._options
        place = f"{self._path} (with the Corefile)" if options.inline else str(self._path)
        if query.qclass != IN:
            yield Note("passed on: not in class IN")
        elif query.qtype == PTR:
            known = key in self._entries.pointers
            yield Note(f"the address is in {place}" if known else f"passed on: the address is not in {place}")
        elif not _is_in_any(key, options.zones):
            yield Note(f"passed on: the name is not in {', '.join(map(names.to_text, options.zones))}")
        else:
            yield from self._explain_name(key, place)

    def _explain_name(self, key: bytes, place: str) -> Iterator[Note]:
        found = self._entries.find(key)
        falls = _is_in_any(key, self._options.fallthrough)
        if found is not None:
            yield Note(f"{place} has {len(found[0])} IPv4 and {len(found[1])} IPv6 addresses for it")
        elif falls:
            yield Note(f"passed on: {place} has no such name (fallthrough)")
        else:
            yield Note(
                f"{place} has no such name, and without fallthrough that is SERVFAIL",
                hint=f"{place} has no such name, and hosts has no fallthrough for it: add fallthrough to ask on",
            )

    def _reply(self, query: Query, data: tuple[bytes, ...]) -> Reply:
        ttl_seconds = self._options.ttl_seconds
        records = tuple([Record(query.key, query.qtype, ttl_seconds, octets) for octets in data])
        reply = Reply.authoritative(self.name, answer=records)
        reply.reusable = True
        return reply


def _is_in_any(key: bytes, zones: tuple[bytes, ...]) -> bool:
    return any(names.is_in(key, zone) for zone in zones)


class _Parser:
    def __init__(self, reader: DirectiveReader) -> None:
        self.reader = reader
        self.line = reader.once()
        self.inline: list[str] = []
        self.ttl_seconds = 3600
        self.reverse = True
        self.reload_seconds = 5.0
        self.fallthrough: list[str] | None = None
        self.unsupported: Token | None = None

    def read(self) -> Options:
        line, reader = self.line, self.reader
        handlers = {
            "ttl": self._read_ttl,
            "no_reverse": self._read_no_reverse,
            "reload": self._read_reload,
            "fallthrough": self._read_fallthrough,
            "fallthrough_unsupported": self._read_unsupported,
        }
        for option in line.block or ():
            with reader.collecting():
                option.no_block()
                handlers.get(option.name.text, self._read_inline)(option)
        zones = self._zones(line.args[1:]) if line.args[1:] else list(reader.block.zones)
        if self.unsupported is not None and self.fallthrough is None:
            place = line.closing or self.unsupported
            reader.report(place.error("fallthrough_unsupported requires fallthrough"))
        if self.fallthrough is None and not line.args[1:] and _ANSWERING & reader.block.directives:
            reader.warn(
                line.name,
                "names that aren't in the file get SERVFAIL: they don't reach the directives behind hosts",
                hint="add fallthrough to its block",
            )
        return Options(
            path=line.words[0] if line.args else DEFAULT_FILE,
            zones=tuple(map(names.from_text, zones)),
            inline=tuple(self.inline),
            ttl_seconds=self.ttl_seconds,
            reverse=self.reverse,
            reload_seconds=self.reload_seconds,
            fallthrough=tuple(map(names.from_text, self.fallthrough or ())),
            fallthrough_unsupported=self.unsupported is not None,
        )

    def _zones(self, tokens: tuple[Token, ...]) -> list[str]:
        for token in tokens:
            if expand_zones([token.text])[1]:
                self.reader.warn(token, f"'{token.text}' is no zone and is left out")
        return expand_zones(token.text for token in tokens)[0]

    def _read_inline(self, option: Line) -> None:
        if self.fallthrough is not None:
            raise option.unknown()
        text = " ".join((option.name.text, *option.words))
        if not is_entry(text):
            self.reader.warn(option.name, f"'{text}' does nothing: it is neither an option nor ADDRESS NAME...")
        self.inline.append(text)

    def _read_ttl(self, option: Line) -> None:
        if not option.args:
            raise option.name.error("ttl needs a time in second")
        token = option.args[0]
        try:
            self.ttl_seconds = atoi(token.text)
        except ExpressionError:
            raise token.error("ttl needs a number of second") from None
        if not 0 < self.ttl_seconds <= _MAX_TTL_SECONDS:
            raise token.error("ttl provided is invalid", hint=f"it is from 1 to {_MAX_TTL_SECONDS}")
        self._warn_of_others(option, 1)

    def _read_no_reverse(self, option: Line) -> None:
        self.reverse = False
        self._warn_of_others(option, 0)

    def _warn_of_others(self, option: Line, wanted: int) -> None:
        for token in option.args[wanted:]:
            self.reader.warn(token, f"'{token.text}' does nothing: {option.name.text} has no such argument")

    def _read_reload(self, option: Line) -> None:
        if len(option.args) != 1:
            raise option.last.error("reload needs a duration (zero seconds to disable)")
        token = option.args[0]
        try:
            self.reload_seconds = parse_duration(token.text)
        except ExpressionError as error:
            raise token.error(f"invalid duration for reload '{token.text}'", hint=str(error)) from None
        if self.reload_seconds < 0:
            raise token.error(f"invalid negative duration for reload '{token.text}'")

    def _read_fallthrough(self, option: Line) -> None:
        self.fallthrough = self._zones(option.args) if option.args else ["."]

    def _read_unsupported(self, option: Line) -> None:
        option.expect(0)
        self.unsupported = option.name
