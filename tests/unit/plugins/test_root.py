# SPDX-License-Identifier: Apache-2.0
from support.directives import check, parse


def test_the_path_is_kept_as_written():
    assert parse("root .").path == "."
    assert parse("root /\nroot .").path == "."


def test_a_path_that_does_not_exist_is_warned_of(tmp_path):
    verdict = check(f"root {tmp_path}/nope")
    (warning,) = verdict.warnings
    assert warning.coredns_text() == f"plugin/root: Root path does not exist: {tmp_path}/nope"
    assert verdict.plan is not None


def test_a_path_below_a_file_does_not_exist(tmp_path):
    (tmp_path / "file").touch()
    assert len(check(f"root {tmp_path}/file/x").warnings) == 1


def test_a_path_that_cannot_be_looked_at_is_an_error():
    (error,) = check(f"root /{'x' * 300}").errors
    assert error.message.startswith("Unable to access root path '/xxx")


def test_one_path_is_wanted():
    for text in ("root", "root a b"):
        (error,) = check(text).errors
        assert error.message.startswith("Wrong argument count or unexpected line ending after")
