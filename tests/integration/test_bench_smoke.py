# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs and its answers are right; its figures are not judged here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import dns.message
import dns.rcode
import dns.zone
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (Debian: apt install gcc libc6-dev)"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="batches of datagrams and /proc are Linux's"),
]


def test_benchmark_measures_every_kind_of_question(tmp_path: Path) -> None:
    command = ["benchmarks/queries_per_second.py", "--rounds", "1", "--seconds", "0.1", "--services", "20"]
    environment = {name: value for name, value in os.environ.items() if name != "COREDNS"}
    result = subprocess.run(
        [sys.executable, *command, "--endpoints", "2", "--results", str(tmp_path)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (figures,) = tmp_path.iterdir()
    samples = json.loads(figures.read_text())["samples"]
    assert {(sample["server"], sample["kind"]) for sample in samples} == {
        (server, kind)
        for server in ("echo", "clusterdns")
        for kind in ("a", "headless", "nxdomain", "once", "nodata", "srv", "edns")
    }
    assert all(sample["received"] > 100 for sample in samples)
    assert "clusterdns" in result.stdout


def test_zone_file_for_other_servers_has_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import generated_cluster

    cluster = generated_cluster.services(10, 3, 3)
    generated_cluster.write_zone_file(cluster, tmp_path / "zone")
    zone = dns.zone.from_file(str(tmp_path / "zone"), origin="cluster.local.", relativize=False)
    for queries in generated_cluster.all_queries(cluster).values():
        for wire in queries.wire[:100]:
            question = dns.message.from_wire(wire).question[0]
            assert (zone.get_node(question.name) is None) == (queries.rcode == dns.rcode.NXDOMAIN)
            assert (zone.get_rdataset(question.name, question.rdtype) is not None) == queries.answered
