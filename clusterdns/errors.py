# SPDX-License-Identifier: Apache-2.0
"""The whole exception tree.

Errors tell the operator what to do: a position where there is one, what is wrong in CoreDNS's words where it has
words for it, and a hint where the cure isn't plain from the message.
"""

from __future__ import annotations

from collections.abc import Iterable


class ClusterDNSError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(ClusterDNSError):
    """A fault in a Corefile, at a position.

    ``str()`` gives ``path:line:col: message``. ``coredns_text()`` gives the words that CoreDNS prints for the same
    fault, which scripts and people search for.

    message: the fault, without position or prefix.
    file, line, column: where; line and column count from 1, 0 means "no position".
    plugin: the directive whose set-up found the fault, empty for faults of the language itself.
    hint: what to do about it, empty where the message says it all.
    label: CoreDNS's words between position and message.
    """

    PARSING = "Error during parsing: "
    SYNTAX = "Syntax error: "
    NO_POSITION = ""

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        column: int = 0,
        plugin: str = "",
        hint: str = "",
        label: str = PARSING,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.plugin = plugin
        self.hint = hint
        self.label = label

    def __str__(self) -> str:
        if not self.line:
            return f"{self.file}: {self.message}" if self.file else self.message
        return f"{self.file}:{self.line}:{self.column}: {self.message}"

    def coredns_text(self) -> str:
        """The fault as CoreDNS prints it at start: ``plugin/NAME: FILE:LINE - Error during parsing: MESSAGE``."""
        prefix = f"plugin/{self.plugin}: " if self.plugin else ""
        position = f"{self.file}:{self.line} - {self.label}" if self.line and self.label else ""
        return f"{prefix}{position}{self.message}"


class ConfigErrors(ClusterDNSError):
    """All faults of one Corefile, in file order; never empty."""

    def __init__(self, errors: Iterable[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class WireError(ClusterDNSError):
    """Bytes that are not a DNS message. ``rcode`` is what the client gets (RFC 1035 section 4.1.1)."""

    def __init__(self, message: str, rcode: int = 1) -> None:
        super().__init__(message)
        self.rcode = rcode


class MasterFileError(ClusterDNSError):
    """A fault in a zone file, or in records that are to be a zone. ``str()`` gives ``file:line: reason``."""

    def __init__(self, reason: str, *, file: str = "", line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.line = line

    def __str__(self) -> str:
        if not self.line:
            return f"{self.file}: {self.reason}" if self.file else self.reason
        return f"{self.file or 'line'}:{self.line}: {self.reason}"


class QueryError(ClusterDNSError):
    """A message that is not a query that can be answered.

    rcode: what its sender gets, None for no reply at all.
    question_end: position after the question, 12 where it can't be read.
    """

    def __init__(self, rcode: int | None, question_end: int = 12) -> None:
        super().__init__(f"message is no query: rcode {rcode}")
        self.rcode = rcode
        self.question_end = question_end


class UpstreamError(ClusterDNSError):
    """Another server gave no usable answer. ``str()`` is what ``errors`` logs, in the words of CoreDNS."""


class ClusterError(ClusterDNSError):
    """Cluster objects that can't be read or used."""

    @property
    def category(self) -> str:
        """What two errors have in common that are the same problem to an operator."""
        return str(self)


class ApiError(ClusterError):
    """The API server can't be reached, refuses, or broke off.

    reason: what happened; hint: the cure, empty where there is none but to wait. ``str()`` gives ``reason: hint``.
    status: the HTTP status of a refusal, 0 for everything else.
    timed_out: True where nothing came in time, as from a server that hangs.
    cut: True where the connection was there, and was closed without an answer.
    category: the reason without what differs from time to time; empty where nothing does.
    """

    def __init__(
        self,
        reason: str,
        hint: str = "",
        *,
        status: int = 0,
        timed_out: bool = False,
        cut: bool = False,
        category: str = "",
    ) -> None:
        super().__init__(f"{reason}: {hint}" if hint else reason)
        self.reason = reason
        self.hint = hint
        self.status = status
        self.timed_out = timed_out
        self.cut = cut
        self._category = category

    @property
    def category(self) -> str:
        return self._category or str(self)


class ObjectError(ClusterError):
    """A Kubernetes object that can't be used. ``field`` is the place in it, as in ``spec.ports[0].port``; empty for the
    whole object. ``str()`` gives ``field: reason``.
    """

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class ManifestError(ClusterError):
    """A fault in a manifest file. ``str()`` gives ``file:line: reason``."""

    def __init__(self, reason: str, *, file: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


class SnapshotError(ClusterError):
    """A file with a saved state of the cluster that can't be used. ``str()`` gives ``file: reason``."""

    def __init__(self, reason: str, *, file: str) -> None:
        super().__init__(f"{file}: {reason}")


class ExpressionError(ClusterDNSError):
    """A regular expression, template, expression or duration that can't be parsed or evaluated.

    ``offset`` counts characters from the start of the text, -1 where there is none.
    """

    def __init__(self, message: str, offset: int = -1) -> None:
        super().__init__(message)
        self.offset = offset


class PackageError(ClusterDNSError):
    """A directive of another package that can't be used. ``hint`` is what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class LifecycleError(ClusterDNSError):
    """The server can't start or go on: an address in use, a file that can't be written."""


class ExplainError(ClusterDNSError):
    """A query that can't be explained: a name that isn't one, a Pod without addresses, a server that isn't there."""
