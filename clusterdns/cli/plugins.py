# SPDX-License-Identifier: Apache-2.0
"""``clusterdns plugins``: the directives that a Corefile may use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from clusterdns.plugins.table import DIRECTIVES


def implemented() -> list[str]:
    """The directives that can be used, by name."""
    return sorted(name for name, target in DIRECTIVES.items() if target is not None)


def run(words: Sequence[str]) -> int:
    """List the directives; 0."""
    parser = argparse.ArgumentParser(prog="clusterdns plugins", description="List the directives, one per line.")
    parser.add_argument("--missing", action="store_true", help="those of CoreDNS that are not implemented yet")
    parser.add_argument("--order", action="store_true", help="in the order in which they see a query")
    options = parser.parse_args(words)
    names = [name for name, target in DIRECTIVES.items() if (target is None) is options.missing]
    sys.stdout.write("".join(f"{name}\n" for name in (names if options.order else sorted(names))))
    return 0
