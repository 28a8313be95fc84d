# SPDX-License-Identifier: Apache-2.0
"""A roll of the server behind a Service address, as a Deployment's: no query may be lost.

The node has a DNAT rule from the Service's address to the Pod that serves, as kube-proxy would write it. It follows
/ready as endpoints do: late. Most clients ask each query from a new port, as the C library does, and so go where the
rule leads; some keep theirs for half a second, and conntrack leads those to the old Pod for as long.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import dns.message
import pytest
from support.namespaces import Namespaces, why_not

VIP = "10.96.0.10"
PODS = {"first": "10.244.1.2", "second": "10.244.2.2"}
QUERIES_PER_SECOND = 10_000
STEP_SECONDS = 0.002
KEPT_SECONDS = 0.5
REPLY_SECONDS = 2.0
PROPAGATION_SECONDS = 1.0
"""From a Pod that isn't ready to the rules of a node: the probe's period, the controller and kube-proxy."""

COREFILE = """\
.:53 {
    health {
        lameduck 2s
    }
    ready
    whoami
}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(reason := why_not("nft")), reason=reason or "-"),
]


class Client:
    """Asks the Service's address at a steady rate in a thread of its own, and counts what gets no reply."""

    def __init__(self, namespaces: Namespaces) -> None:
        self.sent = 0
        self.lost: list[float] = []
        self._query = dns.message.make_query("name.test.", "A").to_wire()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=namespaces.inside, args=("node", self._run))

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        waiting: dict[socket.socket, float] = {}
        kept: list[tuple[socket.socket, float]] = []
        poll = select.epoll()
        by_number: dict[int, socket.socket] = {}
        began = time.monotonic()
        while not self._ending.is_set() or waiting:
            now = time.monotonic()
            due = 0 if self._ending.is_set() else int((now - began) * QUERIES_PER_SECOND) - self.sent
            for _ in range(min(due, 100)):
                if kept and kept[0][1] < now - KEPT_SECONDS and kept[0][0] not in waiting:
                    kept.pop(0)[0].close()
                if self.sent % 10 == 0 and len(kept) >= 8 and kept[self.sent // 10 % 8][0] not in waiting:
                    sock = kept[self.sent // 10 % 8][0]
                else:
                    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                    sock.connect((VIP, 53))
                    by_number[sock.fileno()] = sock
                    poll.register(sock, select.EPOLLIN)
                    if len(kept) < 8:
                        kept.append((sock, now))
                sock.send(self._query)
                waiting[sock] = now
                self.sent += 1
            for number, _ in poll.poll(STEP_SECONDS):
                sock = by_number[number]
                try:
                    assert sock.recv(512)[3] & 15 == 0
                except ConnectionRefusedError:
                    continue  # counted once the time is up
                waiting.pop(sock, None)
                self._done_with(sock, kept, by_number)
            for sock, asked in [(sock, asked) for sock, asked in waiting.items() if asked < now - REPLY_SECONDS]:
                self.lost.append(asked - began)
                del waiting[sock]
                self._done_with(sock, kept, by_number)
        for sock in list(by_number.values()):
            sock.close()

    @staticmethod
    def _done_with(
        sock: socket.socket, kept: list[tuple[socket.socket, float]], by_number: dict[int, socket.socket]
    ) -> None:
        if all(sock is not other for other, _ in kept):
            del by_number[sock.fileno()]
            sock.close()


def lead_to(namespaces: Namespaces, pod: str) -> None:
    """The rule of the node: one transaction."""
    namespaces.run(
        "node",
        "nft",
        "-f",
        "-",
        text=f"""\
table ip services
flush table ip services
table ip services {{
    chain output {{
        type nat hook output priority -100
        ip daddr {VIP} udp dport 53 dnat to {PODS[pod]}
    }}
}}
""",
    )


def start_pod(namespaces: Namespaces, pod: str, corefile: Path) -> subprocess.Popen[bytes]:
    process = namespaces.start(
        pod,
        sys.executable,
        "-m",
        "clusterdns",
        "-conf",
        str(corefile),
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + 20
    while probe(namespaces, pod) != 200:
        assert time.monotonic() < end, "not ready"
        assert process.poll() is None
        time.sleep(0.05)
    return process


def probe(namespaces: Namespaces, pod: str) -> int:
    """The readiness probe, as the kubelet of the node asks it; 0 if nobody answers."""

    def ask() -> int:
        try:
            with urllib.request.urlopen(f"http://{PODS[pod]}:8181/ready", timeout=2) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    return namespaces.inside("node", ask)


@pytest.mark.timeout(90)
def test_a_roll_behind_a_service_address_loses_no_query(tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    corefile.write_text(COREFILE)
    with Namespaces("node", *PODS) as namespaces:
        for pod, address in PODS.items():
            gateway = address.rpartition(".")[0] + ".1"
            namespaces.connect("node", f"{gateway}/24", pod, f"{address}/24")
            namespaces.run(pod, "ip", "route", "add", "default", "via", gateway)
        namespaces.run("node", "ip", "route", "add", f"{VIP}/32", "via", PODS["first"])
        serving = start_pod(namespaces, "first", corefile)
        lead_to(namespaces, "first")
        for timeout in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
            # Here one client goes through all its ports within three seconds; with many, a port rests for longer.
            namespaces.run("node", "sh", "-c", f"echo 1 >/proc/sys/net/netfilter/{timeout}")
        client = Client(namespaces)
        client.start()
        try:
            time.sleep(1)
            for old, new in (("first", "second"), ("second", "first")):
                successor = start_pod(namespaces, new, corefile)
                serving.send_signal(signal.SIGTERM)
                while probe(namespaces, old) != 503:
                    time.sleep(0.01)
                time.sleep(PROPAGATION_SECONDS)
                lead_to(namespaces, new)
                assert serving.wait(20) == 0, "the old process ends by itself while its successor is asked"
                serving = successor
            time.sleep(0.5)
        finally:
            client.end()
        assert client.sent > 50_000
        assert client.lost == []
