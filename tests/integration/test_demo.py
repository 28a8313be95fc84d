# SPDX-License-Identifier: Apache-2.0
"""The demo cluster of zones/, served as ``make run`` serves it: every lesson's question gets its answer."""

from __future__ import annotations

import re
import shlex
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import dns.rcode
import dns.reversename
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = sorted((REPOSITORY / "zones" / "manifests").glob("*.yaml"))
TTL_SECONDS = 30
DEV = "dev.svc.cluster.local."

LESSONS: dict[tuple[str, str], tuple[str, set[str]]] = {
    (DEV, "A"): ("NOERROR", set()),
    ("nowhere.svc.cluster.local.", "A"): ("NXDOMAIN", set()),
    ("10-244-1-11.dev.pod.cluster.local.", "A"): ("NOERROR", {"10.244.1.11"}),
    ("10-244-1-99.dev.pod.cluster.local.", "A"): ("NXDOMAIN", set()),
    (f"service-clusterip.{DEV}", "A"): ("NOERROR", {"10.10.97.97"}),
    (f"service-clusterip.{DEV}", "AAAA"): ("NOERROR", set()),
    ("97.97.10.10.in-addr.arpa.", "PTR"): ("NOERROR", {f"service-clusterip.{DEV}"}),
    (f"service-headliness.{DEV}", "A"): ("NOERROR", {"10.244.1.11", "10.244.1.12", "10.244.2.11"}),
    (f"service-externalname.{DEV}", "CNAME"): ("NOERROR", {"www.baidu.com."}),
    (f"_port1._tcp.service-two-ports.{DEV}", "SRV"): ("NOERROR", {f"0 100 8080 service-two-ports.{DEV}"}),
    (f"service-two-ports.{DEV}", "SRV"): (
        "NOERROR",
        {f"0 50 8080 service-two-ports.{DEV}", f"0 50 8081 service-two-ports.{DEV}"},
    ),
    (f"service-mysql.{DEV}", "A"): ("NOERROR", {"10.10.97.100"}),
    (f"192-168-1-100.service-mysql.{DEV}", "A"): ("NOERROR", {"192.168.1.100"}),
    (f"service-loadbalancer.{DEV}", "A"): ("NOERROR", {"10.10.97.104"}),
    ("service-loadbalancer.dev.example.org.", "A"): ("NOERROR", {"192.0.2.80"}),
    (f"service-affinity.{DEV}", "A"): ("NOERROR", {"10.10.97.101"}),
    (f"_http._tcp.my-service.{DEV}", "SRV"): ("NOERROR", {f"0 100 80 my-service.{DEV}"}),
    ("kube-dns.kube-system.svc.cluster.local.", "A"): ("NOERROR", {"10.10.0.10"}),
    ("_dns._udp.kube-dns.kube-system.svc.cluster.local.", "SRV"): (
        "NOERROR",
        {"0 100 53 kube-dns.kube-system.svc.cluster.local."},
    ),
    (f"web-0.web.{DEV}", "A"): ("NOERROR", {"10.244.1.31"}),
    (f"_http._tcp.web.{DEV}", "SRV"): ("NOERROR", {f"0 50 8080 web-0.web.{DEV}", f"0 50 8080 web-1.web.{DEV}"}),
    (f"service-dual-stack.{DEV}", "A"): ("NOERROR", {"10.10.97.103"}),
    (f"service-dual-stack.{DEV}", "AAAA"): ("NOERROR", {"fd00:10:10::97:103"}),
    (dns.reversename.from_address("fd00:10:10::97:103").to_text(), "PTR"): ("NOERROR", {f"service-dual-stack.{DEV}"}),
    ("kubernetes.default.svc.cluster.local.", "A"): ("NOERROR", {"10.10.0.1"}),
    ("_https._tcp.kubernetes.default.svc.cluster.local.", "SRV"): (
        "NOERROR",
        {"0 100 443 kubernetes.default.svc.cluster.local."},
    ),
}
"""What each dig line in zones/manifests/ asks, and what must come: rcode and the data of all records."""

