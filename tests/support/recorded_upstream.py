# SPDX-License-Identifier: Apache-2.0
"""The DNS server that stood behind CoreDNS while its answers in tests/data/golden/directives.json.gz were recorded.

The first label of a name says what comes back, with a TTL of 300 seconds unless said otherwise:

a, multi, both, aaaa: addresses · txt, mx, srv: that type · cname, chain3, dangling: CNAME records to a.REST, three of
them, and one to a name that isn't there · nx, nxnosoa, nodata, empty: denials with a SOA record and without ·
servfail, refused, notimp, formerr: that rcode · ttlN: an address with the TTL N · big: 40 addresses, which don't fit
512 octets · trunc: TC over UDP, three addresses over TCP · ad, noaa: an address with AD, and without AA · upper: the
owner in capitals · wrongq: the answer to another question · count: an address that counts the queries for the name ·
opt: an extended error in the OPT record · drop: no answer.

PTR queries for other names have one answer; A queries for names that aren't here find 192.0.2.77, other types no data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from support.upstream import Upstream

TTL_SECONDS = 300
COUNTER_TTL_SECONDS = 30
PAYLOAD_BYTES = 1232

_RCODES = {"servfail", "refused", "notimp", "formerr"}
_ADDRESSES = {
    "a": ["192.0.2.1"],
    "multi": [f"192.0.2.{number}" for number in range(1, 6)],
    "both": ["192.0.2.12"],
    "aaaa": [],
    "trunc": [f"192.0.2.{number}" for number in range(1, 4)],
    "big": [f"198.51.100.{number}" for number in range(1, 41)],
    "ad": ["192.0.2.9"],
    "noaa": ["192.0.2.9"],
    "upper": ["192.0.2.10"],
    "opt": ["192.0.2.11"],
}
_RECORDS = {
    ("aaaa", "AAAA"): ["2001:db8::1"],
    ("both", "AAAA"): ["2001:db8::1"],
    ("txt", "TXT"): ['"hello" "world"'],
    ("mx", "MX"): ["10 mail.example.net.", "20 mail2.example.net."],
    ("srv", "SRV"): ["1 2 80 a.example.net."],
}


class RecordedUpstream(Upstream):
    """The server, in the running event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: Counter[dns.name.Name] = Counter()

    def handle(self, wire: bytes, tcp: bool, peer: tuple[str, int], send: Callable[[bytes], None]) -> frozenset[str]:
        """Answer a query through ``send``; the first label of its name."""
        query = dns.message.from_wire(wire)
        word = query.question[0].name.labels[0].decode().lower()
        if word != "drop":
            send(_encode(query, self._reply(query, word, tcp), tcp))
        return frozenset([word])

    def _reply(self, query: dns.message.Message, word: str, tcp: bool) -> dns.message.Message:
        name, kind = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
        reply = _empty_reply(query)
        if word in _RCODES:
            reply.set_rcode(dns.rcode.from_text(word))
        elif word in ("nx", "nxnosoa"):
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority = [_soa(name)] if word == "nx" else []
        elif word == "wrongq":
            other = dns.name.from_text("other.example.")
            reply.question = [dns.rrset.RRset(other, query.question[0].rdclass, query.question[0].rdtype)]
            reply.answer = [_records(other, "A", ["203.0.113.66"])]
        elif word != "empty":
            reply.answer = [] if word == "nodata" else _aliases(name, word, kind) or self._data(name, word, kind)
            if not reply.answer:
                reply.authority = [_soa(name)]
            elif kind == "A":
                _mark(reply, query, word, tcp)
        return reply

    def _data(self, name: dns.name.Name, word: str, kind: str) -> list[dns.rrset.RRset]:
        if kind == "PTR":
            return [_records(name, "PTR", ["host.example.net."])]
        if kind != "A":
            values = _RECORDS.get((word, kind))
            return [_records(name, kind, values)] if values else []
        if word == "count":
            self._asked[name] += 1
            return [_records(name, "A", [f"192.0.2.{self._asked[name] % 250}"], COUNTER_TTL_SECONDS)]
        if word.startswith("ttl"):
            return [_records(name, "A", ["192.0.2.8"], int(word.removeprefix("ttl")))]
        addresses = _ADDRESSES.get(word, ["192.0.2.77"])
        owner = dns.name.from_text(name.to_text().upper()) if word == "upper" else name
        return [_records(owner, "A", addresses)] if addresses else []


def _aliases(name: dns.name.Name, word: str, kind: str) -> list[dns.rrset.RRset]:
    """CNAME records from the name on, and the address at their end if it was asked for; none for other words."""
    if word == "dangling":
        return [_records(name, "CNAME", ["gone.example.net."])]
    steps = {"cname": ["a"], "chain3": ["c1", "c2", "a"]}.get(word)
    if steps is None:
        return []
    chain = [name, *(dns.name.from_text(step, name.parent()) for step in steps)]
    ttl_seconds = TTL_SECONDS if word == "cname" else 100
    aliases = [_records(owner, "CNAME", [target.to_text()], ttl_seconds) for owner, target in pairwise(chain)]
    return [*aliases, _records(chain[-1], "A", ["192.0.2.1"])] if kind == "A" else aliases


def _mark(reply: dns.message.Message, query: dns.message.Message, word: str, tcp: bool) -> None:
    """What is special about the answer to an A query beside its records."""
    if word == "trunc" and not tcp:
        reply.flags |= dns.flags.TC
        reply.answer = []
    elif word == "ad":
        reply.flags |= dns.flags.AD
    elif word == "noaa":
        reply.flags &= ~dns.flags.AA
    elif word == "opt" and query.edns >= 0:
        reply.use_edns(
            0,
            0,
            PAYLOAD_BYTES,
            options=[dns.edns.EDEOption(dns.edns.EDECode.NO_REACHABLE_AUTHORITY, "no reachable authority")],
        )


def _empty_reply(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA | dns.flags.AA
    return reply


def _encode(query: dns.message.Message, reply: dns.message.Message, tcp: bool) -> bytes:
    """The octets of the reply; with TC and no records where it's too long for the client."""
    limit_bytes = 65535 if tcp else max(512, query.payload if query.edns >= 0 else 0)
    wire = reply.to_wire(max_size=65535)
    if len(wire) <= limit_bytes:
        return wire
    short = _empty_reply(query)
    short.flags |= dns.flags.TC
    return short.to_wire()


def _records(owner: dns.name.Name, kind: str, values: Iterable[str], ttl_seconds: int = TTL_SECONDS) -> dns.rrset.RRset:
    return dns.rrset.from_text(owner, ttl_seconds, "IN", kind, *values)


def _soa(name: dns.name.Name) -> dns.rrset.RRset:
    zone = name.parent() if len(name.labels) > 2 else name
    return _records(zone, "SOA", ["ns.up.test. admin.up.test. 7 3600 600 86400 60"])
