# SPDX-License-Identifier: Apache-2.0
"""A real process: its lines at start, signals and exit codes, and reloads under load that lose no query."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dns.message
import pytest

from clusterdns import __version__

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec:
  clusterIP: {address}
  ports: [{{port: 80}}]
"""
COREFILE = """\
.:PORT {{
    bind 127.0.0.1
    errors
    kubernetes cluster.local {{
        manifests {manifests}
        ttl {ttl}
    }}
    template IN TXT generation.test {{
        answer "generation.test. 0 IN TXT {generation}"
    }}
    loadbalance
    {extra}
}}
"""


@pytest.fixture
def cluster(tmp_path):
    """Writes a Corefile over a directory with one Service; gives its path."""
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "web.yaml").write_text(SERVICE.format(address="10.96.0.80"))

    def write(*, port="PORT", ttl=5, generation=1, extra=""):
        text = COREFILE.format(manifests=manifests, ttl=ttl, generation=generation, extra=extra)
        path = tmp_path / "Corefile"
        temporary = tmp_path / ".Corefile"
        temporary.write_text(text.replace("PORT", str(port)))
        temporary.replace(path)
        return path

    return write


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.01)


def generation(server):
    return server.ask("generation.test.", "TXT").answer[0][0].strings[0].decode()


class Load:
    """Asks as fast as one socket of 16 queries in flight can; counts what is lost or wrong."""

    def __init__(self, port):
        self.asked = 0
        self.lost = 0
        self.wrong = []
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *reason):
        self._stop.set()
        self._thread.join()

    def _run(self):
        packets = [
            dns.message.make_query(f"{name}.default.svc.cluster.local.", "A", id=number).to_wire()
            for number, name in enumerate(["web", "nope"] * 8)
        ]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2.0)
            sock.connect(("127.0.0.1", self._port))
            while not self._stop.is_set():
                waiting = set(range(len(packets)))
                for packet in packets:
                    sock.send(packet)
                self.asked += len(packets)
                try:
                    while waiting:
                        reply = sock.recv(4096)
                        waiting.discard(reply[1])
                        if reply[3] & 15 != (3 if reply[1] % 2 else 0):
                            self.wrong.append(reply)
                except OSError:
                    self.lost += len(waiting)


def test_lines_at_start(start_server, cluster):
    server = start_server("-conf", str(cluster(extra="debug")))
    wait_until(lambda: "python" in server.output())
    lines = server.output().splitlines()
    assert f".:{server.port} on 127.0.0.1" in lines
    assert lines.index(f"clusterdns-{__version__}") > lines.index(f".:{server.port} on 127.0.0.1")


def test_default_port_and_quiet_and_pidfile(start_server, cluster, tmp_path):
    corefile = tmp_path / "other"
    corefile.write_text(". {\n    bind 127.0.0.1\n    whoami\n}\n")
    pidfile = tmp_path / "pid"
    server = start_server("-conf", str(corefile), "-dns.port", "PORT", "-quiet", "-pidfile", str(pidfile))
    wait_until(lambda: pidfile.exists() and pidfile.read_text() == f"{server.process.pid}\n")
    assert server.output() == ""
    server.process.terminate()
    assert server.process.wait(5) == 0
    assert not pidfile.exists()
    assert server.output() == "[INFO] SIGTERM: Shutting down servers then terminating\n"


def test_without_a_corefile_it_is_whoami_and_log(start_server, tmp_path, monkeypatch):
    server = start_server("-dns.port", "PORT")
    reply = server.ask("who.example.", "A")
    assert reply.additional[0].to_text() == "who.example. 0 IN A 127.0.0.1"
    wait_until(
        lambda: re.search(
            r'\[INFO\] 127\.0\.0\.1:\d+ - \d+ "A IN who\.example\. udp 29 false 512" NOERROR', server.output()
        )
    )


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, "[INFO] SIGINT: Shutting down"),
        (signal.SIGQUIT, "[INFO] SIGQUIT: Quitting process immediately"),
    ],
)
def test_signals_that_end_it(start_server, cluster, number, line):
    server = start_server("-conf", str(cluster()))
    server.process.send_signal(number)
    assert server.process.wait(5) == 0
    assert line in server.output()


