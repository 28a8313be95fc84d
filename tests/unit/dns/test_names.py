# SPDX-License-Identifier: Apache-2.0
"""Domain names between text and wire form."""

import pytest

from clusterdns.dns import names
from clusterdns.errors import WireError


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (".", b"\x00"),
        ("cluster.local.", b"\x07cluster\x05local\x00"),
        ("cluster.local", b"\x07cluster\x05local\x00"),
        (r"a\.b.c.", b"\x03a.b\x01c\x00"),
        (r"\000\255.c.", b"\x02\x00\xff\x01c\x00"),
        (r"a\\b.", b"\x03a\\b\x00"),
    ],
)
def test_text_becomes_wire(text, wire):
    assert names.from_text(text) == wire


def test_relative_name_gets_the_origin():
    assert names.from_text("www", b"\x03org\x00") == b"\x03www\x03org\x00"
    assert names.from_text("@", b"\x03org\x00") == b"\x03org\x00"


@pytest.mark.parametrize("text", ["a..b", ".a", "a" * 64, ".".join(["a" * 63] * 4), r"a\999", "a\\"])
def test_bad_names_are_refused(text):
    with pytest.raises(WireError):
        names.from_text(text)


@pytest.mark.parametrize("text", [".", "a.b.c.", r"we\.ird.", r"\001\200x.", r"sp\ ace.", r"q\"uote."])
def test_text_survives_the_way_to_wire_and_back(text):
    assert names.to_text(names.from_text(text)) == text


def test_lower_case_leaves_length_octets_alone():
    name = b"\x3f" + b"A" * 63 + b"\x00"
    assert name.lower() == b"\x3f" + b"a" * 63 + b"\x00"


def test_zone_membership_respects_label_boundaries():
    zone = names.from_text("cluster.local.")
    assert names.suffix_offset(names.from_text("svc.cluster.local."), zone) == 4
    assert names.suffix_offset(zone, zone) == 0
    assert not names.is_in(names.from_text("xcluster.local."), zone)
    assert not names.is_in(names.from_text("local."), zone)
    # One label whose inside looks like the zone.
    hostile = names.from_labels([b"x\x07cluster\x05local"])
    assert hostile.endswith(zone)
    assert not names.is_in(hostile, zone)


def test_every_name_is_in_the_root():
    assert names.suffix_offset(names.from_text("a.b."), names.ROOT) == 4


def test_suffixes_and_parent():
    name = names.from_text("a.b.c.")
    assert [names.to_text(suffix) for suffix in names.suffixes(name)] == ["a.b.c.", "b.c.", "c.", "."]
    assert names.parent(name) == names.from_text("b.c.")
    assert names.parent(names.ROOT) == names.ROOT


def test_labels_and_from_labels_are_inverse():
    name = names.from_text("a.bb.ccc.")
    assert names.from_labels(names.labels(name)) == name
    assert names.labels(name) == [b"a", b"bb", b"ccc"]
