# SPDX-License-Identifier: Apache-2.0
r"""Zone files (RFC 1035 section 5, RFC 2308 section 4, RFC 3597 section 5) and single records in their syntax.

Words are split at blanks; ``"…"`` keeps blanks, parentheses let a record go on over line ends, ``;`` starts a comment.
Escapes (``\X``, ``\DDD``) stay in the words until a field knows what they mean. Control entries are ``$ORIGIN``,
``$TTL``, ``$INCLUDE`` and ``$GENERATE``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from clusterdns.dns import names
from clusterdns.dns.generate import GeneratedRange, parse_range
from clusterdns.dns.records.fields import Word, parse_ttl
from clusterdns.dns.records.table import decode_data, encode_data
from clusterdns.dns.types import IN, SOA, class_text, parse_class, parse_type, type_text
from clusterdns.dns.wire import Record
from clusterdns.errors import MasterFileError, WireError

MAX_INCLUDE_DEPTH: Final = 7
"""Files that may include one another; also ends a file that includes itself."""

MAX_GENERATED: Final = 1_048_576
"""Records that the ``$GENERATE`` lines of a zone may make together: sixteen reverse zones of 65,536 addresses."""

_TTL: Final = "ttl"
_CLASS: Final = "class"
_TYPE: Final = "type"

_SPECIAL: Final = re.compile(r'["();\\]')
_PIECE: Final = re.compile(
    r'(?P<blank>[ \t\r]+|;[^\n]*)|(?P<end>\n)|(?P<mark>[()])|"(?P<quoted>(?:[^"\\]++|\\[\s\S])*+)"'
    r'|(?P<word>(?:[^ \t\r\n"();\\]++|\\[\s\S])++\\?|\\)'
)


def parse_record(text: str, origin: bytes = names.ROOT, default_ttl: int = 3600) -> Record:
    """The one record in ``text``: ``NAME [TTL] [CLASS] TYPE DATA…``, TTL and class in either order.

    origin: completes relative names. default_ttl: seconds, for a record without a TTL. Blanks before the name don't
    count, control entries (``$ORIGIN``) are refused. Raises WireError, whose text says what is wrong.
    """
    try:
        lines = [words for _, _, words in _entries(text)]
    except MasterFileError as error:
        raise WireError(error.reason) from None
    if not lines:
        raise WireError("no record")
    if len(lines) > 1:
        raise WireError(f"more than one record: {lines[1][0].text[:40]}")
    words = lines[0]
    owner = words[0].text
    if owner.startswith("$"):
        raise WireError(f"control entries are not allowed here: {owner[:40]}")
    name = names.from_text(owner, origin)
    ttl, rclass, rtype, data = _parse_rest(words, 1, origin)
    return Record(name, rtype, default_ttl if ttl is None else ttl, data, rclass)


def record_text(record: Record) -> str:
    """A record as one line of a zone file, its parts separated by tabs."""
    return "\t".join(
        (
            names.to_text(record.name),
            str(record.ttl),
            class_text(record.rclass),
            type_text(record.rtype),
            decode_data(record.rtype, record.data),
        )
    )


def _no_files(path: str) -> str:
    raise PermissionError(1, "files can't be included here", path)


def parse_file(text: str, origin: bytes, *, file: str = "", read: Callable[[str], str] = _no_files) -> Iterator[Record]:
    """The records of a zone file, one by one, as they stand there.

    origin: the zone, which completes relative names until ``$ORIGIN`` says otherwise.
    file: its path, for messages and for relative ``$INCLUDE`` paths.
    read: gives the text of an included file; may raise OSError.
    Raises MasterFileError with file and line.
    """
    return _FileReader(read).records(text, origin, file, 0)


class _FileReader:
    """What a zone file and the files that it includes have in common: the last TTL and what is left of the limits."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read = read
        self._default_ttl: int | None = None
        self._last_ttl: int | None = None
        self._generated = 0

    def records(self, text: str, origin: bytes, file: str, depth: int) -> Iterator[Record]:
        owner: bytes | None = None
        line = 0
        try:
            for number, indented, words in _entries(text):
                line = number
                first = words[0].text
                if first[:1] == "$" and not indented and not words[0].quoted:
                    control = first.upper()
                    if control == "$ORIGIN":
                        origin = names.from_text(_arguments(words, 1)[0], origin)
                    elif control == "$TTL":
                        self._default_ttl = _checked_ttl(_arguments(words, 1)[0])
                    elif control == "$INCLUDE":
                        yield from self._included(_arguments(words, 1, 2), origin, file, depth)
                    elif control == "$GENERATE":
                        yield from self._generate(parse_range(words), words, origin)
                    else:
                        raise WireError(f"unknown control entry: {first[:40]}")
                    continue
                if not indented:
                    owner = names.from_text(first, origin)
                elif owner is None:
                    raise WireError("the first record has no name")
                yield self._record(owner, words, 0 if indented else 1, origin)
        except WireError as error:
            raise MasterFileError(str(error), file=file, line=line) from None
        except MasterFileError as error:
            raise error if error.file else MasterFileError(error.reason, file=file, line=error.line) from None

    def _record(self, owner: bytes, words: list[Word], position: int, origin: bytes) -> Record:
        ttl, rclass, rtype, data = _parse_rest(words, position, origin)
        if ttl is not None:
            self._last_ttl = ttl
        elif self._default_ttl is not None:
            ttl = self._default_ttl
        elif self._last_ttl is not None:
            ttl = self._last_ttl
        elif rtype == SOA:
            ttl = self._last_ttl = int.from_bytes(data[-4:], "big")
        else:
            raise WireError("the record has no TTL, and there is none to take over: begin the file with $TTL")
        return Record(owner, rtype, ttl, data, rclass)

    def _included(self, words: list[str], origin: bytes, file: str, depth: int) -> Iterator[Record]:
        """The records of another file. What it says of origin and owner ends with it (RFC 1035 section 5.1)."""
        if depth >= MAX_INCLUDE_DEPTH:
            raise WireError(f"more than {MAX_INCLUDE_DEPTH} files include one another")
        path = posixpath.join(posixpath.dirname(file), words[0])
        if len(words) > 1:
            origin = names.from_text(words[1], origin)
        try:
            text = self._read(path)
        except OSError as error:
            raise WireError(f"can't include {path}: {error.strerror or error}") from None
        return self.records(text, origin, path, depth + 1)

    def _generate(self, numbers: GeneratedRange, words: list[Word], origin: bytes) -> Iterator[Record]:
        self._generated += len(numbers)
        if self._generated > MAX_GENERATED:
            raise WireError(f"$GENERATE makes more than {MAX_GENERATED} records")
        for line in numbers.lines(words[2:]):
            yield self._record(names.from_text(line[0].text, origin), line, 1, origin)


