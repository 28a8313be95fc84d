# SPDX-License-Identifier: Apache-2.0
import pytest

from clusterdns.config.address import HostPort, parse_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8080", "", 8080),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:8181", "::1", 8181),
        ("[fe80::1%eth0]:53", "fe80::1%eth0", 53),
    ],
)
def test_addresses_are_read_and_written_the_same(text, host, port):
    assert parse_host_port(text) == HostPort(host, port)
    assert str(parse_host_port(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "address nonsense: missing port in address"),
        ("", "address : missing port in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("::1:80", "address ::1:80: too many colons in address"),
        ("a]:80", "address a]:80: unexpected bracket in address"),
        ("a:", "address : invalid port"),
        ("a:http", "address http: invalid port"),
        ("a:65536", "address 65536: invalid port"),
        ("a:-1", "address -1: invalid port"),
        ("a:٣", "address ٣: invalid port"),
    ],
)
def test_faults_are_told_in_gos_words(text, says):
    with pytest.raises(ValueError) as caught:
        parse_host_port(text)
    assert str(caught.value) == says
