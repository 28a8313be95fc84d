# SPDX-License-Identifier: Apache-2.0
import logging

import pytest
from support.directives import check, client, make
from support.serving import wire

from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import FLAG_AA, FLAG_AD, FLAG_RA, FLAG_RD, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.capabilities import HitObserver, Observer
from clusterdns.serving.metadata import QueryMetadata
from clusterdns.serving.query import Client, Query
from clusterdns.serving.reply import Reply

SOA = parse_record("example.org. 5 SOA ns. admin. 1 2 3 4 5")


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "clusterdns")
    return lambda: [record.getMessage() for record in caplog.records]


def ask(name="Nope.Test.", rtype="A", who=None, **options):
    message = bytearray(wire(name, rtype, **options))
    message[:2] = (45577).to_bytes(2, "big")
    return Query(bytes(message), who or Client("udp", "127.0.0.1", 33348, "127.0.0.1", 53))


def observe(text, query=None, reply=None, seconds=0.00007241):
    make(text).observe(query or ask(), reply or Reply(SERVFAIL), 27, seconds)


def test_the_default_format_is_that_of_coredns(lines):
    observe("log")
    assert lines() == ['127.0.0.1:33348 - 45577 "A IN nope.test. udp 27 false 512" SERVFAIL qr,rd 27 0.00007241s']


def test_edns_and_flags_show(lines):
    records = (parse_record("Nope.Test. 5 A 1.2.3.4"),)
    reply = Reply.authoritative("x", answer=records)
    reply.flags |= FLAG_RA | FLAG_AD
    observe("log", ask(use_edns=0, payload=4096, want_dnssec=True), reply)
    assert lines() == [
        '127.0.0.1:33348 - 45577 "A IN nope.test. udp 38 true 4096" NOERROR qr,aa,rd,ra,ad 52 0.00007241s'
    ]


def test_a_notify_is_answered_without_the_flags_of_a_query(lines):
    packet = bytearray(ask().packet)
    packet[2] = 4 << 3 | 1
    observe('log . "{>opcode} {>rflags}"', Query(bytes(packet), client()))
    assert lines() == ["4 qr"]


def test_tcp_over_ipv6_shows(lines):
    observe("log", ask(who=client("tcp", "2001:db8::1")))
    assert lines() == ['[2001:db8::1]:4242 - 45577 "A IN nope.test. tcp 27 false 65535" SERVFAIL qr,rd 27 0.00007241s']


def test_combined_adds_the_opcode(lines):
    observe("log . {combined}")
    assert lines()[0].endswith('27 0.00007241s "0"')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{type}{class} {name}", "AIN nope.test."),
        ("{local} {unknown} {", "127.0.0.1 {unknown} {"),
        ("{/kubernetes/endpoint}|{>opcode}", "-|0"),
        ("<{common}>", '<127.0.0.1:33348 - 45577 "A IN nope.test. udp 27 false 512" SERVFAIL qr,rd 27 0.00007241s>'),
        ("100% %s {rcode}", "100% %s SERVFAIL"),
        ("plain {}", "plain {}"),
    ],
)
def test_formats(lines, text, line):
    observe(f'log . "{text}"')
    assert lines() == [line]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1, "1s"), (0.037990251, "0.037990251s"), (1e-7, "0.0000001s"), (12.5, "12.5s")]
)
def test_durations_have_no_exponent(lines, seconds, text):
    observe('log . "{duration}"', seconds=seconds)
    assert lines() == [text]


def test_rcodes_without_a_name_are_numbers_and_dropped_replies_have_none(lines):
    observe('log . "{rcode} {>rflags} {rsize}"', reply=Reply(3841))
    observe('log . "{rcode} {>rflags} {rsize}"', reply=Reply.no_reply("acl"))
    assert lines() == ["3841 qr,rd 27", "- - 0"]


@pytest.mark.parametrize(("protocol", "size"), [("udp", "1232"), ("tcp", "65535")])
def test_a_size_that_was_lowered_shows(lines, protocol, size):
    reply = Reply()
    reply.edns_size = 1232
    observe('log . "{>bufsize}{unknown}"', ask(who=client(protocol), use_edns=0, payload=4096), reply)
    assert lines() == [size + "{unknown}"]


def test_hostile_names_are_escaped(lines):
    name = b'\x05a\x1b[2J\x04\n\xff"b\x00'
    query = Query(wire("x.", "A")[:12] + name + b"\0\1\0\1", client())
    observe('log . "{name}"', query)
    assert lines() == [r"a\027[2j.\010\255\"b."]


