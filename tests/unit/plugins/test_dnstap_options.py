# SPDX-License-Identifier: Apache-2.0
"""How the directive is written: what CoreDNS refuses is refused in its words at its place."""

import pytest
from support.directives import check, parse

from clusterdns.plugins.dnstap.options import Place
from clusterdns.upstream.server import TlsFiles


def faults(text):
    return [error.coredns_text() for error in check(text).errors]


def warnings(text):
    verdict = check(text)
    assert verdict.errors == ()
    return [warning.message for warning in verdict.warnings]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/run/tap.sock", Place("unix", "/run/tap.sock")),
        ("unix:///run/tap.sock", Place("unix", "/run/tap.sock")),
        ("tap.sock", Place("unix", "tap.sock")),
        ("tcp://10.0.0.1:6000", Place("tcp", host="10.0.0.1", port=6000)),
        ("tcp://[fd00::1]:6000", Place("tcp", host="fd00::1", port=6000)),
        ("tls://Collector.Example.org:6000/ignored", Place("tls", host="collector.example.org", port=6000)),
    ],
)
def test_places(text, place):
    (tap,) = parse(f"dnstap {text}")
    assert tap.place == place
    assert not tap.listen
    assert (tap.full, tap.buffer_bytes, tap.queue_messages) == (False, 1 << 20, 10_000)


def test_a_place_reads_like_an_address_of_go():
    assert str(Place("unix", "/run/tap.sock")) == "unix /run/tap.sock"
    assert str(Place("tls", host="fd00::1", port=6000)) == "tcp [fd00::1]:6000"


def test_everything_that_can_be_written():
    text = 'dnstap tls://a:1 full 1024 4096 {\n identity me\n version mine\n extra "{name} {/a/b}"\n skipverify\n}'
    (tap,) = parse(text)
    assert (tap.full, tap.buffer_bytes, tap.queue_messages, tap.verify) == (True, 1 << 30, 40_960_000, False)
    assert (tap.identity, tap.version, tap.extra) == ("me", "mine", "{name} {/a/b}")
    assert warnings(text) == []


def test_empty_texts_are_texts():
    (tap,) = parse('dnstap /x {\n identity ""\n version ""\n}')
    assert (tap.identity, tap.version) == ("", "")


def test_listeners():
    (tap,) = parse("dnstap listen tls://:6000 full 2 3 {\n tls c.pem k.pem ca.pem\n skipverify\n}")
    assert tap.listen
    assert tap.place == Place("tls", port=6000)
    assert (tap.buffer_bytes, tap.queue_messages) == (2 << 20, 30_000)
    assert tap.tls == TlsFiles("ca.pem", "c.pem", "k.pem")
    assert parse("dnstap listen tls://:6000 {\n tls c.pem k.pem\n}")[0].tls == TlsFiles("", "c.pem", "k.pem")


def test_several_uses_stand_side_by_side():
    verdict = check("dnstap /a full\ndnstap tcp://b:1\nwhoami")
    taps = verdict.plan.blocks[0].directive("dnstap").options
    assert [str(tap.place) for tap in taps] == ["unix /a", "tcp b:1"]
    assert verdict.warnings == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("dnstap", 2, "Wrong argument count or unexpected line ending after 'dnstap'"),
        ("dnstap /x full x", 2, 'dnstap: invalid MultipleTcpWriteBuf "x": strconv.Atoi: parsing "x": invalid syntax'),
        ("dnstap /x full 0", 2, "dnstap: MultipleTcpWriteBuf must be between 1 and 1024 (MiB units): 0"),
        ("dnstap /x full 2 x", 2, 'dnstap: invalid MultipleQueue "x": strconv.Atoi: parsing "x": invalid syntax'),
        ("dnstap /x full 2 5000", 2, "dnstap: MultipleQueue must be between 1 and 4096 (x10k messages): 5000"),
        ("dnstap listen", 2, "dnstap listen requires an endpoint argument"),
        ("dnstap tcp://[::1", 2, "Wrong argument count or unexpected line ending after 'tcp://[::1'"),
        ("dnstap tcp://a:99999", 2, "Wrong argument count or unexpected line ending after 'tcp://a:99999'"),
        ("dnstap /x {\n nope\n}", 3, "unknown property 'nope'"),
        ("dnstap /x {\n identity a b\n}", 3, "unknown property 'b'"),
        ("dnstap /x {\n identity\n}", 3, "Wrong argument count or unexpected line ending after 'identity'"),
        ("dnstap /x {\n skipverify a\n}", 3, "unknown property 'a'"),
        ("dnstap /x {\n extra a {\n }\n}", 3, "unknown property '{'"),
        ("dnstap /x {\n tls a b\n}", 3, "tls directive only valid for listeners"),
        ("dnstap listen tls://:1 {\n tls a\n}", 3, "tls requires cert and key file paths"),
    ],
)
def test_faults_are_those_of_coredns(text, line, message):
    assert f"plugin/dnstap: Corefile:{line} - Error during parsing: {message}" in faults(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dnstap tcp://10.0.0.1", "address 10.0.0.1: missing port in address"),
        ("dnstap tcp://:6000", "address :6000: missing host in address"),
        ("dnstap listen tcp://127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("dnstap unix://", "the path of the socket is missing"),
        ("dnstap listen tls://:6000", "TLS listener requires cert and key files"),
    ],
)
def test_what_could_never_work_is_refused(text, message):
    assert faults(text) == [f"plugin/dnstap: {message}"]


def test_a_fault_of_one_use_does_not_hide_that_of_another():
    assert len(faults("dnstap\ndnstap tcp://a")) == 2


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("dnstap /x complete", "'complete' has no effect"),
        ("dnstap /x full 1 1 more", "'more' has no effect"),
        ("dnstap udp://a:1", "udp://a:1 is taken for the path of a Unix socket"),
        ("dnstap /x\ndnstap unix:///x", "unix:///x is given every message twice"),
        ("dnstap tcp://a:1 {\n skipverify\n}", "skipverify has no effect without tls://"),
        ("dnstap listen tcp://:1 {\n tls a b\n}", "tls has no effect without tls://"),
        ("dnstap listen tls://:1 {\n tls a b c d\n}", "'d' has no effect"),
    ],
)
def test_what_surely_is_not_meant_is_warned_of(text, warning):
    assert warnings(f"{text}\nwhoami") == [warning]
