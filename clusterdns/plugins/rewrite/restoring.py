# SPDX-License-Identifier: Apache-2.0
"""What the rules of ``rewrite`` do to the reply to a query that they changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from clusterdns.dns import names
from clusterdns.dns.types import CNAME, MX, NS, PTR, SOA, SRV
from clusterdns.dns.wire import Record
from clusterdns.plugins.rewrite.matching import Change, Pattern

_NAPTR: Final = 35
_DNAME: Final = 39
_NAPTR_FIXED_BYTES: Final = 4
_NAPTR_STRINGS: Final = 3

_FRONT_BYTES: Final = {SRV: 6, MX: 2, CNAME: 0, NS: 0, PTR: 0, SOA: 0, _DNAME: 0}
"""Octets in front of the name in the data of a record; of the two in a SOA record the first counts."""


class Owners(msgspec.Struct, frozen=True):
    """Changes the owner names of records."""

    change: Change

    def apply(self, record: Record) -> Record:
        """The record with its owner changed. Raises WireError."""
        name = renamed(record.name, self.change.apply)
        return record if name is record.name else msgspec.structs.replace(record, name=name)


class Values(msgspec.Struct, frozen=True):
    """Changes the names in the data of SRV, MX, CNAME, DNAME, NS, PTR, SOA (the server) and NAPTR records."""

    change: Change

    def apply(self, record: Record) -> Record:
        """The record with the name in its data changed. Raises WireError."""
        start = _value_start(record)
        if start is None:
            return record
        data = record.data
        end = start
        while data[end]:
            end += 1 + data[end]
        value = data[start : end + 1]
        name = renamed(value, self.change.apply)
        if name is value:
            return record
        return msgspec.structs.replace(record, data=data[:start] + name + data[end + 1 :])


class Ttls(msgspec.Struct, frozen=True):
    """Keeps TTLs between two bounds, in seconds."""

    least: int
    most: int

    def apply(self, record: Record) -> Record:
        """The record with its TTL within the bounds."""
        ttl = min(max(record.ttl, self.least), self.most)
        return record if ttl == record.ttl else record.with_ttl(ttl)


class Rcode(msgspec.Struct, frozen=True):
    """Puts one rcode in the place of another."""

    old: int
    new: int


class Target(msgspec.Struct, frozen=True):
    """Puts another target in the place of that of a CNAME record, whose records are looked up then."""

    pattern: Pattern
    replacement: str

    def find(self, record: Record) -> bytes | None:
        """The new target of a CNAME record; None if the rule isn't for it. Raises WireError."""
        if record.rtype != CNAME:
            return None
        text = names.to_text(record.data.lower())
        replaced = self.pattern.replace(text, self.replacement)
        return None if replaced is None or replaced == text else names.from_text(replaced)


RecordStep: TypeAlias = Owners | Values | Ttls

Step: TypeAlias = RecordStep | Rcode | Target


def renamed(name: bytes, change: Callable[[str], str]) -> bytes:
    """The name after the change, the very object where it stays the same. Raises WireError."""
    text = names.to_text(name.lower())
    new = change(text)
    return name if new == text else names.from_text(new)


def _value_start(record: Record) -> int | None:
    data = record.data
    start = _FRONT_BYTES.get(record.rtype)
    if start is None and record.rtype == _NAPTR:
        start = _NAPTR_FIXED_BYTES
        for _ in range(_NAPTR_STRINGS):
            start += 1 + data[start] if start < len(data) else 0
    return start if start is not None and start < len(data) else None
