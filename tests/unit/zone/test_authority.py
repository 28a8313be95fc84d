# SPDX-License-Identifier: Apache-2.0
import dns.message

from clusterdns.dns import names
from clusterdns.zone.authority import Authority


def reply(answer, question):
    wire = b"\x00\x00\x84\x00\x00\x01" + answer.counts + question + b"\x00\x01\x00\x01" + answer.body
    return dns.message.from_wire(wire, one_rr_per_rrset=True)


def lines(section):
    return [rrset.to_text() for rrset in section]


NX = names.from_text("Nope.CLUSTER.local.")


def test_denials_carry_the_soa_record_in_the_letters_of_the_query():
    authority = Authority(30)
    authority.set_serial(42)
    found = reply(authority.nxdomain(5), NX)
    assert lines(found.authority) == [
        "CLUSTER.local. 30 IN SOA ns.dns.CLUSTER.local. hostmaster.CLUSTER.local. 42 7200 1800 86400 30"
    ]
    assert [authority.nxdomain(5).rcode, authority.nodata(5).rcode, authority.failure(5).rcode] == [3, 0, 2]


def test_denials_are_kept_until_the_serial_changes():
    authority = Authority(30)
    first = authority.nodata(5)
    authority.set_serial(0)
    assert authority.nodata(5) is first
    authority.set_serial(1)
    assert authority.nodata(5) is not first
    assert reply(authority.nodata(5), NX).authority[0][0].serial == 1


def test_the_soa_record_at_the_apex_lives_at_most_300_seconds():
    authority = Authority(3600)
    answer = reply(authority.soa(), names.from_text("cluster.local."))
    assert lines(answer.answer) == [
        "cluster.local. 300 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 0 7200 1800 86400 3600"
    ]


def test_the_root_may_be_the_zone():
    answer = reply(Authority(5).nxdomain(5), names.from_text("nope."))
    assert lines(answer.authority) == [". 5 IN SOA ns.dns. hostmaster. 0 7200 1800 86400 5"]


def test_a_serial_beyond_32_bits_wraps():
    authority = Authority(5)
    authority.set_serial(2**32 + 7)
    assert reply(authority.soa(), NX).answer[0][0].serial == 7
