# SPDX-License-Identifier: Apache-2.0
"""API servers to watch: the one of ``clusterdns.testing``, and a real one where there is one.

Both hold the same objects under the same names and run beside the load. The environment variables KUBE_APISERVER and
ETCD name the programs of the real one. The other speaks JSON only, which costs CoreDNS more than the protobuf that it
gets from a real one.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from api_clusters import ClusterSize
from servers import LOAD_CORE, MeasuredServer, ServerFailedError, free_ports, pin_to_core

from clusterdns.testing.apiserver import Storage, generate

HERE = Path(__file__).resolve().parent
TOKEN = "benchmark"
START_SECONDS = 60.0
REQUEST_SECONDS = 10.0
WRITERS = 8

Object = dict[str, Any]

_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
}
_OF_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "ownerReferences")


class ApiServer(Protocol):
    """A context manager around one that runs.

    name: for the table; directives: lead a Corefile's ``kubernetes`` to it.
    """

    name: str
    directives: str

    def __enter__(self) -> ApiServer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def writer(self) -> Writer: ...

    def force_relist(self) -> None:
        """Make every watch of it list anew: what it remembers begins after what they have seen."""


class Writer:
    """Creates, changes and deletes objects over one connection."""

    def __init__(self, port: int, *, tls: bool) -> None:
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=REQUEST_SECONDS, context=context
            )
        else:
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)

    def close(self) -> None:
        self._connection.close()

    def create(self, value: Mapping[str, Any]) -> Object:
        """The object as the server has it. Raises ServerFailedError."""
        return self._ask("POST", _path(value["kind"], value["metadata"].get("namespace", "")), value)

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """Raises ServerFailedError."""
        return self._ask("GET", f"{_path(kind, namespace)}/{name}")

    def update(self, value: Mapping[str, Any]) -> Object:
        """The object as the server has it. Raises ServerFailedError."""
        meta = value["metadata"]
        return self._ask("PUT", f"{_path(value['kind'], meta['namespace'])}/{meta['name']}", value)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Raises ServerFailedError."""
        self._ask("DELETE", f"{_path(kind, namespace)}/{name}")

    def ready(self) -> bool:
        """Whether the server says that it is."""
        try:
            self._ask("GET", "/readyz")
        except (OSError, http.client.HTTPException, ServerFailedError):
            self._connection.close()
            return False
        return True

    def _ask(self, method: str, path: str, value: Mapping[str, Any] | None = None) -> Object:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        self._connection.request(method, path, None if value is None else json.dumps(value), headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status >= 300:
            raise ServerFailedError(f"{method} {path}: {response.status} {body.decode(errors='replace')}")
        found: Object = json.loads(body) if body.startswith(b"{") else {}
        return found


def _path(kind: str, namespace: str) -> str:
    return _PATHS[kind].format(namespace=namespace)


class GeneratedApiServer:
    """The one of ``clusterdns.testing``, in a process of its own."""

    name = "generated"

    def __init__(self, size: ClusterSize) -> None:
        self._size = size

    def __enter__(self) -> GeneratedApiServer:
        size = self._size
        numbers = (size.services, size.headless, size.endpoints, size.pods)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "generated_apiserver.py"), *map(str, numbers)],
            preexec_fn=lambda: pin_to_core(LOAD_CORE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._port = int(self._hear())
        self.directives = f"endpoint http://127.0.0.1:{self._port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.terminate()

    def writer(self) -> Writer:
        return Writer(self._port, tls=False)

    def force_relist(self) -> None:
        """See ApiServer."""
        assert self._process.stdin is not None
        self._process.stdin.write("relist\n")
        self._process.stdin.flush()
        self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ServerFailedError("the generated API server has ended")
        return line


class RealApiServer:
    """kube-apiserver and etcd on loopback, filled with the same objects over HTTP; Pods aside."""

    name = "kube-apiserver"

    def __init__(self, size: ClusterSize, programs: tuple[str, str]) -> None:
        self._size = size
        self._apiserver, self._etcd = programs

    def __enter__(self) -> RealApiServer:
        self._folder = tempfile.TemporaryDirectory(prefix="clusterdns-bench-api-")
        folder = Path(self._folder.name)
        self._port, client, peer = free_ports(3)
        self._running: list[MeasuredServer] = []
        try:
            self._run("etcd", client, self._etcd_command(folder, client, peer))
            self._command = self._server_command(folder, client)
            self._start()
            self._fill()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(self._port)))
        self.directives = f"kubeconfig {kubeconfig}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._running:
            self._running.pop().__exit__(None, None, None)
        self._folder.cleanup()

    def writer(self) -> Writer:
        return Writer(self._port, tls=True)

    def force_relist(self) -> None:
        """See ApiServer. A server that was killed remembers nothing; a write that no watch has told of makes sure that
        what they have seen is older than what it begins with.
        """
        writer = self.writer()
        name = f"relist-{time.monotonic_ns()}"
        writer.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns-0"}})
        writer.close()
        self._running.pop().kill()
        self._start()

    def _run(self, name: str, port: int, command: list[str]) -> None:
        self._running.append(MeasuredServer(name, port, command, core=LOAD_CORE).__enter__())

    def _start(self) -> None:
        self._run("kube-apiserver", self._port, self._command)
        deadline = time.monotonic() + START_SECONDS
        writer = self.writer()
        while not writer.ready():
            if time.monotonic() > deadline:
                raise ServerFailedError(f"kube-apiserver isn't ready:\n{self._running[-1].output()}")
            time.sleep(0.1)
        writer.close()

    def _etcd_command(self, folder: Path, client: int, peer: int) -> list[str]:
        here, there = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return [
            self._etcd,
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={here}",
            f"--advertise-client-urls={here}",
            f"--listen-peer-urls={there}",
            f"--initial-advertise-peer-urls={there}",
            f"--initial-cluster=default={there}",
        ]

    def _server_command(self, folder: Path, etcd: int) -> list[str]:
        key, tokens = folder / "service-accounts.key", folder / "tokens.csv"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        tokens.write_text(f"{TOKEN},{TOKEN},1,system:masters\n")
        return [
            self._apiserver,
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={folder / 'certificates'}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/12",
        ]

    def _fill(self) -> None:
        storage, size = Storage(), self._size
        generate(storage, services=size.services, endpoints=size.endpoints, headless=size.headless)
        own = threading.local()

        def create(value: Object) -> None:
            if not hasattr(own, "writer"):
                own.writer = self.writer()
            own.writer.create(value)

        for kind in ("Namespace", "Service", "EndpointSlice"):
            with ThreadPoolExecutor(WRITERS) as writers:
                for _ in writers.map(create, _as_written(storage.objects(kind))):
                    pass


