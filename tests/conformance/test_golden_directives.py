# SPDX-License-Identifier: Apache-2.0
"""What CoreDNS answered with 25 Corefiles of other directives than ``kubernetes``, and what this server answers.

Each Corefile is given to a process of its own, and the queries are asked in their order, because what a cache has
depends on it. Where ours is another answer on purpose, tests/data/directive_differences.json has it, query by query,
and docs/differences.md the reason.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conformance.normal_form import Form, encode_query, normal_form, recorded_form
from support.ports import free_port
from support.recorded_upstream import RecordedUpstream
from support.upstream import UpstreamThread

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests" / "data"
START_ATTEMPTS = 5
START_SECONDS = 20.0
STOP_SECONDS = 10.0
REPLY_SECONDS = 15.0
SILENCE_SECONDS = 1.0
"""Without a reply, where CoreDNS gave none in three."""

NO_REPLY: Form = {"error": "TimeoutError"}
STATUS_QUERY = {"name": ".", "type": "SOA", "opcode": "STATUS"}
"""Answered with NOTIMP by the server itself: no directive sees it, and nothing is cached."""

with gzip.open(DATA / "golden" / "directives.json.gz") as _file:
    RUNS: dict[str, dict[str, Any]] = {run["name"]: run for run in json.load(_file)["runs"]}
DIFFERENCES: list[dict[str, Any]] = json.loads((DATA / "directive_differences.json").read_text())

Ask = tuple[str, str, int]
"""The name of the run, the query as JSON, and how often it has been asked with this time."""


def asks_of(name: str) -> list[tuple[Ask, Form, Form]]:
    """What is asked in a run, in order: each with its query and the reply of CoreDNS."""
    return [
        (ask_of(name, case["query"], number), case["query"], recorded_form(recorded))
        for case in RUNS[name]["answers"]
        for number, recorded in enumerate(case["expect"], 1)
    ]


def ask_of(run: str, query: Form, number: int) -> Ask:
    return run, json.dumps(query, sort_keys=True), number


def listed() -> dict[Ask, Form]:
    """The differences by what is asked: the parts of the reply that are other ones, null where ours has none."""
    found: dict[Ask, Form] = {}
    for difference in DIFFERENCES:
        for case in difference["cases"]:
            asked = ask_of(case["run"], case["query"], case["ask"])
            assert asked not in found, f"{asked} is listed twice"
            found[asked] = case["ours"]
    return found


def our_form(recorded: Form, ours: Form) -> Form:
    return {part: value for part, value in (recorded | ours).items() if value is not None}


@contextmanager
def serving(run: dict[str, Any], upstream_port: int, directory: Path) -> Iterator[int]:
    """A process with the Corefile and the files of a run; its port, once it answers."""
    for name, text in run["files"].items():
        path = directory / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    text = run["corefile"].replace(":UP", f":{upstream_port}").replace("FILES", str(directory / "files"))
    process, port = start(text, upstream_port, directory)
    try:
        yield port
    finally:
        stop(process)


def start(corefile: str, upstream_port: int, directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A process that answers, and its port. Another port is tried where somebody else took it in the meantime."""
    path, output_file = directory / "Corefile", directory / "output"
    said = ""
    for _ in range(START_ATTEMPTS):
        port = free_port()
        path.write_text(corefile.replace("PORT", str(port)))
        with output_file.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "clusterdns", "-conf", str(path)],
                cwd=REPOSITORY,
                env={**os.environ, "UPSTREAM": str(upstream_port)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if answers(process, port):
            return process, port
        stop(process)
        said = output_file.read_text()
        if "address already in use" not in said:
            break
    pytest.fail(f"the server does not answer (exit code {process.returncode}):\n{said}")


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the process answers; whether it does, rather than having ended."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if ask(port, STATUS_QUERY, 0.05) != NO_REPLY:
            return process.poll() is None
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def ask(port: int, query: Form, seconds: float) -> Form:
    """The reply in normal form, or NO_REPLY if none comes in time."""
    wire = encode_query(query)
    try:
        if query.get("tcp"):
            with socket.create_connection(("127.0.0.1", port), seconds) as connection:
                connection.sendall(len(wire).to_bytes(2, "big") + wire)
                stream = connection.makefile("rb")
                return normal_form(stream.read(int.from_bytes(stream.read(2), "big")))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(seconds)
            client.sendto(wire, ("127.0.0.1", port))
            return normal_form(client.recv(65535))
    except TimeoutError:
        return NO_REPLY


@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_corefile(name: str, tmp_path: Path) -> None:
    differences = listed()
    wrong = []
    with UpstreamThread(upstream=RecordedUpstream()) as upstream, serving(RUNS[name], upstream.port, tmp_path) as port:
        for asked, query, recorded in asks_of(name):
            expected = our_form(recorded, differences.get(asked, {}))
            got = ask(port, query, SILENCE_SECONDS if expected == NO_REPLY else REPLY_SECONDS)
            if got != expected:
                parts = sorted(part for part in got.keys() | expected.keys() if got.get(part) != expected.get(part))
                lines = [f"  {part}: {expected.get(part)} but {got.get(part)}" for part in parts]
                wrong.append("\n".join([f"{query}, time {asked[2]}", *lines]))
    assert not wrong, "\n".join(wrong[:20])


def test_every_listed_difference_is_asked_for_and_is_one() -> None:
    recorded = {asked: form for name in RUNS for asked, _, form in asks_of(name)}
    differences = listed()
    assert [asked for asked in differences if asked not in recorded] == []
    same = [
        (asked, part) for asked, ours in differences.items() for part in ours if ours[part] == recorded[asked].get(part)
    ]
    assert same == []
    assert [asked for asked, ours in differences.items() if not ours] == []


def test_every_listed_difference_has_its_reason_in_the_documentation() -> None:
    text = (REPOSITORY / "docs" / "differences.md").read_text()
    assert [difference["id"] for difference in DIFFERENCES if f"`{difference['id']}`" not in text] == []
