# SPDX-License-Identifier: Apache-2.0
"""Bodies of an API server, cut into objects while they come.

A list is one JSON document: hundreds of megabytes for a large cluster, if it comes whole. It is cut between its items
without being parsed for that. Items are written by one program and so begin with the same octets, ``{"metadata":`` for
the kinds of Kubernetes itself; these octets behind ``},`` can't be inside a string, where quotes are escaped. They may
be deeper in an item, but then what is in front of the cut isn't whole and can't be decoded: a cut that was decoded was
right. Whoever writes otherwise is read at the end of the body, up to a limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from clusterdns.cluster.items import Item
from clusterdns.errors import ApiError

SLICE_BYTES: Final = 64 * 1024
"""About what is decoded in one go, in a millisecond or two."""

MAX_HELD_BYTES: Final = 32 * 1024 * 1024
"""Of a line, of an item, and of the whole body of a list that can't be cut. etcd takes objects of up to 1.5 MiB."""

_ITEMS = re.compile(rb'"items"\s*:\s*\[')
_BEGINNING = re.compile(rb'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:')


class _ListMeta(msgspec.Struct, rename="camel", gc=False):
    resource_version: str | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")
    remaining_item_count: int | None = None


class _List(msgspec.Struct, gc=False):
    metadata: _ListMeta | None = None
    items: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_LIST = msgspec.json.Decoder(_List)


class ListBody:
    """A list while it comes.

    decode: makes items of a JSON array of them; raises msgspec.DecodeError if it isn't one.

    revision: metadata.resourceVersion, once it has come; CustomResourceDefinitions have it behind the items.
    token: metadata.continue, remaining: metadata.remainingItemCount; known at the end.
    """

    def __init__(self, decode: Callable[[bytes], list[Item]]) -> None:
        self.revision = ""
        self.token = ""
        self.remaining: int | None = None
        self._decode = decode
        self._buffer = bytearray()
        self._separators: tuple[bytes, ...] = ()
        self._inside = False
        self._divisible = True

    def feed(self, data: bytes) -> Iterator[list[Item]]:
        """The items that are whole now, some at a time. Raises ApiError."""
        buffer = self._buffer
        buffer += data
        if not self._inside and self._divisible:
            self._enter()
        while self._inside and self._divisible and len(buffer) >= SLICE_BYTES:
            cut = self._find_cut()
            if cut < 0:
                break
            piece = b"[%b]" % bytes(buffer[: cut + 1])
            try:
                items = self._decode(piece)
            except msgspec.DecodeError:
                self._divisible = False
                break
            del buffer[: cut + 2]
            yield items
        if len(buffer) > MAX_HELD_BYTES:
            raise ApiError(f"the list can't be read: more than {MAX_HELD_BYTES >> 20} MiB without the end of an item")

    def end(self) -> Iterator[list[Item]]:
        """What is left when the body has ended. Raises ApiError if that isn't the end of a list."""
        try:
            rest = _LIST.decode(b'{"items":[%b' % bytes(self._buffer) if self._inside else self._buffer)
            self._take(rest.metadata)
            if rest.items is msgspec.UNSET:
                raise ApiError("the list can't be read: it has no items")
            items = rest.items or []
            self._buffer = bytearray()
            while items:
                size, count = 0, 0
                while count < len(items) and size < SLICE_BYTES:
                    size += len(memoryview(items[count]))
                    count += 1
                yield self._decode(b"[%b]" % b",".join(items[:count]))
                del items[:count]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiError(f"the list can't be read: {error}") from None

    def _enter(self) -> None:
        """Find the array of items, and how they are parted."""
        found = _ITEMS.search(self._buffer)
        beginning = _BEGINNING.match(self._buffer, found.end()) if found else None
        if found is None or beginning is None:
            self._divisible = len(self._buffer) < SLICE_BYTES
            return
        try:
            self._take(_LIST.decode(b'%b"items":null}' % bytes(self._buffer[: found.start()])).metadata)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._divisible = False
            return
        self._inside = True
        first = beginning[0]
        self._separators = (b"}," + first, b"}, " + first)
        del self._buffer[: found.end()]

    def _find_cut(self) -> int:
        """Where an item ends that another one follows: the last within a slice, or else the first behind it."""
        buffer, separators = self._buffer, self._separators
        cut = max(buffer.rfind(separator, 0, SLICE_BYTES) for separator in separators)
        if cut < 0:
            cuts = [buffer.find(separator) for separator in separators]
            cut = min((each for each in cuts if each >= 0), default=-1)
        return cut

    def _take(self, meta: _ListMeta | None) -> None:
        if meta is not None:
            self.revision = meta.resource_version or self.revision
            self.token = meta.continue_ or self.token
            self.remaining = self.remaining if meta.remaining_item_count is None else meta.remaining_item_count


class LineBody:
    """The lines of a watch."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held_bytes = 0

    @property
    def partial(self) -> bool:
        """True if a line has begun."""
        return self._held_bytes > 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now. Raises ApiError for one that is too long."""
        lines = data.split(b"\n")
        if len(lines) > 1:
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts.clear()
            self._held_bytes = 0
        rest = lines.pop()
        if rest:
            self._parts.append(rest)
            self._held_bytes += len(rest)
            if self._held_bytes > MAX_HELD_BYTES:
                raise ApiError(f"the watch can't be read: a line of more than {MAX_HELD_BYTES >> 20} MiB")
        return [line for line in lines if line.strip()]
