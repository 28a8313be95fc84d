# SPDX-License-Identifier: Apache-2.0
"""Corefiles as Kubernetes distributions write them: nothing in them is refused or odd."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterdns.config.expand import Source
from clusterdns.config.format import format_text
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import Verdict, check
from clusterdns.plugins import table

COREFILES = [
    pytest.param(path.read_text(), id=path.name)
    for path in sorted((Path(__file__).parents[1] / "data" / "corefiles").iterdir())
]
NODE_LOCAL = {
    "__PILLAR__DNS__DOMAIN__": "cluster.local",
    "__PILLAR__LOCAL__DNS__": "169.254.20.10",
    "__PILLAR__DNS__SERVER__": "10.96.0.10",
    "__PILLAR__CLUSTER__DNS__": "10.96.0.11",
    "__PILLAR__UPSTREAM__SERVERS__": "/etc/resolv.conf",
}


def planned(text: str) -> Verdict:
    """The verdict about a Corefile; the words of NodeLocal DNSCache's are replaced as its program does it."""
    for word, value in NODE_LOCAL.items():
        text = text.replace(word, value)
    return check(
        Source("Corefile", text), LazyTable(table.DIRECTIVES, table.load), environment={}, manifests="/manifests"
    )


@pytest.mark.parametrize("text", COREFILES)
def test_nothing_is_refused(text: str) -> None:
    assert [str(error) for error in planned(text).errors] == []


@pytest.mark.parametrize("text", COREFILES)
def test_nothing_is_odd_but_import_patterns_without_matches(text: str) -> None:
    messages = [warning.message for warning in planned(text).warnings]
    expected = ("No files matching import", "the cluster is what the manifests")
    assert [message for message in messages if not message.startswith(expected)] == []


@pytest.mark.parametrize("text", COREFILES)
def test_formatting_keeps_every_word(text: str) -> None:
    assert format_text(text).split() == text.split()
