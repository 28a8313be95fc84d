# SPDX-License-Identifier: Apache-2.0
"""dnstap - sends queries and replies to collectors, in the binary format of dnstap.

## Description

[dnstap](https://dnstap.info) is what collectors of DNS traffic read. Each query of the server block becomes two
messages: CLIENT_QUERY when it comes, CLIENT_RESPONSE when it is answered. Each question that *forward* asks another
server for it becomes two more: FORWARDER_QUERY, and FORWARDER_RESPONSE if there is a reply.

Messages are sent in the background; no query waits for a collector. A collector that is away is tried again, first
after half a second, then less and less often, every ten seconds at last. Meanwhile messages wait; what there is no room
for is dropped, counted and logged. When the server ends or is reloaded, what waits is sent as far as that takes two
seconds.

The directive may be used several times in a server block. Every query of the block then goes the long way through its
directives, which costs more than the messages themselves.

## Syntax

~~~ txt
dnstap SOCKET [full] [BUFFER] [QUEUE] {
    identity TEXT
    version TEXT
    extra TEXT
    skipverify
}
~~~

* **SOCKET** is where the collector is: the path of a Unix socket, with or without `unix://`, or `tcp://HOST:PORT`, or
  `tls://HOST:PORT`.
* `full` sends the DNS messages, too, not only who asked whom and when.
* **BUFFER** is the size of the socket's send buffer in MiB, 1 (default) to 1024; the system may have a limit.
* **QUEUE** is how many messages may wait, in units of 10,000: 1 (default) to 4096. They have 2 KiB each on average at
  most.
* `identity` is the name of this server in each message; by default its host name.
* `version` is the version of the program in each message; by default clusterdns and its version.
* `extra` is a text that goes with each message. It may have the placeholders of *log* in it, and those of *metadata*:
  `{/forward/upstream}`. What is about the reply is `-`.
* `skipverify` takes any certificate of a collector at `tls://`. By default it must be of an authority that the system
  trusts, and have the name **HOST**.

Collectors may also connect to this server:

~~~ txt
dnstap listen SOCKET [full] [BUFFER] [QUEUE] {
    identity TEXT
    version TEXT
    extra TEXT
    tls CERT KEY [CA]
    skipverify
}
~~~

* **SOCKET** is where to listen. Here **HOST** may be left out: `tcp://:6000` listens on all addresses. At most 16
  collectors are served; each has a queue of its own.
* `tls` names files in PEM form: the certificate to show, its key, and the authority that must have signed the
  certificates of collectors; without **CA** they need none.
* `skipverify` lets collectors without a certificate in, even with **CA**.

Whoever can connect to it learns who asks for what.

## Metrics

* `coredns_dnstap_messages_total{to}` - messages sent.
* `coredns_dnstap_dropped_messages_total{to}` - messages that were dropped.

`to` is **SOCKET** as in `unix /run/tap.sock` or `tcp 10.0.0.1:6000`.

## Examples

~~~ corefile
. {
    dnstap /run/collector/dnstap.sock full
    whoami
}
~~~

To a collector elsewhere, with a word on each message about where it was forwarded:

~~~ corefile
. {
    metadata
    dnstap tls://collector.example.org:6000 full 4 2 {
        identity node-1
        version clusterdns
        extra "upstream={/forward/upstream}"
        skipverify
    }
    forward . 192.0.2.53
}
~~~

For collectors that come and go:

~~~ corefile
. {
    dnstap listen tls://127.0.0.1:6000 {
        tls tap.crt tap.key ca.crt
    }
    whoami
}
~~~
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Final

import msgspec

from clusterdns._version import __version__
from clusterdns.config.directive import DirectiveReader
from clusterdns.plugins.dnstap.backlog import DropCounter
from clusterdns.plugins.dnstap.incoming import Incoming
from clusterdns.plugins.dnstap.message import Envelope, Kind, Message, SocketProtocol
from clusterdns.plugins.dnstap.options import Tap, parse_taps
from clusterdns.plugins.dnstap.outgoing import Outgoing
from clusterdns.plugins.dnstap.stream import Delivery, wait_at_most
from clusterdns.serving.capabilities import Hop, Lease, Setup
from clusterdns.serving.placeholders import Event, compile_format
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Query

STOP_SECONDS: Final = 2.0
_ANY_ADDRESS: Final = frozenset(("0.0.0.0", "::"))
_PROTOCOLS: Final = {"udp": SocketProtocol.UDP, "tcp": SocketProtocol.TCP, "tls": SocketProtocol.DOT}


class Channel:
    """One use of the directive at work."""

    def __init__(self, tap: Tap, delivery: Delivery, log: logging.Logger) -> None:
        self._tap = tap
        self._dropped = delivery.dropped
        self._log = log
        self._collectors = (Incoming if tap.listen else Outgoing)(tap, delivery, log)
        self._extra = compile_format(tap.extra) if tap.extra else None
        self._ended = asyncio.Event()

    def put(self, query: Query, message: Message) -> None:
        """Send a message that has to do with a query."""
        if not self._tap.full:
            message = msgspec.structs.replace(message, octets=b"")
        self._collectors.put(message, _encode(self._extra(Event(query))) if self._extra is not None else b"")

    async def run(self) -> None:
        """Serve the collectors until the channel is closed."""
        try:
            await self._collectors.run()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Send what waits, as far as it can be sent in time."""
        self._collectors.close()
        if not await wait_at_most(self._ended, STOP_SECONDS):
            self._log.warning("%s takes too long: messages are lost", self._tap.place)

    def report(self) -> None:
        """Log what was dropped."""
        self._dropped.report()


