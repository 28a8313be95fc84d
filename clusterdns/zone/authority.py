# SPDX-License-Identifier: Apache-2.0
"""A zone's SOA record, and the denials that carry it.

The names in the record are the zone's own, so they are pointers to where the zone starts in the question. A denial
therefore depends on the length of the labels in front of the zone and on nothing else: one small table serves every
name of the zone, in the letters of each query, until the serial changes.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import NOERROR, NXDOMAIN, SERVFAIL, SOA
from clusterdns.dns.wire import Record
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.zone.encode import fixed_part, pointer

REFRESH_SECONDS: Final = 7200
RETRY_SECONDS: Final = 1800
EXPIRE_SECONDS: Final = 86400
MAX_TTL_SECONDS: Final = 300
"""Of the SOA record itself; its MINIMUM, which bounds negative caching, is the configured TTL."""

CLUSTER_FRONTS: Final = (b"\x02ns\x03dns", b"\x0ahostmaster")
"""``ns.dns`` and ``hostmaster``."""

_ANSWER: Final = counts(1)
_AUTHORITY: Final = counts(0, 1)


class Authority:
    """What a zone says of itself. Its methods take the length in octets of the labels in front of the zone.

    fronts: the labels that make MNAME and RNAME in front of the zone (RFC 1035 section 3.3.13).
    most_seconds: the longest TTL of the SOA record itself.
    """

    __slots__ = ("_fronts", "_nodata", "_nxdomain", "_record_ttl", "_serial", "_ttl")

    def __init__(
        self, ttl_seconds: int, fronts: tuple[bytes, bytes] = CLUSTER_FRONTS, most_seconds: int = MAX_TTL_SECONDS
    ) -> None:
        self._ttl = ttl_seconds
        self._record_ttl = min(ttl_seconds, most_seconds)
        self._fronts = fronts
        self._serial = 0
        self._nodata: dict[int, CompiledAnswer] = {}
        self._nxdomain: dict[int, CompiledAnswer] = {}

    def set_serial(self, serial: int) -> None:
        """Change the serial number (RFC 1035 section 3.3.13)."""
        if serial != self._serial:
            self._serial = serial
            self._nodata.clear()
            self._nxdomain.clear()

    def soa(self) -> CompiledAnswer:
        """The answer to a query for the SOA record, which is at the zone's own name."""
        return CompiledAnswer(NOERROR, _ANSWER, self._record(0))

    def nodata(self, front_bytes: int) -> CompiledAnswer:
        """The name exists, without records of the type (RFC 2308 section 2.2)."""
        answer = self._nodata.get(front_bytes)
        if answer is None:
            answer = self._nodata[front_bytes] = CompiledAnswer(NOERROR, _AUTHORITY, self._record(front_bytes))
        return answer

    def nxdomain(self, front_bytes: int) -> CompiledAnswer:
        """The name does not exist (RFC 2308 section 2.1)."""
        answer = self._nxdomain.get(front_bytes)
        if answer is None:
            answer = self._nxdomain[front_bytes] = CompiledAnswer(NXDOMAIN, _AUTHORITY, self._record(front_bytes))
        return answer

    def failure(self, front_bytes: int) -> CompiledAnswer:
        """It can't be said yet whether the name exists."""
        return CompiledAnswer(SERVFAIL, _AUTHORITY, self._record(front_bytes))

    def record(self, zone: bytes) -> Record:
        """The SOA record as a value; ``zone`` is the zone's name."""
        return Record(zone, SOA, self._record_ttl, self._data(zone))

    def _record(self, front_bytes: int) -> bytes:
        zone = pointer(HEADER_BYTES + front_bytes)
        data = self._data(zone)
        return zone + fixed_part(SOA, self._record_ttl, len(data)) + data

    def _data(self, zone: bytes) -> bytes:
        numbers = (self._serial & 0xFFFFFFFF, REFRESH_SECONDS, RETRY_SECONDS, EXPIRE_SECONDS, self._ttl)
        server, mailbox = self._fronts
        return server + zone + mailbox + zone + b"".join([number.to_bytes(4, "big") for number in numbers])
