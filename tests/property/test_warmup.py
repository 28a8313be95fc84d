# SPDX-License-Identifier: Apache-2.0
"""``warmup`` asks nobody outside for a name that a search list would have completed to one of the cluster."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from support.directives import FakeSetup, parse
from support.dns_cluster import Served, endpoints, namespace, pod, service, store_of
from support.serving import Answering, client, make_engine, wire

from clusterdns.dns import names
from clusterdns.plugins.warmup import Warmup
from clusterdns.serving.reply import Reply

LABELS = st.sampled_from(["web", "db", "com", "dev", "svc", "pod", "prod", "cluster", "local", "api", "x"])
SEARCHED = ("svc.cluster.local.", "cluster.local.")


class Site:
    """A server with the cluster, and somebody outside who is asked for all other names."""

    def __init__(self, objects: list[object]) -> None:
        self.setup = FakeSetup(zones=(".",))
        served = Served(store_of(objects), "{\npods insecure\n}")
        self.setup.siblings["kubernetes"] = served.plugin
        warmup = Warmup(parse("warmup\nkubernetes cluster.local {\nmanifests d\n}\ncache"), self.setup)
        asyncio.run(warmup.start())
        self.asked: set[str] = set()
        outside = Answering(self._answer)
        self.engine = make_engine({".": [warmup, served.plugin, outside]})

    def _answer(self, query):
        self.asked.add(names.to_text(query.key))
        return Reply(plugin="outside")

    def exists(self, name: str) -> bool:
        output = self.engine.handle(wire(name), client())
        return output[3] & 15 == 0

    def look_up(self, rest: str, own_namespace: str) -> None:
        """A client's first query, and what is begun by it."""
        self.engine.handle(wire(f"{rest}.{own_namespace}.svc.cluster.local."), client())
        while self.setup.services.spawned:
            asyncio.run(self.setup.services.spawned.pop(0)[0])


@st.composite
def clusters(draw):
    namespaces = draw(st.lists(LABELS, min_size=1, max_size=3, unique=True))
    objects = [namespace(name) for name in namespaces]
    for name in namespaces:
        for label in draw(st.lists(LABELS, max_size=2, unique=True)):
            objects.append(service(label, "10.96.0.1", namespace=name))
            objects.append(endpoints(label, f"{draw(LABELS)}=10.1.0.1", namespace=name))
        objects.append(pod("p", "10.2.0.1", namespace=name))
    return namespaces, objects


RESTS = st.lists(
    LABELS | st.sampled_from(["10-1-0-1", "_http._tcp", "ns", "dns", "dns-version"]), min_size=1, max_size=5
)


@given(clusters(), st.lists(RESTS, min_size=1, max_size=5))
def test_no_name_of_the_cluster_gets_out(cluster, rests):
    namespaces, objects = cluster
    site = Site(objects)
    for labels in rests:
        rest = ".".join(labels)
        site.look_up(rest, namespaces[0])
        completed = [f"{rest}.{domain}" for domain in (f"{namespaces[0]}.svc.cluster.local.", *SEARCHED)]
        if any(site.exists(name) for name in completed):
            assert f"{rest}." not in site.asked
        assert not any(name.endswith(".cluster.local.") for name in site.asked)


def test_names_from_outside_are_asked_for():
    site = Site([namespace("prod"), service("web", "10.96.0.1", namespace="prod")])
    site.look_up("api.example.com", "prod")
    assert site.asked == {"api.example.com."}
