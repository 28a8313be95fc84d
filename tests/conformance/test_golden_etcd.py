# SPDX-License-Identifier: Apache-2.0
"""What CoreDNS answered from a store of etcd, and what this server answers from one with the same in it.

The store is a real etcd; without one the tests are skipped. Where ours is another answer on purpose,
tests/data/etcd_differences.json has it, query by query, and docs/differences.md the reason. Where the environment
variable COREDNS names its program, that is asked as well, so that what was recorded is known to be true of it.
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
from pathlib import Path
from typing import Any

import dns.message
import pytest
from conformance.normal_form import Form, normal_form
from support import skydns
from support.etcd_server import EtcdServer
from support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests" / "data"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
REPLY_SECONDS = 8.0

Question = tuple[str, str]

with gzip.open(DATA / "golden" / "etcd.json.gz") as _file:
    RECORDED: dict[Question, Form] = {
        (each["name"], each["type"]): each["reply"] for each in json.load(_file)["answers"]
    }
DIFFERENCES: list[dict[str, Any]] = json.loads((DATA / "etcd_differences.json").read_text())
LISTED: dict[Question, Form] = {
    (case["name"], case["type"]): case["ours"] for difference in DIFFERENCES for case in difference["cases"]
}


def ask(port: int, question: Question, seconds: float = REPLY_SECONDS) -> Form:
    """The reply in normal form."""
    query = dns.message.make_query(*question, use_edns=0, payload=4096)
    query.id = 0x1234
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        client.sendto(query.to_wire(), ("127.0.0.1", port))
        return normal_form(client.recv(65535))


def serve(command: list[str], corefile: Path, folder: Path) -> Iterator[int]:
    """A process with the Corefile; its port, once it answers."""
    port = free_port()
    own = folder / f"Corefile.{port}"
    own.write_text(corefile.read_text().replace("PORT", str(port)))
    output_file = folder / f"output.{port}"
    with output_file.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-conf", str(own)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                ask(port, ("ns.elsewhere.test.", "A"), 0.1)
                break
            except OSError:
                assert process.poll() is None, output_file.read_text()
                assert time.monotonic() < end, output_file.read_text()
                time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def corefile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Corefile, as long as the store that it names is there."""
    folder = tmp_path_factory.mktemp("etcd")
    with EtcdServer(folder) as etcd:
        skydns.fill(etcd)
        yield skydns.write_corefile(folder, etcd)


@pytest.fixture(scope="module")
def own_port(corefile: Path) -> Iterator[int]:
    yield from serve([sys.executable, "-m", "clusterdns"], corefile, corefile.parent)


@pytest.fixture(scope="module")
def coredns_port(corefile: Path) -> Iterator[int]:
    program = os.environ.get("COREDNS")
    if not program:
        pytest.skip("the environment variable COREDNS names no program")
    yield from serve([program], corefile, corefile.parent)


def differences(port: int, expected: dict[Question, Form]) -> list[str]:
    """What a server answers that isn't as expected."""
    found = []
    for question, form in expected.items():
        got = ask(port, question)
        if got != form:
            parts = sorted(part for part in got.keys() | form.keys() if got.get(part) != form.get(part))
            found += [f"{question} {part}: {form.get(part)} but {got.get(part)}" for part in parts]
    return found


def test_everything_was_recorded() -> None:
    assert sorted(RECORDED) == sorted(skydns.questions())


def test_the_same_answers_but_for_what_is_listed(own_port: int) -> None:
    expected = {
        question: {part: value for part, value in (form | LISTED.get(question, {})).items() if value is not None}
        for question, form in RECORDED.items()
    }
    found = differences(own_port, expected)
    assert not found, "\n".join(found[:20])


def test_coredns_answers_what_was_recorded(coredns_port: int) -> None:
    found = differences(coredns_port, RECORDED)
    assert not found, "\n".join(found[:20])


def test_every_listed_difference_is_one() -> None:
    assert [question for question in LISTED if question not in RECORDED] == []
    assert [(question, ours) for question, ours in LISTED.items() if not ours] == []
    same = [
        (question, part)
        for question, ours in LISTED.items()
        for part in ours
        if ours[part] == RECORDED[question].get(part)
    ]
    assert same == []


def test_every_listed_difference_has_its_reason_in_the_documentation() -> None:
    text = (REPOSITORY / "docs" / "differences.md").read_text()
    assert [difference["id"] for difference in DIFFERENCES if f"`{difference['id']}`" not in text] == []
