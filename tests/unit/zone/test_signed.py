# SPDX-License-Identifier: Apache-2.0
"""Signed zones: signatures and NSEC proofs for clients that want them (RFC 4035 section 3.1)."""

import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file
from clusterdns.dns.types import NOERROR, NXDOMAIN, TYPE_NUMBERS, type_text
from clusterdns.zone.lookup import find
from clusterdns.zone.tree import build_zone

ORIGIN = names.from_text("example.org.")
SETS = {
    "@": ["SOA ns admin 1 2 3 4 5", "NS ns", "NSEC a SOA NS RRSIG NSEC"],
    "a": ["A 192.0.2.1", "AAAA 2001:db8::1", "NSEC al A AAAA RRSIG NSEC"],
    "al": ["CNAME a", "NSEC x.ent CNAME RRSIG NSEC"],
    "x.ent": ["A 192.0.2.2", "NSEC insecure A RRSIG NSEC"],
    "insecure": ["NS ns.elsewhere.test.", "NSEC ns NS RRSIG NSEC"],
    "ns": ["A 192.0.2.53", "NSEC secure A RRSIG NSEC"],
    "secure": ["NS ns", "DS 1 8 2 00", "NSEC *.w NS DS RRSIG NSEC"],
    "*.w": ["A 192.0.2.9", "NSEC @ A RRSIG NSEC"],
}
NOT_SIGNED = {("insecure", "NS"), ("secure", "NS")}


def signed_zone():
    lines = ["$TTL 60"]
    for owner, sets in SETS.items():
        lines += [f"{owner} {each}" for each in sets]
        for rtype in (each.split()[0] for each in sets):
            if (owner, rtype) not in NOT_SIGNED:
                lines.append(f"{owner} RRSIG {rtype} 8 3 60 20300101000000 20260101000000 1 @ AAAA")
    return build_zone(ORIGIN, parse_file("\n".join(lines), ORIGIN))


ZONE = signed_zone()


def shown(records):
    """``owner type``, of signatures ``owner RRSIG(type)``, without the zone."""
    out = []
    for record in records:
        owner = names.to_text(record.name).removesuffix("example.org.").rstrip(".") or "@"
        kind = type_text(record.rtype)
        out.append(
            f"{owner} " + (f"RRSIG({type_text(int.from_bytes(record.data[:2], 'big'))})" if kind == "RRSIG" else kind)
        )
    return out


def look(name, rtype="A", *, do=True):
    return find(ZONE, names.from_text(name, ORIGIN), TYPE_NUMBERS[rtype], do=do)


def nsec(owner):
    return [f"{owner} NSEC", f"{owner} RRSIG(NSEC)"]


SOA = ["@ SOA", "@ RRSIG(SOA)"]
NS = ["@ NS", "@ RRSIG(NS)"]


def test_answers_are_signed_for_those_who_want_it():
    answer = look("a")
    assert (shown(answer.answer), shown(answer.authority)) == (["a A", "a RRSIG(A)"], NS)
    answer = look("a", do=False)
    assert (shown(answer.answer), shown(answer.authority)) == (["a A"], ["@ NS"])


def test_so_are_aliases_and_what_they_lead_to():
    assert shown(look("al").answer) == ["al CNAME", "al RRSIG(CNAME)", "a A", "a RRSIG(A)"]


def test_so_are_addresses_in_the_additional_section():
    assert shown(look("@", "NS").additional) == ["ns A", "ns RRSIG(A)"]


@pytest.mark.parametrize(
    ("name", "rtype", "proofs"),
    [
        ("a", "TXT", ["a"]),
        ("ent", "A", ["al"]),
        ("insecure", "DS", ["insecure"]),
        ("@", "TXT", ["@"]),
    ],
)
def test_a_missing_type_is_proved(name, rtype, proofs):
    answer = look(name, rtype)
    assert answer.rcode == NOERROR
    assert shown(answer.authority) == SOA + [line for owner in proofs for line in nsec(owner)]


@pytest.mark.parametrize(
    ("name", "proofs"),
    [
        ("b", ["al", "@"]),
        ("zz", ["*.w", "@"]),
        ("0", ["@"]),
        ("y.ent", ["x.ent", "al"]),
        ("b.a", ["a"]),
    ],
)
def test_a_missing_name_and_the_missing_wildcard_are_proved(name, proofs):
    answer = look(name)
    assert answer.rcode == NXDOMAIN
    assert shown(answer.authority) == SOA + [line for owner in proofs for line in nsec(owner)]


def test_without_the_wish_there_are_no_proofs():
    assert shown(look("b", do=False).authority) == ["@ SOA"]


def test_what_a_wildcard_makes_has_its_signature_and_the_proof_that_the_name_is_not_there():
    answer = look("q.w")
    assert shown(answer.answer) == ["q.w A", "q.w RRSIG(A)"]
    assert shown(answer.authority) == [*NS, *nsec("*.w")]


def test_a_type_that_a_wildcard_does_not_have_is_proved_once():
    assert shown(look("q.w", "TXT").authority) == [*SOA, *nsec("*.w")]


def test_a_referral_has_the_signed_ds_or_the_proof_that_there_is_none():
    assert shown(look("x.secure").authority) == ["secure NS", "secure DS", "secure RRSIG(DS)"]
    assert shown(look("x.insecure").authority) == ["insecure NS", *nsec("insecure")]


def test_signatures_and_proofs_can_be_asked_for():
    assert shown(look("a", "NSEC").answer) == nsec("a")
    assert shown(look("al", "NSEC").answer) == nsec("al")
    assert len(look("a", "RRSIG").answer) == 3
