# SPDX-License-Identifier: Apache-2.0
"""The serial number of a zone that is made from a cluster (RFC 1035 section 3.3.13, RFC 1982)."""

from __future__ import annotations


class Serial:
    """The time of the last change, in seconds since 1970; 0 before the first.

    What was given away under a number stays what that number means: a change in the same second, or after the clock was
    set back, gets the next number. Changes that nobody has seen in between share one, so that the number doesn't run
    ahead of the clock, to which a new process goes back.
    """

    __slots__ = ("_given", "number")

    def __init__(self) -> None:
        self.number = 0
        self._given = False

    def advance(self, now_seconds: float) -> int:
        """Something has changed. Returns the new number."""
        self.number = max(self.number + self._given, int(now_seconds))
        self._given = False
        return self.number

    def give(self) -> None:
        """The zone goes to a secondary server under this number."""
        self._given = True
