# SPDX-License-Identifier: Apache-2.0
import pytest
from support.directives import CountedSiblings, FakeSetup, check, finished, parse
from support.dns_cluster import Served, endpoints, line, namespace, put, query_for, remove, reply_lines, store_of

from clusterdns.cluster.changes import Replace
from clusterdns.cluster.objects import Service, ServicePort
from clusterdns.dns import names
from clusterdns.dns.types import NXDOMAIN, REFUSED, SERVFAIL, type_text
from clusterdns.errors import LifecycleError
from clusterdns.plugins.k8s_external import K8sExternal
from clusterdns.serving.capabilities import NameOwner, ZoneSource
from clusterdns.serving.reply import Reply

ZONE = "example.org."
SOA = f"? {ZONE} 5 IN SOA ns1.dns.{ZONE} hostmaster.dns.{ZONE} SERIAL 7200 1800 86400 5"
HTTP = (ServicePort("http", "TCP", 80), ServicePort("https", "TCP", 443))


def outside(name, *ips, ingress=(), ports=HTTP, place="testns", cluster_ips=("10.96.0.1",)):
    return Service(place, name, "LoadBalancer", cluster_ips, ports, "", ips, ingress)


OBJECTS = (
    namespace("testns"),
    namespace("dns"),
    outside("web", "192.0.2.1", ingress=("192.0.2.2", "2001:db8::1", "192.0.2.1")),
    outside("host", ingress=("lb.example.com", "192.0.2.9.example")),
    outside("bare", "192.0.2.5", ports=()),
    outside("inside"),
    outside("hl", cluster_ips=("None",), ports=()),
    endpoints("hl", "a=10.1.1.1", "10.1.1.2", "!10.1.1.3"),
    endpoints("inside", "b=10.1.1.9"),
    outside("svc", "192.0.2.6", place="dns"),
    outside("gone", "192.0.2.7", place="missing"),
)


class External:
    """The directive beside a started kubernetes."""

    def __init__(self, text="k8s_external", *, objects=OBJECTS, options="", zones="example.org", **cluster):
        self.kubernetes = Served(objects, options, **cluster).plugin
        self.store = self.kubernetes.store
        self.setup = FakeSetup(zones=(zones.removesuffix(".") + ".",))
        self.setup.siblings["kubernetes"] = self.kubernetes
        self.plugin = K8sExternal(
            parse(f"{text}\nkubernetes cluster.local {{\nmanifests d\n}}", zones=zones), self.setup
        )
        self.behind = Reply(NXDOMAIN, plugin="behind")
        self.plugin.next = lambda query: self.behind
        finished(self.plugin.start())

    def reply(self, name, rtype="A"):
        query = query_for(name if name.endswith(".") else f"{name}.{ZONE}", rtype)
        query.resolve = lambda query, name, qtype: self.elsewhere
        return query, self.plugin.handle(query)

    elsewhere = Reply()

    def ask(self, name, rtype="A"):
        return reply_lines(*self.reply(name, rtype))


# Answers


def test_addresses():
    server = External()
    assert server.ask("web.testns") == [
        "NOERROR",
        "web.testns.example.org. 5 IN A 192.0.2.1",
        "web.testns.example.org. 5 IN A 192.0.2.2",
    ]
    assert server.ask("web.testns", "AAAA") == ["NOERROR", "web.testns.example.org. 5 IN AAAA 2001:db8::1"]
    assert server.ask("bare.testns") == ["NOERROR", "bare.testns.example.org. 5 IN A 192.0.2.5"]
    assert server.ask("bare.testns", "AAAA") == ["NOERROR", SOA]
    for rtype in ("TXT", "MX", "NS", "CNAME", "HTTPS"):
        assert server.ask("web.testns", rtype) == ["NOERROR", SOA]
    assert server.ask("bare.testns", "SRV") == ["NOERROR", SOA]


