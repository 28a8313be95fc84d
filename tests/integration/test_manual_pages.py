# SPDX-License-Identifier: Apache-2.0
"""What the manual pages of the directives show is started and asked: every example, and every option of the Syntax."""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.upstream import Upstream, UpstreamThread

from clusterdns.app.corefile import Corefile
from clusterdns.app.explain.asking import ask, choose_listener, encode_query
from clusterdns.app.rehearsal import rehearse
from clusterdns.dns import names
from clusterdns.dns.types import A
from clusterdns.plugins import table
from clusterdns.serving.query import Client

REPOSITORY = Path(__file__).resolve().parents[2]
TLS = REPOSITORY / "tests" / "data" / "tls"
PAGES = [name for name, target in table.DIRECTIVES.items() if target is not None]
READY_SECONDS = 0.2
"""Nothing answers at the addresses of the examples, so that there is nothing to wait for."""

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:1"}}
users:
- {name: u, user: {token: t}}
contexts:
- {name: admin, context: {cluster: c, user: u}}
current-context: admin
"""

ZONE = """\
$ORIGIN example.org.
@ 300 IN SOA ns hostmaster 1 7200 3600 1209600 300
@ 300 IN NS ns
ns 300 IN A 192.0.2.1
"""

ASKED = frozenset(("forward", "transfer", "to", "resolver", "endpoint", "dnstap"))
"""What stands in front of addresses of other servers."""

API = "kubernetes cluster.local {\n endpoint http://127.0.0.1:1\n startup_timeout 1s\n"
FILES = "kubernetes cluster.local {\n manifests manifests\n"
ASKING = "forward . 192.0.2.53 {\n"
TEMPLATE = "template IN A example.org {\n"

# Options that no example of their page shows, as they are written.
OPTIONS = {
    ("dns64", "prefix"): "dns64 {\n prefix 64:ff9b::/96\n}\nwhoami",
    ("dns64", "translate_all"): "dns64 {\n translate_all\n}\nwhoami",
    ("forward", "doh_method"): f"{ASKING} doh_method GET\n}}",
    ("forward", "failfast_all_unhealthy_upstreams"): f"{ASKING} failfast_all_unhealthy_upstreams\n}}",
    ("forward", "failover"): "forward . 192.0.2.53 192.0.2.54 {\n failover SERVFAIL\n}",
    ("forward", "force_tcp"): f"{ASKING} force_tcp\n}}",
    ("forward", "max_age"): f"{ASKING} max_age 1m\n}}",
    ("forward", "max_connect_attempts"): f"{ASKING} max_connect_attempts 3\n}}",
    ("forward", "max_idle_conns"): f"{ASKING} max_idle_conns 10\n}}",
    ("forward", "next"): f"{ASKING} next NXDOMAIN\n}}\nforward . 192.0.2.54",
    ("forward", "next_on_nodata"): f"{ASKING} next_on_nodata\n}}\nforward . 192.0.2.54",
    ("forward", "read_timeout"): f"{ASKING} read_timeout 1s\n}}",
    ("forward", "resolver"): "forward . dns.example.org {\n resolver 192.0.2.53\n}",
    ("forward", "source_address"): f"{ASKING} source_address 127.0.0.1\n}}",
    ("forward", "tls"): "forward . tls://192.0.2.53 {\n tls ca.crt\n tls_servername dns.example.org\n}",
    ("forward", "tls_servername"): "forward . tls://192.0.2.53 {\n tls_servername dns.example.org\n}",
    ("forward", "use_caps_for_id"): f"{ASKING} use_caps_for_id\n}}",
    ("k8s_external", "fallthrough"): f"k8s_external example.org {{\n fallthrough\n}}\n{FILES}}}",
    ("kubernetes", "apiserver_burst"): f"{API} apiserver_qps 10\n apiserver_burst 20\n}}",
    ("kubernetes", "apiserver_max_inflight"): f"{API} apiserver_max_inflight 2\n}}",
    ("kubernetes", "apiserver_qps"): f"{API} apiserver_qps 10\n}}",
    ("kubernetes", "endpoint_pod_names"): f"{FILES} endpoint_pod_names\n}}",
    ("kubernetes", "ignore"): f"{FILES} ignore empty_service\n}}",
    ("kubernetes", "kubeconfig"): "kubernetes cluster.local {\n kubeconfig kubeconfig admin\n startup_timeout 1s\n}",
    ("kubernetes", "labels"): f"{FILES} labels app=web\n}}",
    ("kubernetes", "multicluster"): "kubernetes cluster.local clusterset.local {\n"
    " manifests manifests\n multicluster clusterset.local\n}",
    ("kubernetes", "namespace_labels"): f"{FILES} namespace_labels team=dev\n}}",
    ("kubernetes", "noendpoints"): f"{FILES} noendpoints\n}}",
    ("kubernetes", "resync"): f"{API} resync 1m\n}}",
    ("kubernetes", "service_cidr"): f"{FILES} service_cidr 10.10.0.0/16,fd00:10::/108\n}}",
    ("kubernetes", "snapshot"): f"{API} snapshot snapshot.json 10m\n}}",
    ("kubernetes", "terminating_fallback"): f"{FILES} terminating_fallback off\n}}",
    ("kubernetes", "tls"): "kubernetes cluster.local {\n"
    " endpoint https://127.0.0.1:1\n tls client.crt client.key ca.crt\n startup_timeout 1s\n}",
    ("kubernetes", "ttl"): f"{FILES} ttl 30\n}}",
    ("kubernetes", "zonal"): f"{FILES} zonal\n}}",
    ("prometheus", "runtime_metrics"): "prometheus 127.0.0.1:9153 {\n runtime_metrics\n}\nwhoami",
    ("template", "additional"): f'{TEMPLATE} answer "{{{{ .Name }}}} 60 IN A 192.0.2.1"\n'
    ' additional "ns.example.org. 60 IN A 192.0.2.2"\n}',
    ("template", "authority"): f'{TEMPLATE} rcode NXDOMAIN\n authority "example.org. 60 IN SOA ns hm 1 2 3 4 5"\n}}',
    ("template", "ederror"): f'{TEMPLATE} rcode REFUSED\n ederror 21 "not here"\n}}',
    ("timeouts", "write"): "timeouts {\n write 5s\n}\nwhoami",
}


def page(name: str) -> str:
    plugin = table.load(name)
    assert plugin is not None
    return inspect.getdoc(inspect.getmodule(plugin)) or ""


def blocks(name: str, section: str, kind: str) -> list[str]:
    parts = re.split(r"(?m)^## (.+)$", page(name))
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    return re.findall(rf"(?ms)^~~~ {kind}\n(.*?)^~~~$", text)


def shown(name: str, option: str) -> bool:
    """True if an example of the page has a line that begins with the option."""
    return any(re.search(rf"(?m)^ +{option}\b", example) for example in blocks(name, "Examples", "corefile"))


EXAMPLES = [
    pytest.param(example, id=f"{name}-{number}")
    for name in PAGES
    for number, example in enumerate(blocks(name, "Examples", "corefile"), 1)
]
SYNTAX = [
    (name, option)
    for name in PAGES
    for block in blocks(name, "Syntax", "txt")
    for option in re.findall(r"(?m)^ +([a-z0-9_-]+)", block)
]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all the files that pages name, below its /etc and /run or as they are."""
    for place in ("", "zones", "etc/clusterdns", "etc/coredns"):
        directory = tmp_path / place
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copytree(REPOSITORY / "zones" / "manifests", directory / "manifests")
        (directory / "db.example.org").write_text(ZONE)
    (tmp_path / "etc/clusterdns/zones").mkdir()
    (tmp_path / "etc/clusterdns/zones/db.example.org").write_text(ZONE)
    (tmp_path / "etc/coredns/weights").write_text("www.example.org\n192.0.2.1 3\n")
    (tmp_path / "etc/coredns/NodeHosts").write_text("192.0.2.1 node1\n")
    (tmp_path / "etc/resolv.conf").write_text("nameserver 127.0.0.1\nsearch example.org\n")
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    for name in ("ca.crt", "client.crt", "tap.crt"):
        shutil.copy(TLS / "server.pem", tmp_path / name)
    for name in ("client.key", "tap.key"):
        shutil.copy(TLS / "server.key", tmp_path / name)
    for directory in ("run/clusterdns", "run/collector"):
        (tmp_path / directory).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with UpstreamThread() as server:
        yield server


