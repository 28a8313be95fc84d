# SPDX-License-Identifier: Apache-2.0
"""The connection to an API server: TLS, tokens, proxies, programs that make credentials, and bodies that break off."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support import connect_proxy

from clusterdns.cluster.apiserver import signing
from clusterdns.cluster.apiserver.access import CredentialProgram, Credentials, Pem
from clusterdns.cluster.apiserver.connection import ApiConnection, ApiResponse
from clusterdns.cluster.apiserver.exec import ExecCredentials
from clusterdns.cluster.apiserver.kubeconfig import read_kubeconfig
from clusterdns.cluster.apiserver.options import ApiServerOptions
from clusterdns.errors import ApiError
from clusterdns.observability.exposition import render
from clusterdns.observability.metrics import Registry
from clusterdns.testing.apiserver import ApiServer, Ending, Settings, Storage, Tls, generate

SERVICES = "/api/v1/services"
TLS = Path(__file__).parents[1] / "data" / "tls" / "api"
AUTHORITY = Pem(str(TLS / "authority.pem"))
USER = "system:serviceaccount:kube-system:coredns"
SECONDS = 5.0

T = TypeVar("T")


@pytest.fixture(scope="module")
def storage() -> Storage:
    found = Storage()
    generate(found, services=300, endpoints=0)
    return found


@pytest.fixture
def server(storage: Storage) -> Iterator[ApiServer]:
    with ApiServer(storage) as running:
        yield running


@contextlib.contextmanager
def tls_server(name: str = "server", **options: Any) -> Iterator[ApiServer]:
    files = Tls(str(TLS / f"{name}.pem"), str(TLS / f"{name}.key"), str(TLS / "authority.pem"))
    with ApiServer(tls=files, **options) as running:
        yield running


def credentials(server: ApiServer, **options: Any) -> Credentials:
    return Credentials(server.url, "here", **options)


def connected(given: Credentials, work: Callable[[ApiConnection], Awaitable[T]], **options: Any) -> T:
    """Run the work with a connection, which is closed afterwards."""

    async def run() -> T:
        connection = ApiConnection(given, **{"environ": {}, **options})
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


async def body_of(response: ApiResponse, idle_seconds: float = SECONDS) -> bytes:
    pieces = []
    try:
        while piece := await response.read(idle_seconds):
            pieces.append(piece)
    finally:
        await response.close()
    return b"".join(pieces)


async def listed(connection: ApiConnection, **query: str) -> tuple[int, Any]:
    response = await connection.open(SERVICES, query, headers_seconds=SECONDS)
    return response.status, json.loads(await body_of(response))


async def status(connection: ApiConnection) -> int:
    return (await listed(connection, limit="1"))[0]


def fault(given: Credentials, **options: Any) -> str:
    with pytest.raises(ApiError) as caught:
        connected(given, status, **options)
    return str(caught.value)


# --- Requests


FIRST_REQUESTS = """
import asyncio, importlib.abc, json, sys, threading

from clusterdns.cluster.apiserver.access import Credentials
from clusterdns.cluster.apiserver.connection import ApiConnection

answered, imports = threading.Event(), []


