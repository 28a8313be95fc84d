# SPDX-License-Identifier: Apache-2.0
"""Frame Streams: octets that other programs write and read."""

import pytest

from clusterdns.errors import UpstreamError
from clusterdns.plugins.dnstap.frames import (
    CONTENT_TYPE,
    READY,
    START,
    STOP,
    Control,
    ControlReader,
    ControlType,
    encode_control,
    encode_data,
)

# As the fstrm library writes it: escape, length 42, type, field 1 with the 22 octets of the content type.
FIELD = "00000001 00000016 70726f746f6275663a646e737461702e446e73746170"
READY_OCTETS = bytes.fromhex(f"00000000 00000022 00000004 {FIELD}")
START_OCTETS = bytes.fromhex(f"00000000 00000022 00000002 {FIELD}")


def test_the_frames_that_begin_and_end_a_stream():
    assert READY == READY_OCTETS
    assert START == START_OCTETS
    assert bytes.fromhex("00000000 00000004 00000003") == STOP


def test_a_data_frame_is_a_length_and_the_data():
    assert encode_data(b"abc") == b"\0\0\0\3abc"


def test_control_frames_come_in_any_pieces():
    octets = encode_control(ControlType.ACCEPT, b"other", CONTENT_TYPE) + encode_control(ControlType.FINISH)
    expected = [Control(ControlType.ACCEPT, (b"other", CONTENT_TYPE)), Control(ControlType.FINISH)]
    assert list(ControlReader().feed(octets)) == expected
    reader = ControlReader()
    assert [control for octet in octets for control in reader.feed(bytes([octet]))] == expected


def test_a_reader_that_names_no_content_takes_all():
    assert Control(ControlType.ACCEPT).takes(CONTENT_TYPE)
    assert Control(ControlType.ACCEPT, (CONTENT_TYPE,)).takes(CONTENT_TYPE)
    assert not Control(ControlType.ACCEPT, (b"protobuf:other",)).takes(CONTENT_TYPE)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("00000001 00000000", "data where a control frame is expected"),
        ("00000000 00000003", "a control frame of 3 octets"),
        ("00000000 00000201", "a control frame of 513 octets"),
        ("00000000 00000004 00000009", "unknown control frame 00000009"),
        ("00000000 00000006 00000001 0000", "a field runs over"),
        ("00000000 0000000d 00000001 00000001 00000002 61", "a field runs over"),
    ],
)
def test_what_is_no_control_frame_ends_the_stream(octets, reason):
    with pytest.raises(UpstreamError, match=reason):
        list(ControlReader().feed(bytes.fromhex(octets)))


def test_unknown_fields_are_skipped():
    octets = bytes.fromhex("00000000 0000000d 00000005 00000007 00000001 ff")
    assert list(ControlReader().feed(octets)) == [Control(ControlType.FINISH)]
