# SPDX-License-Identifier: Apache-2.0
"""Why a name of the cluster has the answer that it has, and what was probably meant."""

import pytest
from support.dns_cluster import Served, endpoints, namespace, pod, query_for, service, store_of

from clusterdns.cluster.objects import EndpointSlice

CLUSTER = (
    namespace("testns"),
    namespace("prod"),
    service("web", "10.0.0.1", ports="http:80"),
    endpoints("web", "10.1.0.1"),
    service("idle", "10.0.0.2"),
    service("six", "fd00::1"),
    endpoints("six", "fd00::11", family="IPv6"),
    service("pending"),
    service("db", "None"),
    endpoints("db", "db-0=10.1.0.2", "db-1=10.1.0.3", "!db-2=10.1.0.4"),
    service("sick", "None"),
    endpoints("sick", "!a@10.1.0.5", "!b@10.1.0.6"),
    service("empty", "None"),
    EndpointSlice("testns", "empty-1", "empty"),
    service("out", target="www.example.com"),
    service("api", "10.0.0.9", namespace="prod"),
    endpoints("api", "10.1.0.9", namespace="prod"),
    pod("one", "10.1.0.1"),
    pod("two", "10.2.0.1", namespace="prod"),
)


class Placed(Served):
    """All Services stand in one file."""

    def __init__(self, options="", objects=CLUSTER, kinds=None):
        super().__init__(objects if kinds is None else store_of(objects, kinds), options)
        self.setup.lease.place_of = lambda kind, key: f"{key[1]}.yaml:1" if kind == "Service" else ""

    def notes(self, name, rtype="A"):
        return list(self.plugin.explain(query_for(name, rtype)))


def told(name, rtype="A", options=""):
    """The texts and the hints."""
    notes = Placed(options).notes(name, rtype)
    return [note.text for note in notes], [note.hint for note in notes if note.hint]


@pytest.mark.parametrize(
    ("name", "rtype", "text"),
    [
        ("web.testns.svc", "A", "Service testns/web has clusterIP 10.0.0.1"),
        ("web.testns.svc", "SRV", "Service testns/web has clusterIP 10.0.0.1"),
        ("web.testns.svc", "AAAA", "Service testns/web has clusterIP 10.0.0.1, but none of IPv6"),
        ("six.testns.svc", "A", "Service testns/six has clusterIP fd00::1, but none of IPv4"),
        ("_http._tcp.web.testns.svc", "SRV", "Service testns/web has a port of that name"),
        ("db.testns.svc", "A", "headless Service testns/db has 2 ready endpoints: 10.1.0.2, 10.1.0.3"),
        ("db-0.db.testns.svc", "A", "endpoint db-0 of headless Service testns/db has 10.1.0.2"),
        ("out.testns.svc", "A", "Service testns/out is an alias of 'www.example.com.'"),
        ("testns.svc", "A", "this is namespace testns: it has no records of its own, only names below it"),
        ("@", "A", "this is the zone cluster.local. itself"),
        ("svc", "A", "this name belongs to the zone itself, not to an object"),
        ("www.example.org.", "A", "passed on: the name is not in cluster.local."),
    ],
)
def test_names_that_are_there(name, rtype, text):
    assert told(name, rtype) == ([text], [])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("web.testnz.svc", "namespace testnz does not exist; did you mean testns?"),
        ("wen.testns.svc", "namespace testns has no Service wen; did you mean web?"),
        ("api.testns.svc", "Service api is in namespace prod: ask for api.prod.svc.cluster.local."),
        ("api.svc", "Service api is in namespace prod: ask for api.prod.svc.cluster.local."),
        ("prod.api.svc", "did you mean api.prod.svc.cluster.local.? First the Service, then the namespace"),
        ("api.prod", "names of Services have svc in them: ask for api.prod.svc.cluster.local."),
        ("db-1x.db.testns.svc", "headless Service testns/db has no ready endpoint db-1x; did you mean db-1?"),
        ("db-2.db.testns.svc", "endpoint db-2 of Service testns/db exists but isn't ready"),
        ("_htpp._tcp.web.testns.svc", "Service testns/web has no port _htpp._tcp: its named ports are _http._tcp"),
        ("10-1-0-1.testns.pod", "write `pods insecure` or `pods verified` in kubernetes for names of Pods"),
        ("pending.testns.svc", "Service testns/pending has no clusterIP yet"),
        ("10.1.0.1.testns.pod", "names of Pods have dashes in the address: ask for 10-1-0-1.testns.pod.cluster.local."),
        ("web.testns.svc.cluster.loca.", "did you mean web.testns.svc.cluster.local.?"),
    ],
)
def test_what_was_probably_meant(name, hint):
    assert hint in told(name)[1]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("sick", "2 are not ready (Pods a, b)"),
        ("empty", "its EndpointSlices are empty, so no Pod matches its selector"),
        ("idle", "there is no EndpointSlice for it, so no Pod matches its selector"),
    ],
)
def test_a_service_without_ready_endpoints_says_why(name, why):
    (hint,) = told(f"{name}.testns.svc")[1]
    assert hint.endswith(f"Service testns/{name} exists but has no ready endpoints: {why}")


