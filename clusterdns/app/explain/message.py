# SPDX-License-Identifier: Apache-2.0
"""A DNS message as text, in the form of dig."""

from __future__ import annotations

from typing import Final

import msgspec

from clusterdns.app.explain.search import Outcome
from clusterdns.dns import names
from clusterdns.dns.edns import option_list
from clusterdns.dns.masterfile import record_text
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.records.table import decode_data
from clusterdns.dns.types import (
    ANY,
    CNAME,
    FLAG_AA,
    FLAG_AD,
    FLAG_CD,
    FLAG_QR,
    FLAG_RA,
    FLAG_RD,
    FLAG_TC,
    NOERROR,
    NXDOMAIN,
    OPT,
    SERVFAIL,
    class_text,
    rcode_text,
    type_text,
)
from clusterdns.dns.wire import Record, read_name, read_record

_FLAGS: Final = (
    ("qr", FLAG_QR),
    ("aa", FLAG_AA),
    ("tc", FLAG_TC),
    ("rd", FLAG_RD),
    ("ra", FLAG_RA),
    ("ad", FLAG_AD),
    ("cd", FLAG_CD),
)
_EXTENDED_ERROR: Final = 15


class Message(msgspec.Struct, frozen=True):
    """A message, decoded. ``errors`` are the extended errors in its OPT record (RFC 8914)."""

    rcode: int
    flags: int
    name: bytes
    qtype: int
    qclass: int
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    errors: tuple[str, ...] = ()

    @property
    def truncated(self) -> bool:
        """True if there is more, over TCP."""
        return bool(self.flags & FLAG_TC)

    def outcome(self) -> Outcome:
        """What it means to a resolver that asked for the type."""
        if self.rcode == NOERROR:
            wanted = self.qtype
            found = any(wanted in (record.rtype, ANY) or wanted == CNAME == record.rtype for record in self.answer)
            return "answer" if found else "no data"
        if self.rcode == NXDOMAIN:
            return "no name"
        return "failure" if self.rcode == SERVFAIL else "refusal"

    def alias(self) -> str:
        """The last name that a chain of CNAME records in the answer leads to; empty without one."""
        aliases = [record.data for record in self.answer if record.rtype == CNAME]
        return names.to_text(aliases[-1]) if aliases else ""

    def data(self) -> list[str]:
        """What the answer's records of the wanted type say, without name, TTL, class and type."""
        return [decode_data(record.rtype, record.data) for record in self.answer if self.qtype in (record.rtype, ANY)]


def decode_message(octets: bytes) -> Message:
    """Decode a message of this server. Raises WireError."""
    flags = int.from_bytes(octets[2:4], "big")
    counts = [int.from_bytes(octets[start : start + 2], "big") for start in (6, 8, 10)]
    name, position = read_name(octets, HEADER_BYTES)
    qtype, qclass = (int.from_bytes(octets[at : at + 2], "big") for at in (position, position + 2))
    position += 4
    sections: list[tuple[Record, ...]] = []
    for count in counts:
        records = []
        for _ in range(count):
            record, position = read_record(octets, position)
            records.append(record)
        sections.append(tuple(records))
    rcode = flags & 15
    errors: tuple[str, ...] = ()
    opt = next((record for record in sections[2] if record.rtype == OPT), None)
    if opt is not None:
        rcode |= opt.ttl >> 24 << 4
        errors = tuple(
            f"{int.from_bytes(data[:2], 'big')}: {data[2:].decode('utf-8', 'replace')}"
            for code, data in option_list(opt.data)
            if code == _EXTENDED_ERROR
        )
    additional = tuple(record for record in sections[2] if record.rtype != OPT)
    return Message(rcode, flags, name, qtype, qclass, sections[0], sections[1], additional, errors)


def message_text(message: Message) -> str:
    """The message as dig prints it, without what is about the way that it took."""
    flags = " ".join(word for word, bit in _FLAGS if message.flags & bit)
    lines = [f";; ->>HEADER<<- opcode: QUERY, status: {rcode_text(message.rcode)}; flags: {flags}"]
    lines += [f"; EDE: {error}" for error in message.errors]
    question = f"{names.to_text(message.name)}\t{class_text(message.qclass)}\t{type_text(message.qtype)}"
    lines += [";; QUESTION SECTION:", f";{question}"]
    for title, records in (
        ("ANSWER", message.answer),
        ("AUTHORITY", message.authority),
        ("ADDITIONAL", message.additional),
    ):
        if records:
            lines += [f";; {title} SECTION:", *map(record_text, records)]
    return "\n".join(lines)