class Watcher(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "aiohttp":
            loop.call_soon_threadsafe(answered.set)
            imports.append(answered.wait(5))


async def main():
    global loop
    loop = asyncio.get_running_loop()
    sys.meta_path.insert(0, Watcher())
    connection = ApiConnection(Credentials(sys.argv[1], "here"), environ={})
    asks = [connection.open("/api/v1/services", {"limit": "1"}, headers_seconds=5) for _ in range(3)]
    found = await asyncio.gather(*asks)
    print(json.dumps([imports, [response.status for response in found]]))
    for response in found:
        await response.close()
    await connection.close()


asyncio.run(main())
"""


def test_the_loop_goes_on_while_the_http_client_is_imported(server: ApiServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUESTS, server.url], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[True], [200, 200, 200]]


def test_lists_come_compressed_and_watches_do_not(server: ApiServer) -> None:
    async def work(connection: ApiConnection) -> tuple[int, int]:
        code, found = await listed(connection)
        response = await connection.open(SERVICES, {"watch": "true", "timeoutSeconds": "1"}, headers_seconds=SECONDS)
        await response.close()
        return code, len(found["items"])

    assert connected(credentials(server), work) == (200, 300)
    first, second = server.requests
    assert (first.headers["accept-encoding"], second.headers["accept-encoding"]) == ("gzip", "identity")
    assert first.headers["accept"] == "application/json"
    assert first.headers["user-agent"].startswith("clusterdns/")


def test_parameters_arrive_as_they_were_meant(server: ApiServer) -> None:
    query = {"labelSelector": "app in (a,b), x!=y,z", "fieldSelector": "metadata.name!=100%/&=+ü"}

    async def work(connection: ApiConnection) -> None:
        response = await connection.open(SERVICES, query, headers_seconds=SECONDS)
        await response.close()

    connected(credentials(server), work)
    assert dict(server.requests[-1].query) == query


def test_servers_below_a_path_are_asked_there(server: ApiServer) -> None:
    async def work(connection: ApiConnection) -> int:
        response = await connection.open(SERVICES, {}, headers_seconds=SECONDS)
        await response.close()
        return response.status

    below = Credentials(f"{server.url}/k8s/clusters/c-1", "here")
    assert connected(below, work) == 404
    assert server.requests[-1].path == f"/k8s/clusters/c-1{SERVICES}"


def test_metadata_alone_can_be_asked_for(server: ApiServer) -> None:
    async def work(connection: ApiConnection) -> Any:
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        response = await connection.open(SERVICES, {"limit": "1"}, headers_seconds=SECONDS, accept=accept)
        return json.loads(await body_of(response))["kind"]

    assert connected(credentials(server), work) == "PartialObjectMetadataList"


def test_refusals_are_answers(server: ApiServer) -> None:
    server.fail(429)
    server.access.forbidden.add(("list", "services"))

    async def work(connection: ApiConnection) -> list[tuple[int, str | None, bytes]]:
        found = []
        for _ in range(2):
            response = await connection.open(SERVICES, {}, headers_seconds=SECONDS)
            found.append((response.status, response.headers.get("retry-after"), await body_of(response)))
        return found

    throttled, forbidden = connected(credentials(server), work)
    assert throttled == (429, "1", b"Too many requests, please try again later.\n")
    assert (forbidden[0], json.loads(forbidden[2])["reason"]) == (403, "Forbidden")


def test_redirects_are_not_followed_and_html_is_no_answer(server: ApiServer) -> None:
    from clusterdns.testing.apiserver import Fault

    server.faults.add(Fault(status=200, body=b"<html>log in</html>", content_type="text/html; charset=utf-8"), 1)
    assert "the answer for services is text/html" in fault(credentials(server))
    server.faults.add(Fault(status=302, body=b"", content_type="text/html"), 1)

    async def work(connection: ApiConnection) -> int:
        response = await connection.open(SERVICES, {}, headers_seconds=SECONDS)
        await response.close()
        return response.status

    assert connected(credentials(server), work) == 302


def test_requests_are_counted_as_coredns_counts_them(server: ApiServer) -> None:
    registry = Registry()

    async def work(connection: ApiConnection) -> None:
        await status(connection)
        server.kill()
        with pytest.raises(ApiError):
            await status(connection)

    connected(credentials(server), work, registry=registry)
    text = render(registry)[1].decode()
    host = f"127.0.0.1:{server.port}"
    name = "coredns_kubernetes_rest_client_requests_total"
    assert f'{name}{{code="200",method="GET",host="{host}"}} 1' in text
    assert f'{name}{{code="<error>",method="GET",host="{host}"}} 1' in text


def test_requests_are_throttled(server: ApiServer) -> None:
    async def work(connection: ApiConnection) -> float:
        began = time.monotonic()
        for _ in range(5):
            await status(connection)
        return time.monotonic() - began

    assert connected(credentials(server), work, options=ApiServerOptions(qps=20.0, burst=2)) >= 0.14


def test_so_many_lists_are_under_way_and_watches_are_not_counted(server: ApiServer) -> None:
    async def work(connection: ApiConnection) -> bool:
        watches = [await connection.open(SERVICES, {"watch": "true"}, headers_seconds=SECONDS) for _ in range(3)]
        first = await connection.open(SERVICES, {}, headers_seconds=SECONDS)
        second = asyncio.ensure_future(connection.open(SERVICES, {}, headers_seconds=SECONDS))
        done, _ = await asyncio.wait([second], timeout=0.1)
        await first.close()
        for response in (await second, *watches):
            await response.close()
        return bool(done)

    assert connected(credentials(server), work, options=ApiServerOptions(max_inflight=1)) is False


# --- Bodies


@pytest.mark.parametrize("how", ["torn", "reset", "half line"])
def test_a_body_without_its_end_is_an_error(server: ApiServer, how: Ending) -> None:
    with pytest.raises(ApiError, match="broke off"):
        connected(credentials(server), lambda connection: watched(connection, server, how))


@pytest.mark.parametrize("how", ["clean", "expired", "half line, clean"])
def test_a_body_with_its_end_is_none(server: ApiServer, how: Ending) -> None:
    body = connected(credentials(server), lambda connection: watched(connection, server, how))
    assert (how == "clean") is (body == b"")


async def watched(connection: ApiConnection, server: ApiServer, how: Ending) -> bytes:
    query = {"watch": "true", "resourceVersion": str(server.storage.revision)}
    response = await connection.open(SERVICES, query, headers_seconds=SECONDS)
    server.wait_until(lambda server: server.open_watches() == 1)
    server.end_watches(how)
    return await body_of(response)


@pytest.mark.parametrize(("after_bytes", "limit"), [(100, "1"), (4_000, ""), (200, "")])
def test_a_list_that_is_cut_is_an_error_compressed_or_not(server: ApiServer, after_bytes: int, limit: str) -> None:
    server.cut(after_bytes, verb="list")
    with pytest.raises(ApiError, match="broke off"):
        connected(credentials(server), lambda connection: listed(connection, limit=limit))


def test_silence_in_a_body_ends_after_its_time(server: ApiServer) -> None:
    server.stall(100, verb="list")

    async def work(connection: ApiConnection) -> tuple[bytes, bool]:
        response = await connection.open(SERVICES, {"limit": "1"}, headers_seconds=SECONDS)
        first = await response.read(SECONDS)
        with pytest.raises(ApiError) as caught:
            await response.read(0.1)
        await response.close()
        return first, caught.value.timed_out

    first, timed_out = connected(credentials(server), work)
    assert (len(first), timed_out) == (100, True)


def test_a_server_that_hangs_gives_no_header(server: ApiServer) -> None:
    server.hang()

    async def work(connection: ApiConnection) -> bool:
        with pytest.raises(ApiError, match="no answer within") as caught:
            await connection.open(SERVICES, {}, headers_seconds=0.1)
        return caught.value.timed_out

    assert connected(credentials(server), work) is True


def test_what_nobody_reads_stays_with_the_server() -> None:
    total, piece = 64 * 1024 * 1024, b"x" * 65536
    sent = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % total)
            while sent[0] < total:
                writer.write(piece)
                await writer.drain()
                sent[0] += len(piece)
        writer.close()

    async def work() -> tuple[int, int]:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        connection = ApiConnection(Credentials(f"http://127.0.0.1:{port}", "here"), environ={})
        response = await connection.open(SERVICES, {"watch": "true"}, headers_seconds=SECONDS)
        before = -1
        while before != sent[0]:
            before = sent[0]
            await asyncio.sleep(0.1)
        read = len(await body_of(response))
        await connection.close()
        listener.close()
        return before, read

    before, read = asyncio.run(work())
    assert before < 24 * 1024 * 1024  # what the kernel takes, and little more
    assert read == total


# --- Reaching it


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_closed_without_an_answer_is_told_from_one_that_cannot_be_made(reset: bool) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async def main() -> tuple[bool, bool]:
        front = await asyncio.start_server(cut, "127.0.0.1", 0)
        host, port = front.sockets[0].getsockname()
        connection = ApiConnection(Credentials(f"http://{host}:{port}", "here"), environ={})
        async with front:
            with pytest.raises(ApiError) as closed:
                await status(connection)
        with pytest.raises(ApiError) as refused:
            await status(connection)
        await connection.close()
        return closed.value.cut, refused.value.cut

    assert asyncio.run(main()) == (True, False)


def test_refused_connections_and_wrong_protocols_are_explained(server: ApiServer) -> None:
    https = Credentials(server.url.replace("http:", "https:"), "here")
    assert "the other side doesn't speak TLS" in fault(https)
    server.kill()
    assert fault(credentials(server)).startswith(f"{server.url}: connection refused: nothing listens there")
    with tls_server() as secure:
        plain = Credentials(secure.url.replace("https:", "http:"), "here")
        assert "closed the connection without an answer" in fault(plain)


def test_names_that_cannot_be_resolved_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert fault(Credentials("https://api.example:6443", "here")) == (
        "https://api.example:6443: its name can't be resolved (Name or service not known): "
        "the cluster's DNS server can't ask itself; use an address, or run with dnsPolicy: Default"
    )


def test_the_right_authority_is_trusted_and_no_other() -> None:
    with tls_server() as server:
        server.access.certificates = False
        assert connected(credentials(server, authority=AUTHORITY), status) == 200
        data = Pem(data=(TLS / "authority.pem").read_text())
        assert connected(credentials(server, authority=data), status) == 200
        for other in (Pem(str(TLS / "stranger.pem")), Pem()):
            assert "x509: certificate signed by unknown authority" in fault(credentials(server, authority=other))
        assert connected(credentials(server, insecure=True), status) == 200


def test_the_name_of_the_server_must_be_in_its_certificate() -> None:
    with tls_server("elsewhere") as server:
        server.access.certificates = False
        assert "tls-server-name" in fault(credentials(server, authority=AUTHORITY))
        named = credentials(server, authority=AUTHORITY, server_name="kubernetes.example")
        assert connected(named, status) == 200
    with tls_server("expired") as server:
        assert "x509: certificate has expired" in fault(credentials(server, authority=AUTHORITY))


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_client_certificate_proves_who_asks(in_memory: bool) -> None:
    def pem(name: str) -> Pem:
        return Pem(data=(TLS / name).read_text()) if in_memory else Pem(str(TLS / name))

    with tls_server() as server:
        given = credentials(server, authority=AUTHORITY, certificate=pem("client.pem"), key=pem("client.key"))
        assert connected(given, status) == 200
        assert server.requests[-1].user == USER


def test_proxies_are_asked_to_connect() -> None:
    async def work(url: str) -> tuple[int, list[str]]:
        async with connect_proxy.running() as proxy:
            through = f"http://user:secret@127.0.0.1:{proxy.port}"
            connection = ApiConnection(Credentials(url, "here", authority=AUTHORITY, proxy=through), environ={})
            try:
                return await status(connection), proxy.asked
            finally:
                await connection.close()

    with tls_server() as server:
        server.access.certificates = False
        code, asked = asyncio.run(work(server.url))
        assert (code, asked) == (200, [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"])


def test_faults_of_proxies_are_called_theirs() -> None:
    async def work(port: int) -> str:
        proxy = f"http://user:secret@127.0.0.1:{port}"
        connection = ApiConnection(Credentials("https://192.0.2.1:6443", "here", proxy=proxy), environ={})
        with pytest.raises(ApiError) as caught:
            await status(connection)
        await connection.close()
        return str(caught.value)

    async def refusing() -> tuple[str, int]:
        async with connect_proxy.running(407) as proxy:
            return await work(proxy.port), proxy.port

    text, port = asyncio.run(refusing())
    assert text == f"proxy http://127.0.0.1:{port}: 407 No"
    assert asyncio.run(work(port)).startswith(f"proxy http://127.0.0.1:{port}: connection refused")


# --- Rotation


def test_a_token_that_rotates_is_read_again_after_401(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")

    async def work(connection: ApiConnection) -> list[int]:
        codes = [await status(connection)]
        del server.access.tokens["one"]
        server.access.tokens["two"] = USER
        codes.append(await status(connection))
        token.write_text("two")
        return [*codes, await status(connection)]

    with ApiServer(tokens={"one": USER}) as server:
        assert connected(credentials(server, token_file=str(token)), work) == [200, 401, 200]


def test_a_new_authority_is_trusted_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "REREAD_SECONDS", 0.0)
    authority = tmp_path / "ca.crt"
    shutil.copy(TLS / "stranger.pem", authority)

    async def work(connection: ApiConnection) -> int:
        with pytest.raises(ApiError, match="unknown authority"):
            await status(connection)
        shutil.copy(TLS / "authority.pem", tmp_path / "new")
        os.replace(tmp_path / "new", authority)
        return await status(connection)

    with tls_server() as server:
        server.access.certificates = False
        assert connected(credentials(server, authority=Pem(str(authority))), work) == 200


# --- Credentials that programs make


class Program:
    """A program that gives what the test says, and counts how often it ran."""

    def __init__(self, folder: Path) -> None:
        self._answer, self._runs = folder / "answer", folder / "runs"
        self._runs.write_text("")
        script = f"open({str(self._runs)!r}, 'a').write('x'); print(open({str(self._answer)!r}).read())"
        self.command = (sys.executable, "-c", script)

    def gives(self, **made: str) -> None:
        self._answer.write_text(json.dumps(made))

    @property
    def runs(self) -> int:
        return len(self._runs.read_text())


PROGRAM = CredentialProgram("/etc/kubeconfig", "main", "exec cloud")


def test_programs_are_run_again_when_what_they_made_expires_or_is_rejected(tmp_path: Path) -> None:
    now = [1_000_000.0]
    program = Program(tmp_path)

    async def work() -> list[str]:
        made = ExecCredentials(PROGRAM, command=program.command, now=lambda: now[0])
        program.gives(token="one", expires="1970-01-12T14:46:40Z")  # at 1 003 600
        found = [(await made.get()).token, (await made.get()).token]
        now[0] += 3580
        program.gives(token="two")
        second = await made.get()
        found.append(second.token)
        program.gives(token="three")
        assert made.reject(second) is False  # it was only just made
        now[0] += 60
        assert made.reject(second) is True
        found.append((await made.get()).token)
        return found

    assert asyncio.run(work()) == ["one", "one", "two", "three"]
    assert program.runs == 3


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('{}')", "gave neither a token nor a certificate with its key"),
        ("print('no json')", "what it gave can't be read"),
        ("import sys; print('a'); sys.exit('b\\nexpired log-in')", "expired log-in"),
        ("raise SystemExit(1)", "exit code 1"),
        ("raise SystemExit(3)", "needs the Python package kubernetes: pip install 'clusterdns[exec]'"),
    ],
)
def test_programs_that_fail_are_told(script: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        asyncio.run(ExecCredentials(PROGRAM, command=(sys.executable, "-c", script)).get())
    assert str(caught.value).startswith(f"exec cloud: {message}")


def test_programs_that_hang_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterdns.cluster.apiserver.exec.RUN_SECONDS", 0.2)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(ApiError, match=r"gave no credentials within 0.2 s"):
        asyncio.run(ExecCredentials(PROGRAM, command=command).get())


def exec_kubeconfig(folder: Path, server: ApiServer, status: dict[str, str]) -> str:
    """A kubeconfig whose user runs a script that prints the status."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    script = folder / "cloud"
    script.write_text(f"#!/bin/sh\ntest \"$MODE\" = given || exit 9\ncat <<'EOF'\n{json.dumps(answer)}\nEOF\n")
    script.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./cloud",
            "env": [{"name": "MODE", "value": "given"}],
            "interactiveMode": "Never",
            "provideClusterInfo": True,
        }
    }
    return write_kubeconfig(folder, server, user)


