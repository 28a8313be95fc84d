# SPDX-License-Identifier: Apache-2.0
"""log - logs queries and their replies, one line each.

## Description

~~~ txt
[INFO] 10.244.1.7:50759 - 29008 "A IN example.org. udp 41 false 4096" NOERROR qr,rd,ra 68 0.037990251s
~~~

Without arguments every query of the server block is logged in this format. A line costs time: a busy server answers
several times as many queries without *log*.

It may be repeated. The first line with a name that the query's name is in decides: what its class leaves out is not
logged, even if a later line would. Control characters and escape sequences are escaped in every field.

## Syntax

~~~ txt
log [NAME...] [FORMAT] {
    class CLASS...
}
~~~

* **NAME** is a domain name; names in it are logged. By default all are.
* **FORMAT** is the text of a line with placeholders in braces; it is the last of two or more arguments if there is a
  brace in it. `{common}`, the default, and `{combined}`, which adds the opcode, are formats by themselves.
* `class` logs only replies of some classes, and may be repeated:
    * `success`: answers and delegations
    * `denial`: names that don't exist, and names without records of the type
    * `error`: SERVFAIL, NOTIMP, REFUSED and everything that isn't one of the other two
    * `all`: the default

The placeholders:

* `{type}`, `{class}`, `{name}`: of the question; the name in lower case
* `{proto}`: `udp` or `tcp`
* `{remote}`, `{port}`: the client's address (IPv6 in brackets) and port; `{local}`: the server's address
* `{size}`: octets of the query; `{rsize}`: octets of the reply without name compression and OPT record
* `{rcode}`: of the reply; `{>rflags}`: its flags: `qr,aa,tc,rd,ra,z,ad,cd`
* `{duration}`: how long the reply took, in seconds
* `{>id}`, `{>opcode}`, `{>do}`, `{>bufsize}`: of the query: ID, opcode, DO bit, and how many octets the reply may have
* `{/LABEL}`: what `metadata` knows of the query under that label

What there is no value for is `-`; other text in braces stays as it is.

## Examples

~~~ corefile
. {
    log
    whoami
}
~~~

Only what goes wrong, and all about one zone in a format of its own:

~~~ corefile
. {
    log example.org "{remote} {type} {name} -> {rcode}"
    log . {combined} {
        class denial error
    }
    whoami
}
~~~
"""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.config.keys import expand_zones
from clusterdns.dns import names
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.errors import ConfigError
from clusterdns.fastpath.answer import CompiledAnswer
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.metadata import NO_METADATA
from clusterdns.serving.placeholders import COMBINED, COMMON, Event, compile_format
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.response import ResponseClass, response_class, response_type

_CLASSES: Final = {
    "all": frozenset(ResponseClass),
    "success": frozenset({ResponseClass.SUCCESS}),
    "denial": frozenset({ResponseClass.DENIAL}),
    "error": frozenset({ResponseClass.ERROR}),
}
_RECORD_FIXED_BYTES: Final = 10
_REMEMBERED_ANSWERS: Final = 4096


class Rule(msgspec.Struct, frozen=True):
    """One ``log`` line. ``scopes`` are lower-case names in wire form; ``format`` is complete."""

    scopes: tuple[bytes, ...]
    format: str
    classes: frozenset[ResponseClass]


class Options(msgspec.Struct, frozen=True):
    """``rules``: in file order."""

    rules: tuple[Rule, ...]


class Log(Plugin):
    """The directive. It has to see every query, so replies of its block are not reused."""

    name = "log"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """One rule a line."""
        rules = []
        for line in reader.lines:
            classes: set[ResponseClass] = set()

            def read_classes(option: Line, classes: set[ResponseClass] = classes) -> None:
                option.no_block()
                if not option.args:
                    raise option.wrong_count()
                for token in option.args:
                    found = _CLASSES.get(token.text)
                    if found is None:
                        raise token.error(
                            f"invalid Class: {token.text}",
                            label=ConfigError.NO_POSITION,
                            hint=f"the classes are {', '.join(_CLASSES)}",
                        )
                    classes.update(found)

            words = list(line.words)
            text = words.pop() if len(words) > 1 and "{" in words[-1] else COMMON
            reader.options(line, {"class": read_classes})
            if words and "{" in words[0]:
                reader.warn(line.args[0], f'"{words[0]}" is taken for a name', hint="write `log . FORMAT`")
            scopes = _scopes(reader, line, words)
            text = text.replace("{common}", COMMON).replace("{combined}", COMBINED)
            rules.append(Rule(scopes, text, frozenset(classes or ResponseClass)))
        return Options(tuple(rules))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._rules = tuple((rule.scopes, compile_format(rule.format), rule.classes) for rule in options.rules)
        self._lines = logging.getLogger("clusterdns.queries")
        self._summaries: dict[tuple[CompiledAnswer, int], tuple[ResponseClass, int]] = {}

    def observe(self, query: Query, reply: Reply, size_bytes: int, duration_seconds: float) -> None:
        """See Observer."""
        for scopes, format_line, classes in self._rules:
            if any(names.is_in(query.key, scope) for scope in scopes):
                kind, rsize = self._summary(query, reply)
                if kind in classes:
                    if query.metadata is not NO_METADATA:
                        query.metadata.set("log/type", response_type(query, reply, time.time()).value)
                        query.metadata.set("log/class", kind.value)
                    self._lines.info(format_line(Event(query, reply, rsize, duration_seconds)))
                return

    def _summary(self, query: Query, reply: Reply) -> tuple[ResponseClass, int]:
        """Class and uncompressed size; those of a compiled answer are the same for all queries that it fits."""
        compiled = reply.compiled
        if compiled is None or query.opcode or compiled.rcode != reply.rcode:
            return _summarize(query, reply)
        key = (compiled, len(query.name))
        summary = self._summaries.get(key)
        if summary is None:
            if len(self._summaries) >= _REMEMBERED_ANSWERS:
                self._summaries.clear()
            summary = self._summaries[key] = _summarize(query, reply)
        return summary


def _scopes(reader: DirectiveReader, line: Line, words: list[str]) -> tuple[bytes, ...]:
    zones, invalid = expand_zones(words)
    for word in invalid:
        reader.warn(line.args[words.index(word)], f'"{word}" is not a domain name, nothing is logged for it')
    return tuple(names.from_text(zone) for zone in zones) if words else (names.ROOT,)


def _summarize(query: Query, reply: Reply) -> tuple[ResponseClass, int]:
    sections = reply.records(query)
    records = (*sections.answer, *sections.authority, *sections.additional)
    size = HEADER_BYTES + len(query.name) + 4
    size += sum([len(record.name) + _RECORD_FIXED_BYTES + len(record.data) for record in records])
    return response_class(response_type(query, reply, time.time())), size
