# SPDX-License-Identifier: Apache-2.0
"""Identical queries that wait for one of them."""

import asyncio

import pytest
from support.serving import query

from clusterdns.plugins.cache.arrival import Arrival, Flights
from clusterdns.serving.reply import Reply


def arrival(rcode):
    return Arrival(query(), Reply(rcode))


@pytest.mark.parametrize("found", [arrival(0), None], ids=["arrived", "abandoned"])
def test_a_follower_whose_turn_comes_after_the_landing_does_not_wait(found):
    async def scenario():
        flights = Flights()
        flight = flights.begin("key", 0.0)
        assert flights.find("key", 0.0) is flight
        following = flights.follow(flight, arrival(2))  # a coroutine that has not run yet
        flights.end(flight, found)
        assert await asyncio.wait_for(following, 1) is found
        assert flights.followers == 0

    asyncio.run(scenario())