def test_a_second_process_on_the_port_says_so(start_server, cluster):
    path = cluster()
    first = start_server("-conf", str(path))
    assert "another process" not in first.output()
    command = [sys.executable, "-m", "clusterdns", "-conf", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
        line = second.stdout.readline()
        second.terminate()
    assert line.startswith(f"[WARNING] 127.0.0.1:{first.port}: another process listens here, too")


def test_end_while_the_cluster_is_being_read(tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    items = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{number}", "namespace": "n"},
            "spec": {"clusterIP": f"10.96.{number >> 8}.{number & 255}", "ports": [{"port": 80}]},
        }
        for number in range(1, 20000)
    ]
    (manifests / "all.json").write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": items}))
    path = tmp_path / "Corefile"
    path.write_text(COREFILE.format(manifests=manifests, ttl=5, generation=1, extra="").replace("PORT", "0"))
    command = [sys.executable, "-m", "clusterdns", "-conf", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        time.sleep(0.5)
        process.terminate()
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_signals_that_are_ignored(start_server, cluster, number):
    server = start_server("-conf", str(cluster()))
    server.process.send_signal(number)
    assert server.ask("web.default.svc.cluster.local.", "A").answer


def test_a_broken_corefile_is_refused_with_all_its_errors_and_exit_code_1(tmp_path):
    path = tmp_path / "Corefile"
    path.write_text(".:0 {\n    whoami x\n    errors y\n}\n")
    done = subprocess.run(
        [sys.executable, "-m", "clusterdns", "-conf", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert f"plugin/whoami: {path}:2 - Error during parsing: Wrong argument count" in done.stderr
    assert f"plugin/errors: {path}:3 - Error during parsing: invalid log file: y" in done.stderr


def test_an_address_that_is_taken_is_refused_with_exit_code_1(tmp_path):
    path = tmp_path / "Corefile"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        path.write_text(f".:{taken.getsockname()[1]} {{\n    bind 127.0.0.1\n    whoami\n}}\n")
        done = subprocess.run(
            [sys.executable, "-m", "clusterdns", "-conf", str(path)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 1
    assert "in use" in done.stderr


def test_a_thousand_reload_signals_under_load_lose_no_query(start_server, cluster):
    server = start_server("-conf", str(cluster()))
    with Load(server.port) as load:
        for _ in range(1000):
            server.process.send_signal(signal.SIGUSR1)
            time.sleep(0.002)
    assert server.process.poll() is None
    assert (load.lost, load.wrong) == (0, [])
    assert load.asked > 1000
    assert server.output().count("[INFO] Reloading complete") > 20


def test_three_changes_of_the_file_and_signals_in_between_are_taken_over(start_server, cluster):
    server = start_server("-conf", str(cluster(extra="reload 2s 0s")))
    with Load(server.port) as load:
        for number in (2, 3, 4):
            cluster(port=server.port, generation=number, extra="reload 2s 0s")
            wait_until(lambda number=number: generation(server) == str(number), 10)
            server.process.send_signal(signal.SIGUSR1)
    assert (load.lost, load.wrong) == (0, [])


def test_a_broken_change_keeps_what_runs(start_server, cluster, tmp_path):
    server = start_server("-conf", str(cluster()))
    (tmp_path / "Corefile").write_text("nonsense {\n")
    server.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: "Restart failed" in server.output())
    assert server.ask("web.default.svc.cluster.local.", "A").answer
    cluster(port=server.port, generation=5)
    server.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: generation(server) == "5")


def test_a_reload_may_move_to_another_port(start_server, cluster):
    server = start_server("-conf", str(cluster()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster(port=port, generation=6)
    server.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: "Reloading complete" in server.output())
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
        pass
    server.port = port
    assert generation(server) == "6"


def test_answers_follow_an_edited_manifest(start_server, cluster, tmp_path):
    server = start_server("-conf", str(cluster()))
    name = "web.default.svc.cluster.local."
    assert server.ask(name, "A").answer[0][0].address == "10.96.0.80"
    started = time.monotonic()
    (tmp_path / "manifests" / "web.yaml").write_text(SERVICE.format(address="10.96.0.81"))
    wait_until(lambda: server.ask(name, "A").answer[0][0].address == "10.96.0.81", 2)
    assert time.monotonic() - started < 0.5


def test_tcp_and_udp_agree(start_server, cluster):
    server = start_server("-conf", str(cluster()))
    for name in ("web", "nope"):
        udp = server.ask(f"{name}.default.svc.cluster.local.", "SRV")
        tcp = server.ask(f"{name}.default.svc.cluster.local.", "SRV", tcp=True)
        assert (udp.rcode(), udp.answer, udp.authority) == (tcp.rcode(), tcp.answer, tcp.authority)


def test_memory_is_not_lost_over_reloads(start_server, cluster):
    server = start_server("-conf", str(cluster()))
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")

    def resident_kib():
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])

    def reload(times):
        for _ in range(times):
            done = server.output().count("Reloading complete")
            server.process.send_signal(signal.SIGUSR1)
            wait_until(lambda done=done: server.output().count("Reloading complete") > done)

    reload(20)
    before = resident_kib()
    reload(100)
    assert resident_kib() - before < 3000
