# SPDX-License-Identifier: Apache-2.0
"""How a server process finds its API server and proves who it is, and what the log says where it can't."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api_cluster import WEB, cluster, service
from support.api_process import ApiProcess
from support.ports import free_port

from clusterdns.testing.apiserver import ApiServer, Storage, Tls

TLS = Path(__file__).parents[1] / "data" / "tls" / "api"
AUTHORITY = str(TLS / "authority.pem")
CLIENT = f"{TLS / 'client.pem'} {TLS / 'client.key'}"
USER = "system:serviceaccount:kube-system:coredns"
NAME = "web.default.svc.cluster.local"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

# The Pod's files lie where the test put them; the rest of the file system is the machine's.
ENTER = f"""
set -e
mount --make-rprivate /
mount -t tmpfs none /var/run
mkdir -p {ACCOUNT}
mount --bind "$1" {ACCOUNT}
shift
exec "$@"
"""


def can_mount() -> bool:
    probe = ["unshare", "--mount", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /var/run"]
    try:
        return subprocess.run(probe, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def storage() -> Storage:
    found = Storage()
    for each in cluster():
        found.apply(each)
    return found


@contextlib.contextmanager
def secured(storage: Storage, certificate: str = "server", **options: Any) -> Iterator[ApiServer]:
    """An API server with TLS, which knows a token and the client's certificate."""
    files = Tls(str(TLS / f"{certificate}.pem"), str(TLS / f"{certificate}.key"), AUTHORITY)
    with ApiServer(storage, tls=files, **{"tokens": {"good": USER}, **options}) as running:
        yield running


@pytest.fixture
def server(storage: Storage) -> Iterator[ApiServer]:
    with secured(storage) as running:
        yield running


def kubeconfig(folder: Path, server: str, **users: dict[str, Any]) -> Path:
    """A file with a context for each user, and of the same name."""
    found = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server, "certificate-authority": AUTHORITY}}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "here", "user": name}} for name in users],
        "current-context": next(iter(users)),
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(found))
    return path


def account(folder: Path, token: str) -> Path:
    """The files of a service account, as the kubelet puts them there: behind a link that it changes."""
    files = folder / "account"
    files.mkdir()
    (files / "ca.crt").write_text(Path(AUTHORITY).read_text())
    rotate(files, token)
    (files / "token").symlink_to("..data/token")
    return files


def rotate(files: Path, token: str) -> None:
    version = files / f"..{time.monotonic_ns()}"
    version.mkdir()
    (version / "token").write_text(token)
    (files / "..next").symlink_to(version.name)
    os.replace(files / "..next", files / "..data")


def in_pod(files: Path, server: ApiServer) -> dict[str, Any]:
    """What makes a process believe that it is in a Pod."""
    return {
        "environ": {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)},
        "prefix": ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(files)],
    }


# --- Ways that lead there


def test_an_endpoint_with_a_client_certificate(tmp_path: Path, server: ApiServer) -> None:
    with ApiProcess(tmp_path, f"endpoint {server.url}", f"tls {CLIENT} {AUTHORITY}") as dns:
        dns.until([WEB], NAME)
        dns.until_ready()
        assert {request.user for request in server.requests} == {USER}


@pytest.mark.parametrize("context", ["", "cert", "file"])
def test_a_kubeconfig_and_its_contexts(tmp_path: Path, server: ApiServer, context: str) -> None:
    (tmp_path / "token").write_text("good\n")
    path = kubeconfig(
        tmp_path,
        server.url,
        token={"token": "good"},
        file={"tokenFile": "token"},
        cert={"client-certificate": str(TLS / "client.pem"), "client-key": str(TLS / "client.key")},
    )
    with ApiProcess(tmp_path, f"kubeconfig {path} {context}") as dns:
        dns.until([WEB], NAME)
        dns.until_ready()
        assert {request.user for request in server.requests} == {USER}


@pytest.mark.skipif(not can_mount(), reason="mount namespaces can't be made here")
def test_in_a_pod_and_its_token_rotates(tmp_path: Path, server: ApiServer, storage: Storage) -> None:
    files = account(tmp_path, "good")
    with ApiProcess(tmp_path, **in_pod(files, server)) as dns:
        dns.until([WEB], NAME)
        dns.until_ready()
        server.access.tokens = {"better": USER}
        rotate(files, "better")
        server.end_watches("torn")
        storage.apply(service("late", "10.96.1.9"))
        dns.until(["10.96.1.9"], "late.default.svc.cluster.local")
        server.wait_until(lambda server: server.open_watches() == 3)
        assert "401" not in dns.output(), "it was read again before anybody had to be told"
        assert dns.ready() == (200, "OK")
        taken = [each.headers["authorization"] for each in server.requests if each.status == 200]
        assert taken[-3:] == ["Bearer better"] * 3


@pytest.mark.skipif(not can_mount(), reason="mount namespaces can't be made here")
def test_a_token_that_has_expired_is_named_and_the_next_one_used(
    tmp_path: Path, server: ApiServer, storage: Storage
) -> None:
    files = account(tmp_path, "old")
    with ApiProcess(tmp_path, **in_pod(files, server)) as dns:
        dns.until_logged("401: the API server doesn't accept the credentials of the service account: the token")
        assert dns.ready()[0] == 503
        rotate(files, "good")
        dns.until([WEB], NAME, seconds=30)
        dns.until_ready()


# --- Errors


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        ("elsewhere", "x509: "),
        ("expired", "x509: certificate has expired or is not yet valid: renew the API server's certificate"),
    ],
)
def test_a_server_that_cannot_be_trusted(tmp_path: Path, storage: Storage, certificate: str, message: str) -> None:
    with (
        secured(storage, certificate) as server,
        ApiProcess(tmp_path, f"endpoint {server.url}", f"tls {CLIENT} {AUTHORITY}") as dns,
    ):
        dns.until_logged(f"plugin/kubernetes: Failed to watch: {server.url}: {message}")
        assert dns.ready()[0] == 503
        assert list(server.requests) == []


