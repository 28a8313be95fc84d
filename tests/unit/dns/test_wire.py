# SPDX-License-Identifier: Apache-2.0
"""Records between bytes and values, with compression."""

import pytest

from clusterdns.dns import names, types
from clusterdns.dns.wire import Record, Writer, read_name, read_record, skip_records
from clusterdns.errors import WireError

N = names.from_text
HEADER = bytes(12)


def test_compressed_name_is_followed():
    message = HEADER + b"\x03org\x00" + b"\x03www" + b"\xc0\x0c"
    assert read_name(message, 17) == (N("www.org."), 23)


@pytest.mark.parametrize(
    ("message", "position"),
    [
        (b"\xc0\x00", 0),  # points at itself
        (b"\x01a\xc0\x00", 0),  # points at its own start
        (b"\xc0\x02\x01a\x00", 0),  # points forward
        (b"\x40a\x00", 0),  # label type 01
        (b"\x05ab", 0),  # label over the end
        (b"\x01a", 0),  # no root
        (b"\xc0", 0),  # half a pointer
        (b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\x00", 0),  # 257 octets
        (b"", 0),
    ],
)
def test_bad_names_raise(message, position):
    with pytest.raises(WireError):
        read_name(message, position)


RECORDS = [
    Record(N("a.example."), types.A, 30, b"\x0a\x00\x00\x01"),
    Record(N("a.example."), types.CNAME, 30, N("b.example.")),
    Record(N("a.example."), types.MX, 30, b"\x00\x0a" + N("mx.example.")),
    Record(N("a.example."), types.SRV, 30, b"\x00\x00\x00\x64\x00\x50" + N("target.example.")),
    Record(N("example."), types.SOA, 30, N("ns.example.") + N("host.example.") + bytes(20)),
    Record(N("a.example."), types.TXT, 30, b"\x05hello"),
    Record(N("a.example."), 35, 30, bytes(4) + b"\x01U\x03SIP\x00" + N("r.example.")),
    Record(N("a.example."), 65280, 30, b"\x01\x02\x03"),
    Record(N("a.example."), types.A, 0, b"", types.CLASS_ANY),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: types.type_text(record.rtype))
def test_record_survives_writing_and_reading(record):
    writer = Writer(HEADER + N("a.example.") + b"\x00\x01\x00\x01", question=N("a.example."))
    start = len(writer.buffer)
    writer.write_record(record)
    assert read_record(bytes(writer.buffer), start) == (record, len(writer.buffer))


def test_names_compress_against_the_question_and_keep_its_case():
    question = N("A.Example.")
    writer = Writer(HEADER + question + bytes(4), question=question)
    start = len(writer.buffer)
    writer.write_record(Record(question, types.CNAME, 5, N("b.Example.")))
    assert bytes(writer.buffer[start : start + 2]) == b"\xc0\x0c"
    assert bytes(writer.buffer[-4:]) == b"\x01b\xc0\x0e"
    writer.write_name(N("b.example."))
    assert bytes(writer.buffer[-11:]) == N("b.example."), "another case must not be compressed away"


def test_srv_target_is_not_compressed_but_may_be_pointed_at():
    writer = Writer(HEADER + N("x.") + bytes(4), question=N("x."))
    writer.write_record(Record(N("x."), types.SRV, 5, bytes(6) + N("t.x.")))
    assert bytes(writer.buffer[-5:]) == N("t.x.")
    writer.write_name(N("t.x."))
    assert writer.buffer[-2] >= 0xC0


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x0a",  # data over the end
        b"\x00\x00\x01\x00\x01\x00\x00",  # header over the end
        b"\x00\x00\x05\x00\x01\x00\x00\x00\x00\x00\x02\x00\x00",  # octets behind the name
        b"\x00\x00\x0f\x00\x01\x00\x00\x00\x00\x00\x01\x00",  # MX too short
        b"\x00\x00\x23\x00\x01\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x09",  # NAPTR string over the end
    ],
)
def test_bad_records_raise(message):
    with pytest.raises(WireError):
        read_record(message, 0)


@pytest.mark.parametrize("start", [0, 7])
def test_records_are_skipped_with_whole_and_compressed_names(start):
    fixed = b"\0\1\0\1\0\0\0\5\0"
    records = b"\xc0\x0c" + fixed + b"\4\1\2\3\4" + b"\1a\0" + fixed + b"\0" + b"\1a\xc0\x0c" + fixed + b"\1x"
    message = b"\xff" * start + records
    assert [skip_records(message, count, start) - start for count in range(4)] == [0, 16, 29, 44]
    for cut in range(1, 15):
        with pytest.raises(WireError):
            skip_records(message[:-cut], 3, start)
