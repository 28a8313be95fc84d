# SPDX-License-Identifier: Apache-2.0
"""Recorded queries as octets, and replies in a form that can be compared.

A reply becomes rcode, flags, opcode, question, its sections as sorted zone-file lines, and EDNS. The serial of a SOA
record is the time of the last change, so it reads SERIAL. Of a truncated reply only the fact is kept: which records fit
is the choice of the server.
"""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Form = dict[str, Any]


def encode_query(query: Form) -> bytes:
    """The recorded query: ``name``, ``type``, and maybe ``klass``, ``opcode``, ``rd``, ``cd``, ``ad``, ``edns``
    (UDP size), ``version``, ``do``.
    """
    message = dns.message.make_query(query["name"], query["type"], query.get("klass", "IN"), flags=0)
    message.id = 0x1234
    message.set_opcode(dns.opcode.from_text(query.get("opcode", "QUERY")))
    for bit, flag, default in (("rd", dns.flags.RD, True), ("cd", dns.flags.CD, False), ("ad", dns.flags.AD, False)):
        if query.get(bit, default):
            message.flags |= flag
    if "edns" in query or "version" in query or query.get("do"):
        ednsflags = dns.flags.DO if query.get("do") else 0
        message.use_edns(query.get("version", 0), ednsflags, query.get("edns", 1232))
    return message.to_wire()


def normal_form(wire: bytes) -> Form:
    """A reply, to be compared with ``recorded_form``."""
    message = dns.message.from_wire(wire, one_rr_per_rrset=True, ignore_trailing=True)
    form: Form = {
        "rcode": dns.rcode.to_text(message.rcode()),
        "flags": dns.flags.to_text(message.flags),
        "opcode": dns.opcode.to_text(message.opcode()),
        "question": [
            f"{rrset.name} {dns.rdataclass.to_text(rrset.rdclass)} {dns.rdatatype.to_text(rrset.rdtype)}"
            for rrset in message.question
        ],
    }
    truncated = bool(message.flags & dns.flags.TC)
    for section in ("answer", "authority", "additional"):
        records = getattr(message, section)
        if records and not (truncated and section != "authority"):
            form[section] = sorted(_line(rrset) for rrset in records)
    if message.edns >= 0:
        edns: Form = {
            "version": message.edns,
            "size": int(message.payload),
            "do": bool(message.ednsflags & dns.flags.DO),
        }
        if message.options:
            edns["options"] = [option.to_text() for option in message.options]
        form["edns"] = edns
    return form


def recorded_form(recorded: Form) -> Form:
    """A recorded reply without what is only informative."""
    return {part: value for part, value in recorded.items() if part not in ("size", "answer_count_truncated")}


def _line(rrset: dns.rrset.RRset) -> str:
    data = rrset[0].to_text()
    if rrset.rdtype == dns.rdatatype.SOA:
        words = data.split()
        data = " ".join([*words[:2], "SERIAL", *words[3:]])
    kind = dns.rdatatype.to_text(rrset.rdtype)
    return f"{rrset.name} {rrset.ttl} {dns.rdataclass.to_text(rrset.rdclass)} {kind} {data}"
