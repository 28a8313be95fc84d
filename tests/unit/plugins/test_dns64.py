# SPDX-License-Identifier: Apache-2.0
"""AAAA records from A records."""

import asyncio
from ipaddress import IPv6Address, IPv6Network, ip_address

import pytest
from support.directives import FakeSetup, check, client, make, metric, parse
from support.serving import wire

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record, record_text
from clusterdns.dns.types import AAAA, FLAG_AA, FLAG_RA, FLAG_TC, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, A
from clusterdns.plugins.dns64 import embed
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

SOA = "test. {} IN SOA ns. m. 1 2 3 4 5"


def reply_of(*answer, authority=(), rcode=NOERROR):
    sections = [tuple(parse_record(text) for text in part) for part in (answer, authority)]
    reply = Reply.authoritative("behind", rcode, *sections)
    reply.flags |= FLAG_RA
    reply.reusable = True
    return reply


class Addresses(FakeSetup):
    """A block whose look-ups of A records give one reply."""

    def __init__(self, found):
        super().__init__()
        self.found = found
        self.asked = []

    def resolve(self, query, name, qtype):
        self.asked.append((names.to_text(name), qtype))
        return self.found


def ask(directive="dns64", *, found, behind=None, address="2001:db8::1", rtype="AAAA"):
    setup = Addresses(found)
    behind = behind or reply_of(authority=(SOA.format(60),))
    plugin = make(directive, setup=setup, answer=lambda query: behind)
    asked = Query(wire("A.test.", rtype), client(address=address))
    asked.resolve, asked.server = setup.resolve, "dns://:53"
    reply = plugin.handle(asked)
    reply = reply if isinstance(reply, Reply) else asyncio.run(reply)
    return asked, reply, setup


def lines(asked, reply):
    return [record_text(record).replace("\t", " ") for record in reply.records(asked).answer]


ONE = ("A.test. 300 IN A 192.0.2.1",)


def test_addresses_are_made_from_a_records():
    asked, reply, setup = ask(found=reply_of(*ONE))
    assert setup.asked == [("A.test.", A)]
    assert lines(asked, reply) == ["A.test. 60 IN AAAA 64:ff9b::c000:201"]
    assert (reply.rcode, reply.flags & (FLAG_AA | FLAG_RA), reply.reusable) == (NOERROR, 0, False)
    assert metric(setup.services, "coredns_dns64_requests_translated_total", "dns://:53") == 1


@pytest.mark.parametrize(
    ("authority", "ttl"), [((SOA.format(30),), 30), ((SOA.format(3600),), 700), ((), 600), (("test. 5 IN NS a.",), 600)]
)
def test_ttls_are_limited(authority, ttl):
    asked, reply, _ = ask(found=reply_of("a.test. 700 IN A 192.0.2.1"), behind=reply_of(authority=authority))
    assert reply.records(asked).answer[0].ttl == ttl


def test_other_records_of_the_answer_and_its_other_sections_stay():
    found = reply_of("a.test. 5 IN CNAME b.test.", "b.test. 5 IN A 192.0.2.1", authority=("test. 5 IN NS ns.test.",))
    found.flags |= FLAG_TC
    asked, reply, _ = ask(found=found)
    assert lines(asked, reply) == ["a.test. 5 IN CNAME b.test.", "b.test. 5 IN AAAA 64:ff9b::c000:201"]
    assert len(reply.records(asked).authority) == 1
    assert reply.flags & FLAG_TC


def test_look_ups_may_take_their_time():
    async def later():
        return reply_of(*ONE)

    asked, reply, _ = ask(found=later())
    assert reply.records(asked).answer[0].rtype == AAAA


@pytest.mark.parametrize(
    ("directive", "address", "translated"),
    [
        ("dns64", "2001:db8::1", True),
        ("dns64", "192.0.2.1", False),
        ("dns64", "::ffff:192.0.2.1", False),
        ("dns64 {\nallow_ipv4\n}", "192.0.2.1", True),
        ("dns64 64:ff9b::/96 {\nallow_ipv4\n}", "192.0.2.1", True),
    ],
)
def test_only_for_clients_over_ipv6_unless_allowed(directive, address, translated):
    assert bool(ask(directive, found=reply_of(*ONE), address=address)[2].asked) is translated


