# SPDX-License-Identifier: Apache-2.0
"""A real server process for the tests that ask one."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
STOP_SECONDS = 10.0
DEMO_NAME = "kubernetes.default.svc.cluster.local"


@dataclass
class RunningServer:
    """A process that has answered its first query.

    port: of 127.0.0.1, UDP and TCP; first_rcode: of its first reply; first_answer_seconds: from the start of the
    process to that reply; output_file: what it printed.
    """

    process: subprocess.Popen[bytes]
    port: int
    first_rcode: int
    first_answer_seconds: float
    output_file: Path

    def ask(self, name: str, record_type: str, *, tcp: bool = False) -> dns.message.Message:
        """The reply to one query with RD set."""
        query = dns.message.make_query(name, record_type)
        transport = dns.query.tcp if tcp else dns.query.udp
        return transport(query, "127.0.0.1", timeout=5, port=self.port)

    def output(self) -> str:
        """Everything printed so far, stdout and stderr."""
        return self.output_file.read_text()


StartServer = Callable[..., RunningServer]


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts ``python -m clusterdns`` and waits for its first answer. ``PORT`` stands for a free port (or ``port``), in
    the arguments and in the Corefile that they name. All that were started are stopped at the end of the session.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, first_name: str = ".", port: int = 0) -> RunningServer:
        port = port or free_port()
        for path in map(Path, arguments):
            if path.is_file() and "PORT" in (text := path.read_text()):
                path.write_text(text.replace("PORT", str(port)))
        output_file = tmp_path_factory.mktemp("server") / "output"
        with output_file.open("wb") as output:
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "clusterdns", *(each.replace("PORT", str(port)) for each in arguments)],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        processes.append(process)
        first_rcode = wait_for_an_answer(process, port, first_name, output_file)
        return RunningServer(process, port, first_rcode, time.monotonic() - began, output_file)

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_an_answer(process: subprocess.Popen[bytes], port: int, name: str, output_file: Path) -> int:
    """Ask over UDP every 10 ms until a reply comes; its rcode. Fails the test if the process ends or 20 s pass."""
    query = dns.message.make_query(name, "SOA").to_wire()
    end = time.monotonic() + START_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.01)
        while time.monotonic() < end and process.poll() is None:
            try:
                client.send(query)
                reply = client.recv(4096)
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(0.01)
                continue
            return reply[3] & 15
    pytest.fail(f"the server does not answer (exit code {process.poll()}):\n{output_file.read_text()}")


@dataclass
class Demo:
    """The demo cluster as ``make run`` serves it; the ports are those of the admin endpoints."""

    server: RunningServer
    health_port: int
    ready_port: int
    metrics_port: int


def make_run_arguments(corefile: Path) -> list[str]:
    """What the target ``run`` of the Makefile gives to ``python -m clusterdns``, with another Corefile and port."""
    recipe = re.search(r"(?m)^run:.*\n\t\S+ -m clusterdns (.*)", (REPOSITORY / "Makefile").read_text())
    assert recipe is not None
    return shlex.split(recipe[1].replace("zones/Corefile", str(corefile)).replace("$(PORT)", "PORT"))


@pytest.fixture(scope="session")
def demo(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One server for all tests that only read. Its Corefile is the demo's, on admin ports of its own."""
    health_port, ready_port, metrics_port = free_port(), free_port(), free_port()
    text = (REPOSITORY / "zones" / "Corefile").read_text()
    for directive, port in (("health", health_port), ("ready", ready_port), ("prometheus", metrics_port)):
        text, count = re.subn(rf"({directive} 127\.0\.0\.1):\d+", rf"\1:{port}", text)
        assert count == 1
    corefile = tmp_path_factory.mktemp("demo") / "Corefile"
    corefile.write_text(text)
    server = start_server(*make_run_arguments(corefile), first_name=DEMO_NAME)
    while server.ask(DEMO_NAME, "A").rcode() == dns.rcode.SERVFAIL:
        time.sleep(0.01)
    return Demo(server, health_port, ready_port, metrics_port)
