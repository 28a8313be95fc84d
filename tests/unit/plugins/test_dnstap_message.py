# SPDX-License-Identifier: Apache-2.0
"""dnstap messages as octets, read by a decoder that shares nothing with the encoder."""

import pytest
from support.dnstap_collector import decode

from clusterdns.plugins.dnstap.message import Envelope, Kind, Message, SocketProtocol, encode_message, varint


@pytest.mark.parametrize(
    ("value", "octets"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010"), (2**63, "80" * 9 + "01")],
)
def test_variable_length_integers(value, octets):
    assert varint(value).hex() == octets


def test_a_client_query_octet_for_octet():
    message = Message(
        Kind.CLIENT_QUERY, SocketProtocol.UDP, "192.0.2.1", 4242, "192.0.2.53", 53, 1_700_000_000_123_456_789, 0, b"dns"
    )
    expected = (
        "0805 1001 1801 2204c0000201 2a04c0000235 309221 3835 4080e2cfaa06 4d15cd5b07 5203646e73"  # fields 1 to 10
    )
    assert encode_message(message) == bytes.fromhex(expected)
    envelope = Envelope(b"me", b"v1")
    octets = bytes.fromhex(expected)
    assert envelope.encode(message, b"x") == b"\x0a\2me\x12\2v1\x1a\1x\x72" + bytes([len(octets)]) + octets + b"\x78\1"


def test_a_response_has_both_times():
    message = Message(
        Kind.FORWARDER_RESPONSE,
        SocketProtocol.DOT,
        "fd00::1",
        1,
        "fd00::2",
        853,
        5_000_000_001,
        6_000_000_002,
        b"reply",
    )
    assert decode(Envelope(b"", b"").encode(message)) == {
        "type": "FORWARDER_RESPONSE",
        "socket_family": 2,
        "socket_protocol": 3,
        "query_address": "fd00::1",
        "query_port": 1,
        "response_address": "fd00::2",
        "response_port": 853,
        "query_ns": 5_000_000_001,
        "response_ns": 6_000_000_002,
        "response_message": b"reply",
    }


def test_what_is_not_known_is_left_out():
    message = Message(Kind.FORWARDER_QUERY, SocketProtocol.TCP, response_address="192.0.2.1", response_port=53)
    assert decode(Envelope(b"", b"").encode(message)) == {
        "type": "FORWARDER_QUERY",
        "socket_family": 1,
        "socket_protocol": 2,
        "response_address": "192.0.2.1",
        "response_port": 53,
    }


def test_the_scope_of_an_address_is_left_out():
    message = Message(Kind.CLIENT_QUERY, SocketProtocol.UDP, "fe80::1%eth0", 53)
    assert decode(Envelope(b"", b"").encode(message))["query_address"] == "fe80::1"
