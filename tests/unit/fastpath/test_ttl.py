# SPDX-License-Identifier: Apache-2.0
"""TTLs in wire form."""

import pytest

from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.wire import Writer, read_record
from clusterdns.errors import WireError
from clusterdns.fastpath.ttl import read_fields, read_ttl, with_ttl

RECORDS = [
    parse_record("www.example.org. 7 CNAME cdn.example.net."),
    parse_record("cdn.example.net. 300 A 192.0.2.1"),
    parse_record("example.org. 86400 SOA ns.example.org. admin.example.org. 1 2 3 4 5"),
    parse_record(". 0 NS ns.example.org."),
    parse_record('x.example.org. 1 TXT "a" "b"').with_ttl(0xFFFF_FFFF),
]


def written(records):
    writer = Writer(bytes(12))
    for record in records:
        writer.write_record(record)
    return bytes(writer.buffer[12:])


def read(body, count):
    message = bytes(12) + body
    position = 12
    records = []
    for _ in range(count):
        record, position = read_record(message, position)
        records.append(record)
    return records


@pytest.mark.parametrize("count", range(len(RECORDS) + 1))
def test_types_and_ttls_are_where_the_records_have_them(count):
    body = written(RECORDS)
    types, positions = read_fields(body, count)
    assert list(types) == [record.rtype for record in RECORDS[:count]]
    assert [int.from_bytes(body[position : position + 4], "big") for position in positions] == [
        record.ttl for record in RECORDS[:count]
    ]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_only_the_ttls_are_replaced(count):
    body = written(RECORDS[:count])
    changed = with_ttl(body, read_fields(body, count)[1], 70000)
    assert read(changed, count) == [record.with_ttl(70000) for record in RECORDS[:count]]


def test_a_ttl_with_its_highest_bit_set_is_0():
    body = written(RECORDS)
    positions = read_fields(body, len(RECORDS))[1]
    assert [read_ttl(body, position) for position in positions] == [7, 300, 86400, 0, 0]


@pytest.mark.parametrize("cut", [1, 5, 12, 30])
def test_records_that_run_over_the_end_are_an_error(cut):
    body = written(RECORDS)
    with pytest.raises(WireError):
        read_fields(body[:-cut], len(RECORDS))
