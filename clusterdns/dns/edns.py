# SPDX-License-Identifier: Apache-2.0
"""The OPT pseudo-record and its options (RFC 6891)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from clusterdns.dns.types import EDNS_DO, OPT

NSID: Final = 3
EXPIRE: Final = 9
COOKIE: Final = 10
KEEPALIVE: Final = 11
PADDING: Final = 12
EXTENDED_ERROR: Final = 15


class Edns(msgspec.Struct, frozen=True, gc=False):
    """The OPT record of a message. ``options`` are the raw bytes of its options, ``size`` the UDP payload size."""

    size: int
    version: int = 0
    do: bool = False
    options: bytes = b""

    def option_list(self) -> Iterator[tuple[int, bytes]]:
        """The options as (code, data); stops at the first that runs over the end."""
        return option_list(self.options)


def option_list(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Options in wire form as (code, data); stops at the first that runs over the end."""
    position = 0
    while position + 4 <= len(raw):
        code = raw[position] << 8 | raw[position + 1]
        end = position + 4 + (raw[position + 2] << 8 | raw[position + 3])
        if end > len(raw):
            return
        yield code, raw[position + 4 : end]
        position = end


def well_formed(options: bytes) -> bool:
    """True if the octets are whole options, one after another."""
    position = 0
    while position + 4 <= len(options):
        position += 4 + (options[position + 2] << 8 | options[position + 3])
    return position == len(options)


def encode_option(code: int, data: bytes) -> bytes:
    """One option in wire form."""
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def extended_error(info_code: int, text: str = "") -> bytes:
    """An Extended DNS Error option (RFC 8914) in wire form."""
    return encode_option(EXTENDED_ERROR, info_code.to_bytes(2, "big") + text.encode())


def encode_opt(size: int, *, do: bool = False, options: bytes = b"", rcode: int = 0) -> bytes:
    """An OPT record of version 0 in wire form; the upper eight bits of ``rcode`` go into its TTL field."""
    ttl = (rcode >> 4) << 24 | (EDNS_DO if do else 0)
    return b"".join(
        (
            b"\x00",
            OPT.to_bytes(2, "big"),
            size.to_bytes(2, "big"),
            ttl.to_bytes(4, "big"),
            len(options).to_bytes(2, "big"),
            options,
        )
    )
