# SPDX-License-Identifier: Apache-2.0
"""Go's string literals: ``strconv.Quote``, ``QuoteToASCII`` and ``Unquote``.

Go strings are bytes. Here they are ``str``; a byte that is not valid UTF-8 is carried as a lone surrogate, as by
Python's ``surrogateescape``, so that nothing is lost on the way from a literal to a record.
"""

from __future__ import annotations

from clusterdns.errors import ExpressionError

_NAMED = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}
_NAMES = {name: char for char, name in _NAMED.items()} | {"\\": "\\"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_OCTAL = frozenset("01234567")
_HEX = frozenset("0123456789abcdefABCDEF")


def quote(text: str, *, ascii_only: bool = False, mark: str = '"') -> str:
    """``text`` as a Go literal in double quotes; ``mark`` may be ``'`` for a character literal."""
    return mark + "".join(_escape(char, ascii_only, mark) for char in text) + mark


def _escape(char: str, ascii_only: bool, mark: str) -> str:
    if char in (mark, "\\"):
        return "\\" + char
    if " " <= char <= "~":
        return char
    if char in _NAMED:
        return "\\" + _NAMED[char]
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if not ascii_only and char.isprintable():
        return char
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_bytes(text: str) -> bytes:
    """``text`` as Go keeps it: UTF-8, with lone bytes restored."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def to_text(data: bytes) -> str:
    """The inverse of to_bytes."""
    return data.decode("utf-8", "surrogateescape")


def unquote(literal: str) -> str:
    """The text that a Go literal stands for: ``"…"``, ``'c'`` or a raw one in backquotes.

    Raises ExpressionError ``invalid syntax``.
    """
    mark = literal[:1]
    if len(literal) < 2 or mark not in ('"', "'", "`") or literal[-1] != mark:
        raise ExpressionError("invalid syntax")
    body = literal[1:-1]
    if mark == "`":
        if "`" in body:
            raise ExpressionError("invalid syntax")
        return body.replace("\r", "")
    if "\n" in body:
        raise ExpressionError("invalid syntax")
    text = _unescape(body, mark)
    if mark == "'" and len(text) != 1:
        raise ExpressionError("invalid syntax")
    return text


def _unescape(body: str, mark: str) -> str:
    if "\\" not in body:
        if mark in body:
            raise ExpressionError("invalid syntax")
        return body
    # Bytes, because "\xc3\xa9" in a Go literal is one character.
    pieces = bytearray()
    at = 0
    while at < len(body):
        if body[at] == mark:
            raise ExpressionError("invalid syntax", at)
        if body[at] != "\\":
            pieces += to_bytes(body[at])
            at += 1
            continue
        piece, at = _unescape_one(body, at + 1, mark)
        pieces += piece
    return to_text(bytes(pieces))


def _unescape_one(body: str, at: int, mark: str) -> tuple[bytes, int]:
    name = body[at : at + 1]
    if name in _NAMES or name == mark:
        return _NAMES.get(name, name).encode(), at + 1
    if name in _HEX_DIGITS:
        digits = body[at + 1 : at + 1 + _HEX_DIGITS[name]]
        if len(digits) != _HEX_DIGITS[name] or not _HEX.issuperset(digits):
            raise ExpressionError("invalid syntax", at)
        code = int(digits, 16)
        if name == "x":
            return bytes((code,)), at + 3
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise ExpressionError("invalid syntax", at)
        return chr(code).encode(), at + 1 + len(digits)
    digits = body[at : at + 3]
    if len(digits) != 3 or not _OCTAL.issuperset(digits) or int(digits, 8) > 0xFF:
        raise ExpressionError("invalid syntax", at)
    return bytes((int(digits, 8),)), at + 3
