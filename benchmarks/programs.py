# SPDX-License-Identifier: Apache-2.0
"""The benchmark's own programs, in C: what they measure with must be faster than what they measure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
ECHO = BUILD / "echo"
LOAD = BUILD / "load"
SEARCH = BUILD / "search"
UPSTREAM = BUILD / "upstream"


def unable() -> str:
    """Why this machine can't run the benchmark; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "sockets are read in batches and CPU time from /proc, as only Linux has them"
    if shutil.which("cc") is None:
        return "the load generator needs a C compiler, and there is no cc"
    return ""


def compile_programs() -> None:
    """Compile those whose source is newer. Raises subprocess.CalledProcessError."""
    compiler = shutil.which("cc") or "cc"
    BUILD.mkdir(parents=True, exist_ok=True)
    header = HERE / "measure.h"
    for program in (ECHO, LOAD, SEARCH, UPSTREAM):
        source = HERE / f"{program.name}.c"
        newest = max(source.stat().st_mtime, header.stat().st_mtime)
        if not program.exists() or program.stat().st_mtime < newest:
            fresh = BUILD / f"{program.name}.{os.getpid()}"  # one of several runs may compile at the same time
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(source)], check=True)
            fresh.replace(program)
