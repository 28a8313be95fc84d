# SPDX-License-Identifier: Apache-2.0
"""A real etcd on loopback, and what is put into it. Debian's package is etcd-server; without it tests are skipped."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from support.ports import free_port

START_SECONDS = 20.0
STOP_SECONDS = 10.0


def encode(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


class EtcdServer:
    """A server with one member and a new, empty store: a context manager.

    tls: certificate, key and the authority of clients' certificates.
    program: its path, by default wherever it is installed.
    """

    def __init__(self, folder: Path, *, tls: tuple[str, str, str] | None = None, program: str = "") -> None:
        program = program or shutil.which("etcd") or ""
        if not program:
            pytest.skip("etcd isn't installed (Debian: apt install etcd-server)")
        self._program = program
        self._folder = folder
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.create_default_context(cafile=tls[0])
            self._context.load_cert_chain(tls[0], tls[1])
        self.port = free_port()
        self.token = ""

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> EtcdServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, or go on with what was stored."""
        peer = f"http://127.0.0.1:{free_port()}"
        command = [
            *(self._program, "--data-dir", str(self._folder / "etcd"), "--logger", "zap", "--log-level", "error"),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *(
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
                "--initial-cluster",
                f"default={peer}",
            ),
        ]
        if self._tls is not None:
            certificate, key, authority = self._tls
            command += ["--cert-file", certificate, "--key-file", key]
            command += ["--trusted-ca-file", authority, "--client-cert-auth"]
        with (self._folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("kv/range", {"key": encode("\0")})
            except OSError:
                assert self._process.poll() is None, (self._folder / "etcd.log").read_text()
                assert time.monotonic() < end, "etcd doesn't answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End the process; what was stored stays."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """The reply of the JSON gateway."""
        headers = {"Content-Type": "application/json", **({"Authorization": self.token} if self.token else {})}
        message = urllib.request.Request(f"{self.url}/v3/{path}", json.dumps(request).encode(), headers)
        with urllib.request.urlopen(message, timeout=5, context=self._context) as reply:
            found: dict[str, Any] = json.load(reply)
            return found

    def put(self, key: str, value: str | bytes | dict[str, Any], *, lease: str = "0") -> None:
        """Store a value; a dict as JSON."""
        text = json.dumps(value) if isinstance(value, dict) else value
        self.ask("kv/put", {"key": encode(key), "value": encode(text), "lease": lease})

    def grant(self, seconds: int) -> str:
        """A lease."""
        lease: str = self.ask("lease/grant", {"TTL": seconds})["ID"]
        return lease

    def demand_credentials(self, user: str, password: str) -> None:
        """Let nobody in any more but root, and one who may only read."""
        for name, secret in (("root", "root"), (user, password)):
            self.ask("auth/user/add", {"name": name, "password": secret})
        for role in ("root", "reader"):
            self.ask("auth/role/add", {"name": role})
        permission = {"permType": "READ", "key": encode("/skydns/"), "range_end": encode("/skydns0")}
        self.ask("auth/role/grant", {"name": "reader", "perm": permission})
        self.ask("auth/user/grant", {"user": "root", "role": "root"})
        self.ask("auth/user/grant", {"user": user, "role": "reader"})
        self.ask("auth/enable", {})
        self.token = self.ask("auth/authenticate", {"name": "root", "password": "root"})["token"]
