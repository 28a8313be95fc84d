# SPDX-License-Identifier: Apache-2.0
"""The Corefiles of Kubernetes distributions, as they are: port 53, /etc/resolv.conf, link-local addresses and all.

Each is served in a network namespace with an /etc of its own, before upstreams that answer, delay, truncate, lie, reset
and die. The cluster is the demo's. Needs root, and is skipped with the reason where namespaces can't be made.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from support.namespaces import why_not
from support.node import Node
from support.upstream import Upstream, address_text

REPOSITORY = Path(__file__).resolve().parents[2]
COREFILES = REPOSITORY / "tests" / "data" / "corefiles"
TLS = REPOSITORY / "tests" / "data" / "tls"
CLUSTER_NAME = "service-clusterip.dev.svc.cluster.local."
CLUSTER_ADDRESS = "10.10.97.97"
RESOLVERS = ("192.0.2.53", "192.0.2.54")
ENCRYPTED = "10.1.1.1"
TTL_MIN_SECONDS = 5
"""What a cache keeps at the least."""

REPLY_SECONDS = 8.0
"""Beyond the 5 seconds in which the server has to give up."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(reason := why_not("unshare", "sh")), reason=reason or "-"),
]


@dataclass(frozen=True)
class Distribution:
    """What a Corefile needs around it, and where it answers.

    addresses: of the node; upstreams: of the servers that it asks.
    words: what is replaced in the Corefile, as the program does that the distribution starts.
    """

    server: str = "127.0.0.1"
    port: int = 53
    cluster_ttl: int = 30
    addresses: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = RESOLVERS
    metrics: str = "127.0.0.1:9153"
    ready: str = "127.0.0.1:8181"
    health: str = "127.0.0.1:8080"
    words: dict[str, str] = field(default_factory=dict)


NODE_LOCAL_WORDS = {
    "__PILLAR__DNS__DOMAIN__": "cluster.local",
    "__PILLAR__LOCAL__DNS__": "169.254.20.10",
    "__PILLAR__DNS__SERVER__": "10.96.0.10",
    "__PILLAR__CLUSTER__DNS__": "10.96.0.11",
    "__PILLAR__UPSTREAM__SERVERS__": "/etc/resolv.conf",
}
IN_CLUSTER = {
    "kubeadm": Distribution(),
    "kops": Distribution(),
    "rke2": Distribution(),
    "eks": Distribution(cluster_ttl=5),
    "k3s": Distribution(cluster_ttl=5),
    "aks": Distribution(),
    "openshift": Distribution(port=5353, cluster_ttl=5, upstreams=(*RESOLVERS, ENCRYPTED)),
}
ON_NODE = {
    "aks-localdns": Distribution(
        server="169.254.10.10",
        addresses=("169.254.10.10", "169.254.10.11"),
        upstreams=("168.63.129.16", "10.0.0.10"),
        metrics="127.0.0.1:9253",
        ready="169.254.10.10:8181",
        health="",
    ),
    "nodelocal": Distribution(
        server="169.254.20.10",
        addresses=("169.254.20.10", "10.96.0.10"),
        upstreams=(*RESOLVERS, "10.96.0.11"),
        metrics="127.0.0.1:9253",
        ready="",
        health="169.254.20.10:8080",
        words=NODE_LOCAL_WORDS,
    ),
}
DISTRIBUTIONS = {**IN_CLUSTER, **ON_NODE}
LIKE_KUBEADM = ("kops", "rke2", "eks", "k3s", "aks")
"""They forward as kubeadm does."""


