# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from clusterdns.config.expand import Corefile, Glob, Source, expand


class MemoryFiles:
    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def read(self, path: str) -> str:
        if path.endswith(".d"):
            raise IsADirectoryError(21, "Is a directory", path)
        if path.endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self.files[path]

    def glob(self, pattern: str) -> list[str]:
        return sorted(path for path in self.files if fnmatchcase(path, pattern))


def read(text: str, files: dict[str, str] | None = None, environment: dict[str, str] | None = None) -> Corefile:
    source = Source("Corefile", text, "/etc/coredns")
    return expand(source, environment=environment or {}, files=MemoryFiles(files or {}))


def directives(corefile: Corefile) -> list[tuple[str, list[str]]]:
    assert [str(error) for error in corefile.errors] == []
    return [(block.keys[0].text, [line.name.text for line in block.lines]) for block in corefile.blocks]


def errors(corefile: Corefile) -> list[str]:
    return [error.coredns_text() for error in corefile.errors]


def test_snippet_in_a_block_in_a_sub_block_and_outside() -> None:
    corefile = read(
        "(inner) {\n pods insecure\n ttl 30\n}\n(all) {\n log\n kubernetes x {\n  import inner\n }\n}\n"
        "(server) {\n b. {\n  whoami\n }\n}\na. {\n errors\n import all\n whoami\n}\nimport server\n"
    )
    assert directives(corefile) == [("a.", ["errors", "log", "kubernetes", "whoami"]), ("b.", ["whoami"])]
    block = corefile.blocks[0].lines[2].block
    assert block is not None
    assert [(line.name.text, line.words) for line in block] == [("pods", ("insecure",)), ("ttl", ("30",))]


def test_files_are_looked_for_beside_the_file_that_imports_them() -> None:
    corefile = read(
        "a. {\n import sub/one.conf\n}\n",
        {"/etc/coredns/sub/one.conf": "log\nimport two.conf\n", "/etc/coredns/sub/two.conf": "whoami\n"},
    )
    assert directives(corefile) == [("a.", ["log", "whoami"])]
    assert corefile.files == ("/etc/coredns/sub/one.conf", "/etc/coredns/sub/two.conf")
    assert corefile.blocks[0].lines[1].name.file == "/etc/coredns/sub/two.conf"


def test_imported_file_outside_blocks_may_hold_blocks_and_snippets() -> None:
    corefile = read("import /x/servers\nb. {\n import s\n}\n", {"/x/servers": "(s) {\n whoami\n}\na. {\n log\n}\n"})
    assert directives(corefile) == [("a.", ["log"]), ("b.", ["whoami"])]


def test_glob_takes_its_matches_in_lexical_order_and_is_recorded() -> None:
    files = {"/etc/coredns/custom/b.override": "whoami\n", "/etc/coredns/custom/a.override": "log\n"}
    corefile = read(". {\n import custom/*.override\n}\nimport custom/*.server\n", files)
    assert directives(corefile) == [(".", ["log", "whoami"])]
    assert corefile.globs == (
        Glob("/etc/coredns/custom/*.override", tuple(sorted(files))),
        Glob("/etc/coredns/custom/*.server", ()),
    )
    (warning,) = corefile.warnings
    assert warning.coredns_text() == "No files matching import glob pattern: custom/*.server"
    assert str(warning) == f"Corefile:4:8: {warning.message}"


def test_snippet_goes_before_a_file_of_the_same_name() -> None:
    corefile = read("(s) {\n whoami\n}\n. {\n import s\n}\n", {"/etc/coredns/s": "log\n"})
    assert directives(corefile) == [(".", ["whoami"])]
    assert corefile.files == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import", "Wrong argument count or unexpected line ending after 'import'"),
        ("import a b", "Import takes only one argument (glob pattern or file)"),
        ("import a {\n}", "Import takes only one argument (glob pattern or file)"),
        ('import ""', "Import requires a non-empty filepath"),
        ("import {$NOPE}", "Import requires a non-empty filepath"),
        ("import gone", "File to import not found: gone"),
        ("import x.d", "Could not import /etc/coredns/x.d: is a directory"),
        ("import secret", "Could not import /etc/coredns/secret: Permission denied"),
        (
            "import */*",
            "Glob pattern may only contain one wildcard (*), but has others: /etc/coredns/*/*",
        ),
        ("import ??", "Glob pattern may only contain one wildcard (*), but has others: /etc/coredns/??"),
        ("import [ab]", "Glob pattern may only contain one wildcard (*), but has others: /etc/coredns/[ab]"),
        ("import later", "File to import not found: later"),
    ],
)
def test_import_that_fails(line: str, message: str) -> None:
    corefile = read(f". {{\n {line}\n whoami\n}}\n(later) {{\n}}\n")
    assert errors(corefile) == [f"Corefile:2 - Error during parsing: {message}"]
    assert [line.name.text for line in corefile.blocks[0].lines] == ["whoami"]


