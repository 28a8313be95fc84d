# SPDX-License-Identifier: Apache-2.0
"""``clusterdns help``: the manual page of a directive, which is the docstring of its module."""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from collections.abc import Sequence

from clusterdns.cli.main import usage
from clusterdns.cli.plugins import implemented
from clusterdns.plugins import table


def run(words: Sequence[str]) -> int:
    """Show a manual page; 0, or 1 if there is none."""
    parser = argparse.ArgumentParser(prog="clusterdns help", description="Show the manual page of a directive.")
    parser.add_argument("directive", nargs="?", help="the directive; without one, how clusterdns is used")
    name = parser.parse_args(words).directive
    if name is None:
        sys.stdout.write(usage())
        return 0
    if name not in table.DIRECTIVES:
        close = difflib.get_close_matches(name, implemented(), n=1)
        hint = f"did you mean {close[0]}?" if close else "`clusterdns plugins` lists them"
        sys.stderr.write(f"there is no directive {name!r}: {hint}\n")
        return 1
    plugin = table.load(name)
    if plugin is None:
        sys.stderr.write(f"{name} isn't implemented yet: a Corefile that uses it is refused\n")
        return 1
    sys.stdout.write(inspect.getdoc(inspect.getmodule(plugin)) or "")
    sys.stdout.write("\n")
    return 0
