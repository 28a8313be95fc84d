# SPDX-License-Identifier: Apache-2.0
import ipaddress
import socket

import pytest

from clusterdns.transports.interfaces import (
    InterfaceAddress,
    all_addresses,
    interface_addresses,
    local_addresses,
)


def test_the_loopback_interface_has_its_address():
    assert "127.0.0.1" in interface_addresses("lo")


def test_an_interface_that_does_not_exist_has_no_addresses():
    assert interface_addresses("nosuchif0") == ()


def test_every_address_belongs_to_an_interface_of_the_system():
    names = {name for _, name in socket.if_nameindex()}
    found = all_addresses()
    assert found
    assert {entry.interface.partition(":")[0] for entry in found} <= names
    for entry in found:
        ipaddress.ip_address(entry.address)


def test_local_addresses_can_be_reached_from_elsewhere():
    for address in map(ipaddress.ip_address, local_addresses()):
        assert not address.is_loopback
        assert not address.is_link_local


@pytest.mark.parametrize(
    ("address", "routable"),
    [
        ("10.0.0.1", True),
        ("127.0.0.1", False),
        ("169.254.20.10", False),
        ("fe80::1%eth0", False),
        ("2001:db8::1", True),
    ],
)
def test_loopback_and_link_local_addresses_are_not_routable(address, routable):
    assert InterfaceAddress("eth0", address).is_routable is routable
