# SPDX-License-Identifier: Apache-2.0
"""Through an engine: kubernetes for cluster.local, and behind it what other servers would say."""

import asyncio
import time

import dns.flags
import dns.message
import dns.rcode
import pytest
from support.directives import FakeSetup, check, finished, metric, parse
from support.dns_cluster import Served, namespace, put, remove, service
from support.serving import Answering, client, make_engine

from clusterdns.cluster.objects import Pod
from clusterdns.dns import names
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.types import FLAG_AD, FLAG_TC, NXDOMAIN, REFUSED, SERVFAIL, type_text
from clusterdns.errors import LifecycleError
from clusterdns.plugins.acl import Acl
from clusterdns.plugins.autopath import MAX_DECISIONS, Autopath, Decisions, parse_search
from clusterdns.serving.capabilities import SearchPathSource
from clusterdns.serving.later import Later
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.query import Client, Query
from clusterdns.serving.reply import Reply, Sections

WEB = Pod("testns", "web", ("10.1.0.1", "fd00::1"), "uid-1")
OTHER = Pod("n2", "other", ("10.1.0.2",), "uid-2")
OBJECTS = (namespace("testns"), namespace("n2"), service("db", "10.0.0.1"), service("db2", "10.0.0.2", namespace="n2"))
FIRST = ".testns.svc.cluster.local."
SOA = "SOA ns.test. admin.test. 1 2 3 4 5"
WORLD = {
    ("api.example.com.", "A"): ["api.example.com. 60 A 192.0.2.1"],
    ("api.example.com.", "AAAA"): ["api.example.com. 60 AAAA 2001:db8::1"],
    ("v4.example.com.", "A"): ["v4.example.com. 2 A 192.0.2.2"],
    ("v4.example.com.", "AAAA"): [],
    ("alias.example.com.", "A"): ["alias.example.com. 30 CNAME v4.example.com.", "v4.example.com. 20 A 192.0.2.2"],
    ("git.corp.example.", "A"): ["git.corp.example. 60 A 192.0.2.3"],
    ("git.corp.example.", "AAAA"): [],
    ("api.example.com.corp.example.", "A"): [],
    ("api.example.com.corp.example.", "AAAA"): [],
    ("text.example.com.", "TXT"): ["text.example.com. 60 TXT hello"],
    ("text.example.com.", "A"): [],
}


class World:
    """Other servers: what they have of a name, or an rcode; ``later`` lets every reply take its time."""

    def __init__(self):
        self.records = dict(WORLD)
        self.rcodes = {}
        self.flags = 0
        self.asked = []
        self.later = False

    def answer(self, query):
        name, rtype = names.to_text(query.name), type_text(query.qtype)
        self.asked.append((name, rtype))
        reply = self.reply(query.key, names.to_text(query.key), rtype)
        return self._in_time(reply) if self.later else reply

    async def _in_time(self, reply):
        await asyncio.sleep(0)
        return reply

    def reply(self, key, name, rtype):
        texts = self.records.get((name, rtype))
        rcode = self.rcodes.get((name, rtype), self.rcodes.get(name, 0))
        if rcode:
            return Reply(rcode, plugin="forward")
        denial = (parse_record(f"test. 9 {SOA}", names.ROOT, 0),)
        if not texts:
            return Reply(NXDOMAIN if texts is None else 0, Sections(authority=denial), plugin="forward")
        answer = tuple(parse_record(text, names.ROOT, 0) for text in texts)
        return Reply(0, Sections(answer), flags=self.flags, plugin="forward")


class Cluster:
    """An engine with autopath before kubernetes; ``address`` asks."""

    def __init__(self, *pods, text="autopath @kubernetes", options="pods verified", resolv_conf=None, acl="", tmp=None):
        self.kubernetes = Served(
            [*OBJECTS, *(pods or (WEB, OTHER))], f"{{\n{options}\nfallthrough x.example\n}}"
        ).plugin
        self.store = self.kubernetes.store
        self.world = World()
        self.seconds = [100.0]
        self.setup = FakeSetup(zones=(".",))
        self.setup.siblings["kubernetes"] = self.kubernetes
        path = "/nonexistent"
        if resolv_conf is not None:
            (tmp / "resolv.conf").write_text(resolv_conf)
            path = str(tmp / "resolv.conf")
        self.autopath = Autopath(
            parse(f"{text}\nwhoami", zones="."), self.setup, clock=lambda: self.seconds[0], host_resolv_conf=path
        )
        finished(self.autopath.start())
        plugins = [self.autopath, self.kubernetes, Answering(self.world.answer)]
        if acl:
            plugins.insert(1, Acl(parse(acl, zones="."), FakeSetup(zones=(".",))))
        self.engine = make_engine({".": plugins})

    def ask(self, name, rtype="A", address="10.1.0.1", protocol="udp", **options):
        query = dns.message.make_query(name, rtype, **options)
        output = self.engine.handle(query.to_wire(), Client(protocol, address, 4000, "192.0.2.53", 53))
        if not isinstance(output, bytes):
            output = asyncio.run(_wait(output))
        return dns.message.from_wire(output)

    def lines(self, name, rtype="A", **options):
        """rcode, and the records of the answer."""
        reply = self.ask(name, rtype, **options)
        return [
            dns.rcode.to_text(reply.rcode()),
            *(text for rrset in reply.answer for text in str(rrset).split("\n")),
        ]


