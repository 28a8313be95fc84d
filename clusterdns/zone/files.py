# SPDX-License-Identifier: Apache-2.0
"""Zones in files on the disk, read again when they change: the only place of this package that opens files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Final, TypeAlias

from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_file
from clusterdns.dns.types import SOA
from clusterdns.errors import MasterFileError
from clusterdns.zone.tree import Zone, ZoneBuilder, soa_numbers

RECORDS_IN_A_TURN: Final = 200
"""Read before other work of the process gets its turn: about two milliseconds."""

_Mark: TypeAlias = tuple[int, int, int] | None
"""Time of the last change in nanoseconds, size, inode; None for a file that isn't there."""


class ZoneFile:
    """The file of a zone.

    origin: the zone, lower case.
    path: the file.
    by_time: True to take over every change of the file, False only those that change the serial number.
    zone: as it was read last; None until that has succeeded.
    """

    def __init__(self, origin: bytes, path: str, *, by_time: bool = False) -> None:
        self.origin = origin
        self.path = path
        self.by_time = by_time
        self.zone: Zone | None = None
        self._marks: dict[str, _Mark] = {}

    def refresh(self) -> Generator[None, None, bool]:
        """Read the file if it or a file that it includes has changed; True if there is a new zone.

        Yields from time to time, so that the caller can do something else. What can't be read is tried again when a
        file changes, and leaves the zone as it was. Raises OSError, MasterFileError.
        """
        if self._marks and all(_mark(path) == mark for path, mark in self._marks.items()):
            return False
        self._marks = {}
        text = self._read(self.path)
        zone = yield from self._parse(text)
        if zone is None:
            return False
        if self.zone is not None and any(_mark(path) != mark for path, mark in self._marks.items()):
            self._marks = {}  # somebody is writing: the next time
            return False
        self.zone = zone
        return True

    def _parse(self, text: str) -> Generator[None, None, Zone | None]:
        """The zone; None if its serial number says that it is the one that is there."""
        builder = ZoneBuilder(self.origin)
        known = None if self.zone is None or self.by_time else self.zone.serial
        has_soa = False
        for number, record in enumerate(parse_file(text, self.origin, file=self.path, read=self._read), 1):
            if record.rtype == SOA and record.name.lower() == self.origin:
                has_soa = True
                if soa_numbers(record.data)[0] == known:
                    return None
            try:
                builder.add(record)
            except MasterFileError as error:
                raise MasterFileError(error.reason, file=self.path) from None
            if number % RECORDS_IN_A_TURN == 0:
                yield
        if not has_soa:
            origin = names.to_text(self.origin)
            raise MasterFileError(f'file "{self.path}" has no SOA record for origin {origin}')
        return builder.finish()

    def _read(self, path: str) -> str:
        self._marks[path] = _mark(path)
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise OSError(errno.EINVAL, "not a regular file", path)
        return Path(path).read_bytes().decode("utf-8", "surrogateescape")


def _mark(path: str) -> _Mark:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
