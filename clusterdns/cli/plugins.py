# SPDX-License-Identifier: Apache-2.0
"""``clusterdns plugins``: the directives that a Corefile may use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from clusterdns.app.directives import DIRECTIVES
from clusterdns.errors import PackageError
from clusterdns.plugins.table import DIRECTIVES as BUILTIN


def implemented() -> list[str]:
    """The built-in directives that can be used, by name."""
    return sorted(name for name, target in BUILTIN.items() if target is not None)


def usable() -> list[str]:
    """A line for each directive that can be used, by name; those of other packages with the package in brackets."""
    return [_line(name) for name in sorted((*implemented(), *DIRECTIVES.outside()))]


def run(words: Sequence[str]) -> int:
    """List the directives; 0."""
    parser = argparse.ArgumentParser(prog="clusterdns plugins", description="List the directives, one per line.")
    parser.add_argument("--missing", action="store_true", help="those of CoreDNS that are not implemented yet")
    parser.add_argument("--order", action="store_true", help="in the order in which they see a query")
    options = parser.parse_args(words)
    refused = DIRECTIVES.refusals()
    if options.order:
        refused += _load_all()
    known = list(DIRECTIVES) if options.order else sorted((*BUILTIN, *DIRECTIVES.outside()))
    lines = [_line(name) for name in known if (BUILTIN.get(name, "") is None) is options.missing]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    for error in refused:
        sys.stderr.write(f"{error}\n    hint: {error.hint}\n")
    return 0


def _line(name: str) -> str:
    declared = DIRECTIVES.outside().get(name)
    return name if declared is None else f"{name} ({declared.package})"


def _load_all() -> list[PackageError]:
    """Load the directives of packages, which only then say where they belong; why some can't be."""
    errors = []
    for name in DIRECTIVES.outside():
        try:
            DIRECTIVES.load(name)
        except PackageError as error:
            errors.append(error)
    return errors
