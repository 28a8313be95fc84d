# SPDX-License-Identifier: Apache-2.0
"""The example package of docs/example-plugin, installed by pip and served from by a real process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.rcode
import pytest
from support.ports import free_port
from support.upstream import UpstreamThread, address_text

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "docs" / "example-plugin"
COREFILE = """\
.:PORT {
    errors
    prometheus 127.0.0.1:METRICS
    forward . UPSTREAM
    sinkhole ads.test tracker.test {
        ttl 300
    }
    cache
}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package as pip installs it; nothing is downloaded."""
    directory = tmp_path_factory.mktemp("packages")
    source = tmp_path_factory.mktemp("source") / "example-plugin"
    shutil.copytree(EXAMPLE, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(directory), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


@pytest.fixture
def run(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of clusterdns where the package is installed, and others in the directories ``also``."""

    def run(*words: str, also: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (packages, *also))))
        command = [sys.executable, "-m", "clusterdns", *words]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)

    return run


def package(directory: Path, name: str, entry_point: str, code: str) -> Path:
    """A package as an installer leaves it: a module, and what its distribution declares."""
    info = directory / f"{name.replace('-', '_')}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[clusterdns.plugins]\n{entry_point}\n")
    (directory / (entry_point.partition("=")[2].partition(":")[0].strip() + ".py")).write_text(code)
    return directory


def test_it_answers_in_its_place(
    packages: Path, start_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(packages))
    metrics_port = free_port()
    corefile = tmp_path / "Corefile"
    with UpstreamThread() as upstream:
        text = COREFILE.replace("METRICS", str(metrics_port)).replace("UPSTREAM", upstream.address)
        corefile.write_text(text)
        server = start_server("-conf", str(corefile), first_name="ads.test")
        for _ in range(3):
            reply = server.ask("www.Ads.test", "A")
            assert (reply.rcode(), reply.authority[0].ttl) == (dns.rcode.NXDOMAIN, 300)
            assert reply.flags & dns.flags.AA
        assert [item.address for item in server.ask("www.test.", "A").answer[0]] == [address_text("www.test.")]
        assert not any(name.endswith(b"\3ads\4test\0") for name in upstream.names())
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5).read().decode()
        (count,) = re.findall(r"(?m)^clusterdns_sinkhole_denied_total\{.*\} (\d+)", metrics)
        assert int(count) >= 4

        corefile.write_text(corefile.read_text().replace("ads.test", "other.test"))
        server.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + 10
        while server.ask("www.ads.test", "A").rcode() != dns.rcode.NOERROR:
            assert time.monotonic() < end
        assert server.ask("x.other.test", "A").rcode() == dns.rcode.NXDOMAIN


def test_the_tools_know_it(run: Run, tmp_path: Path) -> None:
    assert "sinkhole (clusterdns-sinkhole 1.0)" in run("plugins").stdout.splitlines()
    order = run("plugins", "--order").stdout.splitlines()
    assert order[order.index("forward") - 1] == "sinkhole (clusterdns-sinkhole 1.0)"
    assert "sinkhole (clusterdns-sinkhole 1.0)" in run("-plugins").stdout.splitlines()
    assert "sinkhole" not in run("plugins", "--missing").stdout
    page = run("help", "sinkhole")
    assert page.stdout.startswith("sinkhole - denies names on a list.\n\n## Description\n")
    for number, example in enumerate(re.findall(r"(?ms)^~~~ corefile\n(.*?)^~~~$", page.stdout)):
        corefile = tmp_path / f"Corefile{number}"
        corefile.write_text(example)
        assert (run("check", str(corefile)).returncode, run("check", str(corefile)).stdout) == (0, "")
    wrong = tmp_path / "Corefile"
    wrong.write_text(". {\n    sinkhole\n    sinkhole a.test {\n        ttl -1\n    }\n    sinkhole .\n}\n")
    result = run("check", str(wrong))
    assert result.returncode == 1
    assert [line.replace(str(wrong), "Corefile") for line in result.stdout.splitlines()] == [
        "Corefile:2:5: Wrong argument count or unexpected line ending after 'sinkhole'",
        "Corefile:4:13: ttl must be in range [0, 86400]: -1",
        "Corefile:6:5: warning: every name is denied",
        "    hint: write the names that are not to exist",
    ]


def test_without_the_package_the_directive_is_unknown(tmp_path: Path) -> None:
    corefile = tmp_path / "Corefile"
    corefile.write_text(". {\n    sinkhole ads.test\n}\n")
    command = [sys.executable, "-m", "clusterdns", "check", str(corefile)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert f"{corefile}:2:5: Unknown directive 'sinkhole'" in result.stdout


def test_broken_packages_are_faults_and_no_tracebacks(run: Run, tmp_path: Path) -> None:
    broken = package(
        tmp_path / "broken", "clusterdns-broken", "broken = broken_module:It", "import nothing_like_that\n"
    )
    corefile = tmp_path / "Corefile"
    corefile.write_text(". {\n    broken\n}\n")
    fault = (
        "the directive 'broken' of the package clusterdns-broken 2.0 can't be loaded: "
        "ModuleNotFoundError: No module named 'nothing_like_that'"
    )
    for words in (("check", str(corefile)), ("help", "broken"), ("plugins", "--order"), ("-conf", str(corefile))):
        result = run(*words, also=(broken,))
        assert fault in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        assert result.returncode == (words[0] != "plugins")
    assert "broken (clusterdns-broken 2.0)" in run("plugins", also=(broken,)).stdout


def test_names_that_are_taken_are_told(run: Run, tmp_path: Path) -> None:
    code = "from clusterdns.serving.plugin import Plugin\n"
    taken = package(tmp_path / "taken", "clusterdns-taken", "forward = taken_module:It", code)
    other = package(tmp_path / "other", "clusterdns-other", "sinkhole = other_module:It", code)
    corefile = tmp_path / "Corefile"
    corefile.write_text(".:0 {\n    forward . 192.0.2.1\n}\n")
    built_in = "the directive 'forward' of the package clusterdns-taken 2.0 is not used: one of this name is built in"
    result = run("check", str(corefile), also=(taken,))
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, f"warning: {built_in}")
    assert built_in in run("plugins", also=(taken,)).stderr
    corefile.write_text(". {\n    sinkhole ads.test\n}\n")
    result = run("check", str(corefile), also=(other,))
    assert result.returncode == 1
    both = "the packages clusterdns-other 2.0 and clusterdns-sinkhole 1.0 both bring a directive 'sinkhole'"
    assert f"{corefile}:2:5: {both}" in result.stdout


def test_a_plugin_that_breaks_at_the_start_is_named(run: Run, tmp_path: Path) -> None:
    code = """\
from clusterdns.serving.plugin import Plugin


class It(Plugin):
    name = "fragile"
    before = "cache"
    in_chain = True

    @staticmethod
    def parse(reader):
        return reader.once().words

    async def start(self):
        raise KeyError("nothing")
"""
    fragile = package(tmp_path / "fragile", "clusterdns-fragile", "fragile = fragile_module:It", code)
    corefile = tmp_path / "Corefile"
    corefile.write_text(".:0 {\n    fragile\n}\n")
    assert run("check", str(corefile), also=(fragile,)).returncode == 0
    result = run("-conf", str(corefile), also=(fragile,))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "plugin/fragile: KeyError: 'nothing'"
