# SPDX-License-Identifier: Apache-2.0
"""One reply, one query: ten thousand clients wait at a time, before upstreams that lose, reorder and duplicate.

The upstreams are stopped until all have asked, so that some queries are asked again and have late replies, too. No
client may get another's answer, or a second one. Over UDP each has a socket of its own as far as the limits of the
machine allow; over TCP two hundred connections carry fifty queries each. Which answer is whose follows from the name.
"""

from __future__ import annotations

import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import dns.message
import pytest
from support.ports import free_port
from support.upstream import address_of

LOSSY_UPSTREAMS = Path(__file__).parents[1] / "soak" / "lossy_upstreams.py"
QUERIES = 11_000
QUERIES_PER_CONNECTION = 50
FORWARD = "read_timeout 3s\nmax_fails 0"
"""Upstreams are stopped for longer than two seconds where the machine is slow, and stay in use."""

DELAY_SECONDS = 0.5
STEP, STEP_SECONDS = 100, 0.01
"""The pace: faster than this the kernel's buffer of a busy server overflows."""

MOST_SECONDS = 14.0
QUIET_SECONDS = 1.5
"""After the last reply: a second one would have come."""

MOST_FAILED = 0.5
"""A query of which both attempts were lost fails, and many more do where the machine is busy for seconds."""

OTHER_FILES = 300


@dataclass
class Asked:
    """A query that waits on a socket under its ID. ``replies`` are rcode and answer of those that came."""

    question: bytes
    replies: list[tuple[int, bytes]] = field(default_factory=list)


class Peer:
    """A socket, and the queries that were sent on it, by ID. ``strangers`` are replies to none of them."""

    def __init__(self, port: int, tcp: bool) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.asked: dict[int, Asked] = {}
        self.strangers = 0
        self._tcp = tcp
        self._buffer = b""

    def send(self, number: int, name: str) -> None:
        wire = dns.message.make_query(name, "A", id=number).to_wire()
        self.asked[number] = Asked(wire[12:])
        self.socket.sendall(struct.pack("!H", len(wire)) + wire if self._tcp else wire)

    def receive(self) -> int:
        """Take what has come; the number of queries that have got their first reply with it."""
        chunk = self.socket.recv(65536)
        messages = [chunk]
        if self._tcp:
            self._buffer += chunk
            messages = []
            while len(self._buffer) > 1 and len(self._buffer) >= (end := 2 + int.from_bytes(self._buffer[:2], "big")):
                messages.append(self._buffer[2:end])
                self._buffer = self._buffer[end:]
        return sum(map(self._take, messages))

    def _take(self, wire: bytes) -> int:
        asked = self.asked.get(int.from_bytes(wire[:2], "big"))
        if asked is None or wire[12 : 12 + len(asked.question)] != asked.question:
            self.strangers += 1
            return 0
        asked.replies.append((wire[3] & 15, wire[-4:] if wire[6:8] != b"\0\0" else b""))
        return len(asked.replies) == 1


@contextmanager
def upstreams() -> Iterator[tuple[subprocess.Popen[bytes], tuple[int, int]]]:
    """Two lossy upstreams in a process of their own, and their ports."""
    ports = free_port(), free_port()
    command = [sys.executable, str(LOSSY_UPSTREAMS), "--delay", str(DELAY_SECONDS), *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process, ports
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


@contextmanager
def many_files() -> Iterator[int]:
    """How many sockets there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard - OTHER_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def put_questions(peers: list[Peer], names: list[str], all_sent: Callable[[], None]) -> int:
    """Send all queries, and take replies until all have one or time is up, and then until it is quiet.

    The number of those that had a reply when all were sent.
    """
    numbers = Random(4).sample(range(65536), QUERIES)
    poll = select.epoll()
    by_number = {peer.socket.fileno(): peer for peer in peers}
    for peer in peers:
        poll.register(peer.socket, select.EPOLLIN)
    began = last = time.monotonic()
    sent = answered = early = 0
    while True:
        now = time.monotonic()
        if sent < QUERIES and now - began >= sent / STEP * STEP_SECONDS:
            for position in range(sent, sent + STEP):
                peers[position % len(peers)].send(numbers[position], names[position])
            sent += STEP
            if sent == QUERIES:
                early = answered
                all_sent()
        for number, _ in poll.poll(0.005, 512):
            answered += by_number[number].receive()
            last = now
        if (answered == QUERIES or now - began > MOST_SECONDS) and now - last > QUIET_SECONDS:
            break
        assert now - began < 2 * MOST_SECONDS, "replies don't end"
    poll.close()
    return early


def dropped_datagrams(port: int) -> int:
    """How many datagrams the kernel dropped: in front of the server, and of anybody on the loopback."""
    backlogs = Path("/proc/net/softnet_stat").read_text().splitlines()
    drops = sum(int(line.split()[1], 16) for line in backlogs)
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if int(words[1].rpartition(":")[2], 16) == port:
                drops += int(words[-1])
    return drops


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tcp", "directives", "clients_per_name"),
    [(False, "", 1), (False, "cache 30", 20), (True, "", 1)],
    ids=["udp", "udp-cached", "tcp"],
)
def test_no_client_gets_the_answer_of_another_or_a_second_one(
    start_server, tmp_path, tcp, directives, clients_per_name
):
    corefile = tmp_path / "Corefile"
    with upstreams() as (lossy, ports), many_files() as most_sockets:
        to = " ".join(f"127.0.0.1:{port}" for port in ports)
        # What it is asked until it answers is answered by itself: late replies to that would come to the clients.
        ready = "ready.test:PORT {\n bind 127.0.0.1\n whoami\n}\n"
        corefile.write_text(
            f"{ready}.:PORT {{\n bind 127.0.0.1\n {directives}\n forward . {to} {{\n{FORWARD}\n}}\n}}\n"
        )
        server = start_server("-conf", str(corefile), first_name="ready.test.")
        peers = [
            Peer(server.port, tcp)
            for _ in range(QUERIES // QUERIES_PER_CONNECTION if tcp else min(QUERIES, most_sockets))
        ]
        names = [
            f"c{number // clients_per_name}.z{number % 7 if clients_per_name == 1 else 0}.test."
            for number in range(QUERIES)
        ]
        dropped = -dropped_datagrams(server.port)
        lossy.send_signal(signal.SIGSTOP)
        early = put_questions(peers, names, lambda: lossy.send_signal(signal.SIGCONT))
        dropped += dropped_datagrams(server.port)
        for peer in peers:
            peer.socket.close()
    asked = [asked for peer in peers for asked in peer.asked.values()]
    assert len(asked) == QUERIES
    assert early <= MOST_FAILED * QUERIES, "most have to wait at a time"
    assert sum(peer.strangers for peer in peers) == 0
    assert [each.question for each in asked if len(each.replies) > 1] == []
    right = [(0, address_of(each.question[:-4])) for each in asked]
    wrong = [
        each for each, own in zip(asked, right, strict=True) if each.replies and each.replies[0] not in (own, (2, b""))
    ]
    assert wrong == []
    assert sum(not each.replies for each in asked) <= dropped
    assert sum(each.replies == [(2, b"")] for each in asked) <= MOST_FAILED * QUERIES
