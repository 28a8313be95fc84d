# SPDX-License-Identifier: Apache-2.0
"""ready - tells over HTTP whether the directives that need time to start can answer.

## Description

Serves `/ready`: `200 OK` once all directives that report readiness (*kubernetes*) are ready, in all server blocks that
have *ready*. Until then it is `503`, with the names of those that are not, and what they miss, as in
`kubernetes(endpointslices)`; and they are logged. It is what a readiness
probe of Kubernetes asks. One address may be named in several server blocks; each address tells about all blocks.

Once the process has been told to end it is `503` as well, so that no new client is sent here while those that are on
their way still get their answers; see `lameduck` of *health*.

It may be used once in a server block.

## Syntax

~~~ txt
ready [ADDRESS] {
    monitor until-ready|continuously
}
~~~

* **ADDRESS** is `HOST:PORT`, by default `:8181`, which is all addresses of the machine.
* `monitor` says how long the directives of this block are asked: `until-ready`, the default, until each was ready once;
  with `continuously` one that is not ready any more shows.

## Examples

~~~ corefile
. {
    ready
    whoami
}
~~~

~~~ corefile
. {
    ready localhost:8091 {
        monitor continuously
    }
    whoami
}
~~~
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from clusterdns.config.address import HostPort, listen_address
from clusterdns.config.directive import DirectiveReader, Line
from clusterdns.serving.capabilities import GradualReadiness, HttpAnswer, HttpLease, HttpRequest, ReadinessSource, Setup
from clusterdns.serving.peers import Peers
from clusterdns.serving.plugin import Plugin

PATH: Final = "/ready"
_TEXT: Final = "text/plain; charset=utf-8"
_LEAVING: Final[HttpAnswer] = (503, _TEXT, b"shutting down")
_UNTIL_READY: Final = "until-ready"
_CONTINUOUSLY: Final = "continuously"


class Options(msgspec.Struct, frozen=True):
    """See the manual page."""

    address: HostPort = HostPort("", 8181)
    continuously: bool = False


class Ready(Plugin):
    """The directive."""

    name = "ready"
    peers: ClassVar[Peers[Ready]] = Peers()

    @staticmethod
    def parse(reader: DirectiveReader) -> Options:
        """An address and the mode."""
        address = Options().address
        continuously = False
        line = reader.once()

        def read_monitor(option: Line) -> None:
            nonlocal continuously
            (mode,) = option.expect(1)
            option.no_block()
            if mode not in (_UNTIL_READY, _CONTINUOUSLY):
                raise option.args[0].error(
                    f"monitor type '{mode}' not supported", hint=f"it is {_UNTIL_READY} or {_CONTINUOUSLY}"
                )
            continuously = mode == _CONTINUOUSLY

        with reader.collecting():
            if line.expect(0, 1):
                address = listen_address(line.args[0])
        reader.options(line, {"monitor": read_monitor})
        return Options(address, continuously)

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(options, setup)
        self._options = options
        self._endpoint: HttpLease | None = None
        self._was_ready: set[str] = set()

    async def start(self) -> None:
        """Open the endpoint. Raises LifecycleError."""
        self.peers.join(self.services, self)
        self._endpoint = await self.services.http.acquire(str(self._options.address), PATH, self._answer)

    async def stop(self, final: bool) -> None:
        """Close the endpoint."""
        self.peers.leave(self.services, self)
        if self._endpoint is not None:
            await self._endpoint.release()
            self._endpoint = None

    def not_ready(self) -> set[str]:
        """The directives of this block that can't answer yet."""
        waiting = set()
        for name, plugin in self.setup.siblings.items():
            if not isinstance(plugin, ReadinessSource) or name in self._was_ready:
                continue
            if not plugin.ready():
                waiting.add(f"{name}({','.join(plugin.missing())})" if isinstance(plugin, GradualReadiness) else name)
            elif not self._options.continuously:
                self._was_ready.add(name)
        return waiting

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        if self.services.leaving:
            return _LEAVING
        # Every block is asked, so that each notes who was ready once.
        waiting = sorted(set().union(*[peer.not_ready() for peer in self.peers.all(self.services)]))
        if not waiting:
            return 200, _TEXT, b"OK"
        text = ",".join(waiting)
        self.log.info('Plugins not ready: "%s"', text)
        return 503, _TEXT, text.encode()
