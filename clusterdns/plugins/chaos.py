# SPDX-License-Identifier: Apache-2.0
"""chaos - tells the server's version, name and authors to those who ask in the class CH.

## Description

Answers TXT queries of the class CH (RFC 4892): `version.bind` and `version.server` with the version, `hostname.bind`
and `id.server` with the host's name, `authors.bind` with the authors, in another order each time. Every other query is
passed on.

The server block is chosen by the name as for all queries, so these names need one: `.`, or zones such as `bind` and
`server`. Where no block of a listener has *chaos* or *forward*, queries of other classes than IN are refused.

## Syntax

~~~ txt
chaos [VERSION [AUTHORS...]]
~~~

* **VERSION** is the version to tell, by default `clusterdns-` and the version.
* **AUTHORS** are what `authors.bind` tells, one record each.

Only the first *chaos* of a server block counts.

## Examples

~~~ corefile
bind server {
    chaos CoreThing-1 "first author" "second author"
}
~~~

`dig @localhost CH TXT version.bind +short` then says `"CoreThing-1"`.

~~~ corefile
hostname.bind {
    chaos
}
~~~
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from random import Random
from typing import Final

import msgspec

from clusterdns import __version__
from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.types import CH, TXT
from clusterdns.dns.wire import Record
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.relay import PlainStep
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note

_VERSION_NAMES: Final = frozenset(map(names.from_text, ("version.bind.", "version.server.")))
_HOST_NAMES: Final = frozenset(map(names.from_text, ("hostname.bind.", "id.server.")))
_AUTHORS_NAME: Final = names.from_text("authors.bind.")
_STRING_BYTES: Final = 255


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    version: str = f"clusterdns-{__version__}"
    authors: tuple[str, ...] = ("The clusterdns authors",)


class Chaos(Plugin):
    """The directive."""

    name = "chaos"
    pure = True
    in_chain = True
    any_class = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """A version and authors, of the first line."""
        for line in reader.lines:
            reader.options(line, {})
        for line in reader.lines[1:]:
            reader.warn(line.name, f"only the chaos of line {reader.lines[0].name.line} counts", hint="remove this one")
        words = reader.lines[0].words
        if not words:
            return Options()
        return Options(words[0], words[1:]) if words[1:] else Options(words[0])

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._random = Random()
        self._version = _text(options.version)
        self._host = _text(socket.gethostname())
        self._authors = [_text(author) for author in options.authors]

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        known = (*_VERSION_NAMES, *_HOST_NAMES, _AUTHORS_NAME)
        if query.qclass == CH and query.qtype == TXT and query.key in known:
            yield Note("this is a name of the server itself, in class CH")
        else:
            yield Note("passed on: no TXT query in class CH for a name of the server itself")

    def plain(self, zone: bytes) -> PlainStep:
        """Other classes are passed on."""
        return PlainStep.TRANSPARENT

    def handle(self, query: Query) -> Result:
        """What is known under the name, or the reply of the rest of the chain."""
        if query.qclass != CH or query.qtype != TXT:
            return self.next(query)
        if query.key in _VERSION_NAMES:
            texts = [self._version]
        elif query.key in _HOST_NAMES:
            texts = [self._host]
        elif query.key == _AUTHORS_NAME:
            texts = self._random.sample(self._authors, len(self._authors))
        else:
            return self.next(query)
        records = tuple(Record(query.name, TXT, 0, text, CH) for text in texts)
        return Reply(records=Sections(answer=records), plugin=self.name)


def _text(text: str) -> bytes:
    """The data of a TXT record: character strings of at most 255 octets."""
    octets = text.encode("utf-8", "replace")
    starts = range(0, max(1, len(octets)), _STRING_BYTES)
    pieces = [octets[start : start + _STRING_BYTES] for start in starts]
    return b"".join([bytes((len(piece),)) + piece for piece in pieces])
