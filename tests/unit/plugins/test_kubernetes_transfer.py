# SPDX-License-Identifier: Apache-2.0
from support.dns_cluster import Served, line, namespace, pod, put, service, store_of

from clusterdns.cluster.changes import Replace
from clusterdns.dns import names
from clusterdns.serving.capabilities import ZoneSource

ZONE = names.from_text("cluster.local.")
OBJECTS = (namespace("testns"), service("web", "10.0.0.1"))


class Listener:
    def __init__(self):
        self.told = []

    def zone_changed(self, zone):
        self.told.append(names.to_text(zone))


def served(*objects, options=""):
    server = Served([*OBJECTS, *objects], options)
    listener = server.setup.siblings["transfer"] = Listener()
    return server, listener


def test_the_zones_can_be_had_whole():
    server, _ = served(options="cluster.local 10.0.0.0/8")
    assert isinstance(server.plugin, ZoneSource)
    reverse = names.from_text("10.in-addr.arpa.")
    assert server.plugin.transferable() == (ZONE, reverse)
    assert line(next(server.plugin.zone_records(ZONE))).startswith("cluster.local. 5 IN SOA ns.dns.cluster.local.")
    assert [line(record) for record in server.plugin.zone_records(reverse)][-1] == (
        "1.0.0.10.in-addr.arpa. 5 IN PTR web.testns.svc.cluster.local."
    )


def test_there_is_no_zone_before_the_cluster_has_been_read():
    store = store_of(OBJECTS, kinds=("Namespace", "Service"))
    server = Served(store)
    listener = server.setup.siblings["transfer"] = Listener()
    assert server.plugin.zone_records(ZONE) is None
    put(store, service("other", "10.0.0.2"))
    assert listener.told == []
    store.apply(Replace("EndpointSlice", ()), 0.0)
    assert server.plugin.zone_records(ZONE) is not None


def test_those_who_want_to_know_are_told_of_changes_that_show():
    server, listener = served(options="cluster.local ip6.arpa { \n pods verified \n }")
    put(server.store, service("other", "10.0.0.2"))
    assert listener.told == ["cluster.local.", "ip6.arpa."]
    put(server.store, service("other", "10.0.0.2"))
    web = server.store.get("Service", ("testns", "web"))
    put(server.store, type(web)("testns", "web", "LoadBalancer", web.cluster_ips, web.ports, "", ("192.0.2.1",)))
    assert len(listener.told) == 2
    put(server.store, pod("p", "10.1.0.1"))
    assert len(listener.told) == 4
