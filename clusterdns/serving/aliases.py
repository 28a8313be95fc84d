# SPDX-License-Identifier: Apache-2.0
"""CNAME records whose target somebody else has to be asked for."""

from __future__ import annotations

from clusterdns.dns.types import FLAG_TC, NOERROR, SERVFAIL
from clusterdns.dns.wire import Record
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections


def join(plugin: str, chain: tuple[Record, ...], inner: Query, found: Reply) -> Reply:
    """The reply of ``plugin`` with a chain of CNAME records, and what others found for its end, which ``inner`` asked.

    Their rcode is that of the whole (RFC 6604 section 3). Where nobody was there to ask, the chain stands alone, as
    with an authoritative server that doesn't have the target's zone.
    """
    if not found.plugin or found.dropped:
        return Reply.authoritative(plugin, SERVFAIL if found.dropped else NOERROR, chain)
    records = found.records(inner)
    rest = Sections(records.answer, () if records.answer else records.authority)
    reply = Reply.authoritative(plugin, found.rcode, (*chain, *rest.answer), rest.authority)
    reply.reusable = found.reusable
    reply.transient = found.transient
    reply.flags |= found.flags & FLAG_TC
    reply.options = found.options
    reply.error = found.error
    return reply
