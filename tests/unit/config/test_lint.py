# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from clusterdns.config.directive import DirectiveReader
from clusterdns.config.expand import Source
from clusterdns.config.planner import plan


class Anything:
    def __init__(self, in_chain: bool = True, terminal: bool = False) -> None:
        self.in_chain = in_chain
        self.terminal = terminal

    def parse(self, reader: DirectiveReader) -> Any:
        return None


TABLE = {
    "health": Anything(in_chain=False),
    "errors": Anything(),
    "autopath": Anything(),
    "template": Anything(),
    "k8s_external": Anything(),
    "kubernetes": Anything(),
    "file": Anything(),
    "erratic": Anything(terminal=True),
    "whoami": Anything(terminal=True),
    "on": Anything(in_chain=False),
    "view": Anything(in_chain=False),
}
"""Without a ``bind``: its addresses come from options that these directives don't make."""


def warnings(text: str) -> list[str]:
    return [str(warning) for warning in plan(Source("Corefile", text), TABLE, environment={}).warnings]


@pytest.mark.parametrize(
    "text",
    [
        ". {\n errors\n health\n kubernetes cluster.local\n whoami\n on\n}\n",
        ". {\n kubernetes cluster.local 10.0.0.0/8 {\n  fallthrough 10.in-addr.arpa\n }\n whoami\n}\n",
        ". {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n  fallthrough in-addr.arpa ip6.arpa\n }\n}\n",
        "cluster.local 10.0.0.0/8 {\n errors\n kubernetes\n on\n}\n",
        "cluster.local {\n kubernetes {\n  fallthrough\n }\n whoami\n}\n",
        "cluster.local {\n kubernetes cluster.local {\n  fallthrough a.cluster.local\n }\n whoami\n}\n",
        ". {\n template ANY ANY {\n  match x\n }\n whoami\n}\n",
        ". {\n template IN A\n whoami\n}\n",
        ". {\n template ANY ANY a.test\n whoami\n}\n",
        ". {\n template ANY ANY {\n  fallthrough\n }\n whoami\n}\n",
        "cluster.local {\n errors\n}\n.:54 {\n kubernetes cluster.local\n}\n",
        "a.cluster.local {\n kubernetes cluster.local\n}\n",
        ". {\n kubernetes cluster.local\n}\na.cluster.local {\n whoami\n}\n",
        "cluster.local {\n view\n}\n. {\n kubernetes cluster.local\n}\n",
        ". cluster.local {\n kubernetes cluster.local\n}\n",
        "cluster.local {\n autopath @kubernetes\n kubernetes {\n  pods disabled\n  pods verified\n }\n}\n",
        "cluster.local {\n autopath /etc/resolv.conf\n kubernetes\n}\n",
        "cluster.local {\n autopath @kubernetes\n file db\n}\n",
        "example.org {\n k8s_external\n kubernetes cluster.local\n}\n",
        ". {\n k8s_external example.org\n kubernetes cluster.local\n whoami\n}\n",
        ". {\n file db a.test\n whoami\n}\n",
        "a.test {\n file db {\n  fallthrough\n }\n whoami\n}\n",
    ],
)
def test_nothing_to_say(text: str) -> None:
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a.test {\n file b.test\n whoami\n}\n",
            "Corefile:3:2: 'whoami' is never reached: 'file' in line 2 answers every query before it",
        ),
        (
            "cluster.local {\n autopath @kubernetes\n kubernetes {\n  pods insecure\n }\n}\n",
            "Corefile:2:11: this does nothing: kubernetes doesn't know which Pod asks",
        ),
        (
            "example.org {\n k8s_external\n kubernetes cluster.local\n whoami\n}\n",
            "Corefile:4:2: 'whoami' is never reached: 'k8s_external' in line 2 answers every query before it",
        ),
        (
            ". {\n whoami\n erratic\n}\n",
            "Corefile:2:2: 'whoami' is never reached: 'erratic' in line 3 answers every query before it",
        ),
        (
            "cluster.local {\n kubernetes\n whoami\n}\n",
            "Corefile:3:2: 'whoami' is never reached: 'kubernetes' in line 2 answers every query before it",
        ),
        (
            "a.cluster.local {\n kubernetes cluster.local\n whoami\n}\n",
            "Corefile:3:2: 'whoami' is never reached: 'kubernetes' in line 2 answers every query before it",
        ),
        (
            ". {\n template ANY ANY {\n  rcode NXDOMAIN\n }\n kubernetes cluster.local\n}\n",
            "Corefile:5:2: 'kubernetes' is never reached: 'template' in line 2 answers every query before it",
        ),
        (
            "a.test b.test {\n template ANY ANY a.test\n template ANY ANY b.test\n whoami\n}\n",
            "Corefile:4:2: 'whoami' is never reached: 'template' in line 2 answers every query before it",
        ),
    ],
)
def test_directive_behind_one_that_answers_everything(text: str, expected: str) -> None:
    assert warnings(text) == [expected]