def test_file_that_is_not_there_is_recorded_so_that_it_can_be_watched() -> None:
    assert read(". {\n import gone\n}\n").files == ("/etc/coredns/gone",)


def test_snippet_defined_twice() -> None:
    corefile = read("(s) {\n log\n}\n(s) {\n}\n. {\n import s\n}\n")
    assert errors(corefile) == ["Corefile:4 - Error during parsing: redeclaration of previously declared snippet s"]


def test_snippet_that_imports_itself_is_refused_where_it_is_defined() -> None:
    corefile = read("(s) {\n log\n import s\n}\n. {\n import s\n}\n")
    assert errors(corefile) == ["Corefile:3 - Error during parsing: snippet s imports itself"]


def test_snippets_in_a_circle() -> None:
    corefile = read("(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}\n")
    (error,) = corefile.errors
    assert error.coredns_text() == ("Corefile:5 - Error during parsing: maximum snippet import depth (10000) exceeded")
    assert error.hint == "the imports go in a circle: snippet a → snippet b → snippet a"


def test_files_in_a_circle() -> None:
    corefile = read("import one\n", {"/etc/coredns/one": "import two\n", "/etc/coredns/two": "import one\n"})
    (error,) = corefile.errors
    assert str(error) == "/etc/coredns/two:1:8: maximum file import depth (100000) exceeded"
    assert error.hint == ("the imports go in a circle: /etc/coredns/one → /etc/coredns/two → /etc/coredns/one")


def test_corefile_that_imports_itself() -> None:
    corefile = read(". {\n}\nimport Corefile\n", {"/etc/coredns/Corefile": ". {\n}\nimport Corefile\n"})
    assert errors(corefile) == ["Corefile:3 - Error during parsing: maximum file import depth (100000) exceeded"]


def test_imports_that_double_each_time_are_stopped() -> None:
    snippets = "".join(f"(s{n}) {{\n import s{n - 1}\n import s{n - 1}\n}}\n" for n in range(1, 20))
    corefile = read("(s0) {\n log\n}\n" + snippets + ". {\n import s19\n}\n")
    assert "maximum snippet import depth (10000) exceeded" in {error.message for error in corefile.errors}


def test_variables_in_keys_names_arguments_options_and_paths() -> None:
    environment = {"ZONE": "a.test", "NAME": "log", "ARG": "x y", "OPTION": "class", "FILE": "more"}
    corefile = read(
        "{$ZONE}:{%PORT%}53 {\n {$NAME} {$ARG} {\n  {$OPTION} all\n }\n import {$FILE}.conf\n}\n",
        {"/etc/coredns/more.conf": "whoami\n"},
        environment,
    )
    (block,) = corefile.blocks
    log, whoami = block.lines
    assert [key.text for key in block.keys] == ["a.test:53"]
    assert (log.name.text, log.words) == ("log", ("x y",))
    assert log.block is not None
    assert log.block[0].name.text == "class"
    assert whoami.name.text == "whoami"
    assert [str(warning) for warning in corefile.warnings] == ["Corefile:1:1: environment variable 'PORT' is not set"]


def test_commas_are_taken_off_keys_and_empty_keys_are_left_out() -> None:
    (block,) = read("a,\nb, {$NOPE} c {\n}\n").blocks
    assert [key.text for key in block.keys] == ["a", "b", "c"]


def test_block_whose_keys_are_all_empty_is_left_out_with_a_warning() -> None:
    corefile = read("{$NOPE} {\n whoami\n}\n. {\n}\n")
    assert [block.keys[0].text for block in corefile.blocks] == ["."]
    assert "Corefile:1:1: this block is left out: its keys are empty" in map(str, corefile.warnings)


def test_faults_of_an_imported_file_have_its_path() -> None:
    corefile = read(". {\n import x\n}\n", {"/etc/coredns/x": "log\n}\nwhoami }\n"})
    assert [str(error) for error in corefile.errors] == [
        "/etc/coredns/x:2:1: Unexpected '}' because no matching opening brace",
        "/etc/coredns/x:3:8: Unexpected '}' because no matching opening brace",
    ]


def test_digest_covers_words_lines_imports_and_variables_but_not_layout() -> None:
    files = {"/etc/coredns/x": "log\n"}
    digest = read(". {\n import x\n}\n", files).digest
    assert len(digest) == 128
    assert read(".   {\n\timport x # comment\n}\n", files).digest == digest
    assert read("\n. {\n import x\n}\n", files).digest != digest
    assert read(". {\n import x\n}\n", {"/etc/coredns/x": "whoami\n"}).digest != digest
    one, two = ({"A": value} for value in "12")
    assert read("{$A} {\n}\n", environment=one).digest != read("{$A} {\n}\n", environment=two).digest
