# SPDX-License-Identifier: Apache-2.0
"""The arguments of forward."""

import pytest
from support.directives import check, parse

from clusterdns.dns import names
from clusterdns.upstream.address import Endpoint
from clusterdns.upstream.client import ClientOptions
from clusterdns.upstream.health import HealthCheck
from clusterdns.upstream.server import SocketOptions, TlsFiles


def stanza(text):
    [only] = parse(text, zones=".")
    return only


def test_defaults():
    options = stanza("forward . 10.0.0.1")
    assert (options.zone, options.upstreams) == (names.ROOT, (Endpoint("10.0.0.1"),))
    assert (options.client, options.sockets, options.check) == (ClientOptions(), SocketOptions(), HealthCheck())
    assert (options.client.most_fails, options.client.read_seconds, options.sockets.expire_seconds) == (2, 2.0, 10.0)
    assert (options.check.interval_seconds, options.check.recursion) == (0.5, True)


def test_everything_said():
    options = stanza("""forward Example.org 10.0.0.1 10.0.0.2:5353 10.0.0.1:53 {
        except a.example.org b.example.org
        except 10.1.0.0/16
        force_tcp
        prefer_udp
        expire 20s
        max_age 30s
        max_idle_conns 4
        max_fails 3
        max_connect_attempts 5
        max_concurrent 100
        read_timeout 1s
        health_check 1s no_rec domain Probe.Example.org
        tls ca.pem
        tls_servername dns.example.org
        policy round_robin
        next NXDOMAIN refused
        next_on_nodata
        failover servfail
        failfast_all_unhealthy_upstreams
        resolver 10.0.0.9 10.0.0.8:5300
        source_address 127.0.0.2
        hedge 100ms
        use_caps_for_id
    }""")
    assert options.zone == names.from_text("example.org.")
    assert options.excepted == tuple(
        names.from_text(name) for name in ("a.example.org.", "b.example.org.", "1.10.in-addr.arpa.")
    )
    assert options.upstreams == (Endpoint("10.0.0.1"), Endpoint("10.0.0.2", 5353))
    assert options.resolvers == (Endpoint("10.0.0.9"), Endpoint("10.0.0.8", 5300))
    assert options.client == ClientOptions(
        policy="round_robin",
        force_tcp=True,
        prefer_udp=True,
        most_fails=3,
        most_attempts=5,
        most_inquiries=100,
        read_seconds=1.0,
        failover=frozenset({2}),
        fail_fast=True,
        hedge_seconds=0.1,
        check_letters=True,
    )
    assert options.sockets == SocketOptions(expire_seconds=20, max_age_seconds=30, most_idle=4, source="127.0.0.2")
    assert options.check == HealthCheck(1.0, False, names.from_text("probe.example.org."), True)
    assert (options.tls, options.server_name) == (TlsFiles(authorities="ca.pem"), "dns.example.org")
    assert (options.next_rcodes, options.next_on_nodata) == (frozenset({3, 5}), True)


@pytest.mark.parametrize(
    ("words", "files"),
    [
        ("", TlsFiles()),
        ("ca", TlsFiles("ca")),
        ("cert key", TlsFiles("", "cert", "key")),
        ("cert key ca", TlsFiles("ca", "cert", "key")),
    ],
)
def test_tls_files(words, files):
    assert stanza(f"forward . tls://10.0.0.1 {{\n tls {words}\n}}").tls == files