class Dnstap(Plugin):
    """All uses of the directive in a server block."""

    name = "dnstap"

    @staticmethod
    def parse(reader: DirectiveReader) -> tuple[Tap, ...]:
        """See the manual page."""
        return parse_taps(reader)

    def __init__(self, options: tuple[Tap, ...], setup: Setup) -> None:
        super().__init__(options, setup)
        metrics = setup.services.metrics
        sent = metrics.counter("coredns_dnstap_messages_total", "Counter of dnstap messages sent.", ("to",))
        dropped = metrics.counter(
            "coredns_dnstap_dropped_messages_total", "Counter of dnstap messages that were dropped.", ("to",)
        )
        self._places = tuple(str(tap.place) for tap in options)
        self._channels = tuple(
            Channel(
                tap,
                Delivery(_envelope(tap), sent.labels(place), DropCounter(dropped.labels(place), self.log)),
                self.log,
            )
            for tap, place in zip(options, self._places, strict=True)
        )
        self._tasks: list[Lease] = []

    async def start(self) -> None:
        """Begin to send. Collectors that are away don't keep the server from starting."""
        for channel, place in zip(self._channels, self._places, strict=True):
            self._tasks.append(self.services.spawn(f"dnstap: {place}", channel.run()))

    async def stop(self, final: bool) -> None:
        """Send what waits."""
        await asyncio.gather(*(channel.close() for channel in self._channels))
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await task.release()
        for channel in self._channels:
            channel.report()

    def tap_query(self, query: Query) -> None:
        """See Tap."""
        query.received_ns = time.time_ns()
        self._tap_client(Kind.CLIENT_QUERY, query, query.packet, 0)

    def tap_reply(self, query: Query, message: bytes) -> None:
        """See Tap."""
        self._tap_client(Kind.CLIENT_RESPONSE, query, message, time.time_ns())

    def _tap_client(self, kind: Kind, query: Query, octets: bytes, response_ns: int) -> None:
        client = query.client
        local = client.local_address
        if local in _ANY_ADDRESS:
            local = ""
        message = Message(
            kind,
            _PROTOCOLS[client.protocol],
            client.address,
            client.port,
            local,
            client.local_port if local else 0,
            query.received_ns,
            response_ns,
            octets,
        )
        for channel in self._channels:
            channel.put(query, message)

    def tap_exchange(self, query: Query, hop: Hop, octets: bytes, asked_ns: int, replied_ns: int) -> None:
        """See Tap."""
        message = Message(
            Kind.FORWARDER_RESPONSE if replied_ns else Kind.FORWARDER_QUERY,
            _PROTOCOLS[hop.protocol],
            hop.local_address,
            hop.local_port,
            hop.address,
            hop.port,
            asked_ns,
            replied_ns,
            octets,
        )
        for channel in self._channels:
            channel.put(query, message)


def _envelope(tap: Tap) -> Envelope:
    identity = socket.gethostname() if tap.identity is None else tap.identity
    version = f"clusterdns-{__version__}" if tap.version is None else tap.version
    return Envelope(_encode(identity), _encode(version))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
