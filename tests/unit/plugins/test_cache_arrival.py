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
def test_all_who_follow_are_told_once(found):
    async def scenario():
        flights = Flights()
        flight = flights.begin("key", 0.0)
        assert flights.find("key", 0.0) is flight
        told = []
        for _ in range(3):
            flights.follow(flight, told.append, arrival(2))
        assert (flights.followers, told) == (3, [])
        flights.end(flight, found)
        flights.end(flight, arrival(2))
        assert told == [found] * 3
        assert (flights.followers, len(flights), flight.landed) == (0, 0, True)

    asyncio.run(scenario())


def test_a_newer_flight_stays_when_an_older_one_with_its_key_ends():
    flights = Flights()
    old, new = flights.begin("key", 0.0), flights.begin("key", 10.0)
    flights.end(old, None)
    assert flights.find("key", 10.0) is new
