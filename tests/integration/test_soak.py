# SPDX-License-Identifier: Apache-2.0
"""A short soak passes, and what it looks for would be found."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOAK = REPOSITORY / "tests" / "soak"

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (Debian: apt install gcc libc6-dev)"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the clients use epoll, which is Linux's"),
]


def test_a_short_soak_finds_nothing() -> None:
    command = ["tests/soak/soak.py", "--seconds", "15", "--clients", "3000", "--think", "1500"]
    result = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=110, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "verdict: all is well"


class LyingServer:
    """Answers each query by ``answer``, which makes datagrams of it."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._answer = answer
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> LyingServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                query, client = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            for reply in self._answer(query):
                self._socket.sendto(reply, client)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("soak") / "clients"
    command = ["cc", "-O1", "-I", str(REPOSITORY / "benchmarks"), "-o", str(path), str(SOAK / "clients.c")]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a test import the modules of the soak."""
    monkeypatch.syspath_prepend(str(SOAK))
    yield
    for name in ("observations", "site_files"):
        sys.modules.pop(name, None)


def judged(program: Path, answer: Callable[[bytes], list[bytes]]) -> dict[str, Any]:
    """What twenty clients say about a server that answers so."""
    with LyingServer(answer) as server:
        words = [str(program), str(server.port), "0.5", "20", "20", "0"]
        result = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def response(query: bytes, *, rcode: int = 0, flips: int = 0) -> bytes:
    return bytes([query[0], query[1] ^ flips, query[2] | 0x80, rcode]) + query[4:]


def test_clients_see_second_replies(program: Path) -> None:
    found = judged(program, lambda query: [response(query, rcode=3)] * 2)
    assert found["twice"] > 20
    assert found["foreign"] == 0


def test_clients_see_replies_of_others(program: Path) -> None:
    last: list[bytes] = [b""]

    def answer(query: bytes) -> list[bytes]:
        other, last[0] = last[0], query
        return [*([response(other)] if other else []), response(query, rcode=3)]

    found = judged(program, answer)
    assert found["foreign"] > 20
    assert any(example.startswith("of another: ") for example in found["examples"])
    found = judged(program, lambda query: [response(query, flips=1), response(query, rcode=3)])
    assert found["foreign"] > 20
    assert found["twice"] == 0


def test_clients_see_wrong_and_failed_replies(program: Path) -> None:
    found = judged(program, lambda query: [response(query, rcode=3)])
    assert found["wrong"] > 20  # of names that exist
    assert found["right"] > 5  # of those that don't
    found = judged(program, lambda query: [response(query, rcode=2)])
    assert (found["wrong"], found["right"]) == (0, 0)
    assert found["failed"] > 20


def test_growth_is_seen(modules: None) -> None:
    from observations import Observation, growths, left_over

    def observations(tasks: float = 0, sockets: float = 0, memory: float = 0) -> list[Observation]:
        """A minute; the arguments are what comes to 100 each second."""
        mebibyte = 2**20
        return [
            Observation(each, 100 + tasks * each, 100 + sockets * each, (100 + memory * each) * mebibyte, 0)
            for each in range(60)
        ]

    assert growths(observations()) == []
    assert growths(observations(tasks=1, sockets=1, memory=0.2)) == []
    assert [text.split()[0] for text in growths(observations(tasks=20))] == ["tasks"]
    assert [text.split()[0] for text in growths(observations(sockets=10))] == ["sockets"]
    assert [text.split()[0] for text in growths(observations(memory=2))] == ["memory_bytes"]
    assert growths([]) == ["only 0 observations"]
    before, after = Observation(0, 5, 20, 1, 0), Observation(60, 15, 1000, 9, 2)
    assert left_over(before, after) == ["15 tasks are left, 5 there were before", "plugins failed 2 times"]
    assert left_over(before, before) == []
