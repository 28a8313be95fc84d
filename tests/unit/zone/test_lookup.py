# SPDX-License-Identifier: Apache-2.0
"""What a zone answers: RFC 1034 section 4.3.2, wildcards (RFC 4592), DNAME (RFC 6672), cuts, proofs (RFC 4035)."""

import pytest

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file
from clusterdns.dns.types import NOERROR, NXDOMAIN, TYPE_NUMBERS, type_text
from clusterdns.dns.wire import Record
from clusterdns.zone.lookup import MAX_ALIASES, YXDOMAIN, find
from clusterdns.zone.tree import build_zone

ORIGIN = names.from_text("example.org.")
APEX = "$TTL 60\n@ SOA ns1 admin 1 2 3 4 5\n@ NS ns1\n"

ZONE = (
    APEX
    + """
@ A 192.0.2.10
ns1 A 192.0.2.53
Mixed A 192.0.2.11
www CNAME web
web A 192.0.2.80
web AAAA 2001:db8::80
out CNAME Target.Other.Test.
mail MX 10 web
mail MX 20 web
mail MX 30 elsewhere.test.
alias-mail CNAME mail
svc SRV 0 0 80 web
service HTTPS 1 .
service A 192.0.2.7
alias-service HTTPS 0 web
deep.ent A 192.0.2.5
sub NS ns.sub
sub NS ns.other.test.
sub A 192.0.2.99
ns.sub A 192.0.2.54
hidden.sub A 192.0.2.55
into-sub CNAME x.sub
signed NS ns1
signed DS 1 8 2 00
apex-like NS ns1
dn DNAME target
dn TXT "beside it"
hidden.dn A 192.0.2.56
x.target A 192.0.2.33
sub.x.target A 192.0.2.34
dloop DNAME dloop2
dloop2 DNAME dloop
dout DNAME other.test.
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
dangling CNAME nothere
"""
)

# The zone of RFC 4592 section 2.2.1.
WILDCARDS = (
    APEX
    + """
* 3600 TXT "this is a wildcard"
* 3600 MX 10 host1.example.org.
sub.* 3600 TXT "this is not a wildcard"
host1 3600 A 192.0.2.1
_ssh._tcp.host1 3600 SRV 0 0 22 host1
_ssh._tcp.host2 3600 SRV 0 0 22 host1
subdel 3600 NS ns.example.com.
subdel 3600 NS ns.example.net.
*.cn 3600 CNAME host1
*.out 3600 CNAME host.test.
"""
)


def zone_of(text):
    return build_zone(ORIGIN, parse_file(text, ORIGIN))


MAIN = zone_of(ZONE)
STARS = zone_of(WILDCARDS)


def look(zone, name, rtype="A", **options):
    name = names.from_text(name, ORIGIN)
    return find(zone, name.lower(), TYPE_NUMBERS[rtype], **options)


def shown(records):
    """Records as ``owner type`` with owners relative to the zone."""
    return [f"{names.to_text(r.name).removesuffix('.example.org.')} {type_text(r.rtype)}" for r in records]


def test_a_name_with_the_type():
    answer = look(MAIN, "web")
    assert (answer.rcode, answer.authoritative) == (NOERROR, True)
    assert (shown(answer.answer), shown(answer.authority)) == (["web A"], ["example.org. NS"])


def test_names_are_found_in_lower_case():
    assert shown(look(MAIN, "mixed").answer) == ["mixed A"]


@pytest.mark.parametrize("name", ["ent", "_tcp.host1", "web"])
def test_names_without_the_type_have_no_data(name):
    answer = look(STARS if name.startswith("_") else MAIN, name, "TXT")
    assert (answer.rcode, answer.answer, shown(answer.authority)) == (NOERROR, (), ["example.org. SOA"])


@pytest.mark.parametrize("name", ["nothere", "a.web", "no.ent", "x.deep.ent"])
def test_other_names_do_not_exist(name):
    answer = look(MAIN, name)
    assert (answer.rcode, answer.answer, shown(answer.authority)) == (NXDOMAIN, (), ["example.org. SOA"])


