# SPDX-License-Identifier: Apache-2.0
"""What a chain of plugins makes of a query. Only the engine turns it into bytes (``finish``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec

from clusterdns.dns.types import FLAG_AA, NOERROR, SERVFAIL
from clusterdns.dns.wire import Record, read_record
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.fastpath.memo import Ageing
from clusterdns.serving.query import Query


class Sections(msgspec.Struct, frozen=True):
    """The records of a reply."""

    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


EMPTY = Sections()


class Reply:
    """A reply before it is written. Plugins on the way back may change it.

    rcode: including extended ones.
    flags: header bits AA, TC, RA, AD; QR, opcode, RD and CD come from the query.
    cleared: header bits that the reply doesn't have although the query has them.
    compiled: the sections as ready bytes, or None; replaced by ``records`` as soon as a plugin sets those.
    variants: the compiled body in several orders; a reply is written with each of them in turn.
    options: EDNS options to add (RFC 6891 section 6.1.2), only written where the query has an OPT.
    edns_size: UDP payload size to reply with instead of the client's own where it is smaller, 0 for none.
    error: why there is no proper answer, for the ``errors`` directive; empty where all is well.
    plugin: the directive that answered.
    reusable: True if nothing but the query's bytes and what was compiled decided this reply: the same bytes may be
        answered the same way until something is published.
    transient: True if a reusable reply may be sent again for a second at most, as its TTLs count down, unless it
        ``ages``.
    dropped: True if nothing is to be sent.
    stream: records that follow those of the answer section in as many messages as they need, made while they are sent
        (RFC 5936 section 2.2); None for a reply of one message. Only over TCP: over UDP they are left out, with TC.
    """

    __slots__ = (
        "_records",
        "cleared",
        "compiled",
        "dropped",
        "edns_size",
        "error",
        "flags",
        "options",
        "plugin",
        "rcode",
        "reusable",
        "stream",
        "transient",
        "variants",
    )

    def __init__(self, rcode: int = NOERROR, records: Sections = EMPTY, *, flags: int = 0, plugin: str = "") -> None:
        self.rcode = rcode
        self.flags = flags
        self.cleared = 0
        self.compiled: CompiledAnswer | None = None
        self.variants: tuple[bytes, ...] = ()
        self._records: Sections | None = records
        self.options = b""
        self.edns_size = 0
        self.error = ""
        self.plugin = plugin
        self.reusable = False
        self.transient = False
        self.dropped = False
        self.stream: Iterable[Record] | None = None

    @classmethod
    def authoritative(
        cls,
        plugin: str,
        rcode: int = NOERROR,
        answer: tuple[Record, ...] = (),
        authority: tuple[Record, ...] = (),
        additional: tuple[Record, ...] = (),
    ) -> Reply:
        """A reply with AA set."""
        return cls(rcode, Sections(answer, authority, additional), flags=FLAG_AA, plugin=plugin)

    @classmethod
    def of_compiled(cls, plugin: str, answer: CompiledAnswer) -> Self:
        """A reply of ready bytes, reusable."""
        reply = cls(answer.rcode, flags=answer.flags, plugin=plugin)
        reply._records = None
        reply.compiled = answer
        reply.reusable = True
        return reply

    @classmethod
    def failure(cls, error: str, rcode: int = SERVFAIL, *, plugin: str = "") -> Reply:
        """An empty reply without AA; ``error`` goes to the ``errors`` directive."""
        reply = cls(rcode, plugin=plugin)
        reply.error = error
        return reply

    @classmethod
    def no_reply(cls, plugin: str) -> Reply:
        """Nothing is sent."""
        reply = cls(plugin=plugin)
        reply.dropped = True
        return reply

    @property
    def ages(self) -> Ageing | None:
        """What knows the TTL that all of its records have from one second to the next; None if nobody does."""
        return None

    def records(self, query: Query) -> Sections:
        """The records; those of a compiled answer are read from its bytes."""
        if self._records is None:
            compiled = self.compiled
            assert compiled is not None
            self._records = read_sections(query, compiled.counts, compiled.body)
        return self._records

    def set_compiled(self, answer: CompiledAnswer) -> None:
        """Put the sections of a compiled answer in the place of what is there; rcode and flags stay."""
        self.compiled = answer
        self.variants = ()
        self._records = None

    def set_records(self, records: Sections) -> None:
        """Put other records in the place of what is there."""
        self.compiled = None
        self.variants = ()
        self._records = records


def read_sections(query: Query, counts: bytes, body: bytes) -> Sections:
    """The records in ``body``, which stands behind the query's question."""
    message = query.packet[: query.question_end] + body
    position = query.question_end
    sections: list[tuple[Record, ...]] = []
    for start in (0, 2, 4):
        section = []
        for _ in range(counts[start] << 8 | counts[start + 1]):
            record, position = read_record(message, position)
            section.append(record)
        sections.append(tuple(section))
    return Sections(*sections)
