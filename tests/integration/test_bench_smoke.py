# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs and its answers are right; its figures are not judged here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.zone
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (Debian: apt install gcc libc6-dev)"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="batches of datagrams and /proc are Linux's"),
]


OWN = ("clusterdns", "clusterdns, warmup")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test import the modules of the benchmark."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))


def test_benchmark_measures_every_workload(tmp_path: Path, benchmarks: None) -> None:
    from workloads import WORKLOADS

    command = ["benchmarks/bench.py", "--rounds", "1", "--seconds", "0.3", "--services", "20", "--endpoints", "2"]
    environment = {name: value for name, value in os.environ.items() if name != "COREDNS"}
    result = subprocess.run(
        [sys.executable, *command, "--results", str(tmp_path)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (figures,) = tmp_path.iterdir()
    samples = json.loads(figures.read_text())["samples"]
    measured = {(sample["server"], sample["workload"]) for sample in samples}
    assert {workload for server, workload in measured if server in OWN} == set(WORKLOADS)
    assert {server for server, workload in measured if workload == "search"} == set(OWN)
    assert ("echo", "a") in measured
    assert all(sample["received"] > 0 for sample in samples)
    assert all(workload.title in result.stdout for workload in WORKLOADS.values())


def test_bars_are_judged_by_the_median_of_the_rounds(benchmarks: None) -> None:
    from load_generator import Sample
    from report import verdicts

    def sample(server: str, received: int) -> Sample:
        return Sample(server, "cached", 1.0, received, received, 0, {"0": received}, 1, 1, 1.0)

    rounds = [(500, 100, 600), (700, 100, 900), (600, 200, 600)]
    samples = [
        sample(server, received)
        for counts in rounds
        for server, received in zip(("clusterdns", "CoreDNS", "Unbound"), counts, strict=True)
    ]
    found = {verdict.server: (verdict.ratio, verdict.met) for verdict in verdicts(samples)}
    assert found == {"CoreDNS": (5.0, True), "Unbound": (0.833, True)}
    samples[0] = sample("clusterdns", 400)
    found = {verdict.server: (verdict.ratio, verdict.met) for verdict in verdicts(samples)}
    assert found == {"CoreDNS": (4.0, False), "Unbound": (0.778, False)}


def test_wrong_replies_are_faults(benchmarks: None) -> None:
    from load_generator import Sample
    from workloads import WORKLOADS

    def fault(workload: str, answered: int, rcodes: dict[str, int], attempts: int = 0, **options: object) -> str:
        sample = Sample("X", workload, 1.0, 40, answered, 0, rcodes, 1, 1, 1.0, attempts=attempts, **options)
        return WORKLOADS[workload].fault(sample)

    assert fault("cached", 40, {"0": 40}) == ""
    assert "rcodes" in fault("cached", 40, {"0": 39, "3": 1})
    assert "failed 1 of 40" in fault("cached", 39, {"0": 39, "2": 1})
    assert "rcodes" in fault("a", 40, {"0": 39, "2": 1})
    assert "records in 39 of 40" in fault("cached", 39, {"0": 40})
    assert fault("nxdomain", 0, {"3": 40}) == ""
    assert fault("search", 10, {"0": 10}, attempts=10, miss_rcodes={"3": 30}) == ""
    assert "misses" in fault("search", 10, {"0": 10}, attempts=10, miss_rcodes={"3": 29, "0": 1})


def test_zone_file_for_other_servers_has_the_answers(tmp_path: Path, benchmarks: None) -> None:
    import generated_cluster
    from workloads import WORKLOADS

    cluster = generated_cluster.services(10, 3, 3)
    generated_cluster.write_zone_file(cluster, tmp_path / "zone")
    zone = dns.zone.from_file(str(tmp_path / "zone"), origin="cluster.local.", relativize=False)
    for workload in WORKLOADS.values():
        for wire in workload.queries(cluster)[:100] if workload.setting == "cluster" else ():
            question = dns.message.from_wire(wire).question[0]
            assert (zone.get_node(question.name) is None) == (workload.rcode == dns.rcode.NXDOMAIN)
            assert (zone.get_rdataset(question.name, question.rdtype) is not None) == workload.answered


@pytest.fixture
def upstream(benchmarks: None) -> Iterator[Callable[[int], int]]:
    """Starts the benchmark's name server with a delay in microseconds; the port."""
    from programs import UPSTREAM, compile_programs
    from servers import free_ports

    compile_programs()
    processes = []

    def start(delay_us: int) -> int:
        (port,) = free_ports(1)
        processes.append(subprocess.Popen([str(UPSTREAM), str(port), str(delay_us), "77"]))
        query = dns.message.make_query("ready.test.", "A")
        for _ in range(100):
            try:
                dns.query.udp(query, "127.0.0.1", port=port, timeout=0.1)
            except (dns.exception.Timeout, OSError):
                continue
            return port
        pytest.fail("the upstream does not answer")

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("rtype", "section", "expected"),
    [
        ("A", "answer", "www.Example.test. 77 IN A 192.0.2.1"),
        ("AAAA", "answer", "www.Example.test. 77 IN AAAA 2001:db8::1"),
        (
            "MX",
            "authority",
            "www.Example.test. 77 IN SOA www.Example.test. www.Example.test. 1 7200 1800 86400 77",
        ),
    ],
)
def test_the_upstream_answers_with_the_question_copied(
    upstream: Callable[[int], int], rtype: str, section: str, expected: str
) -> None:
    query = dns.message.make_query("www.Example.test.", rtype, use_edns=0)
    reply = dns.query.udp(query, "127.0.0.1", port=upstream(0), timeout=5)
    assert (reply.id, reply.question, reply.rcode()) == (query.id, query.question, dns.rcode.NOERROR)
    assert [str(rrset) for rrset in getattr(reply, section)] == [expected]


def test_the_upstream_takes_its_time(upstream: Callable[[int], int]) -> None:
    port = upstream(50_000)
    started = time.monotonic()
    dns.query.udp(dns.message.make_query("a.test.", "A"), "127.0.0.1", port=port, timeout=5)
    assert 0.05 <= time.monotonic() - started < 0.5
