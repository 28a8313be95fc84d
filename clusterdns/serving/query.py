# SPDX-License-Identifier: Apache-2.0
"""A query on its way through the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Literal

from clusterdns.dns.edns import Edns, encode_opt
from clusterdns.dns.names import ROOT
from clusterdns.dns.peek import HEADER_BYTES, Peek
from clusterdns.dns.types import FLAG_AD, FLAG_CD, FLAG_RD, IN, QUERY
from clusterdns.serving.metadata import NO_METADATA, Metadata

if TYPE_CHECKING:
    from clusterdns.serving.relay import Attempt
    from clusterdns.serving.reply import Reply
    from clusterdns.serving.trace import Trace

MIN_UDP_BYTES = 512
MAX_MESSAGE_BYTES = 65535
MAX_UDP_BYTES = 65507
"""What fits into an IPv4 packet behind its header and UDP's."""


_OPCODE_BITS = 0x7800

Protocol = Literal["udp", "tcp"]


class Client:
    """Who asks, and where the query arrived. IPv4-mapped addresses are IPv4 here; link-local ones keep their scope."""

    __slots__ = ("address", "local_address", "local_port", "port", "protocol")

    def __init__(self, protocol: Protocol, address: str, port: int, local_address: str, local_port: int) -> None:
        self.protocol: Protocol = protocol
        self.address = address.removeprefix("::ffff:") if "." in address else address
        self.port = port
        self.local_address = local_address.removeprefix("::ffff:") if "." in local_address else local_address
        self.local_port = local_port

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """The client's address."""
        return ip_address(self.address)

    @property
    def family(self) -> Literal[1, 2]:
        """1 for IPv4, 2 for IPv6 (metric label ``family``)."""
        return 2 if ":" in self.address else 1


class Searcher(Client):
    """A client in whose place the server asks for the next name of its search list (``autopath``)."""

    __slots__ = ()

    def __init__(self, client: Client) -> None:
        super().__init__(client.protocol, client.address, client.port, client.local_address, client.local_port)


class Query(Peek):
    """A query that the server has accepted.

    packet, flags, opcode, name, key, qtype, qclass, question_end, edns: see Peek. Plugins may change what they send
    down the chain in a copy (``derive``), never in place.
    client: who asks.
    zone: the zone of the server block that answers, lower case, set by the engine.
    server: the listener, as the metrics' label ``server`` names it.
    resolve: asks the listener for another name as this query's client would, see ``Setup.resolve``.
    depth: how many internal look-ups led to this one, 0 for a client's query.
    derived: True if it differs from what the client sent.
    metadata: what the plugins of the server block know about the client's query; nothing without ``metadata``.
    trace: what happens to it, only for queries that are explained.
    attempt: what was asked for it already, on the short way (``Resumed``).
    received_ns: when the client's query came, in nanoseconds since the epoch; only set where its block has a Tap.
    """

    __slots__ = ("client", "depth", "derived", "metadata", "received_ns", "resolve", "server", "trace", "zone")

    attempt: Attempt | None = None

    resolve: Callable[[Query, bytes, int], Reply | Awaitable[Reply]]
    received_ns: int

    def __init__(self, packet: bytes, client: Client) -> None:
        super().__init__(packet)
        self.client = client
        self.zone = ROOT
        self.server = ""
        self.depth = 0
        self.derived = False
        self.metadata: Metadata = NO_METADATA
        self.trace: Trace | None = None

    @property
    def id(self) -> int:
        """The message ID."""
        return self.packet[0] << 8 | self.packet[1]

    @property
    def size_limit(self) -> int:
        """Octets that the reply may have (RFC 6891 section 6.2.3, RFC 1035 section 4.2)."""
        if self.client.protocol != "udp":
            return MAX_MESSAGE_BYTES
        return min(MAX_UDP_BYTES, max(MIN_UDP_BYTES, self.edns.size)) if self.edns else MIN_UDP_BYTES

    def message(self) -> bytes:
        """The octets to ask others with: the client's own, or for a derived query its flags, question and OPT."""
        if not self.derived:
            return self.packet
        opt = b""
        if self.edns is not None:
            opt = encode_opt(self.edns.size, do=self.edns.do, options=self.edns.options)
        return b"".join(
            (
                self.packet[:2],
                (self.opcode << 11 | self.flags & ~_OPCODE_BITS).to_bytes(2, "big"),
                b"\x00\x01\x00\x00\x00\x00\x00",
                b"\x01" if opt else b"\x00",
                self.packet[HEADER_BYTES : self.question_end],
                opt,
            )
        )

    def derive(
        self,
        *,
        name: bytes | None = None,
        qtype: int | None = None,
        qclass: int | None = None,
        edns: Edns | None = None,
        depth: int | None = None,
    ) -> Query:
        """A query like this one with another question or OPT, for the same client. Another name is asked in class IN
        unless ``qclass`` says otherwise.
        """
        copy = object.__new__(type(self))
        copy.client = self.client
        copy.zone = self.zone
        copy.server = self.server
        copy.resolve = self.resolve
        copy.depth = self.depth if depth is None else depth
        copy.derived = True
        copy.metadata = self.metadata
        copy.trace = self.trace
        copy.flags = self.flags & (FLAG_RD | FLAG_CD | FLAG_AD)
        copy.opcode = QUERY if name is not None else self.opcode
        copy.name = self.name if name is None else name
        copy.key = copy.name.lower()
        copy.qtype = self.qtype if qtype is None else qtype
        copy.qclass = qclass if qclass is not None else self.qclass if name is None else IN
        copy.edns = self.edns if edns is None else edns
        if name is None and qtype is None and qclass is None:
            copy.packet = self.packet
            copy.question_end = self.question_end
        else:
            question = copy.name + copy.qtype.to_bytes(2, "big") + copy.qclass.to_bytes(2, "big")
            copy.packet = (
                self.packet[:2] + copy.flags.to_bytes(2, "big") + b"\x00\x01\x00\x00\x00\x00\x00\x00" + question
            )
            copy.question_end = HEADER_BYTES + len(question)
        return copy
