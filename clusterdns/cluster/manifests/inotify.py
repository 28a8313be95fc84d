# SPDX-License-Identifier: Apache-2.0
"""Linux's inotify(7): which names in some directories were written, closed, moved or removed.

It is used directly because it alone tells a file that was closed after writing, or moved into place, from one that is
still being written, and because it costs nothing while nothing happens.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec

_MODIFY = 0x002
_ATTRIB = 0x004
_CLOSE_WRITE = 0x008
_MOVED_FROM = 0x040
_MOVED_TO = 0x080
_CREATE = 0x100
_DELETE = 0x200
_DELETE_SELF = 0x400
_MOVE_SELF = 0x800
_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLYDIR = 0x01000000

_WATCHED = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_HEADER = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 16
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


class Hint(msgspec.Struct, frozen=True):
    """What happened to a name: a writer ``closed`` it; it was ``moved`` here; or it was created or written, and may be
    ``open`` still. Without any of these: it is gone, or only its attributes have changed.
    """

    path: str
    closed: bool = False
    moved: bool = False
    open: bool = False


class Inotify:
    """Watches directories, not what is below them. Raises OSError where the system has no inotify, or none left."""

    def __init__(self) -> None:
        self._watches: dict[int, str] = {}
        self._descriptors: dict[str, int] = {}
        self.descriptor = _checked(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def watch(self, directories: Iterable[str]) -> bool:
        """Watch exactly these directories. Returns whether there is one that wasn't watched before: what happened in it
        until now is unknown.
        """
        wanted = set(directories)
        for path in self._descriptors.keys() - wanted:
            self._forget(self._descriptors[path], remove=True)
        new = False
        for path in wanted:
            number = _libc().inotify_add_watch(self.descriptor, os.fsencode(path), _WATCHED | _ONLYDIR)
            if number < 0:
                if ctypes.get_errno() in _GONE:
                    continue
                _checked(number)
            if self._descriptors.get(path) != number:
                new = True
                if path in self._descriptors:
                    self._forget(self._descriptors[path], remove=True)
                self._watches[number] = path
                self._descriptors[path] = number
        return new

    def read(self) -> list[Hint]:
        """What has happened since the last call, without waiting. An overflow of the kernel's queue gives a hint with
        an empty path.
        """
        hints: list[Hint] = []
        while True:
            try:
                data = os.read(self.descriptor, _BUFFER_BYTES)
            except BlockingIOError:
                return hints
            hints.extend(self._hints(data))

    def close(self) -> None:
        """Watch nothing any more."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _hints(self, data: bytes) -> Iterator[Hint]:
        position = 0
        while position < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, position)
            position += _HEADER.size
            name = data[position : position + length].rstrip(b"\0")
            position += length
            if mask & _OVERFLOW:
                yield Hint("")
                continue
            directory = self._watches.get(number)
            if directory is None:
                continue
            if mask & _IGNORED:
                self._forget(number, remove=False)
            yield Hint(
                os.path.join(directory, os.fsdecode(name)) if name else directory,
                closed=bool(mask & _CLOSE_WRITE),
                moved=bool(mask & _MOVED_TO),
                open=bool(mask & (_CREATE | _MODIFY)),
            )

    def _forget(self, number: int, *, remove: bool) -> None:
        path = self._watches.pop(number, None)
        if path is not None and self._descriptors.get(path) == number:
            del self._descriptors[path]
        if remove:
            _libc().inotify_rm_watch(self.descriptor, number)  # fails where the directory is gone: that is the aim


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"inotify: {os.strerror(number)}")
    return result


@lru_cache(1)
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "inotify_init1"):
        raise OSError(errno.ENOSYS, "this system has no inotify")
    library.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return library
