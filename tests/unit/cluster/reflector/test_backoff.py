# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from random import Random

import pytest

from clusterdns.cluster.reflector.backoff import Backoff, retry_after_seconds


def test_waits_double_to_a_limit_with_chance():
    found = [[Backoff(Random(seed)).next_seconds()] for seed in range(200)]
    firsts = [wait for [wait] in found]
    assert 0.4 <= min(firsts) < 0.5
    assert 1.1 < max(firsts) <= 1.2
    backoff = Backoff(Random(1))
    waits = [backoff.next_seconds() for _ in range(40)]
    for number, wait in enumerate(waits):
        base = min(0.8 * 2**number, 30.0)
        assert base / 2 <= wait <= base * 1.5
    backoff.reset()
    assert backoff.next_seconds() <= 1.2


def test_what_often_passes_at_once_is_asked_again_quickly_at_first():
    backoff = Backoff(Random(1))
    waits = [backoff.next_seconds(quick=True) for _ in range(12)]
    assert sum(waits[:2]) < 0.5
    assert waits[-1] >= 15


@pytest.mark.parametrize(("asked", "least", "most"), [(5.0, 5.0, 6.25), (3600.0, 60.0, 75.0), (0.0, 0.4, 1.2)])
def test_what_the_server_asks_for_is_the_least(asked, least, most):
    waits = [Backoff(Random(seed)).next_seconds(asked_seconds=asked) for seed in range(50)]
    assert least <= min(waits)
    assert max(waits) <= most
    assert len(set(waits)) == 50


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1.0), ("30", 30.0), (None, 0.0), ("", 0.0), ("-1", 0.0), ("soon", 0.0), ("1e3", 0.0), ("9" * 10, 0.0)],
)
def test_retry_after_is_read_as_seconds(text, seconds):
    assert retry_after_seconds(text) == seconds
