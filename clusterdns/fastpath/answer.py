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
    rotating: number of address records at the start of the body that may change places, 0 where none may; they have
        ``record_bytes`` octets each.
    flags: header bits besides QR, opcode, RD, CD and rcode.
    """

    __slots__ = ("_order", "_variants", "body", "counts", "flags", "rcode", "record_bytes", "rotating")

    def __init__(
        self,
        rcode: int,
        counts: bytes,
        body: bytes,
        *,
        rotating: int = 0,
        record_bytes: int = 0,
        flags: int = FLAG_AA,
    ) -> None:
        self.rcode = rcode
        self.counts = counts
        self.body = body
        self.rotating = rotating
        self.record_bytes = record_bytes
        self.flags = flags
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
        size = self.record_bytes
        end = self.rotating * size
        if not self._order:
            records = [self.body[start : start + size] for start in range(0, end, size)]
            random.shuffle(records)
            self._order = b"".join(records)
        order, rest = self._order, self.body[end:]
        if self.rotating <= MAX_VARIANTS:
            self._variants = tuple([order[start:] + order[:start] + rest for start in range(0, end, size)])
            return self._variants
        number = max(2, min(MAX_VARIANTS, MAX_VARIANT_BYTES // len(self.body)))
        starts = random.sample(range(0, end, size), number)
        return tuple([order[start:] + order[:start] + rest for start in starts])


def counts(answer: int, authority: int = 0, additional: int = 0) -> bytes:
    """ANCOUNT, NSCOUNT and ARCOUNT in wire form."""
    return b"%c%c%c%c%c%c" % (
        answer >> 8, answer & 255, authority >> 8, authority & 255, additional >> 8, additional & 255,
    )  # fmt: skip
