# SPDX-License-Identifier: Apache-2.0
"""What a block does around its chain of plugins."""

import asyncio

from support.serving import Answering, Counting, Plugin, query

from clusterdns.serving.chain import Block
from clusterdns.serving.reply import Reply


class Editing(Plugin):
    """Marks each reply of its block."""

    name = "editing"
    pure = True
    in_chain = True

    def __init__(self):
        pass

    def edit(self, query, reply):
        reply.plugin += "-edited"
        return reply


def handled(*plugins, depth=0):
    question = query()
    question.depth = depth
    result = Block(plugins).handle(question)
    return result if isinstance(result, Reply) else asyncio.run(result)


def test_an_editor_gets_the_replies_of_plugins_before_and_behind_it():
    first = Answering(lambda query: Reply(plugin="first"))
    assert handled(Editing(), first).plugin == "first-edited"
    assert handled(first, Editing()).plugin == "first-edited"


def test_an_editor_gets_late_replies_and_the_failure_at_the_end_of_the_chain():
    async def late(query):
        return Reply(plugin="late")

    assert handled(Editing(), Answering(late)).plugin == "late-edited"
    failure = handled(Editing())
    assert (failure.rcode, failure.plugin) == (2, "-edited")


def test_an_editor_leaves_internal_look_ups_alone():
    assert handled(Editing(), Answering(lambda query: Reply(plugin="inner")), depth=1).plugin == "inner"


def test_an_edited_reply_can_be_reused():
    def reusable(query):
        reply = Reply(plugin="first")
        reply.reusable = True
        return reply

    assert handled(Editing(), Answering(reusable)).reusable


class Watching(Plugin):
    """An observer that has to see each reply."""

    name = "watching"

    def __init__(self):
        pass

    def observe(self, query, reply, size_bytes, duration_seconds):
        pass


class Remembering(Plugin):
    """No observer, but wants to know what was reused."""

    name = "remembering"

    def __init__(self):
        pass

    def observe_hits(self, query, reply, size_bytes, hits):
        pass

    def observe_hit_durations(self, server, zone, durations):
        pass


def test_replies_are_reused_only_if_every_observer_can_do_with_a_count():
    assert Block([Counting(), Remembering()]).reuse
    assert Block([Remembering()]).reuse
    assert not Block([Watching(), Remembering()]).reuse
    assert not Block([Watching(), Counting()]).reuse
