# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os

import pytest

from clusterdns.cluster.manifests import files
from clusterdns.cluster.manifests.files import is_manifest, read_file, scan
from clusterdns.errors import ManifestError


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json", "a.b.yaml"])
def test_manifests(name):
    assert is_manifest(name)


@pytest.mark.parametrize(
    "name",
    [
        ".a.yaml",
        ".a.yaml.swp",
        "a.yaml~",
        "#a.yaml#",
        ".#a.yaml",
        "~a.yaml",
        "a.yaml.bak",
        "a.yaml.tmp",
        "a.txt",
        "yaml",
    ],
)
def test_hidden_files_and_those_of_editors_are_no_manifests(name):
    assert not is_manifest(name)


def test_a_scan_finds_files_at_any_depth_through_links_and_each_directory_once(tmp_path):
    (tmp_path / "one" / "two").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for path in ("a.yaml", "b.txt", "one/c.json", "one/two/d.yml", ".hidden/e.yaml"):
        (tmp_path / path).write_text("x")
    (tmp_path / "one" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.yaml").symlink_to(".hidden/e.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")
    found = scan(str(tmp_path))
    assert {os.path.relpath(path, tmp_path) for path in found.files} == {
        "a.yaml",
        "one/c.json",
        "one/two/d.yml",
        "linked.yaml",
    }
    assert found.real_paths[str(tmp_path / "linked.yaml")] == os.path.realpath(tmp_path / ".hidden" / "e.yaml")
    assert os.path.realpath(tmp_path / ".hidden") in found.directories


def test_a_directory_that_is_not_there_cannot_be_scanned(tmp_path):
    with pytest.raises(FileNotFoundError):
        scan(str(tmp_path / "missing"))


def test_reading_gives_the_bytes_and_the_stamp_of_the_scan(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"x: 1\n")
    read = read_file(str(path))
    assert read == (b"x: 1\n", scan(str(tmp_path)).files[str(path)])
    assert read_file(str(tmp_path / "missing")) is None


def test_too_large_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 3)
    (tmp_path / "a.yaml").write_bytes(b"1234")
    with pytest.raises(ManifestError, match="larger than"):
        read_file(str(tmp_path / "a.yaml"))


def test_what_cannot_be_read_is_refused_with_its_name(tmp_path):
    with pytest.raises(ManifestError, match="Is a directory") as caught:
        read_file(str(tmp_path))
    assert caught.value.file == str(tmp_path)
