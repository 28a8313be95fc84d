# SPDX-License-Identifier: Apache-2.0
import asyncio
from time import perf_counter

import dns.flags
import pytest
from support.directives import FakeSetup, check, finished, metric, parse
from support.dns_cluster import namespace, pod, put, remove, store_of
from support.serving import Answering, client, make_engine, query, wire

from clusterdns.dns import names
from clusterdns.dns.types import NXDOMAIN, SERVFAIL
from clusterdns.errors import LifecycleError
from clusterdns.plugins.warmup import Warmup, internal_endings
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.reply import Reply

KUBERNETES = "kubernetes cluster.local {\nmanifests d\n}"
OBJECTS = (
    namespace("default"),
    namespace("prod"),
    namespace("kube-system"),
    pod("web-0", "192.0.2.1", namespace="prod"),
)
MISS = "api.example.com.prod.svc.cluster.local."
SERVER = "dns://:53"


class Cluster(Plugin):
    """What ``warmup`` sees of ``kubernetes``."""

    name = "kubernetes"

    def __init__(self, zones=("cluster.local.",), pods=True):
        self.store = store_of(OBJECTS)
        self.search_zones = tuple(map(names.from_text, zones))
        self.is_ready = True
        self.pods = pods

    def ready(self):
        return self.is_ready

    def client_namespace(self, query):
        if not self.pods:
            return None
        pods = self.store.objects("Pod")
        return next((each.namespace for each in pods if query.client.address in each.ips), "")


class Server:
    """A started ``warmup`` in front of a cluster that knows no name; ``looked_up`` is what it asks the server for."""

    def __init__(self, options="", *, zones=(".",), cluster=None, answer=None):
        self.now = 100.0
        self.setup = FakeSetup(zones=zones)
        self.cluster = self.setup.siblings["kubernetes"] = cluster or Cluster()
        text = f"warmup {{\n{options}\n}}\n{KUBERNETES}\ncache"
        self.plugin = Warmup(parse(text), self.setup, clock=lambda: self.now)
        self.plugin.next = lambda query: self.denial()
        self.answer = answer or (lambda query: Reply(plugin="forward"))
        self.existing = {}
        self.tried = []
        self.looked_up = []
        finished(self.plugin.start())

    def denial(self):
        reply = Reply(NXDOMAIN, plugin="kubernetes")
        reply.reusable = True
        return reply

    def resolve(self, query, name, qtype):
        inner = query.derive(name=name, qtype=qtype, depth=query.depth + 1)
        zone = next((each for each in self.cluster.search_zones if names.is_in(inner.key, each)), None)
        if zone is not None:
            self.tried.append(names.to_text(name))
            return self.existing.get(names.to_text(name)) or self.denial()
        self.looked_up.append(inner)
        return self.answer(inner)

    def handle(self, name=MISS, rtype="A", *, depth=0, **options):
        question = query(name, rtype, **options)
        question.server = SERVER
        question.depth = depth
        question.resolve = self.resolve
        return self.plugin.handle(question)

    def run(self):
        """Run the look-ups that have begun; the names."""
        spawned = self.setup.services.spawned
        before = len(self.looked_up)
        while spawned:
            finished(spawned.pop(0)[0])
        return [names.to_text(each.name) for each in self.looked_up[before:]]

    def ask(self, *arguments, **options):
        """What is looked up because of a query."""
        self.handle(*arguments, **options)
        return self.run()

    def skipped(self, reason):
        return metric(self.setup.services, "clusterdns_warmup_skipped_total", SERVER, "", reason)

    def results(self):
        family = self.setup.services.metrics.families["clusterdns_warmup_lookups_total"]
        return {labels[-1]: child.value for labels, child in family.children.items()}

    def used(self):
        return metric(self.setup.services, "clusterdns_warmup_used_total", SERVER, "")