class Served:
    """A distribution that runs. ``upstreams`` are its servers by address."""

    def __init__(self, name: str, directory: Path, stack: ExitStack) -> None:
        self.distribution = found = DISTRIBUTIONS[name]
        self.node = node = stack.enter_context(Node(directory, addresses=found.addresses, outside=found.upstreams))
        self.upstreams: dict[str, Upstream] = {
            host: stack.enter_context(node.upstream(host)) for host in found.upstreams if host != ENCRYPTED
        }
        if ENCRYPTED in found.upstreams:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(TLS / "server.pem", TLS / "server.key")
            self.upstreams[ENCRYPTED] = stack.enter_context(node.upstream(ENCRYPTED, 853, tls=context))
            node.write("pki/dns.example.test-1/ca-bundle.crt", (TLS / "server.pem").read_text())
        corefile = (COREFILES / name).read_text()
        for word, value in found.words.items():
            corefile = corefile.replace(word, value)
        node.write("resolv.conf", "".join(f"nameserver {host}\n" for host in RESOLVERS))
        node.write("coredns/NodeHosts", "192.0.2.201 node-1\n2001:db8::201 node-1\n")
        node.write("coredns/custom/hosts.override", "log example.net\n")
        node.write(
            "coredns/custom/example.server", "example.net:53 {\n    errors\n    template IN A {\n"
            '        answer "{{ .Name }} 60 IN A 192.0.2.9"\n    }\n}\n',
        )  # fmt: skip
        node.write("coredns/Corefile", corefile)
        node.start(
            *("-conf", "/etc/coredns/Corefile"),
            environment={"CLUSTERDNS_MANIFESTS": str(REPOSITORY / "zones" / "manifests")},
            asked=(found.server, found.port),
        )
        self._pool = node.inside(lambda: ThreadPoolExecutor(40))
        stack.callback(self._pool.shutdown)

    def later(self, name: str, rtype: str = "A", **options: object) -> Future[dns.message.Message]:
        """Ask in the background: options are ``tcp``, ``server``, and those of a query."""
        return self._pool.submit(self.node.inside, lambda: self._ask(name, rtype, **options))

    def ask(self, name: str, rtype: str = "A", **options: object) -> dns.message.Message:
        """The reply."""
        return self.later(name, rtype, **options).result()

    def _ask(
        self, name: str, rtype: str, *, tcp: bool = False, server: str = "", rclass: str = "IN", **options: object
    ) -> dns.message.Message:
        query = dns.message.make_query(name, rtype, rclass, **options)  # type: ignore[arg-type]
        transport: Callable[..., dns.message.Message] = dns.query.tcp if tcp else dns.query.udp
        where = server or self.distribution.server
        return transport(query, where, port=self.distribution.port, timeout=REPLY_SECONDS)

    def asked(self, name: str) -> int:
        """How often the upstreams were asked for a name."""
        wire = dns.message.make_query(name, "A").question[0].name.to_wire()
        return sum(upstream.names().count(wire) for upstream in self.upstreams.values())


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """Gives a distribution that runs until the tests of this file are over."""
    running: dict[str, Served] = {}
    with ExitStack() as stack:

        def find(name: str) -> Served:
            if name not in running:
                running[name] = Served(name, tmp_path_factory.mktemp(name), stack)
            return running[name]

        yield find


def addresses(reply: dns.message.Message) -> list[str]:
    """The addresses of the answer, in order of their text."""
    kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
    return sorted(str(data) for rrset in reply.answer if rrset.rdtype in kinds for data in rrset)


def rcode(reply: dns.message.Message) -> str:
    return dns.rcode.to_text(reply.rcode())


def shown(reply: dns.message.Message) -> tuple[str, str]:
    """The rcode, and ``own`` address, ``cut`` (TC), ``none`` or the number of addresses."""
    found = addresses(reply)
    own = [address_text(str(reply.question[0].name))]
    cut = reply.flags & dns.flags.TC
    return rcode(reply), "cut" if cut else "own" if found == own else f"{len(found)}" if found else "none"


UDP = {
    "www": ("NOERROR", "own"),
    "slow": ("NOERROR", "own"),
    "twice": ("NOERROR", "own"),
    "lieid": ("NOERROR", "own"),
    "lieport": ("NOERROR", "own"),
    "chain": ("NOERROR", "2"),
    "nodata": ("NOERROR", "none"),
    "nx": ("NXDOMAIN", "none"),
    "servfail": ("SERVFAIL", "none"),
    "refused": ("REFUSED", "none"),
    "trunc": ("NOERROR", "cut"),
    "big": ("NOERROR", "cut"),
    "garbled": ("NOERROR", "cut"),
    "wrongname": ("FORMERR", "none"),
    "wrongtype": ("FORMERR", "none"),
    "wrongid": ("SERVFAIL", "none"),
    "wrongport": ("SERVFAIL", "none"),
    "notreply": ("SERVFAIL", "none"),
    "drop": ("SERVFAIL", "none"),
}
TCP = {
    "www": ("NOERROR", "own"),
    "trunc": ("NOERROR", "own"),
    "big": ("NOERROR", "40"),
    "reset": ("SERVFAIL", "none"),
    "close": ("SERVFAIL", "none"),
    "garbled": ("SERVFAIL", "none"),
    "wrongname": ("FORMERR", "none"),
    "drop": ("SERVFAIL", "none"),
}


