# SPDX-License-Identifier: Apache-2.0
"""What is measured of a DNS server that watches an API server: its start, changes, and a relist.

All waiting is done in threads that sleep or read, so that they don't hold each other up. Everything is asked at
intervals: an answer is known to within a millisecond, ``/ready`` to within ten.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import dns.message
from api_clusters import ClusterSize
from api_servers import ApiServer, Object, Writer
from servers import MeasuredServer, ServerFailedError

DEADLINE_SECONDS = 120.0
CHANGE_SECONDS = 1 / 20
_READY_SECONDS = 0.01
_ASK_SECONDS = 0.001
_CHANGE_ASK_SECONDS = 0.0001
_PATIENCE_SECONDS = 5.0
_NAMESPACE = "ns-0"

APPLY_METRIC = "clusterdns_kubernetes_event_apply_seconds_bucket"
RELIST_METRIC = "clusterdns_kubernetes_relists_total"


@dataclass(frozen=True)
class Watching:
    """A DNS server that isn't started yet, and the ports of 127.0.0.1 for probes and metrics."""

    server: MeasuredServer
    ready_port: int
    metrics_port: int


@dataclass
class Round:
    """One life of one server. ``cluster`` is a key of ``CLUSTERS``.

    ready_seconds, answer_seconds: from its start to ``/ready`` and to the first right answer; refused_when_ready: the
        DNS port was closed when ``/ready`` had said 200.
    ready_cpu_seconds, synced_cpu_seconds: CPU time until ready, and until all was at rest.
    stall_seconds, relist_stall_seconds: the longest that a query waited for a reply, of any kind, during the first list
        and during the later one.
    resident_bytes: once at rest; steady_bytes: right before the relist, peak_bytes: the most during it.
    service_seconds, endpoint_seconds: from the writer's HTTP answer to the DNS answer, below zero where that came
        first, of new Services and of changed endpoints.
    apply_counts: of the server's own metric, changes by upper bound in seconds as text; empty without the metric.
    relists: lists that the server says it has repeated; None if it doesn't tell.
    """

    cluster: str
    apiserver: str
    server: str
    ready_seconds: float = 0.0
    answer_seconds: float = 0.0
    refused_when_ready: bool = False
    ready_cpu_seconds: float = 0.0
    synced_cpu_seconds: float = 0.0
    stall_seconds: float = 0.0
    resident_bytes: int = 0
    service_seconds: list[float] = field(default_factory=list)
    endpoint_seconds: list[float] = field(default_factory=list)
    apply_counts: dict[str, int] = field(default_factory=dict)
    steady_bytes: int = 0
    peak_bytes: int = 0
    relist_stall_seconds: float = 0.0
    relists: int | None = None


class Prober(threading.Thread):
    """Asks for a name over and over while in its ``with`` block.

    replied_at, right_at: time.monotonic() of the first reply and of the first with records; 0 before it.
    longest_seconds: that a query waited for its reply, once there had been one.
    """

    def __init__(self, port: int, query: bytes) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._query = query
        self._ended = threading.Event()
        self.replied_at = 0.0
        self.right_at = 0.0
        self.longest_seconds = 0.0

    def __enter__(self) -> Prober:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(_PATIENCE_SECONDS)
            client.connect(("127.0.0.1", self._port))
            while not self._ended.wait(_ASK_SECONDS):
                began = time.monotonic()
                try:
                    client.send(self._query)
                    reply = client.recv(65535)
                except ConnectionRefusedError:
                    continue
                except TimeoutError:
                    reply = b""
                now = time.monotonic()
                if self.replied_at:
                    self.longest_seconds = max(self.longest_seconds, now - began)
                self.replied_at = self.replied_at or now
                if not self.right_at and has_records(reply):
                    self.right_at = now


def question(name: str) -> bytes:
    """An A query for a Service by ``name.namespace``."""
    return dns.message.make_query(f"{name}.svc.cluster.local", "A").to_wire()


def has_records(reply: bytes) -> bool:
    """NOERROR, and something in the answer section."""
    return len(reply) > 12 and not reply[3] & 15 and reply[6:8] != b"\0\0"


def measure_start(watching: Watching, size: ClusterSize, found: Round, settle_seconds: float) -> None:
    """Start the server, whose ``with`` block is the caller's to close, and see it come up. Raises ServerFailedError."""
    server = watching.server
    last = size.services - 1
    began = time.monotonic()
    server.__enter__()
    with Prober(server.port, question(f"svc-{last}.ns-{last // 100}")) as prober:
        while _status(watching.ready_port, "/ready")[0] != 200:
            if not server.running or time.monotonic() - began > DEADLINE_SECONDS:
                raise ServerFailedError(f"{server.name} isn't ready:\n{server.output()}")
            time.sleep(_READY_SECONDS)
        found.ready_seconds = time.monotonic() - began
        found.refused_when_ready = _refuses(server.port)
        found.ready_cpu_seconds = server.cpu_seconds()
        while not prober.right_at:
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise ServerFailedError(f"{server.name} has no answer:\n{server.output()}")
            time.sleep(_READY_SECONDS)
    found.answer_seconds = prober.right_at - began
    found.stall_seconds = prober.longest_seconds
    time.sleep(settle_seconds)
    found.synced_cpu_seconds = server.cpu_seconds()
    found.resident_bytes = server.resident_bytes()


