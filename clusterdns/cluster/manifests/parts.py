# SPDX-License-Identifier: Apache-2.0
"""The bytes of one manifest file to declared objects with their lines.

A YAML file is cut at its document markers, and each part is remembered by a digest: after an edit only the documents
that changed are parsed again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from clusterdns.cluster.declared import Declared, DeclaredKind
from clusterdns.cluster.decode import WANTED_KEYS, declare, declare_json, declared_kind
from clusterdns.cluster.manifests import yamltext
from clusterdns.cluster.objects import Key
from clusterdns.cluster.raw import RawHead
from clusterdns.errors import ManifestError, ObjectError

Ident: TypeAlias = tuple[DeclaredKind, Key]

_MARKER = re.compile(rb"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_DIRECTIVE = re.compile(rb"^%", re.MULTILINE)
_BYTE = re.compile(r"\(byte (\d+)\)")
_SPACE = re.compile(rb"[ \t\r\n]*")
_HEAD = msgspec.json.Decoder(RawHead)
_MAX_LOCATED = 10
"""Of so many faults in a part the field's own line is looked for; finding it takes as long as parsing the part."""


class Entry(msgspec.Struct, frozen=True):
    """One object, and the line that it starts in, counted from 1 within its part."""

    kind: DeclaredKind
    declared: Declared
    line: int


class Part(msgspec.Struct, frozen=True):
    """What a part of a file says. The lines of entries and faults count from 1 within the part."""

    entries: tuple[Entry, ...]
    faults: tuple[tuple[int, str], ...]
    ignored: dict[str, int]


class Content(msgspec.Struct, frozen=True):
    """What a file says: its parts by digest, its objects with their lines in the file, what is wrong, and how many
    objects of other kinds there are. ``broken``: something couldn't be read, so the objects are not all that there are.
    """

    parts: dict[bytes, Part]
    objects: dict[Ident, tuple[Declared, int]]
    problems: tuple[ManifestError, ...]
    ignored: dict[str, int]
    broken: bool