WITHOUT_A_REPLY = {"wrongid", "wrongport", "notreply", "drop"}
"""They take the five seconds in which no reply has come."""


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_whatever_the_upstreams_do_the_client_gets_the_truth_or_an_error(serve, name):
    served = serve(name)
    expected = {(word, tcp): said for tcp, words in ((False, UDP), (True, TCP)) for word, said in words.items()}
    if name in LIKE_KUBEADM:
        expected = {key: said for key, said in expected.items() if key[0] not in WITHOUT_A_REPLY}
    asked = {(word, tcp): served.later(f"{word}.{'tcp' if tcp else 'udp'}.test.", tcp=tcp) for word, tcp in expected}
    assert {key: shown(reply.result()) for key, reply in asked.items()} == expected


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_an_answer_is_kept_and_ages(serve, name):
    served = serve(name)
    first = served.ask("kept.many.test.")
    time.sleep(1.1)
    second = served.ask("KEPT.many.test.")
    assert addresses(first) == addresses(second) == [address_text("kept.many.test.")]
    assert second.answer[0].ttl < first.answer[0].ttl <= 60
    assert served.asked("kept.many.test.") == 1


@pytest.mark.parametrize("name", IN_CLUSTER)
def test_names_of_the_cluster(serve, name):
    served = serve(name)
    for tcp in (False, True):
        reply = served.ask(CLUSTER_NAME, tcp=tcp)
        assert addresses(reply) == [CLUSTER_ADDRESS]
        assert reply.answer[0].ttl == served.distribution.cluster_ttl
        assert reply.flags & dns.flags.AA
    back = served.ask(dns.reversename.from_address(CLUSTER_ADDRESS).to_text(), "PTR")
    assert [str(data) for rrset in back.answer for data in rrset] == [CLUSTER_NAME]
    missing = served.ask("nothere.dev.svc.cluster.local.")
    assert (rcode(missing), [rrset.rdtype for rrset in missing.authority]) == ("NXDOMAIN", [dns.rdatatype.SOA])
    assert served.asked("nothere.dev.svc.cluster.local.") == 0
    assert addresses(served.ask("10-244-1-11.dev.pod.cluster.local.")) == ["10.244.1.11"]
    outside = dns.reversename.from_address("203.0.113.7").to_text()
    assert rcode(served.ask(outside, "PTR")) == "NOERROR"
    assert served.asked(outside) == 1


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_probes_and_metrics_are_where_they_are_expected(serve, name):
    served = serve(name)
    served.ask("www.metrics.test.")
    found = served.distribution
    if found.ready:
        assert served.node.get(f"http://{found.ready}/ready") == (200, "OK")
    if found.health:
        assert served.node.get(f"http://{found.health}/health") == (200, "OK")
    status, text = served.node.get(f"http://{found.metrics}/metrics")
    assert status == 200
    labels = {f'server="dns://{found.server if name in ON_NODE else ""}:{found.port}"', 'proto="udp"', 'type="A"'}
    lines = [line for line in text.splitlines() if line.startswith("coredns_dns_requests_total{")]
    assert any(all(label in line for label in labels) for line in lines), lines
    assert f'coredns_forward_requests_total{{to="{found.upstreams[0]}:53"}}' in text
    assert "\ncoredns_panics_total 0\n" in text


@pytest.mark.parametrize("name", ["kubeadm", "openshift", "nodelocal"])
def test_where_one_resolver_dies_the_other_answers_and_it_is_missed_no_more(serve, name):
    served = serve(name)
    dead = served.upstreams[RESOLVERS[0]]
    dead.faults.silent = True
    try:
        replies = [served.later(f"n{number}.dying.test.") for number in range(20)]
        assert {shown(reply.result()) for reply in replies} == {("NOERROR", "own")}
    finally:
        dead.faults.silent = False
    end = time.monotonic() + 10
    while not any(name.endswith(b"\5again\4test\0") for name in dead.names()):
        assert time.monotonic() < end
        served.ask(f"n{time.monotonic_ns()}.again.test.")


def test_k3s_has_names_of_nodes_and_custom_files(serve):
    served = serve("k3s")
    for rtype, address in (("A", "192.0.2.201"), ("AAAA", "2001:db8::201")):
        reply = served.ask("node-1.", rtype)
        assert (addresses(reply), reply.answer[0].ttl <= 60) == ([address], True)
    assert addresses(served.ask("www.example.net.")) == ["192.0.2.9"]
    assert served.asked("www.example.net.") == 0


def test_aks_answers_for_the_search_domains_of_azure_itself_and_has_custom_files(serve):
    served = serve("aks")
    for name in ("www.example.com.vm.x.internal.cloudapp.net.", "www.reddog.microsoft.com."):
        assert rcode(served.ask(name)) == "NXDOMAIN"
        assert served.asked(name) == 0
    for name in ("vm.x.y.internal.cloudapp.net.", "www.microsoft.com."):
        assert addresses(served.ask(name)) == [address_text(name)]
    assert addresses(served.ask("www.example.net.")) == ["192.0.2.9"]