def test_each_occurrence_of_a_directive_that_is_never_reached_is_told() -> None:
    found = warnings(". {\n erratic\n whoami\n whoami\n}\n")
    assert [text.partition(" is")[0] for text in found] == ["Corefile:3:2: 'whoami'", "Corefile:4:2: 'whoami'"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "cluster.local {\n errors\n}\n. {\n kubernetes cluster.local\n}\n",
            "Corefile:5:13: no query for cluster.local. comes here: "
            "the block of line 1 serves cluster.local. on the same listener",
        ),
        (
            ". {\n kubernetes a.cluster.local\n}\ncluster.local {\n errors\n}\n",
            "Corefile:2:13: no query for a.cluster.local. comes here: "
            "the block of line 4 serves cluster.local. on the same listener",
        ),
        (
            "example.org {\n kubernetes cluster.local\n}\n",
            "Corefile:2:13: no query for cluster.local. comes here: it is outside the zones of this block",
        ),
        (
            "example.org {\n template ANY ANY example.net {\n  match x\n }\n}\n",
            "Corefile:2:19: no query for example.net. comes here: it is outside the zones of this block",
        ),
        (
            "example.org {\n template ANY ANY 10.0.0.0/7 {\n  match x\n }\n}\n",
            "Corefile:2:19: no query for 10.0.0.0/7 comes here: it is outside the zones of this block",
        ),
    ],
)
def test_zone_that_nobody_asks_for(text: str, expected: str) -> None:
    assert warnings(text) == [expected]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (". {\n kubernetes cluster.local in-addr.arpa ip6.arpa\n}\n", "in-addr.arpa and 1 more"),
        (". {\n kubernetes cluster.local in-addr.arpa {\n  fallthrough ip6.arpa\n }\n}\n", "in-addr.arpa"),
    ],
)
def test_reverse_zone_without_fallthrough(text: str, missing: str) -> None:
    assert warnings(text) == [
        f"Corefile:2:2: no fallthrough for {missing}: addresses that the cluster doesn't know get NXDOMAIN"
    ]


def test_reverse_zone_of_the_block_itself_matters_where_something_stands_behind() -> None:
    found = warnings("cluster.local 10.0.0.0/8 {\n kubernetes\n whoami\n}\n")
    assert [text.partition(":")[2].partition(" ")[0] for text in found] == ["2:2:", "3:2:"]
    assert found[0].startswith("Corefile:2:2: no fallthrough for 10.in-addr.arpa")


def test_view_behind_a_block_that_takes_all_of_its_queries() -> None:
    text = "a.test b.test {\n errors\n}\na.test {\n view\n}\nb.test c.test {\n view\n}\n"
    (warning,) = warnings(text)
    assert "Corefile:5" in warning
    assert "the block of line 1 serves the same zone without a view" in warning


def test_views_before_a_block_without_one_are_asked() -> None:
    assert warnings("a.test {\n view\n}\na.test {\n view\n}\na.test {\n errors\n}\n") == []


def test_the_first_argument_of_file_is_no_zone() -> None:
    assert warnings("a.test {\n file b.test a.test\n}\n") == []
    assert warnings("a.test {\n file db b.test\n}\n") == [
        "Corefile:2:10: no query for b.test. comes here: it is outside the zones of this block"
    ]
