# SPDX-License-Identifier: Apache-2.0
"""minimal - leaves out of replies what a client can do without.

## Description

Positive replies lose their authority and additional sections, which makes them smaller. Negative replies keep theirs
(resolvers need the SOA record in them), and so do delegations and errors.

## Syntax

~~~ txt
minimal
~~~

## Examples

~~~ corefile
example.org {
    minimal
    whoami
}
~~~
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns.types import NOERROR, NOTIFY
from clusterdns.dns.wire import skip_records
from clusterdns.fastpath.answer import CompiledAnswer, counts
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.response import ResponseType, response_type
from clusterdns.serving.trace import Note

_REMEMBERED_ANSWERS = 4096


class Minimal(Plugin):
    """The directive."""

    name = "minimal"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> None:
        """No options."""
        reader.takes_nothing()

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        yield Note("takes the authority and additional sections away where there is an answer")

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, without what isn't needed."""
        return after(self.next(query), lambda reply: _minimized(query, reply))


def _minimized(query: Query, reply: Reply) -> Reply:
    compiled = reply.compiled
    if compiled is not None:
        if compiled.counts[2:] == b"\0\0\0\0" or reply.rcode != NOERROR or query.opcode == NOTIFY:
            return reply
        if compiled.counts[:2] != b"\0\0":
            reply.compiled = _answer_alone(compiled)
            return reply
    elif reply.rcode != NOERROR:
        return reply
    sections = reply.records(query)
    if (sections.authority or sections.additional) and (
        response_type(query, reply, time.time()) is ResponseType.NOERROR
    ):
        reply.set_records(Sections(answer=sections.answer))
    return reply


@lru_cache(maxsize=_REMEMBERED_ANSWERS)
def _answer_alone(compiled: CompiledAnswer) -> CompiledAnswer:
    """The same answer without the sections after it. Names only point backwards, so the octets can be cut."""
    number = compiled.counts[0] << 8 | compiled.counts[1]
    return CompiledAnswer(
        compiled.rcode,
        counts(number),
        compiled.body[: skip_records(compiled.body, number)],
        rotating=compiled.rotating,
        record_bytes=compiled.record_bytes,
        rotating_start=compiled.rotating_start,
        flags=compiled.flags,
    )
