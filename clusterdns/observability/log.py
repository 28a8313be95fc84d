# SPDX-License-Identifier: Apache-2.0
r"""Log lines on standard output: ``[INFO] text``, without a time stamp, as CoreDNS writes them.

Three things are made sure of here, for every message of the process:

- A line is a line. Names are hostile input, so everything that isn't printable (control characters, escape sequences,
  lone bytes, text direction marks) is written as ``\xNN`` or ``\uNNNN``.
- Writing never stops the server. A reader that is gone, or doesn't keep up, costs log lines and not answers: what can't
  be written at once waits in a bounded buffer, and lines that don't fit any more are counted and left out.
- Lines of a plugin, those of the loggers below ``clusterdns.plugin``, say so: ``[INFO] plugin/NAME: text``.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from typing import Final

PLUGIN_LOGGERS: Final = "clusterdns.plugin."
MAX_WAITING_BYTES: Final = 1024 * 1024

# POSIX: a pipe that polls as writable takes this many bytes without blocking.
_PIECE_BYTES: Final = 512 if not hasattr(select, "PIPE_BUF") else select.PIPE_BUF

_LEVELS: Final = {
    logging.DEBUG: "[DEBUG] ",
    logging.INFO: "[INFO] ",
    logging.WARNING: "[WARNING] ",
    logging.ERROR: "[ERROR] ",
    logging.CRITICAL: "[FATAL] ",
}


def escape(text: str) -> str:
    r"""``text`` with everything that isn't printable as ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else _escaped(ord(char)) for char in text])


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, see PEP 383
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class LineFormatter(logging.Formatter):
    """One line for a message, and one more for each line of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        start = _LEVELS.get(record.levelno) or f"[{record.levelname}] "
        if record.name.startswith(PLUGIN_LOGGERS):
            start += f"plugin/{record.name.removeprefix(PLUGIN_LOGGERS)}: "
        line = start + escape(record.getMessage())
        if not record.exc_info:
            return line
        trace = self.formatException(record.exc_info).splitlines()
        return "\n".join([line, *[start + escape(part) for part in trace]])


class LineHandler(logging.Handler):
    """Writes lines to a file descriptor, and never waits for whoever reads them."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._left_out = 0
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or keep it until the reader has made room. A fault of the message itself is told."""
        try:
            line = self.format(record)
        except (TypeError, ValueError) as error:
            line = f"[ERROR] bad log message {record.msg!r}: {error}"
        self.write(line)

    def write(self, line: str) -> None:
        """Write one line."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if len(self._waiting) + len(data) > MAX_WAITING_BYTES:
            self.flush()
        if len(self._waiting) + len(data) > MAX_WAITING_BYTES:
            self._left_out += 1
            return
        if self._left_out and not self._waiting:
            self._waiting += f"[WARNING] log: {self._left_out} lines left out, nobody read them in time\n".encode()
            self._left_out = 0
        self._waiting += data
        self.flush()

    def flush(self) -> None:
        """Write as much of what waits as the reader takes at once."""
        waiting = self._waiting
        while waiting:
            events = self._poll.poll(0)
            if not events:
                return
            if not events[0][1] & select.POLLOUT:  # nobody reads any more, and nobody will
                waiting.clear()
                return
            try:
                written = os.write(self._descriptor, waiting[:_PIECE_BYTES])
            except BlockingIOError:
                return
            except OSError:
                waiting.clear()
                return
            del waiting[:written]


def configure(descriptor: int | None = None) -> LineHandler:
    """Make the log of this process: everything goes to ``descriptor``, standard output by default.

    May be called again; the last call counts.
    """
    handler = LineHandler(sys.stdout.fileno() if descriptor is None else descriptor)
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, LineHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    set_debug(False)
    # Nothing of this is shown, and looking it up is most of the cost of a line (Python's Logging HOWTO).
    for unused in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, unused, False)
    setattr(logging, "_srcfile", None)  # noqa: B010  (typeshed does not know it)
    return handler


def set_debug(enabled: bool) -> None:
    """Show ``[DEBUG]`` lines or not; ``debug`` in any server block asks for them."""
    logging.getLogger("clusterdns").setLevel(logging.DEBUG if enabled else logging.INFO)