def test_a_miss_of_the_first_search_domain_looks_the_rest_up():
    server = Server()
    reply = server.handle("Api.Example.com.Prod.svc.Cluster.local.", "AAAA", want_dnssec=True, payload=1400)
    assert (reply.rcode, reply.plugin, reply.reusable) == (NXDOMAIN, "kubernetes", True)
    assert server.looked_up == []  # the client is answered first
    assert server.run() == ["Api.Example.com."]
    (asked,) = server.looked_up
    assert (asked.depth, asked.qtype, asked.edns.do, asked.edns.size) == (0, 28, True, 1400)
    assert asked.flags & dns.flags.RD
    assert asked.client.address == "192.0.2.1"


@pytest.mark.parametrize(
    "rest",
    [
        "redis",  # one label
        "redis.default",
        "redis.PROD",
        "web-0.redis.kube-system",
        "_http._tcp.redis.prod",
        "redis.other.svc",
        "redis.other.svc.cluster",
        "redis.other.svc.cluster.local",
        "10-1-1-1.other.pod",
        "10-1-1-1.other.pod.cluster",
        "redis.cluster",
        "redis.cluster.local",
        "printer.local",
        "10.0.0.1",
        "www.corp.example",
        "corp.example",
        "files.tools",
        "a.b.tools",
    ],
)
def test_names_that_may_be_internal_are_not_looked_up(rest):
    server = Server("except tools", zones=(".", "corp.example."))
    assert server.ask(f"{rest}.prod.svc.cluster.local.") == []


@pytest.mark.parametrize("rest", ["example.com", "a.b.c.example", "svc.example", "prod.example", "x.localdomain"])
def test_other_names_are(rest):
    server = Server("except tools", zones=(".", "corp.example."))
    assert server.ask(f"{rest}.prod.svc.cluster.local.") == [f"{rest}."]


def test_parents_of_the_zone_are_outside():
    server = Server(cluster=Cluster(zones=("k8s.example.com.", "10.in-addr.arpa.")))
    suffix = "prod.svc.k8s.example.com."
    assert server.ask(f"api.example.com.{suffix}") == ["api.example.com."]
    for rest in (
        "redis.other.svc.k8s",
        "redis.other.svc.k8s.example",
        "redis.k8s.example",
        "redis.other.svc.k8s.example.com",
    ):
        assert server.ask(f"{rest}.{suffix}") == []
    assert names.from_text("example.com.") not in set(internal_endings([names.from_text("k8s.example.com.")]))


@pytest.mark.parametrize(
    "name",
    [
        "api.example.com.svc.cluster.local.",  # the second search domain: the look-up has begun before
        "api.example.com.cluster.local.",
        "api.example.com.nowhere.svc.cluster.local.",
        "api.example.com.prod.pod.cluster.local.",
        "api.example.com.prod.svc.cluster.local.example.",
        "api.example.com.",
        "prod.svc.cluster.local.",
        "svc.cluster.local.",
    ],
)
def test_other_misses_mean_nothing(name):
    assert Server().ask(name) == []


def test_a_label_that_looks_like_the_domain_is_none():
    server = Server()
    octets = b"\x03api\x07example\x03com\x04prod" + bytes([19]) + b"x\x03svc\x07cluster\x05local"
    question = query()
    question.name = question.key = octets + b"\0"
    server.plugin.handle(question)
    assert server.run() == []


@pytest.mark.parametrize(
    "options",
    [{"rtype": "MX"}, {"rtype": "ANY"}, {"rdclass": "CH"}, {"flags": 0}, {"depth": 1}],
)
def test_other_queries_mean_nothing(options):
    assert Server().ask(**options) == []


def test_only_a_denial_of_a_cluster_that_was_read_is_a_miss():
    server = Server()
    server.plugin.next = lambda query: Reply(plugin="kubernetes")
    assert server.ask() == []
    server.plugin.next = lambda query: Reply(SERVFAIL, plugin="kubernetes")
    assert server.ask() == []
    server.plugin.next = lambda query: server.denial()
    server.cluster.is_ready = False
    assert server.ask() == []
    server.cluster.is_ready = True
    assert server.ask() == ["api.example.com."]


def test_a_denial_that_takes_its_time_is_a_miss_too():
    server = Server()

    async def later():
        return server.denial()

    server.plugin.next = lambda query: later()
    assert finished(server.handle()).rcode == NXDOMAIN
    assert server.run() == ["api.example.com."]


