# SPDX-License-Identifier: Apache-2.0
"""A server process and a real etcd: away and back, several, with credentials, with certificates."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
from support.etcd_server import EtcdServer
from support.ports import free_port

TLS_FILES = Path(__file__).resolve().parents[1] / "data" / "tls"
CERTIFICATE, KEY = str(TLS_FILES / "server.pem"), str(TLS_FILES / "server.key")


def serve(start_server: Any, folder: Path, options: str) -> Any:
    corefile = folder / "Corefile"
    corefile.write_text(f"skydns.local:PORT {{\n bind 127.0.0.1\n errors\n etcd {{\n{options}\n }}\n}}\n")
    return start_server("-conf", str(corefile), first_name="skydns.local")


def address(server: Any, name: str = "a.skydns.local") -> str:
    """The address of a name, or the rcode without one."""
    reply = server.ask(name, "A")
    return reply.answer[0][0].address if reply.answer else dns.rcode.to_text(reply.rcode())


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """For all who neither stop it nor change who may ask."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        server.put("/skydns/local/skydns/a", {"host": "10.0.0.1"})
        yield server


def test_what_is_put_into_etcd_is_answered_at_once(start_server: Any, tmp_path: Path, etcd: EtcdServer) -> None:
    server = serve(start_server, tmp_path, f"endpoint {etcd.url}")
    assert address(server, "b.skydns.local") == "NXDOMAIN"
    etcd.put("/skydns/local/skydns/b", {"host": "10.0.0.2"})
    assert address(server, "b.skydns.local") == "10.0.0.2"
    etcd.put("/skydns/local/skydns/b", {"host": "10.0.0.3"})
    assert address(server, "b.skydns.local") == "10.0.0.3"


def test_etcd_may_go_and_come_back(start_server: Any, tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        server = serve(start_server, tmp_path, f"endpoint {etcd.url}")
        etcd.put("/skydns/local/skydns/a", {"host": "10.0.0.1"})
        assert address(server) == "10.0.0.1"
        etcd.stop()
        assert address(server) == "SERVFAIL"
        assert f"2 a.skydns.local. A: etcd: {etcd.url}: " in server.output()
        etcd.start()
        assert address(server) == "10.0.0.1"


def test_a_server_starts_without_etcd(start_server: Any, tmp_path: Path) -> None:
    server = serve(start_server, tmp_path, f"endpoint http://127.0.0.1:{free_port()}")
    assert address(server) == "SERVFAIL"


def test_endpoints_that_refuse_or_hang_are_passed_over(start_server: Any, tmp_path: Path, etcd: EtcdServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = serve(start_server, tmp_path, f"endpoint http://127.0.0.1:{free_port()} {hanging} {etcd.url}")
        began = time.monotonic()
        assert [address(server) for _ in range(5)] == ["10.0.0.1"] * 5
        assert time.monotonic() - began < 3, "only the first query may have waited"


def test_credentials(start_server: Any, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("good", "none", "bad")]
    with EtcdServer(tmp_path) as etcd:
        etcd.put("/skydns/local/skydns/a", {"host": "10.0.0.1"})
        etcd.demand_credentials("dns", "secret")
        for folder in folders:
            folder.mkdir()
        good = serve(start_server, folders[0], f"endpoint {etcd.url}\ncredentials dns secret")
        none = serve(start_server, folders[1], f"endpoint {etcd.url}")
        bad = serve(start_server, folders[2], f"endpoint {etcd.url}\ncredentials dns wrong")
        assert [address(server) for server in (good, none, bad)] == ["10.0.0.1", "SERVFAIL", "SERVFAIL"]
        assert "etcd: etcdserver: user name is empty" in none.output()
        assert "authentication failed, invalid user ID or password" in bad.output()
        etcd.stop()
        etcd.start()  # it has forgotten its tokens
        assert address(good) == "10.0.0.1"


def test_certificates(start_server: Any, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("good", "stranger", "anonymous")]
    for folder in folders:
        folder.mkdir()
    with EtcdServer(tmp_path, tls=(CERTIFICATE, KEY, CERTIFICATE)) as etcd:
        etcd.put("/skydns/local/skydns/a", {"host": "10.0.0.1"})
        good = serve(start_server, folders[0], f"endpoint {etcd.url}\ntls {CERTIFICATE} {KEY} {CERTIFICATE}")
        stranger = serve(start_server, folders[1], f"endpoint {etcd.url}\ntls {TLS_FILES / 'stranger.pem'}")
        anonymous = serve(start_server, folders[2], f"endpoint {etcd.url}\ntls {CERTIFICATE}")
        assert [address(server) for server in (good, stranger, anonymous)] == ["10.0.0.1", "SERVFAIL", "SERVFAIL"]
        assert f"etcd: {etcd.url}: tls: failed to verify certificate: " in stranger.output()
        assert f"etcd: {etcd.url}: " in anonymous.output()


def test_many_at_once_get_their_own_answers(start_server: Any, tmp_path: Path, etcd: EtcdServer) -> None:
    for number in range(50):
        etcd.put(f"/skydns/local/skydns/n{number}", {"host": f"10.0.0.{number}"})
    server = serve(start_server, tmp_path, f"endpoint {etcd.url}")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: address(server, f"n{number % 50}.skydns.local"), range(400)))
    assert found == [f"10.0.0.{number % 50}" for number in range(400)]


class Flood(BaseHTTPRequestHandler):
    """Answers with more than anybody may send, and goes on for ever."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 20))
        except OSError:
            return

    def log_message(self, *arguments: object) -> None:
        """Nothing is said."""


@pytest.fixture
def flood() -> Any:
    with ThreadingHTTPServer(("127.0.0.1", 0), Flood) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


def test_a_reply_without_end_is_a_failure(start_server: Any, tmp_path: Path, flood: str) -> None:
    server = serve(start_server, tmp_path, f"endpoint {flood}")
    assert address(server) == "SERVFAIL"
    assert "the reply has more than 16777216 bytes" in server.output()
