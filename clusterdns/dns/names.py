# SPDX-License-Identifier: Apache-2.0
"""Domain names as uncompressed wire bytes: length octet, label, …, zero octet (RFC 1035 section 3.1).

Bytes are the only form inside the server. Lower-casing may treat the whole name at once: length octets are at most 63,
below ``A`` (65), so ``bytes.lower`` never changes them (RFC 4343 defines case for ASCII only).
"""

from __future__ import annotations

from typing import Final

from clusterdns.errors import WireError

ROOT: Final = b"\x00"
MAX_NAME_BYTES: Final = 255
MAX_LABEL_BYTES: Final = 63

_ESCAPED: Final = frozenset(b""". '@;()"\\""")


def from_text(text: str, origin: bytes = ROOT) -> bytes:
    r"""The name written as ``text``, with ``\.`` and ``\DDD`` escapes (RFC 1035 section 5.1).

    A name without a final dot is completed by ``origin``; ``@`` alone is the origin. Raises WireError.
    """
    if text == "@":
        return origin
    if text in (".", ""):
        return ROOT
    raw = text.encode("utf-8", "surrogateescape")
    labels: list[bytes] = []
    if b"\\" in raw:
        absolute = _unescape_labels(raw, labels, text)
    else:
        parts = raw.split(b".")
        absolute = not parts[-1]
        if absolute:
            parts.pop()
        labels = [_checked_label(part, text) for part in parts]
    name = b"".join(labels) + (ROOT if absolute else origin)
    if len(name) > MAX_NAME_BYTES:
        raise WireError(f"name is longer than {MAX_NAME_BYTES} octets: {text[:80]}")
    return name


def _unescape_labels(raw: bytes, labels: list[bytes], text: str) -> bool:
    """Add the labels in ``raw`` to ``labels``; True if a dot ends the name."""
    label = bytearray()
    absolute = False
    position = 0
    while position < len(raw):
        octet = raw[position]
        position += 1
        absolute = octet == 0x2E
        if absolute:
            labels.append(_checked_label(label, text))
            label = bytearray()
        elif octet == 0x5C:
            octet, position = _unescape(raw, position, text)
            label.append(octet)
        else:
            label.append(octet)
    if not absolute:
        labels.append(_checked_label(label, text))
    return absolute


def _checked_label(label: bytes | bytearray, text: str) -> bytes:
    if not label:
        raise WireError(f"empty label in name: {text[:80]}")
    if len(label) > MAX_LABEL_BYTES:
        raise WireError(f"label is longer than {MAX_LABEL_BYTES} octets in name: {text[:80]}")
    return bytes((len(label),)) + label


def _unescape(raw: bytes, position: int, text: str) -> tuple[int, int]:
    digits = raw[position : position + 3]
    if len(digits) == 3 and digits.isdigit():
        value = int(digits)
        if value > 255:
            raise WireError(f"bad escape in name: {text[:80]}")
        return value, position + 3
    if position >= len(raw):
        raise WireError(f"bad escape in name: {text[:80]}")
    return raw[position], position + 1


def labels(name: bytes) -> list[bytes]:
    """The labels, leftmost first, without the root."""
    result = []
    position = 0
    while length := name[position]:
        result.append(name[position + 1 : position + 1 + length])
        position += 1 + length
    return result


def from_labels(parts: list[bytes], suffix: bytes = ROOT) -> bytes:
    """The name made of the labels, leftmost first, in front of ``suffix``. Labels are taken as they are."""
    return b"".join([bytes((len(part),)) + part for part in parts]) + suffix


def label_text(label: bytes) -> str:
    r"""One label as text, with special octets escaped (RFC 1035 section 5.1)."""
    if label.isalnum():
        return label.decode("ascii")
    out = []
    for octet in label:
        if octet in _ESCAPED:
            out.append("\\" + chr(octet))
        elif 0x21 <= octet <= 0x7E:
            out.append(chr(octet))
        else:
            out.append(f"\\{octet:03d}")
    return "".join(out)


def to_text(name: bytes) -> str:
    """The absolute name as text, with final dot."""
    return ".".join([label_text(label) for label in labels(name)]) + "."


def parent(name: bytes) -> bytes:
    """The name without its leftmost label; the root's parent is the root."""
    return name[1 + name[0] :] if name[0] else name


def suffix_offset(name: bytes, zone: bytes) -> int:
    """Where ``zone`` starts in ``name``, on a label boundary; -1 if the name is not in the zone.

    Both must be lower case. A plain ``endswith`` would take the inside of a hostile label for a boundary.
    """
    start = len(name) - len(zone)
    if start < 0 or not name.endswith(zone):
        return -1
    position = 0
    while position < start:
        position += 1 + name[position]
    return start if position == start else -1


def is_in(name: bytes, zone: bytes) -> bool:
    """True if ``name`` is ``zone`` or below it; both lower case."""
    return suffix_offset(name, zone) >= 0


def suffixes(name: bytes) -> list[bytes]:
    """The name and all its ancestors up to the root, longest first."""
    result = [name]
    position = 0
    while length := name[position]:
        position += 1 + length
        result.append(name[position:])
    return result