async def _wait(output):
    return await output


def alias(name, target, ttl=5):
    return f"{name}{FIRST} {ttl} IN CNAME {target}"


def test_a_name_from_outside_is_answered_with_the_first_query():
    cluster = Cluster()
    assert cluster.lines("api.example.com" + FIRST) == [
        "NOERROR",
        alias("api.example.com", "api.example.com."),
        "api.example.com. 60 IN A 192.0.2.1",
    ]
    assert cluster.world.asked == [("api.example.com.", "A")]
    assert metric(cluster.setup.services, "coredns_autopath_success_total", "dns://:53") == 1


def test_the_letters_of_the_client_stay():
    cluster = Cluster()
    reply = cluster.ask("API.example.com.TestNS.svc.cluster.LOCAL.")
    assert str(reply.question[0].name) == "API.example.com.TestNS.svc.cluster.LOCAL."
    assert str(reply.answer[0]).endswith("IN CNAME API.example.com.")
    assert str(reply.answer[0].name) == "API.example.com.TestNS.svc.cluster.LOCAL."
    assert cluster.world.asked == [("API.example.com.", "A")]


def test_names_of_other_namespaces_are_found_before_those_from_outside():
    cluster = Cluster()
    cluster.world.records["db2.n2.", "A"] = ["db2.n2. 60 A 192.0.2.66"]
    assert cluster.lines("db2.n2" + FIRST) == [
        "NOERROR",
        alias("db2.n2", "db2.n2.svc.cluster.local."),
        "db2.n2.svc.cluster.local. 5 IN A 10.0.0.2",
    ]
    assert cluster.lines("db2.n2.svc" + FIRST)[1] == alias("db2.n2.svc", "db2.n2.svc.cluster.local.")
    assert cluster.world.asked == []


def test_names_that_exist_are_answered_as_they_are_and_reused():
    cluster = Cluster()
    assert cluster.lines("db" + FIRST) == ["NOERROR", f"db{FIRST} 5 IN A 10.0.0.1"]
    assert cluster.lines("db" + FIRST, "AAAA") == ["NOERROR"]
    assert cluster.lines("db" + FIRST, "TXT") == ["NOERROR"]
    assert cluster.lines(FIRST[1:]) == ["NOERROR"]
    assert cluster.world.asked == []
    query = Query(dns.message.make_query("db" + FIRST, "A").to_wire(), client(address="10.1.0.1"))
    query.resolve = cluster.engine.resolve
    assert cluster.autopath.handle(query).reusable


def test_a_miss_is_never_reused():
    cluster = Cluster()
    packet = dns.message.make_query("api.example.com" + FIRST, "A", id=7).to_wire()
    for address in ("192.0.2.99", "192.0.2.99", "10.1.0.1", "192.0.2.99"):
        reply = dns.message.from_wire(cluster.engine.handle(packet, client(address=address)))
        assert bool(reply.answer) == (address == "10.1.0.1")


@pytest.mark.parametrize(
    ("pod", "known"),
    [
        (Pod("testns", "p", ("10.1.0.1",)), True),
        (Pod("testns", "p", ("10.1.0.9", "10.1.0.1")), True),
        (Pod("testns", "p", ("10.1.0.1",), host_network=True), False),
        (Pod("testns", "p", ("10.1.0.1",), terminating=True), False),
        (Pod("testns", "p", ("10.1.0.1",), cluster_search=False), False),
        (Pod("n2", "p", ("10.1.0.1",)), False),
        (Pod("testns", "p", ("10.1.0.7",)), False),
    ],
)
def test_only_pods_that_are_known_for_sure_are_searched_for(pod, known):
    reply = Cluster(pod).lines("api.example.com" + FIRST)
    assert reply[0] == ("NOERROR" if known else "NXDOMAIN")


