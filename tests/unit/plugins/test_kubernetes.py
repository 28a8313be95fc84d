# SPDX-License-Identifier: Apache-2.0
"""What the ``kubernetes`` directive answers, record by record. Names are relative to cluster.local."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
from support.dns_cluster import (
    TTL_SECONDS,
    ZONE,
    Served,
    absolute,
    denial,
    endpoints,
    expected,
    namespace,
    pod,
    put,
    query_for,
    remove,
    service,
    store_of,
)

from clusterdns.cluster.changes import Replace
from clusterdns.cluster.objects import (
    KINDS,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Kind,
    Object,
    ServiceImport,
    ServicePort,
)
from clusterdns.cluster.store import Store
from clusterdns.dns import names
from clusterdns.dns.edns import extended_error
from clusterdns.dns.types import CNAME, FLAG_AA, FLAG_TC, NXDOMAIN, REFUSED, SERVFAIL, TXT, A
from clusterdns.dns.wire import Record
from clusterdns.serving.reply import Reply, Sections

NODATA = denial("NOERROR")
NX = denial("NXDOMAIN")

OBJECTS: list[Object] = [
    namespace("testns"),
    service("svc1", "10.0.0.11", ports="http:80 https:443"),
    endpoints("svc1", "ep1=10.1.0.11", "10.1.0.12", ports="http:8080 https:8443"),
    service("noname", "10.0.0.12", ports=":80"),
    service("dual", "10.0.0.13", "fd00:10::13"),
    service("noports", "10.0.0.14", ports=""),
    service("pending", ""),
    service("empty", "10.0.0.15"),
    endpoints("empty", "!10.1.0.15"),
    service("hl", "None"),
    endpoints("hl", "a=10.1.1.1", "10.1.1.2", "!10.1.1.3", name="hl-1"),
    endpoints("hl", "10.1.1.2", "10.1.1.4", name="hl-2"),
    service("hlempty", "None"),
    service("hlnotready", "None"),
    endpoints("hlnotready", "!10.1.2.1"),
    service("hldual", "None"),
    endpoints("hldual", "x=10.1.3.1"),
    endpoints("hldual", "x=fd00:1::1", "fd00:1::", family="IPv6"),
    service("hlnoports", "None"),
    endpoints("hlnoports", "10.1.4.1", ports=None),
    service("hlnull", "None"),
    endpoints("hlnull", "10.1.4.2", ports="http: https:443"),
    service("shared", "None"),
    endpoints("shared", "web=10.1.5.1", "web=10.1.5.2"),
    service("pods", "None"),
    endpoints("pods", "p-0@10.1.6.1", f"{'p' * 64}@10.1.6.2", "p.q@10.1.6.3"),
    service("names", "None"),
    endpoints("names", "db.example.org", family="FQDN"),
    service("twonames", "None"),
    endpoints("twonames", "a.example.org", "b.example.org", family="FQDN"),
    service("ext", target="www.example.com"),
    service("extdot", target="WWW.Example.com."),
    service("extip", target="192.0.2.7"),
    service("extip6", target="2001:db8::7"),
    service("extin", target="svc1.testns.svc.cluster.local"),
    service("extin2", target="extin.testns.svc.cluster.local"),
    service("extnx", target="nowhere.testns.svc.cluster.local"),
    service("extloop", target="extloop.testns.svc.cluster.local"),
    service("udp", "10.0.0.16", ports="dns:53/UDP dns-tcp:53/TCP"),
    pod("runner", "10.1.1.1", "fd00:1::1"),
    endpoints("orphan", "10.1.7.1"),
]


@cache
def served(options: str = "") -> Served:
    return Served(OBJECTS, options)


SPECIFICATION = [
    ("svc1.testns.svc", "A", expected("NOERROR", "svc1.testns.svc A 10.0.0.11")),
    ("svc1.testns.svc", "AAAA", NODATA),
    (
        "svc1.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "svc1.testns.svc SRV 0 50 80 svc1.testns.svc",
            "svc1.testns.svc SRV 0 50 443 svc1.testns.svc",
            "+ svc1.testns.svc A 10.0.0.11",
        ),
    ),
    (
        "_http._tcp.svc1.testns.svc",
        "SRV",
        expected(
            "NOERROR", "_http._tcp.svc1.testns.svc SRV 0 100 80 svc1.testns.svc", "+ svc1.testns.svc A 10.0.0.11"
        ),
    ),
    ("_http._udp.svc1.testns.svc", "SRV", NX),
    ("_tcp.svc1.testns.svc", "SRV", NX),
    ("_https._tcp.svc1.testns.svc", "A", expected("NOERROR", "_https._tcp.svc1.testns.svc A 10.0.0.11")),
    ("_nope._tcp.svc1.testns.svc", "A", NX),
    (
        "http.tcp.svc1.testns.svc",
        "SRV",
        expected("NOERROR", "http.tcp.svc1.testns.svc SRV 0 100 80 svc1.testns.svc", "+ svc1.testns.svc A 10.0.0.11"),
    ),
    (
        "_._tcp.svc1.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "_._tcp.svc1.testns.svc SRV 0 50 80 svc1.testns.svc",
            "_._tcp.svc1.testns.svc SRV 0 50 443 svc1.testns.svc",
            "+ svc1.testns.svc A 10.0.0.11",
        ),
    ),
    ("__http._tcp.svc1.testns.svc", "SRV", NX),
    ("x._http._tcp.svc1.testns.svc", "SRV", NX),
    (
        "_dns._udp.udp.testns.svc",
        "SRV",
        expected("NOERROR", "_dns._udp.udp.testns.svc SRV 0 100 53 udp.testns.svc", "+ udp.testns.svc A 10.0.0.16"),
    ),
    (
        "noname.testns.svc",
        "SRV",
        expected("NOERROR", "noname.testns.svc SRV 0 100 80 noname.testns.svc", "+ noname.testns.svc A 10.0.0.12"),
    ),
    ("_http._tcp.noname.testns.svc", "SRV", NX),
    (
        "dual.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "dual.testns.svc SRV 0 50 80 dual.testns.svc",
            "+ dual.testns.svc A 10.0.0.13",
            "+ dual.testns.svc AAAA fd00:10::13",
        ),
    ),
    ("dual.testns.svc", "AAAA", expected("NOERROR", "dual.testns.svc AAAA fd00:10::13")),
    ("noports.testns.svc", "A", expected("NOERROR", "noports.testns.svc A 10.0.0.14")),
    ("noports.testns.svc", "SRV", NODATA),
    ("_http._tcp.noports.testns.svc", "SRV", NX),
    ("pending.testns.svc", "A", NODATA),
    ("pending.testns.svc", "SRV", NODATA),
    ("empty.testns.svc", "A", expected("NOERROR", "empty.testns.svc A 10.0.0.15")),
    ("hl.testns.svc", "A", expected("NOERROR", *(f"hl.testns.svc A 10.1.1.{n}" for n in (1, 2, 4)))),
    ("hl.testns.svc", "AAAA", NODATA),
    (
        "hl.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "hl.testns.svc SRV 0 25 80 a.hl.testns.svc",
            "hl.testns.svc SRV 0 25 80 10-1-1-2.hl.testns.svc",
            "hl.testns.svc SRV 0 25 80 10-1-1-4.hl.testns.svc",
            "+ a.hl.testns.svc A 10.1.1.1",
            "+ 10-1-1-2.hl.testns.svc A 10.1.1.2",
            "+ 10-1-1-4.hl.testns.svc A 10.1.1.4",
        ),
    ),
    (
        "_http._tcp.hl.testns.svc",
        "A",
        expected("NOERROR", *(f"_http._tcp.hl.testns.svc A 10.1.1.{n}" for n in (1, 2, 4))),
    ),
    ("_http._udp.hl.testns.svc", "SRV", NX),
    ("a.hl.testns.svc", "A", expected("NOERROR", "a.hl.testns.svc A 10.1.1.1")),
    ("a.hl.testns.svc", "AAAA", NODATA),
    (
        "a.hl.testns.svc",
        "SRV",
        expected("NOERROR", "a.hl.testns.svc SRV 0 100 80 a.hl.testns.svc", "+ a.hl.testns.svc A 10.1.1.1"),
    ),
    ("10-1-1-1.hl.testns.svc", "A", NX),
    ("10-1-1-2.hl.testns.svc", "A", expected("NOERROR", "10-1-1-2.hl.testns.svc A 10.1.1.2")),
    ("10-1-1-3.hl.testns.svc", "A", NX),
    ("hlempty.testns.svc", "A", NX),
    ("hlempty.testns.svc", "AAAA", NX),
    ("hlnotready.testns.svc", "A", NX),
    ("hlnotready.testns.svc", "TXT", NX),
    ("hldual.testns.svc", "A", expected("NOERROR", "hldual.testns.svc A 10.1.3.1")),
    (
        "hldual.testns.svc",
        "AAAA",
        expected("NOERROR", "hldual.testns.svc AAAA fd00:1::1", "hldual.testns.svc AAAA fd00:1::"),
    ),
    (
        "hldual.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "hldual.testns.svc SRV 0 33 80 x.hldual.testns.svc",
            "hldual.testns.svc SRV 0 33 80 fd00-1--0.hldual.testns.svc",
            "+ x.hldual.testns.svc A 10.1.3.1",
            "+ x.hldual.testns.svc AAAA fd00:1::1",
            "+ fd00-1--0.hldual.testns.svc AAAA fd00:1::",
        ),
    ),
    ("fd00-1--0.hldual.testns.svc", "AAAA", expected("NOERROR", "fd00-1--0.hldual.testns.svc AAAA fd00:1::")),
    ("hlnoports.testns.svc", "A", expected("NOERROR", "hlnoports.testns.svc A 10.1.4.1")),
    ("hlnoports.testns.svc", "SRV", NODATA),
    ("_http._tcp.hlnoports.testns.svc", "SRV", NX),
    (
        "hlnull.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "hlnull.testns.svc SRV 0 100 443 10-1-4-2.hlnull.testns.svc",
            "+ 10-1-4-2.hlnull.testns.svc A 10.1.4.2",
        ),
    ),
    ("web.shared.testns.svc", "A", expected("NOERROR", *(f"web.shared.testns.svc A 10.1.5.{n}" for n in (1, 2)))),
    (
        "web.shared.testns.svc",
        "SRV",
        expected(
            "NOERROR",
            "web.shared.testns.svc SRV 0 50 80 web.shared.testns.svc",
            "+ web.shared.testns.svc A 10.1.5.1",
            "+ web.shared.testns.svc A 10.1.5.2",
        ),
    ),
    ("ep1.svc1.testns.svc", "A", expected("NOERROR", "ep1.svc1.testns.svc A 10.1.0.11")),
    ("10-1-0-12.svc1.testns.svc", "A", expected("NOERROR", "10-1-0-12.svc1.testns.svc A 10.1.0.12")),
    ("names.testns.svc", "CNAME", expected("NOERROR", "names.testns.svc CNAME db.example.org.")),
    ("twonames.testns.svc", "A", NODATA),
    ("orphan.testns.svc", "A", NX),
    # fixed names
    ("@", "A", NODATA),
    ("svc", "A", NODATA),
    ("pod", "A", NODATA),
    ("testns.svc", "A", NODATA),
    ("@", "TXT", NODATA),
    ("svc", "TXT", NODATA),
    ("testns.svc", "TXT", NODATA),
    ("nons.svc", "A", NX),
    ("foo", "A", NX),
    ("x.nons.svc", "A", NX),
    ("foo", "SOA", NX),
    ("svc1.testns.svc", "SOA", NODATA),
    ("dns-version", "TXT", expected("NOERROR", 'dns-version 28800 IN TXT "1.1.0"')),
    ("DNS-Version", "TXT", expected("NOERROR", 'DNS-Version 28800 IN TXT "1.1.0"')),
    ("dns-version", "A", NODATA),
    ("x.dns-version", "TXT", NX),
    ("dns", "A", NODATA),
    ("x.dns", "A", NX),
    ("x.ns.dns", "A", NX),
    ("*.testns.svc", "A", NX),
    ("any.any.svc", "A", NX),
    ("cluster.local", "A", NX),
    *(("svc1.testns.svc", rtype, NODATA) for rtype in ("ANY", "HTTPS", "DS", "NS", "MX", "CNAME", "PTR", "TYPE999")),
    ("foo", "TYPE999", NX),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rtype", "reply"), SPECIFICATION)
def test_records_of_the_specification(name: str, rtype: str, reply: list[str]) -> None:
    assert served().ask(name, rtype) == reply


PODS = [
    ("insecure", "10-1-9-9.testns.pod", "A", expected("NOERROR", "10-1-9-9.testns.pod A 10.1.9.9")),
    ("insecure", "10-1-9-9.testns.pod", "AAAA", NODATA),
    ("insecure", "10-1-9-9.testns.pod", "SRV", NODATA),
    ("insecure", "10-1-9-9.nons.pod", "A", NX),
    ("insecure", "999-1-1-1.testns.pod", "A", NX),
    ("insecure", "1-2-3.testns.pod", "A", NX),
    ("insecure", "nosuch.testns.pod", "TXT", NX),
    ("insecure", "fd00-1--1.testns.pod", "AAAA", expected("NOERROR", "fd00-1--1.testns.pod AAAA fd00:1::1")),
    ("insecure", "a.10-1-9-9.testns.pod", "A", NX),
    ("insecure", "a.b.10-1-9-9.testns.pod", "A", NX),
    ("insecure", "testns.pod", "A", NODATA),
    ("insecure", "nons.pod", "A", NX),
    ("insecure", r"10\.1-1-1-1.testns.pod", "A", NX),
    ("insecure", "fe80--1%1.testns.pod", "AAAA", NX),
    ("verified", "10-1-1-1.testns.pod", "A", expected("NOERROR", "10-1-1-1.testns.pod A 10.1.1.1")),
    ("verified", "fd00-1--1.testns.pod", "AAAA", expected("NOERROR", "fd00-1--1.testns.pod AAAA fd00:1::1")),
    ("verified", "fd00-1-0-0-0-0-0-1.testns.pod", "AAAA",
     expected("NOERROR", "fd00-1-0-0-0-0-0-1.testns.pod AAAA fd00:1::1")),
    ("verified", "10-1-9-9.testns.pod", "A", NX),
    ("verified", "10-1-1-1.nons.pod", "A", NX),
    ("verified", "testns.pod", "A", NODATA),
    ("disabled", "10-1-1-1.testns.pod", "A", NX),
    ("disabled", "testns.pod", "A", NX),
    ("disabled", "pod", "A", NODATA),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "name", "rtype", "reply"), PODS)
def test_names_of_pods(mode: str, name: str, rtype: str, reply: list[str]) -> None:
    assert served(f"{{\n pods {mode}\n}}").ask(name, rtype) == reply


REVERSE = [
    ("11.0.0.10.in-addr.arpa.", "PTR", ["svc1.testns.svc"]),
    ("1.1.1.10.in-addr.arpa.", "PTR", ["a.hl.testns.svc"]),
    ("2.1.1.10.in-addr.arpa.", "PTR", ["10-1-1-2.hl.testns.svc"]),
    ("12.0.1.10.in-addr.arpa.", "PTR", ["10-1-0-12.svc1.testns.svc"]),
    ("1.7.1.10.in-addr.arpa.", "PTR", ["10-1-7-1.orphan.testns.svc"]),
    ("3.1.1.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    ("11.0.0.10.in-addr.arpa.", "A", "NOERROR"),
    ("0.0.10.in-addr.arpa.", "PTR", "NOERROR"),
    ("10.in-addr.arpa.", "PTR", "NOERROR"),
    ("1.in-addr.arpa.", "PTR", "NXDOMAIN"),
    ("9.0.10.in-addr.arpa.", "A", "NXDOMAIN"),
    ("011.0.0.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    ("1.11.0.0.10.in-addr.arpa.", "PTR", "NXDOMAIN"),
    (r"0\.0.10.in-addr.arpa.", "A", "NXDOMAIN"),
    ("x.10.in-addr.arpa.", "A", "NXDOMAIN"),
    ("svc1.testns.svc.in-addr.arpa.", "A", "NXDOMAIN"),
    ("dns-version.in-addr.arpa.", "TXT", "NXDOMAIN"),
    ("dns.in-addr.arpa.", "A", "NOERROR"),
    ("3.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.d.f.ip6.arpa.", "PTR", ["dual.testns.svc"]),
    ("1.0.0.0.d.f.ip6.arpa.", "PTR", "NXDOMAIN"),
    ("0.1.0.0.0.0.d.f.ip6.arpa.", "PTR", "NOERROR"),
    ("1.1.0.0.0.0.d.f.ip6.arpa.", "PTR", "NXDOMAIN"),
    ("00.d.f.ip6.arpa.", "PTR", "NXDOMAIN"),
    ("g.d.f.ip6.arpa.", "PTR", "NXDOMAIN"),
    ("3.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.d.f.ip6.arpa.", "AAAA", "NOERROR"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rtype", "result"), REVERSE)
def test_reverse_names(name: str, rtype: str, result: str | list[str]) -> None:
    zone = "in-addr.arpa." if name.endswith("in-addr.arpa.") else "ip6.arpa."
    if isinstance(result, str):
        reply = denial(result, zone)
    else:
        reply = expected("NOERROR", *(f"{name} PTR {target}" for target in result))
    assert served("cluster.local in-addr.arpa ip6.arpa").ask(name, rtype) == reply


def test_only_the_first_service_with_a_cluster_ip_has_the_pointer_but_every_endpoint() -> None:
    objects = [
        namespace("testns"),
        service("b", "10.0.0.1"),
        service("a", "10.0.0.1"),
        service("h1", "None"),
        endpoints("h1", "10.9.0.1", "x=10.9.0.1"),
        service("h2", "None"),
        endpoints("h2", "10.9.0.1", name="h2-1"),
        endpoints("h2", "10.9.0.1", name="h2-2"),
    ]
    server = Served(objects, "cluster.local in-addr.arpa")
    assert server.ask("1.0.0.10.in-addr.arpa.", "PTR") == expected("NOERROR", "1.0.0.10.in-addr.arpa. PTR a.testns.svc")
    targets = ("10-9-0-1.h1.testns.svc", "x.h1.testns.svc", "10-9-0-1.h2.testns.svc")
    assert server.ask("1.0.9.10.in-addr.arpa.", "PTR") == expected(
        "NOERROR", *(f"1.0.9.10.in-addr.arpa. PTR {target}" for target in targets)
    )


def test_hidden_namespaces_have_no_pointers_either() -> None:
    objects = [*OBJECTS, namespace("other"), service("o", "10.0.9.1", namespace="other")]
    server = Served(objects, "cluster.local in-addr.arpa {\n namespaces other\n}")
    assert server.ask("1.9.0.10.in-addr.arpa.", "PTR") == expected("NOERROR", "1.9.0.10.in-addr.arpa. PTR o.other.svc")
    for name in ("11.0.0.10.in-addr.arpa.", "1.1.1.10.in-addr.arpa.", "1.1.10.in-addr.arpa."):
        assert server.ask(name, "PTR") == denial("NXDOMAIN", "in-addr.arpa.")


def test_the_root_as_zone_has_reverse_names_too() -> None:
    server = Served(OBJECTS, ".")
    assert server.ask("11.0.0.10.in-addr.arpa.", "PTR")[1:] == ["11.0.0.10.in-addr.arpa. 5 IN PTR svc1.testns.svc."]
    assert server.ask("0.10.in-addr.arpa.", "PTR") == [
        "NOERROR",
        "? . 5 IN SOA ns.dns. hostmaster. SERIAL 7200 1800 86400 5",
    ]
    assert server.ask("svc1.testns.svc.", "A") == ["NOERROR", "svc1.testns.svc. 5 IN A 10.0.0.11"]


# Case


def test_owners_and_zones_keep_the_letters_of_the_query() -> None:
    server = served()
    assert server.ask("SvC1.TestNS.sVc.cluster.LOCAL.", "SRV") == [
        "NOERROR",
        "SvC1.TestNS.sVc.cluster.LOCAL. 5 IN SRV 0 50 443 svc1.testns.svc.cluster.LOCAL.",
        "SvC1.TestNS.sVc.cluster.LOCAL. 5 IN SRV 0 50 80 svc1.testns.svc.cluster.LOCAL.",
        "+ svc1.testns.svc.cluster.LOCAL. 5 IN A 10.0.0.11",
    ]
    assert server.ask("SVC1.testns.svc", "SRV")[3] == "+ svc1.testns.svc.cluster.local. 5 IN A 10.0.0.11"
    assert server.ask("HL.testns.svc.CLUSTER.local.", "A")[1] == "HL.testns.svc.CLUSTER.local. 5 IN A 10.1.1.1"
    assert server.ask("nope.CLUSTER.local.", "A") == denial("NXDOMAIN", "CLUSTER.local.")
    assert server.ask("_HTTP._TCP.svc1.TESTNS.svc", "SRV")[0] == "NOERROR"


# Options


@pytest.mark.parametrize(("name", "answered"), [("svc1.testns.svc", True), ("empty.testns.svc", False)])
def test_ignore_empty_service(name: str, answered: bool) -> None:
    reply = served("{\n ignore empty_service\n}").ask(name, "A")
    assert (reply != NX) == answered
    assert served("{\n ignore empty_service\n}").ask("ext.testns.svc", "CNAME")[0] == "NOERROR"


def test_noendpoints_leaves_services_with_addresses() -> None:
    server = served("cluster.local in-addr.arpa {\n noendpoints\n}")
    assert server.ask("svc1.testns.svc", "A") == expected("NOERROR", "svc1.testns.svc A 10.0.0.11")
    for name in ("hl.testns.svc", "a.hl.testns.svc", "ep1.svc1.testns.svc"):
        assert server.ask(name, "A") == NX
    assert server.ask("1.1.1.10.in-addr.arpa.", "PTR") == denial("NXDOMAIN", "in-addr.arpa.")


def test_endpoint_pod_names_are_used_where_they_are_labels() -> None:
    server = served("{\n endpoint_pod_names\n}")
    for label, number in (("p-0", 1), ("10-1-6-2", 2), ("10-1-6-3", 3)):
        name = f"{label}.pods.testns.svc"
        assert server.ask(name, "A") == expected("NOERROR", f"{name} A 10.1.6.{number}")
    assert server.ask("10-1-6-1.pods.testns.svc", "A") == NX


def test_namespaces_hide_all_others_whatever_the_letters() -> None:
    server = Served([*OBJECTS, namespace("other")], "{\n namespaces testns\n namespaces more\n pods insecure\n}")
    assert server.ask("svc1.TESTNS.svc", "A")[0] == "NOERROR"
    for name in ("other.svc", "other.pod", "10-1-1-1.other.pod", "more.svc"):
        assert server.ask(name, "A") == NX


@pytest.mark.parametrize(("ttl_seconds", "soa_seconds"), [(0, 0), (30, 30), (3600, 300)])
def test_ttl_is_that_of_all_records_and_the_soa_keeps_to_300(ttl_seconds: int, soa_seconds: int) -> None:
    server = served(f"{{\n ttl {ttl_seconds}\n}}")
    assert server.ask("svc1.testns.svc", "A")[1].split()[1] == str(ttl_seconds)
    assert server.ask("@", "SOA")[1] == (
        f"{ZONE} {soa_seconds} IN SOA ns.dns.{ZONE} hostmaster.{ZONE} SERIAL 7200 1800 86400 {ttl_seconds}"
    )


def test_the_longest_of_several_zones_answers() -> None:
    server = served("cluster.local sub.cluster.local 10.in-addr.arpa 0.10.in-addr.arpa")
    assert server.ask("svc1.testns.svc.sub", "A") == expected("NOERROR", "svc1.testns.svc.sub A 10.0.0.11")
    assert server.ask("nope.sub", "A") == denial("NXDOMAIN", "sub.cluster.local.")
    assert server.ask("9.0.0.10.in-addr.arpa.", "PTR") == denial("NXDOMAIN", "0.10.in-addr.arpa.")
    assert server.ask("svc1.testns.svc.sub", "SRV")[3] == "+ svc1.testns.svc.sub.cluster.local. 5 IN A 10.0.0.11"
    assert server.ask("11.0.0.10.in-addr.arpa.", "PTR")[1].endswith("PTR svc1.testns.svc.cluster.local.")


# NS


DNS_SERVICE = [
    namespace("kube-system"),
    service("kube-dns", "10.0.0.10", "fd00::10", namespace="kube-system", ports="dns:53/UDP"),
    endpoints("kube-dns", "192.0.2.53", namespace="kube-system"),
]


@pytest.mark.parametrize("name", [ZONE, "CLUSTER.Local."])
def test_the_name_server_is_the_service_that_this_server_is_an_endpoint_of(name: str) -> None:
    server = Served(DNS_SERVICE, "{\n namespaces other\n}", local_addresses=("192.0.2.53",))
    assert server.ask(name, "NS") == [
        "NOERROR",
        f"{name} 5 IN NS kube-dns.kube-system.svc.{name}",
        f"+ kube-dns.kube-system.svc.{name} 5 IN A 10.0.0.10",
        f"+ kube-dns.kube-system.svc.{name} 5 IN AAAA fd00::10",
    ]
    assert server.ask(f"ns.dns.{name}", "AAAA") == ["NOERROR", f"ns.dns.{name} 5 IN AAAA fd00::10"]
    assert server.ask(f"NS.dns.{name}", "TXT") == denial("NOERROR", name)


def test_a_headless_dns_service_gives_its_endpoints() -> None:
    objects = [namespace("testns"), service("dns", "None"), endpoints("dns", "a=192.0.2.53", "192.0.2.54")]
    server = Served(objects, "cluster.local in-addr.arpa", local_addresses=("192.0.2.53",))
    reply = [
        "NS 192-0-2-54.dns.testns.svc.cluster.local.",
        "NS a.dns.testns.svc.cluster.local.",
        "+ 192-0-2-54.dns.testns.svc.cluster.local. 5 IN A 192.0.2.54",
        "+ a.dns.testns.svc.cluster.local. 5 IN A 192.0.2.53",
    ]
    assert server.ask("@", "NS") == ["NOERROR", *(f"{ZONE} 5 IN {text}" for text in reply[:2]), *reply[2:]]
    assert server.ask("in-addr.arpa.", "NS") == [
        "NOERROR",
        *(f"in-addr.arpa. 5 IN {text}" for text in reply[:2]),
        *reply[2:],
    ]


def test_without_a_dns_service_the_addresses_of_the_machine_are_given_but_no_link_local_ones() -> None:
    local = ("127.0.0.1", "192.0.2.53", "fe80::1", "fe80::2%eth0", "fd00::53", "169.254.1.1")
    server = Served(OBJECTS, local_addresses=local)
    glue = ["ns.dns.cluster.local. 5 IN A 192.0.2.53", "ns.dns.cluster.local. 5 IN AAAA fd00::53"]
    assert server.ask("@", "NS") == ["NOERROR", f"{ZONE} 5 IN NS ns.dns.{ZONE}", *(f"+ {text}" for text in glue)]
    assert server.ask("ns.dns", "A") == ["NOERROR", glue[0]]
    assert Served(OBJECTS).ask("@", "NS") == ["NOERROR", f"{ZONE} 5 IN NS ns.dns.{ZONE}"]


# ExternalName


def test_a_cname_is_what_it_is_asked_for() -> None:
    for rtype in ("CNAME", "ANY"):
        assert served().ask("ext.testns.svc", rtype) == expected("NOERROR", "ext.testns.svc CNAME www.example.com.")
    assert served().ask("extdot.testns.svc", "CNAME")[1].endswith(" WWW.Example.com.")
    for name in ("extip", "extip6", "x.ext", "_http._tcp.ext"):
        for rtype in ("A", "CNAME"):
            assert served().ask(f"{name}.testns.svc", rtype) == NX


@pytest.mark.parametrize("rtype", ["A", "TXT", "SRV", "HTTPS"])
def test_a_target_outside_is_looked_up_and_gives_its_rcode(rtype: str) -> None:
    server = Served(OBJECTS)
    target = names.from_text("www.example.com.")
    soa = Record(names.from_text("com."), TXT, 60, b"\x01x")
    replies = {
        0: Reply(0, Sections((Record(target, TXT, 7, b"\x01a"),), (soa,), (soa,)), flags=FLAG_TC, plugin="forward"),
        3: Reply(NXDOMAIN, Sections((), (soa,)), plugin="forward"),
        2: Reply.failure("no upstream", plugin="forward"),
    }
    for rcode, found in replies.items():
        server.setup.resolver = lambda query, name, qtype, found=found: found
        reply = server.reply("ext.testns.svc", rtype)
        records = reply.records(query_for("ext.testns.svc", rtype))
        assert reply.rcode == rcode
        assert records.answer[0] == Record(names.from_text(absolute("ext.testns.svc")), CNAME, TTL_SECONDS, target)
        assert records.answer[1:] == found.records(query_for("ext.testns.svc", rtype)).answer
        assert records.authority == (() if rcode == 0 else (soa,) if rcode == 3 else ())
        assert records.additional == ()
        assert reply.flags == (FLAG_AA | FLAG_TC if rcode == 0 else FLAG_AA)
        assert reply.error == found.error
        assert not reply.reusable
    assert server.setup.asked == [("www.example.com.", query_for("x", rtype).qtype)] * 3


def test_an_answer_whose_target_counts_down_is_good_for_a_moment_only() -> None:
    server = Served(OBJECTS)
    found = Reply(0, Sections((Record(names.from_text("www.example.com."), TXT, 7, b"\x01a"),)), plugin="forward")
    found.reusable = found.transient = True
    server.setup.resolver = lambda query, name, qtype: found
    reply = server.reply("ext.testns.svc", "TXT")
    assert reply.reusable
    assert reply.transient


def test_the_lookup_outside_may_take_its_time() -> None:
    server = Served(OBJECTS)

    async def found() -> Reply:
        return Reply(NXDOMAIN, plugin="forward")

    server.setup.resolver = lambda query, name, qtype: found()
    assert server.ask("ext.testns.svc", "A") == expected("NXDOMAIN", "ext.testns.svc CNAME www.example.com.")


def test_a_target_that_nobody_serves_leaves_the_cname() -> None:
    server = Served(OBJECTS)
    for found in (Reply(REFUSED), Reply.failure("no next plugin found")):
        server.setup.resolver = lambda query, name, qtype, found=found: found
        assert server.ask("ext.testns.svc", "A") == expected("NOERROR", "ext.testns.svc CNAME www.example.com.")


def test_a_target_inside_is_answered_from_the_zones() -> None:
    server = served()
    chain = [
        "extin2.testns.svc CNAME extin.testns.svc",
        "extin.testns.svc CNAME svc1.testns.svc",
    ]
    assert server.ask("extin2.testns.svc", "A") == expected("NOERROR", *chain, "svc1.testns.svc A 10.0.0.11")
    soa = f"? {ZONE} 5 IN SOA ns.dns.{ZONE} hostmaster.{ZONE} SERIAL 7200 1800 86400 5"
    assert server.ask("extin2.testns.svc", "AAAA") == [*expected("NOERROR", *chain), soa]
    assert server.ask("extnx.testns.svc", "A") == [
        *expected("NXDOMAIN", "extnx.testns.svc CNAME nowhere.testns.svc"), soa,
    ]  # fmt: skip
    assert server.setup.asked == []


def test_a_target_inside_that_falls_through_is_looked_up() -> None:
    server = Served(OBJECTS, "{\n fallthrough\n}")
    server.ask("extnx.testns.svc", "A")
    assert server.setup.asked == [("nowhere.testns.svc.cluster.local.", A)]


def test_a_loop_of_names_ends_in_servfail() -> None:
    reply = served().reply("extloop.testns.svc", "A")
    assert reply.rcode == SERVFAIL
    assert "loop" in reply.error
    assert served().ask("extloop.testns.svc", "CNAME")[0] == "NOERROR"
    chain = [service(f"c{n}", target=f"c{n + 1}.testns.svc.cluster.local") for n in range(30)]
    assert Served([namespace("testns"), *chain]).reply("c0.testns.svc", "A").rcode == SERVFAIL


# Passing on


def test_other_zones_and_classes_are_passed_on() -> None:
    server = served()
    assert server.plugin.handle(query_for("www.example.org.", "A")) is server.behind
    chaos = query_for("svc1.testns.svc", "A")
    chaos.qclass = 3
    assert server.plugin.handle(chaos) is server.behind
    # a label whose inside looks like the zone
    assert server.plugin.handle(query_for(r"x\007cluster\005local.", "A")) is server.behind


@pytest.mark.parametrize(
    ("option", "name", "passes"),
    [
        ("fallthrough", "nope.testns.svc", True),
        ("fallthrough", "nope.testns.svc.CLUSTER.LOCAL.", True),
        ("fallthrough", "svc1.testns.svc", False),
        ("fallthrough", "svc", False),
        ("fallthrough svc.cluster.local", "nope.testns.svc", True),
        ("fallthrough svc.cluster.local", "nope", False),
        ("ttl 5", "nope", False),
        ("fallthrough\n fallthrough other.example", "nope", False),
    ],
)
def test_fallthrough_is_for_names_that_do_not_exist(option: str, name: str, passes: bool) -> None:
    server = served(f"{{\n {option}\n}}")
    question = query_for(name, "AAAA")
    assert (server.plugin.handle(question) is server.behind) == passes
    assert server.plugin.owns(question) is not passes


def test_names_outside_of_the_zones_are_nobodys_here() -> None:
    assert served().plugin.owns(query_for("example.com.", "A")) is None
    assert served().plugin.owns(query_for("extin.testns.svc", "A"))


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
@pytest.mark.parametrize("name", ["@", "svc1.testns.svc", "nope"])
def test_transfers_are_refused(name: str, rtype: str) -> None:
    reply = served("{\n fallthrough\n}").reply(name, rtype)
    assert (reply.rcode, reply.flags, reply.plugin) == (REFUSED, 0, "kubernetes")


# Before the cluster has been read

SERVICES_READ = ("Namespace", "Service")


def not_ready(server: Served, name: str, rtype: str) -> bool:
    """True for SERVFAIL with the extended error Not Ready, which nobody may keep."""
    server.behind = Reply(NXDOMAIN, plugin="forward")
    reply = server.reply(name, rtype)
    failed = reply.rcode == SERVFAIL
    assert (b"\x00\x0enot read from the cluster yet: " in reply.options) == failed
    assert not (failed and reply.reusable)
    return failed


@pytest.mark.parametrize(
    ("name", "rtype", "read", "unread"),
    [
        ("svc", "A", (), ()),
        ("dns-version", "TXT", (), ()),
        ("@", "SOA", (), ()),
        ("nope", "A", (), ()),
        ("@", "NS", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
        ("testns.svc", "A", ("Namespace",), ("Namespace",)),
        ("svc1.testns.svc", "A", SERVICES_READ, ("Service",)),
        ("svc1.testns.svc", "A", SERVICES_READ, ("Namespace",)),
        ("nope.testns.svc", "A", SERVICES_READ, ("Service",)),
        ("nope.nons.svc", "A", ("Namespace",), ("Namespace",)),
        ("_http._tcp.svc1.testns.svc", "SRV", SERVICES_READ, ("Service",)),
        ("hl.testns.svc", "A", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
        ("hl.testns.svc", "SRV", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
        ("x.hl.testns.svc", "A", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
        ("x.svc1.testns.svc", "A", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
        ("extin.testns.svc", "A", SERVICES_READ, ("Service",)),
        ("extin.testns.svc", "CNAME", SERVICES_READ, ("Service",)),
        ("11.0.0.10.in-addr.arpa.", "PTR", SERVICES_READ, ("Service",)),
        ("99.0.0.10.in-addr.arpa.", "PTR", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
        ("0.0.10.in-addr.arpa.", "PTR", (*SERVICES_READ, "EndpointSlice"), ("EndpointSlice",)),
    ],
)
def test_a_name_is_answered_once_what_it_depends_on_is_read(
    name: str, rtype: str, read: tuple[Kind, ...], unread: tuple[Kind, ...]
) -> None:
    zones = "cluster.local in-addr.arpa {\n fallthrough\n}"
    whole = store_of(OBJECTS)
    assert not not_ready(Served(store_of(OBJECTS, read), zones), name, rtype)
    for missing in unread:
        others = tuple(kind for kind in KINDS if kind != missing)
        server = Served(store_of(OBJECTS, others), zones)
        assert not_ready(server, name, rtype)
        put(server.store, *whole.objects(missing))
        assert not_ready(server, name, rtype), "a part of a list is not the list"
        server.store.apply(Replace(missing, whole.objects(missing)), 0.0)
        assert not not_ready(server, name, rtype)


def test_names_of_pods_wait_for_pods_where_these_are_read() -> None:
    server = Served(store_of(OBJECTS, (*SERVICES_READ, "EndpointSlice")), "{\n pods verified\n}")
    assert not_ready(server, "10-1-1-1.testns.pod", "A")
    assert server.plugin.missing() == ("pods",)
    assert not not_ready(Served(store_of(OBJECTS, ("Namespace",)), "{\n pods insecure\n}"), "10-1-1-1.testns.pod", "A")


def test_a_service_may_need_an_endpoint() -> None:
    server = Served(store_of(OBJECTS, SERVICES_READ), "{\n ignore empty_service\n}")
    assert not_ready(server, "svc1.testns.svc", "A")


def test_the_reply_says_what_is_missing() -> None:
    server = Served(store_of(OBJECTS, SERVICES_READ))
    assert not server.plugin.ready()
    reply = server.reply("hl.testns.svc", "A")
    assert (reply.rcode, reply.flags, reply.reusable) == (SERVFAIL, FLAG_AA, False)
    assert reply.options == extended_error(14, "not read from the cluster yet: EndpointSlice")
    assert server.ask("hl.testns.svc", "A") == denial("SERVFAIL")


def test_answers_of_a_read_cluster_may_be_reused() -> None:
    assert served().plugin.ready()
    for name in ("svc1.testns.svc", "nope", "extin.testns.svc"):
        reply = served().reply(name, "A")
        assert reply.reusable
        assert reply.plugin == "kubernetes"


# Life


def test_changes_are_published_until_the_plugin_stops() -> None:
    server = Served(OBJECTS)
    before = server.setup.published
    put(server.store, service("new", "10.0.0.99"))
    assert server.setup.published == before + 1
    assert server.ask("new.testns.svc", "A") == expected("NOERROR", "new.testns.svc A 10.0.0.99")
    put(server.store, pod("irrelevant", "10.5.5.5"))
    assert server.setup.published == before + 1
    asyncio.run(server.plugin.stop(True))
    put(server.store, service("newer", "10.0.0.98"))
    assert server.setup.published == before + 1
    assert server.setup.lease.released
    assert not server.plugin.ready()


def test_the_cluster_is_taken_with_the_arguments_of_the_directive() -> None:
    server = Served([], "{\n service_cidr 10.0.0.0/16 fd00::/108\n labels a = b\n namespace_labels x in (y,z)\n}")
    assert server.setup.leased == [("/root/dir", "10.0.0.0/16,fd00::/108", "a = b", "x in (y,z)")]
    assert served().setup.leased == [("/root/dir", "10.96.0.0/12", "", "")]


# Endpoints by zone of the topology


def placed(zone: str, *addresses: str, **fields: Any) -> Endpoint:
    return Endpoint(addresses, zone=zone, **fields)


def slice_of(owner: str, *each: Endpoint, **fields: Any) -> EndpointSlice:
    return EndpointSlice("testns", f"{owner}-1", owner, "IPv4", each, (EndpointPort("http", "TCP", 80),), **fields)


ZONAL: list[Object] = [
    namespace("testns"),
    service("near", "None"),
    slice_of(
        "near",
        placed("eu-1", "10.0.1.1", hostname="a"),
        placed("EU-2", "10.0.2.1", hostname="b"),
        placed("", "10.0.3.1"),
    ),
    service("plain", "10.0.0.1"),
    slice_of("plain", placed("eu-1", "10.0.1.2")),
    service("gone", "None"),
]


@pytest.mark.parametrize(
    ("name", "rtype", "answer"),
    [
        ("eu-1.pin._zone.near.testns.svc", "A", ("NOERROR", "eu-1.pin._zone.near.testns.svc A 10.0.1.1")),
        ("eu-2.prefer._zone.near.testns.svc", "A", ("NOERROR", "eu-2.prefer._zone.near.testns.svc A 10.0.2.1")),
        (
            "x.y.prefer._zone.near.testns.svc",
            "A",
            ("NOERROR", *(f"x.y.prefer._zone.near.testns.svc A 10.0.{number}.1" for number in (1, 2, 3))),
        ),
        (
            "eu-1.pin._zone.near.testns.svc",
            "SRV",
            (
                "NOERROR",
                "eu-1.pin._zone.near.testns.svc SRV 0 100 80 a.near.testns.svc",
                "+ a.near.testns.svc A 10.0.1.1",
            ),
        ),
    ],
)
def test_endpoints_in_a_zone_have_a_name(name: str, rtype: str, answer: tuple[str, ...]) -> None:
    assert Served(ZONAL, "{\n zonal\n}").ask(name, rtype) == expected(*answer)


@pytest.mark.parametrize(
    ("name", "denied"),
    [
        ("eu-9.pin._zone.near.testns.svc", NODATA),
        ("eu-1.pin._zone.gone.testns.svc", NODATA),
        ("eu-1.prefer._zone.gone.testns.svc", NX),
        ("eu-1.pin._zone.plain.testns.svc", NX),
        ("eu-1.pin._zone.nope.testns.svc", NX),
        ("eu-1.other._zone.near.testns.svc", NX),
        ("pin._zone.near.testns.svc", NX),
        ("eu-1.pin._zone.near.testns.pod", NX),
    ],
)
def test_zonal_names_without_endpoints(name: str, denied: list[str]) -> None:
    for rtype in ("A", "AAAA", "SRV", "TXT"):
        assert Served(ZONAL, "{\n zonal\n}").ask(name, rtype) == denied


def test_without_the_option_there_are_no_zonal_names() -> None:
    assert Served(ZONAL).ask("eu-1.pin._zone.near.testns.svc") == NX


# When all endpoints terminate


def test_a_service_whose_endpoints_all_terminate_is_served_by_those_that_still_do() -> None:
    leaving = {"ready": False, "terminating": True}
    cluster: list[Object] = [
        namespace("testns"),
        service("hl", "None"),
        slice_of(
            "hl",
            placed("", "10.0.1.1", hostname="a", serving=True, **leaving),
            placed("", "10.0.1.2", hostname="b", serving=False, **leaving),
            placed("", "10.0.1.3", ready=False, serving=False),
        ),
    ]
    server = Served(cluster)
    assert server.ask("hl.testns.svc") == expected("NOERROR", "hl.testns.svc A 10.0.1.1")
    assert server.ask("a.hl.testns.svc") == expected("NOERROR", "a.hl.testns.svc A 10.0.1.1")
    assert server.ask("b.hl.testns.svc") == NX
    put(
        server.store,
        slice_of("hl", placed("", "10.0.1.1", hostname="a", serving=True, **leaving), placed("", "10.0.1.4")),
    )
    assert server.ask("hl.testns.svc") == expected("NOERROR", "hl.testns.svc A 10.0.1.4")
    assert Served(cluster, "{\n terminating_fallback off\n}").ask("hl.testns.svc") == NX
    assert Served(cluster, "{\n terminating_fallback off\n terminating_fallback on\n}").ask("hl.testns.svc") != NX


# Services that other clusters export (KEP-1645)

IMPORTED: list[Object] = [
    namespace("testns"),
    service("web", "10.0.0.1"),
    ServiceImport("testns", "web", "ClusterSetIP", ("10.9.0.1", "fd09::1"), (ServicePort("http", "TCP", 80),)),
    ServiceImport("testns", "db", "Headless"),
    EndpointSlice(
        "testns",
        "db-a",
        "",
        "IPv4",
        (Endpoint(("10.1.0.1",), hostname="db-0"), Endpoint(("10.1.0.2",))),
        (EndpointPort("sql", "TCP", 5432),),
        imported="db",
        cluster="east",
    ),
    EndpointSlice(
        "testns", "db-b", "", "IPv4", (Endpoint(("10.2.0.1",), hostname="db-0"),), imported="db", cluster="west"
    ),
]
SET = "clusterset.local."


def clusterset(objects: Iterable[Object] | Store = IMPORTED) -> Served:
    return Served(objects, "cluster.local clusterset.local {\n multicluster clusterset.local\n}")


@pytest.mark.parametrize(
    ("name", "rtype", "answers"),
    [
        (f"web.testns.svc.{SET}", "A", [f"web.testns.svc.{SET} A 10.9.0.1"]),
        (f"web.testns.svc.{SET}", "AAAA", [f"web.testns.svc.{SET} AAAA fd09::1"]),
        (
            f"_http._tcp.web.testns.svc.{SET}",
            "SRV",
            [
                f"_http._tcp.web.testns.svc.{SET} SRV 0 50 80 web.testns.svc.{SET}",
                f"+ web.testns.svc.{SET} A 10.9.0.1",
                f"+ web.testns.svc.{SET} AAAA fd09::1",
            ],
        ),
        ("web.testns.svc.cluster.local.", "A", ["web.testns.svc.cluster.local. A 10.0.0.1"]),
        (f"db.testns.svc.{SET}", "A", [f"db.testns.svc.{SET} A 10.{each}" for each in ("1.0.1", "1.0.2", "2.0.1")]),
        (f"db-0.east.db.testns.svc.{SET}", "A", [f"db-0.east.db.testns.svc.{SET} A 10.1.0.1"]),
        (f"db-0.west.db.testns.svc.{SET}", "A", [f"db-0.west.db.testns.svc.{SET} A 10.2.0.1"]),
        (
            f"_sql._tcp.db.testns.svc.{SET}",
            "SRV",
            [
                f"_sql._tcp.db.testns.svc.{SET} SRV 0 50 5432 db-0.east.db.testns.svc.{SET}",
                f"_sql._tcp.db.testns.svc.{SET} SRV 0 50 5432 10-1-0-2.east.db.testns.svc.{SET}",
                f"+ db-0.east.db.testns.svc.{SET} A 10.1.0.1",
                f"+ 10-1-0-2.east.db.testns.svc.{SET} A 10.1.0.2",
            ],
        ),
    ],
)
def test_imported_services_are_in_zones_of_their_own(name: str, rtype: str, answers: list[str]) -> None:
    assert clusterset().ask(name, rtype) == expected("NOERROR", *answers)


@pytest.mark.parametrize(
    "name", ["db-0.db.testns.svc", "db-0.north.db.testns.svc", "x.testns.svc", "10-1-0-2.db.testns.svc", "web.nons.svc"]
)
def test_names_that_no_cluster_exports(name: str) -> None:
    assert clusterset().ask(f"{name}.{SET}") == denial("NXDOMAIN", SET)


def test_own_names_are_not_those_of_the_set() -> None:
    assert clusterset().ask("db.testns.svc") == NX


def test_changes_of_imports_show_at_once() -> None:
    server = clusterset()
    before = server.setup.published
    put(server.store, ServiceImport("testns", "new", "ClusterSetIP", ("10.9.0.2",)))
    assert server.ask(f"new.testns.svc.{SET}") == expected("NOERROR", f"new.testns.svc.{SET} A 10.9.0.2")
    remove(server.store, *(each for each in IMPORTED if isinstance(each, EndpointSlice)))
    assert server.ask(f"db.testns.svc.{SET}") == denial("NXDOMAIN", SET)
    assert server.setup.published > before + 1


def test_imports_are_waited_for() -> None:
    server = clusterset(store_of(IMPORTED, ("Namespace", "Service", "EndpointSlice")))
    assert not_ready(server, f"web.testns.svc.{SET}", "A")
    assert not not_ready(server, "web.testns.svc", "A")
    assert server.plugin.missing() == ("serviceimports",)
