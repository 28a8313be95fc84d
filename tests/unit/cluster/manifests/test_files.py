# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os

import pytest

from clusterdns.cluster.manifests import files
from clusterdns.cluster.manifests.files import is_manifest, read_file, rescan, scan
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


def test_a_rescan_of_what_changed_is_as_good_as_a_scan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m" / "below").mkdir(parents=True)
    for path in ("m/a.yaml", "m/b.yaml", "m/below/c.yaml"):
        (tmp_path / path).write_text("x")
    for directory in ("m", str(tmp_path / "m")):
        last = scan(directory)
        (tmp_path / "m" / "a.yaml").write_text("xyz")
        (tmp_path / "m" / "below" / "c.yaml").unlink()
        (tmp_path / "m" / "below" / "d.yaml").write_text("new")
        (tmp_path / "m" / "e.txt").write_text("other")
        real = os.path.realpath(tmp_path / "m")
        changed = [f"{real}/{name}" for name in ("a.yaml", "below/c.yaml", "below/d.yaml", "e.txt", ".a.swp")]
        assert rescan(last, changed, [os.path.join(directory, "b.yaml")])
        assert last.files == scan(directory).files
        assert {last.real_paths.get(path, path) for path in last.files} == {
            f"{real}/{name}" for name in ("a.yaml", "b.yaml", "below/d.yaml")
        }
        (tmp_path / "m" / "below" / "d.yaml").rename(tmp_path / "m" / "below" / "c.yaml")


def test_directories_and_links_need_a_whole_scan(tmp_path):
    real = os.path.realpath(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "a.yaml").write_text("x")
    (tmp_path / "link.yaml").symlink_to(".data/a.yaml")
    last = scan(str(tmp_path))
    (tmp_path / "new").mkdir()
    (tmp_path / ".data" / "another").symlink_to("a.yaml")
    for name in ("new", "below", "link.yaml", ".data/a.yaml", ".data/another", "elsewhere/x.yaml"):
        assert not rescan(last, [f"{real}/{name}"], []), name


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


def test_what_cannot_be_looked_at_is_a_fault_and_hides_what_is_below(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("x")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.yaml").write_text("x")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "nowhere.yaml").symlink_to("nowhere")
    listed = os.scandir

    def scandir(path):
        if os.path.basename(path) == "below":
            raise OSError(errno.EMFILE, "Too many open files")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = scan(str(tmp_path))
    assert found.files.keys() == {str(tmp_path / "a.yaml")}
    assert found.faults == {
        str(tmp_path / "below"): "Too many open files",
        str(tmp_path / "loop.yaml"): os.strerror(errno.ELOOP),
    }
    assert found.hides(str(tmp_path / "below" / "b.yaml"))
    assert found.hides(str(tmp_path / "loop.yaml"))
    assert not found.hides(str(tmp_path / "below.yaml"))
    assert not found.hides(str(tmp_path / "nowhere.yaml"))
    assert not rescan(found, [], [])


def test_a_file_that_cannot_be_looked_at_is_not_gone(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("x")
    last = scan(str(tmp_path))

    def lstat(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", lstat)
    assert not rescan(last, [], [str(tmp_path / "a.yaml")])
    assert last.files.keys() == {str(tmp_path / "a.yaml")}


def test_a_link_to_the_directory_is_of_interest_and_what_stands_beside_it_is_not(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "current").symlink_to("first")
    last = scan(str(tmp_path / "current"))
    real = os.path.realpath(tmp_path)
    assert real in last.directories
    assert not rescan(last, [f"{real}/current"], [])
    assert rescan(last, [f"{real}/other.yaml"], [])
    assert last.files == {}


def test_the_place_that_a_link_to_nothing_leads_to_is_of_interest(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.yaml").symlink_to("../elsewhere.yaml")
    last = scan(str(tmp_path / "m"))
    real = os.path.realpath(tmp_path)
    assert last.directories[real] == ""
    assert not rescan(last, [f"{real}/elsewhere.yaml"], [])
