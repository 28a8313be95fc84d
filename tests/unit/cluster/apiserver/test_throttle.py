# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest

from clusterdns.cluster.apiserver.throttle import DEFAULT_BURST, DEFAULT_QPS, Inflight, TokenBucket


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_burst_goes_at_once_and_then_so_many_a_second():
    bucket = TokenBucket(4.0, 3, clock=Clock())
    assert [bucket.take() for _ in range(6)] == [0, 0, 0, 0.25, 0.5, 0.75]


def test_the_bucket_fills_up_again_and_not_beyond():
    clock = Clock()
    bucket = TokenBucket(4.0, 2, clock=clock)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.25]
    clock.now += 3600
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.25]


def test_without_options_nothing_waits():
    bucket = TokenBucket(clock=Clock())
    assert {bucket.take() for _ in range(1000)} == {0.0}


@pytest.mark.parametrize(
    ("qps", "burst", "at_once", "then"), [(2.0, 0, DEFAULT_BURST, 0.5), (0.0, 2, 2, 1 / DEFAULT_QPS)]
)
def test_the_option_that_is_not_set_has_its_default(qps, burst, at_once, then):
    bucket = TokenBucket(qps, burst, clock=Clock())
    assert [bucket.take() for _ in range(at_once + 1)] == [0.0] * at_once + [pytest.approx(then)]


def test_waiting_takes_the_time_it_says():
    async def run():
        clock = asyncio.get_running_loop().time
        bucket = TokenBucket(100.0, 1)
        began = clock()
        waited = [await bucket.wait() for _ in range(2)]
        return waited, clock() - began

    waited, took = asyncio.run(run())
    assert waited[0] == 0
    assert 0.005 < waited[1] <= 0.01
    assert took >= waited[1]


def test_so_many_are_under_way_and_the_next_has_its_turn():
    async def run():
        places = Inflight(2)
        first, _ = await places.enter(), await places.enter()
        third = asyncio.ensure_future(places.enter())
        await asyncio.sleep(0)
        waited = not third.done()
        first()
        first()  # gives back what it had, and no more
        await third
        fourth = asyncio.ensure_future(places.enter())
        await asyncio.sleep(0)
        return waited, fourth.done()

    assert asyncio.run(run()) == (True, False)


def test_without_a_limit_any_number_is_under_way():
    async def run():
        places = Inflight()
        return [await places.enter() for _ in range(100)]

    assert len(asyncio.run(run())) == 100