def test_only_for_aaaa_queries():
    assert ask(found=reply_of(*ONE), rtype="A")[2].asked == []


@pytest.mark.parametrize(
    ("directive", "behind", "translated"),
    [
        ("dns64", reply_of("a.test. 5 IN AAAA 2001:db8::2"), False),
        ("dns64", reply_of("a.test. 5 IN AAAA ::ffff:192.0.2.1"), True),
        ("dns64", reply_of("a.test. 5 IN CNAME b.test.", authority=(SOA.format(5),)), True),
        ("dns64", reply_of(rcode=NXDOMAIN, authority=(SOA.format(5),)), False),
        ("dns64 {\ntranslate_all\n}", reply_of(rcode=NXDOMAIN), False),
        ("dns64", reply_of(rcode=SERVFAIL), True),
        ("dns64 {\ntranslate_all\n}", reply_of("a.test. 5 IN AAAA 2001:db8::2"), True),
        ("dns64", Reply.no_reply("acl"), False),
    ],
)
def test_only_where_there_is_no_address(directive, behind, translated):
    _, reply, setup = ask(directive, found=reply_of(*ONE), behind=behind)
    assert bool(setup.asked) is translated
    assert (reply is behind) is not translated


def test_without_a_records_the_reply_about_them_is_the_reply():
    denial = reply_of(authority=(SOA.format(7),))
    asked, reply, setup = ask(found=denial)
    assert (reply, reply.records(asked).authority[0].ttl, reply.reusable) == (denial, 7, True)
    assert reply.flags & (FLAG_AA | FLAG_RA) == FLAG_AA | FLAG_RA
    assert ask(found=reply_of(rcode=REFUSED))[1].rcode == REFUSED
    assert metric(setup.services, "coredns_dns64_requests_translated_total", "dns://:53") is None


@pytest.mark.parametrize("found", [reply_of(), Reply.no_reply("acl"), Reply(REFUSED)])
def test_addresses_that_there_are_stay_where_there_is_nothing_to_translate(found):
    behind = reply_of("a.test. 5 IN AAAA 2001:db8::2")
    assert ask("dns64 {\ntranslate_all\n}", found=found, behind=behind)[1] is behind


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        # RFC 6052 section 2.4
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ("2001:db8:122:344::/72", "2001:db8:122:344:c0:2:2100::"),
    ],
)
def test_addresses_embedded_in_prefixes(prefix, address):
    packed = embed(IPv6Network(prefix), ip_address("192.0.2.33").packed)
    assert IPv6Address(packed) == IPv6Address(address)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dns64 foo", "plugin/dns64: invalid CIDR address: foo"),
        ("dns64 64:ff9b::", "plugin/dns64: invalid CIDR address: 64:ff9b::"),
        ("dns64 64:ff9b::/129", "plugin/dns64: invalid CIDR address: 64:ff9b::/129"),
        (
            "dns64 64:ff9b::1/97",
            'plugin/dns64: Corefile:2 - Error during parsing: invalid prefix length "64:ff9b::/97"',
        ),
        (
            "dns64 10.0.0.0/8",
            'plugin/dns64: Corefile:2 - Error during parsing: invalid netmask 32 IPv6 address: "10.0.0.0/8"',
        ),
        (
            "dns64 {\nnope\n}",
            "plugin/dns64: Corefile:3 - Error during parsing: unknown property 'nope'",
        ),
        (
            "dns64 a b",
            "plugin/dns64: Corefile:2 - Error during parsing: Wrong argument count or unexpected line ending after 'b'",
        ),
        (
            "dns64 {\nprefix\n}",
            "plugin/dns64: Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after "
            "'prefix'",
        ),
    ],
)
def test_what_cannot_be_read(text, message):
    (error,) = check(text).errors
    assert error.coredns_text() == message


def test_prefixes_and_flags_are_read():
    options = parse("dns64 64:1337::/64 {\nprefix 64:1338::1/32\ntranslate_all\n}\nwhoami")
    assert (str(options.prefix), options.translate_all, options.allow_ipv4) == ("64:1338::/32", True, False)
    assert str(parse("dns64\nwhoami").prefix) == "64:ff9b::/96"


def test_a_length_that_the_rfc_does_not_have_is_warned_of():
    (warning,) = check("dns64 2001:db8::/72\nwhoami").warnings
    assert "RFC 6052" in str(warning)