def test_nothing_is_guessed_where_nothing_is_alike():
    assert told("qqqqqq.testns.svc") == (["namespace testns has no Service qqqqqq"], [])
    assert told("web.qqqqqq.svc") == (["there is no namespace qqqqqq"], [])
    assert told("qqq.testns.svc.cluster.loca.")[1] == []
    assert told("10.1.0.x.testns.pod")[1] == []


def test_options_that_leave_names_out_are_named():
    texts, hints = told("web.testns.svc", options="{\nnamespaces prod other\n}")
    assert texts == ["namespace testns is not served: kubernetes has `namespaces other prod`"]
    assert hints == ["namespace testns is left out by `namespaces` in the Corefile"]
    assert told("db-0.db.testns.svc", options="{\nnoendpoints\n}")[1] == ["remove noendpoints from kubernetes"]
    assert "ignore empty_service" in told("idle.testns.svc", options="{\nignore empty_service\n}")[0][1]
    assert told("web.testns.svc", options="{\nlabels app=x\n}")[0] == told("web.testns.svc")[0]


def test_fallthrough_is_mentioned_with_its_zone():
    assert told("qqqqqq.testns.svc", options="{\nfallthrough\n}")[0][0] == (
        "names in . that don't exist here are passed on (fallthrough)"
    )


@pytest.mark.parametrize(
    ("mode", "name", "text", "hints"),
    [
        ("insecure", "10-9-9-9.testns.pod", "every address is a name here (pods insecure): 10.9.9.9", []),
        ("verified", "10-1-0-1.testns.pod", "Pod testns/one has 10.1.0.1", []),
        (
            "verified",
            "10-2-0-1.testns.pod",
            "no Pod in namespace testns has 10.2.0.1 (pods verified)",
            ["10.2.0.1 is that of Pod prod/two"],
        ),
        (
            "verified",
            "one.testns.pod",
            "'one' is no address with dashes in the place of dots or colons",
            ["Pods are found by their addresses: ask for 10-1-0-1.testns.pod.cluster.local."],
        ),
        ("verified", "x-y.testns.pod", "'x-y' is no address with dashes in the place of dots or colons", []),
    ],
)
def test_names_of_pods(mode, name, text, hints):
    assert told(name, options=f"{{\npods {mode}\n}}") == ([text], hints)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1.0.0.10.in-addr.arpa.", "10.0.0.1 is the clusterIP of Service testns/web"),
        ("2.0.1.10.in-addr.arpa.", "10.1.0.2 is a ready endpoint of Service testns/db"),
        ("4.0.1.10.in-addr.arpa.", "10.1.0.4 is neither a clusterIP nor a ready endpoint of a Service"),
        ("1" + ".0" * 29 + ".d.f.ip6.arpa.", "fd00::1 is the clusterIP of Service testns/six"),
        ("0.1.10.in-addr.arpa.", "this is no reverse name of one address"),
    ],
)
def test_reverse_names(name, text):
    assert told(name, "PTR", "cluster.local in-addr.arpa ip6.arpa")[0] == [text]


def test_service_and_namespace_in_the_wrong_order_are_seen_where_only_some_namespaces_are_served():
    assert told("prod.api.svc", options="{\nnamespaces prod\n}")[1] == [
        "did you mean api.prod.svc.cluster.local.? First the Service, then the namespace"
    ]


def test_objects_are_named_with_their_place_and_how_far_the_store_had_come():
    (note,) = Placed().notes("web.testns.svc")
    (origin,) = note.origins
    assert (origin.kind, origin.name, origin.place) == ("Service", "testns/web", "web.yaml:1")
    assert origin.revision.startswith("change ")


def test_a_headless_service_has_its_slices_as_origins():
    (note,) = Placed().notes("db.testns.svc")
    assert [(origin.kind, origin.name) for origin in note.origins] == [
        ("Service", "testns/db"), ("EndpointSlice", "testns/db-ipv4"),
    ]  # fmt: skip


def test_before_the_cluster_has_been_read_that_comes_first():
    served = Placed(kinds=("Namespace",))
    assert served.notes("web.testns.svc")[0].text.startswith("the cluster has not been read yet")
