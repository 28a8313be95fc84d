# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from clusterdns.cluster.controllers.allocation import AddressPool, allocate_node_ports, parse_service_cidr
from clusterdns.errors import ObjectError


def pool(cidr: str) -> AddressPool:
    return AddressPool.of(ip_network(cidr))


def test_addresses_never_change_between_releases():
    given = pool("10.96.0.0/12").allocate([("dev", "web"), ("dev", "api"), ("default", "kubernetes")], ())
    assert given == {
        ("default", "kubernetes"): "10.96.0.1",
        ("dev", "api"): "10.111.5.20",
        ("dev", "web"): "10.108.165.90",
    }


def test_an_address_depends_on_nothing_but_the_name_while_there_is_room():
    many = [("dev", f"s{number}") for number in range(200)]
    together = pool("10.96.0.0/12").allocate(many, ())
    for key in many[::20]:
        assert pool("10.96.0.0/12").allocate([key], ()) == {key: together[key]}


def test_of_two_that_meet_the_later_name_moves_on():
    pool_of_few = pool("10.0.0.0/28")
    keys = [("dev", f"s{number}") for number in range(13)]
    alone = {key: pool_of_few.allocate([key], ())[key] for key in keys}
    first, second = next((one, other) for one in keys for other in keys if one < other and alone[one] == alone[other])
    both = pool_of_few.allocate([second, first], ())
    assert both[first] == alone[first]
    assert both[second] != alone[second]


def test_written_addresses_are_left_to_those_who_wrote_them():
    key = ("dev", "web")
    first = pool("10.96.0.0/12").allocate([key], ())[key]
    assert pool("10.96.0.0/12").allocate([key], (first, "192.0.2.1"))[key] != first


@pytest.mark.parametrize("cidr", ["10.0.0.0/28", "10.0.0.0/26", "fd00::/124", "10.0.0.0/30"])
def test_a_range_is_used_up_but_for_its_first_two_and_last_addresses(cidr):
    network = ip_network(cidr)
    keys = [("dev", f"s{number}") for number in range(network.num_addresses)]
    given = pool(cidr).allocate(keys, ())
    assert len(given) == network.num_addresses - 3
    assert {ip_address(text) for text in given.values()} == set(list(network)[2:-1])
    assert list(given) == sorted(given)


def test_the_lower_band_is_kept_for_people_until_the_rest_is_full():
    keys = [("dev", f"s{number}") for number in range(230)]
    given = pool("10.0.0.0/24").allocate(keys, ())
    assert min(ip_address(text) for text in given.values()) == ip_address("10.0.0.16")


def test_the_first_address_is_for_the_kubernetes_service_unless_it_is_written_elsewhere():
    key = ("default", "kubernetes")
    assert pool("fd00::/112").allocate([key], ()) == {key: "fd00::1"}
    assert pool("10.0.0.0/24").allocate([key], ("10.0.0.1",))[key] != "10.0.0.1"


def test_a_huge_range_is_no_more_work_than_a_small_one():
    given = pool("fd00::/48").allocate([("dev", f"s{number}") for number in range(100)], ("fd00::9",))
    assert len(set(given.values())) == 100


def test_node_ports_never_change_between_releases():
    given = allocate_node_ports([("dev", "dns", 53), ("dev", "web", 80), ("dev", "web", 443)], (30002,))
    assert given == {("dev", "dns", 53): 30190, ("dev", "web", 80): 30970, ("dev", "web", 443): 31667}


def test_node_ports_run_out():
    keys = [("dev", "web", number) for number in range(3000)]
    given = allocate_node_ports(keys, (30000, 80))
    assert set(given.values()) == set(range(30001, 32768))


@pytest.mark.parametrize(
    ("text", "families"),
    [("10.96.0.0/12", [4]), ("10.96.0.0/12,fd00::/112", [4, 6]), ("fd00::/108, 10.0.0.0/24", [6, 4])],
)
def test_service_cidrs(text, families):
    assert [network.version for network in parse_service_cidr(text)] == families


@pytest.mark.parametrize(
    "text", ["", "10.96.0.1/12", "x", "10.0.0.0/8,10.0.0.0/12", "10.0.0.0/31", "1,2,3", "10.0.0.0/24,"]
)
def test_what_is_no_service_cidr_is_refused(text):
    with pytest.raises(ObjectError):
        parse_service_cidr(text)
