# SPDX-License-Identifier: Apache-2.0
"""Which messages have the form of a common reply, and what stands where in them."""

import struct
from itertools import pairwise

import dns.message
import dns.rrset
import pytest

from clusterdns.dns import types
from clusterdns.fastpath.ttl import message_ttls
from clusterdns.fastpath.verbatim import A_QUESTION, AAAA_QUESTION, FORMS, MAX_ADDRESSES, MAX_ALIASES, read_shape

NAME = "www.example.org."
SOA = "example.org. 60 SOA ns.example.org. admin.example.org. 1 2 3 4 17"


def reply(*records, rtype="A", authority=(), rcode=0, opt=False):
    query = dns.message.make_query(NAME, rtype, use_edns=0 if opt else False)
    made = dns.message.make_response(query)
    made.set_rcode(rcode)
    for texts, section in ((records, made.answer), (authority, made.authority)):
        for text in texts:
            name, ttl, kind, data = text.split(maxsplit=3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return made.to_wire()


def question_end(wire):
    return 12 + len(dns.name.from_text(NAME).to_wire()) + 4


def shape_of(wire, question=A_QUESTION):
    return read_shape(wire, question_end(wire), FORMS[question])


def addresses(number, name=NAME, ttl=30):
    return [f"{name} {ttl} A 192.0.2.{last}" for last in range(number)]


@pytest.mark.parametrize("opt", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3, MAX_ADDRESSES])
def test_addresses(number, opt):
    wire = reply(*addresses(number), opt=opt)
    shape = shape_of(wire)
    end = question_end(wire)
    assert (shape.number, shape.first, shape.record_bytes, shape.size) == (number, 0, 16, 16 * number)
    assert tuple(end + at for at in shape.positions) == message_ttls(wire)
    assert (shape.counts_with_opt if opt else shape.counts) == wire[6:12]
    assert not shape.minimum_at


def test_addresses_of_the_other_family():
    wire = reply(f"{NAME} 30 AAAA 2001:db8::1", f"{NAME} 30 AAAA 2001:db8::2", rtype="AAAA")
    assert shape_of(wire, AAAA_QUESTION).size == 56
    assert shape_of(wire) is None


@pytest.mark.parametrize("aliases", [1, 3, MAX_ALIASES])
@pytest.mark.parametrize("number", [1, 3])
def test_aliases(aliases, number):
    names = [NAME, *(f"a{each}.example.net." for each in range(aliases))]
    chain = [f"{owner} 9 CNAME {target}" for owner, target in pairwise(names)]
    wire = reply(*chain, *addresses(number, names[-1]))
    shape = shape_of(wire)
    body = wire[question_end(wire) :]
    assert (shape.number, shape.size) == (number, len(body))
    assert tuple(question_end(wire) + at for at in shape.positions) == message_ttls(wire)
    assert shape.counts == wire[6:12]
    assert [body[at + 15] for at in range(shape.first, shape.size, 16)] == list(range(number))


@pytest.mark.parametrize("rcode", [0, 3])
@pytest.mark.parametrize("opt", [False, True])
def test_denials(rcode, opt):
    wire = reply(authority=[SOA], rcode=rcode, opt=opt)
    shape = shape_of(wire)
    end = question_end(wire)
    assert tuple(end + at for at in shape.positions) == message_ttls(wire)
    assert struct.unpack_from("!I", wire, end + shape.minimum_at) == (17,)
    assert (shape.counts_with_opt if opt else shape.counts) == wire[6:12]
    assert shape.number == 0


OTHERS = {
    "nothing": reply(),
    "nothing, NXDOMAIN": reply(rcode=3),
    "an answer with NXDOMAIN": reply(*addresses(1), rcode=3),
    "too many": reply(*addresses(MAX_ADDRESSES + 1)),
    "another name": reply("other.test. 30 A 192.0.2.1"),
    "another type": reply(f"{NAME} 30 TXT x"),
    "two types": reply(*addresses(1), f"{NAME} 30 TXT x"),
    "an alias alone": reply(f"{NAME} 30 CNAME a.test."),
    "an alias of nothing": reply(f"{NAME} 30 CNAME a.test.", *addresses(1, "b.test.")),
    "an alias of itself": reply(f"{NAME} 30 CNAME {NAME}", *addresses(1)),
    "aliases in a ring": reply(f"{NAME} 9 CNAME a.test.", f"a.test. 9 CNAME {NAME}", *addresses(1)),
    "an alias behind": reply(*addresses(1), f"{NAME} 30 CNAME a.test."),
    "too many aliases": reply(
        *(f"{owner} 9 CNAME {target}" for owner, target in pairwise([NAME, *(f"a{n}.test." for n in range(9))])),
        *addresses(1, "a8.test."),
    ),
    "an alias of another length than its name": (
        reply(f"{NAME} 1 CNAME a.", *addresses(1, "a.")).replace(b"\0\3\1a\0", b"\0\4\1a\0")
    ),
    "a referral": reply(authority=["example.org. 60 NS ns.example.org."]),
    "two in authority": reply(authority=[SOA, "example.org. 60 NS ns.example.org."]),
    "answer and authority": reply(*addresses(1), authority=[SOA]),
    "cut": reply(*addresses(2))[:-1],
    "longer": reply(*addresses(2)) + b"\0",
    "cut denial": reply(authority=[SOA])[:-1],
    "longer denial": reply(authority=[SOA]) + b"\0",
    "no OPT where one is counted": reply(*addresses(1))[:11] + b"\1" + reply(*addresses(1))[12:],
    "an OPT that isn't counted": reply(*addresses(1), opt=True)[:11] + b"\0" + reply(*addresses(1), opt=True)[12:],
    "an extended rcode": reply(*addresses(1), opt=True)[:-6] + b"\1" + reply(*addresses(1), opt=True)[-5:],
}


@pytest.mark.parametrize("wire", OTHERS.values(), ids=OTHERS.keys())
def test_everything_else_has_to_be_read(wire):
    assert shape_of(wire) is None


def test_every_octet_that_matters_matters():
    """Changes of counts, heads and lengths are noticed; those of TTLs, addresses and payload sizes needn't be."""
    wire = reply(*addresses(2), opt=True)
    end = question_end(wire)
    indifferent = {0, 1, 2, 3, *range(12, end), end + 6, end + 7, end + 8, end + 9}
    indifferent |= {end + at for at in range(12, 16)} | {end + 16 + at for at in (6, 7, 8, 9, 12, 13, 14, 15)}
    opt = end + 32
    indifferent |= {opt + at for at in (3, 4, 6, 7, 8)}
    for position in range(len(wire)):
        changed = bytearray(wire)
        changed[position] ^= 0xFF
        assert (shape_of(bytes(changed)) is not None) == (position in indifferent), position


def test_a_shape_compiles_to_the_answer_that_it_is():
    wire = reply(f"{NAME} 9 CNAME a.test.", *addresses(3, "a.test."))
    shape, body = shape_of(wire), wire[question_end(wire) :]
    compiled = shape.compile(types.NOERROR, body)
    assert (compiled.body, compiled.counts) == (body, wire[6:12])
    before, rotating, after = compiled.split()
    assert (len(rotating), after) == (3, b"")
    turned = {shape.turned(body, turn) for turn in range(3)}
    assert turned == {before + b"".join(rotating[turn:] + rotating[:turn]) for turn in range(3)}
    assert shape_of(reply(*addresses(1))).compile(0, body).rotating == 0
