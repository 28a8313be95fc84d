# SPDX-License-Identifier: Apache-2.0
"""loop - finds out whether queries come back to this server, and ends it if they do.

## Description

A forwarding loop (this server forwards to an address that leads to itself, such as 127.0.0.53 from the node's
resolv.conf) would eat the machine. At its start *loop* asks its own server for a random name in the first zone of the
block, type HINFO. If that query is seen more than twice, the process ends:

~~~ txt
[FATAL] plugin/loop: Loop (127.0.0.1:55953 -> :53) detected for zone ".", see https://coredns.io/plugins/...
~~~

Once the query is answered, or after 30 seconds, *loop* does nothing any more. A loop that begins later isn't noticed.

## Syntax

~~~ txt
loop
~~~

## Examples

~~~ corefile
. {
    loop
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from typing import Final

from clusterdns.config.directive import DirectiveReader
from clusterdns.dns import names
from clusterdns.dns.peek import HEADER_BYTES
from clusterdns.dns.types import FLAG_RD, HINFO, IN
from clusterdns.serving.capabilities import Lease, Setup
from clusterdns.serving.plugin import Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.relay import PlainStep
from clusterdns.serving.reply import Reply
from clusterdns.serving.trace import Note

_MOST_SIGHTINGS: Final = 2
_ANSWER_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 1.0
_GIVE_UP_SECONDS: Final = 30.0


class Loop(Plugin):
    """The directive. It may stand before a memory of replies: those to its own query are marked as not reusable."""

    name = "loop"
    pure = True
    in_chain = True

    @staticmethod
    def parse(reader: DirectiveReader) -> None:
        """No options."""
        with reader.collecting():
            line = reader.once()
            line.expect(0)
            line.no_block()

    def __init__(self, options: None, setup: Setup) -> None:
        super().__init__(options, setup)
        self._probe_name: bytes | None = None
        self._sightings = 0
        self._task: Lease | None = None

    async def start(self) -> None:
        """Begin to ask."""
        if self.setup.listen:
            self._task = self.services.spawn("loop: probe", self._probe())

    async def stop(self, final: bool) -> None:
        """Ask no more."""
        self._probe_name = None
        if self._task is not None:
            await self._task.release()
            self._task = None

    def explain(self, query: Query) -> Iterator[Note]:
        """See Explainer."""
        yield Note("passed on: only its own query at the start, of type HINFO, concerns it")

    def plain(self, zone: bytes) -> PlainStep:
        """Its own queries are for HINFO records."""
        return PlainStep.TRANSPARENT

    def handle(self, query: Query) -> Result:
        """Pass the query on, and count it if it is the own one."""
        if self._probe_name is None or query.key != self._probe_name or query.qtype != HINFO:
            return self.next(query)
        self._sightings += 1
        if self._sightings > _MOST_SIGHTINGS:
            self._probe_name = None
            self.services.fatal(self._finding(query))
        return after(self.next(query), _not_reusable)

    def _finding(self, query: Query) -> str:
        client = query.client
        source = f"[{client.address}]:{client.port}" if ":" in client.address else f"{client.address}:{client.port}"
        host, port = self.setup.listen[0]
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        zone = names.to_text(self.setup.zones[0])
        return (
            f'plugin/{self.name}: Loop ({source} -> {target}) detected for zone "{zone}", '
            f'see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO {names.to_text(query.key)}"'
        )

    async def _probe(self) -> None:
        self._probe_name = probe_name(self.setup.zones[0])
        query = probe_query(self._probe_name)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GIVE_UP_SECONDS
        while loop.time() < deadline:
            if await ask(query, *self.setup.listen[0]):
                break
            self._sightings = 0
            await asyncio.sleep(_PAUSE_SECONDS)
        self._probe_name = None


def _not_reusable(reply: Reply) -> Reply:
    reply.reusable = False
    return reply


def probe_name(zone: bytes) -> bytes:
    """A name in the zone that nobody else asks for."""
    parts = [str(secrets.randbits(63)).encode() for _ in range(2)]
    name = names.from_labels(parts, zone)
    return name if len(name) <= names.MAX_NAME_BYTES else names.from_labels(parts)


def probe_query(name: bytes) -> bytes:
    """The query for a name as a message."""
    header = secrets.token_bytes(2) + FLAG_RD.to_bytes(2, "big") + b"\0\x01\0\0\0\0\0\0"
    return header + name + HINFO.to_bytes(2, "big") + IN.to_bytes(2, "big")


async def ask(query: bytes, host: str, port: int) -> bool:
    """Send a query over UDP; True if a reply to it comes in time. An empty or wildcard host is this machine."""
    target = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bool] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Exchange(query[:2], answered), remote_addr=(target, port)
        )
    except OSError:
        return False
    try:
        transport.sendto(query)
        return await asyncio.wait_for(answered, _ANSWER_SECONDS)
    except TimeoutError:
        return False
    finally:
        transport.close()


class _Exchange(asyncio.DatagramProtocol):
    """Waits for the reply with a message ID."""

    def __init__(self, message_id: bytes, answered: asyncio.Future[bool]) -> None:
        self._message_id = message_id
        self._answered = answered

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) >= HEADER_BYTES and data[:2] == self._message_id and not self._answered.done():
            self._answered.set_result(True)

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_result(False)
