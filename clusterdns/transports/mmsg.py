# SPDX-License-Identifier: Apache-2.0
"""``recvmmsg`` and ``sendmmsg`` over one fixed set of buffers (recvmmsg(2)).

Theory of operation. There are BATCH slots of SLOT_BYTES each in one bytearray, and for each slot an iovec, an address
buffer, a control buffer and a mmsghdr that points to them. Nothing is allocated per call: a reply is written over its
query, so its ID, its destination and its source address (the control message, IP_PKTINFO) already stand where
``sendmmsg`` looks for them. Only two numbers change for each message: its length in the iovec before sending, and
everything that the kernel wrote before receiving again, which one copy of a pristine mmsghdr array restores.
"""

from __future__ import annotations

import ctypes
import errno
import os
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
    """Buffers for one socket.

    slots: the octets of all slots, slot ``i`` starts at ``i * SLOT_BYTES``.
    headers: the mmsghdr array as 32-bit words; ``headers[i * HEADER_WORDS + LENGTH_WORD]`` is the length received.
    iovecs: the iovec array as 64-bit words; ``iovecs[2 * i + 1]`` is the length to send.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._fd = sock.fileno()
        library = ctypes.CDLL(None, use_errno=True)
        self._recvmmsg = library.recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._sendmmsg = library.sendmmsg
        self._sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._buffer = bytearray(BATCH * SLOT_BYTES)
        self._names = bytearray(BATCH * _NAME_BYTES)
        self._controls = bytearray(BATCH * _CONTROL_BYTES)
        self._iovec_bytes = bytearray(BATCH * 16)
        self._header_bytes = bytearray(BATCH * 64)
        self.slots = memoryview(self._buffer)
        self.headers = memoryview(self._header_bytes).cast("I")
        self.iovecs = memoryview(self._iovec_bytes).cast("Q")
        self._address = _address(self._header_bytes)
        # Replies leave from the address that was asked, but routing chooses the interface: the index that came with the
        # query would overrule it.
        index_word = 8 if sock.family == socket.AF_INET6 else 4
        self._interface_indexes = memoryview(self._controls).cast("I")[index_word :: _CONTROL_BYTES // 4]
        self._no_interfaces = memoryview(bytes(4 * BATCH)).cast("I")
        self._lay_out()
        self._pristine_headers = bytes(self._header_bytes)
        self._pristine_iovecs = bytes(self._iovec_bytes)

    def _lay_out(self) -> None:
        buffer, names = _address(self._buffer), _address(self._names)
        controls, iovecs = _address(self._controls), _address(self._iovec_bytes)
        words = memoryview(self._header_bytes).cast("Q")
        for i in range(BATCH):
            self.iovecs[2 * i] = buffer + i * SLOT_BYTES
            self.iovecs[2 * i + 1] = SLOT_BYTES
            words[8 * i] = names + i * _NAME_BYTES
            self.headers[16 * i + _NAME_LENGTH] = _NAME_BYTES
            words[8 * i + 2] = iovecs + i * 16
            words[8 * i + 3] = 1
            words[8 * i + 4] = controls + i * _CONTROL_BYTES
            words[8 * i + 5] = _CONTROL_BYTES

    def receive(self) -> int:
        """Take what is there, at most BATCH messages; 0 if nothing is."""
        self._header_bytes[:] = self._pristine_headers
        self._iovec_bytes[:] = self._pristine_iovecs
        received: int = self._recvmmsg(self._fd, self._address, BATCH, socket.MSG_DONTWAIT, None)
        if received < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED):
                return 0
            raise OSError(number, os.strerror(number))
        self._interface_indexes[:] = self._no_interfaces
        return received

    def send(self, first: int, count: int) -> int:
        """Send the messages in slots ``first`` to ``first + count``; how many were taken, or minus the errno."""
        sent: int = self._sendmmsg(self._fd, self._address + 64 * first, count, socket.MSG_DONTWAIT)
        return sent if sent >= 0 else -ctypes.get_errno()

    def put(self, i: int, message: bytes, peer: bytes, control: bytes) -> None:
        """Put a message into slot ``i``: to ``peer``, with the raw control messages that came with its query."""
        start = i * SLOT_BYTES
        self.slots[start : start + len(message)] = message
        self.iovecs[2 * i + 1] = len(message)
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