@pytest.mark.parametrize(("age_seconds", "known"), [(3600, True), (11, True), (5, False), (-3600, False)])
def test_a_pod_is_known_once_its_addresses_are_settled(age_seconds, known):
    pod = Pod("testns", "p", ("10.1.0.1",), network_seconds=int(time.time()) - age_seconds)
    assert Cluster(pod).lines("api.example.com" + FIRST)[0] == ("NOERROR" if known else "NXDOMAIN")


def test_an_address_that_two_pods_have_is_nobodys():
    cluster = Cluster(WEB)
    twin = Pod("n2", "twin", ("10.1.0.1",), "uid-9")
    put(cluster.store, twin)
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    assert cluster.lines("api.example.com" + FIRST, address="fd00::1")[0] == "NOERROR"
    remove(cluster.store, WEB)
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    assert cluster.lines("api.example.com.n2.svc.cluster.local.")[0] == "NOERROR"


def test_decisions_belong_to_the_pod_and_not_to_its_address():
    cluster = Cluster(WEB)
    cluster.world.rcodes["api.example.com."] = SERVFAIL
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    cluster.world.rcodes.clear()
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    put(cluster.store, Pod("testns", "web", ("10.1.0.1",), "uid-3"))
    assert cluster.lines("api.example.com" + FIRST)[0] == "NOERROR"


def test_without_pods_verified_nothing_is_done():
    cluster = Cluster(options="pods insecure")
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]


# A and AAAA agree


def test_a_name_with_one_family_exists_for_both():
    cluster = Cluster()
    assert cluster.lines("v4.example.com" + FIRST, "AAAA") == ["NOERROR", alias("v4.example.com", "v4.example.com.")]
    reply = cluster.ask("v4.example.com" + FIRST, "AAAA")
    assert [str(rrset.name) for rrset in reply.authority] == ["test."]
    assert cluster.lines("v4.example.com" + FIRST)[0] == "NOERROR"


def test_a_name_without_addresses_is_passed_over(tmp_path):
    cluster = Cluster(resolv_conf="search corp.example", tmp=tmp_path)
    for rtype in ("A", "AAAA"):
        assert cluster.lines("api.example.com" + FIRST, rtype)[1] == alias("api.example.com", "api.example.com.")
    assert ("api.example.com.corp.example.", "AAAA") in cluster.world.asked


@pytest.mark.parametrize("order", [("A", "AAAA"), ("AAAA", "A")])
def test_the_second_query_follows_the_first_whatever_changes(order):
    cluster = Cluster()
    assert cluster.lines("db2.new" + FIRST, order[0]) == ["NXDOMAIN"]
    put(cluster.store, namespace("new"), service("db2", "10.0.0.7", "fd00::7", namespace="new"))
    assert cluster.lines("db2.new" + FIRST, order[1]) == ["NXDOMAIN"]
    cluster.seconds[0] += 5
    for rtype in order:
        assert cluster.lines("db2.new" + FIRST, rtype)[1] == alias("db2.new", "db2.new.svc.cluster.local.")


def test_one_that_fails_after_the_other_was_found_is_a_failure():
    cluster = Cluster()
    cluster.world.rcodes["api.example.com.", "AAAA"] = SERVFAIL
    assert cluster.lines("api.example.com" + FIRST)[0] == "NOERROR"
    assert cluster.lines("api.example.com" + FIRST, "AAAA") == ["SERVFAIL"]


def test_of_two_searches_at_once_the_first_to_end_decides():
    cluster = Cluster()
    order = []

    def slow(query):
        name, rtype = names.to_text(query.key), type_text(query.qtype)
        later = Later(asyncio.get_running_loop().create_future)
        order.append((later, name, rtype))
        return later

    cluster.engine = make_engine({".": [cluster.autopath, cluster.kubernetes, Answering(slow)]})

    async def run():
        work = []
        for rtype in ("A", "AAAA"):
            packet = dns.message.make_query("api.example.com" + FIRST, rtype).to_wire()
            work.append(asyncio.ensure_future(_wait(cluster.engine.handle(packet, client(address="10.1.0.1")))))
        await asyncio.sleep(0)
        assert [(name, rtype) for _, name, rtype in order] == [("api.example.com.", "A"), ("api.example.com.", "AAAA")]
        order[1][0].set(Reply(SERVFAIL, plugin="forward"))
        for _ in range(5):
            await asyncio.sleep(0)
        order[0][0].set(cluster.world.reply(b"", "api.example.com.", "A"))
        return [dns.message.from_wire(output) for output in await asyncio.gather(*work)]

    assert [dns.rcode.to_text(reply.rcode()) for reply in asyncio.run(run())] == ["NXDOMAIN", "NXDOMAIN"]