def test_ports():
    server = External("k8s_external {\nttl 30\n}")
    glue = [
        "+ web.testns.example.org. 30 IN A 192.0.2.1",
        "+ web.testns.example.org. 30 IN A 192.0.2.2",
        "+ web.testns.example.org. 30 IN AAAA 2001:db8::1",
    ]
    assert server.ask("web.testns", "SRV") == [
        "NOERROR",
        "web.testns.example.org. 30 IN SRV 0 16 443 web.testns.example.org.",
        "web.testns.example.org. 30 IN SRV 0 16 80 web.testns.example.org.",
        *glue,
    ]
    for name in ("_http._tcp.web.testns", "http.TCP.web.testns"):
        assert server.ask(name, "SRV") == [
            "NOERROR",
            f"{name}.example.org. 30 IN SRV 0 33 80 web.testns.example.org.",
            *glue,
        ]
    assert server.ask("_http._udp.web.testns", "SRV")[0] == "NXDOMAIN"
    assert server.ask("_dns._tcp.web.testns", "SRV")[0] == "NXDOMAIN"


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("testns", "NOERROR"),
        ("nowhere", "NXDOMAIN"),
        ("missing", "NXDOMAIN"),
        ("gone.missing", "NXDOMAIN"),
        ("nothing.testns", "NXDOMAIN"),
        ("inside.testns", "NXDOMAIN"),
        ("hl.testns", "NXDOMAIN"),
        ("x.web.testns", "NXDOMAIN"),
        ("a.hl.testns", "NXDOMAIN"),
        ("a.b.c.web.testns", "NXDOMAIN"),
        ("dns", "NOERROR"),
        ("ns1.dns", "NOERROR"),
        ("foo.dns", "NXDOMAIN"),
        ("svc.dns", "NXDOMAIN"),
        ("a.ns1.dns", "NXDOMAIN"),
    ],
)
def test_names_without_addresses(name, rcode):
    assert External().ask(name, "TXT") == [rcode, SOA]


def test_letters():
    server = External()
    assert server.ask("WEB.TestNS.Example.ORG.", "AAAA") == ["NOERROR", "WEB.TestNS.Example.ORG. 5 IN AAAA 2001:db8::1"]


def test_a_host_name_is_an_alias_for_every_type():
    server = External("k8s_external {\nttl 7\n}")
    record = "host.testns.example.org. 7 IN CNAME lb.example.com."
    assert server.ask("host.testns", "CNAME") == ["NOERROR", record]
    for rtype in ("A", "SRV", "TXT"):
        assert server.ask("host.testns", rtype) == ["NOERROR", record]  # nobody to ask
    server.elsewhere = Reply(NXDOMAIN, plugin="forward")
    assert server.ask("host.testns") == ["NXDOMAIN", record]
    server.elsewhere = Reply.no_reply("acl")
    assert server.ask("host.testns") == ["SERVFAIL", record]


def test_the_ports_of_a_host_name_lead_to_it():
    server = External()
    assert server.ask("_http._tcp.host.testns", "SRV") == [
        "NOERROR",
        "_http._tcp.host.testns.example.org. 5 IN SRV 0 50 80 192.0.2.9.example.",
        "_http._tcp.host.testns.example.org. 5 IN SRV 0 50 80 lb.example.com.",
    ]
    assert server.ask("_http._tcp.host.testns") == ["NOERROR", SOA]


def test_headless_services():
    server = External("k8s_external {\nheadless\n}")
    assert server.ask("hl.testns") == [
        "NOERROR",
        "hl.testns.example.org. 5 IN A 10.1.1.1",
        "hl.testns.example.org. 5 IN A 10.1.1.2",
    ]
    assert server.ask("a.hl.testns") == ["NOERROR", "a.hl.testns.example.org. 5 IN A 10.1.1.1"]
    assert server.ask("_http._tcp.hl.testns", "SRV") == [
        "NOERROR",
        "_http._tcp.hl.testns.example.org. 5 IN SRV 0 50 80 10-1-1-2.hl.testns.example.org.",
        "_http._tcp.hl.testns.example.org. 5 IN SRV 0 50 80 a.hl.testns.example.org.",
        "+ 10-1-1-2.hl.testns.example.org. 5 IN A 10.1.1.2",
        "+ a.hl.testns.example.org. 5 IN A 10.1.1.1",
    ]
    assert server.ask("10-1-1-3.hl.testns")[0] == "NXDOMAIN"
    assert server.ask("_dns._tcp.hl.testns", "SRV")[0] == "NXDOMAIN"
    assert server.ask("inside.testns")[0] == "NXDOMAIN"
    assert server.ask("b.inside.testns")[0] == "NXDOMAIN"


# The zone itself


DNS = (
    namespace("kube-system"),
    Service("kube-system", "kube-dns", "LoadBalancer", ("10.96.0.10",), (), "", ("192.0.2.53",), ("2001:db8::53",)),
    endpoints("kube-dns", "10.244.0.2", namespace="kube-system"),
)


