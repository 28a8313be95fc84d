# SPDX-License-Identifier: Apache-2.0
"""What ``kubernetes`` tells about queries."""

import pytest
from support.dns_cluster import Served, namespace, pod, put, query_for, remove

from clusterdns.cluster.objects import Pod
from clusterdns.serving.capabilities import SearchedCluster
from clusterdns.serving.metadata import MetadataSource
from clusterdns.serving.query import Client

KEYS = ("kind", "namespace", "service", "endpoint", "port-name", "protocol", "parse-error")


def served(*objects, options="{\npods verified\n}"):
    return Served([namespace("testns"), *objects], options)


def known(name):
    plugin = served().plugin
    query = query_for(name, "A")
    return {key: value for key in KEYS if (value := plugin.metadata(query, key))}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("@", {}),
        ("svc", {}),
        ("pod", {}),
        ("TestNS.svc", {"kind": "svc", "namespace": "testns"}),
        ("nons.pod", {"kind": "pod", "namespace": "nons"}),
        ("web.testns.svc", {"kind": "svc", "namespace": "testns", "service": "web"}),
        ("10-1-1-1.testns.pod", {"kind": "pod", "namespace": "testns", "service": "10-1-1-1"}),
        ("a.web.testns.svc", {"kind": "svc", "namespace": "testns", "service": "web", "endpoint": "a"}),
        (
            "_http._tcp.web.testns.svc",
            {"kind": "svc", "namespace": "testns", "service": "web", "port-name": "http", "protocol": "tcp"},
        ),
        ("x._http._tcp.web.testns.svc", {"parse-error": "invalid query name"}),
        ("testns.cluster", {"parse-error": "invalid query name"}),
        ("dns-version", {"parse-error": "invalid query name"}),
        ("web.testns.svc.example.org.", {}),
    ],
)
def test_the_parts_of_names(name, parts):
    assert known(name) == parts


def client_of(served, address, *keys):
    query = query_for("web.testns.svc", "A")
    query.client = Client("udp", address, 4000, "192.0.2.53", 53)
    return [served.plugin.metadata(query, key) for key in keys]


WEB = Pod("testns", "web-0", ("10.1.0.1", "fd00::1"), labels=(("a.b/c", "d"), ("app", "web")))
CLIENT_KEYS = ("client-namespace", "client-pod-name", "client-label/app", "client-label/a.b/c", "client-label/x")


@pytest.mark.parametrize("address", ["10.1.0.1", "fd00:0::1", "::ffff:10.1.0.1"])
def test_the_pod_that_asks(address):
    assert client_of(served(WEB), address, *CLIENT_KEYS) == ["testns", "web-0", "web", "d", ""]
    assert client_of(served(WEB), address, "client-nothing") == [""]


def test_a_pod_in_the_network_of_its_node_is_not_known():
    assert (
        client_of(served(Pod("testns", "agent", ("10.1.0.1",), host_network=True)), "10.1.0.1", *CLIENT_KEYS)
        == [""] * 5
    )


def test_of_two_pods_with_one_address_neither_is_known():
    both = served(WEB, pod("other", "10.1.0.1"))
    assert client_of(both, "10.1.0.1", "client-pod-name") == [""]
    remove(both.store, pod("other", "10.1.0.1"))
    assert client_of(both, "10.1.0.1", "client-pod-name") == ["web-0"]


def test_pods_are_known_only_where_they_are_verified():
    assert client_of(served(WEB, options="{\npods insecure\n}"), "10.1.0.1", "client-namespace") == [""]
    assert client_of(served(WEB), "10.9.9.9", "client-namespace") == [""]


def test_changes_of_a_pods_labels_are_known_and_forget_no_replies():
    web = served(WEB)
    published = web.setup.published
    put(web.store, Pod("testns", "web-0", WEB.ips, labels=(("app", "new"),)))
    assert client_of(web, "10.1.0.1", "client-label/app") == ["new"]
    assert web.setup.published == published
    put(web.store, Pod("testns", "web-0", ("10.1.0.2",)))
    assert web.setup.published == published + 1


def test_the_plugin_is_a_source_of_metadata():
    assert isinstance(served().plugin, MetadataSource)


def test_what_search_lists_are_made_of():
    pods = (WEB, Pod("testns", "on-node", ("10.9.0.1",), host_network=True))
    server = served(*pods)
    query = query_for("web.testns.svc", "A")

    def namespace_at(address):
        query.client = Client("udp", address, 4000, "192.0.2.53", 53)
        return server.plugin.client_namespace(query)

    assert [namespace_at(address) for address in ("10.1.0.1", "fd00::1", "10.9.0.1", "192.0.2.1")] == [
        *("testns", "testns"),
        *("", ""),
    ]
    assert served(*pods, options="{\npods insecure\n}").plugin.client_namespace(query) is None
    plugin = served(options="cluster.local Example.ORG 10.0.0.0/8 ip6.arpa").plugin
    assert plugin.search_zones == (b"\7cluster\5local\0", b"\7example\3org\0")
    assert isinstance(plugin, SearchedCluster)
