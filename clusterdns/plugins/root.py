# SPDX-License-Identifier: Apache-2.0
"""root - says where the relative paths in a server block start.

## Description

Directives that take a file read a relative path from here. Without it such paths start at the working directory of the
process. It has no effect on `import`, whose paths start at the file that they stand in.

## Syntax

~~~ txt
root PATH
~~~

* **PATH** is a directory. If it doesn't exist when the configuration is loaded, a warning says so.

## Examples

~~~ corefile
example.org {
    root /etc/coredns
    whoami
}
~~~
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.errors import ConfigError
from clusterdns.serving.plugin import Plugin


class Options(msgspec.Struct, frozen=True):
    """``path``: as written; of several ones the last counts."""

    path: str = ""


class Root(Plugin):
    """The directive; its path is handed to the other ones (``Setup.path``)."""

    name = "root"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """One directory a line."""
        options = Options()
        for line in reader.lines:
            with reader.collecting():
                (path,) = line.expect(1)
                line.no_block()
                options = Options(path)
                try:
                    exists = Path(path).stat() is not None
                except (FileNotFoundError, NotADirectoryError):
                    exists = False
                except (OSError, ValueError) as error:
                    raise line.args[0].error(
                        f"Unable to access root path '{path}': {error}", label=ConfigError.NO_POSITION
                    ) from None
                if not exists:
                    reader.warn(line.args[0], f"Root path does not exist: {path}")
        return options
