# SPDX-License-Identifier: Apache-2.0
"""The same zone files at NSD and Knot DNS: the same records, the same answers. Skipped for one that isn't installed.

Three kinds of zones: one written by hand with what RFC 1034, 4592 and 6672 are about, one with all that a master file
may look like, compared by transfer, and zones made at random.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from support.random_zones import RandomZone
from support.zone_peers import PEERS, own_corefile, peer

ZONES = Path(__file__).parents[1] / "data" / "zones"
BY_HAND = "example.org"
SYNTAX = "syntax.test"
RANDOM_ZONES = 24
QUESTIONS_PER_ZONE = 40
LONG_CHAIN = 8

NAMES_TEXT = (
    "@ www web mail ext long1 dangling nothere a.web wild foo.wild a.b.wild host.wild a.host.wild *.wild sub.*.wild "
    "x.*.wild x.cn x.cnout cn ent deep.ent no.ent x.deep.ent ent2 star.ent2 q.star.ent2 sub x.sub ns.sub hidden.sub ds "
    "x.ds into dn x.dn y.x.dn no.dn a.dnout target _sip._udp _udp txt caa unk esc\\.aped sp\\032ace rel.other other "
    "paren WWW.ExAmPlE.oRg."
)
NAMES = NAMES_TEXT.split()
TYPES = ("A", "AAAA", "TXT", "NS", "SOA", "MX", "SRV", "CNAME", "DS", "DNAME", "CAA", "TYPE65534")
RANDOM_TYPES = ("A", "TXT", "CNAME", "NS", "DS", "MX")


@dataclass
class Served:
    """The zones as files in ``folder``; ``random`` are those made at random. ``port`` is ours."""

    folder: Path
    zones: list[str]
    random: list[RandomZone]
    port: int


@pytest.fixture(scope="module")
def served(start_server, tmp_path_factory) -> Served:
    folder = tmp_path_factory.mktemp("zones")
    for path in ZONES.iterdir():
        shutil.copy(path, folder)
    made = [RandomZone(f"r{seed}.test.", Random(seed)) for seed in range(RANDOM_ZONES)]
    for zone in made:
        (folder / zone.origin.rstrip(".")).write_text(zone.text())
    zones = [BY_HAND, SYNTAX, *(zone.origin.rstrip(".") for zone in made)]
    corefile = folder / "Corefile"
    corefile.write_text(own_corefile(folder, zones))
    server = start_server("-conf", str(corefile), first_name=f"{BY_HAND}.")
    return Served(folder, zones, made, server.port)


@pytest.fixture(scope="module", params=PEERS)
def peer_port(request, served: Served) -> Iterator[int]:
    with peer(request.param, served.folder, served.zones) as port:
        yield port


def ask(port: int, name: str, rtype: str) -> dns.message.Message:
    query = dns.message.make_query(name, rtype, use_edns=0, payload=4096)
    return dns.query.udp(query, "127.0.0.1", port=port, timeout=2, one_rr_per_rrset=True)


def lines(section: list[dns.rrset.RRset], *, ttl: bool = True) -> list[str]:
    """Records in a form for which letters of names don't matter: servers compress, and so copy those of the query.

    Each is there once; others repeat those of aliases that lead to each other.
    """
    return sorted(
        {
            f"{rrset.name} {rrset.ttl if ttl else ''} {dns.rdatatype.to_text(rrset.rdtype)} "
            f"{rrset[0].to_digestable(dns.name.root).hex()} {rrset[0]}".lower()
            for rrset in section
        }
    )


def normal_form(message: dns.message.Message) -> dict[str, object]:
    """What has to agree.

    The NS records of the zone beside an answer are a matter of taste, as are all addresses but those that a referral
    must have (RFC 9471), and the TTL of a SOA record that says that there is nothing.
    """
    is_referral = not message.flags & dns.flags.AA
    cut = next((f".{rrset.name}".lower() for rrset in message.authority if rrset.rdtype == dns.rdatatype.NS), "")
    has_no_data = any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)
    return {
        "rcode": dns.rcode.to_text(message.rcode()),
        "authoritative": not is_referral,
        "answer": lines(message.answer),
        "authority": lines(message.authority, ttl=False) if is_referral or has_no_data else [],
        "glue": [line for line in lines(message.additional) if is_referral and line.split(" ")[0].endswith(cut)],
    }


def difference(own_port: int, peer_port: int, name: str, rtype: str) -> list[str]:
    """What a reply of ours has that the other's hasn't, by parts; empty if they agree.

    How long a chain of aliases may be is a matter of taste. A DNAME record that leads below itself makes endless ones.
    """
    messages = [ask(port, name, rtype) for port in (own_port, peer_port)]
    if any(sum(rrset.rdtype == dns.rdatatype.CNAME for rrset in each.answer) > LONG_CHAIN for each in messages):
        return []
    ours, theirs = map(normal_form, messages)
    return [f"{name} {rtype} {part}: {ours[part]} but {theirs[part]}" for part in ours if ours[part] != theirs[part]]


@pytest.mark.parametrize("name", NAMES)
def test_the_zone_made_by_hand(served: Served, peer_port: int, name: str) -> None:
    absolute = name if name.endswith(".") else f"{name}.{BY_HAND}.".removeprefix("@.")
    assert [line for rtype in TYPES for line in difference(served.port, peer_port, absolute, rtype)] == []


def test_every_way_to_write_a_record(served: Served, peer_port: int) -> None:
    ours, theirs = (transferred(port, SYNTAX) for port in (served.port, peer_port))
    assert ours == theirs
    assert len(ours) > 50


@pytest.mark.parametrize("number", range(RANDOM_ZONES))
def test_zones_made_at_random(served: Served, peer_port: int, number: int) -> None:
    zone = served.random[number]
    own, other = (transferred(port, zone.origin) for port in (served.port, peer_port))
    assert own == other
    found = [
        line
        for name in zone.questions(QUESTIONS_PER_ZONE)
        for rtype in RANDOM_TYPES
        for line in difference(served.port, peer_port, name, rtype)
    ]
    assert found == [], zone.text()


def transferred(port: int, zone: str) -> list[str]:
    """All records of a zone, one a line, in the order of their text."""
    found: set[str] = set()
    for message in dns.query.xfr("127.0.0.1", zone, port=port, timeout=5, lifetime=10, relativize=False):
        found.update(
            lines([dns.rrset.from_rdata(rrset.name, rrset.ttl, data) for rrset in message.answer for data in rrset])
        )
    return sorted(found)
