# SPDX-License-Identifier: Apache-2.0
"""The files that a Corefile imports, read from the disk: the only place of this package that opens files."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """What imports need of a file system."""

    def read(self, path: str) -> str:
        """The text of the file at an absolute path. Raises OSError."""
        ...

    def glob(self, pattern: str) -> list[str]:
        """The paths that match an absolute pattern with ``*`` and ``?``, in lexical order."""
        ...


class NoFiles:
    """A file system with nothing in it, for text that stands for itself."""

    def read(self, path: str) -> str:
        """Refuse every path with FileNotFoundError."""
        raise FileNotFoundError(2, "no such file or directory", path)

    def glob(self, pattern: str) -> list[str]:
        """No path matches."""
        return []


class DiskFiles:
    """The files of this machine."""

    def read(self, path: str) -> str:
        """The text of the file; bytes that aren't UTF-8 become U+FFFD. Raises OSError."""
        return Path(path).read_bytes().decode("utf-8", "replace")

    def glob(self, pattern: str) -> list[str]:
        """The matching paths, hidden files too.

        The entries that start with two dots in a mounted ConfigMap are the kubelet's own and left out.
        """
        literal = pattern.replace("[", "[[]")
        paths = glob.glob(literal, include_hidden=True)
        return sorted(path for path in paths if not Path(path).name.startswith(".."))