# What isn't clear


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
def test_where_one_name_fails_the_client_goes_on_by_itself(rcode, tmp_path):
    cluster = Cluster(resolv_conf="search corp.example", tmp=tmp_path)
    cluster.world.rcodes["api.example.com.corp.example."] = rcode
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    assert ("api.example.com.", "A") not in cluster.world.asked


def test_all_names_missing_is_the_first_denial():
    cluster = Cluster()
    reply = cluster.ask("nothing.test" + FIRST)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert [str(rrset.name) for rrset in reply.authority] == ["cluster.local."]
    assert cluster.world.asked == [("nothing.test.", "A")]


def test_other_types_go_to_the_first_name_that_has_them():
    cluster = Cluster()
    assert cluster.lines("text.example.com" + FIRST, "TXT")[2] == 'text.example.com. 60 IN TXT "hello"'
    assert cluster.lines("api.example.com" + FIRST, "MX") == ["NXDOMAIN"]


def test_https_goes_where_the_addresses_are():
    cluster = Cluster()
    cluster.world.records["v4.example.com.", "HTTPS"] = []
    assert cluster.lines("v4.example.com" + FIRST, "HTTPS") == ["NOERROR", alias("v4.example.com", "v4.example.com.")]


def test_a_truncated_reply_is_found():
    cluster = Cluster()
    cluster.world.flags = FLAG_TC | FLAG_AD
    reply = cluster.ask("api.example.com" + FIRST)
    assert reply.flags & dns.flags.TC
    assert not reply.flags & dns.flags.AD


def test_aliases_are_followed_and_the_ttl_is_no_longer_than_the_denial():
    cluster = Cluster()
    assert cluster.lines("alias.example.com" + FIRST) == [
        "NOERROR",
        alias("alias.example.com", "alias.example.com."),
        "alias.example.com. 30 IN CNAME v4.example.com.",
        "v4.example.com. 20 IN A 192.0.2.2",
    ]
    assert cluster.lines("v4.example.com" + FIRST)[1] == alias("v4.example.com", "v4.example.com.", ttl=2)


def test_replies_that_take_their_time():
    cluster = Cluster()
    cluster.world.later = True
    assert cluster.lines("api.example.com" + FIRST)[0] == "NOERROR"
    assert cluster.lines("nothing.test" + FIRST) == ["NXDOMAIN"]


@pytest.mark.parametrize("action", ["block", "filter", "drop"])
def test_a_client_gets_nothing_that_acl_denies_it(action):
    cluster = Cluster(acl=f"acl example.com {{\n{action} net 10.1.0.0/16\n}}")
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    assert cluster.lines("api.example.com" + FIRST, "AAAA") == ["NXDOMAIN"]
    assert cluster.world.asked == []


def test_a_zone_with_a_block_of_its_own_is_asked_there():
    cluster = Cluster()
    inside = Answering(lambda query: Reply(REFUSED if query.depth else NXDOMAIN, plugin="inside"))
    cluster.engine = make_engine({".": [*cluster.engine.router.blocks[b"\0"][0].plugins], "example.com": [inside]})
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]
    assert (inside.asked, cluster.world.asked) == (1, [])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("api.example.com" + FIRST, {"flags": dns.flags.RD | dns.flags.CD, "want_dnssec": True}),
        ("api.example.com" + FIRST, {"rdclass": "CH"}),
        ("testns.svc.cluster.local.", {}),
        ("api.example.com.svc.cluster.local.", {}),
        ("api.example.com.nowhere.svc.cluster.local.", {}),
        ("api.example.com.testns.pod.cluster.local.", {}),
    ],
)
def test_what_is_left_alone(name, options):
    cluster = Cluster()
    cluster.lines(name, **options)
    assert cluster.world.asked == []


def test_a_name_that_would_be_too_long_is_left_out(tmp_path):
    domain = ".".join(["a" * 60] * 3)
    cluster = Cluster(resolv_conf=f"search {domain}", tmp=tmp_path)
    long_name = ".".join(["b" * 60, "example.com"])
    assert cluster.lines(long_name + FIRST) == ["NXDOMAIN"]
    assert cluster.world.asked == [(long_name + ".", "A")]


