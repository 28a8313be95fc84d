# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from clusterdns.config.files import DiskFiles, NoFiles


def test_text_is_read_as_it_is_with_bad_bytes_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\r\nb \xff\n")
    assert DiskFiles().read(str(tmp_path / "x")) == "a\r\nb \ufffd\n"


def test_missing_file_and_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        DiskFiles().read(str(tmp_path / "gone"))
    with pytest.raises(IsADirectoryError):
        DiskFiles().read(str(tmp_path))


def test_matches_are_sorted_and_hold_hidden_files_but_not_those_of_the_kubelet(tmp_path: Path) -> None:
    for name in ("b.conf", "a.conf", ".c.conf", "..2026.conf", "d.txt"):
        (tmp_path / name).touch()
    assert DiskFiles().glob(f"{tmp_path}/*.conf") == [str(tmp_path / name) for name in (".c.conf", "a.conf", "b.conf")]


def test_bracket_in_a_directory_is_no_pattern(tmp_path: Path) -> None:
    directory = tmp_path / "a[b"
    directory.mkdir()
    (directory / "x.conf").touch()
    assert DiskFiles().glob(f"{directory}/*.conf") == [str(directory / "x.conf")]


def test_no_files_has_none() -> None:
    assert NoFiles().glob("/*") == []
    with pytest.raises(FileNotFoundError):
        NoFiles().read("/etc/hosts")
