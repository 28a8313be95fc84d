# SPDX-License-Identifier: Apache-2.0
"""Regular expressions with RE2's syntax and linear time: query names are hostile input.

The only owner of google-re2. Its syntax is that of Go's package regexp, except that it also takes ``\\C``, which Go
refuses and so do we, and that Go refuses repeat counts of many digits. Errors read as Go's do:
``error parsing regexp: missing closing ): `(` ``.
"""

from __future__ import annotations

from typing import Any

from clusterdns.errors import ExpressionError
from clusterdns.expressions.quoting import to_bytes, to_text

# The DFA of a pattern grows with what it has seen, up to its budget; then it starts anew, still in linear time.
# A small budget serves the patterns that people write; the few that don't fit get RE2's usual one.
_SMALL_BUDGET_BYTES = 1 << 20
_USUAL_BUDGET_BYTES = 8 << 20

_TOO_LARGE = "pattern too large"
_GO_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "unexpected )": "unexpected )",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid repetition size": "invalid repeat count",
    "trailing \\": "trailing backslash at end of expression",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "invalid escape sequence": "invalid escape sequence",
    "invalid character class": "invalid character class",
    "invalid character class range": "invalid character class range",
    "invalid UTF-8": "invalid UTF-8",
}
# Go's parser says that a look-behind is a named group with a bad name.
_LOOK_BEHIND = ("(?<=", "(?<!")


class Regex:
    """A compiled pattern.

    pattern: as written.
    names: the name of each group by number, empty for unnamed ones; group 0 is the whole match.
    """

    __slots__ = ("_compiled", "names", "pattern")

    def __init__(self, pattern: str, compiled: Any) -> None:
        self.pattern = pattern
        self._compiled = compiled
        names = [""] * (compiled.groups + 1)
        for name, number in compiled.groupindex.items():
            names[number] = name.decode()
        self.names = tuple(names)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in ``text``."""
        return self._compiled.search(to_bytes(text)) is not None

    def find(self, text: str) -> tuple[str, ...] | None:
        """The leftmost match: all of it, then each group; groups that took no part are empty, as in Go."""
        match = self._compiled.search(to_bytes(text))
        if match is None:
            return None
        whole = match.group(0)
        return (to_text(whole), *(to_text(group) if group else "" for group in match.groups()))

    def span(self, text: str) -> tuple[int, int] | None:
        """Where the leftmost match starts and ends, in characters."""
        encoded = to_bytes(text)
        match = self._compiled.search(encoded)
        if match is None:
            return None
        start, end = match.span()
        if len(encoded) == len(text):
            return start, end
        return len(to_text(encoded[:start])), len(to_text(encoded[:end]))

    def __repr__(self) -> str:
        return f"Regex({self.pattern!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Regex) and self.pattern == other.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)


def compile_regex(pattern: str) -> Regex:
    """Compile ``pattern``. Raises ExpressionError in the words of Go's regexp.Compile."""
    encoded = to_bytes(pattern)
    _refuse_any_byte(pattern)
    compiled, fault = _compile(encoded, _SMALL_BUDGET_BYTES)
    if fault.startswith(_TOO_LARGE):
        compiled, fault = _compile(encoded, _USUAL_BUDGET_BYTES)
    if fault:
        raise _go_error(pattern, fault)
    return Regex(pattern, compiled)


def _compile(encoded: bytes, budget_bytes: int) -> tuple[Any, str]:
    import re2

    options = re2.Options()
    options.max_mem = budget_bytes
    options.log_errors = False  # RE2 would write them to standard error itself
    try:
        return re2.compile(encoded, options=options), ""
    except re2.error as error:
        reason = error.args[0] if error.args else "unexpected error"
        return None, to_text(reason) if isinstance(reason, bytes) else str(reason)


def _refuse_any_byte(pattern: str) -> None:
    at = pattern.find("\\")
    while at >= 0:
        if pattern.startswith("\\Q", at):
            at = pattern.find("\\E", at)
            if at < 0:
                return
        elif pattern.startswith("\\C", at):
            raise ExpressionError("error parsing regexp: invalid escape sequence: `\\C`", at)
        at = pattern.find("\\", at + 2)


def _go_error(pattern: str, fault: str) -> ExpressionError:
    if fault.startswith(_TOO_LARGE):
        return ExpressionError("error parsing regexp: expression too large")
    reason, colon, part = fault.partition(": ")
    if not colon and reason not in _GO_WORDS:
        return ExpressionError(f"error parsing regexp: {reason}")
    if part and pattern[pattern.find(part) :].startswith(_LOOK_BEHIND):
        part = pattern[pattern.find(part) :].partition(">")[0]
        closing = part.find(")")
        part = part if closing < 0 else part[: closing + 1]
        reason = "invalid named capture group"
    offset = pattern.find(part) if part else -1
    return ExpressionError(f"error parsing regexp: {_GO_WORDS.get(reason, reason)}: `{part}`", offset)