def at_home(corefile: str, machine: Path, port: int) -> str:
    """The Corefile with the paths of the machine, and one server of ours in the place of all others."""
    text = re.sub(r"(?<=[ :])/(?=(etc|run)/)", f"{machine}/", corefile)
    text = text.replace("collector.example.org", "localhost").replace("[2001:db8::10]:5353", f"127.0.0.1:{port}")
    return "\n".join(
        re.sub(r"(?<![\d.])(?!127\.)\d+\.\d+\.\d+\.\d+(:\d+)?(?=[\s%]|$)", f"127.0.0.1:{port}", line)
        if line.split()[:1] and line.split()[0] in ASKED
        else line
        for line in text.split("\n")
    )


def start_and_ask(corefile: str, machine: Path, upstream: Upstream) -> bytes | None:
    """Start all directives of a Corefile, as far as that opens nothing to the outside; the reply to a query."""
    text = at_home(corefile, machine, upstream.port)
    (machine / "Corefile").write_text(text)

    async def work() -> bytes | None:
        async with rehearse(Corefile(str(machine / "Corefile")), ready_seconds=READY_SECONDS) as instance:
            await instance.start_rest()
            listen, engine = choose_listener(instance, "")
            client = Client("udp", "127.0.0.1", 53535, listen[0] or "127.0.0.1", listen[1])
            return await ask(engine, encode_query(names.from_text("dns-version.cluster.local."), A), client, seconds=8)

    return asyncio.run(work())


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_starts_and_answers(example: str, machine: Path, upstream: Upstream) -> None:
    assert start_and_ask(example, machine, upstream) is not None


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_an_option_that_no_example_shows_starts_and_answers(
    name: str, option: str, machine: Path, upstream: Upstream
) -> None:
    assert (name, option) in SYNTAX
    assert re.search(rf"(?m)^ {option}\b", OPTIONS[name, option])
    assert start_and_ask(f".:53 {{\n{OPTIONS[name, option]}\n}}\n", machine, upstream) is not None


@pytest.mark.parametrize(("name", "option"), SYNTAX)
def test_every_option_of_the_syntax_is_started(name: str, option: str) -> None:
    assert shown(name, option) or (name, option) in OPTIONS
