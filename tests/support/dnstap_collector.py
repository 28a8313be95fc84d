# SPDX-License-Identifier: Apache-2.0
"""A collector of dnstap messages: it reads frame streams, and decodes what is in them on its own.

It knows Protocol Buffers only as keys and values, and the schema (dnstap.proto) as names of field numbers; it shares
nothing with the encoder that it judges.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

CONTENT_TYPE = b"protobuf:dnstap.Dnstap"
ACCEPT, START, STOP, READY, FINISH = 1, 2, 3, 4, 5

OUTER = {1: "identity", 2: "version", 3: "extra", 14: "message", 15: "type"}
INNER = {
    1: "type", 2: "socket_family", 3: "socket_protocol", 4: "query_address", 5: "response_address", 6: "query_port",
    7: "response_port", 8: "query_time_sec", 9: "query_time_nsec", 10: "query_message", 12: "response_time_sec",
    13: "response_time_nsec", 14: "response_message",
}  # fmt: skip
TYPES = {5: "CLIENT_QUERY", 6: "CLIENT_RESPONSE", 7: "FORWARDER_QUERY", 8: "FORWARDER_RESPONSE"}


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        octet = data[position]
        position += 1
        value |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return value, position


def read_fields(data: bytes, names: dict[int, str]) -> dict[str, Any]:
    """The fields by name. Fails for one that isn't known, is there twice, or runs over the end."""
    found: dict[str, Any] = {}
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        name = names[key >> 3]
        assert name not in found, f"{name} is there twice"
        if key & 7 == 0:
            found[name], position = read_varint(data, position)
        elif key & 7 == 2:
            size, position = read_varint(data, position)
            assert position + size <= len(data)
            found[name] = data[position : position + size]
            position += size
        else:
            assert key & 7 == 5, f"{name} has wire type {key & 7}"
            (found[name],) = struct.unpack_from("<I", data, position)
            position += 4
    return found


def decode(payload: bytes) -> dict[str, Any]:
    """A frame's message: all fields in one, the types by name, the addresses as text, the times in nanoseconds."""
    outer = read_fields(payload, OUTER)
    assert outer.pop("type") == 1
    found = read_fields(outer.pop("message"), INNER)
    found["type"] = TYPES[found["type"]]
    for side in ("query", "response"):
        if f"{side}_address" in found:
            address = ip_address(found[f"{side}_address"])
            assert {4: 1, 6: 2}[address.version] == found["socket_family"]
            found[f"{side}_address"] = str(address)
        if f"{side}_time_sec" in found:
            found[f"{side}_ns"] = found.pop(f"{side}_time_sec") * 10**9 + found.pop(f"{side}_time_nsec")
    return outer | found


def control(kind: int, *content_types: bytes) -> bytes:
    fields = b"".join(struct.pack("!II", 1, len(each)) + each for each in content_types)
    return struct.pack("!III", 0, 4 + len(fields), kind) + fields


@dataclass
class Collector:
    """What was collected so far.

    payloads: the data frames. connections, finished: how many streams were begun, and ended in order.
    takes: the content types that it accepts. reads: False to let frames pile up. accepts: False to leave READY
    unanswered.
    """

    takes: tuple[bytes, ...] = (CONTENT_TYPE,)
    reads: bool = True
    accepts: bool = True
    payloads: list[bytes] = field(default_factory=list)
    connections: int = 0
    finished: int = 0
    faults: list[str] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [decode(payload) for payload in list(self.payloads)]

    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def wait(self, condition: Any, seconds: float = 8.0) -> None:
        """Wait until ``condition()`` holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (len(self.payloads), self.connections, self.finished, self.faults)
            time.sleep(0.01)

    def wait_for(self, number: int, seconds: float = 8.0) -> list[dict[str, Any]]:
        """The messages, once there are so many."""
        self.wait(lambda: len(self.payloads) >= number, seconds)
        return self.messages

    def read_stream(self, connection: socket.socket) -> None:
        """Be the reader of one stream, until it ends."""
        self._open.append(connection)
        try:
            with connection, connection.makefile("rb") as stream:
                self._read(connection, stream)
        except (OSError, EOFError, ValueError) as error:
            self.faults.append(f"{type(error).__name__}: {error}")

    def _read(self, connection: socket.socket, stream: Any) -> None:
        def exactly(size: int) -> bytes:
            data = stream.read(size)
            if len(data) < size:
                raise EOFError("the stream ends too early")
            return data

        def expect(kind: int) -> bytes:
            assert exactly(4) == bytes(4)
            frame = exactly(int.from_bytes(exactly(4), "big"))
            assert int.from_bytes(frame[:4], "big") == kind, frame
            return frame[4:]

        assert expect(READY) == struct.pack("!II", 1, len(CONTENT_TYPE)) + CONTENT_TYPE
        self.connections += 1
        while not self.accepts:
            exactly(1)
        connection.sendall(control(ACCEPT, *self.takes))
        assert expect(START) == struct.pack("!II", 1, len(CONTENT_TYPE)) + CONTENT_TYPE
        while True:
            while not self.reads:
                time.sleep(0.01)
            size = int.from_bytes(exactly(4), "big")
            if not size:
                frame = exactly(int.from_bytes(exactly(4), "big"))
                assert frame == STOP.to_bytes(4, "big"), frame
                connection.sendall(control(FINISH))
                self.finished += 1
                return
            self.payloads.append(exactly(size))

    def hang_up(self) -> None:
        """Cut all connections."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._open.clear()


class Listening:
    """A collector that waits for connections, in threads of its own: a context manager."""

    def __init__(
        self, address: str | tuple[str, int], collector: Collector | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.collector = collector or Collector()
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen()
        self.address = self._listener.getsockname()
        self._tls = tls
        self._thread = threading.Thread(target=self._take, daemon=True)

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            wrapped = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
        except OSError as error:
            self.collector.faults.append(str(error))
            connection.close()
            return
        self.collector.read_stream(wrapped)

    def __enter__(self) -> Collector:
        self._thread.start()
        return self.collector

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.collector.hang_up()
        self._thread.join(5)


class Connecting:
    """A collector that connects, in a thread of its own: a context manager."""

    def __init__(self, address: str | tuple[str, int], tls: ssl.SSLContext | None = None, name: str = "") -> None:
        self.collector = Collector()
        self._address = address
        self._tls = tls
        self._name = name

    def __enter__(self) -> Collector:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(10)
        connection.connect(self._address)
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_hostname=self._name)
        threading.Thread(target=self.collector.read_stream, args=(connection,), daemon=True).start()
        return self.collector

    def __exit__(self, *exception: object) -> None:
        self.collector.hang_up()
