# SPDX-License-Identifier: Apache-2.0
"""Asks an instance, as a client's resolver would, and writes down what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import randbits
from time import perf_counter
from typing import Final, Literal

from clusterdns.app.block import ListenAddress
from clusterdns.app.explain.message import Message, decode_message, message_text
from clusterdns.app.explain.report import Report, Step, collect_hints, collect_origins, conclude, find_reason
from clusterdns.app.explain.request import Request, client_address, pod_key, question
from clusterdns.app.explain.search import POD_NDOTS, Attempt, Rules, Search, absolute_domains, verdict
from clusterdns.app.instance import Instance
from clusterdns.dns import names
from clusterdns.dns.types import FLAG_RD, IN, rcode_text, type_text
from clusterdns.errors import ExplainError
from clusterdns.serving.capabilities import SearchedCluster
from clusterdns.serving.engine import Engine, Output
from clusterdns.serving.query import Client
from clusterdns.serving.trace import Note, Trace, watch

ANSWER_SECONDS: Final = 6.0
"""For one query: somewhat longer than *forward* tries."""

TOTAL_SECONDS: Final = 25.0
"""For all steps together."""

_LOOPBACK: Final = "127.0.0.1"
_CLIENT_PORT: Final = 53535


async def explain(instance: Instance, request: Request) -> Report:
    """Ask what is to be explained. Raises ExplainError."""
    name, qtype = question(request)
    clusters = [plugin for plugin in instance.plugins if isinstance(plugin, SearchedCluster)]
    address, reason, namespace = _client(request, clusters)
    search = Search(name, _rules(request, namespace, clusters))
    listen, engine = choose_listener(instance, request.listen)
    local = listen[0] or ("::1" if ":" in address else _LOOPBACK)
    steps: list[Step] = []
    with _watched(engine):
        deadline = asyncio.get_running_loop().time() + TOTAL_SECONDS
        for attempt in search.attempts():
            if asyncio.get_running_loop().time() > deadline:
                break
            client = Client(request.protocol, address, _CLIENT_PORT, local, listen[1])
            step = await _step(engine, client, attempt, qtype)
            steps.append(step)
            search.tell(attempt, step.outcome)
    outcome = verdict(search)
    rtype = type_text(qtype)
    hints = collect_hints(outcome, steps, (*search.hints(), *_missing_search_hint(search, clusters)))
    return Report(
        name=request.name,
        type=rtype,
        outcome=outcome,
        conclusion=conclude(request.name, rtype, outcome, tuple(steps)),
        hints=hints,
        origins=collect_origins(steps[-1]) if outcome == "answer" else (),
        client=address,
        client_reason=reason,
        listener=engine.server,
        search=search.rules.domains,
        ndots=search.rules.ndots,
        steps=tuple(steps),
        reason="" if hints or outcome == "answer" else find_reason(steps[-1]),
    )


async def ask(
    engine: Engine, packet: bytes, client: Client, trace: Trace | None = None, *, seconds: float = ANSWER_SECONDS
) -> bytes | None:
    """The reply to a query, its first message; None if there is none in time."""
    try:
        async with asyncio.timeout(seconds):
            output: Output = engine.handle(packet, client, trace)
            if output is None or isinstance(output, bytes):
                return output
            found = output if isinstance(output, Iterator) else await output
            return next(found) if isinstance(found, Iterator) else found
    except TimeoutError:
        return None


def encode_query(name: bytes, qtype: int) -> bytes:
    """A query as a stub resolver sends it: RD, and no EDNS."""
    header = randbits(16).to_bytes(2, "big") + FLAG_RD.to_bytes(2, "big") + b"\0\1\0\0\0\0\0\0"
    return header + name + qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")


def choose_listener(instance: Instance, wanted: str) -> tuple[ListenAddress, Engine]:
    """The engine behind ``ADDRESS:PORT`` or ``PORT``, by default the first one. Raises ExplainError."""
    places = {listen: _place(listen) for listen in instance.engines}
    found = [listen for listen, place in places.items() if not wanted or wanted in (place, str(listen[1]))]
    if not found:
        raise ExplainError(f"there is no listener {wanted[:60]!r}: there is {', '.join(places.values())}")
    return found[0], instance.engines[found[0]]


def _place(listen: ListenAddress) -> str:
    host, port = listen
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _client(request: Request, clusters: Sequence[SearchedCluster]) -> tuple[str, str, str]:
    """The address to ask from, why it is that, and the namespace that its search list is for."""
    given = client_address(request.client) if request.client else ""
    if request.pod:
        namespace, name = pod_key(request.pod)
        if given:
            return given, "as given", namespace
        pods = [pod for cluster in clusters if (pod := cluster.store.get("Pod", (namespace, name))) is not None]
        addresses = [address for pod in pods for address in pod.ips]
        if addresses:
            return addresses[0], f"that of Pod {request.pod}", namespace
        why = "has no address yet" if pods else "isn't known here"
        return _LOOPBACK, f"Pod {request.pod} {why}, so this is not its address", namespace
    if request.namespace or not given:
        return given or _LOOPBACK, "as given" if given else "no client was given", request.namespace
    namespace = _namespace_of(given, clusters)
    return given, f"as given; a Pod in {namespace}" if namespace else "as given", namespace


def _namespace_of(address: str, clusters: Sequence[SearchedCluster]) -> str:
    """That of the Pod with the address; empty if none is known, or several share it."""
    pods = {
        pod.key: pod
        for cluster in clusters
        for pod in cluster.store.objects("Pod")
        if address in pod.ips and not pod.host_network
    }
    return next(iter(pods))[0] if len(pods) == 1 else ""


def _rules(request: Request, namespace: str, clusters: Sequence[SearchedCluster]) -> Rules:
    """The search list as given, or that of Pods in the namespace, as the kubelet writes it."""
    given = request.rules()
    if given.domains or not namespace:
        return given
    zone = next((names.to_text(zone) for cluster in clusters for zone in cluster.search_zones), "")
    if not zone:
        raise ExplainError("the Corefile has no kubernetes with a zone, so Pods have no search list here")
    behind = "." if zone == "." else f".{zone}"
    domains = absolute_domains((f"{namespace}.svc{behind}", f"svc{behind}", zone))
    return Rules(domains, POD_NDOTS if request.ndots is None else request.ndots)


def _missing_search_hint(search: Search, clusters: Sequence[SearchedCluster]) -> Iterator[str]:
    if not (search.found or search.absolute or search.rules.domains) and clusters:
        yield "it was tried as it is written alone: --pod or --namespace tries it with the search list of a Pod"


@contextmanager
def _watched(engine: Engine) -> Iterator[None]:
    """Let traces be told of all that goes on in the engine's server blocks."""
    blocks = dict.fromkeys(block for sharing in engine.router.blocks.values() for block in sharing)
    for block in blocks:
        block.watch(watch)
    try:
        yield
    finally:
        for block in blocks:
            block.watch(None)


