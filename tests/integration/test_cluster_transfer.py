# SPDX-License-Identifier: Apache-2.0
"""The zones of a cluster at NSD and Knot DNS as secondary servers, and at dig. Skipped where they aren't installed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.xfr
import dns.zone
import pytest
from support.ports import free_port
from support.zone_peers import PEERS, peer

ZONES = ["cluster.local", "10.in-addr.arpa", "example.org"]
COREFILE = """\
.:PORT {{
    bind 127.0.0.1
    k8s_external example.org {{
        headless
    }}
    kubernetes cluster.local 10.0.0.0/8 {{
        manifests {manifests}
        pods verified
        ttl 30
    }}
    transfer {{
        to 127.0.0.1:{secondary} 127.0.0.1
    }}
}}
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: dev}}
spec:
  type: LoadBalancer
  clusterIP: {address}
  ports: [{{name: http, port: 80}}, {{name: dns, port: 53, protocol: UDP}}]
status:
  loadBalancer: {{ingress: [{{ip: {outside}}}]}}
"""
CLUSTER = """\
{apiVersion: v1, kind: Namespace, metadata: {name: dev}}
---
apiVersion: v1
kind: Service
metadata: {name: hl, namespace: dev}
spec: {clusterIP: None, selector: {app: hl}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: dev}
spec: {type: ExternalName, externalName: www.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: balanced, namespace: dev}
spec: {type: LoadBalancer, clusterIP: 10.96.9.9, ports: [{name: http, port: 80}]}
status: {loadBalancer: {ingress: [{hostname: lb.example.com}]}}
"""
POD = """\
---
apiVersion: v1
kind: Pod
metadata: {{name: hl-{number}, namespace: dev, labels: {{app: hl}}}}
spec: {{containers: [{{name: c, image: i}}]}}
status: {{phase: Running, podIP: 10.244.{high}.{low}}}
"""
SERVICES = 300
PODS = 300


def write_cluster(folder: Path) -> None:
    text = CLUSTER
    for number in range(SERVICES):
        address = f"10.96.{number >> 8}.{number & 255}"
        text += SERVICE.format(name=f"s{number}", address=address, outside=f"192.0.2.{number & 127}")
    for number in range(PODS):
        text += POD.format(number=number, high=number >> 8, low=number & 255)
    (folder / "cluster.yaml").write_text(text)


class Primary:
    """A server of a cluster, and the port where it thinks its secondary is."""

    def __init__(self, start_server, folder: Path) -> None:
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        write_cluster(self.manifests)
        self.secondary_port = free_port()
        corefile = folder / "Corefile"
        corefile.write_text(COREFILE.format(manifests=self.manifests, secondary=self.secondary_port))
        self.server = start_server("-conf", str(corefile), first_name=ZONES[0])
        self.port: int = self.server.port
        for zone in ZONES:  # there is none to transfer before the cluster has been read
            wait_until(lambda zone=zone: not ask(self.port, zone, "AXFR").rcode())

    def add_service(self, name: str, number: int) -> None:
        text = SERVICE.format(name=name, address=f"10.97.0.{number}", outside=f"192.0.2.{number}")
        (self.manifests / f"{name}.new").write_text(text)
        (self.manifests / f"{name}.new").rename(self.manifests / f"{name}.yaml")


@pytest.fixture(scope="module")
def primary(start_server, tmp_path_factory) -> Primary:
    return Primary(start_server, tmp_path_factory.mktemp("primary"))


def ask(port: int, name: str, rdtype: str) -> dns.message.Message:
    return dns.query.tcp(dns.message.make_query(name, rdtype), "127.0.0.1", port=port, timeout=5)


def transferred(port: int, zone: str) -> dict[tuple[str, str], dns.rrset.RRset]:
    """The record sets that a server gives by AXFR, the SOA record once."""
    found: dict[tuple[str, str], dns.rrset.RRset] = {}
    records = 0
    for message in dns.query.xfr("127.0.0.1", zone, port=port, timeout=10, lifetime=30, relativize=False):
        for rrset in message.answer:
            key = (rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype))
            records += len(rrset)
            found.setdefault(key, dns.rrset.RRset(rrset.name, rrset.rdclass, rrset.rdtype)).update(rrset)
    assert records == sum(map(len, found.values())) + 1, "a record came twice"
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.05)


def test_dig_reads_the_zones(primary):
    dig = shutil.which("dig")
    if dig is None:
        pytest.skip("dig is not installed (Debian package bind9-dnsutils)")
    for zone in ZONES:
        command = [dig, "@127.0.0.1", "-p", str(primary.port), zone, "AXFR", "+noall", "+answer", "+nocmd"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        lines = result.stdout.splitlines()
        assert lines[0] == lines[-1]
        assert lines[0].split()[:4] == [f"{zone}.", "5" if zone == "example.org" else "30", "IN", "SOA"]
        assert len(set(lines)) == len(lines) - 1
        assert len(lines) > SERVICES


def test_every_name_of_a_transfer_has_these_records(primary):
    for zone in ZONES:
        found = transferred(primary.port, zone)
        names = sorted(found)
        for name, rdtype in names[:: len(names) // 300 + 1]:
            assert ask(primary.port, name, rdtype).answer[0] == found[name, rdtype], (name, rdtype)
            assert ask(primary.port, name, rdtype).answer[0].ttl == found[name, rdtype].ttl


def test_ixfr_of_the_newest_version_is_one_record(primary):
    soa = ask(primary.port, ZONES[0], "SOA").answer[0]
    for serial, whole in ((soa[0].serial, False), (1, True)):
        query = dns.message.make_query(ZONES[0], "IXFR")
        query.authority.append(dns.rrset.from_text(f"{ZONES[0]}.", 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
        reply = dns.query.tcp(query, "127.0.0.1", port=primary.port, timeout=5)
        assert reply.answer[0] == soa
        assert (sum(map(len, reply.answer)) > 1) == whole


@pytest.mark.parametrize("kind", sorted(PEERS))
def test_a_secondary_server_has_the_same_answers_and_follows_changes(primary, kind, tmp_path):
    with peer(kind, tmp_path, ZONES, port=primary.secondary_port, primary=primary.port) as port:
        for zone in ZONES:
            wait_until(lambda zone=zone: ask(port, zone, "SOA").answer == ask(primary.port, zone, "SOA").answer)
            ours, theirs = transferred(primary.port, zone), transferred(port, zone)
            assert sorted(ours) == sorted(theirs)
            for key, rrset in ours.items():
                assert (rrset, rrset.ttl) == (theirs[key], theirs[key].ttl), key
        for name, rdtype in (("nothing.dev.svc.cluster.local", "A"), ("s1.dev.svc.cluster.local", "TXT")):
            reply, own = ask(port, name, rdtype), ask(primary.port, name, rdtype)
            assert (reply.rcode(), reply.authority) == (own.rcode(), own.authority)
        number = 200 + sorted(PEERS).index(kind)
        for step in range(3):  # the second and third come while the secondary has just been told
            primary.add_service(f"{kind}-{step}", number + 10 * step)
            wait_until(lambda step=step: bool(ask(primary.port, f"{kind}-{step}.dev.svc.cluster.local", "A").answer))
        wait_until(lambda: bool(ask(port, f"{kind}-2.dev.svc.cluster.local", "A").answer))
        wait_until(lambda: bool(ask(port, f"{kind}-2.dev.example.org", "A").answer))
        wait_until(lambda: bool(ask(port, f"{number + 20}.0.97.10.in-addr.arpa", "PTR").answer))
