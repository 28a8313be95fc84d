# SPDX-License-Identifier: Apache-2.0
"""What docs/explain.md shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "explain.md").read_text()

EXAMPLES = [
    (command, output)
    for block in re.findall(r"(?ms)^```console\n(.*?)^```", TEXT)
    for command, output in re.findall(r"(?ms)^\$ ([^\n]*)\n(.*?)(?=^\$ |\Z)", block)
]
FILES = re.findall(r"(?ms)`([\w.]+)`:\n\n```\n(.*?)^```", TEXT)


def comparable(output: str) -> list[str]:
    """Lines with blanks squeezed, without what differs from run to run: times and serial numbers."""
    output = re.sub(r"\d+\.\d ms", "N ms", output)
    output = re.sub(r"(hostmaster\.\S+) \d+ ", r"\1 SERIAL ", output)
    return [" ".join(line.split()) for line in output.splitlines()]


def test_there_are_files_and_examples() -> None:
    assert [name for name, _ in FILES] == ["Corefile", "Corefile.new", "asked"]
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize(("command", "output"), EXAMPLES)
def test_the_output_is_the_one_shown(tmp_path: Path, command: str, output: str) -> None:
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    (tmp_path / "manifests").symlink_to(REPOSITORY / "zones" / "manifests")
    program = f"{sys.executable} -m clusterdns"
    result = subprocess.run(
        command.replace("clusterdns", program, 1),
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert comparable(result.stdout + result.stderr) == comparable(output)
