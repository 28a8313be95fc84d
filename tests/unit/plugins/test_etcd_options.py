# SPDX-License-Identifier: Apache-2.0
"""How the directive is written: what CoreDNS refuses is refused in its words at its place."""

import pytest
from support.directives import check, parse

from clusterdns.dns import names
from clusterdns.plugins.etcd.store import LeaseBounds
from clusterdns.upstream.server import TlsFiles

FORMATS = "invalid TTL format, use format like '30', '30s', '5m', '1h', or '2h30m'"


def faults(text):
    return [error.coredns_text() for error in check(text).errors]


def warnings(text):
    verdict = check(text)
    assert verdict.errors == ()
    return [warning.message for warning in verdict.warnings]


def test_without_options_it_is_skydns_on_this_machine():
    options = parse("etcd")
    assert options.zones == (names.from_text("example.org."),)
    assert (options.path, options.endpoints) == ("/skydns", ("http://localhost:2379",))
    assert (options.user, options.password, options.tls, options.fallthrough) == ("", "", None, ())
    assert options.leases == LeaseBounds(30, 86400)


def test_everything_that_can_be_written():
    text = """etcd skydns.local 10.0.0.0/24 {
        path /a/b
        endpoint https://10.1.0.1:2379 https://[fd00::1]:2379/
        credentials dns secret
        tls c.pem k.pem ca.pem
        fallthrough in-addr.arpa
        min-lease-ttl 60
        max-lease-ttl 1h30m
    }"""
    options = parse(text)
    assert [names.to_text(zone) for zone in options.zones] == ["skydns.local.", "0.0.10.in-addr.arpa."]
    assert options.path == "/a/b"
    assert options.endpoints == ("https://10.1.0.1:2379", "https://[fd00::1]:2379")
    assert (options.user, options.password) == ("dns", "secret")
    assert options.tls == TlsFiles("ca.pem", "c.pem", "k.pem")
    assert options.fallthrough == (names.from_text("in-addr.arpa."),)
    assert options.leases == LeaseBounds(60, 5400)
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("tls", TlsFiles()),
        ("tls ca", TlsFiles("ca")),
        ("tls c k", TlsFiles("", "c", "k")),
        ("tls c k ca", TlsFiles("ca", "c", "k")),
    ],
)
def test_tls_files(text, files):
    assert parse(f"etcd {{\n endpoint https://a\n {text}\n}}").tls == files


@pytest.mark.parametrize(
    ("lines", "endpoint"),
    [
        ("endpoint a:2379", "http://a:2379"),
        ("endpoint a:2379\ntls ca", "https://a:2379"),
        ("tls ca\nendpoint a:2379", "https://a:2379"),
        ("endpoint http://user:secret@a:1/path?x", "http://a:1"),
    ],
)
def test_endpoints(lines, endpoint):
    assert parse(f"etcd {{\n{lines}\n}}").endpoints == (endpoint,)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45", 45), ("1m", 60), ("1500ms", 1), ("0", 30), ('""', 30), ('" 7 "', 7)]
)
def test_ttls(text, seconds):
    assert parse(f"etcd {{\n min-lease-ttl {text}\n}}").leases.least == seconds


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("nope", "unknown property 'nope'"),
        ("path", "Wrong argument count or unexpected line ending after 'path'"),
        ("path a b", "unknown property 'b'"),
        ("endpoint", "Wrong argument count or unexpected line ending after 'endpoint'"),
        ("credentials", "Wrong argument count or unexpected line ending after 'credentials'"),
        ("credentials a", "credentials requires 2 arguments, username and password"),
        ("credentials a b c", "credentials requires 2 arguments, username and password"),
        ("stubzones a", "unknown property 'a'"),
        ("fallthrough {\n }", "unknown property '{'"),
        ("min-lease-ttl", "Wrong argument count or unexpected line ending after 'min-lease-ttl'"),
        ("min-lease-ttl x", f"invalid min-lease-ttl value: {FORMATS}"),
        ("max-lease-ttl 99999999999", f"invalid max-lease-ttl value: {FORMATS}"),
        ("max-lease-ttl 5000000000", "invalid max-lease-ttl value: TTL too large, maximum is 4294967295 seconds"),
        ("max-lease-ttl -1s", "invalid max-lease-ttl value: TTL must be non-negative"),
        ("max-lease-ttl 1 2", "unknown property '2'"),
    ],
)
def test_faults_are_those_of_coredns(option, message):
    assert f"plugin/etcd: Corefile:3 - Error during parsing: {message}" in faults(f"etcd {{\n {option}\n}}")


def test_tls_has_three_arguments_at_most():
    expected = "plugin/etcd: maximum of three arguments allowed for TLS config, found 4"
    assert faults("etcd {\n tls a b c d\n}") == [expected]


@pytest.mark.parametrize(
    "endpoint", ["ftp://x", "http://[::1", "unix:///run/etcd", "http://", "http://a:99999", "http://a:0"]
)
def test_endpoints_that_can_not_be_asked_are_refused(endpoint):
    assert faults(f"etcd {{\n endpoint {endpoint}\n}}") == [f"plugin/etcd: '{endpoint}' is no endpoint"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("etcd {\n stubzones\n}", "stubzones does nothing any more"),
        ("etcd {\n debug\n}", "debug does nothing any more"),
        ("etcd {\n upstream 192.0.2.1\n}", "upstream does nothing any more"),
        ("etcd {\n tls ca\n}", "tls has no effect: no endpoint begins with https://"),
        (
            "etcd {\n min-lease-ttl 2h\n max-lease-ttl 1h\n}",
            "max-lease-ttl is less than min-lease-ttl, which has no effect",
        ),
        ("etcd a.test\netcd b.test {\n nope\n}", "this etcd has no effect: the one of line 2 counts"),
        ("etcd a..b c.test", "a..b is not a zone and is ignored"),
    ],
)
def test_what_surely_is_not_meant_is_warned_of(text, warning):
    assert warnings(text) == [warning]


def test_directives_behind_it_that_are_never_asked_are_warned_of():
    warning = "names that aren't in etcd get NXDOMAIN: they don't reach the directives behind etcd"
    assert warning in warnings("etcd\nforward . 192.0.2.53")
    assert warning not in warnings("etcd {\n fallthrough\n}\nforward . 192.0.2.53")
    assert warning not in warnings("etcd skydns.example.org\nforward . 192.0.2.53")
    assert warning not in warnings("etcd\ncache")
