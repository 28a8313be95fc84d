# SPDX-License-Identifier: Apache-2.0
r"""rewrite - changes queries before the other directives see them, and their replies on the way back.

## Description

The client never sees that its query was changed: the reply has the question that it asked. Rules are tried in the order
of the Corefile. The first that is for a query ends the list, unless it is written with `continue`; what was changed is
undone in the opposite order.

## Syntax

~~~ txt
rewrite [continue|stop] name [exact|prefix|suffix|substring|regex] FROM TO [ANSWER...]
rewrite [continue|stop] type FROM TO
rewrite [continue|stop] class FROM TO
rewrite [continue|stop] ttl [exact|prefix|suffix|substring|regex] NAME TTL
rewrite [continue|stop] rcode [exact|prefix|suffix|substring|regex] NAME FROM TO
rewrite [continue|stop] cname [exact|prefix|suffix|substring|regex] FROM TO
rewrite [continue|stop] edns0 local set|append|replace CODE DATA [revert]
rewrite [continue|stop] edns0 local unset CODE
rewrite [continue|stop] edns0 nsid set|append|replace|unset [revert]
rewrite [continue|stop] edns0 subnet set|append|replace V4BITS V6BITS [revert]
rewrite [continue|stop] edns0 subnet unset
~~~

All words, or all after `continue` or `stop`, may stand in a block instead, on one line or several.

* `name` changes the name of the query: a whole name (`exact`, which is meant where nothing else is said), the beginning
  of one, its end, any part of it, or what a regular expression in RE2 syntax matches; then `{1}`, `{2}` … in **TO**
  stand for its groups, and the whole name becomes **TO**. **FROM** and **TO** are completed with a dot at their end
  (except a regular expression), also in `prefix` and `substring`. Names are compared in lower case. A name that is not
  possible gives SERVFAIL.
* **ANSWER** says what becomes of names in the reply, `answer` once or several times:
    * `answer auto`: the new name, where it is the owner of a record, or of records below it, or the target in SRV, MX,
      CNAME, DNAME, NS, PTR, SOA and NAPTR records, is changed back. With `suffix` this goes for all names that end in
      **TO**. For `exact` it is always done.
    * `answer name REGEX TO`: owner names that match become **TO**.
    * `answer value REGEX TO`: targets that match become **TO**.
* `type` and `class` change those of the query: `rewrite type ANY HINFO`.
* `ttl` sets the TTL of all records in replies to queries for a name: `60`, at least and at most so many seconds
  (`30-300`), at least (`30-`), or at most (`-300`).
* `rcode` changes the code of replies to queries for a name; by mnemonic or number.
* `cname` puts another target in the place of one that CNAME records in a reply have, and looks its records up. It is
  for all queries, so it belongs to the end of the list, or is written with `continue`.
* `edns0` puts an option into the query: with `set` in the place of one that is there or beside the others, with
  `append` only if there is none, with `replace` only if there is one; `unset` takes it away. **CODE** is a number,
  **DATA** a text, octets as `0x` and hexadecimal digits, or one of `{qname}`, `{qtype}`, `{client_ip}`,
  `{client_port}`, `{protocol}`, `{server_ip}`, `{server_port}` and `{LABEL}`, which is metadata. `subnet` is the
  client's address with so many of its bits (RFC 7871). An option of `local` shows in the reply to a client that uses
  EDNS, unless the rule says `revert`.

## Examples

An old name for a Service, in its new namespace:

~~~ corefile
cluster.local {
    rewrite name exact db.old.svc.cluster.local db.new.svc.cluster.local
    kubernetes {
        manifests zones/manifests
    }
}
~~~

A second domain for the cluster, also in the targets of SRV records:

~~~ corefile
. {
    rewrite name suffix .example.org .svc.cluster.local answer auto
    kubernetes cluster.local {
        manifests zones/manifests
    }
}
~~~

With a regular expression, in a block:

~~~ corefile
example.org {
    rewrite stop {
        name regex (.*)-(us-west-1)\.example\.org {1}.service.{2}.consul
        answer name (.*)\.service\.(us-west-1)\.consul {1}-{2}.example.org
    }
    whoami
}
~~~

Short TTLs, and the client's network for the servers behind:

~~~ corefile
example.org {
    rewrite continue ttl suffix example.org -60
    rewrite continue edns0 subnet set 24 56
    rewrite edns0 local set 0xffee {client_ip} revert
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.edns import option_list
from clusterdns.dns.types import ANY, CNAME, FLAG_TC, class_text, type_text
from clusterdns.dns.wire import Record
from clusterdns.errors import WireError
from clusterdns.plugins.rewrite.options import Options, read_options
from clusterdns.plugins.rewrite.restoring import Rcode, RecordStep, Step, Target
from clusterdns.plugins.rewrite.rules import Draft, echoed_options, local_codes
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result, then
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply, Sections
from clusterdns.serving.trace import Note


class Rewrite(Plugin):
    """All rules of a server block."""

    name = "rewrite"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """See the manual page."""
        return read_options(reader)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._rules = options.rules
        self._echoed_codes = local_codes(options.rules)

    def handle(self, query: Query) -> Result:
        """The reply to the query as the rules make it."""
        draft = Draft(query)
        for rule in self._rules:
            if rule.apply(draft) and rule.stop:
                break
        try:
            inner = draft.query()
        except WireError as error:
            return Reply.failure(f"invalid name after rewrite: {draft.name}: {error}", plugin=self.name)
        result = self.next(inner)
        if inner is query and not draft.steps and not draft.by_client and not self._echoed_codes:
            return result
        return then(result, lambda reply: self._restore(draft, inner, reply))

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        draft = Draft(query)
        applied = False
        for number, rule in enumerate(self._rules, 1):
            before = draft.name, draft.qtype, draft.qclass, draft.options
            if not rule.apply(draft):
                continue
            applied = True
            after = draft.name, draft.qtype, draft.qclass, draft.options
            changes = [
                f"{what} {old} to {new}"
                for what, old, new in (
                    ("the name", before[0], after[0]),
                    ("the type", type_text(before[1]), type_text(after[1])),
                    ("the class", class_text(before[2]), class_text(after[2])),
                )
                if old != new
            ]
            changes += ["the EDNS options"] if before[3] != after[3] else []
            what = f"changes {' and '.join(changes)}" if changes else "applies to the reply"
            yield Note(f"rule {number} {what}{', and ends the list' if rule.stop else ''}")
            if rule.stop:
                break
        if not applied:
            yield Note("passed on: no rule is for this query")

    def _restore(self, draft: Draft, inner: Query, reply: Reply) -> Result:
        """Undo what the client must not see, and do to the reply what the rules say."""
        if reply.dropped:
            return reply
        query = draft.client_query
        if draft.by_client:
            reply.reusable = False
        present = {code for code, _ in option_list(reply.options)} if reply.options else set()
        reply.options += echoed_options(draft.echoed, self._echoed_codes - present)
        if inner.name != query.name:  # compiled answers point into the question that they were made for
            reply.set_records(reply.records(inner))
        return self._apply(list(draft.steps), inner, reply)

    def _apply(self, steps: list[Step], inner: Query, reply: Reply) -> Result:
        try:
            while steps:
                step = steps.pop()
                if isinstance(step, Rcode):
                    reply.rcode = step.new if reply.rcode == step.old else reply.rcode
                elif isinstance(step, Target):
                    records = reply.records(inner).answer
                    for position, record in enumerate(records):
                        target = step.find(record)
                        if target is not None:
                            return self._follow(records[: position + 1], target, inner, reply, steps)
                else:
                    _change_records(step, inner, reply)
        except WireError as error:
            return Reply.failure(f"invalid name in the reply after rewrite: {error}", plugin=self.name)
        return reply

    def _follow(
        self, answer: tuple[Record, ...], target: bytes, inner: Query, reply: Reply, steps: list[Step]
    ) -> Result:
        """Let the last CNAME of ``answer`` lead to ``target``, and put what that has behind it."""
        *chain, last = [record for record in answer if record.rtype == CNAME]
        chain.append(Record(last.name, CNAME, last.ttl, target, last.rclass))
        if inner.qtype in (CNAME, ANY):  # the alias itself is the answer (RFC 1034 section 3.6.2)
            before = reply.records(inner)
            reply.set_records(Sections(tuple(chain), before.authority, before.additional))
            return self._apply(steps, inner, reply)
        asked = inner.derive(name=target)

        def join(found: Reply) -> Result:
            if found.dropped:
                return Reply.failure(f"no reply about {names.to_text(target)}", plugin=self.name)
            sections = found.records(asked) if found.plugin else Sections()
            authority = () if sections.answer else sections.authority
            reply.set_records(Sections((*chain, *sections.answer), authority))
            if found.plugin:  # the rcode is that of the last name of the chain (RFC 6604 section 3)
                reply.rcode = found.rcode
            reply.flags = reply.flags & ~FLAG_TC | found.flags & FLAG_TC
            reply.error = found.error
            reply.reusable = reply.reusable and found.reusable
            reply.transient = reply.transient or found.transient
            return self._apply(steps, inner, reply)

        return then(self.setup.resolve(inner, target, inner.qtype), join)


def _change_records(step: RecordStep, inner: Query, reply: Reply) -> None:
    before = reply.records(inner)
    after = Sections(
        tuple(map(step.apply, before.answer)),
        tuple(map(step.apply, before.authority)),
        tuple(map(step.apply, before.additional)),
    )
    if after != before:
        reply.set_records(after)
    if reply.stream is not None:
        reply.stream = _changed(step, reply.stream)


def _changed(step: RecordStep, records: Iterable[Record]) -> Iterator[Record]:
    return map(step.apply, records)
