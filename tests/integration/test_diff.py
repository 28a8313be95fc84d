# SPDX-License-Identifier: Apache-2.0
"""``clusterdns diff``: the exit code, the plan, and the answers of both Corefiles."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.upstream import UpstreamThread

from clusterdns.cli import main

MANIFESTS = Path(__file__).resolve().parents[2] / "zones" / "manifests"

HOSTS = "example.org {{\n    hosts {{\n        {} www.example.org\n        ttl {}\n    }}\n    log\n}}\n"
KUBERNETES = """\
cluster.local in-addr.arpa {{
    kubernetes {{
        manifests {}
        {}
    }}
}}
"""

Diff = Callable[..., tuple[int, Any]]


@pytest.fixture
def diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Diff:
    """Runs the command on two texts; its exit code, and its report, or what it printed if that is none."""

    def run(old: str, new: str, *words: str) -> tuple[int, Any]:
        paths = [tmp_path / "old", tmp_path / "new"]
        for path, text in zip(paths, (old, new), strict=True):
            path.write_text(text)
        code = main.main(["diff", *map(str, paths), *words])
        captured = capsys.readouterr()
        if "--json" in words and captured.out:
            return code, json.loads(captured.out)
        return code, (captured.out or captured.err).replace(str(tmp_path), "")

    return run


@pytest.fixture
def queries(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "queries"
        path.write_text(text)
        return str(path)

    return write


def test_nothing_differs(diff: Diff) -> None:
    text = HOSTS.format("192.0.2.1", 60)
    assert diff(text, f"# moved\n{text}", "--names") == (0, "the Corefiles mean the same\n")


def test_the_plan_differs(diff: Diff) -> None:
    code, text = diff(HOSTS.format("192.0.2.1", 60), HOSTS.format("192.0.2.1", 70))
    assert code == 1
    assert text.splitlines() == [
        "~ server block example.org.:53 (/old:1 -> /new:1)",
        "    ~ hosts (/old:2 -> /new:2)",
        "        -     ttl 60",
        "        +     ttl 70",
    ]


def test_answers_differ(diff: Diff, queries: Callable[[str], str]) -> None:
    asked = queries("# what clients ask\nwww.example.org\nwww.example.org AAAA\n\nno.example.org. A # a comment\n")
    code, report = diff(HOSTS.format("192.0.2.1", 60), HOSTS.format("192.0.2.2", 60), "--queries", asked, "--json")
    assert (code, report["asked"]) == (1, 3)
    (difference,) = report["answers"]
    assert (difference["name"], difference["type"]) == ("www.example.org.", "A")
    assert difference["old"] == {
        "rcode": "NOERROR", "flags": "aa", "records": ["www.example.org.\tIN\tA\t192.0.2.1"],
    }  # fmt: skip
    assert difference["new"]["records"] == ["www.example.org.\tIN\tA\t192.0.2.2"]


def test_ttls_are_compared_where_that_is_asked_for(diff: Diff, queries: Callable[[str], str]) -> None:
    texts = HOSTS.format("192.0.2.1", 60), HOSTS.format("192.0.2.1", 70)
    asked = queries("www.example.org\n")
    assert diff(*texts, "--queries", asked, "--json")[1]["answers"] == []
    (difference,) = diff(*texts, "--queries", asked, "--json", "--ttl")[1]["answers"]
    assert difference["new"]["records"] == ["www.example.org.\t70\tIN\tA\t192.0.2.1"]


def test_the_order_of_records_means_nothing(diff: Diff, queries: Callable[[str], str]) -> None:
    text = "example.org {\n    hosts {\n        192.0.2.1 a.example.org\n        192.0.2.2 a.example.org\n    }\n}\n"
    code, out = diff(text, text.replace("}\n}", "}\n    loadbalance\n}"), "--queries", queries("a.example.org\n" * 3))
    assert (code, out.splitlines()[-1]) == (1, "none of 1 answers differ")


def test_answers_may_be_compared_from_a_client(diff: Diff, queries: Callable[[str], str]) -> None:
    old = ". {\n    whoami\n}\n"
    new = ". {\n    acl {\n        block net 10.0.0.0/8\n    }\n    whoami\n}\n"
    asked = queries("a.test\n")
    assert diff(old, new, "--queries", asked, "--json")[1]["answers"] == []
    (difference,) = diff(old, new, "--queries", asked, "--json", "--client", "10.1.1.1")[1]["answers"]
    assert difference["new"]["rcode"] == "REFUSED"


def test_every_name_of_the_cluster_is_asked_for(diff: Diff, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, manifests)
    old, new = KUBERNETES.format(manifests, "pods verified"), KUBERNETES.format(manifests, "noendpoints")
    code, report = diff(old, new, "--names", "--json")
    assert code == 1
    assert report["asked"] > 50
    changed = {each["name"] for each in report["answers"]}
    assert {"web-0.web.dev.svc.cluster.local.", "10-244-1-11.dev.pod.cluster.local."} <= changed
    assert "service-clusterip.dev.svc.cluster.local." not in changed


def test_a_cluster_read_twice_differs_in_nothing_but_its_serial(diff: Diff, tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    text = KUBERNETES.format(tmp_path / "manifests", "pods verified")
    code, out = diff(text, text, "--names", "--ttl")
    assert (code, out.splitlines()[0]) == (0, "the Corefiles mean the same")


def test_answers_of_other_servers_are_compared_too(diff: Diff, queries: Callable[[str], str]) -> None:
    with UpstreamThread() as upstream:
        old = f". {{\n    forward . {upstream.address}\n}}\n"
        new = old.replace("forward . ", "hosts {\n        192.0.2.1 b.test\n        fallthrough\n    }\n    forward . ")
        code, report = diff(old, new, "--queries", queries("a.test\nb.test\n"), "--json")
    assert (code, [each["name"] for each in report["answers"]]) == (1, ["b.test."])


@pytest.mark.parametrize(
    ("text", "said"), [("a b c\n", "queries:1: write NAME [TYPE]"), ("\na..b\n", "queries:2: empty label")]
)
def test_faults_of_the_list_have_a_line(diff: Diff, queries: Callable[[str], str], text: str, said: str) -> None:
    code, out = diff(". {\n    whoami\n}\n", ". {\n    whoami\n}\n", "--queries", queries(text))
    assert code == 2
    assert said in out


def test_a_corefile_with_faults_is_exit_code_2(diff: Diff) -> None:
    code, out = diff(". {\n    whoami\n}\n", ". {\n    whoamy\n}\n")
    assert code == 2
    assert "/new:2:5: Unknown directive 'whoamy'" in out


def test_what_can_not_start_is_exit_code_2(diff: Diff) -> None:
    code, out = diff(KUBERNETES.format("/nowhere", ""), KUBERNETES.format("/nowhere", ""), "--names")
    assert code == 2
    assert "/nowhere: no such directory" in out


def test_one_of_the_two_may_come_from_standard_input(
    diff: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Corefile"
    path.write_text(". {\n    whoami\n}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(". {\n    whoami\n    minimal\n}\n"))
    assert main.main(["diff", str(path), "-"]) == 1
    assert "+ minimal" in capsys.readouterr().out
    assert main.main(["diff", "-", "-"]) == 2
