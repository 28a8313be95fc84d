# SPDX-License-Identifier: Apache-2.0
"""How clusterdns does as the watcher of an API server, beside CoreDNS: start, memory, changes, a relist.

The DNS servers have the first core, each alone and one after the other; the API server and the questions have the
second. Each round starts every server once. As in ``bench.py``, figures compare within one run only.

COREDNS names the program of CoreDNS, KUBE_APISERVER and ETCD those of a real API server; what isn't named is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from api_clusters import CLUSTERS, ClusterSize
from api_probes import Round, Watching, measure_changes, measure_relist, measure_start
from api_report import faults, keep, print_report, verdicts
from api_servers import ApiServer, api_servers, real_programs
from servers import LOAD_CORE, MeasuredServer, ServerFailedError, free_ports, pin_to_core
from settings import CLUSTERDNS, COREDNS, REPOSITORY

_COREFILE = """\
. {{
    errors
    health 127.0.0.1:{health}
    ready 127.0.0.1:{ready}
    prometheus 127.0.0.1:{metrics}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        {directives}
        pods {pods}
        fallthrough in-addr.arpa ip6.arpa
    }}
    loop
    reload
    loadbalance
}}
"""


def main() -> int:
    """Run the benchmark, print a table and keep all figures as JSON.

    Returns 0, also where the machine can't run it, 1 if a server failed or did what it must not, or with --strict
    didn't meet a bar.
    """
    options = parse_arguments()
    if not sys.platform.startswith("linux"):
        print("skipped: CPU time and memory are read from /proc, as only Linux has it", file=sys.stderr)
        return 0
    if not os.environ.get("COREDNS"):
        print("CoreDNS is left out: the environment variable COREDNS names no program", file=sys.stderr)
    if real_programs() is None:
        print("A real API server is left out: KUBE_APISERVER and ETCD don't name programs", file=sys.stderr)
    pin_to_core(LOAD_CORE)
    rounds: list[Round] = []
    try:
        with tempfile.TemporaryDirectory(prefix="clusterdns-bench-") as folder:
            use_compiled_modules(Path(folder))
            for name in options.clusters or [name for name, size in CLUSTERS.items() if size.bars]:
                for apiserver in api_servers(CLUSTERS[name]):
                    with apiserver:
                        rounds += measure(apiserver, name, options, Path(folder))
    except ServerFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print_report(rounds)
    path = keep(rounds, options.results, changes=options.changes, settle_seconds=options.settle)
    print(f"\nAll figures: {path}")
    found = faults(rounds)
    for fault in found:
        print(f"wrong: {fault}", file=sys.stderr)
    missed = options.strict and not all(verdict.met for verdict in verdicts(rounds))
    return 1 if found or missed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each server (default: 5)")
    parser.add_argument("--changes", type=int, default=40, help="of each sort in a round (default: 40)")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds of rest after a sync (default: 5)")
    parser.add_argument("--clusters", nargs="+", choices=list(CLUSTERS), default=[], help="(default: all but 20)")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "benchmarks/results", help="folder for the JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar isn't met")
    return parser.parse_args()


def use_compiled_modules(folder: Path) -> None:
    """Let the processes that are started from now on keep compiled modules there: an image has them, too."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")


def measure(apiserver: ApiServer, cluster: str, options: argparse.Namespace, folder: Path) -> list[Round]:
    """All rounds against one API server, interleaved. Raises ServerFailedError."""
    size = CLUSTERS[cluster]
    found = []
    for number in range(options.rounds + 1):
        for name, command in programs():
            one = Round(cluster, apiserver.name, name)
            watching = prepare(name, command, apiserver, size, folder)
            with contextlib.ExitStack() as running:
                running.push(watching.server.__exit__)
                measure_start(watching, size, one, options.settle if number else 0.0)
                if not number:  # the first one has compiled modules, and has read programs into memory
                    continue
                measure_changes(watching, apiserver, size, one, options.changes)
                measure_relist(watching, apiserver, size, one, options.settle)
            found.append(one)
    return found


def programs() -> list[tuple[str, list[str]]]:
    """The DNS servers to compare, and how they are started."""
    coredns = os.environ.get("COREDNS")
    own = (CLUSTERDNS, [sys.executable, "-m", "clusterdns"])
    return [own, (COREDNS, [coredns])] if coredns else [own]


def prepare(name: str, command: list[str], apiserver: ApiServer, size: ClusterSize, folder: Path) -> Watching:
    """A server with kubeadm's Corefile less ``forward`` and ``cache``, which would hide changes."""
    port, health, ready, metrics = free_ports(4)
    corefile = folder / f"{port}.Corefile"
    corefile.write_text(
        _COREFILE.format(
            health=health,
            ready=ready,
            metrics=metrics,
            directives=apiserver.directives,
            pods="verified" if size.pods else "insecure",
        )
    )
    flags = ["-conf", str(corefile), "-dns.port", str(port)]
    return Watching(MeasuredServer(name, port, [*command, *flags], REPOSITORY), ready, metrics)


if __name__ == "__main__":
    sys.exit(main())
