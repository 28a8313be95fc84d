# SPDX-License-Identifier: Apache-2.0
"""Numbers that nobody can guess, from the system in large portions: message IDs and which source port is used."""

from __future__ import annotations

import os
from array import array
from typing import Final

_PORTION_BYTES: Final = 8192

_numbers: array[int] = array("H")


def draw() -> int:
    """A number from 0 to 65535."""
    if not _numbers:
        _numbers.frombytes(os.urandom(_PORTION_BYTES))
    return _numbers.pop()
