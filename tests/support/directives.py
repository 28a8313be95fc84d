# SPDX-License-Identifier: Apache-2.0
"""One directive in one server block, without the rest of the server: parsing, and a process made of fakes."""

import asyncio

from clusterdns.config import planner
from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.dns import names
from clusterdns.errors import LifecycleError
from clusterdns.observability.metrics import Registry, Value
from clusterdns.plugins import table
from clusterdns.serving.reply import Reply
from support import serving
from support.serving import client

__all__ = [
    "CountedSiblings",
    "FakeServices",
    "FakeSetup",
    "check",
    "client",
    "finished",
    "make",
    "metric",
    "parse",
    "query",
]


def query(*arguments, **options):
    """A query as the engine hands it to a block."""
    question = serving.query(*arguments, **options)
    question.resolve = lambda query, name, qtype: Reply()
    return question


def check(text, *, zones="example.org", interfaces=None):
    """The verdict about a server block with ``text`` in it; the first line of ``text`` is line 2."""
    corefile = f"{zones} {{\n{text}\n}}\n"
    return planner.check(
        Source("Corefile", corefile),
        LazyTable(table.DIRECTIVES, table.load),
        environment={},
        interface_addresses=lambda name: (interfaces or {}).get(name, ()),
    )


def parse(text, **arguments):
    """The options of the first directive in ``text``, which must be without faults."""
    verdict = check(text, **arguments)
    assert verdict.plan is not None, [str(error) for error in verdict.errors]
    name = text.split()[0]
    return verdict.plan.blocks[0].directive(name).options


class CountedSiblings(dict):
    """The plugins of a block, which count in ``walks`` how often somebody goes through them."""

    walks = 0

    def values(self):
        self.walks += 1
        return super().values()

    def items(self):
        self.walks += 1
        return super().items()


class FakeLease:
    """A lease that knows whether it was released."""

    def __init__(self, url="", release=lambda: None):
        self.url = url
        self.released = False
        self._release = release

    async def release(self):
        assert not self.released, "released twice"
        self.released = True
        self._release()


class Request:
    def __init__(self, path, headers):
        self.path = path
        self.headers = headers


_SPAWNED = []


def close_spawned():
    """Close the background work that tests have left behind, so that Python doesn't take it for forgotten."""
    while _SPAWNED:
        _SPAWNED.pop().close()


class FakeServices:
    """The process. Background work is kept in ``spawned`` and runs only if a test runs it."""

    def __init__(self):
        self.metrics = Registry()
        self.http = self
        self.reloading = self
        self.paths = {}
        self.refused_addresses = set()
        self.spawned = []
        self.fatalities = []
        self.leaving = False
        self.packets = 0
        self.digest = "running"
        self.on_disk = "running"
        self.reloads = []
        self.reload_succeeds = True

    async def acquire(self, address, path, handler):
        if address in self.refused_addresses:
            raise LifecycleError(f"listen tcp {address}: bind: address already in use")
        self.paths.setdefault((address, path), []).append(handler)
        return FakeLease(f"http://{address}{path}", lambda: self.paths[address, path].remove(handler))

    def get(self, address, path, **headers):
        """What the newest handler of a path answers: status and text."""
        status, _, body = self.paths[address, path][-1](Request(path, headers))
        return status, body.decode()

    def spawn(self, name, work):
        lease = FakeLease(release=work.close)
        self.spawned.append((work, lease))
        _SPAWNED.append(work)
        return lease

    def fatal(self, message):
        self.fatalities.append(message)

    async def check(self):
        if isinstance(self.on_disk, Exception):
            raise self.on_disk
        return self.on_disk

    async def reload(self):
        self.reloads.append(self.on_disk)
        if self.reload_succeeds:
            self.digest = self.on_disk
        return self.reload_succeeds


class FakeSetup:
    """One server block. ``published`` counts how often its answers have changed."""

    def __init__(self, services=None, *, zones=("example.org.",), listen=(("", 53),)):
        self.services = services or FakeServices()
        self.zones = tuple(names.from_text(zone) for zone in zones)
        self.server = "dns://:53"
        self.listen = listen
        self.directory = "/"
        self.root = ""
        self.debug = False
        self.view = ""
        self.siblings = {}
        self.published = 0

    def path(self, argument):
        return argument

    def publish(self):
        self.published += 1


def make(text, *, setup=None, answer=None, interfaces=None):
    """The plugin that ``text`` makes; ``answer`` is what the rest of the chain makes of a query."""
    plugin_class = table.load(text.split()[0])
    plugin = plugin_class(parse(text, interfaces=interfaces), setup or FakeSetup())
    plugin.setup.siblings[plugin.name] = plugin
    plugin.next = answer or (lambda query: Reply(plugin="behind"))
    return plugin


def finished(work):
    """The result of a coroutine."""
    return asyncio.run(work)


def metric(services, name, *labels):
    """The value of a metric; of a histogram the number of observations. None if it isn't there."""
    child = services.metrics.families[name].children.get(labels)
    if child is None:
        return None
    return child.value if isinstance(child, Value) else sum(child.counts)
