# SPDX-License-Identifier: Apache-2.0
"""A server process that forwards and caches: bursts, age, upstreams that fall silent, names that the cluster takes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from support.ports import free_port
from support.upstream import Upstream, UpstreamThread, address_text

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = 200


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with UpstreamThread() as running:
        yield running


def asked(upstream: Upstream, name: str) -> int:
    """How often the upstream was asked for a name."""
    first = name.partition(".")[0].encode()
    return sum(question.name[1 : 1 + question.name[0]].lower() == first for question in upstream.questions)


def serve(start_server: Any, tmp_path: Path, upstream: Upstream, text: str) -> Any:
    corefile = tmp_path / "Corefile"
    corefile.write_text(f".:PORT {{\n{text}\n forward . {upstream.address}\n}}\n")
    return start_server("-conf", str(corefile))


def test_a_burst_of_one_query_is_asked_once_and_everybody_gets_it(
    start_server: Any, tmp_path: Path, upstream: Upstream
) -> None:
    server = serve(start_server, tmp_path, upstream, " cache")
    query = dns.message.make_query("slow.example.test.", "A")
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(100)]
    for number, client in enumerate(clients):
        client.settimeout(5)
        query.id = number
        client.sendto(query.to_wire(), ("127.0.0.1", server.port))
    for number, client in enumerate(clients):
        reply = dns.message.from_wire(client.recv(4096))
        assert reply.id == number
        assert reply.answer[0][0].address == address_text("slow.example.test.")
        client.close()
    assert asked(upstream, "slow.example.test.") == 1


def test_answers_age_and_are_never_mixed_up(start_server: Any, tmp_path: Path, upstream: Upstream) -> None:
    server = serve(start_server, tmp_path, upstream, " prometheus localhost:0\n loadbalance\n cache 30")
    for _ in range(3):
        for number in range(NAMES):
            reply = server.ask(f"n{number}.example.test.", "A")
            assert reply.answer[0].ttl in (29, 30)
            assert reply.answer[0][0].address == address_text(f"n{number}.example.test.")
    assert sum(asked(upstream, f"n{number}.example.test.") for number in range(NAMES)) == NAMES
    time.sleep(2.1)
    for _ in range(5):  # the third one comes from memory
        reply = server.ask("n0.example.test.", "A")
        assert reply.answer[0].ttl in (26, 27, 28)
        assert reply.flags & dns.flags.AA
    assert asked(upstream, "n0.example.test.") == 1


@pytest.mark.parametrize("mode", ["immediate", "verify 100ms"])
def test_expired_answers_outlive_the_upstream(start_server: Any, tmp_path: Path, upstream: Upstream, mode: str) -> None:
    options = f" cache {{\n success 2000 1 0\n serve_stale 1h {mode}\n servfail 0\n }}"
    server = serve(start_server, tmp_path, upstream, options)
    first = server.ask("www.example.test.", "A")
    upstream.faults.silent = True
    time.sleep(1.1)
    for _ in range(3):
        began = time.monotonic()
        stale = server.ask("www.example.test.", "A")
        assert time.monotonic() - began < 1.5
        assert stale.answer[0].ttl == 0
        assert stale.answer[0][0] == first.answer[0][0]
    upstream.faults.silent = False
    end = time.monotonic() + 15
    while server.ask("www.example.test.", "A").answer[0].ttl == 0:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_name_that_the_cluster_takes_is_the_clusters_at_once(
    start_server: Any, tmp_path: Path, upstream: Upstream
) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "namespace.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: dev}\n")
    cluster = (
        f" kubernetes cluster.local in-addr.arpa {{\n  manifests {manifests}\n  fallthrough in-addr.arpa\n }}\n"
        " cache {\n  denial 2000 3600 60\n  serve_stale\n }"
    )
    server = serve(start_server, tmp_path, upstream, cluster)
    name = "9.9.96.10.in-addr.arpa."
    for _ in range(4):
        assert not server.ask(name, "PTR").answer
        assert server.ask("api.dev.svc.cluster.local.", "A").rcode() == dns.rcode.NXDOMAIN
    assert asked(upstream, name) == 1
    (manifests / "api.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: dev}\n"
        "spec: {clusterIP: 10.96.9.9, ports: [{port: 80}]}\n"
    )
    end = time.monotonic() + 2
    while server.ask("api.dev.svc.cluster.local.", "A").rcode() == dns.rcode.NXDOMAIN:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "api.dev.svc.cluster.local." in server.ask(name, "PTR").answer[0].to_text()


def test_a_forwarding_loop_is_found_behind_a_cache(tmp_path: Path) -> None:
    port = free_port()
    corefile = tmp_path / "Corefile"
    corefile.write_text(f".:{port} {{\n bind 127.0.0.1\n cache\n loop\n forward . 127.0.0.1:{port}\n}}\n")
    command = [sys.executable, "-m", "clusterdns", "-conf", str(corefile)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=20)
    assert result.returncode == 1
    assert "[FATAL] plugin/loop: Loop (127.0.0.1:" in result.stdout + result.stderr
