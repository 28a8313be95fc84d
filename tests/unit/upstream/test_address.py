# SPDX-License-Identifier: Apache-2.0
"""How a Corefile and resolv.conf name upstreams."""

import pytest

from clusterdns.errors import UpstreamError
from clusterdns.upstream.address import Endpoint, Named, parse_resolv_conf, parse_resolver, parse_upstream


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.0.0.1", Endpoint("10.0.0.1")),
        ("10.0.0.1:5353", Endpoint("10.0.0.1", 5353)),
        ("dns://10.0.0.1", Endpoint("10.0.0.1")),
        ("dns://10.0.0.1:5353", Endpoint("10.0.0.1", 5353)),
        ("fd00::1", Endpoint("fd00::1")),
        ("[fd00::1]", Endpoint("fd00::1")),
        ("[FD00:0::1]:5353", Endpoint("fd00::1", 5353)),
        ("fe80::1%eth0", Endpoint("fe80::1%eth0")),
        ("[fe80::1%eth0]:5353", Endpoint("fe80::1%eth0", 5353)),
        ("tls://9.9.9.9", Endpoint("9.9.9.9", 853, "tls")),
        ("tls://9.9.9.9:8853", Endpoint("9.9.9.9", 8853, "tls")),
        ("tls://9.9.9.9%dns.quad9.net", Endpoint("9.9.9.9", 853, "tls", "dns.quad9.net")),
        ("tls://9.9.9.9%dns.quad9.net:8853", Endpoint("9.9.9.9", 8853, "tls", "dns.quad9.net")),
        ("tls://9.9.9.9:8853%dns.quad9.net", Endpoint("9.9.9.9", 8853, "tls", "dns.quad9.net")),
        ("tls://[2620:fe::fe]:853", Endpoint("2620:fe::fe", 853, "tls")),
        ("tls://[2620:fe::fe]%dns.quad9.net:8853", Endpoint("2620:fe::fe", 8853, "tls", "dns.quad9.net")),
    ],
)
def test_addresses(text, endpoint):
    assert parse_upstream(text) == endpoint


@pytest.mark.parametrize(
    ("text", "host", "port", "transport", "is_name"),
    [
        ("/etc/resolv.conf", "/etc/resolv.conf", 53, "dns", False),
        ("./a:b/resolv.conf", "./a", 53, "dns", False),
        ("resolv.conf", "resolv.conf", 53, "dns", True),
        ("dns.example.org:5353", "dns.example.org", 5353, "dns", True),
        ("tls://dns.example.org", "dns.example.org", 853, "tls", True),
        ("localhost", "localhost", 53, "dns", True),
    ],
)
def test_files_and_host_names(text, host, port, transport, is_name):
    assert parse_upstream(text) == Named(text, host, port, transport, is_name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.1.1.1:53:53", 'failed to resolve "1.1.1.1:53:53": lookup 1.1.1.1:53:53: no such host'),
        ("256.1.1.1", 'failed to resolve "256.1.1.1"'),
        ("10.0.0.1:dns", 'invalid port in address: "10.0.0.1:dns"'),
        ("10.0.0.1:0", 'invalid port in address: "10.0.0.1:0"'),
        ("10.0.0.1:65536", 'invalid port in address: "10.0.0.1:65536"'),
        ("dns://", 'invalid address: "dns://"'),
        ("grpc://10.0.0.1", "'grpc' is not supported as a destination protocol in forward: grpc://10.0.0.1"),
        ("https://1.1.1.1", "https:// isn't implemented yet"),
        ("https://1.1.1.1/x", "paths are not allowed in HTTPS upstream addresses"),
        ("tls:///etc/resolv.conf", 'failed to resolve "tls:///etc/resolv.conf"'),
    ],
)
def test_faults(text, words):
    with pytest.raises(UpstreamError) as caught:
        parse_upstream(text)
    assert str(caught.value).startswith(words)


def test_text_is_the_label_of_the_metrics():
    assert [str(each) for each in (Endpoint("10.0.0.1"), Endpoint("fd00::1", 5353))] == [
        "10.0.0.1:53",
        "[fd00::1]:5353",
    ]


def test_a_resolver_is_an_address():
    assert parse_resolver("10.0.0.1:5353") == Endpoint("10.0.0.1", 5353)
    for text in ("dns.example.org", "tls://10.0.0.1", "/etc/resolv.conf"):
        with pytest.raises(UpstreamError, match="resolver must be an IP address or IP:port"):
            parse_resolver(text)


def test_resolv_conf():
    text = """\
# nameserver 10.0.0.9
; nameserver 10.0.0.9
search default.svc.cluster.local
nameserver 10.0.0.1
nameserver\t10.0.0.2   # second
nameserver fe80::1%eth0
nameserver
nameserver somewhere
nameserver 10.0.0.1
options ndots:5
"""
    assert parse_resolv_conf(text) == (Endpoint("10.0.0.1"), Endpoint("10.0.0.2"), Endpoint("fe80::1%eth0"))
