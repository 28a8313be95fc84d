# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.types import MX, TXT, A
from clusterdns.dns.wire import Record
from clusterdns.errors import WireError


def test_a_full_record_is_read():
    assert parse_record("www.example.org. 60 IN A 192.0.2.1") == Record(
        names.from_text("www.example.org."), A, 60, b"\xc0\x00\x02\x01"
    )


@pytest.mark.parametrize(
    "text",
    [
        "a. 3600 IN A 1.2.3.4",
        "a. IN 3600 A 1.2.3.4",
        "a. IN A 1.2.3.4",
        "a. A 1.2.3.4",
        "a. 1h A 1.2.3.4",
        "A. a 1.2.3.4",
    ],
)
def test_ttl_and_class_come_in_either_order_or_not_at_all(text):
    record = parse_record(text)
    assert (record.name.lower(), record.ttl, record.rclass, record.data) == (b"\x01a\x00", 3600, 1, b"\x01\x02\x03\x04")


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("0", 0), ("90", 90), ("1m30s", 90), ("1H", 3600), ("2d", 172800), ("1w", 604800), ("1h5", 3605)],
)
def test_ttls_have_units(ttl, seconds):
    assert parse_record(f"a. {ttl} IN A 1.2.3.4").ttl == seconds


def test_the_default_ttl_is_the_callers():
    assert parse_record("a. A 1.2.3.4", default_ttl=5).ttl == 5


def test_the_letter_case_of_names_is_kept():
    record = parse_record("Www.Example. CNAME Other.Example.")
    assert (record.name, record.data) == (b"\x03Www\x07Example\x00", b"\x05Other\x07Example\x00")


def test_relative_names_end_in_the_origin():
    origin = names.from_text("example.org.")
    record = parse_record("www MX 10 @", origin)
    assert (record.name, record.rtype) == (names.from_text("www.example.org."), MX)
    assert record.data == b"\x00\x0a" + origin


def test_without_an_origin_relative_names_are_absolute():
    assert parse_record("www.example A 1.2.3.4").name == names.from_text("www.example.")


def test_quotes_keep_blanks_semicolons_and_escapes():
    record = parse_record(r'a. TXT "two words; \"here\"" plain\;word "\065\\" "" ; a comment')
    assert record.rtype == TXT
    assert record.data == b'\x11two words; "here"\x0aplain;word\x02A\\\x00'


def test_parentheses_join_lines_and_comments_end_with_them():
    record = parse_record(
        """
        example.org. 1h IN SOA ns.example.org. admin.example.org. ( ; start
            7      ; serial
            2h 30m ; refresh, retry
            1w 60 )
        """
    )
    assert record.data[-20:] == b"".join(n.to_bytes(4, "big") for n in (7, 7200, 1800, 604800, 60))


def test_escaped_dots_stay_inside_a_label():
    assert parse_record(r"a\.b\ c\100. A 1.2.3.4").name == b"\x06a.b cd\x00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no record"),
        ("; only a comment", "no record"),
        ("a. A 1.2.3.4\nb. A 1.2.3.4", "more than one record: b."),
        ("a.", "record type is missing"),
        ("a. 60 IN", "record type is missing"),
        ("a. 60 60 A 1.2.3.4", "not a record type: 60"),
        ("a. NOPE x", "not a record type: NOPE"),
        ("a. A", "A record: IPv4 address is missing"),
        ("a. A 1.2.3", "A record: not an IPv4 address: 1.2.3"),
        ("a. A 1.2.3.4 5", "A record: more data than the type has: 5"),
        ("a. AAAA 1.2.3.4", "AAAA record: not an IPv6 address: 1.2.3.4"),
        ("a. AAAA fe80::1%eth0", "AAAA record: an address in a record has no scope: fe80::1%eth0"),
        ("a. MX 65536 b.", "MX record: preference is not a number from 0 to 65535: 65536"),
        ("a. SOA b. c. 1 x 3 4 5", "SOA record: refresh is not a number of seconds: x"),
        ("a. TXT", "TXT record: string is missing"),
        ("a. TXT " + "x" * 256, "TXT record: string is longer than 255 octets"),
        (r"a. TXT \256", r"TXT record: bad escape in string: \256"),
        ('a. TXT "x', "quotation mark is not closed"),
        ("a. TXT (x", "parenthesis is not closed"),
        ("a. TXT x)", "closing parenthesis without an opening one"),
        ("$ORIGIN example.org.", "control entries are not allowed here: $ORIGIN"),
        ("a..b. A 1.2.3.4", "empty label in name: a..b."),
        ("a. 4294967296 A 1.2.3.4", "TTL is out of range: 4294967296"),
        ("a. LOC 1 2 3", "LOC record: data of this type can only be written as \\# LENGTH HEX (RFC 3597)"),
        (r"a. A \# 4 0102", "A record: generic data has 2 octets, not 4"),
        (r"a. A \# 3 010203", "A record: record data is shorter than its type says"),
    ],
)
def test_faults_say_what_is_wrong(text, reason):
    with pytest.raises(WireError) as caught:
        parse_record(text)
    assert str(caught.value) == reason


def test_unknown_types_and_classes_have_the_generic_form():
    record = parse_record(r"a. 1 CLASS32 TYPE731 \# 6 abcd (ef01 2345)")
    assert (record.rtype, record.rclass, record.data) == (731, 32, bytes.fromhex("abcdef012345"))
    assert record_text(record) == "a.\t1\tCLASS32\tTYPE731\t\\# 6 ABCDEF012345"


def test_known_types_may_be_written_in_the_generic_form():
    assert parse_record(r"a. A \# 4 01020304") == parse_record("a. A 1.2.3.4")


def test_data_that_does_not_fit_its_type_is_written_in_the_generic_form():
    assert record_text(Record(b"\x01a\x00", A, 5, b"\x01")) == "a.\t5\tIN\tA\t\\# 1 01"
    assert record_text(Record(b"\x01a\x00", A, 5, b"")) == "a.\t5\tIN\tA\t\\# 0"
