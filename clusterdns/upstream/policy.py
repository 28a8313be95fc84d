# SPDX-License-Identifier: Apache-2.0
"""In which order the upstreams are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeAlias, TypeVar

T = TypeVar("T")

Policy: TypeAlias = Callable[[Sequence[T]], Sequence[T]]
"""Gives the upstreams in the order for one query; called once for each query."""

RANDOM: Final = "random"
ROUND_ROBIN: Final = "round_robin"
SEQUENTIAL: Final = "sequential"
POLICIES: Final = (RANDOM, ROUND_ROBIN, SEQUENTIAL)


def make_policy(name: str, random: Random) -> Policy[T]:
    """The policy of that name."""
    if name == SEQUENTIAL:
        return _as_written
    if name == ROUND_ROBIN:
        return _RoundRobin()
    return lambda upstreams: random.sample(upstreams, len(upstreams)) if len(upstreams) > 1 else upstreams


def _as_written(upstreams: Sequence[T]) -> Sequence[T]:
    return upstreams


class _RoundRobin:
    def __init__(self) -> None:
        self._turn = -1

    def __call__(self, upstreams: Sequence[T]) -> Sequence[T]:
        self._turn += 1
        first = self._turn % len(upstreams)
        return [*upstreams[first:], *upstreams[:first]]
