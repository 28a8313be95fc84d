# SPDX-License-Identifier: Apache-2.0
"""The benchmark against API servers runs, and its bars are judged right; its figures are not judged here."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from Linux's /proc")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test import the modules of the benchmark."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))


def test_benchmark_measures_start_changes_and_a_relist(tmp_path: Path) -> None:
    command = ["benchmarks/bench_api.py", "--rounds", "1", "--changes", "3", "--settle", "0.2", "--clusters", "20"]
    left_out = ("COREDNS", "KUBE_APISERVER", "ETCD")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    result = subprocess.run(
        [sys.executable, *command, "--results", str(tmp_path)],
        cwd=REPOSITORY,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (figures,) = tmp_path.iterdir()
    (found,) = json.loads(figures.read_text())["rounds"]
    assert (found["server"], found["apiserver"]) == ("clusterdns", "generated")
    assert 0 < found["ready_seconds"] < 60
    assert 0 < found["answer_seconds"] < 60
    assert len(found["service_seconds"]) == len(found["endpoint_seconds"]) == 3
    assert found["apply_counts"]["+Inf"] >= 6
    assert 0 < found["steady_bytes"] <= found["peak_bytes"]
    assert found["relists"] >= 3
    assert "20 Services × 10, generated" in result.stdout


def test_bars_are_judged_beside_coredns_and_alone(benchmarks: None) -> None:
    from api_probes import Round
    from api_report import verdicts

    def rounds(ready_seconds: float) -> list[Round]:
        own = Round("5000", "x", "clusterdns", ready_seconds=ready_seconds, resident_bytes=7, steady_bytes=100)
        own.peak_bytes = 111
        own.service_seconds = [0.001] * 99 + [9.0]
        own.endpoint_seconds = [0.001] * 98 + [9.0] * 2
        other = Round("5000", "x", "CoreDNS", ready_seconds=1.0, resident_bytes=8)
        other.service_seconds = other.endpoint_seconds = [0.002]
        return [own, other]

    def met(ready_seconds: float) -> dict[str, bool]:
        return {verdict.bar.figure: verdict.met for verdict in verdicts(rounds(ready_seconds))}

    expected = {"ready": True, "resident": True, "service": True, "endpoint": False, "peak": False}
    assert met(1.5) == expected
    assert met(1.51) == {**expected, "ready": False}


def test_the_time_of_an_event_is_read_off_the_metric(benchmarks: None) -> None:
    from api_probes import Round
    from api_report import apply_bound

    first = Round("10000", "x", "clusterdns", apply_counts={"0.0005": 40, "0.001": 50, "+Inf": 50})
    second = Round("10000", "x", "clusterdns", apply_counts={"0.0005": 40, "0.001": 49, "+Inf": 50})
    assert apply_bound([first, second], 0.8) == 0.0005
    assert apply_bound([first, second], 0.99) == 0.001
    assert math.isinf(apply_bound([first, second], 1.0))
    assert math.isnan(apply_bound([], 0.99))


def test_what_must_not_happen_is_a_fault(benchmarks: None) -> None:
    from api_probes import Round
    from api_report import faults

    assert faults([Round("20", "x", "clusterdns", relists=3), Round("20", "x", "CoreDNS")]) == []
    assert faults([Round("20", "x", "clusterdns", relists=3, refused_when_ready=True)])
    assert faults([Round("20", "x", "clusterdns", relists=0)])
