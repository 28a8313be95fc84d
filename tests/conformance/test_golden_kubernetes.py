# SPDX-License-Identifier: Apache-2.0
"""What CoreDNS answered for two clusters and four Corefiles, and what this server answers: the same.

Where ours is another answer on purpose, tests/data/differences.json has it, query by query, and docs/differences.md the
reason.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conformance.normal_form import Form, encode_query, normal_form, recorded_form
from support.dns_cluster import store_of

from clusterdns.app.instance import Instance, listen_addresses
from clusterdns.cluster.decode import decode_object
from clusterdns.cluster.items import DETAILS, ItemDecoder
from clusterdns.cluster.objects import KINDS, Object
from clusterdns.cluster.store import Store
from clusterdns.config import planner
from clusterdns.config.expand import Source
from clusterdns.config.plan import LazyTable
from clusterdns.observability.metrics import Registry
from clusterdns.plugins import table
from clusterdns.plugins.kubernetes import Kubernetes
from clusterdns.serving.engine import Engine
from clusterdns.serving.query import Client

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests" / "data"
CLUSTERS = (1, 2)
RUNS = ("kubeadm", "verified", "disabled", "multizone")
PORT = 53

LOCAL_ADDRESSES = ("192.0.2.2", "fd00::2", "fe80::fc:ff:fe00:1")
"""Of the machine that CoreDNS was recorded on; it shows in the answers to NS queries."""

DIFFERENCES: list[dict[str, Any]] = json.loads((DATA / "differences.json").read_text())


@cache
def recording(cluster: int) -> dict[str, Any]:
    with gzip.open(DATA / "golden" / f"cluster-{cluster}.json.gz") as file:
        recorded: dict[str, Any] = json.load(file)
    return recorded


def run_of(cluster: int, name: str) -> dict[str, Any]:
    return next(run for run in recording(cluster)["runs"] if run["name"] == name)


class Lease:
    def __init__(self, store: Store) -> None:
        self.store = store

    async def release(self) -> None:
        pass


class Services:
    """The process, as far as plugins of the query chain need it before they start."""

    def __init__(self, store: Store) -> None:
        self.metrics = Registry()
        self.clusters = self
        self._store = store

    async def manifests(self, *arguments: str) -> Lease:
        return Lease(self._store)

    def local_addresses(self) -> tuple[str, ...]:
        return LOCAL_ADDRESSES


class Faults:
    def panic(self) -> None:
        pytest.fail("a plugin failed")

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def engine_for(corefile: str, store: Store) -> Engine:
    """The recorded Corefile over the store: the real chain, without sockets."""
    text = corefile.replace("kubeconfig KUBECONFIG", "manifests nowhere").replace(":PORT", f":{PORT}")
    text = text.replace("HEALTH", "8080").replace("READY", "8181")
    plan = planner.plan(Source("Corefile", text), LazyTable(table.DIRECTIVES, table.load), environment={})
    ports = {address: PORT for block in plan.blocks for address in listen_addresses(block)}
    instance = Instance(plan, Services(store), Faults(), ports=ports)
    for plugin in instance.plugins:
        if isinstance(plugin, Kubernetes):
            asyncio.run(plugin.start())
    (engine,) = instance.engines.values()
    return engine


def ask(engine: Engine, query: Form) -> Form:
    client = Client("tcp" if query.get("tcp") else "udp", "192.0.2.99", 4000, "192.0.2.2", PORT)
    reply = engine.handle(encode_query(query), client)
    assert isinstance(reply, bytes)
    return normal_form(reply)


def ttl_seconds(corefile: str) -> int:
    found = re.search(r"ttl (\d+)", corefile)
    return int(found[1]) if found else 5


def listed(run: str) -> dict[str, dict[str, Any]]:
    """The differences of one run by query, ``NAME TYPE``; no query has two."""
    found: dict[str, dict[str, Any]] = {}
    for difference in DIFFERENCES:
        for case in difference["cases"]:
            if run in case["runs"]:
                for query in case["queries"]:
                    assert query not in found, f"{query} is listed twice for {run}"
                    found[query] = case
    return found


def our_form(recorded: Form, case: dict[str, Any], name: str, ttl: int) -> Form:
    """The recorded form with the parts that ``ours`` names in place of its own; null takes one out."""
    zone = case["zone"]
    soa = f"{zone} {ttl} IN SOA ns.dns.{zone} hostmaster.{zone} SERIAL 7200 1800 86400 {ttl}"
    form = dict(recorded)
    for part, value in case["ours"].items():
        if value is None:
            form.pop(part, None)
        elif isinstance(value, list):
            form[part] = sorted(line.format(name=name, ttl=ttl, soa=soa) for line in value)
        else:
            form[part] = value
    return form


def as_manifests(objects: list[dict[str, Any]]) -> Iterator[Object]:
    """The objects as they are read from files."""
    return filter(None, map(decode_object, objects))


def as_watched(objects: list[dict[str, Any]]) -> Iterator[Object]:
    """The objects as they are read from what an API server sends."""
    decoders = {kind: ItemDecoder(kind, DETAILS) for kind in KINDS}
    for each in objects:
        if each["kind"] in decoders:
            item = decoders[each["kind"]].item(json.dumps(each).encode())
            if item.object is not None:
                yield item.object


@pytest.mark.parametrize("read", [as_manifests, as_watched])
@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("name", RUNS)
def test_a_recorded_run(
    cluster: int,
    name: str,
    read: Callable[[list[dict[str, Any]]], Iterator[Object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = run_of(cluster, name)
    engine = engine_for(run["corefile"], store_of(read(recording(cluster)["objects"])))
    ttl = ttl_seconds(run["corefile"])
    differences = listed(name)
    equal = different = 0
    wrong = []
    for recorded in run["answers"]:
        query = recorded["query"]
        expected = recorded_form(recorded["expect"])
        case = differences.get(f"{query['name']} {query['type']}")
        if case is not None:
            ours = our_form(expected, case, query["name"], ttl)
            assert ours != expected, f"{query}: listed as a difference and is none"
            expected = ours
            different += 1
        else:
            equal += 1
        got = ask(engine, query)
        if got != expected:
            parts = sorted(part for part in got.keys() | expected.keys() if got.get(part) != expected.get(part))
            wrong.append("\n".join([str(query), *(f"  {p}: {expected.get(p)} but {got.get(p)}" for p in parts)]))
    with capsys.disabled():
        print(f"\ncluster {cluster}, {name}: {equal} equal, {different} listed differences, {len(wrong)} wrong", end="")
    assert not wrong, "\n".join(wrong[:20])


def test_every_listed_difference_is_met() -> None:
    asked = defaultdict(set)
    for cluster in CLUSTERS:
        for name in RUNS:
            asked[name] |= {f"{a['query']['name']} {a['query']['type']}" for a in run_of(cluster, name)["answers"]}
    unmet = [
        (difference["id"], run, query)
        for difference in DIFFERENCES
        for case in difference["cases"]
        for run in case["runs"]
        for query in case["queries"]
        if query not in asked[run]
    ]
    assert not unmet


def test_every_listed_difference_has_its_reason_in_the_documentation() -> None:
    text = (REPOSITORY / "docs" / "differences.md").read_text()
    assert [difference["id"] for difference in DIFFERENCES if f"`{difference['id']}`" not in text] == []
