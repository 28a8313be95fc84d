# SPDX-License-Identifier: Apache-2.0
r"""Resource records in zone-file syntax (RFC 1035 section 5, RFC 3597 section 5).

Words are split at blanks; ``"…"`` keeps blanks, parentheses let a record go on over line ends, ``;`` starts a comment.
Escapes (``\X``, ``\DDD``) stay in the words until a field knows what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator

from clusterdns.dns import names
from clusterdns.dns.records.fields import Word, parse_ttl
from clusterdns.dns.records.table import decode_data, encode_data
from clusterdns.dns.types import IN, class_text, parse_class, parse_type, type_text
from clusterdns.dns.wire import Record
from clusterdns.errors import WireError

_BLANKS = " \t\r"
_ENDS = frozenset(' \t\r\n"();')


def parse_record(text: str, origin: bytes = names.ROOT, default_ttl: int = 3600) -> Record:
    """The one record in ``text``: ``NAME [TTL] [CLASS] TYPE DATA…``, TTL and class in either order.

    origin: completes relative names. default_ttl: seconds, for a record without a TTL. Blanks before the name don't
    count, control entries (``$ORIGIN``) are refused. Raises WireError, whose text says what is wrong.
    """
    lines = [words for words in _lines(text) if words]
    if not lines:
        raise WireError("no record")
    if len(lines) > 1:
        raise WireError(f"more than one record: {lines[1][0].text[:40]}")
    return _record(lines[0], origin, default_ttl)


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


def _record(words: list[Word], origin: bytes, default_ttl: int) -> Record:
    owner = words[0].text
    if owner.startswith("$"):
        raise WireError(f"control entries are not allowed here: {owner[:40]}")
    name = names.from_text(owner, origin)
    ttl: int | None = None
    rclass: int | None = None
    rtype: int | None = None
    position = 1
    while rtype is None:
        if position >= len(words):
            raise WireError("record type is missing")
        word = words[position].text
        position += 1
        if ttl is None and (seconds := parse_ttl(word)) is not None:
            ttl = seconds
        elif rclass is None and (number := parse_class(word)) is not None:
            rclass = number
        else:
            rtype = parse_type(word)
            if rtype is None:
                raise WireError(f"not a record type: {word[:40]}")
    try:
        data = encode_data(rtype, words[position:], origin)
    except WireError as error:
        raise WireError(f"{type_text(rtype)} record: {error}") from None
    return Record(name, rtype, default_ttl if ttl is None else ttl, data, IN if rclass is None else rclass)


def _lines(text: str) -> Iterator[list[Word]]:
    """The words of each line; parentheses join lines. Raises WireError."""
    words: list[Word] = []
    depth = 0
    position = 0
    while position < len(text):
        char = text[position]
        if char in _BLANKS:
            position += 1
        elif char == "\n":
            position += 1
            if not depth:
                yield words
                words = []
        elif char == ";":
            position = _find_end(text, position, "\n")
        elif char == "(":
            depth += 1
            position += 1
        elif char == ")":
            if not depth:
                raise WireError("closing parenthesis without an opening one")
            depth -= 1
            position += 1
        elif char == '"':
            end = _closing_quote(text, position + 1)
            words.append(Word(text[position + 1 : end], quoted=True))
            position = end + 1
        else:
            end = _word_end(text, position)
            words.append(Word(text[position:end]))
            position = end
    if depth:
        raise WireError("parenthesis is not closed")
    yield words


def _find_end(text: str, position: int, mark: str) -> int:
    end = text.find(mark, position)
    return end if end >= 0 else len(text)


def _word_end(text: str, position: int) -> int:
    while position < len(text) and text[position] not in _ENDS:
        position += 2 if text[position] == "\\" else 1
    return min(position, len(text))


def _closing_quote(text: str, position: int) -> int:
    while position < len(text):
        if text[position] == '"':
            return position
        position += 2 if text[position] == "\\" else 1
    raise WireError("quotation mark is not closed")