def _as_written(objects: Iterable[Object]) -> Iterator[Object]:
    """Without what only a server sets."""
    for value in objects:
        meta = {key: part for key, part in value["metadata"].items() if key not in _OF_THE_SERVER}
        if meta["name"] not in ("default", "kube-system", "kube-public", "kube-node-lease"):
            yield {**{key: part for key, part in value.items() if key != "status"}, "metadata": meta}


def _kubeconfig(port: int) -> Object:
    cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "benchmark", "cluster": cluster}],
        "users": [{"name": "benchmark", "user": {"token": TOKEN}}],
        "contexts": [{"name": "benchmark", "context": {"cluster": "benchmark", "user": "benchmark"}}],
        "current-context": "benchmark",
    }


def real_programs() -> tuple[str, str] | None:
    """kube-apiserver and etcd, where both are named."""
    apiserver, etcd = os.environ.get("KUBE_APISERVER"), os.environ.get("ETCD")
    return (apiserver, etcd) if apiserver and etcd else None


def api_servers(size: ClusterSize) -> Iterator[ApiServer]:
    """Those that can hold such a cluster, not started yet. To tell a real one of the Pods takes too long."""
    yield GeneratedApiServer(size)
    programs = real_programs()
    if programs is not None and not size.pods:
        yield RealApiServer(size, programs)
