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
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.zone.encode import fixed_part, pointer

REFRESH_SECONDS: Final = 7200
RETRY_SECONDS: Final = 1800
EXPIRE_SECONDS: Final = 86400
MAX_TTL_SECONDS: Final = 300
"""Of the SOA record itself; its MINIMUM, which bounds negative caching, is the configured TTL."""

_MNAME: Final = b"\x02ns\x03dns"
_RNAME: Final = b"\x0ahostmaster"
_ANSWER: Final = counts(1)
_AUTHORITY: Final = counts(0, 1)


class Authority:
    """What a zone says of itself. Its methods take the length in octets of the labels in front of the zone."""

    __slots__ = ("_nodata", "_nxdomain", "_serial", "_ttl")

    def __init__(self, ttl_seconds: int) -> None:
        self._ttl = ttl_seconds
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

    def _record(self, front_bytes: int) -> bytes:
        zone = pointer(HEADER_BYTES + front_bytes)
        numbers = (self._serial & 0xFFFFFFFF, REFRESH_SECONDS, RETRY_SECONDS, EXPIRE_SECONDS, self._ttl)
        data = _MNAME + zone + _RNAME + zone + b"".join([number.to_bytes(4, "big") for number in numbers])
        return zone + fixed_part(SOA, min(self._ttl, MAX_TTL_SECONDS), len(data)) + data
