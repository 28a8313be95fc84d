# SPDX-License-Identifier: Apache-2.0
"""YAML text to plain values with the lines that they start in. The owner of PyYAML.

Values are made straight from the parser's events, and only what is wanted of them: a tree of nodes for the output of
``kubectl get -o yaml`` would take fifty times the memory of the text.

Plain scalars mean what they mean to kubectl. PyYAML's own rules would make dates of ``2026-11-21`` and numbers to base
60 of some IPv6 addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from clusterdns.cluster.raw import Keys
from clusterdns.errors import ManifestError

_TAG = "tag:yaml.org,2002:"
_WORDS: dict[str, bool | None] = {
    spelling: value
    for word, value in (
        ("true", True),
        ("yes", True),
        ("on", True),
        ("false", False),
        ("no", False),
        ("off", False),
        ("null", None),
    )
    for spelling in (word, word.capitalize(), word.upper())
} | {"~": None, "": None}
_RESOLVED_TAGS = frozenset(f"{_TAG}{name}" for name in ("bool", "int", "float", "null"))
_NUMBER_START = frozenset("-+.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class Document(msgspec.Struct):
    """One document of a text: ``number`` counts them from 0, ``line`` lines from 1.

    ``value`` is a dict, list or scalar. A dict comes without its ``items``: they are apart, each with its line, and
    None where there are none or they aren't a sequence.
    """

    number: int
    line: int
    value: Any
    items: list[tuple[Any, int]] | None = None


def read_documents(data: bytes, keys: Keys) -> Iterator[Document]:
    """The documents of a text that aren't empty.

    Of mappings only the given keys are kept, except below an anchor; ``keys`` are those of a document and of each item.
    Raises ManifestError, without a file, at the line that YAML's own mark has.
    """
    with _events(data) as events:
        number = 0
        while events.next_document():
            document = events.document(number, keys)
            if document.value is not None:
                yield document
            number += 1


def line_of(data: bytes, number: int, path: str) -> int:
    """The line, from 1, of a field like ``items[2].spec.ports[0].port`` in the document with that number, or of the
    nearest thing above it. Raises ManifestError for what isn't YAML.
    """
    with _events(data) as events:
        for _ in range(number):
            events.next_document()
            events.skip()
        events.next_document()
        return events.locate(re.findall(r"[^.\[\]]+", path)) + 1


@contextmanager
def _events(data: bytes) -> Iterator[_Events]:
    """The events of a text; what PyYAML raises becomes a ManifestError."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    parser = None
    try:
        parser = loader(data)
        yield _Events(parser, yaml)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last_line = max(data.count(b"\n") + (not data.endswith(b"\n")), 1)  # the mark can be after the end
        raise ManifestError(_reason(error, data), file="", line=min(mark.line + 1, last_line) if mark else 1) from None
    except yaml.reader.ReaderError as error:
        line = data.count(b"\n", 0, error.position) + 1
        raise ManifestError(f"character #x{error.character:02x}: {error.reason}", file="", line=line) from None
    except yaml.YAMLError as error:
        raise ManifestError(" ".join(str(error).split()), file="", line=1) from None
    except RecursionError:
        raise ManifestError("nested too deeply", file="", line=1) from None
    finally:
        if parser is not None:
            parser.dispose()


def _reason(error: Any, data: bytes) -> str:
    if error.problem == "found character that cannot start any token":
        line = data.split(b"\n", error.problem_mark.line + 1)[error.problem_mark.line].decode()
        character = line[error.problem_mark.column : error.problem_mark.column + 1]
        if character == "\t":
            return "found a tab: YAML is indented with spaces only"
        return f"found {character!r}, which can't begin a value without quotes"
    return ", ".join(filter(None, (error.context, error.problem))) or "not YAML"