GIVEN_ADDRESS = (f"service-nodeport.{DEV}", "A")
"""The one lesson whose address nobody wrote down."""


def question(dig_line: str) -> tuple[str, str]:
    """Name and type that a ``dig @127.0.0.1 -p 1053 …`` line asks for."""
    words = shlex.split(dig_line)
    assert words[:4] == ["dig", "@127.0.0.1", "-p", "1053"], dig_line
    if words[4] == "-x":
        return dns.reversename.from_address(words[5]).to_text(), "PTR"
    return f"{words[4]}.", words[5] if len(words) > 5 else "A"


def questions(manifest: Path) -> list[tuple[str, str]]:
    return [question(line) for line in re.findall(r"(?m)^# +(dig .*)$", manifest.read_text())]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_every_manifest_explains_itself_and_says_what_to_ask(manifest: Path) -> None:
    assert re.match(r"# \w[^:]*: |# The ", manifest.read_text()) or manifest.read_text().startswith("# ")
    assert questions(manifest)


def test_every_question_of_the_manifests_is_a_lesson_here() -> None:
    asked = {each for manifest in MANIFESTS for each in questions(manifest)}
    assert asked == set(LESSONS) | {GIVEN_ADDRESS}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("lesson", LESSONS, ids=" ".join)
def test_lesson(demo: Any, lesson: tuple[str, str], tcp: bool) -> None:
    rcode, records = LESSONS[lesson]
    reply = demo.server.ask(*lesson, tcp=tcp)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert {record.to_text() for rrset in reply.answer for record in rrset} == records
    assert {rrset.ttl for rrset in reply.answer} <= {TTL_SECONDS}
    assert bool(reply.answer) != bool(reply.authority), "a reply without records carries the zone's SOA"


def test_a_service_without_an_address_is_given_one_that_stays(demo: Any) -> None:
    reply = demo.server.ask(*GIVEN_ADDRESS)
    assert [rrset.to_text() for rrset in reply.answer] == [f"{GIVEN_ADDRESS[0]} 30 IN A 10.10.150.179"]


def test_every_pod_of_a_headless_service_comes_first_now_and_then(demo: Any) -> None:
    first = {demo.server.ask(f"service-headliness.{DEV}", "A").answer[0][0].to_text() for _ in range(60)}
    assert first == LESSONS[f"service-headliness.{DEV}", "A"][1]


def test_srv_carries_the_addresses_of_its_targets(demo: Any) -> None:
    reply = demo.server.ask(f"_http._tcp.web.{DEV}", "SRV")
    assert {rrset.to_text() for rrset in reply.additional} == {
        f"web-0.web.{DEV} 30 IN A 10.244.1.31",
        f"web-1.web.{DEV} 30 IN A 10.244.2.31",
    }


def test_first_answer_comes_within_a_second_and_knows_the_cluster(demo: Any) -> None:
    # Alone on a machine it takes a quarter of that second; the rest is for machines that run other tests beside it.
    assert demo.server.first_answer_seconds < 1.0
    assert demo.server.first_rcode == dns.rcode.NOERROR


def fetch(port: int, path: str) -> str:
    """The body of a page with status 200; tried for five seconds, since admin endpoints open after the DNS port."""
    end = time.monotonic() + 5
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as response:
                assert response.status == 200
                text: str = response.read().decode()
                return text
        except urllib.error.URLError:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_admin_endpoints_answer(demo: Any) -> None:
    assert fetch(demo.health_port, "health") == "OK"
    assert fetch(demo.ready_port, "ready") == "OK"
    assert "coredns_dns_requests_total" in fetch(demo.metrics_port, "metrics")


def test_queries_are_logged(demo: Any) -> None:
    demo.server.ask(f"service-clusterip.{DEV}", "MX")
    assert f'"MX IN service-clusterip.{DEV} udp' in demo.server.output()


def test_resolv_conf_example_is_that_of_a_pod_in_dev() -> None:
    text = (REPOSITORY / "zones" / "resolv.conf.example").read_text()
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "nameserver 10.10.0.10",
        "search dev.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5",
    ]
