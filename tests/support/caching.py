# SPDX-License-Identifier: Apache-2.0
"""A cache whose clock the test moves, in front of whatever the test answers."""

import asyncio

import dns.flags
import dns.message
import dns.rcode

from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import FLAG_AA, FLAG_RA, NXDOMAIN
from clusterdns.plugins.cache import Cache
from clusterdns.plugins.forward import Forward
from clusterdns.serving.finish import finish
from clusterdns.serving.reply import Reply, Sections
from support.directives import FakeServices, FakeSetup, metric, parse, query

LABELS = ("dns://:53", "example.org.", "")
SOA = "example.org. {ttl} SOA ns.example.org. admin.example.org. 1 7200 1800 86400 {minimum}"


class Clock:
    """Seconds, as far as the test says."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Tasks(FakeServices):
    """Background work runs as tasks."""

    def spawn(self, name, work):
        task = asyncio.ensure_future(work)
        self.spawned.append(task)
        return Lease(task)


class Lease:
    def __init__(self, task):
        self._task = task

    async def release(self):
        self._task.cancel()
        await asyncio.wait([self._task])


def reply(*records, rcode=0, authority=(), additional=(), flags=FLAG_AA | FLAG_RA, plugin="forward"):
    """A reply of records in zone-file form."""
    sections = (tuple(map(parse_record, texts)) for texts in (records, authority, additional))
    return Reply(rcode, Sections(*sections), flags=flags, plugin=plugin)


def address(ttl=300, data="192.0.2.1", **options):
    return reply(f"www.example.org. {ttl} A {data}", **options)


def nodata(ttl=300, minimum=300):
    return reply(authority=(SOA.format(ttl=ttl, minimum=minimum),))


def nxdomain(ttl=300, minimum=300):
    return reply(rcode=NXDOMAIN, authority=(SOA.format(ttl=ttl, minimum=minimum),))


class Server:
    """A cache and what is behind it: ``answer``, a reply, or a function of the query that gives one or a coroutine.

    asked: the queries that went on.
    """

    def __init__(self, text="", *, answer=address, services=None, siblings=None, epoch=1_700_000_000.0):
        self.clock = Clock()
        self.services = services or FakeServices()
        setup = FakeSetup(self.services)
        self.cache = Cache(parse(f"cache {text}"), setup, clock=self.clock, now=lambda: epoch)
        setup.siblings.update(siblings or {}, cache=self.cache, forward=Forward)
        self.cache.next = self._next
        self.answer = answer
        self.asked = []
        asyncio.run(self.cache.start())

    def _next(self, query):
        self.asked.append(query)
        answer = self.answer
        if not callable(answer):
            return answer
        return answer() if answer in (address, nodata, nxdomain) else answer(query)

    def handle(self, name="www.example.org.", rtype="A", **options):
        """The reply as the plugin in front gets it."""
        question = query(name, rtype, **options)
        question.server = "dns://:53"
        return question, self.cache.handle(question)

    def ask(self, name="www.example.org.", rtype="A", **options):
        """The reply as the client gets it."""
        question, result = self.handle(name, rtype, **options)
        return message(question, result if isinstance(result, Reply) else asyncio.run(wait(result)))

    async def ask_later(self, name="www.example.org.", rtype="A", **options):
        """The same within a running loop."""
        question, result = self.handle(name, rtype, **options)
        return message(question, result if isinstance(result, Reply) else await result)

    def metric(self, name, *kind):
        """The value of one of its metrics; ``kind`` for those with a type."""
        server, zones, view = LABELS
        return metric(self.services, f"coredns_cache_{name}", server, *kind, zones, view)


async def wait(result):
    return await result


def message(question, found):
    """What is sent, decoded; None if nothing is."""
    return None if found.dropped else dns.message.from_wire(finish(question, found)[0])


def lines(found, section="answer"):
    """The records of a section, one a line."""
    return [line for rrset in getattr(found, section) for line in rrset.to_text().splitlines()]


def ttls(found):
    """The TTLs of all records."""
    return {rrset.ttl for section in (found.answer, found.authority, found.additional) for rrset in section}


def flags(found):
    return dns.flags.to_text(found.flags)


def rcode(found):
    return dns.rcode.to_text(found.rcode())
