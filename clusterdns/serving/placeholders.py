# SPDX-License-Identifier: Apache-2.0
"""Texts with placeholders in braces that speak of a query and its reply (``log``, ``extra`` of ``dnstap``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import msgspec

from clusterdns.dns import names
from clusterdns.dns.types import (
    FLAG_AA,
    FLAG_AD,
    FLAG_CD,
    FLAG_QR,
    FLAG_RA,
    FLAG_RD,
    FLAG_TC,
    FLAG_Z,
    QUERY,
    class_text,
    rcode_text,
    type_text,
)
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

COMMON: Final = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED: Final = COMMON + ' "{>opcode}"'
EMPTY: Final = "-"

_FLAGS: Final = (
    (FLAG_QR, "qr"), (FLAG_AA, "aa"), (FLAG_TC, "tc"), (FLAG_RD, "rd"), (FLAG_RA, "ra"), (FLAG_Z, "z"),
    (FLAG_AD, "ad"), (FLAG_CD, "cd"),
)  # fmt: skip
_FLAGS_MASK: Final = sum(bit for bit, _ in _FLAGS)
_PLACEHOLDER: Final = re.compile(r"\{[^}]*\}")
_METADATA: Final = "{/"


class Event(msgspec.Struct):
    """What the placeholders speak of.

    reply: None before there is one; what is about it is ``-`` then.
    rsize: octets of the reply without name compression and OPT record.
    duration_seconds: how long the reply took.
    """

    query: Query
    reply: Reply | None = None
    rsize: int = 0
    duration_seconds: float = 0.0


Part: TypeAlias = Callable[[Event], str]


def compile_format(text: str) -> Callable[[Event], str]:
    """A function that fills in the placeholders of ``text``."""
    parts: list[str | Part] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        found = match.group()
        part = _PLACEHOLDERS.get(found)
        if part is None:
            if not found.startswith(_METADATA):
                continue
            part = partial(_metadata, found[len(_METADATA) : -1])
        parts += [text[position : match.start()], part]
        position = match.end()
    parts.append(text[position:])
    steps = tuple(part for part in parts if part)

    def format_line(event: Event) -> str:
        return "".join([step if isinstance(step, str) else step(event) for step in steps])

    return format_line


def _metadata(label: str, event: Event) -> str:
    return event.query.metadata.get(label) or EMPTY


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address or EMPTY


def _rcode(event: Event) -> str:
    reply = event.reply
    return EMPTY if reply is None or reply.dropped else rcode_text(reply.rcode)


def _rsize(event: Event) -> str:
    reply = event.reply
    if reply is None:
        return EMPTY
    return "0" if reply.dropped else str(event.rsize)


def _rflags(event: Event) -> str:
    reply = event.reply
    if reply is None or reply.dropped:
        return EMPTY
    echoed = FLAG_RD | FLAG_CD if event.query.opcode == QUERY else 0
    flags = FLAG_QR | reply.flags | event.query.flags & echoed & ~reply.cleared
    return _FLAG_TEXTS.get(flags & _FLAGS_MASK) or _flags_text(flags)


def _flags_text(flags: int) -> str:
    return ",".join([name for bit, name in _FLAGS if flags & bit])


_FLAG_TEXTS: Final = {
    flags: _flags_text(flags) for flags in (FLAG_QR, FLAG_QR | FLAG_RD, FLAG_QR | FLAG_AA, FLAG_QR | FLAG_AA | FLAG_RD)
}


def _duration(event: Event) -> str:
    if event.reply is None:
        return EMPTY
    return f"{event.duration_seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _do(event: Event) -> str:
    edns = event.query.edns
    return "true" if edns is not None and edns.do else "false"


def _bufsize(event: Event) -> str:
    limit = event.query.size_limit
    reply = event.reply
    lowered = reply.edns_size if reply is not None and event.query.client.protocol == "udp" else 0
    return str(min(limit, lowered) if lowered else limit)


_PLACEHOLDERS: Final[dict[str, Part]] = {
    "{type}": lambda event: type_text(event.query.qtype),
    "{name}": lambda event: names.to_text(event.query.key),
    "{class}": lambda event: class_text(event.query.qclass),
    "{proto}": lambda event: event.query.client.protocol,
    "{size}": lambda event: str(len(event.query.packet)),
    "{remote}": lambda event: _bracketed(event.query.client.address),
    "{port}": lambda event: str(event.query.client.port),
    "{local}": lambda event: _bracketed(event.query.client.local_address),
    "{rcode}": _rcode,
    "{rsize}": _rsize,
    "{duration}": _duration,
    "{>rflags}": _rflags,
    "{>id}": lambda event: str(event.query.id),
    "{>opcode}": lambda event: str(event.query.opcode),
    "{>do}": _do,
    "{>bufsize}": _bufsize,
}
