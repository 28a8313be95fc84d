# SPDX-License-Identifier: Apache-2.0
"""Records to compiled answers.

The owner of an answer is a pointer to the question's name (octet 12 of a message), which keeps its letters.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from clusterdns.dns.names import MAX_NAME_BYTES
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import AAAA, IN, NOERROR, TXT, A
from clusterdns.fastpath.answer import CompiledAnswer, counts

MAX_BODY_BYTES: Final = 65535
"""No message holds more. An answer that is cut here is too long for every transport, so it is sent with TC set."""

_OWNER: Final = b"\xc0\x0c"
_QUESTION_TAIL_BYTES: Final = 4
_FIXED_BYTES: Final = 12
_POINTER_LIMIT: Final = 0x4000


class TargetAnswer(CompiledAnswer):
    """An answer with names that end in a zone. ``target_ends`` are the positions in the body behind each of them."""

    __slots__ = ("target_ends",)

    def __init__(self, section_counts: bytes, body: bytes, target_ends: array[int]) -> None:
        super().__init__(NOERROR, section_counts, body)
        self.target_ends = target_ends

    def with_zone(self, zone: bytes) -> CompiledAnswer:
        """The same with the letters of the zone as in ``zone``."""
        body = bytearray(self.body)
        size = len(zone)
        for end in self.target_ends:
            body[end - size : end] = zone
        return CompiledAnswer(NOERROR, self.counts, bytes(body))


def pointer(offset: int) -> bytes:
    """A compression pointer to an octet of the message (RFC 1035 section 4.1.4)."""
    return (0xC000 | offset).to_bytes(2, "big")


def fixed_part(rtype: int, ttl_seconds: int, length: int) -> bytes:
    """What stands between a record's owner and its data, for class IN."""
    return b"".join(
        (rtype.to_bytes(2, "big"), IN.to_bytes(2, "big"), ttl_seconds.to_bytes(4, "big"), length.to_bytes(2, "big"))
    )


def encode_addresses(addresses: Iterable[bytes], ttl_seconds: int) -> CompiledAnswer | None:
    """A or AAAA records of addresses of one family, repetitions left out; None without any."""
    unique = list(dict.fromkeys(addresses))
    if not unique:
        return None
    size = len(unique[0])
    record_bytes = _FIXED_BYTES + size
    del unique[MAX_BODY_BYTES // record_bytes + 1 :]
    start = _OWNER + fixed_part(A if size == 4 else AAAA, ttl_seconds, size)
    body = start + start.join(unique)
    return CompiledAnswer(NOERROR, counts(len(unique)), body, rotating=len(unique), record_bytes=record_bytes)


def encode_text(text: str, ttl_seconds: int) -> CompiledAnswer:
    """One TXT record with one character string."""
    data = bytes((len(text),)) + text.encode("ascii")
    return CompiledAnswer(NOERROR, counts(1), _OWNER + fixed_part(TXT, ttl_seconds, len(data)) + data)


def encode_targets(
    rtype: int,
    rows: Iterable[tuple[bytes, bytes]],
    glue: Sequence[tuple[bytes, bytes]],
    name_bytes: int,
    ttl_seconds: int,
) -> TargetAnswer | None:
    """Records that lead to names (SRV, NS, PTR), and the addresses of those names; None without any record.

    rows: what stands in front of the target in the data, and the target as a full name. Targets are not compressed
        (RFC 2782), so that they have their own letters, not the question's.
    glue: target and packed address, for the additional section; those of targets that were left out stay out.
    name_bytes: length of the question's name.
    Names of more than 255 octets, which some long labels would make together, are left out.
    """
    base = HEADER_BYTES + name_bytes + _QUESTION_TAIL_BYTES
    body = bytearray()
    offsets: dict[bytes, int] = {}
    suffixes: dict[bytes, bytes] = {}
    target_ends = array("I")
    answers = additional = 0
    for data, target in dict.fromkeys(rows):
        if len(target) > MAX_NAME_BYTES:
            continue
        body += _OWNER + fixed_part(rtype, ttl_seconds, len(data) + len(target)) + data
        offsets.setdefault(target, base + len(body))
        label_end = 1 + target[0]
        suffix_offset = base + len(body) + label_end
        if suffix_offset < _POINTER_LIMIT:
            suffixes.setdefault(target[label_end:], pointer(suffix_offset))
        body += target
        target_ends.append(len(body))
        answers += 1
        if len(body) > MAX_BODY_BYTES:
            break
    if not answers:
        return None
    for target, address in dict.fromkeys(glue):
        if len(body) > MAX_BODY_BYTES:
            break
        offset = offsets.get(target)
        if offset is None:
            continue
        if offset < _POINTER_LIMIT:
            body += pointer(offset)
        else:
            label_end = 1 + target[0]
            suffix = target[label_end:]
            body += target[:label_end] + suffixes.get(suffix, suffix)
            if suffix not in suffixes:
                target_ends.append(len(body))
        body += fixed_part(A if len(address) == 4 else AAAA, ttl_seconds, len(address)) + address
        additional += 1
    return TargetAnswer(counts(answers, 0, additional), bytes(body), target_ends)
