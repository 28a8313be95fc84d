# SPDX-License-Identifier: Apache-2.0
"""A server process that tries search lists in the place of Pods, whose addresses are on the loopback interface here."""

from __future__ import annotations

import socket
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
from clusterdns.plugins.autopath import parse_search

CLUSTER = """\
{apiVersion: v1, kind: Namespace, metadata: {name: dev}}
---
apiVersion: v1
kind: Service
metadata: {namespace: dev, name: db}
spec: {clusterIP: 10.96.0.7, ports: [{port: 5432}]}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: dev, name: a}, status: {podIP: 127.0.0.2}}
---
apiVersion: v1
kind: Pod
metadata: {namespace: dev, name: on-node}
spec: {hostNetwork: true}
status: {podIP: 127.0.0.3}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: dev, name: b}, status: {podIP: 127.0.0.4}}
"""
POD = "{{apiVersion: v1, kind: Pod, metadata: {{namespace: dev, name: c}}, status: {{podIP: 127.0.0.5{started}}}}}\n"
COREFILE = """\
.:PORT {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:METRICS
    autopath @kubernetes
    acl secret.test {
        block net 127.0.0.4
    }
    kubernetes cluster.local {
        manifests DIRECTORY
        pods verified
    }
    forward . UPSTREAM
    cache 30
}
split.test:PORT {
    bind 127.0.0.1
    hosts {
        198.51.100.7 git.split.test
    }
}
"""
FIRST = ".dev.svc.cluster.local."


def machine_domain() -> str:
    """What comes behind the cluster's domains in search lists on this machine."""
    domains = parse_search(Path("/etc/resolv.conf").read_text())
    return names.to_text(domains[0]) if domains else ""


@dataclass
class Site:
    """The server, and what is asked of its upstream."""

    port: int
    metrics_port: int
    upstream: Upstream
    manifests: Path

    def ask(self, name: str, rtype: str = "A", source: str = "127.0.0.2") -> dns.message.Message:
        """The reply to a client with the address ``source``."""
        query = dns.message.make_query(name, rtype)
        return dns.query.udp(query, "127.0.0.1", timeout=5, port=self.port, source=source)

    def ask_both(self, name: str, source: str = "127.0.0.2") -> dict[int, dns.message.Message]:
        """The replies to A and AAAA queries that leave one socket at once, as C libraries do it, by ID."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((source, 0))
            client.connect(("127.0.0.1", self.port))
            client.settimeout(5)
            for message_id, rtype in ((1, "A"), (28, "AAAA")):
                client.send(dns.message.make_query(name, rtype, id=message_id).to_wire())
            replies = [dns.message.from_wire(client.recv(4096)) for _ in range(2)]
        return {reply.id: reply for reply in replies}

    def succeeded(self) -> float:
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5).read().decode()
        lines = [line for line in text.splitlines() if line.startswith("coredns_autopath_success_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture(scope="module")
def site(start_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("autopath")
    (directory / "manifests").mkdir()
    (directory / "manifests" / "cluster.yaml").write_text(CLUSTER)
    metrics_port = free_port()
    with UpstreamThread() as upstream:
        corefile = directory / "Corefile"
        corefile.write_text(
            COREFILE.replace("METRICS", str(metrics_port))
            .replace("DIRECTORY", str(directory / "manifests"))
            .replace("UPSTREAM", upstream.address)
        )
        server = start_server("-conf", str(corefile), first_name="db.dev.svc.cluster.local")
        yield Site(server.port, metrics_port, upstream, directory / "manifests")


def lines(reply: dns.message.Message) -> list[str]:
    return [dns.rcode.to_text(reply.rcode()), *(text for rrset in reply.answer for text in str(rrset).split("\n"))]


def target(name: str) -> str:
    return f"{name}.{machine_domain()}" if machine_domain() else f"{name}."


def test_a_pod_has_the_answer_with_the_first_query(site: Site) -> None:
    before = site.succeeded()
    found = target("one.test")
    assert lines(site.ask("one.test" + FIRST)) == [
        "NOERROR",
        f"one.test{FIRST} 5 IN CNAME {found}",
        f"{found} 30 IN A {address_text(found)}",
    ]
    assert site.succeeded() == before + 1
    assert lines(site.ask("db" + FIRST)) == ["NOERROR", f"db{FIRST} 5 IN A 10.96.0.7"]
    assert site.succeeded() == before + 1


def test_both_families_agree(site: Site) -> None:
    for number in range(30):
        name = f"slow-pair{number}.test" if number < 2 else f"pair{number}.test"
        replies = site.ask_both(name + FIRST)
        assert {reply.rcode() for reply in replies.values()} == {dns.rcode.NOERROR}
        assert {str(reply.answer[0][0]) for reply in replies.values()} == {target(name)}
        assert len(replies[1].answer) == 2
        assert len(replies[28].answer) == 1


def test_where_other_servers_fail_both_are_denied_and_the_client_goes_on(site: Site) -> None:
    replies = site.ask_both("servfail.test" + FIRST)
    assert {reply.rcode() for reply in replies.values()} == {dns.rcode.NXDOMAIN}


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.3"])
def test_others_than_pods_have_their_own_search_list(site: Site, source: str) -> None:
    assert lines(site.ask("two.test" + FIRST, source=source)) == ["NXDOMAIN"]


def test_what_acl_refuses_is_not_to_be_had_in_this_way(site: Site) -> None:
    if machine_domain():
        pytest.skip("this machine's search list leads elsewhere")
    assert lines(site.ask("key.secret.test" + FIRST, source="127.0.0.4")) == ["NXDOMAIN"]
    assert lines(site.ask("key.secret.test" + FIRST, source="127.0.0.2"))[0] == "NOERROR"
    assert lines(site.ask("key.secret.test.", source="127.0.0.4")) == ["REFUSED"]


def test_a_zone_with_a_block_of_its_own_is_asked_there(site: Site) -> None:
    if machine_domain():
        pytest.skip("this machine's search list leads elsewhere")
    assert "git.split.test. 3600 IN A 198.51.100.7" in lines(site.ask("git.split.test" + FIRST))


def test_a_pod_counts_once_its_addresses_are_known_everywhere_and_until_it_ends(site: Site) -> None:
    def becomes(rcode: str, name: str) -> None:
        end = time.monotonic() + 10
        while lines(site.ask(name + FIRST, source="127.0.0.5"))[0] != rcode:
            assert time.monotonic() < end
            time.sleep(0.05)

    path = site.manifests / "pod.yaml"
    recent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))
    path.write_text(POD.format(started=f', startTime: "{recent}"'))
    time.sleep(0.5)
    assert lines(site.ask("three.test" + FIRST, source="127.0.0.5")) == ["NXDOMAIN"]
    path.write_text(POD.format(started=', startTime: "2026-01-01T00:00:00Z"'))
    becomes("NOERROR", "three.test")
    path.write_text(POD.format(started="").replace("name: c", 'name: c, deletionTimestamp: "2026-01-01T00:00:00Z"'))
    becomes("NXDOMAIN", "four.test")
