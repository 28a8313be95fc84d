# SPDX-License-Identifier: Apache-2.0
"""A value that is there later."""

import asyncio

import pytest

from clusterdns.serving.later import Later
from clusterdns.serving.plugin import after
from clusterdns.serving.reply import Reply


def no_future():
    raise AssertionError("nobody awaits")


@pytest.mark.parametrize("before", [True, False])
def test_changes_apply_in_order_whenever_the_value_comes(before):
    later = Later(no_future)
    if before:
        later.set([0])
    later.change(lambda value: [*value, 1]).change(lambda value: [*value, 2])
    later.conclude(lambda value, error: (value, error))
    seen = []
    if not before:
        later.consume(seen.append)
        later.set([0])
    else:
        later.consume(seen.append)
    assert seen == [([0, 1, 2], None)]


@pytest.mark.parametrize("before", [True, False])
def test_the_conclusion_is_told_of_a_change_that_fails_and_others_are_left_out(before):
    later = Later(no_future)
    if before:
        later.set("value")
    later.change(lambda value: value[99]).change(lambda value: pytest.fail("applied after a failure"))
    later.conclude(lambda value, error: type(error))
    if not before:
        later.set("value")
    seen = []
    later.consume(seen.append)
    assert seen == [IndexError]


@pytest.mark.parametrize("before", [True, False])
def test_steps_go_on_after_a_conclusion(before):
    later = Later(no_future)
    error = ValueError()
    if before:
        later.fail(error)
    later.change(lambda value: pytest.fail("there is no value"))
    later.conclude(lambda value, error: [error]).change(lambda value: [*value, 1])
    later.conclude(lambda value, error: (value, error))
    if not before:
        later.fail(error)
    seen = []
    later.consume(seen.append)
    assert seen == [([error, 1], None)]


def test_a_conclusion_may_pass_an_error_on():
    def raise_again(value, error):
        raise error

    later = Later(no_future)
    later.change(lambda value: value[99]).conclude(raise_again)
    later.conclude(lambda value, error: type(error))
    seen = []
    later.consume(seen.append)
    later.set("value")
    assert seen == [IndexError]


def test_only_the_first_value_counts():
    seen = []
    later = Later(no_future)
    later.consume(seen.append)
    later.set(1)
    later.set(2)
    assert seen == [1]


def test_it_can_be_awaited_and_raises_what_a_change_raised():
    async def work():
        loop = asyncio.get_running_loop()
        good, bad, there = Later(loop.create_future), Later(loop.create_future), Later(no_future)
        there.set("there")
        bad.change(lambda value: value[99])
        loop.call_soon(good.set, "good")
        loop.call_soon(bad.set, "bad")
        assert (await good, await there) == ("good", "there")
        with pytest.raises(IndexError):
            await bad

    asyncio.run(work())


def test_who_awaits_may_be_cancelled_before():
    async def work():
        later = Later(asyncio.get_running_loop().create_future)

        async def wait():
            return await later

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        later.set("too late")
        assert task.cancelled()

    asyncio.run(work())


def test_plugins_change_a_reply_that_comes_later():
    later = Later(no_future)
    result = after(later, lambda reply: Reply(reply.rcode + 1))
    assert result is later
    seen = []
    later.consume(seen.append)
    later.set(Reply(2))
    assert [reply.rcode for reply in seen] == [3]