def measure_changes(watching: Watching, apiserver: ApiServer, size: ClusterSize, found: Round, count: int) -> None:
    """``count`` new Services and as many changed endpoints, 20 a second. Raises ServerFailedError."""
    before = _apply_counts(watching)
    writer = apiserver.writer()
    with ThreadPoolExecutor(1) as writing, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", watching.server.port))
        created = []
        for number in range(count):
            name = f"bench-{number}-{time.monotonic_ns()}"
            created.append(name)
            written = writing.submit(_timed, writer.create, _service(name))
            found.service_seconds.append(_until_answered(client, question(f"{name}.{_NAMESPACE}"), written))
        for number, (name, piece, address) in enumerate(_moved_endpoints(writer, size, count)):
            written = writing.submit(_timed, writer.update, piece)
            query = question(f"{name}.ns-{number % size.headless // 100}")
            found.endpoint_seconds.append(_until_answered(client, query, written, address))
    after = _apply_counts(watching)
    found.apply_counts = {bound: after[bound] - before.get(bound, 0) for bound in after}
    for name in created:
        writer.delete("Service", _NAMESPACE, name)
    writer.close()


def measure_relist(watching: Watching, apiserver: ApiServer, size: ClusterSize, found: Round, seconds: float) -> None:
    """Make the server list all anew, and wait so long for it. Raises ServerFailedError."""
    server = watching.server
    last = size.services - 1
    before = _relists(watching)
    found.steady_bytes = server.resident_bytes()
    server.forget_peak()
    with Prober(server.port, question(f"svc-{last}.ns-{last // 100}")) as prober:
        apiserver.force_relist()
        time.sleep(seconds)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while before is not None and (_relists(watching) or 0) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.1)
    found.relist_stall_seconds = prober.longest_seconds
    found.peak_bytes = server.peak_bytes()
    found.relists = None if before is None else (_relists(watching) or 0) - before


def _until_answered(client: socket.socket, query: bytes, written: Future[float], address: bytes = b"") -> float:
    """Seconds from the writer's HTTP answer to the first right DNS answer, with ``address`` in it."""
    began = time.monotonic()
    client.settimeout(1.0)
    while True:
        client.send(query)
        reply = client.recv(65535)
        now = time.monotonic()
        if has_records(reply) and address in reply:
            break
        if now - began > _PATIENCE_SECONDS:
            raise ServerFailedError(f"a change is not answered after {_PATIENCE_SECONDS:g} s: {query!r}")
        time.sleep(_CHANGE_ASK_SECONDS)
    seconds = now - written.result()
    time.sleep(max(0.0, began + CHANGE_SECONDS - time.monotonic()))
    return seconds


def _timed(write: Callable[[Object], Object], value: Object) -> float:
    write(value)
    return time.monotonic()


def _service(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def _moved_endpoints(writer: Writer, size: ClusterSize, count: int) -> Iterator[tuple[str, Object, bytes]]:
    """Headless Services, each with its slice, in which one endpoint has a new address, and that address."""
    for number in range(count):
        name = f"svc-{number % size.headless}"
        piece = writer.get("EndpointSlice", f"ns-{number % size.headless // 100}", name)
        address = IPv4Address("198.18.0.0") + time.monotonic_ns() // 1000 % 2**17
        piece["endpoints"][0]["addresses"] = [str(address)]
        yield name, piece, address.packed


def _refuses(port: int) -> bool:
    """True if the DNS port is closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(_PATIENCE_SECONDS)
        client.connect(("127.0.0.1", port))
        try:
            client.send(question("kubernetes.default"))
            client.recv(65535)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    return False


def _status(port: int, path: str) -> tuple[int, str]:
    """Status and body of a page; 0 while nothing listens there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _samples(watching: Watching, metric: str) -> Iterator[tuple[str, float]]:
    """The labels and values of a metric."""
    for line in _status(watching.metrics_port, "/metrics")[1].splitlines():
        if line.startswith(metric + "{"):
            labels, _, value = line.rpartition(" ")
            yield labels, float(value)


def _apply_counts(watching: Watching) -> dict[str, int]:
    return {
        labels.partition('le="')[2].partition('"')[0]: int(value) for labels, value in _samples(watching, APPLY_METRIC)
    }


def _relists(watching: Watching) -> int | None:
    values = [value for _, value in _samples(watching, RELIST_METRIC)]
    return int(sum(values)) if values else None
