# SPDX-License-Identifier: Apache-2.0
"""view - says which queries a server block is for.

## Description

Several server blocks may serve the same zone on the same port if they have a view: the first one, in the order of the
Corefile, whose expressions are all true of a query answers it. A block without a view takes every query, so it comes
last. If no block of a zone takes the query, those of the zone above are asked; in the end it is refused.

## Syntax

~~~ txt
view NAME {
    expr EXPRESSION
}
~~~

* **NAME** is the label `view` of the metrics, and the metadata `view/name`.
* `expr` is a condition, and may be used several times. An expression that fails, or gives something else than true or
  false, is false.

The language is that of [expr-lang](https://expr-lang.org/docs/language-definition), with the functions `type()`,
`name()`, `class()`, `proto()`, `size()`, `bufsize()`, `id()`, `opcode()`, `do()`, `client_ip()`, `port()`,
`server_ip()`, `server_port()`, `incidr(IP, CIDR)` and `metadata(LABEL)`. Quote an expression that holds a `#`.

Replies are remembered for other clients only where the conditions look at nothing but the question and its flags.

## Examples

Other answers for clients inside:

~~~ corefile
example.org {
    view inside {
        expr incidr(client_ip(), '10.0.0.0/8') || incidr(client_ip(), 'fd00::/8')
    }
    template IN A {
        answer "{{ .Name }} 60 IN A 10.0.0.1"
    }
}
example.org {
    template IN A {
        answer "{{ .Name }} 60 IN A 192.0.2.1"
    }
}
~~~

One block for addresses, one for all other types:

~~~ corefile
. {
    view addresses {
        expr type() in ['A', 'AAAA']
    }
    whoami
}
. {
    template ANY ANY {
        rcode NOERROR
    }
}
~~~
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.errors import ConfigError, ExpressionError
from clusterdns.expressions.expr import Expression
from clusterdns.expressions.expr.types import ANY, BOOL
from clusterdns.serving.capabilities import Setup
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Query
from clusterdns.serving.query_functions import OF_THE_CLIENT, SIGNATURES, query_functions
from clusterdns.serving.trace import Note

NAME_KEY: Final = "name"


class Options(msgspec.Struct, frozen=True):
    """``name`` of the view, and its conditions."""

    name: str = ""
    conditions: tuple[Expression, ...] = ()


class View(Plugin):
    """The directive. The router asks it; no query passes it."""

    name = "view"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """A name, and conditions."""
        name = ""
        conditions: list[Expression] = []
        line = reader.once()

        def read_condition(option: Line) -> None:
            option.no_block()
            try:
                condition = Expression.parse(" ".join(option.words), SIGNATURES)
            except ExpressionError as error:
                raise option.last.error(str(error), label=ConfigError.NO_POSITION) from None
            if condition.type not in (BOOL, ANY):
                reader.warn(option.args[0], "this is neither true nor false, so no query comes here")
            conditions.append(condition)

        with reader.collecting():
            (name,) = line.expect(1)
        reader.options(line, {"expr": read_condition})
        return Options(name, tuple(conditions))

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._asks_client = any(condition.used & OF_THE_CLIENT for condition in options.conditions)

    @property
    def asks_client(self) -> bool:
        """See View."""
        return self._asks_client

    def admits(self, query: Query) -> bool:
        """See View."""
        functions = query_functions(query)
        try:
            return all(condition.evaluate(functions) is True for condition in self._options.conditions)
        except ExpressionError:
            return False

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        functions = query_functions(query)
        for condition in self._options.conditions:
            try:
                value = condition.evaluate(functions)
            except ExpressionError as error:
                yield Note(f"{condition.text}: fails, so it counts as false: {str(error).splitlines()[0]}")
                return
            yield Note(f"{condition.text}: {str(value).lower() if isinstance(value, bool) else repr(value)}")
            if value is not True:
                return

    def metadata(self, query: Query, key: str) -> str:
        """See MetadataSource."""
        return self._options.name if key == NAME_KEY else ""
