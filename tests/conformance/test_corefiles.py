# SPDX-License-Identifier: Apache-2.0
"""Corefiles that were given to CoreDNS 1.14.7: the same are accepted and refused, for the same reason at the same line.

What CoreDNS takes and we refuse because it isn't implemented yet must be refused in just these words; a fault that
CoreDNS finds beside it must be found too. Where we differ on purpose is listed in corefile_differences.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from clusterdns.config.directive import Line
from clusterdns.config.expand import Source, expand
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import Verdict, check
from clusterdns.errors import ConfigError
from clusterdns.plugins import table

DATA = Path(__file__).parent.parent / "data"
CASES: list[dict[str, Any]] = json.loads((DATA / "corefiles.json").read_text())
DIFFERENCES: list[dict[str, Any]] = json.loads((DATA / "corefile_differences.json").read_text())
DIFFERENT = {difference["corefile"] for difference in DIFFERENCES}

PLACE = re.compile(
    r"(?:plugin/(?P<plugin>\w+): )*(?:Corefile:(?P<line>\d+) - (?:Error during parsing|Syntax error): )?"
)


def source(corefile: str) -> Source:
    return Source("Corefile", corefile.replace("PORT", "1053").replace("UP", "1054"), "/DIR")


def verdict(corefile: str) -> Verdict:
    return check(
        source(corefile),
        LazyTable(table.DIRECTIVES, table.load),
        environment={},
        interface_addresses=lambda name: {"lo": ("127.0.0.1", "::1")}.get(name, ()),
    )


def not_implemented(corefile: str) -> list[Line]:
    """The lines of directives that are known but not implemented."""
    blocks = expand(source(corefile), environment={}).blocks
    lines = [directive for block in blocks for directive in block.lines]
    return [line for line in lines if table.DIRECTIVES.get(line.name.text, "unknown") is None]


def is_about(says: str, line: Line) -> bool:
    place = PLACE.match(says)
    assert place is not None
    last = line.closing or line.last
    if place["line"]:
        return line.name.line <= int(place["line"]) <= last.line
    return place["plugin"] in (None, line.name.text)


def matches(error: ConfigError, says: str) -> bool:
    """True if the error is the one that CoreDNS reports as ``says``, or says more."""
    place = PLACE.match(says)
    assert place is not None
    words = says[place.end() :].replace("PORT", "1053").replace("DIR/", "/DIR/")
    same_line = not place["line"] or int(place["line"]) == error.line
    return same_line and (place["plugin"] or "") == error.plugin and words in error.message


def ids(case: dict[str, Any]) -> str:
    return f"{case.get('topic', 'difference')}-{case['corefile']!r}"


@pytest.mark.parametrize("case", [case for case in CASES if case["corefile"] not in DIFFERENT], ids=ids)
def test_same_verdict_as_coredns(case: dict[str, Any]) -> None:
    found = verdict(case["corefile"])
    missing = not_implemented(case["corefile"])
    errors = [str(error) for error in found.errors]
    assert (not errors) == (case["starts"] and not missing), errors
    agreed = not case["starts"] and any(matches(error, case["says"]) for error in found.errors)
    refused = [error.line for error in found.errors if "isn't implemented yet" in error.message]
    assert agreed or all(line.name.line in refused for line in missing), errors
    if not case["starts"]:
        assert agreed or any(is_about(case["says"], line) for line in missing), errors


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["topic"] in ("syntax", "import") and case["corefile"] not in DIFFERENT],
    ids=ids,
)
def test_same_warnings_about_the_language_as_coredns(case: dict[str, Any]) -> None:
    expected = [text.removeprefix("[WARNING] ").removeprefix("Warning: ") for text in case.get("warns", ())]
    warnings = [warning.coredns_text() for warning in verdict(case["corefile"]).warnings]
    assert [text for text in warnings if not text.startswith("environment variable ")] == expected


@pytest.mark.parametrize("difference", DIFFERENCES, ids=ids)
def test_intended_difference(difference: dict[str, Any]) -> None:
    errors = [str(error) for error in verdict(difference["corefile"]).errors]
    if difference["says"]:
        assert difference["says"] in errors
    else:
        assert errors == []
    assert difference["reason"]


@pytest.mark.parametrize("case", [case for case in CASES if case["corefile"] in DIFFERENT], ids=ids)
def test_listed_difference_still_is_one(case: dict[str, Any]) -> None:
    errors = verdict(case["corefile"]).errors
    if case["starts"]:
        assert errors
    else:
        assert not any(matches(error, case["says"]) for error in errors)