def test_the_zone_and_its_server():
    server = External("k8s_external {\napex edge\nttl 600\n}", objects=DNS, local_addresses=("10.244.0.2",))
    assert server.ask(ZONE, "SOA") == [
        "NOERROR",
        "example.org. 600 IN SOA ns1.edge.example.org. hostmaster.edge.example.org. SERIAL 7200 1800 86400 600",
    ]
    assert server.ask(ZONE, "NS") == [
        "NOERROR",
        "example.org. 600 IN NS ns1.edge.example.org.",
        "+ ns1.edge.example.org. 600 IN A 192.0.2.53",
        "+ ns1.edge.example.org. 600 IN AAAA 2001:db8::53",
    ]
    assert server.ask("ns1.edge") == ["NOERROR", "ns1.edge.example.org. 600 IN A 192.0.2.53"]
    assert server.ask("ns1.dns")[0] == "NXDOMAIN"
    assert server.ask(ZONE, "A")[0] == "NOERROR"


@pytest.mark.parametrize(
    ("service", "text", "expected"),
    [
        (outside("kube-dns", place="kube-system"), "k8s_external", "10.244.0.2"),
        (outside("kube-dns", place="kube-system", cluster_ips=("None",)), "k8s_external", "10.244.0.2"),
        (outside("kube-dns", place="kube-system", cluster_ips=("None",)), "k8s_external {\nheadless\n}", "10.244.0.3"),
    ],
)
def test_a_server_without_an_address_outside_has_its_own(service, text, expected):
    pods = endpoints("kube-dns", "10.244.0.2", "10.244.0.3", namespace="kube-system")
    server = External(text, objects=(namespace("kube-system"), service, pods), local_addresses=("10.244.0.2",))
    found = server.ask("ns1.dns")
    assert f"ns1.dns.example.org. 5 IN A {expected}" in found
    assert len(found) == (3 if expected == "10.244.0.3" else 2)


def test_reverse_zones():
    server = External("k8s_external 192.0.2.0/24 example.org ip6.arpa", zones=".")
    assert server.ask("1.2.0.192.in-addr.arpa.", "PTR") == [
        "NOERROR",
        "1.2.0.192.in-addr.arpa. 5 IN PTR web.testns.example.org.",
    ]
    assert server.ask("1.2.0.192.in-addr.arpa.", "A")[0] == "NOERROR"
    assert server.ask("7.2.0.192.in-addr.arpa.", "PTR")[0] == "NXDOMAIN"
    assert server.ask("8.b.d.0.1.0.0.2.ip6.arpa.", "PTR")[0] == "NOERROR"
    assert server.ask("9.b.d.0.1.0.0.2.ip6.arpa.", "PTR")[0] == "NXDOMAIN"
    assert server.ask("web.testns.ip6.arpa.")[0] == "NXDOMAIN"
    assert server.ask("ip6.arpa.", "NS")[1] == "ip6.arpa. 5 IN NS ns1.dns.example.org."
    put(server.store, outside("shared", "192.0.2.1"))
    assert len(server.ask("1.2.0.192.in-addr.arpa.", "PTR")) == 3
    remove(server.store, outside("shared"), outside("web"))
    assert server.ask("1.2.0.192.in-addr.arpa.", "PTR")[0] == "NXDOMAIN"
    assert server.ask("2.0.192.in-addr.arpa.", "PTR")[0] == "NOERROR"


def test_hidden_namespaces_are_hidden_here_too():
    server = External("k8s_external example.org in-addr.arpa", options="{\nnamespaces dns\n}", zones=".")
    assert server.ask("testns")[0] == server.ask("web.testns")[0] == "NXDOMAIN"
    assert server.ask("1.2.0.192.in-addr.arpa.", "PTR")[0] == "NXDOMAIN"


# The chain


def test_other_names_and_classes_go_on():
    server = External()
    query, reply = server.reply("www.example.net.")
    assert reply is server.behind
    query, _ = server.reply("web.testns")
    query.qclass = 3
    assert server.plugin.handle(query) is server.behind


def test_fallthrough():
    server = External("k8s_external {\nfallthrough testns.example.org\n}")
    assert server.reply("nothing.testns")[1] is server.behind
    assert server.ask("nothing.nowhere") == ["NXDOMAIN", SOA]
    assert server.ask("inside.testns", "TXT") == ["NXDOMAIN"]
    assert isinstance(server.plugin, NameOwner)
    assert [server.plugin.owns(server.reply(name)[0]) for name in ("web.testns", "x.testns", "x.y", "a.test.")] == [
        *(True, False, True),
        None,
    ]


def test_replies_are_reused():
    server = External()
    assert server.reply("web.testns")[1].reusable
    assert server.reply("nothing.testns")[1].reusable
    before = server.setup.published
    put(server.store, outside("web", "192.0.2.8"))
    assert server.setup.published == before + 1
    assert server.ask("web.testns") == ["NOERROR", "web.testns.example.org. 5 IN A 192.0.2.8"]


