# SPDX-License-Identifier: Apache-2.0
"""Frame Streams, sans-IO: the framing around dnstap messages, as the side that writes them.

A data frame is a length of four octets and so much data. A length of zero announces a control frame: its own length,
its type, and fields. Before the data the two sides agree on what is in the frames: READY from the writer, ACCEPT from
the reader, START from the writer; STOP and FINISH end the stream (https://farsightsec.github.io/fstrm/).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

import msgspec

from clusterdns.errors import UpstreamError

CONTENT_TYPE: Final = b"protobuf:dnstap.Dnstap"

_ESCAPE: Final = bytes(4)
_CONTENT_TYPE_FIELD: Final = (1).to_bytes(4, "big")
_MOST_CONTROL_BYTES: Final = 512


class ControlType(enum.IntEnum):
    """What a control frame says."""

    ACCEPT = 1
    START = 2
    STOP = 3
    READY = 4
    FINISH = 5


class Control(msgspec.Struct, frozen=True):
    """A control frame. ``content_types`` are those of its fields, none for any."""

    kind: ControlType
    content_types: tuple[bytes, ...] = ()

    def takes(self, content_type: bytes) -> bool:
        """True if frames with this content may follow."""
        return not self.content_types or content_type in self.content_types


def encode_control(kind: ControlType, *content_types: bytes) -> bytes:
    """A control frame."""
    fields = b"".join([_CONTENT_TYPE_FIELD + len(each).to_bytes(4, "big") + each for each in content_types])
    return _ESCAPE + (4 + len(fields)).to_bytes(4, "big") + kind.to_bytes(4, "big") + fields


READY: Final = encode_control(ControlType.READY, CONTENT_TYPE)
START: Final = encode_control(ControlType.START, CONTENT_TYPE)
STOP: Final = encode_control(ControlType.STOP)


def encode_data(payload: bytes) -> bytes:
    """A data frame."""
    return len(payload).to_bytes(4, "big") + payload


class ControlReader:
    """The control frames among octets that come in pieces. Data frames don't come this way."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Control]:
        """The control frames that are complete now. Raises UpstreamError for anything else."""
        self._buffer += data
        while len(self._buffer) >= 8:
            if not self._buffer.startswith(_ESCAPE):
                raise UpstreamError("frame stream: data where a control frame is expected")
            size = int.from_bytes(self._buffer[4:8], "big")
            if not 4 <= size <= _MOST_CONTROL_BYTES:
                raise UpstreamError(f"frame stream: a control frame of {size} octets")
            if len(self._buffer) < 8 + size:
                return
            frame, self._buffer = self._buffer[8 : 8 + size], self._buffer[8 + size :]
            yield decode_control(frame)


def decode_control(frame: bytes) -> Control:
    """What is in a control frame behind its length. Raises UpstreamError."""
    try:
        kind = ControlType(int.from_bytes(frame[:4], "big"))
    except ValueError:
        raise UpstreamError(f"frame stream: unknown control frame {frame[:4].hex()}") from None
    content_types = []
    position = 4
    while position < len(frame):
        start = position + 8
        end = start + int.from_bytes(frame[position + 4 : start], "big")
        if start > len(frame) or end > len(frame):
            raise UpstreamError("frame stream: a field runs over the end of its control frame")
        if frame[position : position + 4] == _CONTENT_TYPE_FIELD:
            content_types.append(frame[start:end])
        position = end
    return Control(kind, tuple(content_types))