def write_kubeconfig(folder: Path, server: ApiServer, user: dict[str, Any]) -> str:
    authority = base64.b64encode((TLS / "authority.pem").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "clusters": [{"name": "c", "cluster": {"server": server.url, "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "config"
    path.write_text(json.dumps(config))
    return str(path)


def test_exec_gives_a_token(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    with tls_server(tokens={"from-exec": USER}) as server:
        given = read_kubeconfig(exec_kubeconfig(tmp_path, server, {"token": "from-exec"}))
        assert connected(given, status) == 200


def test_exec_gives_a_certificate(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    made = {
        "clientCertificateData": (TLS / "client.pem").read_text(),
        "clientKeyData": (TLS / "client.key").read_text(),
        "expirationTimestamp": "2100-01-01T00:00:00Z",
    }
    with tls_server() as server:
        given = read_kubeconfig(exec_kubeconfig(tmp_path, server, made))
        assert connected(given, status) == 200
        assert server.requests[-1].user == USER


def test_an_auth_provider_gives_a_token(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    token = f"{part({'alg': 'none'})}.{part({'exp': 4_000_000_000})}.{part({})}"
    provider = {"name": "oidc", "config": {"id-token": token, "client-id": "x", "idp-issuer-url": "https://192.0.2.1"}}
    with tls_server(tokens={token: USER}) as server:
        given = read_kubeconfig(write_kubeconfig(tmp_path, server, {"auth-provider": provider}))
        assert connected(given, status) == 200


def test_exec_that_fails_says_what_the_program_said(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    with tls_server() as server:
        path = exec_kubeconfig(tmp_path, server, {"token": "x"})
        (tmp_path / "cloud").write_text("#!/bin/sh\necho 'log in first' >&2\nexit 5\n")
        assert "exec ./cloud: exec: process returned 5. log in first" in fault(read_kubeconfig(path))


def test_the_kubernetes_library_is_loaded_for_nothing_else(tmp_path: Path) -> None:
    """Not even where exec credentials are used: another process loads it."""
    program = Program(tmp_path)
    program.gives(token="made")
    with tls_server(tokens={"made": USER}) as server:
        path = exec_kubeconfig(tmp_path, server, {"token": "made"})
        script = f"""
import asyncio, sys
from clusterdns.cluster.apiserver import exec as programs
from clusterdns.cluster.apiserver.connection import ApiConnection
from clusterdns.cluster.apiserver.credentials import load_credentials
from clusterdns.cluster.apiserver.options import ApiServerOptions
programs.ExecCredentials.__init__.__kwdefaults__["command"] = {program.command!r}
assert "aiohttp" not in sys.modules
async def main():
    connection = ApiConnection(load_credentials(ApiServerOptions(kubeconfig={path!r})))
    response = await connection.open({SERVICES!r}, {{}}, headers_seconds=5)
    await response.close()
    await connection.close()
    return response.status
assert asyncio.run(main()) == 200
print([name for name in sys.modules if name.partition(".")[0] in ("kubernetes", "requests", "urllib3")])
"""
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (found.stdout, found.stderr) == ("[]\n", "")
    assert program.runs == 1


def test_a_slow_start_of_the_roles_is_403_and_then_fine() -> None:
    with ApiServer(settings=Settings()) as server:
        server.stop()
        server.start(forbidden_seconds=0.2)

        async def work(connection: ApiConnection) -> list[int]:
            codes = [await status(connection)]
            while codes[-1] != 200:
                await asyncio.sleep(0.02)
                codes.append(await status(connection))
            return codes

        codes = connected(credentials(server), work)
        assert set(codes[:-1]) == {403}
