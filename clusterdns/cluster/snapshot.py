# SPDX-License-Identifier: Apache-2.0
"""The last good state of a store on disk, for a start while the API server can't be reached.

The file begins with a line that says what it is, then one JSON object on a line of its own: when it was made, of what,
and the SHA-256 of that and of all that follows. What follows are pieces of some hundred objects of one kind: the length
of the rest in four octets, the kind's place in ``KINDS`` in one, a MessagePack array. It is written beside its place
and moved there when it is complete, so a reader finds a whole file or none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from clusterdns.cluster.objects import KINDS, EndpointSlice, Kind, Namespace, Object, Pod, Service, ServiceImport
from clusterdns.cluster.store import Store
from clusterdns.errors import SnapshotError

_MAGIC = b"clusterdns snapshot 1\n"
_PIECE_OBJECTS = 256
_MAX_HEAD_BYTES = 65536

_encoder = msgspec.msgpack.Encoder()
_DECODERS: dict[Kind, msgspec.msgpack.Decoder[list[Any]]] = {
    "Namespace": msgspec.msgpack.Decoder(list[Namespace]),
    "Service": msgspec.msgpack.Decoder(list[Service]),
    "EndpointSlice": msgspec.msgpack.Decoder(list[EndpointSlice]),
    "Pod": msgspec.msgpack.Decoder(list[Pod]),
    "ServiceImport": msgspec.msgpack.Decoder(list[ServiceImport]),
}


class Head(msgspec.Struct, frozen=True):
    """What a snapshot is of.

    created_seconds: when it was made, since 1970.
    origin: of what: the API server and the selectors; a snapshot of something else is of no use.
    kinds: the kinds that were complete, each with how many objects there are.
    sha256: of everything behind the head, in hex.
    """

    created_seconds: float
    origin: str
    kinds: dict[Kind, int]
    sha256: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot that was read: its head, and the objects by kind."""

    head: Head
    objects: dict[Kind, list[Object]]


def pieces(store: Store, kinds: Iterable[Kind]) -> Iterator[bytes]:
    """The objects of a store as they are now, a piece at a time. The work of one piece takes less than a millisecond;
    what changes meanwhile isn't seen, because objects are values.
    """
    now = {kind: store.unordered(kind) for kind in kinds}
    for kind, objects in now.items():
        for first in range(0, len(objects), _PIECE_OBJECTS):
            body = _encoder.encode(objects[first : first + _PIECE_OBJECTS])
            yield (len(body) + 1).to_bytes(4, "big") + bytes((KINDS.index(kind),)) + body


def write_snapshot(path: str, head: Head, body: list[bytes]) -> None:
    """Put the file there, complete or not at all. Raises OSError."""
    digest = hashlib.sha256(_bare(head))
    for piece in body:
        digest.update(piece)
    line = msgspec.json.encode(msgspec.structs.replace(head, sha256=digest.hexdigest()))
    beside = f"{path}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(_MAGIC + line + b"\n")
        file.writelines(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _bare(head: Head) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(head, sha256=""))


def read_snapshot(path: str, origin: str) -> Snapshot:
    """Read the file. Raises FileNotFoundError if there is none, SnapshotError if it is of no use and why."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SnapshotError(f"can't be read: {error.strerror}", file=path) from error
    return _parse(data, path, origin)


def _parse(data: bytes, path: str, origin: str) -> Snapshot:
    end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _MAX_HEAD_BYTES)
    if not data.startswith(_MAGIC) or end < 0:
        raise SnapshotError("is not a snapshot of this version", file=path)
    try:
        head = msgspec.json.decode(data[len(_MAGIC) : end], type=Head)
        body = memoryview(data)[end + 1 :]
        digest = hashlib.sha256(_bare(head))
        digest.update(body)
        if digest.hexdigest() != head.sha256:
            raise SnapshotError("is damaged: its checksum is wrong", file=path)
        if head.origin != origin:
            raise SnapshotError(f"is of another cluster: {head.origin}, not {origin}", file=path)
        objects: dict[Kind, list[Object]] = {kind: [] for kind in KINDS if kind in head.kinds}
        position = 0
        while position < len(body):
            size = int.from_bytes(body[position : position + 4], "big")
            kind = KINDS[body[position + 4]]
            objects[kind] += _DECODERS[kind].decode(body[position + 5 : position + 4 + size])
            position += 4 + size
    except (msgspec.DecodeError, LookupError) as error:
        raise SnapshotError(f"can't be understood: {error}", file=path) from error
    if {kind: len(rows) for kind, rows in objects.items()} != head.kinds:
        raise SnapshotError("is damaged: it doesn't hold as many objects as it says", file=path)
    return Snapshot(head, objects)
