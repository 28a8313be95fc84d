# SPDX-License-Identifier: Apache-2.0
"""In which order upstreams are asked."""

from collections import Counter
from random import Random

from clusterdns.upstream.policy import RANDOM, ROUND_ROBIN, SEQUENTIAL, make_policy


def test_sequential_is_as_written():
    policy = make_policy(SEQUENTIAL, Random(1))
    assert [policy("abc") for _ in range(3)] == ["abc"] * 3


def test_round_robin_begins_with_the_next_one_each_time():
    policy = make_policy(ROUND_ROBIN, Random(1))
    assert ["".join(policy("abc")) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_random_has_each_one_once_and_all_of_them_first_alike():
    policy = make_policy(RANDOM, Random(1))
    orders = ["".join(policy(["a", "b", "c"])) for _ in range(3000)]
    assert {"".join(sorted(order)) for order in orders} == {"abc"}
    assert all(900 < count < 1100 for count in Counter(order[0] for order in orders).values())
    assert policy(["a"]) == ["a"]
