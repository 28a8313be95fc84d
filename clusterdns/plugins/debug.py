# SPDX-License-Identifier: Apache-2.0
"""debug - shows debug lines in the log and lets faults of directives end the process.

## Description

Without it, a fault in a directive costs the client a SERVFAIL and is logged, and the server goes on. With it in any
server block of a listener, the process ends where the fault is, so that it can be looked into; lines of level `[DEBUG]`
appear in the log. Don't use it in production.

## Syntax

~~~ txt
debug
~~~

## Examples

~~~ corefile
. {
    debug
    whoami
}
~~~
"""

from __future__ import annotations

from clusterdns.config.directive import DirectiveReader
from clusterdns.serving.plugin import Plugin


class Debug(Plugin):
    """The directive; the server asks whether a block has it (``Setup.debug``)."""

    name = "debug"

    @staticmethod
    def parse(reader: DirectiveReader) -> None:
        """No options."""
        reader.takes_nothing()