def test_the_first_rule_whose_name_fits_decides(lines):
    text = 'log a.test b.test "1{proto}"\nlog test "2{proto}" {\nclass success\n}\nlog . "3{proto}"'
    for name in ("x.A.test.", "b.test.", "c.test.", "other."):
        observe(text, ask(name))
    assert lines() == ["1udp", "1udp", "3udp"]


def test_a_single_argument_is_a_name(lines):
    observe("log nope.test", ask("other."))
    assert lines() == []
    observe("log nope.test")
    assert len(lines()) == 1


def test_a_network_is_its_reverse_zones(lines):
    observe('log 10.0.0.0/8 "{name}"', ask("1.2.3.10.in-addr.arpa."))
    observe('log 10.0.0.0/8 "{name}"', ask("1.2.3.11.in-addr.arpa."))
    assert lines() == ["1.2.3.10.in-addr.arpa."]


ANSWER = (parse_record("nope.test. 5 A 1.2.3.4"),)
REPLIES = {
    "answer": (Reply.authoritative("x", answer=ANSWER), "success"),
    "empty": (Reply(), "success"),
    "delegation": (Reply.authoritative("x", authority=(parse_record("test. NS ns.test."),)), "success"),
    "nodata": (Reply.authoritative("x", authority=(SOA,)), "denial"),
    "nxdomain": (Reply.authoritative("x", NXDOMAIN, authority=(SOA,)), "denial"),
    "nxdomain without soa": (Reply.authoritative("x", NXDOMAIN), "error"),
    "servfail": (Reply(SERVFAIL), "error"),
    "notimp": (Reply(NOTIMP), "error"),
    "refused": (Reply(REFUSED), "error"),
}


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("wanted", ["success", "denial", "error", "all"])
def test_classes(lines, name, wanted):
    reply, kind = REPLIES[name]
    observe(f'log . "{{rcode}}" {{\nclass {wanted}\n}}', reply=reply)
    assert bool(lines()) == (wanted in (kind, "all"))


def test_several_classes_add_up(lines):
    text = 'log . "{rcode}" {\nclass denial\nclass error\n}'
    for reply, _ in REPLIES.values():
        observe(text, reply=reply)
    assert lines() == ["NOERROR", "NXDOMAIN", "NXDOMAIN", "SERVFAIL", "NOTIMP", "REFUSED"]


def test_compiled_answers_have_size_and_class_too(lines):
    body = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\1\2\3\4"
    compiled = CompiledAnswer(0, counts(2), body * 2, flags=FLAG_AA)
    plugin = make('log . "{rsize} {>rflags}" {\nclass success\n}')
    for name in ("nope.test.", "nape.test.", "longer.test."):
        plugin.observe(ask(name), Reply.of_compiled("x", compiled), 50, 0.1)
    changed = Reply.of_compiled("x", compiled)
    changed.rcode = SERVFAIL
    plugin.observe(ask(), changed, 50, 0.1)
    assert lines() == ["77 qr,aa,rd", "77 qr,aa,rd", "83 qr,aa,rd"]


def test_a_flag_that_was_cleared_is_not_shown(lines):
    reply = Reply()
    reply.cleared = FLAG_RD
    observe('log . "{>rflags}"', reply=reply)
    assert lines() == ["qr"]


def test_it_has_to_see_every_query():
    plugin = make("log")
    assert isinstance(plugin, Observer)
    assert not isinstance(plugin, HitObserver)


def test_an_unknown_class_is_refused():
    (error,) = check("log {\n class nope\n}").errors
    assert (error.coredns_text(), error.line) == ("plugin/log: invalid Class: nope", 3)


def test_class_needs_an_argument():
    (error,) = check("log {\n class\n}").errors
    assert error.message == "Wrong argument count or unexpected line ending after 'class'"


def test_what_is_surely_not_meant_is_warned_of():
    (warning,) = check("log {combined}").warnings
    assert warning.message == '"{combined}" is taken for a name'
    (warning,) = check("log a..b c.test").warnings
    assert warning.message == '"a..b" is not a domain name, nothing is logged for it'


def test_metadata_shows(lines):
    asked = ask()
    asked.metadata = QueryMetadata(asked, {})
    asked.metadata.set("forward/upstream", "10.0.0.53:53")
    text = 'log . "{/forward/upstream} {/log/type} {/log/class} {/kubernetes/service} {/log}"'
    observe(text, asked, Reply(REFUSED))
    assert lines() == ["10.0.0.53:53 OTHERERROR error - -"]


def test_without_metadata_nothing_is_known(lines):
    observe('log . "{/log/type}"')
    assert lines() == ["-"]
