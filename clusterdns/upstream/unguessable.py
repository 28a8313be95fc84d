# SPDX-License-Identifier: Apache-2.0
"""Numbers that nobody can guess, from the system in large portions: for message IDs and the choice of source ports."""

from __future__ import annotations

import os
from array import array
from typing import Final

_PORTION_BYTES: Final = 8192

_numbers: array[int] = array("I")


def draw() -> int:
    """A number of 32 bits."""
    if not _numbers:
        _numbers.frombytes(os.urandom(_PORTION_BYTES))
    return _numbers.pop()