def test_before_the_cluster_has_been_read_nothing_is_denied():
    store = store_of(OBJECTS, kinds=("Namespace",))
    server = External(objects=store)
    query, reply = server.reply("web.testns")
    assert reply_lines(query, reply) == ["SERVFAIL", SOA]
    assert not reply.reusable
    assert server.ask("testns") == ["NOERROR", SOA]
    falling = External("k8s_external {\nfallthrough\n}", objects=store)
    assert falling.ask("web.testns") == ["SERVFAIL"]
    assert server.plugin.zone_records(names.from_text(ZONE)) is None
    for kind in ("Service", "EndpointSlice"):
        store.apply(Replace(kind, tuple(item for item in OBJECTS if type(item).__name__ == kind)), 0.0)
    assert server.ask("web.testns")[0] == "NOERROR"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("www.example.net.", "passed on: the name is not in example.org."),
        ("web.testns", "a name of zone example.org."),
        (
            "host.testns",
            "a Service whose load balancer has the host name lb.example.com. alone, which is looked up then",
        ),
        ("inside.testns", "no Service in zone example.org. has this name and an address outside of the cluster"),
    ],
)
def test_what_it_says_about_a_name(name, text):
    server = External()
    assert [note.text for note in server.plugin.explain(server.reply(name)[0])] == [text]


def test_what_it_says_about_names_that_it_passes_on_or_does_not_know_yet():
    server = External("k8s_external {\nfallthrough\n}")
    (note,) = server.plugin.explain(server.reply("inside.testns")[0])
    assert note.text.startswith("passed on (fallthrough): no Service")
    unread = External(objects=store_of(OBJECTS, kinds=("Namespace",)))
    (note,) = unread.plugin.explain(unread.reply("web.testns")[0])
    assert note.text.startswith("the cluster has not been read yet")


# Versions and transfers


class Listener:
    def __init__(self):
        self.told = []

    def zone_changed(self, zone):
        self.told.append(names.to_text(zone))


def changes(text="k8s_external", **arguments):
    server = External(text, **arguments)
    listener = server.setup.siblings["transfer"] = Listener()

    def shows(*objects):
        before = len(listener.told)
        put(server.store, *objects)
        return len(listener.told) > before

    return server, shows


def test_only_what_shows_is_a_new_version():
    server, shows = changes()
    assert server.plugin.zones.serial > 0
    assert not shows(outside("inside", cluster_ips=("10.96.0.2",)))
    assert not shows(outside("inside", ports=()))
    assert not shows(endpoints("hl", "10.1.1.1"))
    assert shows(outside("inside", "192.0.2.30"))
    assert shows(outside("inside", "192.0.2.30", ingress=("192.0.2.31",)))
    assert shows(outside("inside", "192.0.2.30", ingress=("192.0.2.31",), ports=()))
    assert not shows(outside("inside", "192.0.2.30", ingress=("192.0.2.31",), ports=(), cluster_ips=("10.96.0.3",)))
    assert shows(namespace("new"))


def test_those_to_be_told_are_looked_for_once():
    server, shows = changes()
    server.setup.siblings = CountedSiblings(server.setup.siblings)
    assert all(shows(outside("inside", f"192.0.2.{number}")) for number in range(30, 33))
    assert server.setup.siblings.walks == 1


def test_with_headless_their_endpoints_show():
    _, shows = changes("k8s_external {\nheadless\n}")
    assert shows(endpoints("hl", "10.1.1.1"))
    assert not shows(endpoints("inside", "10.1.1.77"))


def test_the_servers_address_shows():
    server, shows = changes(objects=(*OBJECTS, *DNS), local_addresses=("10.244.0.2",))
    assert shows(endpoints("kube-dns", "10.244.0.9", namespace="kube-system"))
    assert server.ask("ns1.dns") == ["NOERROR", "ns1.dns.example.org. 5 IN A 10.244.0.2"]


def listed(server, zone=ZONE):
    return [line(record) for record in server.plugin.zone_records(names.from_text(zone))]


