# SPDX-License-Identifier: Apache-2.0
import logging

import dns.edns
import dns.message
import pytest
from support.directives import FakeSetup, check, finished, metric, parse, query
from support.dns_cluster import endpoints, pod, put, remove, service, store_of
from support.serving import Answering, Passing, client, make_engine, wire

from clusterdns.dns import names
from clusterdns.dns.masterfile import record_text
from clusterdns.errors import LifecycleError
from clusterdns.plugins.families import Families
from clusterdns.serving.finish import finish
from clusterdns.serving.plugin import Plugin
from clusterdns.serving.reply import Reply

V4 = service("one", "10.0.0.1")
V6 = service("two", "fd00::1")
DUAL = service("dual", "10.0.0.2", "fd00::2")
HEADLESS = service("headless", "None")


class Cluster(Plugin):
    """What ``families`` sees of ``kubernetes``."""

    name = "kubernetes"

    def __init__(self, store):
        self.store = store
        self.is_ready = True

    def ready(self):
        return self.is_ready

    def owns(self, query):
        return True if names.is_in(query.key, names.from_text("cluster.local.")) else None


def started(text="families auto", objects=(), setup=None):
    setup = setup or FakeSetup(zones=(".",))
    cluster = Cluster(store_of(objects))
    setup.siblings["kubernetes"] = cluster
    plugin = Families(parse(text if "auto" not in text else f"{text}\nkubernetes {{\nmanifests d\n}}"), setup)
    plugin.next = lambda query: Reply(plugin="behind")
    finished(plugin.start())
    return plugin, cluster


def denied(plugin, name="www.example.org.", **options):
    """The types that are denied."""
    return [rtype for rtype in ("A", "AAAA", "MX", "ANY") if not is_passed(plugin, name, rtype, **options)]


def is_passed(plugin, name, rtype, **options):
    return plugin.handle(query(name, rtype, **options)).plugin == "behind"


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ((), []),
        ((HEADLESS,), []),
        ((V4,), ["AAAA"]),
        ((V6,), ["A"]),
        ((V4, V6), []),
        ((DUAL,), []),
        ((V4, HEADLESS, endpoints("headless", "fd00::9", family="IPv6")), []),
        ((V4, HEADLESS, endpoints("headless", "10.1.1.1")), ["AAAA"]),
        ((V4, HEADLESS, endpoints("headless", "host.example", family="FQDN")), ["AAAA"]),
        ((V4, pod("p", "10.1.1.1", "fd00::3")), []),
        ((V6, pod("p", "fd00::3")), ["A"]),
    ],
)
def test_auto_denies_what_the_cluster_has_nothing_of(objects, expected):
    assert denied(started(objects=objects)[0]) == expected


def test_auto_follows_the_cluster():
    setup = FakeSetup(zones=(".",))
    plugin, cluster = started(objects=(V4,), setup=setup)
    published = setup.published
    put(cluster.store, DUAL)
    assert (denied(plugin), setup.published) == ([], published + 1)
    put(cluster.store, V6)
    remove(cluster.store, DUAL)
    assert denied(plugin) == []
    remove(cluster.store, V6)
    assert (denied(plugin), setup.published) == (["AAAA"], published + 2)
    put(cluster.store, service("one", "fd00::7"))
    assert denied(plugin) == ["A"]


def test_auto_waits_for_the_cluster():
    plugin, cluster = started(objects=(V4,))
    cluster.is_ready = False
    assert denied(plugin) == []
    cluster.is_ready = True
    assert denied(plugin) == ["AAAA"]


def test_auto_stops_looking():
    plugin, cluster = started(objects=(V4,))
    finished(plugin.stop(False))
    put(cluster.store, V6)
    assert denied(plugin) == ["AAAA"]


def test_what_changes_is_told(caplog):
    caplog.set_level(logging.INFO)
    _, cluster = started(objects=(V4,))
    put(cluster.store, V6)
    assert [record.message for record in caplog.records] == [
        "the cluster has no IPv6: queries for AAAA records get empty answers",
        "queries for A and AAAA records are both answered",
    ]


def test_a_family_may_be_written():
    assert denied(started("families v4", (DUAL,))[0]) == ["AAAA"]
    assert denied(started("families v6", (DUAL,))[0]) == ["A"]


