# SPDX-License-Identifier: Apache-2.0
"""``clusterdns help``: the manual page of a directive, which is the docstring of its module."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence

from clusterdns.app.directives import DIRECTIVES
from clusterdns.cli.main import usage
from clusterdns.cli.plugins import implemented
from clusterdns.errors import PackageError
from clusterdns.plugins import table


def run(words: Sequence[str]) -> int:
    """Show a manual page; 0, or 1 if there is none."""
    parser = argparse.ArgumentParser(prog="clusterdns help", description="Show the manual page of a directive.")
    parser.add_argument("directive", nargs="?", help="the directive; without one, how clusterdns is used")
    name = parser.parse_args(words).directive
    if name is None:
        sys.stdout.write(usage())
        return 0
    try:
        page = DIRECTIVES.manual_page(name)
    except PackageError as error:
        sys.stderr.write(f"{error}\n    hint: {error.hint}\n")
        return 1
    except KeyError:
        close = difflib.get_close_matches(name, [*implemented(), *DIRECTIVES.outside()], n=1)
        hint = f"did you mean {close[0]}?" if close else "`clusterdns plugins` lists them"
        sys.stderr.write(f"there is no directive {name!r}: {hint}\n")
        return 1
    if not page:
        missing = table.DIRECTIVES.get(name, "") is None
        reason = "isn't implemented yet: a Corefile that uses it is refused" if missing else "has no manual page"
        sys.stderr.write(f"{name} {reason}\n")
        return 1
    sys.stdout.write(f"{page}\n")
    return 0
