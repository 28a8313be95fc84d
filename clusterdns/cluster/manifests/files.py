# SPDX-License-Identifier: Apache-2.0
"""Which manifest files a directory has, and their bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

import msgspec

from clusterdns.errors import ManifestError

MAX_FILE_BYTES = 256 << 20
"""A bound against reading a disk image by mistake: some 50,000 Services with their slices as kubectl prints them."""

_ENDINGS = (".yaml", ".yml", ".json")
_GONE = (FileNotFoundError, NotADirectoryError)


class Stamp(msgspec.Struct, frozen=True):
    """The state of a file: one that differs means that the file may have changed."""

    device: int
    inode: int
    size_bytes: int
    modified_nanoseconds: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """From stat(2) of the file, links followed."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def same_file(self, other: Stamp) -> bool:
        """True if the path still leads to the same file; False after a rename into its place."""
        return self.inode == other.inode and self.device == other.device


class Scan(msgspec.Struct):
    """What a directory holds.

    files: the stamps of manifest files by path. real_paths: of those that have another one. targets: the real paths of
    those that are links, and the path of a link to the directory. directories: all in which names or contents can
    change, by real path, each with the path that led there; that is empty where only targets are of interest. faults:
    why something couldn't be looked at, by path; what is there, or below it, is unknown.
    """

    files: dict[str, Stamp]
    real_paths: dict[str, str]
    targets: set[str]
    directories: dict[str, str]
    faults: dict[str, str] = {}

    def hides(self, path: str) -> bool:
        """True if nobody knows whether the path is still there."""
        return any(path == fault or path.startswith(os.path.join(fault, "")) for fault in self.faults)


def is_manifest(name: str) -> bool:
    """True for a file name that is read: ``*.yaml``, ``*.yml`` and ``*.json`` that isn't hidden or an editor's."""
    return name.endswith(_ENDINGS) and not name.startswith((".", "#", "~"))


def scan(directory: str) -> Scan:
    """Find the manifest files in a directory and those below it that aren't hidden. Links are followed, each directory
    once. Raises OSError where the directory itself can't be read; what goes away meanwhile is left out.
    """
    found = Scan({}, {}, set(), {})
    if os.path.islink(directory):
        parent, name = os.path.split(os.path.abspath(directory))
        parent = os.path.realpath(parent)
        found.directories[parent] = ""
        found.targets.add(os.path.join(parent, name))
    waiting = [directory]
    while waiting:
        path = waiting.pop()
        real = os.path.realpath(path)
        if found.directories.get(real):
            continue
        try:
            with os.scandir(path) as entries:
                found.directories[real] = path
                waiting.extend(_scan_entries(entries, "" if real == path else real, found))
        except OSError as error:
            if path == directory:
                raise
            _note_fault(error, path, found)
    return found


def rescan(last: Scan, real_paths: Iterable[str], paths: Iterable[str]) -> bool:
    """Bring a scan up to date after something happened at these paths, without looking at the rest.

    Returns False where only a new scan can tell: after a change of directories, of links or of what they lead to.
    """
    changed = set(paths)
    if last.faults:
        return False
    for real in real_paths:
        parent, name = os.path.split(real)
        directory = last.directories.get(parent)
        if directory is None or real in last.directories or real in last.targets:
            return False
        if directory:
            changed.add(os.path.join(directory, name))
        elif os.path.islink(real):  # perhaps one of several on the way to a target
            return False
    for path in changed:
        try:
            status = os.lstat(path)
        except _GONE:
            last.files.pop(path, None)
            continue
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        directory, name = os.path.split(path)
        if is_manifest(name):
            last.files[path] = Stamp.of(status)
            real = os.path.join(os.path.realpath(directory), name)
            if real != path:
                last.real_paths[path] = real
    return True


def _scan_entries(entries: Iterator[os.DirEntry[str]], real: str, found: Scan) -> Iterator[str]:
    """Note the files of one directory, and give the directories in it. ``real`` is its real path if that is another."""
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat()
        except OSError as error:
            _note_fault(error, entry.path, found)
            if is_manifest(entry.name) and entry.is_symlink():
                _note_target(entry.path, found)  # it may come back
            continue
        if stat.S_ISDIR(status.st_mode):
            yield entry.path
        elif stat.S_ISREG(status.st_mode) and is_manifest(entry.name):
            found.files[entry.path] = Stamp.of(status)
            if entry.is_symlink():
                found.real_paths[entry.path] = _note_target(entry.path, found)
            elif real:
                found.real_paths[entry.path] = os.path.join(real, entry.name)


def _note_target(link: str, found: Scan) -> str:
    """The real path that a link leads to; what happens there is of interest."""
    target = os.path.realpath(link)
    found.targets.add(target)
    found.directories.setdefault(os.path.dirname(target), "")
    return target


def _note_fault(error: OSError, path: str, found: Scan) -> None:
    """Note a fault, unless it says that the path is gone or a link to nothing."""
    if not isinstance(error, _GONE):
        found.faults[path] = error.strerror or str(error)


def read_file(path: str) -> tuple[bytes, Stamp] | None:
    """The bytes of a file and the stamp that it had before they were read; None for a file that is gone.

    Raises ManifestError for one that can't be read or is larger than MAX_FILE_BYTES.
    """
    try:
        with open(path, "rb") as file:
            stamp = Stamp.of(os.fstat(file.fileno()))
            data = file.read(MAX_FILE_BYTES + 1) if stamp.size_bytes <= MAX_FILE_BYTES else b""
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(error.strerror or str(error), file=path) from None
    if stamp.size_bytes > MAX_FILE_BYTES or len(data) > MAX_FILE_BYTES:
        raise ManifestError(f"larger than {MAX_FILE_BYTES >> 20} MiB", file=path)
    return data, stamp
