# SPDX-License-Identifier: Apache-2.0
"""Compiled answers in several orders."""

from collections import Counter
from random import Random

import pytest

from clusterdns.fastpath.answer import MAX_VARIANTS, CompiledAnswer, counts


def answer(number):
    body = b"".join(bytes([i]) * 16 for i in range(number))
    return CompiledAnswer(0, counts(number, 0, 1), body + b"rest", rotating=number, record_bytes=16)


def records(body):
    return [body[start] for start in range(0, len(body) - 4, 16)]


@pytest.mark.parametrize("number", [2, 3, 10, 16])
def test_each_record_comes_first_equally_often(number):
    variants = answer(number).shuffled(Random(1))
    assert Counter(records(body)[0] for body in variants) == dict.fromkeys(range(number), 1)


@pytest.mark.parametrize("number", [1, 2, 10, 40])
def test_every_order_has_all_records_and_the_rest(number):
    for body in answer(number).shuffled(Random(1)):
        assert sorted(records(body)) == list(range(number))
        assert body.endswith(b"rest")


def test_orders_of_a_small_answer_are_kept():
    compiled = answer(4)
    assert compiled.shuffled(Random(1)) is compiled.shuffled(Random(2))


def test_a_large_answer_gets_other_orders_each_time():
    compiled = answer(200)
    random = Random(1)
    first, second = compiled.shuffled(random), compiled.shuffled(random)
    assert len(first) == MAX_VARIANTS
    assert first != second


def test_only_the_records_from_the_start_of_rotation_on_change_places():
    body = b"alias" + b"".join(bytes([i]) * 16 for i in range(4)) + b"rest"
    compiled = CompiledAnswer(0, counts(5, 0, 1), body, rotating=4, record_bytes=16, rotating_start=5)
    variants = compiled.shuffled(Random(1))
    assert len(set(variants)) == 4
    for variant in variants:
        assert variant.startswith(b"alias")
        assert sorted(records(variant[5:])) == [0, 1, 2, 3]
        assert variant.endswith(b"rest")
        assert b"".join((compiled.split(variant)[0], *compiled.split(variant)[1], b"rest")) == variant


def test_counts_are_sixteen_bit():
    assert counts(1, 258, 65535) == b"\x00\x01\x01\x02\xff\xff"