async def _step(engine: Engine, client: Client, attempt: Attempt, qtype: int) -> Step:
    packet = encode_query(names.from_text(attempt.name), qtype)
    started = perf_counter()
    traces = [Trace()]
    message = _decoded(await ask(engine, packet, client, traces[0]))
    protocol: Literal["udp", "tcp"] = client.protocol
    if message is not None and message.truncated and protocol == "udp":
        traces[0].notes.append(Note("the reply is truncated, so a resolver asks again over TCP"))
        protocol = "tcp"
        client = Client(protocol, client.address, client.port, client.local_address, client.local_port)
        traces.append(Trace())
        message = _decoded(await ask(engine, packet, client, traces[1]))
    for trace in traces:
        _close(trace)
    return Step(
        name=attempt.name,
        reason=attempt.reason,
        outcome="no reply" if message is None else message.outcome(),
        rcode="" if message is None else rcode_text(message.rcode),
        protocol=protocol,
        seconds=perf_counter() - started,
        data=() if message is None else tuple(message.data()),
        message="" if message is None else message_text(message),
        traces=tuple(traces),
        alias="" if message is None else message.alias(),
    )


def _decoded(octets: bytes | None) -> Message | None:
    return None if octets is None else decode_message(octets)


def _close(trace: Trace) -> None:
    """An inner look-up has the reply of its first directive."""
    for inner in trace.inner:
        if inner.visits:
            inner.reply, inner.seconds = inner.visits[0].reply, inner.visits[0].seconds
        _close(inner)
