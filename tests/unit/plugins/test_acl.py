# SPDX-License-Identifier: Apache-2.0
import dns.edns
import dns.message
import pytest
from support.directives import FakeSetup, check, make, metric, parse
from support.serving import Answering, client, wire
from support.serving import make_engine as engine_of

from clusterdns.serving.finish import finish
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

ALLOWED = "allowed"


def asked(text, name="www.example.org.", rtype="A", address="192.0.2.1", setup=None, **options):
    """What becomes of a query: allowed, dropped, or the rcode and extended errors of a reply."""
    question = Query(wire(name, rtype, **options), client(address=address))
    question.server = "dns://:53"
    reply = make(text, setup=setup).handle(question)
    if reply.plugin == "behind":
        return ALLOWED
    assert reply.plugin == "acl"
    if reply.dropped:
        return "dropped"
    (message,) = finish(question, reply)
    written = dns.message.from_wire(message)
    assert not written.answer
    return written.rcode(), [option.code for option in written.options]


def rule(*policies, zones=""):
    return f"acl {zones} {{\n" + "\n".join(policies) + "\n}"


def test_block_is_refused_with_an_extended_error_for_those_who_understand_it():
    assert asked(rule("block"), use_edns=0) == (5, [15])
    assert asked(rule("block")) == (5, [])


def test_filter_is_an_empty_answer():
    assert asked(rule("filter"), use_edns=0) == (0, [17])


def test_the_opt_record_is_the_clients():
    question = Query(wire("www.example.org.", "A", use_edns=0, payload=1400), client())
    (message,) = finish(question, make(rule("block")).handle(question))
    reply = dns.message.from_wire(message)
    assert (reply.payload, reply.ednsflags) == (1400, 0)


def test_drop_and_allow():
    assert asked(rule("drop")) == "dropped"
    assert asked(rule("ALLOW", "block")) == ALLOWED
    assert asked("acl") == ALLOWED


@pytest.mark.parametrize(
    ("policy", "rtype", "expected"),
    [
        ("drop type A", "A", "dropped"),
        ("drop type A", "AAAA", ALLOWED),
        ("drop type A type AAAA", "AAAA", "dropped"),
        ("drop type A AAAA", "AAAA", "dropped"),
        ("drop type *", "MX", "dropped"),
        ("drop type ANY", "A", ALLOWED),
        ("drop type ANY", "ANY", "dropped"),
    ],
)
def test_types(policy, rtype, expected):
    assert asked(rule(policy), rtype=rtype) == expected


