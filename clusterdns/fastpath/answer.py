# SPDX-License-Identifier: Apache-2.0
"""Answers as bytes that were made when the cluster changed.

A ``CompiledAnswer`` holds the sections of a reply as they stand behind the question. Names in them are compression
pointers into the question wherever they share its labels, so the owner keeps the letter case of each query and the same
bytes serve them all. They fit every query whose name has the same length and the same zone.
"""

from __future__ import annotations

from random import Random
from typing import Final

from clusterdns.dns.types import FLAG_AA

MAX_VARIANTS: Final = 16
"""Orders kept of one answer: enough that each of 16 endpoints comes first equally often, at 16 times its bytes."""


MAX_VARIANT_BYTES: Final = 65536
"""Of all orders of one large answer together."""


class CompiledAnswer:
    """The sections of a reply, ready to be copied.

    rcode: 0–15.
    counts: ANCOUNT, NSCOUNT and ARCOUNT, six octets.
    body: the octets behind the question.
    rotating: number of address records in the body that may change places, 0 where none may; they have
        ``record_bytes`` octets each and stand one after another from ``rotating_start`` on.
    flags: header bits besides QR, opcode, RD, CD and rcode.
    changed: a plugin, and what it made of this answer, None if nothing else; kept so that it is made once.
    """

    __slots__ = (
        "_order",
        "_variants",
        "body",
        "changed",
        "counts",
        "flags",
        "rcode",
        "record_bytes",
        "rotating",
        "rotating_start",
    )

    def __init__(
        self,
        rcode: int,
        counts: bytes,
        body: bytes,
        *,
        rotating: int = 0,
        record_bytes: int = 0,
        rotating_start: int = 0,
        flags: int = FLAG_AA,
    ) -> None:
        self.rcode = rcode
        self.counts = counts
        self.body = body
        self.rotating = rotating
        self.record_bytes = record_bytes
        self.rotating_start = rotating_start
        self.flags = flags
        self.changed: tuple[object, CompiledAnswer | None] | None = None
        self._order = b""
        self._variants: tuple[bytes, ...] = ()

    def shuffled(self, random: Random) -> tuple[bytes, ...]:
        """The body in other orders of its address records: all rotations of one random order, at most MAX_VARIANTS.

        Kept, because the answer is asked for again and again; each record comes first equally often.
        """
        if self._variants:
            return self._variants
        if self.rotating < 2:
            self._variants = (self.body,)
            return self._variants
        start = self.rotating_start
        size = self.record_bytes
        end = start + self.rotating * size
        if not self._order:
            records = self.split()[1]
            random.shuffle(records)
            self._order = b"".join(records)
        first, order, rest = self.body[:start], self._order, self.body[end:]
        positions = range(0, end - start, size)
        if self.rotating <= MAX_VARIANTS:
            self._variants = tuple([b"".join((first, order[at:], order[:at], rest)) for at in positions])
            return self._variants
        number = max(2, min(MAX_VARIANTS, MAX_VARIANT_BYTES // len(self.body)))
        return tuple([b"".join((first, order[at:], order[:at], rest)) for at in random.sample(positions, number)])

    def split(self, body: bytes | None = None) -> tuple[bytes, list[bytes], bytes]:
        """What stands before the records that may change places, those records, and what stands behind them.

        body: one of the orders, by default the first.
        """
        body = self.body if body is None else body
        start = self.rotating_start
        size = self.record_bytes
        end = start + self.rotating * size
        return body[:start], [body[position : position + size] for position in range(start, end, size)], body[end:]


def counts(answer: int, authority: int = 0, additional: int = 0) -> bytes:
    """ANCOUNT, NSCOUNT and ARCOUNT in wire form."""
    return b"%c%c%c%c%c%c" % (
        answer >> 8, answer & 255, authority >> 8, authority & 255, additional >> 8, additional & 255,
    )  # fmt: skip
