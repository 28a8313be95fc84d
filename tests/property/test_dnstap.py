# SPDX-License-Identifier: Apache-2.0
"""Whatever is in a dnstap message: another decoder finds the same in its octets, and frames can be told apart."""

from hypothesis import given
from hypothesis import strategies as st
from support.dnstap_collector import decode

from clusterdns.plugins.dnstap.frames import ControlReader, ControlType, encode_control, encode_data
from clusterdns.plugins.dnstap.message import Envelope, Kind, Message, SocketProtocol

PORTS = st.integers(0, 65535)
NANOSECONDS = st.integers(0, 2**63)


@st.composite
def messages(draw):
    addresses = st.ip_addresses(v=draw(st.sampled_from([4, 6]))).map(str) | st.just("")
    return Message(
        draw(st.sampled_from(Kind)),
        draw(st.sampled_from(SocketProtocol)),
        draw(addresses),
        draw(PORTS),
        draw(addresses),
        draw(PORTS),
        draw(NANOSECONDS),
        draw(NANOSECONDS),
        draw(st.binary(max_size=300)),
    )


@given(messages(), st.binary(max_size=200), st.binary(max_size=20), st.binary(max_size=20))
def test_another_decoder_finds_what_was_encoded(message, identity, version, extra):
    found = decode(Envelope(identity, version).encode(message, extra))
    side = "query" if message.kind in (Kind.CLIENT_QUERY, Kind.FORWARDER_QUERY) else "response"
    assert found.pop("type") == message.kind.name
    assert found.pop("socket_protocol") == message.protocol
    assert ("socket_family" in found) == bool(message.query_address or message.response_address)
    found.pop("socket_family", None)
    expected = {
        "identity": identity,
        "version": version,
        "extra": extra,
        "query_address": message.query_address,
        "query_port": message.query_port,
        "response_address": message.response_address,
        "response_port": message.response_port,
        "query_ns": message.query_ns,
        "response_ns": message.response_ns,
        f"{side}_message": message.octets,
    }
    assert found == {name: value for name, value in expected.items() if value}


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_data_frames_can_be_told_apart(payloads):
    octets = b"".join(encode_data(payload) for payload in payloads)
    found = []
    while octets:
        size = int.from_bytes(octets[:4], "big")
        found.append(octets[4 : 4 + size])
        octets = octets[4 + size :]
    assert found == payloads


@given(st.lists(st.tuples(st.sampled_from(ControlType), st.lists(st.binary(max_size=30), max_size=3))), st.data())
def test_control_frames_are_read_in_whatever_pieces_they_come(frames, data):
    octets = b"".join(encode_control(kind, *types) for kind, types in frames)
    reader = ControlReader()
    found = []
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        found += list(reader.feed(octets[:size]))
        octets = octets[size:]
    assert [(control.kind, list(control.content_types)) for control in found] == frames
