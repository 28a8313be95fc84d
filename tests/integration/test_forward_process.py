# SPDX-License-Identifier: Apache-2.0
"""A server process that forwards: loops, reloads and the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest
from support.ports import free_port
from support.upstream import Faults, UpstreamThread, address_text

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_loop_ends_the_process(tmp_path: Path) -> None:
    port = free_port()
    corefile = tmp_path / "Corefile"
    corefile.write_text(f".:{port} {{\n bind 127.0.0.1\n loop\n forward . 127.0.0.1:{port}\n}}\n")
    command = [sys.executable, "-m", "clusterdns", "-conf", str(corefile)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=20)
    assert result.returncode == 1
    assert f"-> 127.0.0.1:{port}) detected for zone" in result.stdout + result.stderr
    assert "[FATAL] plugin/loop: Loop (127.0.0.1:" in result.stdout + result.stderr


def test_no_loop_where_the_upstream_answers(start_server: Any, tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    with UpstreamThread() as upstream:
        corefile.write_text(f".:PORT {{\n errors\n loop\n forward . {upstream.address}\n}}\n")
        server = start_server("-conf", str(corefile))
        reply = server.ask("www.example.test.", "A")
        assert [item.address for item in reply.answer[0]] == [address_text("www.example.test.")]
        assert server.ask("www.example.test.", "A", tcp=True).answer == reply.answer
        end = time.monotonic() + 5
        while not any(question.qtype == 13 for question in upstream.questions):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert "Loop" not in server.output()


def test_other_classes_are_forwarded(start_server: Any, tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    with UpstreamThread() as upstream:
        corefile.write_text(f".:PORT {{\n forward . {upstream.address}\n}}\n")
        server = start_server("-conf", str(corefile))
        query = dns.message.make_query("version.bind.", "TXT", "CH")
        assert dns.query.udp(query, "127.0.0.1", port=server.port, timeout=5).rcode() == dns.rcode.NOERROR


def test_every_query_is_answered_over_reloads_to_other_upstreams(start_server: Any, tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    with UpstreamThread(Faults(delay_seconds=0.05)) as one, UpstreamThread(Faults(delay_seconds=0.05)) as two:
        corefile.write_text(f".:PORT {{\n errors\n forward . {one.address}\n}}\n")
        server = start_server("-conf", str(corefile))
        wrong: list[object] = []
        stop = threading.Event()

        def ask(thread: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                name = f"n{number}.t{thread}.test."
                reply = server.ask(name, "A")
                if reply.rcode() or [item.address for item in reply.answer[0]] != [address_text(name)]:
                    wrong.append((name, reply.rcode()))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for upstream in (two, one, two):
            corefile.write_text(f".:{server.port} {{\n errors\n forward . {upstream.address}\n}}\n")
            server.process.send_signal(signal.SIGUSR1)
            time.sleep(0.4)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert server.output().count("Reloading complete") == 3
        assert min(len(one.questions), len(two.questions)) > 20


def test_the_end_waits_for_replies_that_are_due_and_is_clean(start_server: Any, tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    with UpstreamThread() as upstream:
        corefile.write_text(f".:PORT {{\n errors\n forward . {upstream.address}\n}}\n")
        server = start_server("-conf", str(corefile))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(dns.message.make_query("slow.test.", "A").to_wire(), ("127.0.0.1", server.port))
            while not any(name.startswith(b"\4slow") for name in upstream.names()):
                time.sleep(0.01)
            os.kill(server.process.pid, signal.SIGTERM)
            assert dns.message.from_wire(client.recv(512)).answer
        assert server.process.wait(10) == 0
        assert "ERROR" not in server.output()


def test_memory_is_not_lost_over_reloads_of_full_caches(start_server: Any, tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    rounds, names = 8, 4000
    with UpstreamThread() as upstream:
        corefile.write_text(f".:PORT {{\n errors\n cache 300\n forward . {upstream.address}\n}}\n")
        server = start_server("-conf", str(corefile))
        status = Path(f"/proc/{server.process.pid}/status")
        if not status.exists():
            pytest.skip("this system has no /proc")
        sizes = []
        for number in range(rounds):
            fill_cache(server.port, [f"n{each}.r{number}.test." for each in range(names)])
            server.process.send_signal(signal.SIGUSR1)
            end = time.monotonic() + 10
            while server.output().count("Reloading complete") <= number:
                assert time.monotonic() < end
                time.sleep(0.01)
            sizes.append(int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]))
        assert sizes[-1] - sizes[2] < 6000, sizes


def fill_cache(port: int, names: list[str]) -> None:
    """Ask for all names, 100 at a time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", port))
        for start in range(0, len(names), 100):
            part = names[start : start + 100]
            for name in part:
                client.send(dns.message.make_query(name, "A").to_wire())
            for _ in part:
                assert client.recv(512)[3] & 15 == 0
