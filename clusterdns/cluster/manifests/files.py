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
    those that are links. directories: all in which names or contents can change, by real path, each with the path that
    led there; that is empty where only the target of a link is in it.
    """

    files: dict[str, Stamp]
    real_paths: dict[str, str]
    targets: set[str]
    directories: dict[str, str]


def is_manifest(name: str) -> bool:
    """True for a file name that is read: ``*.yaml``, ``*.yml`` and ``*.json`` that isn't hidden or an editor's."""
    return name.endswith(_ENDINGS) and not name.startswith((".", "#", "~"))


def scan(directory: str) -> Scan:
    """Find the manifest files in a directory and those below it that aren't hidden. Links are followed, each directory
    once. Raises OSError where the directory itself can't be read; what goes away meanwhile is left out.
    """
    found = Scan({}, {}, set(), {})
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
        except OSError:
            if path == directory:
                raise
    return found


def rescan(last: Scan, real_paths: Iterable[str], paths: Iterable[str]) -> bool:
    """Bring a scan up to date after something happened at these paths, without looking at the rest.

    Returns False where only a new scan can tell: after a change of directories, of links or of what they lead to.
    """
    changed = set(paths)
    for real in real_paths:
        parent, name = os.path.split(real)
        directory = last.directories.get(parent)
        if not directory or real in last.directories or real in last.targets:
            return False
        changed.add(os.path.join(directory, name))
    for path in changed:
        try:
            status = os.lstat(path)
        except OSError:
            last.files.pop(path, None)
            continue
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
        except OSError:  # gone, or a link to nothing
            continue
        if stat.S_ISDIR(status.st_mode):
            yield entry.path
        elif stat.S_ISREG(status.st_mode) and is_manifest(entry.name):
            found.files[entry.path] = Stamp.of(status)
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                found.real_paths[entry.path] = target
                found.targets.add(target)
                found.directories.setdefault(os.path.dirname(target), "")
            elif real:
                found.real_paths[entry.path] = os.path.join(real, entry.name)


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
