# SPDX-License-Identifier: Apache-2.0
"""Queries, plugins and an engine to test the server with, without sockets."""

from collections import Counter

import dns.message

from clusterdns.dns import names
from clusterdns.serving.chain import Block
from clusterdns.serving.engine import Engine
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Client, Query
from clusterdns.serving.router import Router


class Answering(Plugin):
    """Replies with what a function makes of the query."""

    name = "answering"
    pure = True
    in_chain = True

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def handle(self, query):
        self.asked += 1
        return self.answer(query)


class Passing(Plugin):
    """Hands everything on, and is not pure."""

    name = "passing"
    in_chain = True

    def __init__(self):
        pass


class Counting(Plugin):
    """An observer that can do with counts."""

    name = "counting"

    def __init__(self):
        self.seen = []
        self.hits = Counter()
        self.durations = []

    def observe(self, query, reply, size_bytes, duration_seconds):
        self.seen.append((names.to_text(query.name), reply.rcode, size_bytes))

    def observe_hits(self, query, reply, size_bytes, hits):
        self.hits[names.to_text(query.name), size_bytes] += hits

    def observe_hit_durations(self, server, zone, durations):
        self.durations.extend(durations)


class Faults:
    """Counts what concerns no block."""

    def __init__(self):
        self.panics = 0
        self.refused = []

    def panic(self):
        self.panics += 1

    def dropped(self, query, reply, size_bytes, duration_seconds):
        self.refused.append((names.to_text(query.name), reply.rcode))


def _is_shared(plugins):
    return bool(plugins) and isinstance(plugins[0], list)


def make_engine(zones, faults=None, **options):
    """An engine from zones (text) and their plugins, or several lists of plugins for several blocks of one zone."""
    blocks = {
        names.from_text(zone): [Block(sharing) for sharing in ([plugins], plugins)[_is_shared(plugins)]]
        for zone, plugins in zones.items()
    }
    return Engine("dns://:53", Router(blocks), faults or Faults(), **options)


def client(protocol="udp", address="192.0.2.1"):
    return Client(protocol, address, 4242, "192.0.2.53", 53)


def wire(name="www.example.org.", rtype="A", **options):
    return dns.message.make_query(name, rtype, **options).to_wire()


def query(name="www.example.org.", rtype="A", protocol="udp", **options):
    return Query(wire(name, rtype, **options), client(protocol))
