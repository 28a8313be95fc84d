# SPDX-License-Identifier: Apache-2.0
"""Conflicts between a Corefile and the files that others drop beside it.

k3s, AKS and others mount a ConfigMap ``coredns-custom`` and import its keys: ``*.override`` within the server block of
the root, ``*.server`` outside of all blocks. What is in them is written by other people than the Corefile, and neither
side sees the other; so each conflict is told with the places of both.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from clusterdns.config.directive import Line, Token
from clusterdns.config.files import Files
from clusterdns.config.parser import Block
from clusterdns.errors import ConfigError

OVERRIDE: Final = ".override"
SERVER: Final = ".server"

# Each occurrence says something of its own; of others a second one replaces the first, or has no effect.
_REPEATABLE: Final = frozenset(
    ("acl", "auto", "bind", "dnssec", "etcd", "file", "forward", "header", "k8s_external", "log", "rewrite",
     "secondary", "sign", "template", "transfer", "tsig")
)  # fmt: skip
# Names of directives that are zones, too.
_ZONES: Final = frozenset(("local",))


_SHOWN: Final = 5

_Said: TypeAlias = dict[tuple[str, int, int], str]
"""What has been found by file, line and column."""


class Import(msgspec.Struct, frozen=True):
    """A file that was imported. ``pattern`` is the word that named it, ``inside`` tells whether in a server block."""

    path: str
    pattern: Token
    inside: bool

    @property
    def place(self) -> str:
        """Where the import stands, ``file:line``."""
        return f"{self.pattern.file}:{self.pattern.line}"


def find_conflicts(
    blocks: Iterable[Block],
    imports: Iterable[Import],
    directives: Collection[str],
    known: Iterable[ConfigError],
) -> list[ConfigError]:
    """What loads but surely isn't meant.

    directives: the names of all of them. known: faults and warnings found before.
    """
    imported = {each.path: each for each in imports}
    said: _Said = {}
    for error in known:
        place = (error.file, error.line, error.column)
        said[place] = f"{said.get(place, '')}{error.message}\n{error.hint}\n"
    warnings: list[ConfigError] = []
    for block in blocks:
        warnings.extend(_directives_as_zones(block, imported, directives))
        warnings.extend(_repeated(block, said))
    return warnings


def hint_for_block(line: Line, imports: Iterable[Import]) -> str:
    """What to do about a server block where a directive was expected; empty if it isn't in a file that was imported."""
    found = next((each for each in imports if each.path == line.name.file), None)
    if line.block is None or found is None or not found.inside:
        return ""
    return (
        f"this file is imported inside a server block, in {found.place}, and may hold directives only: a server block "
        f"goes into one that is imported outside, such as {_renamed(found.path, SERVER)}"
    )


def _directives_as_zones(
    block: Block, imported: dict[str, Import], directives: Collection[str]
) -> Iterator[ConfigError]:
    """A directive that stands outside of all blocks is read as a zone, and what follows it as more of them."""
    for key in block.keys:
        if key.text in directives and key.text not in _ZONES:
            found = imported.get(key.file)
            hint = "write the zones of the server block before it"
            if found is not None and not found.inside:
                hint = (
                    f"this file is imported outside of all server blocks, in {found.place}: a directive goes into one "
                    f"that is imported inside, such as {_renamed(found.path, OVERRIDE)}"
                )
            yield _warning(key, f"'{key.text}' is read as a zone here, not as a directive", hint)
            return


def _renamed(path: str, suffix: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0] + suffix


def _repeated(block: Block, said: _Said) -> Iterator[ConfigError]:
    """Directives of one block that are in several files, unless that has been said with both places."""
    occurrences: dict[str, list[Line]] = {}
    for line in block.lines:
        name = line.name
        before = occurrences.setdefault(name.text, [])
        known = said.get((name.file, name.line, name.column), "")
        for other in before:
            place = f"{other.name.file}:{other.name.line}"
            if other.name.file == name.file or place in known or not _compete(other, line, bool(known)):
                continue
            message = f"'{name.text}' is in {place} already, in the same server block"
            yield _warning(name, message, "keep one of the two")
            break
        before.append(line)


def _compete(first: Line, second: Line, known: bool) -> bool:
    """True if two occurrences of a directive can't both count; ``known`` if something has been found in the second."""
    if second.name.text not in _REPEATABLE:
        return True
    return _words(first) == _words(second) or (known and first.words[:1] == second.words[:1])


def _words(line: Line) -> tuple[object, ...]:
    return (line.name.text, *line.words, *(_words(option) for option in line.block or ()))


def find_strays(patterns: Iterable[tuple[Token, str]], read: Collection[str], files: Files) -> list[ConfigError]:
    """Files beside imported ones whose names end in neither suffix, so that nobody reads them.

    patterns: of imports, as words and absolute paths. read: the paths that were imported.
    """
    directories: dict[str, Token] = {}
    for token, pattern in patterns:
        if pattern.endswith((f"*{OVERRIDE}", f"*{SERVER}")):
            directories.setdefault(posixpath.dirname(pattern), token)
    warnings = []
    for directory, token in directories.items():
        strays = [path for path in files.glob(f"{directory}/*") if path not in read and _is_file(path, files)]
        if strays:
            more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
            message = f"imported by nothing: {', '.join(strays[:_SHOWN])}{more}"
            warnings.append(_warning(token, message, f"a name ends in {OVERRIDE} or {SERVER} to be imported"))
    return warnings


def _is_file(path: str, files: Files) -> bool:
    try:
        files.read(path)
    except OSError:
        return False
    return True


def _warning(token: Token, message: str, hint: str) -> ConfigError:
    return token.error(message, hint=hint, label=ConfigError.NO_POSITION)
