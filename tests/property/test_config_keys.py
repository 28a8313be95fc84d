# SPDX-License-Identifier: Apache-2.0
"""Networks as reverse zones: together they hold the network's addresses, and no more than rounding the mask adds."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from clusterdns.config.keys import expand_zones, is_reverse, is_within, reverse_zones

v4 = st.builds(
    lambda address, mask: ipaddress.ip_network(f"{address}/{mask}", strict=False),
    st.ip_addresses(v=4),
    st.integers(0, 32),
)
v6 = st.builds(
    lambda address, mask: ipaddress.ip_network(f"{address}/{mask}", strict=False),
    st.ip_addresses(v=6),
    st.integers(1, 128),
)


@given(v4 | v6, st.data())
def test_every_address_of_the_network_lies_in_exactly_one_zone(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, data: st.DataObject
) -> None:
    zones = list(reverse_zones(network))
    last = network.num_addresses - 1
    address = network[data.draw(st.integers(0, last) | st.sampled_from([0, last]))]
    pointer = address.reverse_pointer + "."
    assert sum(is_within(pointer, zone) for zone in zones) == 1


@given(v4 | v6)
def test_the_zones_hold_the_network_and_nothing_else(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    zones = list(reverse_zones(network))
    assert len(set(zones)) == len(zones)
    assert all(is_reverse(zone) for zone in zones)
    step, labels = (8, 4) if network.version == 4 else (4, 32)
    each = step * (labels - (zones[0].count(".") - 2))
    assert len(zones) << each == network.num_addresses


@given(st.lists(st.text(max_size=30), max_size=5))
def test_words_are_zones_or_invalid_and_zones_are_absolute(words: list[str]) -> None:
    zones, invalid = expand_zones(words)
    assert set(invalid) <= set(words)
    assert all(zone.endswith(".") and zone == zone.lower() for zone in zones)
    assert expand_zones(zones)[0] == zones
