# SPDX-License-Identifier: Apache-2.0
"""header - sets and clears flags in the headers of queries and replies.

## Description

What is done to queries shows to the directives behind this one, such as *forward*, and to other servers that they ask;
the client's own query stays as it is. What is done to replies is done last of all, to every reply of the server block:
also to one from *cache*, to a refusal and to a failure.

## Syntax

~~~ txt
header {
    SELECTOR ACTION FLAG...
}
~~~

There is at least one such line; all of them are carried out in their order.

* **SELECTOR** is `query` or `response`.
* **ACTION** is `set` or `clear`.
* **FLAG** is `aa` (authoritative answer), `ra` (recursion available) or `rd` (recursion desired).

The letters' case doesn't matter.

## Examples

Replies that a client takes for those of a recursive server:

~~~ corefile
. {
    header {
        response set ra
        response clear aa
    }
    whoami
}
~~~

Other servers are asked for recursion even if the client doesn't ask for it:

~~~ corefile
. {
    header {
        query set rd
    }
    whoami
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from clusterdns.config.directive import DirectiveReader, Line, Token
from clusterdns.dns.types import FLAG_AA, FLAG_RA, FLAG_RD
from clusterdns.errors import ConfigError
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

_FLAGS: Final = {"aa": FLAG_AA, "ra": FLAG_RA, "rd": FLAG_RD}

Change: TypeAlias = tuple[int, int]
"""Header bits to set and to clear; a bit is in one of them at most."""


class Options(msgspec.Struct, frozen=True):
    """The sum of all lines."""

    query: Change = (0, 0)
    response: Change = (0, 0)


class Header(Plugin):
    """The directive."""

    name = "header"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """The lines of all occurrences; of two about the same flag the last counts."""
        changes: dict[str, Change] = {"query": (0, 0), "response": (0, 0)}
        for line in reader.lines:
            with reader.collecting():
                line.expect(0)
                if not line.block:
                    raise line.wrong_count(line.closing)
                for option in line.block:
                    with reader.collecting():
                        _read(option, changes)
        return Options(changes["query"], changes["response"])

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._query_set, self._query_clear = options.query
        self._reply_set, self._reply_clear = options.response

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        for what, set_bits, clear_bits in (
            ("query", self._query_set, self._query_clear),
            ("reply", self._reply_set, self._reply_clear),
        ):
            changes = [f"sets {name}" for name, bit in _FLAGS.items() if set_bits & bit]
            changes += [f"clears {name}" for name, bit in _FLAGS.items() if clear_bits & bit]
            if changes:
                yield Note(f"{' and '.join(changes)} in the {what}")

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain to the query with its flags changed."""
        flags = (query.flags | self._query_set) & ~self._query_clear
        if flags != query.flags:
            query = query.derive()
            query.flags = flags
        return self.next(query)

    def edit(self, query: Query, reply: Reply) -> Reply:
        """Change the flags of a reply that is about to be written."""
        reply.flags = (reply.flags | self._reply_set) & ~self._reply_clear
        reply.cleared = (reply.cleared | self._reply_clear) & ~self._reply_set
        return reply


def _read(option: Line, changes: dict[str, Change]) -> None:
    selector, *words = (token.text.lower() for token in (option.name, *option.args))
    if selector not in changes:
        raise _fault(option.name, f"invalid selector={option.name.text} should be query or response")
    if not words:
        raise _fault(option.name, "no flag action provided")
    if len(words) < 2:
        raise _fault(option.last, "invalid length for flags, at least one should be provided")
    action, *flags = words
    if action not in ("set", "clear"):
        raise _fault(option.args[0], f"unknown flag action={option.words[0]}, should be set or clear")
    option.no_block()
    bits = 0
    for token, flag in zip(option.args[1:], flags, strict=True):
        if flag not in _FLAGS:
            raise _fault(token, f"unknown/unsupported flag={token.text}")
        bits |= _FLAGS[flag]
    set_bits, clear_bits = changes[selector]
    if action == "set":
        changes[selector] = set_bits | bits, clear_bits & ~bits
    else:
        changes[selector] = set_bits & ~bits, clear_bits | bits


def _fault(token: Token, message: str) -> ConfigError:
    return token.error(f"setting up rule: {message}", label=ConfigError.NO_POSITION)