def test_ns_of_the_zone_is_not_repeated():
    answer = look(MAIN, "@", "NS")
    assert (shown(answer.answer), shown(answer.authority)) == (["example.org. NS"], [])
    assert shown(answer.additional) == ["ns1 A"]


@pytest.mark.parametrize(("name", "rtype"), [("mail", "MX"), ("svc", "SRV")])
def test_addresses_of_targets_come_along_once(name, rtype):
    assert shown(look(MAIN, name, rtype).additional) == ["web A", "web AAAA"]


def test_services_bring_addresses_too():
    assert shown(look(MAIN, "service", "HTTPS").additional) == ["service A"]
    assert shown(look(MAIN, "alias-service", "HTTPS").additional) == ["web A", "web AAAA"]


def test_any_has_every_set_or_one():
    assert shown(look(MAIN, "web", "ANY").answer) == ["web A", "web AAAA"]
    assert shown(look(MAIN, "web", "ANY", every_set=False).answer) == ["web A"]
    assert shown(look(MAIN, "www", "ANY").answer) == ["www CNAME"]


# Aliases


def test_an_alias_is_followed():
    assert shown(look(MAIN, "www").answer) == ["www CNAME", "web A"]
    assert shown(look(MAIN, "www", "CNAME").answer) == ["www CNAME"]


def test_an_alias_without_data_at_its_end_allows_negative_caching():
    answer = look(MAIN, "www", "TXT")
    assert (answer.rcode, shown(answer.answer), shown(answer.authority)) == (
        NOERROR,
        ["www CNAME"],
        ["example.org. SOA"],
    )


def test_an_alias_to_nothing_is_nxdomain():
    answer = look(MAIN, "dangling")
    assert (answer.rcode, shown(answer.answer), shown(answer.authority)) == (
        NXDOMAIN,
        ["dangling CNAME"],
        ["example.org. SOA"],
    )


def test_an_alias_that_leads_out_keeps_the_letters_of_its_target():
    answer = look(MAIN, "out")
    assert answer.leads_to == names.from_text("Target.Other.Test.")
    assert shown(answer.answer) == ["out CNAME"]


def test_targets_behind_aliases_bring_addresses():
    answer = look(MAIN, "alias-mail", "MX")
    assert shown(answer.answer) == ["alias-mail CNAME", "mail MX", "mail MX", "mail MX"]
    assert shown(answer.additional) == ["web A", "web AAAA"]


def test_loops_end_with_each_alias_once():
    assert shown(look(MAIN, "loop1").answer) == ["loop1 CNAME", "loop2 CNAME"]
    assert shown(look(MAIN, "self").answer) == ["self CNAME"]


def test_long_chains_are_cut():
    text = APEX + "".join(f"c{n} CNAME c{n + 1}\n" for n in range(40)) + "c40 A 192.0.2.1\n"
    answer = look(zone_of(text), "c0")
    assert (answer.rcode, len(answer.answer)) == (NOERROR, MAX_ALIASES)


# Cuts


@pytest.mark.parametrize("name", ["sub", "x.sub", "ns.sub", "hidden.sub", "a.b.c.sub"])
@pytest.mark.parametrize("rtype", ["A", "NS", "SOA", "ANY"])
def test_names_at_and_below_a_cut_are_referred(name, rtype):
    answer = look(MAIN, name, rtype)
    assert (answer.rcode, answer.authoritative, answer.answer) == (NOERROR, False, ())
    assert shown(answer.authority) == ["sub NS", "sub NS"]
    assert shown(answer.additional) == ["ns.sub A"]


def test_ds_at_a_cut_belongs_to_the_zone_above():
    assert shown(look(MAIN, "signed", "DS").answer) == ["signed DS"]
    answer = look(MAIN, "sub", "DS")
    assert (answer.authoritative, shown(answer.authority)) == (True, ["example.org. SOA"])
    assert look(MAIN, "x.sub", "DS").authoritative is False


def test_an_alias_into_a_cut_is_authoritative_for_the_alias():
    answer = look(MAIN, "into-sub")
    assert (answer.authoritative, shown(answer.answer)) == (True, ["into-sub CNAME"])
    assert shown(answer.authority) == ["sub NS", "sub NS"]