def test_openshift_forwards_over_tls_and_tells_its_name(serve):
    served = serve("openshift")
    for zone in ("corp.example.", "branch.example."):
        assert addresses(served.ask(f"www.{zone}")) == [address_text(f"www.{zone}")]
    assert len(served.upstreams[ENCRYPTED].questions) == 2
    reply = served.ask("hostname.bind.", "TXT", rclass="CH")
    assert len(reply.answer[0][0].strings[0]) > 0
    served.ask("nx.logged.test.")
    served.ask("drop.logged.test.")
    lines = [line for line in served.node.output().splitlines() if ".logged.test." in line and "[INFO]" in line]
    assert [line.split('"')[1].split()[2] for line in lines] == ["drop.logged.test."]


def test_openshift_takes_no_more_than_1232_octets_from_upstreams(serve):
    served = serve("openshift")
    reply = served.ask("big.size.test.", use_edns=0, payload=4096)
    assert (reply.payload, len(addresses(reply))) == (1232, 40)
    upstream = next(each for each in served.upstreams.values() if b"\3big\4size\4test\0" in each.names())
    wire = next(question.wire for question in upstream.questions if question.name == b"\3big\4size\4test\0")
    assert dns.message.from_wire(wire).payload == 1232


def test_localdns_has_a_listener_for_the_node_and_one_for_pods(serve):
    served = serve("aks-localdns")
    azure, cluster = (served.upstreams[host] for host in ("168.63.129.16", "10.0.0.10"))
    assert rcode(served.ask("health-check.localdns.local.")) == "NOERROR"
    for server, nsid, upstream in (("169.254.10.10", b"localdns", azure), ("169.254.10.11", b"localdns-pod", cluster)):
        reply = served.ask("www.both.test.", server=server, use_edns=0, options=[dns.edns.GenericOption(3, b"")])
        assert [option.to_wire() for option in reply.options] == [nsid]
        assert b"\3www\4both\4test\0" in upstream.names()
        assert rcode(served.ask("www.reddog.microsoft.com.", server=server)) == "NXDOMAIN"
    served.ask(CLUSTER_NAME)
    question = next(question for question in cluster.questions if b"\7cluster\5local\0" in question.name)
    assert question.tcp
    served.ask("www.testdomain456.com.")
    question = next(question for question in cluster.questions if b"\x0dtestdomain456" in question.name)
    assert not question.tcp


def test_localdns_serves_stale_answers_where_the_upstream_is_dead(serve):
    served = serve("aks-localdns")
    azure, cluster = (served.upstreams[host] for host in ("168.63.129.16", "10.0.0.10"))
    names = {"169.254.10.10": "short.stale.test.", "169.254.10.11": "short.verified.test."}
    for server, name in names.items():
        assert addresses(served.ask(name, server=server)) == [address_text(name)]
    azure.faults.silent = cluster.faults.silent = True
    try:
        time.sleep(TTL_MIN_SECONDS + 0.5)
        began = time.monotonic()
        assert addresses(served.ask(names["169.254.10.10"])) == [address_text(names["169.254.10.10"])]
        assert time.monotonic() - began < 1, "immediate"
        verified = served.ask(names["169.254.10.11"], server="169.254.10.11", use_edns=0)
        assert addresses(verified) == [address_text(names["169.254.10.11"])]
        assert [option.to_text() for option in verified.options] == ["EDE 3 (Stale Answer)"]
    finally:
        azure.faults.silent = cluster.faults.silent = False


def test_nodelocal_asks_the_cluster_over_tcp_and_answers_at_both_addresses(serve):
    served = serve("nodelocal")
    cluster = served.upstreams["10.96.0.11"]
    for server in ("169.254.20.10", "10.96.0.10"):
        assert addresses(served.ask(f"www.{server}.cluster.local.", server=server)) == [
            address_text(f"www.{server}.cluster.local.")
        ]
    assert rcode(served.ask("nx.cluster.local.")) == "NXDOMAIN"
    assert served.ask("nx.cluster.local.").authority[0].ttl <= 5
    served.ask("7.0.0.10.in-addr.arpa.", "PTR")
    served.ask("7.0.0.10.ip6.arpa.", "PTR")
    asked = [question for question in cluster.questions if question.qtype != 13]
    assert len(asked) >= 5
    assert all(question.tcp for question in asked)
    assert {address_text("www.udp.test.")} == set(addresses(served.ask("www.udp.test.", server="10.96.0.10")))
