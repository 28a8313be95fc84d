# SPDX-License-Identifier: Apache-2.0
"""A server block with ``forward``, without sockets: what it asks others is answered by the test, on either way."""

import asyncio
from collections import deque

from clusterdns.dns import names
from clusterdns.errors import UpstreamError
from clusterdns.observability.metrics import Histogram
from clusterdns.plugins import table
from clusterdns.serving.chain import Block
from clusterdns.serving.engine import Engine
from clusterdns.serving.router import Router
from support.directives import FakeServices, FakeSetup, check
from support.serving import Faults, client

TIMEOUT = UpstreamError("read udp 192.0.2.1:1->192.0.2.2:53: i/o timeout")


class Health:
    fails = 0
    suspected = 0

    def down(self, most_fails):
        return 0 < most_fails < self.fails

    def suspect(self):
        self.suspected += 1


class FakeUpstream:
    """In the place of ``upstream.server.Server``. ``asked`` are the octets behind the IDs."""

    stream_only = False
    closed = False

    def __init__(self, to="192.0.2.2:53"):
        self.to = to
        self.health = Health()
        self.asked = []
        self.counted = []
        self.waiting = deque()
        self.most = 1_000_000

    def fire(self, volley, started, seconds):
        sent = volley.tickets[: self.most]
        for ticket in sent:
            ticket.volley = volley
            self.asked.append(ticket.wire)
            self.waiting.append(ticket)
        return len(sent)

    def ask(self, exchange, seconds, *, stream, fresh=False):
        self.asked.append((stream, exchange.wire) if stream else exchange.wire)
        self.waiting.append(exchange)

    def count(self, rcode, seconds, number=1):
        self.counted += [rcode] * number

    def deliver(self, outcome):
        """A message without its ID for who waits longest, or None for no reply in time."""
        waiting = self.waiting.popleft()
        if hasattr(waiting, "asker"):
            if outcome is None:
                waiting.asker.failed(waiting, TIMEOUT)
            else:
                waiting.asker.replied(waiting, b"\x12\x34" + outcome)
            return
        volley = waiting.volley
        if outcome is None:
            volley.failed(waiting, TIMEOUT)
        elif waiting.path.arrive(waiting, b"\x12\x34" + outcome):
            volley.answered(outcome[1] & 15, 1, 0.0)
        else:
            volley.replied(waiting, b"\x12\x34" + outcome)


class Relaying:
    """An engine with one block. To be used in a running event loop.

    replies: what the clients got, by the number of their query; None for silence.
    short: how many queries took the short way to its end.
    """

    def __init__(self, text, *, zones=".", upstreams=None, clock=None):
        self.services = FakeServices()
        verdict = check(text, zones=zones)
        assert verdict.plan is not None, [str(error) for error in verdict.errors]
        (plan,) = verdict.plan.blocks
        setup = FakeSetup(self.services, zones=tuple(plan.zones))
        for directive in plan.directives:
            plugin = table.load(directive.name)
            options = {"clock": clock} if directive.name == "cache" and clock is not None else {}
            setup.siblings[directive.name] = plugin(directive.options, setup, **options)
        self.plugins = setup.siblings
        self.upstreams = upstreams or [FakeUpstream()]
        for forwarder in self.plugins["forward"]._forwarders:
            forwarder.client.servers = self.upstreams
        block = Block(self.plugins.values())
        self.faults = Faults()
        self.engine = Engine("dns://:53", Router({names.from_text(zone): [block] for zone in plan.zones}), self.faults)
        self.replies = {}
        self.short = 0
        self.family = 1

    @property
    def upstream(self):
        return self.upstreams[0]

    def ask(self, number, packet):
        """A query comes, and takes the long way."""
        self._note(number, self.engine.handle(packet, client()))

    def take(self, packets):
        """A batch of queries comes, by number; each takes the way that is for it."""
        for number, packet in packets.items():
            ticket = self.engine.shortcut.take(packet, 0.0)
            if ticket is None:
                self.ask(number, packet)
            else:
                ticket.origin, ticket.peer, ticket.control = self, number, b""
        self.engine.shortcut.send()

    def answer(self, ticket, reply):
        """See Origin."""
        self.short += 1
        self.replies[ticket.peer] = reply

    def detour(self, ticket, attempt):
        """See Origin."""
        self._note(ticket.peer, self.engine.handle(ticket.packet, client(), attempt=attempt))

    def _note(self, number, output):
        if output is None or isinstance(output, bytes):
            self.replies[number] = output
        else:
            output.consume(lambda reply: self.replies.__setitem__(number, reply))

    def deliver(self, outcomes):
        """Let the upstreams answer until nobody waits; the last outcome stands for all that follow."""
        outcomes = list(outcomes)
        while any(upstream.waiting for upstream in self.upstreams):
            upstream = next(upstream for upstream in self.upstreams if upstream.waiting)
            upstream.deliver(outcomes.pop(0) if len(outcomes) > 1 else outcomes[0])

    def counts(self):
        """All that was counted, but for times."""
        self.engine.flush()
        found = {}
        for family in self.services.metrics.collect():
            for labels, child in family.children.items():
                if isinstance(child, Histogram):
                    found[family.name, labels] = sum(child.counts) if "duration" in family.name else list(child.counts)
                else:
                    found[family.name, labels] = child.value
        return {key: value for key, value in found.items() if any(value if isinstance(value, list) else [value])}


def run(work):
    """Run a function in an event loop."""

    async def inside():
        return work()

    return asyncio.run(inside())
