# SPDX-License-Identifier: Apache-2.0
"""How much work something is, told in a way that a slow or busy machine doesn't change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_STEPS = 1_000_000


def effort(work: Callable[[], T]) -> tuple[T, float]:
    """What ``work`` gives, and its CPU time as a multiple of that of a million turns of an empty loop just before."""
    started = time.process_time()
    for _ in range(_STEPS):
        pass
    middle = time.process_time()
    result = work()
    return result, (time.process_time() - middle) / (middle - started)
