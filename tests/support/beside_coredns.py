# SPDX-License-Identifier: Apache-2.0
"""The same Corefile and the same queries for this server and for CoreDNS, and how their replies differ.

Each has a fake upstream of its own, of the same kind, so that what one asks doesn't change what the other hears.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
from conformance.normal_form import Form, encode_query, normal_form

from support.ports import free_port
from support.recorded_upstream import RecordedUpstream
from support.upstream import Upstream, UpstreamThread

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 15.0
STOP_SECONDS = 20.0
REPLY_SECONDS = 6.5
"""Beyond the five after which both give up; who then has no reply got none."""

NO_REPLY: Form = {"error": "no reply"}
_STATUS = {"name": ".", "type": "SOA", "opcode": "STATUS"}
_SECTIONS = ("answer", "authority", "additional")


class CarefulUpstream(RecordedUpstream):
    """Answers like a good resolver: CD as in the query, and denials that say how long they hold in both places."""

    def handle(self, wire: bytes, tcp: bool, peer: tuple[str, int], send: Callable[[bytes], None]) -> frozenset[str]:
        """See RecordedUpstream."""

        def send_with_cd(reply: bytes) -> None:
            send(reply[:3] + bytes([reply[3] & ~0x10 | wire[3] & 0x10]) + reply[4:])

        return super().handle(wire, tcp, peer, send_with_cd)

    def _reply(self, query: dns.message.Message, word: str, tcp: bool) -> dns.message.Message:
        reply = super()._reply(query, word, tcp)
        for rrset in reply.authority:
            rrset.ttl = 60
        return reply


@dataclass(frozen=True)
class Scenario:
    """What is asked of which server block.

    directives: of the block for ``.``; ``UP`` is the upstream's address, ``FILES`` the directory of ``files``.
    asks: queries in the form of ``encode_query``; a number is a pause in seconds.
    at_once: how many queries are under way at a time.
    ages: TTLs may differ by a second, and letters of names don't count.
    """

    name: str
    directives: str
    asks: tuple[Form | float, ...]
    files: dict[str, str] = field(default_factory=dict)
    upstream: Callable[[], Upstream] = CarefulUpstream
    at_once: int = 8
    ages: bool = False


@dataclass(frozen=True)
class Difference:
    """Two replies to one query, each with the parts that the other doesn't have or has in another form."""

    asked: str
    ours: Form
    theirs: Form


def differences(scenario: Scenario, coredns: str, directory: Path) -> list[Difference]:
    """Ask both servers all the queries, in order."""
    for name, text in scenario.files.items():
        path = directory / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    programs = {"ours": [sys.executable, "-m", "clusterdns"], "theirs": [coredns]}
    with ExitStack() as stack:
        ports = []
        for name, program in programs.items():
            upstream = stack.enter_context(UpstreamThread(upstream=scenario.upstream()))
            body = scenario.directives.replace("UP", upstream.address).replace("FILES", str(directory / "files"))
            ports.append(stack.enter_context(_serving(program, f".:PORT {{\n{body}\n}}\n", directory / name)))
        pool = stack.enter_context(ThreadPoolExecutor(2 * scenario.at_once))
        return list(_compare(scenario, pool, ports))


def _compare(scenario: Scenario, pool: ThreadPoolExecutor, ports: list[int]) -> Iterator[Difference]:
    batch: list[Form] = []
    for ask in (*scenario.asks, 0.0):
        if not isinstance(ask, float):
            batch.append(ask)
        if isinstance(ask, float) or len(batch) >= scenario.at_once:
            under_way = [[pool.submit(_ask, port, query) for port in ports] for query in batch]
            for query, replies in zip(batch, under_way, strict=True):
                ours, theirs = (reply.result() for reply in replies)
                if ours != theirs and not (scenario.ages and _same_but_for_age(ours, theirs)):
                    parts = [part for part in ours | theirs if ours.get(part) != theirs.get(part)]
                    yield Difference(
                        ask_text(query), *({part: form.get(part) for part in parts} for form in (ours, theirs))
                    )
            batch.clear()
            time.sleep(ask if isinstance(ask, float) else 0)


def ask_text(query: Form) -> str:
    """``NAME TYPE`` and what else is special about a query."""
    rest = {key: value for key, value in query.items() if key not in ("name", "type")}
    return " ".join([query["name"], query["type"], *(f"{key}={value}" for key, value in rest.items())])


def _same_but_for_age(ours: Form, theirs: Form) -> bool:
    stripped, ages = [], []
    for form in (ours, theirs):
        rows = {
            section: sorted((name.lower(), data.lower(), int(ttl)) for name, ttl, data in _split(form[section]))
            for section in _SECTIONS
            if section in form
        }
        stripped.append({**form, **{section: [row[:2] for row in found] for section, found in rows.items()}})
        ages.append([row[2] for found in rows.values() for row in found])
    return stripped[0] == stripped[1] and all(abs(one - other) <= 1 for one, other in zip(*ages, strict=True))


def _split(lines: list[str]) -> Iterator[list[str]]:
    return (line.split(" ", 2) for line in lines)


def _ask(port: int, query: Form) -> Form:
    wire = encode_query(query)
    try:
        if query.get("tcp"):
            with socket.create_connection(("127.0.0.1", port), REPLY_SECONDS) as connection:
                connection.settimeout(REPLY_SECONDS)
                connection.sendall(len(wire).to_bytes(2, "big") + wire)
                stream = connection.makefile("rb")
                reply = stream.read(int.from_bytes(stream.read(2), "big"))
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(REPLY_SECONDS)
                client.connect(("127.0.0.1", port))  # or else late replies to others would be taken
                client.send(wire)
                reply = client.recv(65535)
    except (TimeoutError, ConnectionError):
        return NO_REPLY
    return normal_form(reply) if reply else NO_REPLY


@contextmanager
def _serving(program: list[str], corefile: str, path: Path) -> Iterator[int]:
    """A process with a Corefile at ``path``; its port, once it answers."""
    port = free_port()
    path.write_text(corefile.replace("PORT", str(port)))
    output_file = path.with_suffix(".output")
    with output_file.open("wb") as output:
        process = subprocess.Popen(
            [*program, "-conf", str(path)], cwd=REPOSITORY, env=os.environ, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        end = time.monotonic() + START_SECONDS
        while _status(port) == NO_REPLY:
            if time.monotonic() > end or process.poll() is not None:
                raise AssertionError(f"{program[0]} does not answer:\n{output_file.read_text()}")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _status(port: int) -> Form:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.05)
        try:
            client.connect(("127.0.0.1", port))
            client.send(encode_query(_STATUS))
            return normal_form(client.recv(512))
        except TimeoutError:
            return NO_REPLY
        except ConnectionRefusedError:
            time.sleep(0.02)
            return NO_REPLY


def as_json(found: list[Difference]) -> str:
    """Differences to read, one part a line."""
    return "\n".join(
        f"{each.asked}: {part}: ours {json.dumps(each.ours[part])}, theirs {json.dumps(each.theirs[part])}"
        for each in found
        for part in each.ours
    )
