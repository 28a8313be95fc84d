# SPDX-License-Identifier: Apache-2.0
"""explain - lets `clusterdns explain` ask this server why it answers as it does.

## Description

`clusterdns explain NAME --server PLACE` asks the running server, and so sees its cluster, its cache and its upstreams
as they are. The questions come over a Unix socket that only the user of the server can open (mode 0600), or over a
loopback address; places that Pods or other machines could reach are refused. With a loopback address everybody on the
machine, or in the Pod, may ask: prefer the socket.

Who may ask can make this server look up any name for any client, and sees the objects that answers come from. One
question is answered at a time, and it takes 35 seconds at most. It is no client's query: neither *log* nor the metrics
of *prometheus* know of it, though *cache* keeps what it brings and *forward* asks for it.

It may be used once in a Corefile, in any server block.

## Syntax

~~~ txt
explain PLACE
~~~

* **PLACE** is `unix:PATH`, with an absolute path in a directory that is there, or `ADDRESS:PORT` with a loopback
  address.

## Examples

~~~ corefile
. {
    explain unix:/run/clusterdns/explain.sock
    whoami
}
~~~

~~~ corefile
. {
    explain 127.0.0.1:8055
    whoami
}
~~~
"""

from __future__ import annotations

import msgspec

from clusterdns.config.directive import DirectiveReader
from clusterdns.errors import ConfigError
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.places import parse_place
from clusterdns.serving.plugin import Plugin


class Options(msgspec.Struct, frozen=True):
    """``place``: as written."""

    place: str = ""


class Explain(Plugin):
    """The directive."""

    name = "explain"

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """One place."""
        line = reader.once()
        with reader.collecting():
            line.no_block()
            (place,) = line.expect(1)
            try:
                parse_place(place)
            except ValueError as error:
                message = f"can't explain at '{place}'"
                raise line.args[0].error(message, label=ConfigError.NO_POSITION, hint=str(error)) from None
            return Options(place)
        return Options()

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._place = options.place
        self._lease: Lease | None = None

    async def start(self) -> None:
        """Begin to answer. Raises LifecycleError."""
        self._lease = await self.services.explaining.acquire(self._place)
        self.log.info("`clusterdns explain --server %s` asks this server", self._place)

    async def stop(self, final: bool) -> None:
        """Answer no more."""
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await lease.release()