def _arguments(words: list[Word], least: int, most: int = 0) -> list[str]:
    arguments = [word.text for word in words[1:]]
    if len(arguments) < least:
        raise WireError(f"{words[0].text} needs an argument")
    if len(arguments) > (most or least):
        raise WireError(f"too many arguments of {words[0].text}: {arguments[most or least][:40]}")
    return arguments


def _checked_ttl(text: str) -> int:
    seconds = parse_ttl(text)
    if seconds is None:
        raise WireError(f"not a TTL: {text[:40]}")
    return seconds


@lru_cache(maxsize=512)
def _kinds(text: str) -> dict[str, int]:
    """What the word of a record in front of its data may be."""
    kinds = {_TTL: parse_ttl(text), _CLASS: parse_class(text), _TYPE: parse_type(text)}
    return {kind: value for kind, value in kinds.items() if value is not None}


def _parse_rest(words: list[Word], position: int, origin: bytes) -> tuple[int | None, int, int, bytes]:
    """TTL (None without one), class, type and data, from the word at ``position`` on."""
    ttl: int | None = None
    rclass: int | None = None
    while True:
        if position >= len(words):
            raise WireError("record type is missing")
        word = words[position].text
        kinds = _kinds(word)
        position += 1
        if ttl is None and _TTL in kinds:
            ttl = kinds[_TTL]
        elif rclass is None and _CLASS in kinds:
            rclass = kinds[_CLASS]
        elif _TYPE in kinds:
            rtype = kinds[_TYPE]
            break
        else:
            raise WireError(f"not a record type: {word[:40]}")
    try:
        data = encode_data(rtype, words[position:], origin)
    except WireError as error:
        raise WireError(f"{type_text(rtype)} record: {error}") from None
    return ttl, IN if rclass is None else rclass, rtype, data


def _entries(text: str) -> Iterator[tuple[int, bool, list[Word]]]:
    """The entries that aren't empty: line (from 1), whether a blank stands in front, words. Raises MasterFileError."""
    position = 0
    number = 0
    size = len(text)
    special = _SPECIAL.search
    while position < size:
        end = text.find("\n", position)
        if end < 0:
            end = size
        number += 1
        indented = text[position] in " \t"
        if special(text, position, end) is None:
            words = [Word(part) for part in text[position:end].split()]
            position = end + 1
            if words:
                yield number, indented, words
            continue
        words, end = _special_entry(text, position, number)
        if words:
            yield number, indented, words
        number += text.count("\n", position, end) - 1
        position = end


def _special_entry(text: str, position: int, number: int) -> tuple[list[Word], int]:
    """The words of an entry with quotes, escapes, comments or parentheses, and where the next one starts."""
    words: list[Word] = []
    opened: list[int] = []
    start = position
    size = len(text)
    while position < size:
        piece = _PIECE.match(text, position)
        if piece is None:  # only a quotation mark begins nothing
            raise MasterFileError("quotation mark is not closed", line=number + text.count("\n", start, position))
        position = piece.end()
        kind = piece.lastgroup
        if kind == "word":
            words.append(Word(piece["word"]))
        elif kind == "quoted":
            words.append(Word(piece["quoted"], quoted=True))
        elif kind == "end":
            if not opened:
                return words, position
        elif kind == "mark":
            if piece["mark"] == "(":
                opened.append(piece.start())
            elif opened:
                opened.pop()
            else:
                line = number + text.count("\n", start, position)
                raise MasterFileError("closing parenthesis without an opening one", line=line)
    if opened:
        line = number + text.count("\n", start, opened[-1])
        raise MasterFileError("parenthesis is not closed", line=line)
    return words, position