class _Events:
    """A recursive descent over the events of one text."""

    def __init__(self, parser: Any, yaml: Any) -> None:
        self.take = parser.get_event
        self.at = parser.check_event
        self.scalar: Any = yaml.ScalarEvent
        self.alias: Any = yaml.AliasEvent
        self.mapping: Any = yaml.MappingStartEvent
        self.sequence: Any = yaml.SequenceStartEvent
        self.ends: tuple[type, ...] = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        self.between: tuple[type, ...] = (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
        self.stream_end: type = yaml.StreamEndEvent
        self.anchors: dict[str, Any] = {}

    def next_document(self) -> bool:
        """Go to the root of the next document; False at the end of the text."""
        self.anchors.clear()
        while self.at(*self.between):
            self.take()
        return not self.at(self.stream_end)

    def document(self, number: int, keys: Keys) -> Document:
        start = self.take()
        line = start.start_mark.line + 1
        if not isinstance(start, self.mapping) or start.anchor:
            return Document(number, line, self.value(start, keys))
        items: list[tuple[Any, int]] = []
        value = self.pairs(keys, items)
        return Document(number, line, value, items if value.pop("items", None) is not None else None)

    def value(self, event: Any, keys: Keys | None) -> Any:
        """The value that begins with the event."""
        if isinstance(event, self.scalar):
            value = _scalar(event)
        elif isinstance(event, self.alias):
            if event.anchor not in self.anchors:
                raise ManifestError(f"undefined alias {event.anchor!r}", file="", line=event.start_mark.line + 1)
            return self.anchors[event.anchor]
        elif isinstance(event, self.sequence):
            wanted = None if event.anchor else keys
            value = []
            while not self.at(*self.ends):
                value.append(self.value(self.take(), wanted))
            self.take()
        else:
            value = self.pairs(None if event.anchor else keys)
        if event.anchor:
            self.anchors[event.anchor] = value
        return value

    def pairs(self, keys: Keys | None, items: list[tuple[Any, int]] | None = None) -> dict[str, Any]:
        """The rest of a mapping whose start is taken. ``items``, where given, takes the elements of the value under
        that key, which is then an empty list.
        """
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not self.at(*self.ends):
            start = self.take()
            name = self.value(start, None)
            if isinstance(start, self.scalar):
                name = start.value
            if name == "<<" and start.implicit[0]:
                _merge(merged, self.value(self.take(), keys))
            elif not isinstance(name, str):
                self.skip()
            elif name == "items" and items is not None and self.at(self.sequence):
                own[name] = self.value_of_items(keys, items)
            elif keys is None:
                own[name] = self.value(self.take(), None)
            elif name in keys:
                own[name] = self.value(self.take(), keys[name])
            else:
                self.skip()
        self.take()
        return {**merged, **own} if merged else own

    def value_of_items(self, keys: Keys | None, items: list[tuple[Any, int]]) -> list[Any]:
        start = self.take()
        while not self.at(*self.ends):
            event = self.take()
            items.append((self.value(event, None if start.anchor else keys), event.start_mark.line + 1))
        self.take()
        return []

    def skip(self) -> None:
        """Pass over one value; what has an anchor in it is kept."""
        depth = 0
        while True:
            event = self.take()
            if isinstance(event, self.ends):
                depth -= 1
            elif not isinstance(event, self.alias) and event.anchor:
                self.value(event, None)
            elif isinstance(event, (self.mapping, self.sequence)):
                depth += 1
            if depth == 0:
                return

    def locate(self, steps: list[str], key_line: int | None = None) -> int:
        """The line, from 0, of the key or element that the steps lead to. ``key_line`` is that of the value's key."""
        start = self.take()
        line: int = start.start_mark.line if key_line is None else key_line
        index = 0
        while isinstance(start, (self.mapping, self.sequence)) and steps and not self.at(*self.ends):
            below_line = None
            name = str(index)
            if isinstance(start, self.mapping):
                key = self.take()
                below_line = key.start_mark.line
                name = key.value if isinstance(key, self.scalar) else ""
            if name == steps[0]:
                return self.locate(steps[1:], below_line)
            self.skip()
            index += 1
        return line


def _merge(merged: dict[str, Any], value: Any) -> None:
    """The YAML merge key: a mapping or a list of them, of which the first wins."""
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            for key, below in part.items():
                merged.setdefault(key, below)


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        return _plain(text) if event.implicit[0] else text
    return _plain(text) if tag in _RESOLVED_TAGS else text


def _plain(text: str) -> Any:
    """What a scalar without quotes is."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int | str:
    digits = text.replace("_", "").lstrip("+-")
    base = 10
    if len(digits) > 1 and digits[0] == "0":
        base = {"x": 16, "b": 2}.get(digits[1], 8)
        digits = digits[1:].lstrip("xbo")
    try:
        number = int(digits, base)
    except ValueError:  # more digits than Python reads
        return text
    return -number if text.startswith("-") else number
