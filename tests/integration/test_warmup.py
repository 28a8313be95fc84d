# SPDX-License-Identifier: Apache-2.0
"""A server process that looks names up while a client tries its search list, and an upstream that takes its time."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest
from support.ports import free_port
from support.upstream import Upstream, UpstreamThread, address_text

from clusterdns.dns import names

CLUSTER = """\
{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: prod}}
---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: redis}
spec: {clusterIP: 10.96.0.7, ports: [{port: 6379}]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: prod, name: web-0}
status: {phase: Running, podIP: 127.0.0.2, podIPs: [{ip: 127.0.0.2}]}
"""
COREFILE = """\
.:PORT {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:METRICS
    warmup
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests DIRECTORY
        pods verified
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . UPSTREAM
    cache 30
}
"""
SEARCH_LIST = ("prod.svc.cluster.local.", "svc.cluster.local.", "cluster.local.", "")
SLOW_SECONDS = 0.3


@dataclass
class Site:
    """The server, and what is asked of its upstream."""

    port: int
    metrics_port: int
    upstream: Upstream

    def ask(self, name: str, rtype: str = "A", source: str = "127.0.0.2") -> tuple[dns.message.Message, float]:
        """The reply to a client with the address ``source``, and the seconds that it took."""
        started = time.monotonic()
        query = dns.message.make_query(name, rtype)
        reply = dns.query.udp(query, "127.0.0.1", timeout=5, port=self.port, source=source)
        return reply, time.monotonic() - started

    def asked(self, name: str) -> int:
        """How often the upstream was asked for the name."""
        return [names.to_text(each) for each in self.upstream.names()].count(name)

    def wait_until_asked(self, name: str) -> None:
        end = time.monotonic() + 5
        while not self.asked(name):
            assert time.monotonic() < end, f"nobody asked for {name}"
            time.sleep(0.005)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the metric's values with these labels."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5).read().decode()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))


@pytest.fixture(scope="module")
def site(start_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("warmup")
    (directory / "manifests").mkdir()
    (directory / "manifests" / "cluster.yaml").write_text(CLUSTER)
    metrics_port = free_port()
    with UpstreamThread() as upstream:
        corefile = Path(directory / "Corefile")
        corefile.write_text(
            COREFILE.replace("METRICS", str(metrics_port))
            .replace("DIRECTORY", str(directory / "manifests"))
            .replace("UPSTREAM", upstream.address)
        )
        server = start_server("-conf", str(corefile), first_name="redis.default.svc.cluster.local")
        yield Site(server.port, metrics_port, upstream)


def test_the_last_query_of_a_search_list_is_a_hit(site: Site) -> None:
    name = "slow.one.test."
    reply, seconds = site.ask(name + SEARCH_LIST[0])
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert seconds < SLOW_SECONDS
    time.sleep(SLOW_SECONDS + 0.2)  # another client's pace; the answer is in the cache by now
    used = site.metric("clusterdns_warmup_used_total")
    reply, seconds = site.ask(name)
    assert [item.address for item in reply.answer[0]] == [address_text(name)]
    assert seconds < SLOW_SECONDS / 2
    assert site.asked(name) == 1
    assert site.metric("clusterdns_warmup_lookups_total", result="resolved") >= 1
    assert site.metric("clusterdns_warmup_used_total") == used + 1


def test_the_last_query_joins_a_look_up_under_way(site: Site) -> None:
    name = "slow.two.test."
    started = time.monotonic()
    replies = [site.ask(name + domain)[0] for domain in SEARCH_LIST]
    assert [dns.rcode.to_text(reply.rcode()) for reply in replies] == ["NXDOMAIN"] * 3 + ["NOERROR"]
    assert [item.address for item in replies[-1].answer[0]] == [address_text(name)]
    assert time.monotonic() - started < 2 * SLOW_SECONDS
    assert site.asked(name) == 1


def test_both_types_are_looked_up(site: Site) -> None:
    name = "slow.three.test."
    for rtype in ("A", "AAAA"):
        site.ask(name + SEARCH_LIST[0], rtype)
    site.wait_until_asked(name)
    time.sleep(SLOW_SECONDS + 0.2)
    assert [site.ask(name, rtype)[1] < SLOW_SECONDS / 2 for rtype in ("A", "AAAA")] == [True, True]
    assert site.asked(name) == 2


def test_internal_names_and_other_clients_ask_nobody(site: Site) -> None:
    before = len(site.upstream.questions)
    for rest in ("redis.default.", "nothing.default.", "redis.default.svc.", "redis.default.svc.cluster.", "nothing."):
        site.ask(rest + SEARCH_LIST[0])
    site.ask("www.four.test." + SEARCH_LIST[0], source="127.0.0.1")
    site.ask("www.four.test.default.svc.cluster.local.")
    site.ask("www.five.test." + SEARCH_LIST[0])  # by its look-up the others would have been begun
    site.wait_until_asked("www.five.test.")
    assert len(site.upstream.questions) == before + 1
    assert site.metric("clusterdns_warmup_skipped_total", reason="internal") >= 4
    assert site.metric("clusterdns_warmup_skipped_total", reason="client") == 2


def test_many_clients_at_once_ask_once(site: Site) -> None:
    name = "slow.six.test."
    for _ in range(20):
        site.ask(name + SEARCH_LIST[0])
    time.sleep(SLOW_SECONDS + 0.2)
    assert site.asked(name) == 1