def test_only_the_namespace_of_the_client_counts_where_pods_are_known():
    server = Server()
    assert server.ask("api.example.com.default.svc.cluster.local.") == []
    assert server.skipped("client") == 1
    remove(server.cluster.store, pod("web-0", namespace="prod"))
    assert server.ask() == []
    assert server.skipped("client") == 2
    server.cluster.pods = False
    assert server.ask() == ["api.example.com."]


def test_namespaces_are_those_of_now():
    server = Server(cluster=Cluster(pods=False))
    put(server.cluster.store, namespace("com"))
    assert server.ask() == []
    assert server.skipped("internal") == 1
    remove(server.cluster.store, namespace("com"))
    assert server.ask() == ["api.example.com."]


def test_the_same_is_looked_up_once_in_a_while():
    server = Server()
    assert server.ask() == ["api.example.com."]
    assert server.ask("API.example.com.prod.svc.cluster.local.") == []
    assert server.ask(rtype="AAAA") == ["api.example.com."]
    assert server.ask(want_dnssec=True) == ["api.example.com."]
    assert server.ask(flags=dns.flags.RD | dns.flags.CD) == ["api.example.com."]
    assert server.skipped("recent") == 1
    server.now += 1.5
    assert server.ask() == []
    server.now += 1.5
    assert server.ask() == ["api.example.com."]


def test_look_ups_under_way_are_bounded():
    server = Server("max_concurrent 2")
    for number in range(4):
        server.handle(f"n{number}.example.com.prod.svc.cluster.local.")
    assert server.skipped("concurrent") == 2
    assert server.run() == ["n0.example.com.", "n1.example.com."]
    assert server.ask("n4.example.com.prod.svc.cluster.local.") == ["n4.example.com."]


def test_look_ups_in_a_second_are_bounded():
    server = Server("max_rate 3")
    found = [server.ask(f"n{number}.example.com.prod.svc.cluster.local.") for number in range(5)]
    assert [len(each) for each in found] == [1, 1, 1, 0, 0]
    assert server.skipped("rate") == 2
    server.now += 1.0
    assert server.ask("n4.example.com.prod.svc.cluster.local.") == ["n4.example.com."]


def test_what_another_search_domain_completes_is_not_looked_up():
    server = Server()
    assert server.ask("Api.Example.com.Prod.svc.Cluster.local.") == ["Api.Example.com."]
    assert server.tried == ["Api.Example.com.svc.Cluster.local.", "Api.Example.com.Cluster.local."]
    server.existing = {
        "one.tools.svc.cluster.local.": Reply(plugin="hosts"),
        "two.tools.cluster.local.": Reply(plugin="hosts"),
        "three.tools.cluster.local.": Reply(SERVFAIL, plugin="file"),
    }
    for label in ("one", "two", "three"):
        assert server.ask(f"{label}.tools.prod.svc.cluster.local.") == []
    assert server.skipped("exists") == 3
    assert server.results() == {"ready": 1}


def test_results_are_counted():
    async def later(reply):
        return reply

    async def never():
        await asyncio.Event().wait()

    async def at_an_end():
        await asyncio.sleep(0)
        raise TimeoutError

    answers = {
        "ready": lambda query: Reply(plugin="cache"),
        "resolved": lambda query: later(Reply(NXDOMAIN, plugin="forward")),
        "servfail": lambda query: later(Reply(SERVFAIL, plugin="forward")),
        "broken": lambda query: Reply.failure("nobody there"),
        "late": lambda query: at_an_end(),
    }
    server = Server(answer=lambda query: answers[names.label_text(names.labels(query.name)[0])](query))
    for label in answers:
        assert server.ask(f"{label}.example.com.prod.svc.cluster.local.") == [f"{label}.example.com."]
    assert server.results() == {"ready": 1, "resolved": 1, "failed": 3}
    assert server.plugin._leases == {}


def test_a_look_up_that_breaks_is_counted_and_told():
    def fail(query):
        raise ValueError("no such thing")

    server = Server(answer=fail)
    server.handle()
    with pytest.raises(ValueError, match="no such thing"):
        server.run()
    assert server.results() == {"failed": 1}