@pytest.mark.parametrize(
    ("networks", "address", "inside"),
    [
        ("192.0.2.0/24", "192.0.2.1", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("192.0.2.77/24", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("10.0.0.0/8 192.0.2.0/24", "192.0.2.1", True),
        ("10.0.0.0/8 *", "192.0.2.1", True),
        ("fd00::/8", "192.0.2.1", False),
        ("fd00::/8", "fd12::1", True),
        ("fe80::/10", "fe80::1%2", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.0/120", "192.0.2.9", True),
        ("::/0", "192.0.2.1", False),
        ("0.0.0.0/0", "192.0.2.1", True),
    ],
)
def test_networks(networks, address, inside):
    assert asked(rule(f"drop net {networks}"), address=address) == ("dropped" if inside else ALLOWED)


def test_a_policy_wants_type_and_network():
    text = rule("drop type A net 10.0.0.0/8")
    assert asked(text, address="10.0.0.1") == "dropped"
    assert asked(text, rtype="MX", address="10.0.0.1") == ALLOWED
    assert asked(text) == ALLOWED


def test_the_first_policy_of_the_first_rule_that_has_one_decides():
    text = "\n".join(
        (
            rule("allow net 10.0.0.0/8", zones="a.example.org"),
            rule("block type A", zones="a.example.org b.example.org"),
            rule("drop", zones="example.org"),
        )
    )
    assert asked(text, "x.a.example.org.", address="10.0.0.1") == ALLOWED
    assert asked(text, "x.a.example.org.") == (5, [])
    assert asked(text, "A.Example.ORG.") == (5, [])
    assert asked(text, "x.a.example.org.", "MX") == "dropped"
    assert asked(text, "x.example.org.") == "dropped"
    assert asked(text, "example.net.") == ALLOWED


def test_metrics_name_the_zone_of_the_rule():
    setup = FakeSetup()
    setup.view = "inside"
    text = rule("block type A", "filter type AAAA", "drop type TXT", zones="a.example.org example.org")
    for name, rtype in (
        ("x.a.example.org.", "A"),
        ("example.org.", "A"),
        ("example.org.", "AAAA"),
        ("example.org.", "TXT"),
        ("example.org.", "MX"),
    ):
        asked(text, name, rtype, setup=setup)
    place = ("dns://:53", "a.example.org.", "inside")
    zone = ("dns://:53", "example.org.", "inside")
    assert metric(setup.services, "coredns_acl_blocked_requests_total", *place) == 1
    assert metric(setup.services, "coredns_acl_blocked_requests_total", *zone) == 1
    assert metric(setup.services, "coredns_acl_filtered_requests_total", *zone) == 1
    assert metric(setup.services, "coredns_acl_dropped_requests_total", *zone) == 1
    assert metric(setup.services, "coredns_acl_allowed_requests_total", "dns://:53", "inside") == 1


def reusable(query):
    reply = Reply(plugin="behind")
    reply.reusable = True
    return reply


def test_a_reply_is_reused_only_where_no_address_decided():
    setup = FakeSetup()
    plugin = make(rule("block net 10.0.0.0/8", zones="inside.example.org"), setup=setup)
    behind = Answering(reusable)
    engine = engine_of({".": [plugin, behind]})
    uses = 0
    for name in ("www.example.org.", "inside.example.org."):
        for number in range(5):
            engine.handle(wire(name, id=number), client())
            memo = engine.memo("udp", 1).entries
            entry = memo.get(wire(name, id=number)[2:])
            if entry is not None:
                entry[0] += 1  # as a transport does that sends the reply again
                uses += 1
    assert list(memo) == [wire("www.example.org.")[2:]]
    assert engine.handle(wire("inside.example.org."), client(address="10.0.0.1"))[3] & 15 == 5
    engine.flush()
    assert metric(setup.services, "coredns_acl_allowed_requests_total", "dns://:53", "") == behind.asked + uses


def test_zones_default_to_those_of_the_block_and_may_be_networks():
    assert [rule.zones for rule in parse("acl", zones="a.test b.a.test")] == [
        (b"\x01b\x01a\x04test\0", b"\x01a\x04test\0")
    ]
    assert asked(rule("drop", zones="10.0.0.0/8"), "1.2.3.10.in-addr.arpa.", "PTR") == "dropped"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("foo", "unexpected token \"foo\"; expect 'allow', 'block', 'filter' or 'drop'"),
        ("block foo", "unexpected token \"foo\"; expect 'type | net'"),
        ("block type", 'no token specified in "type" section'),
        ("block net", 'no token specified in "net" section'),
        ("block type A net", 'no token specified in "net" section'),
        ("block type a", 'unexpected token "a"; expect legal QTYPE'),
        ("block type A AAAA NOPE", 'unexpected token "NOPE"; expect legal QTYPE'),
        ("block net x", 'illegal CIDR notation "x/32"'),
        ("block net 1.2.3.4/33", 'illegal CIDR notation "1.2.3.4/33"'),
        ("block net 10.0.0.0/255.0.0.0", 'illegal CIDR notation "10.0.0.0/255.0.0.0"'),
        ("block net fe80::1%eth0", 'illegal CIDR notation "fe80::1%eth0/128"'),
    ],
)
def test_faults(policy, message):
    (error,) = check(rule(policy)).errors
    assert (error.message, error.line) == (message, 3)


def test_all_faults_are_told_at_once():
    assert len(check(rule("foo", "block type NOPE", "block net x")).errors) == 3


def test_what_does_nothing_is_warned_of():
    verdict = check("acl bad..zone {\nblock\n}\nacl")
    assert [warning.line for warning in verdict.warnings if warning.plugin == "acl"] == [2, 5]