def test_a_server_of_an_authority_that_is_not_known(tmp_path: Path, server: ApiServer) -> None:
    stranger = str(TLS / "stranger.pem")
    with ApiProcess(tmp_path, f"endpoint {server.url}", f"tls {CLIENT} {stranger}") as dns:
        dns.until_logged("x509: certificate signed by unknown authority: give the cluster's own")
        assert list(server.requests) == []


def test_nobody_who_has_proved_nothing(tmp_path: Path, server: ApiServer) -> None:
    path = kubeconfig(tmp_path, server.url, nobody={"token": "bad"})
    with ApiProcess(tmp_path, f"kubeconfig {path}") as dns:
        dns.until_logged(f"401: the API server doesn't accept the credentials of {path}, context nobody")
        assert dns.output().count("401") == 1, "once, not for each resource"


def test_somebody_who_may_do_nothing(tmp_path: Path, server: ApiServer) -> None:
    server.access.grant(USER, [])
    path = kubeconfig(tmp_path, server.url, token={"token": "good"})
    with ApiProcess(tmp_path, f"kubeconfig {path}") as dns:
        for resource in ("services", "namespaces", "endpointslices"):
            dns.wait(
                lambda resource=resource: any(
                    line.startswith(f'[ERROR] plugin/kubernetes: Failed to watch: 403: user "{USER}" may not ')
                    and line.endswith(f" {resource}: see deploy/new/rbac.yaml")
                    for line in dns.output().splitlines()
                )
            )


def test_somebody_who_may_not_see_the_other_clusters(tmp_path: Path, server: ApiServer) -> None:
    server.access.forbidden = {("", "serviceimports")}
    path = kubeconfig(tmp_path, server.url, token={"token": "good"})
    with ApiProcess(tmp_path, f"kubeconfig {path}", "multicluster cluster.local") as dns:
        dns.until_logged(" serviceimports: see deploy/components/multicluster/rbac.yaml")
        dns.wait(lambda: dns.ready() == (503, "kubernetes(serviceimports)"))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("127.0.0.1:PORT", "connection refused: nothing listens there; the API server is down"),
        ("nowhere.invalid:6443", "its name can't be resolved"),
    ],
)
def test_a_server_that_is_not_there(tmp_path: Path, place: str, message: str) -> None:
    url = f"http://{place.replace('PORT', str(free_port()))}"
    with ApiProcess(tmp_path, f"endpoint {url}") as dns:
        dns.until_logged(f"[ERROR] plugin/kubernetes: Failed to watch: {url}: {message}", seconds=30)
        assert dns.ready()[0] == 503


def test_a_server_that_speaks_no_tls(tmp_path: Path, storage: Storage) -> None:
    with ApiServer(storage) as server:
        url = server.url.replace("http:", "https:")
        with ApiProcess(tmp_path, f"endpoint {url}") as dns:
            dns.until_logged("the other side doesn't speak TLS")
            assert "is it http:// instead of https://?" in dns.output()


def test_something_else_than_an_api_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with ApiProcess(tmp_path, f"endpoint {url}") as dns:
            page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nhaha"
            for _ in range(3):
                connection, _ = listener.accept()
                connection.recv(4096)
                connection.sendall(page)
            dns.until_logged("is text/html instead of JSON: is this the API server, or a proxy or log-in page?")
            assert dns.by_resource("synced") == {"endpointslices": 0, "namespaces": 0, "services": 0}


@pytest.mark.parametrize(
    ("options", "environ", "message"),
    [
        ("", {}, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined: outside of a cluster use"),
        (
            "",
            {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"},
            f"open {ACCOUNT}/token: no such file or directory: the Pod needs a service account",
        ),
        ("endpoint http://[::1", {}, "is not the URL of an API server"),
        ("kubeconfig /nowhere/kubeconfig", {}, "stat /nowhere/kubeconfig: no such file or directory"),
        (f"endpoint https://127.0.0.1:1\n tls /nowhere/a /nowhere/b {AUTHORITY}", {}, "/nowhere/a"),
    ],
)
def test_what_only_the_operator_can_mend_ends_the_start(
    tmp_path: Path, options: str, environ: dict[str, str], message: str
) -> None:
    dns = ApiProcess(tmp_path, options, environ=environ)
    dns.launch()
    assert dns.process.wait(20) == 1
    (line,) = [each for each in dns.output().splitlines() if "kubernetes" in each and "WARNING" not in each]
    assert message in line
    assert "Traceback" not in dns.output()


def test_a_context_that_is_not_there_names_those_that_are(tmp_path: Path, server: ApiServer) -> None:
    path = kubeconfig(tmp_path, server.url, one={"token": "good"}, two={"token": "good"})
    dns = ApiProcess(tmp_path, f"kubeconfig {shlex.quote(str(path))} three")
    dns.launch()
    assert dns.process.wait(20) == 1
    assert 'context "three" does not exist: there are: one, two' in dns.output()


def test_the_requests_are_as_many_as_they_may_be(tmp_path: Path, storage: Storage) -> None:
    with ApiServer(storage) as server:
        options = ("apiserver_qps 1", "apiserver_burst 1", "apiserver_max_inflight 1")
        with ApiProcess(tmp_path, f"endpoint {server.url}", *options) as dns:
            dns.until_ready()
            waited = dns.metrics("coredns_kubernetes_rest_client_rate_limiter_duration_seconds_sum")
            assert sum(waited.values()) > 1.0, "the third comes two seconds after the first"