def test_names_that_are_then_asked_for_are_counted_once():
    server = Server()
    server.ask()
    assert server.used() is None
    for _ in range(2):
        server.handle("api.example.com.")
    server.handle("other.example.com.")
    assert server.used() == 1
    server.ask(rtype="AAAA")
    server.now += 1.0
    server.handle("Api.Example.com.", "AAAA")
    assert server.used() == 2


def test_a_look_up_of_its_own_does_not_count_as_asked_for():
    server = Server(answer=lambda looked_up: server.plugin.handle(looked_up))
    assert server.ask() == ["api.example.com."]
    assert server.used() is None
    server.handle("api.example.com.")
    assert server.used() == 1


def test_a_query_that_is_explained_has_no_effects():
    server = Server()
    question = query(MISS)
    question.trace = object()
    assert server.plugin.handle(question).rcode == NXDOMAIN
    assert server.run() == []


def test_the_end_ends_look_ups():
    server = Server()
    server.handle()
    ((_, lease),) = server.setup.services.spawned
    finished(server.plugin.stop(True))
    assert lease.released
    assert server.looked_up == []


def test_a_denial_is_sent_again_from_memory_for_a_moment_only():
    server = Server()
    behind = Answering(lambda query: server.denial())
    engine = make_engine({".": [server.plugin, behind]})
    memo = engine.memo("udp", 1)
    for name in (MISS, "redis.default.prod.svc.cluster.local."):
        for number in range(3):
            engine.handle(wire(name, id=number), client())
    assert len(memo.entries) == 2
    (left,) = [key for key in list(memo.entries) if memo.revive(key, perf_counter() + 1.0)]
    assert left == wire("redis.default.prod.svc.cluster.local.")[2:]


def test_answers_are_the_same_with_and_without():
    server = Server()
    answering = [Answering(lambda query: server.denial()) for _ in range(2)]
    with_it = make_engine({".": [server.plugin, answering[0]]})
    without = make_engine({".": [answering[1]]})
    for name in (MISS, "example.com.prod.svc.cluster.local.", "example.com.", "x.svc.cluster.local."):
        for options in ({}, {"use_edns": 0}, {"want_dnssec": True}):
            packet = wire(name, id=7, **options)
            assert with_it.handle(packet, client()) == without.handle(packet, client())


def test_there_must_be_a_cluster():
    plugin = Warmup(parse(f"warmup\n{KUBERNETES}\ncache"), FakeSetup())
    with pytest.raises(LifecycleError):
        finished(plugin.start())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warmup", "warmup needs kubernetes in the same server block"),
        (f"warmup x\n{KUBERNETES}", "Wrong argument count or unexpected line ending after 'x'"),
        (f"warmup\nwarmup\n{KUBERNETES}", "this plugin can only be used once per Server Block"),
        (f"warmup {{\nfoo\n}}\n{KUBERNETES}", "unknown property 'foo'"),
        (f"warmup {{\nexcept\n}}\n{KUBERNETES}", "Wrong argument count or unexpected line ending after 'except'"),
        (f"warmup {{\nexcept 10.0.0.1\n}}\n{KUBERNETES}", "'10.0.0.1' is no name"),
        (f"warmup {{\nmax_rate 0\n}}\n{KUBERNETES}", "max_rate must be 1 or more: 0"),
        (
            f"warmup {{\nmax_concurrent 1 2\n}}\n{KUBERNETES}",
            "Wrong argument count or unexpected line ending after '2'",
        ),
        (f"warmup {{\nmax_concurrent many\n}}\n{KUBERNETES}", 'strconv.Atoi: parsing "many": invalid syntax'),
    ],
)
def test_faults(text, message):
    assert [error.message for error in check(text).errors] == [message]


def test_warnings():
    assert [each.message for each in check(f"warmup\n{KUBERNETES}", zones=".").warnings] == [
        "nothing keeps what warmup finds"
    ]
    assert check(f"warmup\ncache\n{KUBERNETES}", zones=".").warnings == ()
    assert check(f"warmup\n{KUBERNETES}", zones="cluster.local").warnings == ()