def test_the_zones_can_be_had_whole():
    text = "k8s_external example.org 192.0.2.0/24 {\nheadless\n}"
    server = External(text, objects=(*OBJECTS, *DNS), local_addresses=("10.244.0.2",), zones=".")
    assert isinstance(server.plugin, ZoneSource)
    assert [names.to_text(zone) for zone in server.plugin.transferable()] == ["example.org.", "2.0.192.in-addr.arpa."]
    found = listed(server)
    assert found[:4] == [
        "example.org. 5 IN SOA ns1.dns.example.org. hostmaster.dns.example.org. SERIAL 7200 1800 86400 5",
        "example.org. 5 IN NS ns1.dns.example.org.",
        "ns1.dns.example.org. 5 IN A 192.0.2.53",
        "ns1.dns.example.org. 5 IN AAAA 2001:db8::53",
    ]
    assert "host.testns.example.org. 5 IN CNAME lb.example.com." in found
    assert not any("gone" in text or "svc.dns" in text or "inside" in text for text in found)
    reverse = listed(server, "2.0.192.in-addr.arpa.")
    assert "1.2.0.192.in-addr.arpa. 5 IN PTR web.testns.example.org." in reverse
    assert "2.0.192.in-addr.arpa. 5 IN NS ns1.dns.example.org." in reverse


@pytest.mark.parametrize("headless", ["", "headless"])
def test_a_transfer_holds_what_queries_get(headless):
    server = External(f"k8s_external example.org in-addr.arpa {{\n{headless}\n}}", zones=".")
    for zone in (ZONE, "in-addr.arpa."):
        records = list(server.plugin.zone_records(names.from_text(zone)))
        assert len(records) == len(set(records))
        by_name = {}
        for record in records:
            by_name.setdefault((record.name, record.rtype), []).append(record)
        for (name, rtype), held in by_name.items():
            query, reply = server.reply(names.to_text(name), type_text(rtype))
            assert sorted(map(line, reply.records(query).answer)) == sorted(map(line, held))


def test_a_zone_below_another_is_delegated():
    server = External("k8s_external example.org web.testns.example.org", zones=".")
    found = listed(server)
    assert "web.testns.example.org. 5 IN NS ns1.dns.web.testns.example.org." in found
    assert not any("192.0.2.1" in text for text in found)


def test_a_transfer_without_the_directive_is_refused():
    assert External().reply(ZONE, "AXFR")[1].rcode == REFUSED


# The Corefile


def faults(text):
    return [error.message for error in check(f"{text}\nkubernetes cluster.local {{\nmanifests d\n}}").errors]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("apex", "Wrong argument count or unexpected line ending after 'apex'"),
        ("apex .", "apex must be a label"),
        ("ttl", "Wrong argument count or unexpected line ending after 'ttl'"),
        ("ttl 4000", "ttl must be in range [0, 3600]: 4000"),
        ("ttl -1", "ttl must be in range [0, 3600]: -1"),
        ("ttl x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("headless x", "unknown property 'x'"),
        ("upstream", "unknown property 'upstream'"),
    ],
)
def test_faults(block, message):
    assert faults(f"k8s_external {{\n{block}\n}}") == [message]


def test_it_needs_kubernetes():
    assert [str(error) for error in check("k8s_external\nwhoami").errors] == [
        "Corefile:2:1: kubernetes plugin not loaded"
    ]
    plugin = K8sExternal(parse("k8s_external\nkubernetes cluster.local {\nmanifests d\n}"), FakeSetup())
    with pytest.raises(LifecycleError, match="plugin/k8s_external: kubernetes plugin not loaded"):
        finished(plugin.start())


def test_it_may_be_used_once():
    assert faults("k8s_external\nk8s_external") == ["this plugin can only be used once per Server Block"]


def test_what_surely_is_not_meant_is_warned_of():
    text = "k8s_external in-addr.arpa 10.0.0.0/99 {\nttl 5 6\napex a b\n}\nkubernetes cluster.local {\nmanifests d\n}"
    assert {warning.message for warning in check(text, zones=".").warnings} == {
        "10.0.0.0/99 is not a zone and is ignored",
        "6 is ignored: ttl takes one number",
        "b is ignored: apex takes one label",
        "without a zone that isn't a reverse zone, PTR records lead to names that nobody looks up",
    }


def test_an_apex_of_two_labels():
    server = External("k8s_external {\napex Edge.One\n}")
    assert server.ask("ns1.edge.one")[0] == server.ask("edge.one", "TXT")[0] == "NOERROR"
    assert server.ask("x.edge.one")[0] == "NXDOMAIN"


def test_it_ends_cleanly():
    server = External()
    finished(server.plugin.stop(True))
    finished(server.plugin.stop(True))
    before = server.setup.published
    put(server.store, outside("web", "192.0.2.8"))
    assert server.setup.published == before


def test_failures_have_the_zone():
    assert External().plugin.zones.failure(names.from_text("x.example.org.")).rcode == SERVFAIL
