# SPDX-License-Identifier: Apache-2.0
"""What kind of reply a reply is: the types and classes that directives speak of (``log``, ``minimal``)."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from typing import Final

from clusterdns.dns.types import (
    AXFR,
    IXFR,
    NOERROR,
    NOTIFY,
    NOTIMP,
    NS,
    NXDOMAIN,
    SERVFAIL,
    SOA,
)
from clusterdns.dns.wire import Record
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

_RRSIG: Final = 46


class ResponseClass(enum.Enum):
    """The coarse kinds."""

    SUCCESS = "success"
    DENIAL = "denial"
    ERROR = "error"


class ResponseType(enum.Enum):
    """The fine kinds.

    NOERROR: an answer, or nothing at all. NODATA: NOERROR with only a SOA in authority. NXDOMAIN: with a SOA.
    DELEGATION: NOERROR with only NS in authority. SERVER_ERROR: SERVFAIL, NOTIMP. META: transfers and NOTIFY.
    OTHER_ERROR: everything else, such as REFUSED, and expired signatures for a client that wants them.
    """

    NOERROR = "NOERROR"
    NODATA = "NODATA"
    NXDOMAIN = "NXDOMAIN"
    DELEGATION = "DELEGATION"
    SERVER_ERROR = "SERVERERROR"
    OTHER_ERROR = "OTHERERROR"
    META = "META"


_CLASSES: Final = {
    ResponseType.NOERROR: ResponseClass.SUCCESS,
    ResponseType.DELEGATION: ResponseClass.SUCCESS,
    ResponseType.NODATA: ResponseClass.DENIAL,
    ResponseType.NXDOMAIN: ResponseClass.DENIAL,
}


def response_class(kind: ResponseType) -> ResponseClass:
    """The class of a type; what is neither success nor denial is an error, META included."""
    return _CLASSES.get(kind, ResponseClass.ERROR)


def response_type(query: Query, reply: Reply, now_seconds: float) -> ResponseType:
    """The type of a reply; ``now_seconds`` since the epoch decides about signatures."""
    if query.opcode == NOTIFY or query.qtype in (AXFR, IXFR):
        return ResponseType.META
    sections = reply.records(query)
    if query.edns is not None and query.edns.do:
        signed = (*sections.answer, *sections.authority, *sections.additional)
        if has_expired_signature(signed, int(now_seconds)):
            return ResponseType.OTHER_ERROR
    return type_of_sections(reply.rcode, len(sections.answer), [record.rtype for record in sections.authority])


def type_of_sections(rcode: int, answers: int, authority: Collection[int]) -> ResponseType:
    """The type of a reply to a QUERY by its number of answers and the record types of its authority section."""
    if rcode == NOERROR:
        if answers:
            return ResponseType.NOERROR
        if SOA in authority:
            return ResponseType.NODATA
        return ResponseType.DELEGATION if NS in authority else ResponseType.NOERROR
    if rcode == NXDOMAIN and SOA in authority and not answers:
        return ResponseType.NXDOMAIN
    return ResponseType.SERVER_ERROR if rcode in (SERVFAIL, NOTIMP) else ResponseType.OTHER_ERROR


def has_expired_signature(records: Iterable[Record], now_seconds: int) -> bool:
    """True if one of the RRSIGs is outside of its time (RFC 4034 section 3.1.5, serial number arithmetic)."""
    for record in records:
        if record.rtype != _RRSIG:
            continue
        expiration = int.from_bytes(record.data[8:12], "big")
        inception = int.from_bytes(record.data[12:16], "big")
        if (now_seconds - inception) & 0x8000_0000 or (expiration - now_seconds) & 0x8000_0000:
            return True
    return False
