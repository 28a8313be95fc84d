# SPDX-License-Identifier: Apache-2.0
"""The files of a directory as one set of declared objects.

An object in two files counts as it is in the later one, by path, as with ``kubectl apply -f DIR``; the other place is
reported. A file that can't be read in full keeps its last good content; where it never had any, what can be read of it
counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from clusterdns.cluster.controllers.plane import DeclaredChange, Fault
from clusterdns.cluster.declared import DeclaredKind
from clusterdns.cluster.manifests.parts import Content, Ident, describe
from clusterdns.cluster.objects import Key
from clusterdns.errors import ManifestError


class _File(msgspec.Struct):
    """What counts of a file, and what is wrong with the newest state of it."""

    content: Content
    problems: tuple[ManifestError, ...]


class Directory:
    """Contents by path, and which one of them has each object."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._holders: dict[Ident, tuple[str, ...]] = {}
        self._shared: set[Ident] = set()

    def content(self, path: str) -> Content | None:
        """What counts of a file."""
        file = self._files.get(path)
        return file.content if file is not None else None

    @property
    def ignored(self) -> dict[str, int]:
        """How many objects of other kinds there are, by kind."""
        ignored: Counter[str] = Counter()
        for file in self._files.values():
            ignored.update(file.content.ignored)
        return dict(sorted(ignored.items()))

    def place_of(self, kind: DeclaredKind, key: Key) -> str:
        """``file:line`` of the place that counts; empty if the object is in no file."""
        ident = (kind, key)
        path = self._holders.get(ident, ("",))[-1]
        file = self._files.get(path)
        return f"{path}:{file.content.objects[ident][1]}" if file is not None and ident in file.content.objects else ""

    def put(self, path: str, content: Content) -> list[DeclaredChange]:
        """The file has this content now. Returns the objects that have changed by that."""
        file = self._files.get(path)
        if file is not None and content.broken and not file.content.broken:
            file.problems = content.problems
            return []
        old = file.content.objects if file is not None else {}
        self._files[path] = _File(content, content.problems)
        changes: list[DeclaredChange] = []
        for ident, (declared, _) in content.objects.items():
            if ident not in old:
                self._hold(ident, path)
            elif old[ident][0] == declared:
                continue
            if self._holders[ident][-1] == path:
                changes.append((*ident, declared))
        changes.extend(self._drop(old.keys() - content.objects.keys(), path))
        return changes

    def refuse(self, path: str, problem: ManifestError) -> None:
        """The file can't be read at all: its last content stays."""
        file = self._files.setdefault(path, _File(Content({}, {}, (), {}, True), ()))
        file.problems = (problem,)

    def remove(self, path: str) -> list[DeclaredChange]:
        """The file is gone. Returns the objects that have changed by that."""
        file = self._files.pop(path, None)
        return list(self._drop(file.content.objects.keys(), path)) if file is not None else []

    def problems(self, faults: Iterable[Fault]) -> Iterator[ManifestError]:
        """What is wrong with the files, and with the objects as the control plane sees them, in the order of paths."""
        for path in sorted(self._files):
            yield from self._files[path].problems
        for ident in sorted(self._shared):
            *losers, winner = self._holders[ident]
            _, line = self._files[winner].content.objects[ident]
            for path in losers:
                reason = f"{describe(ident)} is also in {winner}:{line}, which is the one that counts"
                yield ManifestError(reason, file=path, line=self._files[path].content.objects[ident][1])
        for fault in faults:
            ident = (fault.kind, fault.key)
            holder = self._holders[ident][-1]
            line = self._files[holder].content.objects[ident][1]
            yield ManifestError(f"{describe(ident)}: {fault.reason}", file=holder, line=line)

    def _hold(self, ident: Ident, path: str) -> None:
        holders = tuple(sorted((*self._holders.get(ident, ()), path)))
        self._holders[ident] = holders
        if len(holders) > 1:
            self._shared.add(ident)

    def _drop(self, idents: Iterable[Ident], path: str) -> Iterator[DeclaredChange]:
        for ident in idents:
            before = self._holders[ident]
            holders = tuple(holder for holder in before if holder != path)
            if len(holders) < 2:
                self._shared.discard(ident)
            if not holders:
                del self._holders[ident]
                yield (*ident, None)
                continue
            self._holders[ident] = holders
            if before[-1] == path:
                yield (*ident, self._files[holders[-1]].content.objects[ident][0])
