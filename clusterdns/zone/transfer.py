# SPDX-License-Identifier: Apache-2.0
"""Zone transfers and NOTIFY as messages, sans-IO (RFC 5936, RFC 1995, RFC 1996)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clusterdns.dns import names
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import FLAG_AA, IN, NOERROR, NOTIFY, SOA, rcode_text
from clusterdns.dns.wire import Record, read_name, read_record
from clusterdns.errors import UpstreamError, WireError
from clusterdns.zone.tree import soa_numbers

MAX_TRANSFER_BYTES: Final = 512 * 1024 * 1024
"""Of all messages of a transfer: more than the largest zones of an organization, less than what harms a machine."""

_ONE_QUESTION: Final = b"\0\1\0\0\0\0\0\0"
_QR: Final = 0x80


def encode_question(message_id: int, name: bytes, qtype: int, *, flags: int = 0) -> bytes:
    """A message with a question and nothing else."""
    header = message_id.to_bytes(2, "big") + flags.to_bytes(2, "big") + _ONE_QUESTION
    return header + name + qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")


def encode_notify(message_id: int, zone: bytes) -> bytes:
    """NOTIFY that a zone has changed (RFC 1996 section 3.7), without the SOA record, which need not be believed."""
    return encode_question(message_id, zone, SOA, flags=NOTIFY << 11 | FLAG_AA)


def check_reply(message: bytes, message_id: int) -> None:
    """Raises UpstreamError unless the message is a reply without an error to the one with the ID."""
    if len(message) < HEADER_BYTES or message[:2] != message_id.to_bytes(2, "big") or not message[2] & _QR:
        raise UpstreamError("not a reply to what was asked")
    rcode = message[3] & 15
    if rcode != NOERROR:
        raise UpstreamError(f"rcode was {rcode_text(rcode)}")


def read_answers(message: bytes) -> Iterator[Record]:
    """The records of the answer section. Raises WireError."""
    position = HEADER_BYTES
    for _ in range(int.from_bytes(message[4:6], "big")):
        position = read_name(message, position)[1] + 4
    for _ in range(int.from_bytes(message[6:8], "big")):
        record, position = read_record(message, position)
        yield record


def read_serial(message: bytes, message_id: int, zone: bytes) -> int:
    """The serial number in a reply to a query for a SOA record. Raises UpstreamError."""
    check_reply(message, message_id)
    try:
        for record in read_answers(message):
            if record.rtype == SOA and record.name.lower() == zone:
                return soa_numbers(record.data)[0]
    except WireError as error:
        raise UpstreamError(str(error)) from None
    raise UpstreamError("the reply has no SOA record")


def requested_serial(packet: bytes, question_end: int) -> int | None:
    """The serial number in the authority section of an IXFR query (RFC 1995 section 3); None if there is none."""
    if packet[6:10] != b"\0\0\0\1":
        return None
    try:
        record, _ = read_record(packet, question_end)
        return soa_numbers(record.data)[0] if record.rtype == SOA else None
    except WireError:
        return None


class TransferReader:
    """Reads the messages of an AXFR reply.

    done: True once the closing SOA record has been read.
    """

    def __init__(self, zone: bytes, message_id: int) -> None:
        self.done = False
        self._zone = zone
        self._id = message_id
        self._soa: Record | None = None
        self._bytes = 0

    def read(self, message: bytes) -> Iterator[Record]:
        """The records of the next message, the SOA record first and only there. Raises UpstreamError."""
        check_reply(message, self._id)
        self._bytes += len(message)
        if self._bytes > MAX_TRANSFER_BYTES:
            raise UpstreamError(f"the zone is larger than {MAX_TRANSFER_BYTES} octets")
        if message[6:8] == b"\0\0":
            raise UpstreamError("a message of the transfer has no records")
        try:
            for record in read_answers(message):
                is_soa = record.rtype == SOA and record.name.lower() == self._zone
                if self._soa is None:
                    if not is_soa:
                        raise UpstreamError(f"the transfer does not begin with the SOA of {names.to_text(self._zone)}")
                    self._soa = record
                elif is_soa:
                    self._finish(record)
                    return
                yield record
        except WireError as error:
            raise UpstreamError(str(error)) from None

    def _finish(self, last: Record) -> None:
        assert self._soa is not None
        if soa_numbers(last.data)[0] != soa_numbers(self._soa.data)[0]:
            raise UpstreamError("the zone changed during its transfer")
        self.done = True
