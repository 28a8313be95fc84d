# SPDX-License-Identifier: Apache-2.0
"""How clusterdns does on one core, beside a bare socket echo, CoreDNS and Unbound.

`workloads.py` is the table of what is measured, `settings.py` how the servers are set up for it. All servers run on the
first core, the load and the upstreams on the second. Rounds are interleaved, server by server, so that a busy machine
is unfair to all alike; the median of the rounds counts. Figures of different runs don't compare, only the ratios within
one run do; CPU time per query suffers least from what else runs on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

import generated_cluster
from generated_cluster import Service
from load_generator import Sample, take_sample
from programs import HERE, compile_programs, unable
from report import keep, print_report, verdicts
from servers import MeasuredServer, ServerFailedError
from settings import SETTINGS, UPSTREAM_NAME, Site, unbound
from workloads import WORKLOADS, Workload

WARM_UP_SECONDS = 0.3


def main() -> int:
    """Run the benchmark, print a table and keep all figures as JSON.

    Returns 0, also where the machine can't run it, 1 if a server failed, gave a wrong answer, or with --strict didn't
    meet a bar.
    """
    options = parse_arguments()
    reason = unable()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 0
    if not os.environ.get("COREDNS"):
        print("CoreDNS is left out: the environment variable COREDNS names no program", file=sys.stderr)
    if not unbound():
        print("Unbound is left out: it isn't installed", file=sys.stderr)
    cluster = generated_cluster.services(options.services, options.endpoints, options.services * 3 // 10)
    chosen = {name: WORKLOADS[name] for name in options.workloads or WORKLOADS}
    compile_programs()
    try:
        samples, memory = measure(cluster, chosen, options.rounds, options.seconds)
    except ServerFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print_report(samples, memory)
    shape = {"services": options.services, "endpoints": options.endpoints}
    path = keep(samples, memory, options.results, rounds=options.rounds, seconds=options.seconds, **shape)
    print(f"\nAll figures: {path}")
    faults = sorted({fault for sample in samples if (fault := chosen[sample.workload].fault(sample))})
    for fault in faults:
        print(f"wrong: {fault}", file=sys.stderr)
    missed = options.strict and not all(verdict.met for verdict in verdicts(samples))
    return 1 if faults or missed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="load per server, workload and round (default: 1)")
    parser.add_argument("--services", type=int, default=1000, help="Services, 3 in 10 headless (default: 1000)")
    parser.add_argument("--endpoints", type=int, default=10, help="endpoints of each Service (default: 10)")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=[], help="(default: all)")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the figures as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar isn't met")
    return parser.parse_args()


def measure(
    cluster: tuple[Service, ...], workloads: dict[str, Workload], rounds: int, seconds: float
) -> tuple[list[Sample], dict[str, int]]:
    """All samples, and the resident bytes of each server after them. Raises ServerFailedError."""
    queries = {name: workload.queries(cluster) for name, workload in workloads.items()}
    with tempfile.TemporaryDirectory(prefix="clusterdns-bench-") as folder, contextlib.ExitStack() as running:
        site = Site(Path(folder), cluster)
        servers: dict[str, list[MeasuredServer]] = {}
        for setting in dict.fromkeys(workload.setting for workload in workloads.values()):
            servers[setting] = [running.enter_context(server) for server in SETTINGS[setting](site)]
        for name, workload in workloads.items():
            for server in servers[workload.setting]:
                server.wait_until_it_answers(queries[name][-1])
        measured = {
            setting: [server for server in group if server.name != UPSTREAM_NAME] for setting, group in servers.items()
        }
        samples = []
        for number in range(rounds + 1):  # the first one warms up
            for name, workload in workloads.items():
                for server in measured[workload.setting]:
                    length = seconds if number else min(WARM_UP_SECONDS, seconds)
                    sample = take_sample(name, workload.load, server, queries[name], length)
                    samples += [sample] if number else []
        memory: dict[str, int] = {}
        for group in measured.values():
            for server in group:
                memory[server.name] = max(memory.get(server.name, 0), server.resident_bytes())
        return samples, memory


if __name__ == "__main__":
    sys.exit(main())
