# SPDX-License-Identifier: Apache-2.0
"""How long to wait before asking again: longer each time, and never in step with others."""

from __future__ import annotations

from random import Random
from typing import Final

FIRST_SECONDS: Final = 0.8
LAST_SECONDS: Final = 30.0
QUICK_SECONDS: Final = 0.1
MOST_ASKED_SECONDS: Final = 60.0
"""The longest Retry-After that is obeyed."""


class Backoff:
    """0.8 s, doubling up to 30 s, each half as much more or less by chance.

    attempts: failures since the last reset.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.attempts = 0

    def next_seconds(self, *, quick: bool = False, asked_seconds: float = 0.0) -> float:
        """The wait after one more failure.

        quick: begin with 0.1 s, for what often passes at once.
        asked_seconds: what the server asks for (Retry-After, RFC 9110 section 10.2.3), the least that is waited.
        """
        first = QUICK_SECONDS if quick else FIRST_SECONDS
        wait_seconds = min(first * 2.0 ** min(self.attempts, 16), LAST_SECONDS)
        self.attempts += 1
        chance = self._random.random()
        return max(wait_seconds * (0.5 + chance), min(asked_seconds, MOST_ASKED_SECONDS) * (1 + chance / 4))

    def reset(self) -> None:
        """What was asked for has worked."""
        self.attempts = 0


def retry_after_seconds(text: str | None) -> float:
    """The seconds of a Retry-After header; 0 for none, and for a date, which API servers don't send."""
    return float(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else 0.0
