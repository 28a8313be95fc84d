# SPDX-License-Identifier: Apache-2.0
"""Reading from many sockets, and how many there may be."""

from __future__ import annotations

import asyncio
import select
import socket
from time import perf_counter
from typing import Final, Protocol

from clusterdns.sockets import mmsg
from clusterdns.upstream.volley import MOST_QUESTIONS

MOST_PORTS: Final = 1024
"""Source ports open to one upstream: with the ID they make a forged reply hit once in 2^26 tries."""

_MOST_OPEN: Final = 16 * MOST_PORTS
_LEAST_OPEN: Final = 16
_BATCH: Final = 256
_TURN_SECONDS: Final = 0.002
"""For what has come, before other work of the process gets a turn."""

_DATAGRAM_BYTES: Final = 65536
"""No datagram is longer."""


class Readable(Protocol):
    """A socket that can be read."""

    def read(self) -> None:
        """Take some datagrams."""


class Receiver:
    """Waits for datagrams on many sockets.

    incoming, outgoing: buffers for all of them, as only one is read or written at a time; None where the system doesn't
        send and take several datagrams at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readables: dict[int, Readable] = {}
        batches = mmsg.available()
        self.incoming = _batch(_DATAGRAM_BYTES) if batches else None
        self.outgoing = _batch(mmsg.SLOT_BYTES) if batches else None
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        if self._epoll is not None:
            loop.add_reader(self._epoll.fileno(), self._read)

    def add(self, number: int, readable: Readable) -> None:
        """Watch a file descriptor."""
        self._readables[number] = readable
        if self._epoll is not None:
            self._epoll.register(number, select.EPOLLIN)
        else:
            self._loop.add_reader(number, readable.read)

    def remove(self, number: int) -> None:
        """Watch it no more; to be called before it is closed."""
        del self._readables[number]
        if self._epoll is not None:
            self._epoll.unregister(number)
        else:
            self._loop.remove_reader(number)

    def _read(self) -> None:
        assert self._epoll is not None
        readables = self._readables
        turn_ends = perf_counter() + _TURN_SECONDS
        for number, _ in self._epoll.poll(0, _BATCH):
            readable = readables.get(number)
            if readable is not None:
                readable.read()
            if perf_counter() > turn_ends:
                break  # what is left is told again

    def close(self) -> None:
        """Stop; the sockets have to be removed before."""
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()


def _batch(slot_bytes: int) -> mmsg.MessageBatch:
    return mmsg.MessageBatch(socket.AF_INET, MOST_QUESTIONS, slot_bytes, connected=True)


class Allowance:
    """How many sockets the upstreams of a process may have open together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 0
        self.holders = 0

    def share(self) -> int:
        """What one of the upstreams may take."""
        return max(1, min(MOST_PORTS, self.most // max(1, self.holders)))


def descriptor_allowance() -> Allowance:
    """Half of the file descriptors that the process may have; the soft limit is raised to the hard one, as by Go."""
    try:
        import resource
    except ImportError:  # not on Windows
        return Allowance(MOST_PORTS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # macOS has a lower limit of its own
            pass
    if soft == resource.RLIM_INFINITY:
        return Allowance(_MOST_OPEN)
    return Allowance(max(_LEAST_OPEN, min(_MOST_OPEN, soft // 2)))
