# SPDX-License-Identifier: Apache-2.0
r"""Record types as sequences of fields.

A type that is not listed is read and written in the generic form ``\# length hex`` (RFC 3597 section 5), which listed
ones may use as well. Add a type with one line here and its vectors in tests/data/records/.
"""

from __future__ import annotations

from typing import Final

from clusterdns.dns.records.dnssec import HashedName, Moment, Salt, TypeBitmap, TypeName
from clusterdns.dns.records.fields import (
    Base64,
    Field,
    Hex,
    Integer,
    Ipv4,
    Ipv6,
    Name,
    Octets,
    Seconds,
    String,
    Strings,
    Tag,
    Text,
    Word,
    Words,
)
from clusterdns.dns.records.svcb import ServiceParameters
from clusterdns.dns.types import TYPE_NUMBERS
from clusterdns.errors import WireError

_PREFERENCE: Final = Integer(2, "preference")
_DIGEST: Final = (Integer(2, "key tag"), Integer(1, "algorithm"), Integer(1, "digest type"), Hex())
_KEY: Final = (Integer(2, "flags"), Integer(1, "protocol"), Integer(1, "algorithm"), Base64())
_CERTIFICATE: Final = (Integer(1, "usage"), Integer(1, "selector"), Integer(1, "matching type"), Hex())

_HASHING: Final = (Integer(1, "hash algorithm"), Integer(1, "flags"), Integer(2, "iterations"), Salt())
_SERVICE: Final = (Integer(2, "priority"), Name(), ServiceParameters())

RECORDS: Final[dict[str, tuple[Field, ...]]] = {
    "A": (Ipv4(),),
    "NS": (Name(),),
    "CNAME": (Name(),),
    "SOA": (
        Name(), Name(), Integer(4, "serial"), Seconds("refresh"), Seconds("retry"), Seconds("expire"),
        Seconds("minimum"),
    ),
    "PTR": (Name(),),
    "HINFO": (String(), String()),
    "MX": (_PREFERENCE, Name()),
    "TXT": (Strings(),),
    "RP": (Name(), Name()),
    "AFSDB": (Integer(2, "subtype"), Name()),
    "AAAA": (Ipv6(),),
    "SRV": (Integer(2, "priority"), Integer(2, "weight"), Integer(2, "port"), Name()),
    "NAPTR": (Integer(2, "order"), _PREFERENCE, String(), String(), String(), Name()),
    "KX": (_PREFERENCE, Name()),
    "DNAME": (Name(),),
    "DS": _DIGEST,
    "SSHFP": (Integer(1, "algorithm"), Integer(1, "fingerprint type"), Hex()),
    "RRSIG": (
        TypeName(), Integer(1, "algorithm"), Integer(1, "labels"), Seconds("original TTL"), Moment("expiration"),
        Moment("inception"), Integer(2, "key tag"), Name(), Base64(),
    ),
    "NSEC": (Name(), TypeBitmap()),
    "DNSKEY": _KEY,
    "DHCID": (Base64(),),
    "NSEC3": (*_HASHING, HashedName(), TypeBitmap()),
    "NSEC3PARAM": _HASHING,
    "TLSA": _CERTIFICATE,
    "SMIMEA": _CERTIFICATE,
    "CDS": _DIGEST,
    "CDNSKEY": _KEY,
    "OPENPGPKEY": (Base64(),),
    "CSYNC": (Integer(4, "serial"), Integer(2, "flags"), TypeBitmap()),
    "ZONEMD": (Integer(4, "serial"), Integer(1, "scheme"), Integer(1, "hash algorithm"), Hex()),
    "SVCB": _SERVICE,
    "HTTPS": _SERVICE,
    "SPF": (Strings(),),
    "URI": (Integer(2, "priority"), Integer(2, "weight"), Text()),
    "CAA": (Integer(1, "flags"), Tag(), Text()),
}  # fmt: skip

_FIELDS: Final = {TYPE_NUMBERS[name]: fields for name, fields in RECORDS.items()}
_MAX_DATA_BYTES: Final = 0xFFFF


def encode_data(rtype: int, words: list[Word], origin: bytes) -> bytes:
    """Record data from its zone-file words. Raises WireError."""
    reader = Words(words, origin)
    if words and words[0].text == "\\#" and not words[0].quoted:
        return _encode_generic(rtype, reader)
    fields = _FIELDS.get(rtype)
    if fields is None:
        raise WireError("data of this type can only be written as \\# LENGTH HEX (RFC 3597)")
    data = b"".join([field.encode(reader) for field in fields])
    if extra := reader.rest():
        raise WireError(f"more data than the type has: {extra[0].text[:40]}")
    if len(data) > _MAX_DATA_BYTES:
        raise WireError(f"data is longer than {_MAX_DATA_BYTES} octets")
    return data


def _encode_generic(rtype: int, reader: Words) -> bytes:
    reader.next("\\#")
    length = int.from_bytes(Integer(2, "length").encode(reader), "big")
    data = Hex().encode(reader)
    if len(data) != length:
        raise WireError(f"generic data has {len(data)} octets, not {length}")
    if rtype in _FIELDS:
        _decode_fields(_FIELDS[rtype], data)
    return data


def _decode_fields(fields: tuple[Field, ...], data: bytes) -> list[str]:
    octets = Octets(data)
    words = [word for field in fields if (word := field.decode(octets))]
    if not octets.empty:
        raise WireError("record data is longer than its type says")
    return words


def decode_data(rtype: int, data: bytes) -> str:
    """Record data as zone-file text; in the generic form where the type is not listed or the data doesn't fit it."""
    fields = _FIELDS.get(rtype)
    if fields is not None:
        try:
            return " ".join(_decode_fields(fields, data))
        except WireError:
            pass
    return f"\\# {len(data)} {data.hex().upper()}".rstrip()
