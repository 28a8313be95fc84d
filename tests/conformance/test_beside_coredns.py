# SPDX-License-Identifier: Apache-2.0
"""The same questions through the same Corefiles, asked of CoreDNS and of this server, side by side.

It needs the environment variable COREDNS, which names the program of CoreDNS. Where the replies differ on purpose,
tests/data/coredns_differences.json says in which scenarios (a regular expression for their whole name), for which
queries (one that is found in their text) and in which parts of the reply, and docs/differences.md tells the reason.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from conformance.coredns_scenarios import SCENARIOS
from support.beside_coredns import Difference, as_json, differences

REPOSITORY = Path(__file__).resolve().parents[2]
LISTED: list[dict[str, Any]] = json.loads((REPOSITORY / "tests" / "data" / "coredns_differences.json").read_text())
COREDNS = os.environ.get("COREDNS", "")


def listed_for(scenario: str) -> list[dict[str, Any]]:
    return [entry for entry in LISTED if re.fullmatch(entry["scenarios"], scenario)]


def explained(found: Difference, entries: list[dict[str, Any]]) -> set[int]:
    """The entries that explain a difference, by their position; none if a part of it isn't explained."""
    matching = {number: entry for number, entry in enumerate(entries) if re.search(entry["asks"], found.asked)}
    parts = {part for entry in matching.values() for part in entry["parts"]}
    return set(matching) if found.ours.keys() <= parts else set()


@pytest.mark.slow
@pytest.mark.skipif(not COREDNS, reason="the environment variable COREDNS names no CoreDNS")
@pytest.mark.parametrize("name", SCENARIOS)
def test_replies_differ_in_what_is_listed_alone(name: str, tmp_path: Path) -> None:
    entries = listed_for(name)
    found = differences(SCENARIOS[name], COREDNS, tmp_path)
    reasons = [explained(each, entries) for each in found]
    unexplained = [each for each, reason in zip(found, reasons, strict=True) if not reason]
    assert not unexplained, f"{len(unexplained)} of {len(found)}:\n{as_json(unexplained[:30])}"
    unseen = set(range(len(entries))) - {number for reason in reasons for number in reason}
    assert [entries[number]["id"] for number in unseen] == []


def test_every_listed_difference_is_of_a_scenario_and_has_its_reason_in_the_documentation() -> None:
    assert [
        entry["id"] for entry in LISTED if not any(re.fullmatch(entry["scenarios"], name) for name in SCENARIOS)
    ] == []
    text = (REPOSITORY / "docs" / "differences.md").read_text()
    assert [entry["id"] for entry in LISTED if f"`{entry['id']}`" not in text] == []
    assert [entry["id"] for entry in LISTED if not entry["reason"].endswith(".")] == []