def parse_manifest(data: bytes, file: str, known: Mapping[bytes, Part] | None = None) -> Content:
    """Parse a file; ``file`` is its name in messages, and its end tells JSON from YAML.

    known: the parts of an earlier content of the file, taken over where they are the same.
    """
    try:
        data = _utf8(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Content({}, {}, (ManifestError("not UTF-8", file=file, line=line),), {}, True)
    parts: dict[bytes, Part] = {}
    objects: dict[Ident, tuple[Declared, int]] = {}
    problems: list[ManifestError] = []
    ignored: Counter[str] = Counter()
    broken = False
    line = 1
    for piece in _pieces(data, file):
        digest = blake2b(piece, digest_size=16).digest()
        part = parts.get(digest) or (known or {}).get(digest)
        if part is None:
            part = _parse_part(piece, file)
        parts[digest] = part
        ignored.update(part.ignored)
        broken = broken or bool(part.faults)
        problems.extend(ManifestError(reason, file=file, line=line + at - 1) for at, reason in part.faults)
        for entry in part.entries:
            ident = (entry.kind, entry.declared.key)
            if ident in objects:
                reason = (
                    f"{describe(ident)} is here again in line {line + entry.line - 1}, which is the one that counts"
                )
                problems.append(ManifestError(reason, file=file, line=objects[ident][1]))
            objects[ident] = (entry.declared, line + entry.line - 1)
        line += piece.count(b"\n")
    return Content(parts, objects, tuple(problems), dict(ignored), broken)


def describe(ident: Ident) -> str:
    """``Service dev/web``, ``Namespace dev``."""
    kind, (namespace, name) = ident
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _utf8(data: bytes) -> bytes:
    """The same in UTF-8 without a byte order mark. Raises UnicodeDecodeError."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16").encode()
    if not data.isascii():
        data.decode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _is_json(data: bytes, file: str) -> bool:
    return file.endswith(".json") or data[:256].lstrip()[:1] == b"{"


def _pieces(data: bytes, file: str) -> Iterator[bytes]:
    """The file, cut where documents start. A marker in the first column always starts one (YAML 1.2 section 9.1.2), but
    directives before it belong to it: a file with any is left whole.
    """
    if _is_json(data, file) or _DIRECTIVE.search(data):
        yield data
        return
    start = 0
    for marker in _MARKER.finditer(data):
        if marker.start() > start:
            yield data[start : marker.start()]
        start = marker.start()
    yield data[start:]


def _parse_part(data: bytes, file: str) -> Part:
    reader = _Reader(file)
    if _is_json(data, file):
        if reader.read_json(data) or file.endswith(".json"):
            return reader.part()
        reader = _Reader(file)
    reader.read_yaml(data)
    return reader.part()


class _Place(msgspec.Struct):
    """Where an object is in a text: the document's number and the path in it."""

    data: bytes
    document: int
    path: str


class _Reader:
    """Collects what is in one part."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.entries: list[Entry] = []
        self.faults: list[tuple[int, str]] = []
        self.ignored: Counter[str] = Counter()

    def part(self) -> Part:
        return Part(tuple(self.entries), tuple(self.faults), dict(self.ignored))

    def read_yaml(self, data: bytes) -> None:
        try:
            for document in yamltext.read_documents(data, WANTED_KEYS):
                kind = _text(document.value, "kind")
                if not kind.endswith("List") or document.items is None:
                    self.read_value(document.value, kind, document.line, _Place(data, document.number, ""))
                    continue
                for index, (value, line) in enumerate(document.items):
                    inner = _text(value, "kind") or kind.removesuffix("List")
                    self.read_value(value, inner, line, _Place(data, document.number, f"items[{index}]."))
        except ManifestError as error:
            self.faults.append((error.line, error.reason))

    def read_value(self, value: object, kind: str, line: int, place: _Place) -> None:
        known = self.known_kind(_text(value, "apiVersion"), kind, line)
        if known is None:
            return
        try:
            self.entries.append(Entry(known, declare(known, value), line))
        except ObjectError as error:
            self.faults.append((self.line_of(place, error.field, line), str(error)))

    def line_of(self, place: _Place, field: str, line: int) -> int:
        """The field's line; the object's own, which is given, where it can't be found or there are many faults."""
        if not field or len(self.faults) >= _MAX_LOCATED:
            return line
        try:
            return yamltext.line_of(place.data, place.document, place.path + field)
        except ManifestError:
            return line

    def known_kind(self, api_version: str | None, kind: str, line: int) -> DeclaredKind | None:
        if not kind:
            self.faults.append((line, "not a Kubernetes object: it has no kind"))
            return None
        known = declared_kind(api_version, kind)
        if known is None:
            self.ignored[kind] += 1
        return known

    def read_json(self, data: bytes) -> bool:
        """Read JSON documents, one after the other. Returns whether it is JSON at all."""
        view = memoryview(data)
        start = _skip_space(data, 0)
        line = 1 + data.count(b"\n", 0, start)
        while start < len(data):
            try:
                head, size = _first_document(view[start:])
            except msgspec.ValidationError as error:
                self.faults.append((line, _reason(error)))
                return True
            except msgspec.DecodeError as error:
                found = _BYTE.search(str(error))
                at = start + int(found[1]) - 1 if found else len(data.rstrip())
                self.faults.append((line + data.count(b"\n", start, at), _BYTE.sub("", str(error)).rstrip()))
                return False
            self.read_document(data[start : start + size], head, line)
            end = _skip_space(data, start + size)
            line += data.count(b"\n", start, end)
            start = end
        return True

    def read_document(self, data: bytes, head: RawHead, line: int) -> None:
        kind = head.kind or ""
        if not kind.endswith("List") or head.items is None:
            self.read_object(data, head.api_version, kind, line)
            return
        position = 0
        for item in head.items:
            document = bytes(item)
            at = data.find(document, position)
            line += data.count(b"\n", position, at)
            try:
                inner = _HEAD.decode(document)
            except msgspec.ValidationError as error:
                self.faults.append((line, _reason(error)))
            else:
                self.read_object(document, inner.api_version, inner.kind or kind.removesuffix("List"), line)
            position = at

    def read_object(self, data: bytes, api_version: str | None, kind: str, line: int) -> None:
        known = self.known_kind(api_version, kind, line)
        if known is None:
            return
        try:
            self.entries.append(Entry(known, declare_json(known, data), line))
        except ObjectError as error:
            below = self.line_of(_Place(data, 0, ""), error.field, 1) - 1  # JSON is YAML
            self.faults.append((line + below, str(error)))


def _skip_space(data: bytes, start: int) -> int:
    found = _SPACE.match(data, start)
    return found.end() if found else start


def _first_document(view: memoryview) -> tuple[RawHead, int]:
    """The head of the JSON document that the bytes begin with, and its size in bytes."""
    try:
        return _HEAD.decode(view), len(view)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        found = _BYTE.search(str(error))
        if found is None or "trailing characters" not in str(error):
            raise
    size = int(found[1]) - 1  # counted from 1
    return _HEAD.decode(view[:size]), size


def _reason(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "").replace(" | null", "")


def _text(value: object, key: str) -> str:
    """The text under a key of a mapping; empty for everything else."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
