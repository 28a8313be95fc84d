# SPDX-License-Identifier: Apache-2.0
"""What README.md shows is what happens: the commands of its ``console`` blocks are run, their output is compared."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text()


def console_examples(text: str) -> list[tuple[str, str]]:
    """Command and output of every ``$ `` line in the ``console`` blocks."""
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", text)
    return [
        (command, output)
        for block in blocks
        for command, output in re.findall(r"(?ms)^\$ ([^\n]*)\n(.*?)(?=^\$ |\Z)", block)
    ]


def comparable(output: str) -> list[str]:
    """Lines in any order, because ``loadbalance`` shuffles records, with blanks squeezed."""
    return sorted(" ".join(line.split()) for line in output.splitlines() if line.strip())


EXAMPLES = console_examples(README)


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed (Debian: apt install bind9-dnsutils)")
@pytest.mark.parametrize(("command", "output"), [each for each in EXAMPLES if each[0].startswith("dig ")])
def test_dig_prints_what_the_readme_shows(demo: Any, command: str, output: str) -> None:
    line = command.replace("-p 1053", f"-p {demo.server.port}")
    result = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=20, check=True)
    assert comparable(result.stdout) == comparable(output)


@pytest.mark.parametrize(("command", "output"), [each for each in EXAMPLES if each[0].startswith("clusterdns ")])
def test_clusterdns_prints_what_the_readme_shows(tmp_path: Path, command: str, output: str) -> None:
    for name, text in re.findall(r"(?ms)named `(\w+)`:\n\n```\n(.*?)^```", README):
        (tmp_path / name).write_text(text)
    words = shlex.split(command)[1:]
    result = subprocess.run(
        [sys.executable, "-m", "clusterdns", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert comparable(result.stdout + result.stderr) == comparable(output)


def test_every_example_is_run() -> None:
    assert {command.split()[0] for command, _ in EXAMPLES} == {"dig", "clusterdns"}


def test_the_tour_asks_every_question_of_the_demo() -> None:
    manifests = (REPOSITORY / "zones" / "manifests").glob("*.yaml")
    lines = {
        line for each in manifests for line in re.findall(r"(?m)^# +dig @127.0.0.1 -p 1053 (.*)$", each.read_text())
    }
    asked = {re.sub(r"( \+\w+| \|.*)", "", command.removeprefix("dig @127.0.0.1 -p 1053 ")) for command, _ in EXAMPLES}
    assert lines - asked == set()
