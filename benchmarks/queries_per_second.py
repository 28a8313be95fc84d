# SPDX-License-Identifier: Apache-2.0
"""How many queries a second this server answers on one core, and what one costs.

Three servers are asked in turn: a bare socket echo, the yardstick; clusterdns on kubeadm's Corefile without ``forward``
and ``cache``; and CoreDNS, where the environment variable COREDNS names its program. CoreDNS can't read manifests, so
its ``file`` plugin serves the same records from a zone file in place of ``kubernetes``.

All servers run on the first core and the load generator on the second. Rounds are interleaved, server by server, so
that a busy machine is unfair to all alike; the median of the rounds counts. Figures of different runs don't compare,
only the ratios within one run do; CPU time per query suffers least from what else runs on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import generated_cluster
from load_generator import Sample, compile_program, take_sample
from servers import MeasuredServer, ServerFailedError, free_ports

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
LOAD_PROGRAM = BUILD / "load"
WARM_UP_SECONDS = 0.3

COREFILE = """\
. {{
    errors
    health 127.0.0.1:{health}
    ready 127.0.0.1:{ready}
    {zone}
    prometheus 127.0.0.1:{metrics}
    loop
    reload
    loadbalance
}}
"""
KUBERNETES = """kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {directory}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}"""


def main() -> int:
    """Run the benchmark, print a table and keep all figures as JSON.

    Returns 0, also where the machine can't run it, 1 if a server failed or gave a wrong answer.
    """
    options = parse_arguments()
    reason = unable()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 0
    cluster = generated_cluster.services(options.services, options.endpoints, options.services * 3 // 10)
    queries = generated_cluster.all_queries(cluster)
    chosen = {kind: queries[kind] for kind in queries if not options.kinds or kind in options.kinds}
    try:
        samples, memory = measure(cluster, chosen, options.rounds, options.seconds)
    except ServerFailedError as error:
        print(error, file=sys.stderr)
        return 1
    faults = sorted({fault for sample in samples if (fault := sample.fault(chosen[sample.kind]))})
    print_table(samples, memory, chosen)
    print(f"\nAll figures: {keep(samples, memory, options)}")
    for fault in faults:
        print(f"wrong: {fault}", file=sys.stderr)
    return 1 if faults else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = list(generated_cluster.all_queries(()))
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="load per server, kind and round (default: 1)")
    parser.add_argument("--services", type=int, default=1000, help="Services, 3 in 10 headless (default: 1000)")
    parser.add_argument("--endpoints", type=int, default=10, help="endpoints of each Service (default: 10)")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=[], help="kinds of questions (default: all)")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the figures as JSON")
    return parser.parse_args()


def unable() -> str:
    """Why this machine can't run the benchmark; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "sockets are read in batches and CPU time from /proc, as only Linux has them"
    if shutil.which("cc") is None:
        return "the echo and the load generator need a C compiler, and there is no cc"
    return ""


def measure(
    cluster: tuple[generated_cluster.Service, ...],
    queries: dict[str, generated_cluster.Queries],
    rounds: int,
    seconds: float,
) -> tuple[list[Sample], dict[str, int]]:
    """All samples, and the resident bytes of each server after them. Raises ServerFailedError."""
    compiler = shutil.which("cc") or "cc"
    for program in ("echo", "load"):
        compile_program(compiler, HERE / f"{program}.c", BUILD / program)
    first_query = next(iter(queries.values())).wire[0]
    with tempfile.TemporaryDirectory(prefix="clusterdns-bench-") as folder, contextlib.ExitStack() as running:
        servers = [running.enter_context(server) for server in prepare_servers(cluster, Path(folder))]
        for server in servers:
            server.wait_until_it_answers(first_query)
        for kind, each in queries.items():
            for server in servers:
                take_sample(LOAD_PROGRAM, server, kind, each.wire, min(WARM_UP_SECONDS, seconds))
        samples = [
            take_sample(LOAD_PROGRAM, server, kind, each.wire, seconds)
            for _ in range(rounds)
            for kind, each in queries.items()
            for server in servers
        ]
        return samples, {server.name: server.resident_bytes() for server in servers}


def prepare_servers(cluster: tuple[generated_cluster.Service, ...], folder: Path) -> Iterator[MeasuredServer]:
    """The servers to compare, their files written but nothing started yet; the echo comes first."""
    (port,) = free_ports(1)
    yield MeasuredServer("echo", port, [str(BUILD / "echo"), str(port)])

    generated_cluster.write_manifests(cluster, folder / "manifests")
    zone = KUBERNETES.format(directory=folder / "manifests")
    arguments, port = write_corefile(folder / "Corefile.clusterdns", zone)
    yield MeasuredServer("clusterdns", port, [sys.executable, "-m", "clusterdns", *arguments], HERE.parent)

    coredns = os.environ.get("COREDNS")
    if not coredns:
        print("CoreDNS is left out: the environment variable COREDNS names no program", file=sys.stderr)
        return
    generated_cluster.write_zone_file(cluster, folder / "cluster.local.zone")
    zone = f"file {folder / 'cluster.local.zone'} cluster.local"
    arguments, port = write_corefile(folder / "Corefile.coredns", zone)
    yield MeasuredServer("CoreDNS", port, [coredns, *arguments])


def write_corefile(path: Path, zone: str) -> tuple[list[str], int]:
    """Write kubeadm's Corefile with ``zone`` as its backend; the arguments that serve it, and the port."""
    port, health, ready, metrics = free_ports(4)
    path.write_text(COREFILE.format(health=health, ready=ready, metrics=metrics, zone=zone))
    return ["-conf", str(path), "-dns.port", str(port)], port


def print_table(samples: list[Sample], memory: dict[str, int], queries: dict[str, generated_cluster.Queries]) -> None:
    """Medians per kind and server. ``of echo`` compares queries per second within each round, before the median."""
    for kind, each in queries.items():
        print(f"\n{each.title:30} queries/s   of echo   CPU µs/query   p50 µs   p99 µs     lost")
        rounds = {server: [row for row in samples if (row.kind, row.server) == (kind, server)] for server in memory}
        echo, *_ = rounds.values()
        for server, rows in rounds.items():
            shares = (
                row.queries_per_second / max(one.queries_per_second, 1) for row, one in zip(rows, echo, strict=True)
            )
            print(
                f"  {server:28} {statistics.median(row.queries_per_second for row in rows):9,.0f}"
                f" {statistics.median(shares):9.2f}"
                f" {statistics.median(row.cpu_us_per_query for row in rows):14.2f}"
                f" {statistics.median(row.p50_us for row in rows):8.0f}"
                f" {statistics.median(row.p99_us for row in rows):8.0f}"
                f" {sum(row.lost for row in rows):8d}"
            )
    sizes = ", ".join(f"{server} {size / 2**20:.0f} MiB" for server, size in memory.items())
    print(f"\nResident memory: {sizes}")


def keep(samples: list[Sample], memory: dict[str, int], options: argparse.Namespace) -> Path:
    """Write all figures, and what they were taken on, to a file of their own."""
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    options.results.mkdir(parents=True, exist_ok=True)
    path: Path = options.results / f"queries_per_second-{taken}.json"
    document = {
        "taken": taken,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "services": options.services,
        "endpoints": options.endpoints,
        "resident_bytes": memory,
        "samples": [dataclasses.asdict(sample) for sample in samples],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
