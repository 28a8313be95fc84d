# SPDX-License-Identifier: Apache-2.0
"""cancel - gives a query up that takes too long.

## Description

A query that has no reply after a time gets SERVFAIL, and what is still being done for it is ended. Most clients wait 5
seconds; nobody is there to hear an answer that comes later.

## Syntax

~~~ txt
cancel [TIMEOUT]
~~~

* **TIMEOUT** is a duration, by default 5.001s.

## Examples

~~~ corefile
example.org {
    cancel 1s
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

import msgspec

from clusterdns.config.directive import DirectiveReader, Token
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.duration import format_duration, parse_duration
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin, Result
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    timeout_seconds: float = 5.001


class Cancel(Plugin):
    """The directive."""

    name = "cancel"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """A duration; of several lines the last counts."""
        options = Options()
        for line in reader.lines:
            with reader.collecting():
                line.no_block()
                if line.expect(0, 1):
                    options = Options(_timeout(line.args[0]))
        return options

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._seconds = options.timeout_seconds

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        yield Note(f"gives up {format_duration(self._seconds)} after the query came here")

    def handle(self, query: Query) -> Result:
        """The reply of the rest of the chain, if it comes in time."""
        result = self.next(query)
        return result if isinstance(result, Reply) else self._in_time(result)

    async def _in_time(self, result: Awaitable[Reply]) -> Reply:
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                return await result
        except TimeoutError:
            if not deadline.expired():
                raise
            wait = format_duration(self._seconds)
            return Reply.failure(f"plugin/{self.name}: no reply after {wait}", plugin=self.name)


def _timeout(token: Token) -> float:
    try:
        seconds = parse_duration(token.text)
    except ExpressionError as error:
        message, hint = f'invalid duration: "{token.text}"', str(error)
    else:
        if seconds > 0:
            return seconds
        message, hint = f'invalid negative duration: "{token.text}"', "it must be more than 0s"
    raise token.error(message, label=ConfigError.NO_POSITION, hint=hint)
