# SPDX-License-Identifier: Apache-2.0
"""What expressions get to know about a query."""

from __future__ import annotations

import pytest
from support.serving import client, query, wire

from clusterdns.errors import ExpressionError
from clusterdns.serving.query import Query
from clusterdns.serving.query_functions import OF_THE_CLIENT, SIGNATURES, incidr, query_functions


def test_all_functions_of_the_signatures_are_there() -> None:
    assert set(query_functions(query())) == set(SIGNATURES)
    assert set(SIGNATURES) > OF_THE_CLIENT


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("type", "MX"), ("name", "www.example.org."), ("class", "IN"), ("proto", "tcp"), ("client_ip", "2001:db8::1"),
        ("port", "4242"), ("server_ip", "192.0.2.53"), ("server_port", "53"), ("bufsize", 65535), ("opcode", 0),
        ("do", True), ("id", 7),
    ],
)  # fmt: skip
def test_values(function: str, value: object) -> None:
    packet = wire("WWW.example.org.", "MX", want_dnssec=True, id=7)
    asked = Query(packet, client("tcp", "2001:db8::1"))
    assert query_functions(asked)[function]() == value
    assert query_functions(asked)["size"]() == len(packet)


def test_rare_types_have_numbers() -> None:
    assert query_functions(query(rtype="TYPE4711"))["type"]() == "TYPE4711"


def test_a_query_without_edns_takes_512_octets() -> None:
    functions = query_functions(query(use_edns=False))
    assert (functions["bufsize"](), functions["do"]()) == (512, False)


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.99/24", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("fe80::1%eth0", "fe80::/10", True),
        ("2001:db8::1", "10.0.0.0/8", False),
        ("10.1.2.3", "0.0.0.0/0", True),
        ("10.1.2.3", "::/0", False),
    ],
)
def test_incidr(address: str, network: str, inside: bool) -> None:
    assert incidr(address, network) is inside


@pytest.mark.parametrize(
    ("address", "network", "error"),
    [
        ("x", "10.0.0.0/8", "first argument is not an IP address"),
        ("010.0.0.1", "10.0.0.0/8", "first argument is not an IP address"),
        ("10.0.0.1", "10.0.0.1", "invalid CIDR address: 10.0.0.1"),
        ("10.0.0.1", "10.0.0.0/33", "invalid CIDR address: 10.0.0.0/33"),
        ("10.0.0.1", "10.0.0.0/255.0.0.0", "invalid CIDR address: 10.0.0.0/255.0.0.0"),
        ("10.0.0.1", "x/8", "invalid CIDR address: x/8"),
    ],
)
def test_incidr_refuses_what_is_no_address_or_network(address: str, network: str, error: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        incidr(address, network)
    assert str(caught.value) == error
