# SPDX-License-Identifier: Apache-2.0
import asyncio

import pytest
from support.directives import check, finished, make, parse, query

from clusterdns.serving.reply import Reply


def answering(events, seconds):
    async def answer(query):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        return Reply(plugin="behind")

    return answer


def test_a_reply_in_time_is_passed_on():
    events = []
    reply = finished(make("cancel 5s", answer=answering(events, 0)).handle(query()))
    assert (reply.plugin, events) == ("behind", [])


def test_a_reply_that_is_there_at_once_needs_no_task():
    assert make("cancel").handle(query()).plugin == "behind"


def test_a_late_reply_is_given_up():
    events = []
    reply = finished(make("cancel 1ms", answer=answering(events, 60)).handle(query()))
    assert (reply.rcode, reply.error, events) == (2, "plugin/cancel: no reply after 1ms", ["cancelled"])


def test_the_fault_of_another_is_not_its_own():
    async def failing(query):
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        finished(make("cancel 5s", answer=failing).handle(query()))


def test_options():
    assert [parse(text).timeout_seconds for text in ("cancel", "cancel 2s", "cancel 1s\ncancel 3s")] == [5.001, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cancel x", 'invalid duration: "x"'),
        ("cancel 5", 'invalid duration: "5"'),
        ("cancel 0s", 'invalid negative duration: "0s"'),
        ("cancel -1s", 'invalid negative duration: "-1s"'),
        ("cancel 1s 2s", "Wrong argument count or unexpected line ending after '2s'"),
        ("cancel {\nx\n}", "Unexpected token '{', expecting argument"),
    ],
)
def test_faults(text, message):
    assert [error.message for error in check(text).errors] == [message]


def test_a_fault_has_coredns_words_without_position():
    (error,) = check("cancel x").errors
    assert error.coredns_text() == 'plugin/cancel: invalid duration: "x"'
