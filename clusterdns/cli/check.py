# SPDX-License-Identifier: Apache-2.0
"""``clusterdns check``: everything that is wrong or odd about a Corefile, without starting it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from clusterdns.app.corefile import Corefile
from clusterdns.app.directives import DIRECTIVES
from clusterdns.errors import ConfigError, ConfigErrors


class Finding(msgspec.Struct):
    """One line of the report, as ``--json`` writes it."""

    severity: str
    file: str
    line: int
    column: int
    message: str
    directive: str
    hint: str


def run(words: Sequence[str]) -> int:
    """Report on the files; 0 if all of them would start, else 1."""
    parser = argparse.ArgumentParser(
        prog="clusterdns check",
        description="Report all errors and warnings of a Corefile. Exit 0 if it would load, else 1.",
    )
    parser.add_argument(
        "file", nargs="*", default=["Corefile"], help="Corefile (default ./Corefile); - is standard input"
    )
    parser.add_argument("--json", action="store_true", help="a JSON array of findings instead of lines")
    options = parser.parse_args(words)
    findings = [Finding("warning", "", 0, 0, str(error), "", error.hint) for error in DIRECTIVES.refusals()]
    findings += [finding for path in options.file for finding in examine(path)]
    if options.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(findings)).decode() + "\n")
    else:
        for finding in findings:
            sys.stdout.write(text(finding))
    return 1 if any(finding.severity == "error" for finding in findings) else 0


def examine(path: str) -> list[Finding]:
    """The findings of one file, by position, errors and warnings together."""
    try:
        verdict = Corefile("stdin" if path == "-" else path).check()
    except ConfigErrors as errors:
        return [_unreadable(path, error) for error in errors.errors]
    findings = [_finding("error", error) for error in verdict.errors]
    findings += [_finding("warning", warning) for warning in verdict.warnings]
    return sorted(findings, key=lambda finding: (finding.file != path, finding.file, finding.line, finding.column))


def text(finding: Finding) -> str:
    """``path:line:col: message`` and its hint on a line of its own."""
    position = f"{finding.file}:{finding.line}:{finding.column}: " if finding.line else ""
    mark = "warning: " if finding.severity == "warning" else ""
    hint = f"    hint: {finding.hint}\n" if finding.hint else ""
    return f"{position}{mark}{finding.message}\n{hint}"


def _unreadable(path: str, error: ConfigError) -> Finding:
    return Finding("error", path, 0, 0, error.message, "", "name the Corefile: `clusterdns check FILE`")


def _finding(severity: str, error: ConfigError) -> Finding:
    return Finding(severity, error.file, error.line, error.column, error.message, error.plugin, error.hint)
