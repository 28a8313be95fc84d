# SPDX-License-Identifier: Apache-2.0
"""Numbers and mnemonics of the DNS: types, classes, rcodes, opcodes, header flags (IANA "DNS parameters")."""

from __future__ import annotations

from typing import Final

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
HINFO: Final = 13
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
DS: Final = 43
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

IN: Final = 1
CH: Final = 3
CLASS_ANY: Final = 255

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16

QUERY: Final = 0
NOTIFY: Final = 4

FLAG_QR: Final = 0x8000
FLAG_AA: Final = 0x0400
FLAG_TC: Final = 0x0200
FLAG_RD: Final = 0x0100
FLAG_RA: Final = 0x0080
FLAG_Z: Final = 0x0040
FLAG_AD: Final = 0x0020
FLAG_CD: Final = 0x0010

EDNS_DO: Final = 0x8000

TYPE_NAMES: Final[dict[int, str]] = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 12: "PTR",
    13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT",
    23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 31: "EID",
    32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL",
    43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
    51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO", 57: "RKEY", 58: "TALINK", 59: "CDS",
    60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 100: "UINFO",
    101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32", 106: "L64", 107: "LP", 108: "EUI48", 109: "EUI64",
    249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA", 255: "ANY", 256: "URI",
    257: "CAA", 258: "AVC", 260: "AMTRELAY", 261: "RESINFO", 32768: "TA", 32769: "DLV",
}  # fmt: skip
TYPE_NUMBERS: Final[dict[str, int]] = {name: number for number, name in TYPE_NAMES.items()}

CLASS_NAMES: Final[dict[int, str]] = {1: "IN", 2: "CS", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
CLASS_NUMBERS: Final[dict[str, int]] = {name: number for number, name in CLASS_NAMES.items()}

RCODE_NAMES: Final[dict[int, str]] = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 11: "DSOTYPENI", 16: "BADVERS", 17: "BADKEY", 18: "BADTIME",
    19: "BADMODE", 20: "BADNAME", 21: "BADALG", 22: "BADTRUNC", 23: "BADCOOKIE",
}  # fmt: skip
RCODE_NUMBERS: Final[dict[str, int]] = {name: number for number, name in RCODE_NAMES.items()}


def type_text(rtype: int) -> str:
    """The mnemonic of a type, or ``TYPE123`` (RFC 3597 section 5)."""
    return TYPE_NAMES.get(rtype) or f"TYPE{rtype}"


def class_text(rclass: int) -> str:
    """The mnemonic of a class, or ``CLASS123`` (RFC 3597 section 5)."""
    return CLASS_NAMES.get(rclass) or f"CLASS{rclass}"


def rcode_text(rcode: int) -> str:
    """The mnemonic of an rcode, or its number."""
    return RCODE_NAMES.get(rcode) or str(rcode)


def parse_type(text: str) -> int | None:
    """The number of a type from its mnemonic (any case) or ``TYPE123``; None if it is neither."""
    upper = text.upper()
    number = TYPE_NUMBERS.get(upper)
    if number is None and upper.startswith("TYPE") and upper[4:].isascii() and upper[4:].isdigit():
        number = int(upper[4:][:6])
        number = number if number <= 0xFFFF else None
    return number


def parse_class(text: str) -> int | None:
    """The number of a class from its mnemonic (any case) or ``CLASS123``; None if it is neither."""
    upper = text.upper()
    number = CLASS_NUMBERS.get(upper)
    if number is None and upper.startswith("CLASS") and upper[5:].isascii() and upper[5:].isdigit():
        number = int(upper[5:][:6])
        number = number if number <= 0xFFFF else None
    return number
