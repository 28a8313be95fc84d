# SPDX-License-Identifier: Apache-2.0
"""Whole zone files: control entries, owners and TTLs that are taken over, line numbers of faults."""

import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import MAX_INCLUDE_DEPTH, parse_file, record_text
from clusterdns.errors import MasterFileError

ORIGIN = names.from_text("example.org.")


def lines(text, **options):
    """The records as text, tabs as blanks."""
    return [record_text(record).replace("\t", " ") for record in parse_file(text, ORIGIN, **options)]


def fault(text, **options):
    with pytest.raises(MasterFileError) as caught:
        list(parse_file(text, ORIGIN, file="db", **options))
    return str(caught.value)


def test_the_example_of_rfc_1035_section_5_3():
    text = """\
@   IN  SOA     VENERA      Action\\.domains (
                                 20     ; SERIAL
                                 7200   ; REFRESH
                                 600    ; RETRY
                                 3600000; EXPIRE
                                 60)    ; MINIMUM

        NS      A.ISI.EDU.
        NS      VENERA
        MX      10      VENERA
        MX      20      VAXA

A       A       26.3.0.103

VENERA  A       10.1.0.52
        A       128.9.0.32

$INCLUDE isi-mailboxes.txt
"""
    included = "MOE     MB      \\# 3 016100\n"
    found = lines(text, file="/zones/isi", read={"/zones/isi-mailboxes.txt": included}.__getitem__)
    assert found == [
        "example.org. 60 IN SOA VENERA.example.org. Action\\.domains.example.org. 20 7200 600 3600000 60",
        "example.org. 60 IN NS A.ISI.EDU.",
        "example.org. 60 IN NS VENERA.example.org.",
        "example.org. 60 IN MX 10 VENERA.example.org.",
        "example.org. 60 IN MX 20 VAXA.example.org.",
        "A.example.org. 60 IN A 26.3.0.103",
        "VENERA.example.org. 60 IN A 10.1.0.52",
        "VENERA.example.org. 60 IN A 128.9.0.32",
        "MOE.example.org. 60 IN MB \\# 3 016100",
    ]


def test_origin_completes_what_follows_it():
    text = "$TTL 5\na A 1.1.1.1\n$ORIGIN sub\nb A 1.1.1.2\n@ A 1.1.1.3\n$ORIGIN other.test.\nc CNAME d\n"
    assert lines(text) == [
        "a.example.org. 5 IN A 1.1.1.1",
        "b.sub.example.org. 5 IN A 1.1.1.2",
        "sub.example.org. 5 IN A 1.1.1.3",
        "c.other.test. 5 IN CNAME d.other.test.",
    ]


def test_the_owner_is_taken_over_after_other_entries():
    text = "$TTL 5\na A 1.1.1.1\n\n; a comment\n$TTL 6\n  \n\tA 1.1.1.2\n"
    assert lines(text) == ["a.example.org. 5 IN A 1.1.1.1", "a.example.org. 6 IN A 1.1.1.2"]


def test_without_a_default_the_last_ttl_is_taken_over():
    assert lines("a 7 A 1.1.1.1\nb A 1.1.1.2\n$TTL 9\nc A 1.1.1.3\nd 1 A 1.1.1.4\ne A 1.1.1.5\n") == [
        "a.example.org. 7 IN A 1.1.1.1",
        "b.example.org. 7 IN A 1.1.1.2",
        "c.example.org. 9 IN A 1.1.1.3",
        "d.example.org. 1 IN A 1.1.1.4",
        "e.example.org. 9 IN A 1.1.1.5",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "txt 5 TXT ( one\n two\n)\n",
        "txt 5 TXT one ( ; first\n\n two ; second )\n ) ; end\n",
        "txt (5 TXT) (one)(two)",
        'txt 5 TXT "one" "two"',
        'txt 5 TXT "one"two\r\n',
    ],
)
def test_parentheses_and_comments_don_t_matter(text):
    assert lines(text) == ['txt.example.org. 5 IN TXT "one" "two"']


def test_quotes_keep_what_is_special():
    assert lines('a 5 TXT "; ( ) \\" \\\\ $" \\; \\059x\n') == ['a.example.org. 5 IN TXT "; ( ) \\" \\\\ $" ";" ";x"']


