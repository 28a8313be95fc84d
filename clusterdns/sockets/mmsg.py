# SPDX-License-Identifier: Apache-2.0
"""``recvmmsg`` and ``sendmmsg`` over fixed sets of buffers (recvmmsg(2)).

Theory of operation. There are slots of the same length in one bytearray, and for each slot an iovec, an address
buffer, a control buffer and a mmsghdr that points to them. Nothing is allocated per call: a reply is written over its
query, so its ID, its destination and its source address (the control message, IP_PKTINFO) already stand where
``sendmmsg`` looks for them. Only two numbers change for each message: its length in the iovec before sending, and
everything that the kernel wrote before receiving again, which one copy of a pristine mmsghdr array restores.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from typing import Final

BATCH: Final = 64
SLOT_BYTES: Final = 4096
"""Longest query taken over UDP; longer replies leave by another way."""

_NAME_BYTES: Final = 28
_CONTROL_BYTES: Final = 64

HEADER_WORDS: Final = 16
"""Of 32 bits in a struct mmsghdr on 64-bit Linux: msghdr has 56 octets, then msg_len and padding."""
_NAME_LENGTH: Final = 2
_CONTROL_LENGTH: Final = 10
LENGTH_WORD: Final = 14


def available() -> bool:
    """True where the layout below is the system's: 64-bit Linux with a C library that has the calls."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return False
    library = ctypes.CDLL(None)
    return hasattr(library, "recvmmsg") and hasattr(library, "sendmmsg")


class MessageBatch:
    """Buffers for the sockets of one address family, used by one of them at a time.

    count, slot_bytes: how many slots, and how long each is.
    connected: True for sockets that are connected: what is put into a slot goes to their peer.

    slots: the octets of all slots, slot ``i`` starts at ``i * slot_bytes``.
    headers: the mmsghdr array as 32-bit words; ``headers[i * HEADER_WORDS + LENGTH_WORD]`` is the length received.
    iovecs: the iovec array as 64-bit words; ``iovecs[2 * i + 1]`` is the length to send.
    """

    def __init__(
        self,
        family: socket.AddressFamily,
        count: int = BATCH,
        slot_bytes: int = SLOT_BYTES,
        *,
        connected: bool = False,
    ) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._recvmmsg = library.recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg = library.sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self.count = count
        self.slot_bytes = slot_bytes
        self._buffer = bytearray(count * slot_bytes)
        self._names = bytearray(count * _NAME_BYTES)
        self._controls = bytearray(count * _CONTROL_BYTES)
        self._iovec_bytes = bytearray(count * 16)
        self._header_bytes = bytearray(count * 64)
        self._headers = memoryview(self._header_bytes)
        self.slots = memoryview(self._buffer)
        self.headers = memoryview(self._header_bytes).cast("I")
        self.iovecs = memoryview(self._iovec_bytes).cast("Q")
        self._address = _address(self._header_bytes)
        # Replies leave from the address that was asked, but routing chooses the interface: the index that came with the
        # query would overrule it.
        index_word = 8 if family == socket.AF_INET6 else 4
        self._interface_indexes = memoryview(self._controls).cast("I")[index_word :: _CONTROL_BYTES // 4]
        self._no_interfaces = memoryview(bytes(4 * count)).cast("I")
        self._lay_out(connected)
        self._pristine_headers = bytes(self._header_bytes)
        self._pristine_iovecs = bytes(self._iovec_bytes)

    def _lay_out(self, connected: bool) -> None:
        buffer, names = _address(self._buffer), _address(self._names)
        controls, iovecs = _address(self._controls), _address(self._iovec_bytes)
        words = memoryview(self._header_bytes).cast("Q")
        for i in range(self.count):
            self.iovecs[2 * i] = buffer + i * self.slot_bytes
            self.iovecs[2 * i + 1] = self.slot_bytes
            words[8 * i + 2] = iovecs + i * 16
            words[8 * i + 3] = 1
            if connected:
                continue
            words[8 * i] = names + i * _NAME_BYTES
            self.headers[16 * i + _NAME_LENGTH] = _NAME_BYTES
            words[8 * i + 4] = controls + i * _CONTROL_BYTES
            words[8 * i + 5] = _CONTROL_BYTES

    def receive(self, number: int) -> int:
        """Take what is there on a socket, by its file descriptor; how many messages, or minus the errno."""
        self._header_bytes[:] = self._pristine_headers
        self._iovec_bytes[:] = self._pristine_iovecs
        received: int = self._recvmmsg(number, self._address, self.count, socket.MSG_DONTWAIT, None)
        if received < 0:
            return -ctypes.get_errno()
        self._interface_indexes[:] = self._no_interfaces
        return received

    def send(self, number: int, first: int, count: int) -> int:
        """Send the messages of headers ``first`` to ``first + count``; how many were taken, or minus the errno."""
        sent: int = self._sendmmsg(number, self._address + 64 * first, count, socket.MSG_DONTWAIT)
        return sent if sent >= 0 else -ctypes.get_errno()

    def write(self, i: int, message: bytes) -> None:
        """Put a message into slot ``i``, to be sent where the one before it came from, or to the peer."""
        start = i * self.slot_bytes
        self.slots[start : start + len(message)] = message
        self.iovecs[2 * i + 1] = len(message)

    def move(self, i: int, to: int) -> None:
        """Let header ``to``, which isn't needed any more, stand for slot ``i``, so that what is sent is together."""
        self._headers[64 * to : 64 * to + 64] = self._headers[64 * i : 64 * i + 64]

    def put(self, i: int, message: bytes, peer: bytes, control: bytes) -> None:
        """Put a message into slot ``i``: to ``peer``, with the raw control messages that came with its query."""
        self.write(i, message)
        start = i * _NAME_BYTES
        self._names[start : start + len(peer)] = peer
        self.headers[16 * i + _NAME_LENGTH] = len(peer)
        start = i * _CONTROL_BYTES
        self._controls[start : start + len(control)] = control
        self.headers[16 * i + _CONTROL_LENGTH] = len(control)

    def peer(self, i: int) -> bytes:
        """The raw socket address that slot ``i`` came from."""
        start = i * _NAME_BYTES
        return bytes(self._names[start : start + self.headers[16 * i + _NAME_LENGTH]])

    def control(self, i: int) -> bytes:
        """The raw control messages of slot ``i``."""
        start = i * _CONTROL_BYTES
        length = self.headers[16 * i + _CONTROL_LENGTH]
        return bytes(self._controls[start : start + length])


def _address(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
