# SPDX-License-Identifier: Apache-2.0
"""A Corefile with everything it imports, and with environment variables replaced: server blocks and nothing else.

A snippet goes before a file of the same name and must be defined above its use. A file is looked for in the directory
of the file that imports it. Imports stand outside all blocks, in a block, or in the block of a directive.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise

import msgspec

from clusterdns.config.custom import Import, find_strays
from clusterdns.config.directive import Line, Token
from clusterdns.config.environment import expand_token
from clusterdns.config.files import Files, NoFiles
from clusterdns.config.lexer import parse_lexemes
from clusterdns.config.parser import MAX_DEPTH, TOO_DEEP, Block, Item, Snippet, is_import, parse_document, parse_lines
from clusterdns.errors import ConfigError

_MAX_SNIPPET_IMPORTS = 10_000
_MAX_FILE_IMPORTS = 100_000
# Imports inside imports: deeper than any real configuration, shallower than the interpreter's stack.
_MAX_NESTED_IMPORTS = 50
_TOO_MANY_SNIPPETS = f"maximum snippet import depth ({_MAX_SNIPPET_IMPORTS}) exceeded"
_TOO_MANY_FILES = f"maximum file import depth ({_MAX_FILE_IMPORTS}) exceeded"


class Source(msgspec.Struct, frozen=True):
    """A Corefile as it was given.

    path: the name for positions, as the operator wrote it.
    text: the contents.
    directory: the absolute directory of the file, where its imports start.
    """

    path: str
    text: str
    directory: str = "/"


class Glob(msgspec.Struct, frozen=True):
    """An import pattern, as an absolute path, and the files that matched it."""

    pattern: str
    matches: tuple[str, ...]


class Corefile(msgspec.Struct, frozen=True):
    """The server blocks of a Corefile, complete, with the faults and warnings found on the way.

    files: the absolute paths of the imported files that were looked for, found or not, in the order of first use.
    globs: the import patterns and what they matched; other matches mean another Corefile.
    imports: the imported files that were read, each as it was first named.
    digest: SHA-512 of the words and their file and line, in hex. Comments and indentation don't count.
    """

    blocks: tuple[Block, ...]
    files: tuple[str, ...]
    globs: tuple[Glob, ...]
    imports: tuple[Import, ...]
    errors: tuple[ConfigError, ...]
    warnings: tuple[ConfigError, ...]
    digest: str


def expand(source: Source, *, environment: Mapping[str, str], files: Files | None = None) -> Corefile:
    """Read the Corefile and all that it imports through ``files``. Never raises for a fault: faults are collected."""
    expander = _Expander(source, environment, files or NoFiles())
    expander.document(expander.tokens_of(source.text, source.path))
    expander.warnings.extend(find_strays(expander.patterns, expander.files, expander.disk))
    blocks = tuple(expander.blocks)
    return Corefile(
        blocks=blocks,
        files=tuple(expander.files),
        globs=tuple(expander.globs),
        imports=tuple(expander.imports.values()),
        errors=tuple(expander.errors),
        warnings=tuple(expander.warnings),
        digest=_digest(blocks),
    )


def _digest(blocks: Iterable[Block]) -> str:
    tree = [([_place(key) for key in block.keys], _shape(block.lines)) for block in blocks]
    return hashlib.sha512(json.dumps(tree).encode("ascii")).hexdigest()


def _place(token: Token) -> tuple[str, str, int]:
    return token.text, token.file, token.line


def _shape(lines: Iterable[Line]) -> list[object]:
    return [
        (_place(line.name), [_place(arg) for arg in line.args], None if line.block is None else _shape(line.block))
        for line in lines
    ]


def _without_comma(key: Token) -> Token:
    return Token(key.text.removesuffix(","), key.file, key.line, key.column)


class _Expander:
    def __init__(self, source: Source, environment: Mapping[str, str], files: Files) -> None:
        self.source = source
        self.environment = environment
        self.disk = files
        self.blocks: list[Block] = []
        self.errors: list[ConfigError] = []
        self.warnings: list[ConfigError] = []
        self.files: dict[str, None] = {}
        self.globs: list[Glob] = []
        self.patterns: list[tuple[Token, str]] = []
        self.imports: dict[str, Import] = {}
        self.snippets: dict[str, Snippet] = {}
        self.active = [posixpath.join(source.directory, posixpath.basename(source.path))]
        self.snippet_imports = 0
        self.file_imports = 0

    # Items and lines

    def tokens_of(self, text: str, file: str) -> tuple[Token, ...]:
        lexemes = parse_lexemes(text, file)
        self.warnings.extend(lexemes.warnings)
        return lexemes.tokens

    def document(self, tokens: tuple[Token, ...]) -> None:
        document = parse_document(tokens)
        self.errors.extend(document.errors)
        for item in document.items:
            self.item(item)

    def item(self, item: Item) -> None:
        if isinstance(item, Snippet):
            self.define(item)
        elif isinstance(item, Line):
            for tokens in self.imported(item, inside=False):
                self.document(tokens)
        else:
            keys = tuple(_without_comma(key) for key in map(self.word, item.keys) if key.text)
            lines = tuple(self.lines(item.lines))
            if keys:
                self.blocks.append(msgspec.structs.replace(item, keys=keys, lines=lines))
            else:
                self.warn(item.position, "this block is left out: its keys are empty", "set the variables in them")

    def define(self, snippet: Snippet) -> None:
        snippet = msgspec.structs.replace(snippet, name=self.word(snippet.name))
        if snippet.key in self.snippets:
            first = self.snippets[snippet.key].name
            self.errors.append(
                snippet.name.error(
                    f"redeclaration of previously declared snippet {snippet.key}",
                    hint=f"the first one is in {first.file}:{first.line}",
                )
            )
            return
        for word, following in pairwise(snippet.body):
            if word.text == "import" and following.text == snippet.key:
                self.errors.append(following.error(f"snippet {snippet.key} imports itself"))
                snippet = Snippet(snippet.name, ())
                break
        self.snippets[snippet.key] = snippet

    def lines(self, lines: Iterable[Line], depth: int = 0) -> Iterator[Line]:
        for line in lines:
            if is_import(line):
                for tokens in self.imported(line, inside=True):
                    inner, errors = parse_lines(tokens)
                    self.errors.extend(errors)
                    yield from self.lines(inner, depth)
            else:
                yield Line(
                    self.word(line.name),
                    tuple(map(self.word, line.args)),
                    None if line.block is None else self.block(line, line.block, depth + 1),
                    line.opening,
                    line.closing,
                )

    def block(self, line: Line, lines: tuple[Line, ...], depth: int) -> tuple[Line, ...]:
        if depth > MAX_DEPTH:
            self.errors.append((line.opening or line.name).error(TOO_DEEP))
            return ()
        return tuple(self.lines(lines, depth))

    def word(self, token: Token) -> Token:
        unset: list[str] = []
        try:
            token = expand_token(token, self.environment, unset)
        except ConfigError as error:
            self.errors.append(error)
        for name in dict.fromkeys(unset):
            self.warn(token, f"environment variable '{name}' is not set")
        return token

    def warn(self, token: Token, message: str, hint: str = "") -> None:
        self.warnings.append(token.error(message, hint=hint, label=ConfigError.NO_POSITION))

    # Imports

    def imported(self, line: Line, *, inside: bool) -> Iterator[tuple[Token, ...]]:
        """What the import stands for, snippet or file by file; while one is in use it is on the stack."""
        try:
            pattern = self.word(self.import_argument(line))
            if not pattern.text:
                raise pattern.error("Import requires a non-empty filepath")
            if pattern.text in self.snippets:
                name = f"snippet {pattern.text}"
                self.count_snippet(pattern, name)
                with self.using(name):
                    yield self.snippets[pattern.text].body
                return
            paths = self.matches(pattern)
        except ConfigError as error:
            self.errors.append(error)
            return
        for path in paths:
            tokens = self.read(pattern, path)
            if tokens is not None:
                self.imports.setdefault(path, Import(path, pattern, inside))
                with self.using(path):
                    yield tokens

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        self.active.append(name)
        try:
            yield
        finally:
            self.active.pop()

    def import_argument(self, line: Line) -> Token:
        if len(line.args) > 1 or (line.args and line.opening):
            at = line.args[1] if len(line.args) > 1 else line.opening or line.name
            raise at.error("Import takes only one argument (glob pattern or file)")
        if not line.args:
            raise line.wrong_count()
        return line.args[0]

    def count_snippet(self, pattern: Token, name: str) -> None:
        self.snippet_imports += 1
        if name in self.active:
            raise pattern.error(_TOO_MANY_SNIPPETS, hint=self.cycle(name))
        if self.snippet_imports > _MAX_SNIPPET_IMPORTS or len(self.active) >= _MAX_NESTED_IMPORTS:
            raise pattern.error(_TOO_MANY_SNIPPETS, hint="imports are nested too deeply")

    def cycle(self, name: str) -> str:
        return "the imports go in a circle: " + " → ".join([*self.active[self.active.index(name) :], name])

    def matches(self, pattern: Token) -> list[str]:
        """The paths that an import names; none, with a warning, for a wildcard without matches. Raises ConfigError."""
        directory = self.source.directory if pattern.file == self.source.path else posixpath.dirname(pattern.file)
        path = posixpath.normpath(posixpath.join(directory, pattern.text))
        if "\0" in path:
            raise pattern.error(f"File to import not found: {pattern.text}")
        if path.count("*") > 1 or path.count("?") > 1 or ("[" in path and "]" in path):
            raise pattern.error(
                f"Glob pattern may only contain one wildcard (*), but has others: {path}",
                hint="write one import for each directory",
            )
        if "*" not in path and "?" not in path:
            return [path]
        matches = self.disk.glob(path)
        self.globs.append(Glob(path, tuple(matches)))
        self.patterns.append((pattern, path))
        if not matches:
            hint = f"nothing is imported here; there is no {path}"
            self.warn(pattern, f"No files matching import glob pattern: {pattern.text}", hint)
        return matches

    def read(self, pattern: Token, path: str) -> tuple[Token, ...] | None:
        try:
            return self.read_file(pattern, path)
        except ConfigError as error:
            self.errors.append(error)
            return None

    def read_file(self, pattern: Token, path: str) -> tuple[Token, ...]:
        self.file_imports += 1
        if path in self.active:
            raise pattern.error(_TOO_MANY_FILES, hint=self.cycle(path))
        if self.file_imports > _MAX_FILE_IMPORTS or len(self.active) >= _MAX_NESTED_IMPORTS:
            raise pattern.error(_TOO_MANY_FILES, hint="imports are nested too deeply")
        self.files[path] = None
        try:
            return self.tokens_of(self.disk.read(path), path)
        except FileNotFoundError:
            hint = f"no snippet of this name is defined above, and there is no file {path}"
            raise pattern.error(f"File to import not found: {pattern.text}", hint=hint) from None
        except IsADirectoryError:
            raise pattern.error(f"Could not import {path}: is a directory", hint=f"import {path}/*") from None
        except OSError as error:
            raise pattern.error(f"Could not import {path}: {error.strerror or error}") from None
