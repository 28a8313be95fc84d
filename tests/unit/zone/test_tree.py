# SPDX-License-Identifier: Apache-2.0
"""Zones from records: what is left out, what is refused."""

import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file, record_text
from clusterdns.dns.types import A
from clusterdns.dns.wire import Record
from clusterdns.errors import MasterFileError, WireError
from clusterdns.zone.tree import ZoneBuilder, build_zone, canonical, is_newer, soa_numbers

ORIGIN = names.from_text("example.org.")
APEX = "$TTL 60\n@ SOA ns1 admin 7 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"


def zone_of(text, origin=ORIGIN):
    return build_zone(origin, parse_file(text, ORIGIN))


def test_a_zone_knows_its_records():
    zone = zone_of(APEX + "a.b A 192.0.2.2\na.b A 192.0.2.3\n")
    assert (zone.serial, zone.size, zone.warnings) == (7, 5, [])
    assert [record_text(record).split("\t")[0] for record in zone.records()] == [
        *["example.org."] * 2,
        "ns1.example.org.",
        *["a.b.example.org."] * 2,
    ]
    assert names.from_text("b.example.org.") in zone.nodes


def test_repeated_records_count_once():
    assert zone_of(APEX + "a A 192.0.2.2\nA 300 A 192.0.2.2\n").size == 4


def test_large_sets_are_kept_whole_and_without_repetitions():
    lines = [f"big A 10.0.{n >> 8}.{n & 255}\n" for n in range(3000)]
    zone = zone_of(APEX + "".join(lines) + "x A 192.0.2.1\n" + "".join(lines))
    assert len(zone.nodes[names.from_text("big.example.org.")].sets[A]) == 3000
    assert zone.size == 3004


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("other.test. A 192.0.2.1\n", "other.test. is outside of the zone and left out"),
        ("sub SOA ns1 admin 1 2 3 4 5\n", "another SOA record at sub.example.org. is left out"),
        ("@ SOA ns1 admin 8 2 3 4 5\n", "another SOA record at example.org. is left out"),
        ("a CNAME b\na A 192.0.2.1\n", "a.example.org. has a CNAME record and others, which are not found"),
    ],
)
def test_warnings(text, warning):
    assert zone_of(APEX + text).warnings == [warning]


def test_a_zone_without_name_servers_is_warned_of():
    assert zone_of("@ 5 SOA ns1 admin 7 2 3 4 5\n").warnings == ["example.org. has no NS record"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$TTL 5\n@ NS ns1\n", "no SOA record for origin example.org."),
        (APEX + "a CH TXT x\n", "a.example.org.: only class IN can be served"),
        (
            APEX + "a NSEC3 1 0 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR\n",
            "NSEC3 zone is not supported: a.example.org. has NSEC3",
        ),
    ],
)
def test_faults(text, reason):
    with pytest.raises(MasterFileError) as caught:
        zone_of(text)
    assert caught.value.reason == reason


def test_canonical_order_is_that_of_rfc_4034_section_6_1():
    ordered = ["example.", "a.example.", "yljkjljk.a.example.", "z.a.example.", "zabc.a.example.", "z.example."]
    ordered += ["\\001.z.example.", "*.z.example.", "\\200.z.example."]
    keys = [canonical(names.from_text(name)) for name in ordered]
    assert keys == sorted(keys)


@pytest.mark.parametrize("rtype", [2, 5, 6, 39, 46])
def test_records_from_elsewhere_may_not_be_empty(rtype):
    builder = ZoneBuilder(ORIGIN)
    with pytest.raises(MasterFileError, match="without data"):
        builder.add(Record(ORIGIN, rtype, 5, b""))


def test_a_soa_record_that_is_too_short_is_a_fault():
    with pytest.raises(WireError):
        soa_numbers(b"\0\0" + bytes(19))


@pytest.mark.parametrize(
    ("serial", "than", "newer"),
    [(2, 1, True), (1, 2, False), (1, 1, False), (0, 0xFFFFFFFF, True), (0x80000000, 1, True), (0x80000001, 1, False)],
)
def test_serial_numbers_go_round(serial, than, newer):
    assert is_newer(serial, than) is newer