def test_escapes_keep_blanks_and_dots_in_names():
    assert lines("a\\.b\\ c 5 A 1.1.1.1\n\\@ 5 A 1.1.1.2\n") == [
        "a\\.b\\ c.example.org. 5 IN A 1.1.1.1",
        "\\@.example.org. 5 IN A 1.1.1.2",
    ]


def test_types_may_be_names():
    assert lines("a 5 A 1.1.1.1\n    NS a\nNS 5 NS in\n60 5 A 1.1.1.2\n") == [
        "a.example.org. 5 IN A 1.1.1.1",
        "a.example.org. 5 IN NS a.example.org.",
        "NS.example.org. 5 IN NS in.example.org.",
        "60.example.org. 5 IN A 1.1.1.2",
    ]


def test_an_included_file_has_its_own_origin_and_owner_and_shares_ttls():
    files = {"/z/sub": "$ORIGIN x\n@ A 1.1.1.1\n$TTL 8\n"}
    assert lines(
        "$TTL 5\na A 1.1.1.0\n$INCLUDE sub in.test.\n  A 1.1.1.2\nb A 1.1.1.3\n", file="/z/db", read=files.get
    ) == [
        "a.example.org. 5 IN A 1.1.1.0",
        "x.in.test. 5 IN A 1.1.1.1",
        "a.example.org. 8 IN A 1.1.1.2",
        "b.example.org. 8 IN A 1.1.1.3",
    ]


def test_a_file_that_includes_itself_ends():
    assert f"more than {MAX_INCLUDE_DEPTH} files" in fault("$INCLUDE db\n", read=lambda path: "$INCLUDE db\n")


def test_a_missing_include_is_a_fault_of_its_line():
    def read(path):
        raise FileNotFoundError(2, "No such file or directory", path)

    assert fault("\n$INCLUDE gone\n", read=read) == "db:2: can't include gone: No such file or directory"


def test_includes_need_a_reader():
    assert "can't include" in fault("$INCLUDE /etc/passwd\n")


def test_a_fault_in_an_included_file_names_that_file():
    assert fault("$INCLUDE sub\n", read=lambda path: "\n\na A x\n").startswith("sub:3: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 5 A 1.1.1.1\nb 5 A 1.1.1\n", "db:2: A record: not an IPv4 address: 1.1.1"),
        ("a 5 TXT (\n\nx\n)\nb 5 NOPE x\n", "db:5: not a record type: NOPE"),
        ("a 5 TXT (\n\nx )\n)\n", "db:4: closing parenthesis without an opening one"),
        ("\n\na 5 TXT (\n x\n", "db:3: parenthesis is not closed"),
        ('\na 5 TXT "x\n\n', "db:2: quotation mark is not closed"),
        ("  A 1.1.1.1\n", "db:1: the first record has no name"),
        ("a A 1.1.1.1\n", "db:1: the record has no TTL, and there is none to take over: begin the file with $TTL"),
        ("$NOPE x\n", "db:1: unknown control entry: $NOPE"),
        ("$ORIGIN\n", "db:1: $ORIGIN needs an argument"),
        ("$TTL 1 2\n", "db:1: too many arguments of $TTL: 2"),
        ("$TTL x\n", "db:1: not a TTL: x"),
        ("$TTL 4294967296\n", "db:1: TTL is out of range: 4294967296"),
        (f"{'a' * 64} 5 A 1.1.1.1\n", f"db:1: label is longer than 63 octets in name: {'a' * 64}"),
        ("a..b 5 A 1.1.1.1\n", "db:1: empty label in name: a..b"),
        ("a 5\n", "db:1: record type is missing"),
        ("a 5 A\n", "db:1: A record: IPv4 address is missing"),
    ],
)
def test_faults_have_a_line(text, message):
    assert fault(text) == message


def test_a_long_quotation_that_is_not_closed_is_found_at_once():
    assert "not closed" in fault('a 5 TXT "' + "x" * 200_000)


def test_nothing_is_no_record():
    assert lines("") == lines("\n\n ; nothing\n") == []


def test_records_that_were_read_before_a_fault_are_given():
    reader = parse_file("a 5 A 1.1.1.1\nb 5 A x\n", ORIGIN)
    assert next(reader).ttl == 5
    with pytest.raises(MasterFileError):
        next(reader)
