# SPDX-License-Identifier: Apache-2.0
"""``clusterdns fmt``: format a Corefile."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clusterdns.config.format import format_text
from clusterdns.errors import ConfigErrors


def run(words: Sequence[str]) -> int:
    """Format; 0, or 1 if a file can't be parsed or read, or with --check isn't formatted."""
    parser = argparse.ArgumentParser(
        prog="clusterdns fmt",
        description="Format a Corefile. What it means and its comments stay as they are.",
    )
    parser.add_argument(
        "file", nargs="?", default="Corefile", help="Corefile (default ./Corefile); - is standard input"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("-w", "--write", action="store_true", help="write the file instead of standard output")
    action.add_argument("--check", action="store_true", help="print nothing; exit 1 if the file isn't formatted")
    options = parser.parse_args(words)
    try:
        text = sys.stdin.read() if options.file == "-" else Path(options.file).read_bytes().decode("utf-8")
        formatted = format_text(text, options.file)
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{options.file}: {getattr(error, 'strerror', None) or error}\n")
        return 1
    except ConfigErrors as errors:
        sys.stderr.write("".join(f"{error}\n" for error in errors.errors))
        return 1
    if options.check:
        return int(formatted != text)
    if not options.write or options.file == "-":
        sys.stdout.write(formatted)
    elif formatted != text:
        try:
            replace_file(Path(options.file), formatted)
        except OSError as error:
            sys.stderr.write(f"{options.file}: {error.strerror}\n")
            return 1
    return 0


def replace_file(path: Path, text: str) -> None:
    """Write the file so that at no moment it is missing or half written; its mode stays."""
    target = path.resolve()
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