def test_the_machines_list_comes_after_the_clusters_and_without_it(tmp_path):
    text = "domain x.test\nsearch kube-system.svc.cluster.local cluster.local corp.example\noptions ndots:5\n"
    cluster = Cluster(resolv_conf=text, tmp=tmp_path)
    assert cluster.lines("git" + FIRST)[1] == alias("git", "git.corp.example.")
    assert [name for name, _ in cluster.world.asked] == ["git.corp.example."]


# A file


def test_a_search_list_for_all_clients(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("search one.test corp.example\n")
    cluster = Cluster(text=f"autopath {path}")
    assert cluster.lines("git.one.test.", address="192.0.2.77")[1:] == [
        "git.one.test. 5 IN CNAME git.corp.example.",
        "git.corp.example. 60 IN A 192.0.2.3",
    ]
    assert cluster.lines("one.test.") == ["NXDOMAIN"]
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]


def test_a_file_without_a_search_list_does_nothing(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.53\n")
    assert Cluster(text=f"autopath {path}").lines("git.one.test.") == ["NXDOMAIN"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("search a.test B.Test.\n", ["a.test.", "b.test."]),
        ("search a.test\ndomain b.test c.test\n", ["b.test."]),
        ("domain b.test\nsearch a.test a..b . c.test\n", ["a.test.", ".", "c.test."]),
        ("# search x.test\nsearch\n", []),
    ],
)
def test_search_lists_of_resolv_conf(text, expected):
    assert [names.to_text(domain) for domain in parse_search(text)] == expected


def test_a_file_that_is_not_there_ends_the_start():
    with pytest.raises(LifecycleError) as caught:
        Cluster(text="autopath /nosuch")
    expected = 'plugin/autopath: failed to parse "/nosuch": open /nosuch: no such file or directory'
    assert str(caught.value) == expected


# The Corefile


def test_a_directive_that_knows_no_search_lists_ends_the_start():
    class Mute(Plugin):
        name = "whoami"

    setup = FakeSetup()
    setup.siblings["whoami"] = Mute((), setup)
    plugin = Autopath(parse("autopath @whoami\nwhoami"), setup)
    with pytest.raises(LifecycleError, match="plugin/autopath: whoami does not implement the AutoPather interface"):
        finished(plugin.start())


def test_a_directive_that_is_not_there_is_warned_of_and_nothing_happens(caplog):
    verdict = check("autopath @kubernetes\nwhoami")
    assert [warning.message for warning in verdict.warnings] == [
        "this does nothing: there is no 'kubernetes' in this server block"
    ]
    plugin = Autopath(verdict.plan.blocks[0].directive("autopath").options, FakeSetup())
    finished(plugin.start())
    assert "there is no kubernetes in this server block, so autopath does nothing" in caplog.text


def test_the_last_use_counts():
    verdict = check("autopath a.test /one\nautopath b.test 10.0.0.0/8 /two\nwhoami")
    options = verdict.plan.blocks[0].directive("autopath").options
    assert (options.source, [names.to_text(zone) for zone in options.zones]) == (
        "/two",
        ["b.test.", "10.in-addr.arpa."],
    )
    assert [warning.message for warning in verdict.warnings] == [
        "this autopath has no effect: the one of line 3 counts"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("autopath", "no resolv-conf specified"),
        ("autopath /a {\n}", "Unexpected token '{', expecting argument"),
    ],
)
def test_faults(text, message):
    assert [error.message for error in check(f"{text}\nwhoami").errors] == [message]


def test_the_zones_limit_it():
    cluster = Cluster(text="autopath example.net @kubernetes")
    assert cluster.lines("api.example.com" + FIRST) == ["NXDOMAIN"]


def test_kubernetes_is_a_source():
    assert isinstance(Cluster().kubernetes, SearchPathSource)


# Decisions


def test_decisions_are_bounded():
    seconds = [0.0]
    decisions = Decisions(lambda: seconds[0])
    for number in range(MAX_DECISIONS + 10):
        decisions.make((b"", "", str(number).encode()), 1)
    assert decisions.find((b"", "", b"9")) is None
    assert decisions.find((b"", "", b"10")) == 1
    seconds[0] = 6.0
    decisions.make((b"", "", b"new"), 2)
    assert len(decisions._made) == 1
