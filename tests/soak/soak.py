# SPDX-License-Identifier: Apache-2.0
"""Thousands of clients, upstreams that lose, reorder and duplicate, reloads and a cluster that changes, for minutes.

A verdict is printed, and the exit code is 1, unless every reply was for the client that got it, right, and the only
one; nearly all queries were answered; all reloads succeeded; and tasks, sockets and memory of the server stayed flat.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from observations import Observation, Observer, growths, kernel_drops, left_over, observe
from site_files import Site
from support.ports import free_port

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
START_SECONDS = 30
QUIET_SECONDS = 12.0
"""After the last query: longer than anything waits for an upstream, and than an unused socket is kept."""

RELOAD_EVERY_SECONDS = 5.0
EDIT_EVERY_SECONDS = 0.5
BURST_EVERY_SECONDS = 10.0
MOST_LOST = 0.001
MOST_FAILED = 0.005


@dataclass
class Running:
    """The server under load, and what it was told."""

    site: Site
    process: subprocess.Popen[bytes]
    output: Path
    reloads: int = 0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def reload(self) -> None:
        """Another Corefile, and the signal; the next one comes when this one is done."""
        if self.text().count("Reloading complete") < self.reloads:
            return
        self.site.write_corefile()
        self.process.send_signal(signal.SIGUSR1)
        self.reloads += 1


def main() -> int:
    """Run it; 0 if all was well, also where this machine can't, 1 if not."""
    options = parse_arguments()
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        print("skipped: the clients need Linux and a C compiler", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory(prefix="clusterdns-soak-") as folder:
        program = Path(folder) / "clients"
        command = ["cc", "-O2", "-Wall", "-Wextra", "-I", str(REPOSITORY / "benchmarks"), "-o", str(program)]
        subprocess.run([*command, str(HERE / "clients.c")], check=True)
        site = Site(Path(folder), free_port(), free_port(), (free_port(), free_port()))
        site.write()
        with contextlib.ExitStack() as stack:
            stack.enter_context(upstreams(site.upstream_ports))
            server = stack.enter_context(serve(site))
            before = observe(site.metrics_port, 0.0)
            started = time.monotonic()
            with Observer(site.metrics_port) as observer:
                findings = put_load_on(server, program, options)
            time.sleep(QUIET_SECONDS)
            after = observe(site.metrics_port, time.monotonic() - started)
            findings["overflow"] = kernel_drops(site.port)
        observations = observer.observations
        faults = judge(server, findings, observations, before, after)
        print_verdict(server, findings, [before, *observations, after], faults)
        return 1 if faults else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--clients", type=int, default=10_000, help="each with a socket (default: 10000)")
    parser.add_argument(
        "--think", type=int, default=2000, help="ms between reply and query, on average (default: 2000)"
    )
    return parser.parse_args()


@contextlib.contextmanager
def upstreams(ports: tuple[int, ...]) -> Iterator[None]:
    """The upstreams, in a process."""
    command = [sys.executable, str(HERE / "lossy_upstreams.py"), *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the upstreams don't start")
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def serve(site: Site) -> Iterator[Running]:
    """The server; it has read its cluster when this begins, and has ended by itself, asked to, when it is over."""
    output = site.folder / "output"
    command = [sys.executable, "-m", "clusterdns", "-conf", str(site.corefile)]
    with output.open("wb") as stream:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=stream, stderr=subprocess.STDOUT)
    running = Running(site, process, output)
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                observe(site.metrics_port, 0.0)
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise RuntimeError(f"the server does not start:\n{running.text()}") from None
                time.sleep(0.05)
        yield running
        process.terminate()
        if process.wait(20) != 0:
            running.faults.append(f"the server's exit code was {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def put_load_on(server: Running, program: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What the clients found, while the server was told to reload and its cluster changed."""
    site = server.site
    words = [site.port, options.seconds, options.clients, options.think, BURST_EVERY_SECONDS]
    clients = subprocess.Popen([str(program), *map(str, words)], stdout=subprocess.PIPE)
    try:
        next_reload = time.monotonic() + RELOAD_EVERY_SECONDS
        while clients.poll() is None and server.process.poll() is None:
            site.edit_cluster()
            if time.monotonic() > next_reload:
                next_reload += RELOAD_EVERY_SECONDS
                server.reload()
            time.sleep(EDIT_EVERY_SECONDS)
        if server.process.poll() is not None:
            server.faults.append(f"the server ended during the load, exit code {server.process.returncode}")
            clients.send_signal(signal.SIGTERM)
        printed, _ = clients.communicate(timeout=30)
    finally:
        if clients.poll() is None:
            clients.kill()
            clients.wait()
    if clients.returncode:
        raise RuntimeError(f"the clients failed with exit code {clients.returncode}")
    findings: dict[str, Any] = json.loads(printed)
    return findings


def judge(
    server: Running,
    findings: dict[str, Any],
    observations: list[Observation],
    before: Observation,
    after: Observation,
) -> list[str]:
    """Everything that must not be; empty if all is well."""
    faults = list(server.faults)
    sent = max(findings["sent"], 1)
    faults += [
        f"{findings[kind]} {text}"
        for kind, text in (
            ("foreign", "replies were to a query of another client, or to none"),
            ("twice", "replies came a second time"),
            ("wrong", "replies were wrong"),
        )
        if findings[kind]
    ]
    # On a machine that is busy with other things the kernel drops what the server couldn't read in time, and replies
    # come when the client has given up. Neither is a query that the server has lost.
    lost = findings["lost"] - findings["overflow"] - findings["late"]
    if lost > sent * MOST_LOST:
        faults.append(f"{lost} of {sent} queries came to the server and were never answered")
    if findings["failed"] > sent * MOST_FAILED:
        faults.append(f"{findings['failed']} of {sent} queries failed")
    text = server.text()
    done = text.count("Reloading complete")
    if done != server.reloads:
        faults.append(f"{done} of {server.reloads} reloads succeeded")
    faults += [
        f"the log says: {line}"
        for line in text.splitlines()
        if "Traceback" in line or "panic" in line or "has failed and is over" in line or "never awaited" in line
    ][:5]
    return [*faults, *growths(observations), *left_over(before, after)]


def print_verdict(
    server: Running, findings: dict[str, Any], observations: list[Observation], faults: list[str]
) -> None:
    """The figures, a line for every tenth of the time, and the verdict."""
    print("  seconds    tasks  sockets  memory MiB")
    between = observations[1:-1]
    step = max(1, len(between) // 10)
    for each in (observations[0], *between[step - 1 :: step], observations[-1]):
        print(f"{each.seconds:9.0f} {each.tasks:8.0f} {each.sockets:8.0f} {each.memory_bytes / 2**20:11.1f}")
    kinds = ("sent", "right", "failed", "lost", "overflow", "late", "foreign", "twice", "wrong")
    print("queries: " + ", ".join(f"{findings[kind]:,} {kind}" for kind in kinds))
    print(f"latency: p50 {findings['p50_us'] / 1000:.1f} ms, p99 {findings['p99_us'] / 1000:.1f} ms")
    print(f"reloads: {server.reloads}")
    for example in findings["examples"]:
        print(f"  {example}")
    for fault in faults:
        print(f"fault: {fault}")
    print("verdict: " + ("faults were found" if faults else "all is well"))


if __name__ == "__main__":
    sys.exit(main())