def test_names_of_the_cluster_are_its_own():
    plugin, _ = started("families v4")
    assert denied(plugin, "a.b.svc.Cluster.Local.") == []


def test_names_outside_that_the_cluster_has_are_its_own_too():
    class External(Plugin):
        name = "k8s_external"

        def owns(self, query):
            return True if names.is_in(query.key, names.from_text("lb.example.org.")) else None

    setup = FakeSetup(zones=(".",))
    setup.siblings["k8s_external"] = External((), setup)
    plugin, _ = started("families v4", setup=setup)
    assert denied(plugin, "web.dev.lb.example.org.") == denied(plugin, "web.dev.svc.cluster.local.") == []
    assert denied(plugin) == ["AAAA"]


def test_without_a_cluster_a_written_family_counts():
    plugin = Families(parse("families v4"), FakeSetup())
    plugin.next = lambda query: Reply(plugin="behind")
    finished(plugin.start())
    assert denied(plugin) == ["AAAA"]
    plugin = Families(parse("families auto\nkubernetes {\nmanifests d\n}"), FakeSetup())
    with pytest.raises(LifecycleError):
        finished(plugin.start())


def test_other_classes_internal_look_ups_and_validating_clients_are_passed_on():
    plugin, _ = started("families v4")
    assert is_passed(plugin, "www.example.org.", "AAAA", rdclass="CH")
    assert is_passed(plugin, "www.example.org.", "AAAA", want_dnssec=True, flags=dns.flags.CD)
    assert not is_passed(plugin, "www.example.org.", "AAAA", want_dnssec=True)
    question = query("www.example.org.", "AAAA")
    question.depth = 1
    assert plugin.handle(question).plugin == "behind"


def test_the_answer_is_empty_and_can_be_cached():
    plugin, _ = started("families v4")
    question = query("Www.Example.org.", "AAAA", use_edns=0)
    question.zone = names.from_text("example.org.")
    reply = plugin.handle(question)
    sections = reply.records(question)
    assert (reply.rcode, reply.reusable, sections.answer, sections.additional) == (0, True, (), ())
    assert [record_text(record).replace("\t", " ") for record in sections.authority] == [
        "example.org. 30 IN SOA example.org. nobody.invalid. 1 7200 1800 86400 30"
    ]
    written = dns.message.from_wire(finish(question, reply)[0])
    assert dns.flags.to_text(written.flags) == "QR AA RD"
    (option,) = written.options
    assert (option.code, option.text) == (29, "the cluster has no IPv6")


def test_denials_are_counted_also_when_they_are_reused():
    setup = FakeSetup(zones=(".",))
    plugin, _ = started("families v4", setup=setup)
    engine = make_engine({".": [plugin, Answering(lambda query: Reply(plugin="behind"))]})
    for number in range(3):
        engine.handle(wire("www.example.org.", "AAAA", id=number), client())
        engine.handle(wire("www.example.org.", "A", id=number), client())
    (entry,) = engine.memo("udp", 1).entries.values()
    entry[0] += 4  # as a transport does that sends the reply again
    engine.flush()
    assert metric(setup.services, "coredns_families_denied_total", "dns://:53", "", "AAAA") == 7
    assert metric(setup.services, "coredns_families_denied_total", "dns://:53", "", "A") is None


def test_a_directive_in_front_that_is_not_pure_bars_reuse():
    plugin, _ = started("families v4")
    engine = make_engine({".": [Passing(), plugin]})
    for number in range(3):
        engine.handle(wire("www.example.org.", "AAAA", id=number), client())
    assert not engine.memo("udp", 1).entries


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("families", "Wrong argument count or unexpected line ending after 'families'"),
        ("families v4 v6", "Wrong argument count or unexpected line ending after 'v6'"),
        ("families ipv4", "unknown families 'ipv4'"),
        ("families v4 {\nx\n}", "Unexpected token '{', expecting argument"),
        ("families v4\nfamilies v6", "this plugin can only be used once per Server Block"),
        ("families auto", "families auto needs kubernetes in the same server block"),
    ],
)
def test_faults(text, message):
    assert [error.message for error in check(text).errors] == [message]
