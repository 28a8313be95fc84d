# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.config.directive import Token
from clusterdns.config.keys import expand_zones, follows_preferred_syntax, is_reverse, is_within, parse_key, split_port
from clusterdns.errors import ConfigError


def addresses(text: str) -> list[str]:
    return [key.address for key in parse_key(Token(text, "Corefile", 1, 1), 5300)]


def fault(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        parse_key(Token(text, "Corefile", 7, 3), 53)
    assert str(raised.value).startswith("Corefile:7:3: ")
    return raised.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".", ["dns://.:5300"]),
        (".:53", ["dns://.:53"]),
        ("Example.ORG", ["dns://example.org.:5300"]),
        ("example.org.:1053", ["dns://example.org.:1053"]),
        ("dns://example.org", ["dns://example.org.:5300"]),
        ("example.org:0", ["dns://example.org.:0"]),
        ("example.org:+53", ["dns://example.org.:53"]),
        ("example.org:0053", ["dns://example.org.:53"]),
        ("example.org:dns", ["dns://example.org:dns.:5300"]),
        ("a\\.b.org", ["dns://a\\.b.org.:5300"]),
        ("10.0.0.0/8", ["dns://10.in-addr.arpa.:5300"]),
        ("10.0.0.0/8:53", ["dns://10.in-addr.arpa.:53"]),
        ("10.1.2.3/22", [f"dns://{n}.1.10.in-addr.arpa.:5300" for n in range(4)]),
        ("10.0.0.0/12", [f"dns://{n}.10.in-addr.arpa.:5300" for n in range(16)]),
        ("10.1.2.128/25", [f"dns://{n}.2.1.10.in-addr.arpa.:5300" for n in range(128, 256)]),
        ("192.0.2.1/32", ["dns://1.2.0.192.in-addr.arpa.:5300"]),
        ("0.0.0.0/0", ["dns://in-addr.arpa.:5300"]),
        ("fd00::/8", ["dns://d.f.ip6.arpa.:5300"]),
        ("2001:db8::/31:53", [f"dns://{n}.b.d.0.1.0.0.2.ip6.arpa.:53" for n in "89"]),
        ("2001:db8::1/128", ["dns://" + "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa.:5300"]),
        ("0/25.2.0.192.in-addr.arpa", ["dns://0/25.2.0.192.in-addr.arpa.:5300"]),
    ],
)
def test_keys(text: str, expected: list[str]) -> None:
    assert addresses(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("example.org:", 'error inspecting server blocks: expecting data after last colon: "example.org:"'),
        (":53", "error inspecting server blocks: zone is not a valid domain name: "),
        ("", "error inspecting server blocks: zone is not a valid domain name: "),
        ("a..test", "error inspecting server blocks: zone is not a valid domain name: a..test"),
        (".test", "error inspecting server blocks: zone is not a valid domain name: .test"),
        ("a" * 64, f"error inspecting server blocks: zone is not a valid domain name: {'a' * 64}"),
        ("a." * 128, "error inspecting server blocks: specified zone is too long: 256 > 255"),
        ("example.org:70000", "address 70000: invalid port"),
        ("example.org:-1", "address -1: invalid port"),
        ("example.org:" + "9" * 5000, f"address {10**20}: invalid port"),
        ("::/0", "error inspecting server blocks: invalid CIDR ::/0"),
        ("0fd0::/16", "error inspecting server blocks: invalid CIDR 0fd0::/16"),
        ("10.0.0.0/33", "error inspecting server blocks: invalid CIDR 10.0.0.0/33"),
        ("10.0.0/8", "error inspecting server blocks: invalid CIDR 10.0.0/8"),
        ("10.0.0.0/255.0.0.0", "error inspecting server blocks: invalid CIDR 10.0.0.0/255.0.0.0"),
        ("fd00::/129", "error inspecting server blocks: invalid CIDR fd00::/129"),
        ("10.0.0.1", "zone is an IP address without a mask: 10.0.0.1"),
        ("10.0.0.1:53", "zone is an IP address without a mask: 10.0.0.1"),
        ("fd00::1", "zone is an IP address without a mask: fd00::1"),
        ("[fd00::1]:53", "zone is an IP address without a mask: [fd00::1]"),
        ("foo://example.org", "unknown scheme 'foo'"),
        ("DNS://example.org", "unknown scheme 'DNS'"),
        ("tls://example.org", "tls:// isn't implemented yet"),
        ("https://.", "https:// isn't implemented yet"),
        ("https3://.", "https3:// isn't implemented yet"),
        ("grpc://.", "grpc:// isn't implemented yet"),
        ("quic://.:853", "quic:// isn't implemented yet"),
        ("bücher.test", "error inspecting server blocks: zone is not a valid domain name: bücher.test"),
    ],
)
def test_keys_that_are_refused(text: str, message: str) -> None:
    assert fault(text).message == message


def test_refusals_say_what_to_write_instead() -> None:
    assert fault("10.0.0.1:53").hint == "write 10.0.0.1/24 for a reverse zone; to listen on one address, use bind"
    assert fault("[fd00::1]:53").hint == "write fd00::1/64 for a reverse zone; to listen on one address, use bind"
    assert "xn--" in fault("bücher.test").hint
    assert "0 to 32" in fault("10.0.0.0/33").hint


def test_faults_that_coredns_gives_no_position_have_none_in_its_words() -> None:
    assert fault("example.org:70000").coredns_text() == "address 70000: invalid port"
    assert fault("a..b").coredns_text() == "error inspecting server blocks: zone is not a valid domain name: a..b"


def test_zones_as_arguments() -> None:
    words = ["Cluster.Local", "10.0.0.0/15", "dns://a.test:53", "a.test.", "a..b", "10.0.0.0/33", "192.0.2.1", "x:", ""]
    zones, invalid = expand_zones(words)
    assert zones == ["cluster.local.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa.", "a.test."]
    assert invalid == ["a..b", "10.0.0.0/33", "192.0.2.1", "x:", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a:53", ("a", 53)), ("a", ("a", None)), ("a:b", ("a:b", None)), ("a:٣", ("a:٣", None)), (":53", ("", 53))],
)
def test_ports_are_ascii_integers_after_the_last_colon(text: str, expected: tuple[str, int | None]) -> None:
    assert split_port(text) == expected


def test_zones_inside_zones_end_at_dots() -> None:
    assert is_within("a.test.", "test.")
    assert is_within("test.", "test.")
    assert is_within("a.test.", ".")
    assert not is_within("atest.", "test.")
    assert not is_within("test.", "a.test.")


def test_reverse_zones() -> None:
    assert is_reverse("in-addr.arpa.")
    assert is_reverse("d.f.ip6.arpa.")
    assert not is_reverse("xin-addr.arpa.")


@pytest.mark.parametrize("zone", [".", "a.test.", "a-1.B.", "10.in-addr.arpa.", "0/25.2.0.192.in-addr.arpa."])
def test_preferred_syntax(zone: str) -> None:
    assert follows_preferred_syntax(zone)


@pytest.mark.parametrize("zone", ["bad_name.test.", "1.test.", "a-.test.", "-a.test.", "*.test.", "a.test:dns."])
def test_not_the_preferred_syntax(zone: str) -> None:
    assert not follows_preferred_syntax(zone)
