# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.dns import names
from clusterdns.zone.addresses import address_key, encode_address, is_full, is_publishable, parse_reverse

V6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("10.0.0.1", "0a000001"),
        ("2001:db8::1", "20010db8000000000000000000000001"),
        ("::ffff:10.0.0.1", "00000000000000000000ffff0a000001"),
    ],
)
def test_addresses_are_encoded(text, octets):
    assert encode_address(text).hex() == octets


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "010.0.0.1", "fd00::1::2", "x", "10.0.0.1/8"])
def test_what_is_no_address_is_not_encoded(text):
    with pytest.raises(ValueError):
        encode_address(text)


def test_all_spellings_of_an_address_have_one_key():
    assert address_key("2001:db8::1") == address_key("2001:0DB8:0:0:0:0:0:1") == ":20010db8000000000000000000000001"
    text = "10.0.0.1"
    assert address_key(text) is text


@pytest.mark.parametrize(
    ("name", "key", "full"),
    [
        ("1.0.0.10.in-addr.arpa.", "10.0.0.1", True),
        ("0.0.10.in-addr.arpa.", "10.0.0.", False),
        ("10.in-addr.arpa.", "10.", False),
        ("in-addr.arpa.", "", False),
        (V6, ":20010db8000000000000000000000001", True),
        ("8.b.d.0.1.0.0.2.ip6.arpa.", ":20010db8", False),
        ("ip6.arpa.", ":", False),
    ],
)
def test_reverse_names_are_read(name, key, full):
    assert parse_reverse(names.from_text(name)) == key
    assert is_full(key) == full


@pytest.mark.parametrize(
    "name",
    [
        "1.1.0.0.10.in-addr.arpa.",
        "a.10.in-addr.arpa.",
        r"0\.0.10.in-addr.arpa.",
        "-1.10.in-addr.arpa.",
        "1." + V6,
        "ab.ip6.arpa.",
        "g.ip6.arpa.",
        r"a\.b.ip6.arpa.",
        "cluster.local.",
        "arpa.",
        r"1\007in-addr\004arpa.",
    ],
)
def test_other_names_are_no_reverse_names(name):
    assert parse_reverse(names.from_text(name)) is None


def test_a_key_of_one_address_is_no_prefix_of_another():
    keys = [address_key(text) for text in ("10.0.0.1", "10.0.0.10", "1.0.0.0", "2001:db8::1", "1000::")]
    assert not [key for key in keys for other in keys if key != other and other.startswith(key) and other[0] == ":"]
    prefix = parse_reverse(names.from_text("1.in-addr.arpa."))
    assert [key for key in keys if key.startswith(prefix)] == ["1.0.0.0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("169.254.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_addresses_that_only_this_machine_or_link_knows_are_not_published(text, expected):
    assert is_publishable(text) == expected