# DNAME


def test_a_dname_redirects_what_is_below_it():
    answer = look(MAIN, "x.dn")
    assert shown(answer.answer) == ["dn DNAME", "x.dn CNAME", "x.target A"]
    assert shown(look(MAIN, "sub.x.dn").answer) == ["dn DNAME", "sub.x.dn CNAME", "sub.x.target A"]


def test_what_stands_below_a_dname_is_hidden():
    answer = look(MAIN, "hidden.dn")
    assert (answer.rcode, shown(answer.answer)) == (NXDOMAIN, ["dn DNAME", "hidden.dn CNAME"])


def test_the_name_of_a_dname_is_an_ordinary_name():
    assert shown(look(MAIN, "dn", "TXT").answer) == ["dn TXT"]
    assert shown(look(MAIN, "dn", "DNAME").answer) == ["dn DNAME"]
    assert look(MAIN, "dn").rcode == NOERROR


def test_the_made_cname_is_the_answer_to_cname():
    assert shown(look(MAIN, "x.dn", "CNAME").answer) == ["dn DNAME", "x.dn CNAME"]


def test_a_dname_that_leads_out():
    assert look(MAIN, "a.dout").leads_to == names.from_text("a.other.test.")


def test_dnames_that_lead_to_each_other_end():
    assert len(look(MAIN, "a.dloop").answer) == 4


def test_a_name_that_becomes_too_long_is_yxdomain():
    label = "x" * 63
    text = APEX + f"d DNAME {label}.{label}.{label}\n"
    answer = look(zone_of(text), f"{label}.d")
    assert (answer.rcode, shown(answer.answer)) == (YXDOMAIN, ["d DNAME"])


# Wildcards, with the queries of RFC 4592 section 2.2.1


@pytest.mark.parametrize(
    ("name", "rtype", "expected"),
    [
        ("host3", "MX", ["host3 MX"]),
        ("host3", "A", []),
        ("foo.bar", "TXT", ["foo.bar TXT"]),
        ("host1", "MX", []),
        ("sub.*", "MX", []),
        ("*", "MX", ["* MX"]),
        ("x.cn", "A", ["x.cn CNAME", "host1 A"]),
        ("x.cn", "CNAME", ["x.cn CNAME"]),
    ],
)
def test_what_wildcards_make(name, rtype, expected):
    answer = look(STARS, name, rtype)
    assert (answer.rcode, shown(answer.answer)) == (NOERROR, expected)


@pytest.mark.parametrize(
    ("name", "rtype"),
    [("_telnet._tcp.host1", "SRV"), ("ghost.*", "MX"), ("a.host1", "A")],
)
def test_what_they_do_not(name, rtype):
    assert look(STARS, name, rtype).rcode == NXDOMAIN


def test_wildcards_do_not_reach_below_a_cut():
    answer = look(STARS, "host.subdel")
    assert (answer.authoritative, shown(answer.authority)) == (False, ["subdel NS", "subdel NS"])


def test_a_wildcard_alias_that_leads_out():
    assert look(STARS, "x.out").leads_to == names.from_text("host.test.")


def test_the_root_may_be_a_zone():
    zone = build_zone(names.ROOT, parse_file("$TTL 5\n. SOA a. b. 1 2 3 4 5\n. NS a.\ntest. A 192.0.2.1\n", names.ROOT))
    assert shown(find(zone, names.from_text("test."), 1).answer) == ["test. A"]
    assert find(zone, names.from_text("x.test."), 1).rcode == NXDOMAIN
    assert find(zone, names.ROOT, 6).answer


@pytest.mark.parametrize("data", [b"", b"\0\1", b"\0\1\xc0\x0c", b"\0\1\x05ab"])
def test_services_from_elsewhere_that_are_not_as_they_should_be_bring_nothing(data):
    records = [*parse_file(APEX, ORIGIN), Record(names.from_text("bad.example.org."), 65, 5, data)]
    assert look(build_zone(ORIGIN, records), "bad", "HTTPS").additional == ()
