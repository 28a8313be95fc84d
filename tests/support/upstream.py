# SPDX-License-Identifier: Apache-2.0
"""A DNS server on loopback that behaves as badly as a test wants it to.

It answers A queries with an address made from the name (``address_of``), so that every client can tell its own answer;
other types have NODATA. What goes wrong is said by ``Faults`` for all queries, or by the first label of a name, which
may join several of these words with dashes (``trunc-slow.example.org``):

drop: no answer · slow: after 0.3 s · trunc: TC and no records over UDP · big: 40 records · garbled: records that end
too early · wrongid, wrongname, wrongtype: a lie in the reply · noquestion · wrongport: right, but from another port ·
notreply: QR clear · lieid, liename, lieport: the lie first, then the truth · twice: the answer two times ·
late: after 0.6 s · reset: the TCP connection is reset · close: it is closed instead of an answer ·
servfail, refused, nx, nodata, nosoa: that reply · chain: a CNAME and two addresses · opt: an OPT with an option ·
keepalive: an OPT with a TCP keepalive · many: three addresses · short: an address with a TTL of a second.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

QUESTION_POINTER = b"\xc0\x0c"
TTL_SECONDS = 60
_RCODES = {"servfail": 2, "nx": 3, "refused": 5}
_LIES = ("id", "name", "type", "port")


@dataclass
class Faults:
    """What goes wrong at random: parts of 1 that are lost or sent twice, and the longest delay in seconds."""

    lost: float = 0.0
    twice: float = 0.0
    delay_seconds: float = 0.0
    silent: bool = False
    words: frozenset[str] = frozenset()


@dataclass
class Question:
    """A query as it came."""

    wire: bytes
    name: bytes
    qtype: int
    end: int
    tcp: bool
    source_port: int
    source_address: str = ""
    words: frozenset[str] = field(default=frozenset())


def address_of(name: bytes) -> bytes:
    """The address of a name in wire form, in four octets."""
    return b"\x0a" + zlib.crc32(name.lower()).to_bytes(4, "big")[1:]


def address_text(name: str) -> str:
    """The same from text to text."""
    wire = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"
    return socket.inet_ntoa(address_of(wire))


def read_question(wire: bytes, tcp: bool, source_port: int) -> Question:
    end = 12
    while wire[end]:
        end += 1 + wire[end]
    end += 5
    name = wire[12 : end - 4]
    first = name[1 : 1 + name[0]].decode("ascii", "replace").lower()
    qtype = int.from_bytes(wire[end - 4 : end - 2], "big")
    return Question(wire, name, qtype, end, tcp, source_port, words=frozenset(first.split("-")))


def record(rtype: int, data: bytes, owner: bytes = QUESTION_POINTER, ttl: int = TTL_SECONDS) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, ttl, len(data)) + data


def message(question: Question, words: frozenset[str]) -> bytes:
    """The reply that the words ask for."""
    flags, rcode = 0x8480 | (question.wire[2] & 1) << 8, 0
    answer: list[bytes] = []
    authority: list[bytes] = []
    additional: list[bytes] = []
    soa = record(6, b"\2ns\xc0\x0c\5admin\xc0\x0c" + struct.pack("!5I", 7, 3600, 600, 86400, 60))
    rcode = next((_RCODES[word] for word in words if word in _RCODES), 0)
    if "trunc" in words and not question.tcp:
        flags |= 0x0200
    elif rcode:
        authority += [] if rcode != 3 or "nosoa" in words else [soa]
    elif question.qtype != 1 or "nodata" in words:
        authority.append(soa)
    elif "chain" in words:
        target = b"\6target\xc0\x0c"
        at = question.end + 12
        owner = (0xC000 | at).to_bytes(2, "big")
        answer = [record(5, target), record(1, address_of(question.name), owner), record(1, b"\x0a\0\0\1", owner)]
    elif "big" in words:
        answer = [record(1, bytes([198, 51, 100, number])) for number in range(1, 41)]
    else:
        answer = [record(1, address_of(question.name), ttl=1 if "short" in words else TTL_SECONDS)]
        answer += [record(1, bytes([198, 51, 100, number])) for number in (1, 2)] if "many" in words else []
    if words & {"opt", "keepalive"}:
        option = b"\0\x0f\0\2\0\x16" if "opt" in words else b"\0\x0b\0\2\0\x64"
        additional.append(b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(option)) + option)
    body = b"".join(answer + authority + additional)
    if "garbled" in words:
        body = body[:-2]
    counts = struct.pack("!HHHH", 1, len(answer), len(authority), len(additional))
    asked = question.wire[12 : question.end]
    if "noquestion" in words:
        counts, asked = b"\0\0" + counts[2:], b""
    return question.wire[:2] + (flags | rcode).to_bytes(2, "big") + counts + asked + body


def lie(true: bytes, what: str) -> bytes:
    """The message with something wrong in it, and another address."""
    reply = bytearray(true)
    if what == "id":
        reply[1] ^= 0xFF
    elif what == "name":
        reply[13] ^= 1
    elif what == "type":
        end = 12
        while reply[end]:
            end += 1 + reply[end]
        reply[end + 2] ^= 2
    reply[-4:] = b"\xcb\0\x71\x42"
    return bytes(reply)


class Upstream:
    """The server, in the running event loop, on ``host``. ``questions`` are those that came, in order."""

    def __init__(
        self, faults: Faults | None = None, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.faults = faults or Faults()
        self.host = host
        self.questions: list[Question] = []
        self.connections = 0
        self.open_connections: set[asyncio.Transport] = set()
        self.port = 0
        self._tls = tls
        self._udp: asyncio.DatagramTransport | None = None
        self._other: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._random = random.Random(5)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def source_ports(self) -> Counter[int]:
        """How often each UDP source port was used."""
        return Counter(question.source_port for question in self.questions if not question.tcp)

    def names(self) -> list[bytes]:
        return [question.name for question in self.questions]

    async def start(self, port: int = 0) -> Upstream:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            self._server = await loop.create_server(lambda: _Stream(self), self.host, port, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=(self.host, self.port)
                )
            except OSError:
                self._server.close()
                continue
            break
        assert self._udp is not None
        self._udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._other, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(self.host, 0))
        return self

    async def stop(self) -> None:
        for transport in (self._udp, self._other):
            if transport is not None:
                transport.abort()
        if self._server is not None:
            self._server.close()
        for connection in list(self.open_connections):
            connection.abort()
        self._udp = self._other = self._server = None
        await asyncio.sleep(0)

    def handle(self, wire: bytes, tcp: bool, peer: tuple[str, int], send: Callable[[bytes], None]) -> frozenset[str]:
        """Answer a query through ``send``; the words that it was answered by."""
        question = read_question(wire, tcp, peer[1])
        question.source_address = peer[0]
        self.questions.append(question)
        words = question.words | self.faults.words
        faults = self.faults
        if faults.silent or "drop" in words or self._random.random() < faults.lost:
            return words
        true = message(question, words)
        replies = [(send, true)]
        for what in _LIES:
            if "wrong" + what in words or "lie" + what in words:
                other = self._send_from_elsewhere(peer) if what == "port" else send
                false = true if what == "port" and "wrongport" in words else lie(true, what)
                replies = [(other, false), *(replies if "lie" + what in words else [])]
        if "notreply" in words:
            replies = [(send, bytes([*true[:2], true[2] & 0x7F, *true[3:]]))]
        if "twice" in words or self._random.random() < faults.twice:
            replies *= 2
        delay = 0.3 if "slow" in words else 0.6 if "late" in words else self._random.random() * faults.delay_seconds
        for reply_with, reply in replies:
            if delay:
                asyncio.get_running_loop().call_later(delay, reply_with, reply)
            else:
                reply_with(reply)
        return words

    def _send_from_elsewhere(self, peer: tuple[str, int]) -> Callable[[bytes], None]:
        def send(reply: bytes) -> None:
            if self._other is not None:
                self._other.sendto(reply, peer)

        return send


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        def send(reply: bytes) -> None:
            if not self._transport.is_closing():
                self._transport.sendto(reply, addr)

        self._upstream.handle(data, False, addr, send)


class _Stream(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._upstream.connections += 1
        self._upstream.open_connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.open_connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > 1 and len(self._buffer) >= (end := 2 + int.from_bytes(self._buffer[:2], "big")):
            wire, self._buffer = self._buffer[2:end], self._buffer[end:]
            words = read_question(wire, True, 0).words | self._upstream.faults.words
            if words & {"reset", "close"}:
                self._upstream.questions.append(read_question(wire, True, 0))
                self._transport.abort() if "reset" in words else self._transport.close()
                return
            peer = self._transport.get_extra_info("peername")
            self._upstream.handle(wire, True, peer, self._send)

    def _send(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(len(reply).to_bytes(2, "big") + reply)


class UpstreamThread:
    """An Upstream in a thread of its own, for tests that ask a server process: a context manager.

    within: runs what the thread does, in another network namespace for example.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        upstream: Upstream | None = None,
        within: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        self.upstream = upstream or Upstream(faults, tls=tls)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=within, args=(self._loop.run_forever,), daemon=True)

    def __enter__(self) -> Upstream:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.upstream.start(self._port), self._loop).result(10)
        return self.upstream

    def __exit__(self, *exception: object) -> None:
        asyncio.run_coroutine_threadsafe(self.upstream.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
