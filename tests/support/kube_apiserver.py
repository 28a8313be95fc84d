# SPDX-License-Identifier: Apache-2.0
"""API servers that a test has in its hands (``support.api_cluster.ApiCluster``): ours, and a real kube-apiserver.

Who watches is in both the service account of deploy/new, with its token in a file and no other rights than its role.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusterdns.testing.apiserver import ApiServer, Settings, Tls
from support.api_cluster import Writer
from support.etcd_server import EtcdServer, encode
from support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
TLS = REPOSITORY / "tests" / "data" / "tls"
CERTIFICATE, KEY, AUTHORITY = (str(TLS / "api" / name) for name in ("server.pem", "server.key", "authority.pem"))
ETCD_FILES = (str(TLS / "server.pem"), str(TLS / "server.key"), str(TLS / "server.pem"))
ADMIN = "admin-of-the-test"
ACCOUNT = ("kube-system", "clusterdns")
USER = "system:serviceaccount:kube-system:clusterdns"
START_SECONDS = 90.0


def manifests(*names: str) -> Iterator[dict[str, Any]]:
    """The objects of files in deploy/new."""
    for name in names:
        yield from yaml.safe_load_all((REPOSITORY / "deploy" / "new" / name).read_text())


class _Cluster:
    """What both have: a kubeconfig whose token is in a file beside it."""

    def __init__(self, folder: Path, url: str) -> None:
        self._token_file = folder / "token"
        config = {
            "clusters": [{"name": "here", "cluster": {"server": url, "certificate-authority": AUTHORITY}}],
            "users": [{"name": "clusterdns", "user": {"tokenFile": str(self._token_file)}}],
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": "clusterdns"}}],
            "current-context": "test",
        }
        (folder / "kubeconfig").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
        self.options = (f"kubeconfig {folder / 'kubeconfig'}",)
        self.writer = Writer(url, ADMIN, ssl.create_default_context(cafile=AUTHORITY))

    def _put_token(self, token: str) -> None:
        beside = self._token_file.with_suffix(".new")
        beside.write_text(token)
        beside.replace(self._token_file)


class OurCluster(_Cluster):
    """The API server of ``clusterdns.testing``."""

    def __init__(self, folder: Path) -> None:
        self.server = ApiServer(
            tls=Tls(CERTIFICATE, KEY, AUTHORITY), tokens={ADMIN: "admin"}, settings=Settings(bookmark_seconds=1.0)
        )
        (role,) = [each for each in manifests("rbac.yaml") if each["kind"] == "ClusterRole"]
        self.server.access.grant(USER, role["rules"])
        self.server.start()
        super().__init__(folder, self.server.url)
        self._tokens = 0
        self.rotate()

    def close(self) -> None:
        self.server.close()

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start(forbidden_seconds=0.3)
        _until_writable(self.writer)

    def stop_storage(self) -> None:
        self.server.lose_storage()

    def start_storage(self) -> None:
        self.server.regain_storage()

    def compact(self) -> None:
        self.server.storage.compact()
        self.server.forget_history()

    def rotate(self) -> None:
        self._tokens += 1
        token = f"token-{self._tokens}"
        self.server.access.tokens = {ADMIN: "admin", token: USER}
        self._put_token(token)


class KubeCluster(_Cluster):
    """A real kube-apiserver and an etcd. There are no controllers: slices are what the test writes, no namespace that
    ends is emptied, and tokens come from TokenRequest, bound to a Secret so that they end with it.
    """

    def __init__(self, folder: Path, program: str, etcd: str) -> None:
        self._program, self._folder = program, folder
        self._etcd = EtcdServer(folder, tls=ETCD_FILES, program=etcd)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "tokens.csv").write_text(f'{ADMIN},admin,1,"system:masters"\n')
        super().__init__(folder, f"https://127.0.0.1:{self._port}")
        self._secret = ""
        self._rotations = 0
        self._etcd.start()
        self.start()
        for each in manifests("service-account.yaml", "rbac.yaml"):
            if each["kind"] == "ServiceAccount":
                each["metadata"]["namespace"] = ACCOUNT[0]
            _retry(lambda each=each: self.writer.apply(each))  # type: ignore[misc]
        self.rotate()

    def close(self) -> None:
        self.kill()
        self._etcd.stop()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def start(self) -> None:
        certificate, key, authority = ETCD_FILES
        flags = {
            "etcd-servers": self._etcd.url,
            "etcd-cafile": authority,
            "etcd-certfile": certificate,
            "etcd-keyfile": key,
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": self._port,
            "tls-cert-file": CERTIFICATE,
            "tls-private-key-file": KEY,
            "token-auth-file": self._folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "anonymous-auth": "false",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": KEY,
            "service-account-signing-key-file": KEY,
            "service-cluster-ip-range": "10.96.0.0/16",
            # Without a controller manager there are no default service accounts, and 127.0.0.1 is no endpoint.
            "disable-admission-plugins": "ServiceAccount",
            "endpoint-reconciler-type": "none",
            "cert-dir": self._folder / "certificates",
        }
        with (self._folder / "kube-apiserver.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *(f"--{name}={value}" for name, value in flags.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        _until_writable(self.writer, self._process)

    def stop_storage(self) -> None:
        self._etcd.stop()

    def start_storage(self) -> None:
        self._etcd.start()
        _until_writable(self.writer)

    def compact(self) -> None:
        revision = self._etcd.ask("kv/range", {"key": encode("\0")})["header"]["revision"]
        self._etcd.ask("kv/compaction", {"revision": revision, "physical": True})

    def rotate(self) -> None:
        self._rotations += 1
        namespace, account = ACCOUNT
        name = f"{account}-{self._rotations}"
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}
        _retry(lambda: self.writer.apply(secret))
        bound = {"kind": "Secret", "apiVersion": "v1", "name": name}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600, "boundObjectRef": bound},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        self._put_token(self.writer.request("POST", path, request)["status"]["token"])
        if self._secret:
            self.writer.delete("Secret", self._secret, namespace)
        self._secret = name


@contextmanager
def api_cluster(kind: str, folder: Path) -> Iterator[OurCluster | KubeCluster]:
    """``ours`` or ``kube-apiserver``; the latter skips where KUBE_APISERVER and ETCD don't name the programs."""
    program, etcd = os.environ.get("KUBE_APISERVER", ""), os.environ.get("ETCD", "")
    if kind == "kube-apiserver" and not (program and etcd):
        pytest.skip("KUBE_APISERVER (1.32 or newer) and ETCD don't name the programs")
    found = OurCluster(folder) if kind == "ours" else KubeCluster(folder, program, etcd)
    try:
        yield found
    finally:
        found.close()


def _retry(work: Any) -> None:
    """What an API server that has just started, or lost its storage, may refuse for a while."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            work()
        except (urllib.error.HTTPError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _until_writable(writer: Writer, process: subprocess.Popen[bytes] | None = None) -> None:
    def write() -> None:
        assert process is None or process.poll() is None, "kube-apiserver ended; see its log"
        writer.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "probe"}})

    _retry(write)
