# SPDX-License-Identifier: Apache-2.0
"""What others drop beside the Corefile, as k3s and AKS import it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.config.planner import Verdict, check
from clusterdns.plugins import table

COREFILE = """\
.:53 {
    errors
    health
    cache 30
    forward . 192.0.2.1
    import custom/*.override
}
import custom/*.server
"""
NOTHING = {"a.override": "log\n", "a.server": "corp.test {\n whoami\n}\n"}


class Folder:
    """The files of /etc/coredns/custom, by name; a name that ends in a slash is a directory."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = {f"/etc/coredns/custom/{name.rstrip('/')}": text for name, text in files.items()}
        self.directories = {f"/etc/coredns/custom/{name.rstrip('/')}" for name in files if name.endswith("/")}

    def read(self, path: str) -> str:
        if path in self.directories:
            raise IsADirectoryError(21, "Is a directory", path)
        return self.files[path]

    def glob(self, pattern: str) -> list[str]:
        return sorted(path for path in self.files if fnmatchcase(path, pattern))


def verdict(files: dict[str, str], corefile: str = COREFILE) -> Verdict:
    source = Source("Corefile", corefile, "/etc/coredns")
    directives = LazyTable(table.DIRECTIVES, table.load)
    return check(source, directives, environment={}, files=Folder(files))


def findings(files: dict[str, str], corefile: str = COREFILE) -> list[str]:
    """Errors and warnings with their hints; the directory of the files is left out."""
    found = verdict(NOTHING | files, corefile)
    texts = [f"{error} ({error.hint})" if error.hint else str(error) for error in (*found.errors, *found.warnings)]
    return [text.replace("/etc/coredns/custom/", "") for text in texts]


def test_overrides_and_servers_are_taken_in() -> None:
    found = verdict(
        {
            "b.override": "rewrite name a.test b.test\nhosts {\n 192.0.2.7 a.test\n fallthrough\n}\n",
            "a.override": "template IN A x.test {\n rcode NXDOMAIN\n}\n",
            "one.server": "corp.test:53 {\n forward . 192.0.2.2\n}\n",
            "two.server": "other.test {\n whoami\n}\nthird.test {\n whoami\n}\n",
        }
    )
    assert (found.errors, found.warnings) == ((), ())
    assert found.plan is not None
    zones = [block.zones for block in found.plan.blocks]
    assert zones == [(".",), ("corp.test.",), ("other.test.",), ("third.test.",)]
    names = [directive.name for directive in found.plan.blocks[0].directives]
    assert names == ["health", "errors", "rewrite", "cache", "template", "hosts", "forward"]


def test_a_directive_that_may_stand_once() -> None:
    (fault,) = findings({"b.override": "cache 60\n"})
    assert fault == (
        "b.override:1:1: this plugin can only be used once per Server Block "
        "(remove it, or merge its options into the cache of Corefile:4)"
    )


@pytest.mark.parametrize(
    ("text", "place", "files"),
    [
        ("health :8081\n", "Corefile:3", {}),
        ("log\n", "a.override:1", {}),
        ("loadbalance\n", "aa.override:2", {"aa.override": "any\nloadbalance round_robin\n"}),
    ],
)
def test_a_directive_that_is_in_two_files(text: str, place: str, files: dict[str, str]) -> None:
    name = text.split()[0]
    (warning,) = [each for each in findings({"b.override": text, **files}) if f"'{name}'" in each]
    assert warning == f"b.override:1:1: '{name}' is in {place} already, in the same server block (keep one of the two)"


def test_a_forward_of_the_same_names() -> None:
    found = findings({"b.override": "forward . 192.0.2.9\n"})
    assert "b.override:1:1: 'forward' is in Corefile:5 already, in the same server block (keep one of the two)" in found


@pytest.mark.parametrize(
    "text",
    [
        "forward corp.example 192.0.2.9\n",
        "log corp.example\n",
        "rewrite name a.test b.test\nrewrite name a.test b.test\n",  # odd, but one person's
        "template IN A x.test {\n rcode NXDOMAIN\n}\ntemplate IN AAAA x.test {\n rcode NXDOMAIN\n}\n",
    ],
)
def test_what_may_stand_several_times_may_be_added(text: str) -> None:
    corefile = COREFILE.replace("forward . 192.0.2.1", "forward . 192.0.2.1 {\n except corp.example\n}")
    assert findings({"b.override": text}, corefile) == []


def test_the_same_directive_in_different_blocks_is_no_conflict() -> None:
    assert findings({"b.server": "corp.example {\n cache 30\n health :8082\n forward . 192.0.2.1\n}\n"}) == []


def test_one_zone_in_two_files() -> None:
    (fault,) = findings({"b.server": "other.test corp.test:53 {\n whoami\n}\n"})
    assert fault == (
        "b.server:1:12: cannot serve dns://corp.test.:53 - it is already defined (the first one is in a.server:1)"
    )
    (fault,) = findings({"b.server": ". {\n whoami\n}\n"})
    assert fault.endswith("cannot serve dns://.:53 - it is already defined (the first one is in Corefile:1)")


@pytest.mark.parametrize("zone", ["corp2.test:53", "corp2.test", "internal"])
def test_a_server_block_in_an_override(zone: str) -> None:
    (fault,) = findings({"b.override": f"# mine\n{zone} {{\n forward . 192.0.2.2\n}}\n"})
    assert fault == (
        f"b.override:2:1: Unknown directive '{zone}' (this file is imported inside a server block, in Corefile:6, and "
        "may hold directives only: a server block goes into one that is imported outside, such as b.server)"
    )


def test_a_mistyped_directive_in_an_override_is_only_that() -> None:
    (fault,) = findings({"b.override": "rewrit name a.test b.test\n"})
    assert fault == "b.override:1:1: Unknown directive 'rewrit' (did you mean rewrite?)"


@pytest.mark.parametrize("text", ["rewrite name a.test b.test\n", "hosts {\n log\n}\n", "log\nwhoami\n"])
def test_directives_in_a_server_file(text: str) -> None:
    name = text.split()[0]
    (warning,) = [each for each in findings({"b.server": text}) if "read as a zone" in each]
    assert warning == (
        f"b.server:1:1: '{name}' is read as a zone here, not as a directive (this file is imported outside of all "
        "server blocks, in Corefile:8: a directive goes into one that is imported inside, such as b.override)"
    )


def test_directives_without_a_server_block() -> None:
    (warning,) = [each for each in findings({}, "errors\nwhoami\n") if "read as a zone" in each]
    assert warning.endswith("not as a directive (write the zones of the server block before it)")
    assert findings({}, "local {\n whoami\n}\n") == []


def test_a_pattern_without_matches_says_where_it_looked() -> None:
    found = verdict({})
    assert [(str(warning), warning.hint) for warning in found.warnings] == [
        (
            f"Corefile:{line}: No files matching import glob pattern: custom/*.{suffix}",
            f"nothing is imported here; there is no /etc/coredns/custom/*.{suffix}",
        )
        for line, suffix in (("6:12", "override"), ("8:8", "server"))
    ]


def test_files_that_nobody_imports() -> None:
    files = {"corp.conf": "x", "corp.overrides": "x", "README": "x", "old/": "", "x.override.bak": "x"}
    assert findings(files) == [
        "Corefile:6:12: imported by nothing: README, corp.conf, corp.overrides, x.override.bak "
        "(a name ends in .override or .server to be imported)"
    ]
    also = "import custom/*.conf\nimport custom/README\n"
    found = findings(files | {"README": "", "corp.conf": ""}, COREFILE + also)
    assert [each for each in found if "nothing" in each] == [
        "Corefile:6:12: imported by nothing: corp.overrides, x.override.bak "
        "(a name ends in .override or .server to be imported)"
    ]
    (warning,) = findings({f"{number}.txt": "x" for number in range(8)})
    assert "5.txt" not in warning
    assert "4.txt and 3 more (" in warning


def test_other_patterns_leave_other_files_alone() -> None:
    assert verdict({"notes": "x", "a.conf": "log\n"}, ". {\n import custom/*.conf\n whoami\n}\n").warnings == ()