def test_the_server_name_is_for_tls_upstreams_that_have_none():
    options = stanza("forward . tls://10.0.0.1 10.0.0.2 {\n tls_servername dns.test\n}")
    assert [each.server_name for each in options.upstreams] == ["dns.test", ""]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("forward", "Corefile:2:1: Wrong argument count or unexpected line ending after 'forward'"),
        ("forward .", "Corefile:2:9: Wrong argument count or unexpected line ending after '.'"),
        ("forward 10.0.0.1 10.0.0.2", "Corefile:2:9: unable to normalize '10.0.0.1'"),
        ("forward . 10.0.0.1 {\n nope\n}", "Corefile:3:2: unknown property 'nope'"),
        ("forward . 10.0.0.1 {\n except\n}", "after 'except'"),
        ("forward . 10.0.0.1 {\n force_tcp x\n}", "Corefile:3:12: Wrong argument count"),
        ("forward . 10.0.0.1 {\n max_fails -1\n}", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("forward . 10.0.0.1 {\n max_fails 4294967296\n}", "value out of range"),
        ("forward . 10.0.0.1 {\n max_concurrent -1\n}", "max_concurrent can't be negative: -1"),
        ("forward . 10.0.0.1 {\n max_concurrent x\n}", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("forward . 10.0.0.1 {\n max_idle_conns -2\n}", "max_idle_conns can't be negative: -2"),
        ("forward . 10.0.0.1 {\n expire -1s\n}", "expire can't be negative: -1s"),
        ("forward . 10.0.0.1 {\n expire 5\n}", 'time: missing unit in duration "5"'),
        ("forward . 10.0.0.1 {\n max_age 5s\n}", "max_age (5s) must not be less than expire (10s)"),
        ("forward . 10.0.0.1 {\n read_timeout 0s\n}", "read_timeout must be positive: 0s"),
        ("forward . 10.0.0.1 {\n hedge 0s\n}", "hedge must be positive: 0s"),
        ("forward . 10.0.0.1 {\n health_check -1s\n}", "health_check can't be negative: -1000000000"),
        ("forward . 10.0.0.1 {\n health_check 1s x\n}", "health_check: unknown option x"),
        ("forward . 10.0.0.1 {\n health_check 1s domain\n}", "Wrong argument count"),
        ("forward . 10.0.0.1 {\n health_check 1s domain a..b\n}", "health_check: invalid domain name a..b"),
        ("forward . 10.0.0.1 {\n policy best\n}", "Corefile:3:9: unknown policy 'best'"),
        ("forward . 10.0.0.1 {\n next NOPE\n}", "NOPE is not a valid rcode"),
        ("forward . 10.0.0.1 {\n failover NoError\n}", "NoError cannot be used in failover"),
        ("forward . 10.0.0.1 {\n resolver dns.test\n}", 'resolver must be an IP address or IP:port: "dns.test"'),
        ("forward . 10.0.0.1 {\n source_address x\n}", "Corefile:3:17: invalid IP address: x"),
        ("forward . 10.0.0.1 {\n doh_method PUT\n}", "doh_method must be either GET or POST"),
        ("forward . 10.0.0.1 {\n tls a b c d\n}", "Wrong argument count"),
        ("forward . grpc://10.0.0.1", "'grpc' is not supported as a destination protocol in forward: grpc://10.0.0.1"),
        (
            "forward . tls://10.0.0.1%a.test {\n tls_servername b.test\n}",
            "both forward ('b.test') and proxy level ('a.test') TLS servernames are set for upstream proxy",
        ),
        ("forward . " + " ".join(f"10.0.0.{n}" for n in range(16)), "more than 15 TOs configured: 16"),
    ],
)
def test_faults(text, error):
    [found] = [str(each) for each in check(text, zones=".").errors]
    assert error in found
    assert found.startswith("Corefile:")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("forward . 10.0.0.1\nforward a.test 10.0.0.2", "never asked: the forward of line 2 takes these names"),
        ("forward 10.0.0.0/9 10.0.0.1", "Unsupported CIDR notation: '10.0.0.0/9' expands to multiple zones."),
        ("forward . 10.0.0.1 {\n except 10.0.0.1\n}", "'10.0.0.1' is no name and has no effect"),
        ("forward . 10.0.0.1 {\n doh_method GET\n}", "doh_method has no effect"),
    ],
)
def test_warnings(text, warning):
    verdict = check(text, zones=".")
    assert verdict.errors == ()
    assert any(warning in str(each) for each in verdict.warnings)


def test_a_stanza_that_gets_what_another_leaves_is_not_warned_of():
    for block in ("except a.test", "next NXDOMAIN", "next_on_nodata"):
        verdict = check(f"forward . 10.0.0.1 {{\n {block}\n}}\nforward a.test 10.0.0.2", zones=".")
        assert list(verdict.warnings) == []
