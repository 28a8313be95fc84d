# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import MAX_GENERATED, parse_file, record_text
from clusterdns.errors import MasterFileError

ORIGIN = names.from_text("example.org.")


def generated(line):
    """Owner and data of each record that the line makes."""
    records = [record_text(record).split("\t") for record in parse_file(f"$TTL 5\n$GENERATE {line}\n", ORIGIN)]
    return [(owner.removesuffix(".example.org."), data) for owner, _, _, _, data in records]


def test_a_record_for_each_number():
    assert generated("1-3 host$ A 10.0.0.$") == [(f"host{n}", f"10.0.0.{n}") for n in (1, 2, 3)]


def test_steps():
    assert [owner for owner, _ in generated("0-5/2 h$ A 10.0.0.1")] == ["h0", "h2", "h4"]


def test_ttl_and_class_may_be_written():
    text = "$GENERATE 1-1 h$ 60 IN A 10.0.0.$\n"
    assert [record.ttl for record in parse_file(text, ORIGIN)] == [60]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("${0}", "26"),
        ("${-20}", "6"),
        ("${+4,5}", "00030"),
        ("${0,4,x}", "001a"),
        ("${0,0,X}", "1A"),
        ("${0,3,o}", "032"),
        ("${0,3,n}", "a.1"),
        ("${0,7,N}", "A.1.0.0"),
        ("$$", "$"),
        (r"\$", "$"),
        (r"\065$", "A26"),
        ("$x$", "26x26"),
    ],
)
def test_variables(variable, expected):
    assert generated(f"26-26 {variable} A 10.0.0.1")[0][0] == expected


def test_quotes_stay():
    assert generated('1-1 t TXT "a $ b"') == [("t", '"a 1 b"')]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x h$ A 10.0.0.1", "not a range such as 1-254 or 0-100/5: x"),
        ("", "not a range such as 1-254 or 0-100/5: "),
        ("5-1 h$ A 10.0.0.1", "range is out of order: 5-1"),
        ("1-5/0 h$ A 10.0.0.1", "range is out of order: 1-5/0"),
        ("1-2", "$GENERATE needs a range and a record"),
        ("1-2 h${1 A 10.0.0.1", "brace is not closed: h${1"),
        ("1-2 h${a} A 10.0.0.1", "not OFFSET,WIDTH,BASE: a"),
        ("1-2 h${0,300} A 10.0.0.1", "width is greater than 255: 0,300"),
        ("1-2 h${-2} A 10.0.0.1", "$GENERATE leads to -1, which is not from 0 to 2147483647"),
        ("1-300 h$ A 10.0.0.$", "A record: not an IPv4 address: 10.0.0.256"),
    ],
)
def test_faults(line, message):
    with pytest.raises(MasterFileError) as caught:
        generated(line)
    assert caught.value.reason == message
    assert caught.value.line == 2


def test_the_records_of_a_zone_are_bounded():
    text = f"$GENERATE 1-{MAX_GENERATED + 1} h$ 5 A 10.0.0.1\n"
    with pytest.raises(MasterFileError, match="makes more than"):
        next(parse_file(text, ORIGIN))
