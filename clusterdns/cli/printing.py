# SPDX-License-Identifier: Apache-2.0
"""What commands print alike: why something could not be done, and a report as JSON."""

from __future__ import annotations

import sys

import msgspec

from clusterdns.errors import ConfigErrors


def print_failure(error: Exception) -> None:
    """Say on standard error what went wrong; all faults of a Corefile."""
    if isinstance(error, ConfigErrors):
        sys.stderr.write("".join(f"{each}\n" for each in error.errors))
        sys.stderr.write("    hint: `clusterdns check` tells more\n")
    else:
        sys.stderr.write(f"{error}\n")


def print_json(report: msgspec.Struct) -> None:
    """Print a report, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
