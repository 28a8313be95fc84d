# SPDX-License-Identifier: Apache-2.0
"""dnstap over real sockets: collectors that are there, away, slow, odd or gone, and a server process between them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.query
import pytest
from support.directives import FakeLease, FakeServices, FakeSetup, make, metric, query
from support.dnstap_collector import Collector, Connecting, Listening
from support.ports import free_port
from support.upstream import UpstreamThread

from clusterdns.plugins.dnstap import incoming, outgoing, stream

TLS_FILES = Path(__file__).resolve().parents[1] / "data" / "tls"
CERTIFICATE, KEY = str(TLS_FILES / "server.pem"), str(TLS_FILES / "server.key")


class RunningServices(FakeServices):
    """A process whose background work runs."""

    def spawn(self, name: str, work: Any) -> Any:
        return RunningLease(asyncio.get_running_loop().create_task(work))


class RunningLease(FakeLease):
    def __init__(self, task: asyncio.Task[None]) -> None:
        super().__init__()
        self.task = task

    async def release(self) -> None:
        await super().release()
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.result()


def ask(plugin: Any, number: int = 1) -> None:
    for each in range(number):
        question = query(f"n{each}.example.org.")
        plugin.tap_query(question)
        plugin.tap_reply(question, b"the reply")


def counts(plugin: Any, to: str) -> tuple[int, int]:
    """Messages sent and dropped."""
    services = plugin.services
    return tuple(metric(services, f"coredns_dnstap_{kind}messages_total", to) for kind in ("", "dropped_"))


async def until(condition: Callable[[], object], seconds: float = 8.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def run(text: str, steps: Callable[[Any], Awaitable[None]]) -> Any:
    """Start the directive, do ``steps`` with it, and stop it; the plugin."""

    async def live() -> Any:
        plugin = make(text, setup=FakeSetup(RunningServices()))
        await plugin.start()
        try:
            await steps(plugin)
        finally:
            await plugin.stop(True)
        return plugin

    return asyncio.run(live())


def place_of(listening: Listening) -> str:
    """How a Corefile names a collector."""
    address = listening.address
    return address if isinstance(address, str) else "tcp://{}:{}".format(*address)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_messages_reach_a_collector_and_the_stream_ends_in_order(transport: str, tmp_path: Path) -> None:
    listening = Listening(str(tmp_path / "tap.sock") if transport == "unix" else ("127.0.0.1", 0))
    with listening as collector:

        async def steps(plugin: Any) -> None:
            ask(plugin, 3)
            await until(lambda: len(collector.payloads) == 6)
            ask(plugin)

        run(f"dnstap {place_of(listening)} full", steps)
        collector.wait(lambda: collector.finished == 1)
    assert collector.types() == ["CLIENT_QUERY", "CLIENT_RESPONSE"] * 4
    assert collector.connections == 1
    assert collector.faults == []


def test_what_waits_is_sent_before_the_end(tmp_path: Path) -> None:
    listening = Listening(str(tmp_path / "tap.sock"))
    with listening as collector:

        async def steps(plugin: Any) -> None:
            await until(lambda: collector.connections)
            ask(plugin, 2000)

        plugin = run(f"dnstap {place_of(listening)}", steps)
        collector.wait(lambda: collector.finished == 1)
    assert len(collector.payloads) == 4000
    assert counts(plugin, f"unix {listening.address}") == (4000, 0)


def test_a_collector_that_comes_later_gets_what_has_waited(tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(outgoing, "_FIRST_PAUSE_SECONDS", 0.05)
    caplog.set_level("INFO", "clusterdns")
    path = str(tmp_path / "tap.sock")

    async def steps(plugin: Any) -> None:
        ask(plugin)
        await until(lambda: caplog.messages)
        with Listening(path) as collector:
            await until(lambda: len(collector.payloads) == 2)
        os.unlink(path)
        await until(lambda: len(caplog.messages) == 3)

    run(f"dnstap {path}", steps)
    assert caplog.messages == [
        f"No connection to dnstap endpoint: dial unix {path}: connect: no such file or directory",
        f"Connected to dnstap endpoint unix {path} again",
        f"Lost the connection to dnstap endpoint unix {path}: EOF",
    ]


def test_a_collector_that_was_cut_off_gets_what_comes_afterwards(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(outgoing, "_FIRST_PAUSE_SECONDS", 0.05)
    listening = Listening(str(tmp_path / "tap.sock"))
    with listening as collector:

        async def steps(plugin: Any) -> None:
            for round_number in (1, 2, 3):
                ask(plugin)
                await until(lambda: len(collector.payloads) == 2 * round_number)  # noqa: B023
                collector.hang_up()
                await until(lambda: collector.connections == round_number + 1)  # noqa: B023

        run(f"dnstap {place_of(listening)}", steps)
    assert len(collector.payloads) == 6


def test_an_absent_collector_costs_messages_beyond_the_bound_and_never_the_query(caplog: Any, tmp_path: Path) -> None:
    path = tmp_path / "tap.sock"

    async def steps(plugin: Any) -> None:
        began = time.perf_counter()
        ask(plugin, 7000)
        assert time.perf_counter() - began < 3
        assert counts(plugin, f"unix {path}") == (0, 4000)

    plugin = run(f"dnstap {path}", steps)
    assert counts(plugin, f"unix {path}") == (0, 14000)
    assert caplog.messages[-1] == "Dropped dnstap messages: 14000"


def test_a_collector_that_stops_reading_is_left_and_tried_again(tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(stream, "IO_SECONDS", 0.3)
    monkeypatch.setattr(outgoing, "_FIRST_PAUSE_SECONDS", 0.05)
    listening = Listening(str(tmp_path / "tap.sock"), Collector(reads=False))
    with listening as collector:

        async def steps(plugin: Any) -> None:
            await until(lambda: collector.connections)
            for _ in range(50):
                question = query("www.example.org.")
                plugin.tap_query(question)
                plugin.tap_reply(question, bytes(60_000))
                await asyncio.sleep(0.01)
            await until(lambda: collector.connections > 1)
            assert counts(plugin, f"unix {listening.address}")[1] > 0
            collector.reads = True
            before = len(collector.payloads)
            ask(plugin)
            await until(lambda: len(collector.payloads) > before)

        run(f"dnstap {place_of(listening)} full", steps)
    assert f"Lost the connection to dnstap endpoint unix {listening.address}: i/o timeout" in caplog.messages


@pytest.mark.parametrize(
    ("collector", "reason"),
    [
        (Collector(takes=(b"protobuf:other",)), "frame stream: the collector doesn't take protobuf:dnstap.Dnstap"),
        (Collector(accepts=False), "i/o timeout"),
    ],
)
def test_a_collector_that_does_not_shake_hands(
    collector: Collector, reason: str, tmp_path: Path, caplog: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(stream, "IO_SECONDS", 0.2)
    with Listening(str(tmp_path / "tap.sock"), collector):

        async def steps(plugin: Any) -> None:
            ask(plugin)
            await until(lambda: caplog.messages)

        run(f"dnstap {tmp_path}/tap.sock", steps)
    assert caplog.messages[0] == f"No connection to dnstap endpoint: {reason}"
    assert collector.payloads == []


def test_several_uses_have_connections_of_their_own(tmp_path: Path) -> None:
    one, two = Listening(str(tmp_path / "one")), Listening(("127.0.0.1", 0))
    with one as first, two as second:

        async def steps(plugin: Any) -> None:
            ask(plugin)
            await until(lambda: len(first.payloads) == len(second.payloads) == 2)

        run(f"dnstap {place_of(one)} full\ndnstap {place_of(two)} {{\n identity second\n}}", steps)
    assert "query_message" in first.messages[0]
    assert "query_message" not in second.messages[0]
    assert second.messages[0]["identity"] == b"second"


# TLS


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


def test_a_certificate_must_be_trusted_unless_it_does_not_matter(caplog: Any) -> None:
    listening = Listening(("127.0.0.1", 0), tls=server_context())
    place = "tls://{}:{}".format(*listening.address)
    with listening as collector:

        async def steps(plugin: Any) -> None:
            ask(plugin)
            await until(lambda: collector.payloads or caplog.messages)

        run(f"dnstap {place}", steps)
        assert caplog.messages[0].startswith("No connection to dnstap endpoint: tls: failed to verify certificate: ")
        assert collector.payloads == []
        caplog.clear()
        run(f"dnstap {place} {{\n skipverify\n}}", steps)
        assert len(collector.payloads) == 2


def test_the_name_and_the_authority_of_a_certificate_count(monkeypatch: Any) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CERTIFICATE)
    listening = Listening(("127.0.0.1", 0), tls=server_context())
    with listening as collector:

        async def steps(plugin: Any) -> None:
            ask(plugin)
            await until(lambda: len(collector.payloads) == 2)

        run("dnstap tls://{}:{}".format(*listening.address), steps)


def client_context(*, certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=CERTIFICATE)
    if certificate:
        context.load_cert_chain(CERTIFICATE, KEY)
    return context


# Collectors that connect to us


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_collectors_may_come_and_go(transport: str, tmp_path: Path) -> None:
    address: Any = str(tmp_path / "tap.sock") if transport == "unix" else ("127.0.0.1", free_port())
    place = address if transport == "unix" else "tcp://{}:{}".format(*address)

    async def steps(plugin: Any) -> None:
        await until(lambda: can_connect(address))
        ask(plugin)  # for nobody
        with Connecting(address) as one, Connecting(address) as two:
            await until(lambda: one.connections and two.connections)
            ask(plugin)
            await until(lambda: len(one.payloads) == len(two.payloads) == 2)
            one.hang_up()
            ask(plugin)
            await until(lambda: len(two.payloads) == 4)
        assert len(one.payloads) == 2
        with Connecting(address) as three:
            await until(lambda: three.connections)
            ask(plugin)
            await plugin.stop(True)
            three.wait(lambda: three.finished)
            assert len(three.payloads) == 2
        plugin._channels, plugin._places = (), ()

    run(f"dnstap listen {place} full", steps)
    assert transport == "tcp" or not Path(address).exists()


def can_connect(address: Any) -> bool:
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        return probe.connect_ex(address) == 0


def test_more_collectors_than_may_be_are_turned_away(tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(incoming, "MOST_COLLECTORS", 1)
    path = str(tmp_path / "tap.sock")

    async def steps(plugin: Any) -> None:
        await until(lambda: os.path.exists(path))
        with Connecting(path) as one:
            await until(lambda: one.connections)
            with Connecting(path) as two:
                await until(lambda: two.faults)
                ask(plugin)
                await until(lambda: len(one.payloads) == 2)
                assert two.payloads == []

    run(f"dnstap listen {path}", steps)
    assert "A dnstap collector is turned away: there are 1 already" in caplog.messages


def test_the_socket_of_another_process_that_has_ended_is_no_hindrance(tmp_path: Path) -> None:
    path = str(tmp_path / "tap.sock")
    for place in (path, f"{path}~"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(place)

    async def steps(plugin: Any) -> None:
        await until(lambda: can_connect(path))

    run(f"dnstap listen {path}", steps)
    assert os.listdir(tmp_path) == []


def test_a_new_configuration_takes_over_the_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "tap.sock")

    async def steps(old: Any) -> None:
        await until(lambda: can_connect(path))
        with Connecting(path) as early:
            await until(lambda: early.connections)
            new = make(f"dnstap listen {path}", setup=FakeSetup(RunningServices()))
            inode = os.stat(path).st_ino
            await new.start()
            await until(lambda: os.stat(path).st_ino != inode)
            await old.stop(False)
            early.wait(lambda: early.finished)
        with Connecting(path) as late:
            await until(lambda: late.connections)
            ask(new)
            await until(lambda: len(late.payloads) == 2)
        await new.stop(True)
        old._channels, old._places = (), ()

    run(f"dnstap listen {path}", steps)
    assert not os.path.exists(path)


def test_a_file_in_the_way_is_reported_and_left_alone(tmp_path: Path, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(incoming, "_RETRY_SECONDS", 0.05)
    path = tmp_path / "tap.sock"
    path.write_text("precious")

    async def steps(plugin: Any) -> None:
        await until(lambda: caplog.messages)
        assert path.read_text() == "precious"
        path.unlink()
        await until(lambda: can_connect(str(path)))

    run(f"dnstap listen {path}", steps)
    assert caplog.messages == [f"Failed to start dnstap listener: open {path}: file exists"]


def test_a_port_that_is_taken_and_a_certificate_that_is_not_there_are_reported(caplog: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        async def steps(plugin: Any) -> None:
            await until(lambda: len(caplog.messages) == 2)

        run(
            f"dnstap listen tcp://127.0.0.1:{port}\ndnstap listen tls://127.0.0.1:{port} {{\n tls /no/c /no/k\n}}",
            steps,
        )
    assert sorted(caplog.messages, reverse=True) == [
        f"Failed to start dnstap listener: listen tcp 127.0.0.1:{port}: bind: address already in use",
        "Failed to start dnstap listener: error reading /no/c: open /no/c: no such file or directory",
    ]


@pytest.mark.parametrize(("more", "needed"), [("", False), (" CA", True), (" CA\n skipverify", False)])
def test_collectors_show_certificates_where_they_have_to(more: str, needed: bool) -> None:
    port = free_port()
    text = f"dnstap listen tls://127.0.0.1:{port} {{\n tls {CERTIFICATE} {KEY}{more.replace('CA', CERTIFICATE)}\n}}"

    async def steps(plugin: Any) -> None:
        await until(lambda: can_connect(("127.0.0.1", port)))
        for certificate in (False, True):
            context = client_context(certificate=certificate)
            collecting = await asyncio.to_thread(Connecting(("127.0.0.1", port), context, "dns.example.test").__enter__)
            if needed and not certificate:
                await until(lambda: collecting.faults)  # noqa: B023
                continue
            await until(lambda: collecting.connections)  # noqa: B023
            ask(plugin)
            await until(lambda: len(collecting.payloads) == 2)  # noqa: B023
            collecting.hang_up()

    run(text, steps)


# A server process


def serve(start_server: Any, tmp_path: Path, text: str) -> Any:
    corefile = tmp_path / "Corefile"
    corefile.write_text(text)
    return start_server("-conf", str(corefile))


def of(collector: Collector, name: str) -> list[dict[str, Any]]:
    """The messages about a name."""
    wire = dns.name.from_text(name).to_wire()
    return [each for each in collector.messages if wire in each.get("query_message", each.get("response_message", b""))]


def test_the_way_of_a_forwarded_query(start_server: Any, tmp_path: Path) -> None:
    listening = Listening(str(tmp_path / "tap.sock"))
    with listening as collector, UpstreamThread() as upstream:
        server = serve(
            start_server,
            tmp_path,
            f".:PORT {{\n bind 127.0.0.1\n metadata\n dnstap {listening.address} full {{\n  identity node-1\n"
            f'  extra "up={{/forward/upstream}}"\n }}\n forward . {upstream.address}\n}}\n',
        )
        query = dns.message.make_query("www.example.test.", "A")
        wires = []
        for ask_by in (dns.query.udp, dns.query.tcp):
            reply = ask_by(query, "127.0.0.1", port=server.port, timeout=5)
            wires.append(reply.to_wire())
        collector.wait(lambda: len(of(collector, "www.example.test.")) == 8)
        messages = of(collector, "www.example.test.")
    assert [each["type"] for each in messages] == [
        "CLIENT_QUERY", "FORWARDER_QUERY", "FORWARDER_RESPONSE", "CLIENT_RESPONSE",
    ] * 2  # fmt: skip
    assert {each["identity"] for each in messages} == {b"node-1"}
    assert [each["socket_protocol"] for each in messages] == [1] * 4 + [2] * 4
    assert [each["extra"] for each in messages[:2]] == [b"up=-", f"up={upstream.address}".encode()]
    asked, forwarded, answered, replied = messages[:4]
    assert asked["query_message"] == query.to_wire()
    assert dns.message.from_wire(replied["response_message"]).answer == dns.message.from_wire(wires[0]).answer
    assert (asked["response_address"], asked["response_port"]) == ("127.0.0.1", server.port)
    assert (forwarded["response_address"], forwarded["response_port"]) == ("127.0.0.1", upstream.port)
    assert forwarded["query_message"] == upstream.questions[-2].wire
    assert forwarded["query_port"] == upstream.questions[-2].source_port
    assert answered["response_message"][:2] == forwarded["query_message"][:2]
    times = [asked["query_ns"], forwarded["query_ns"], answered["response_ns"], replied["response_ns"], time.time_ns()]
    assert times == sorted(times)
    assert (answered["query_ns"], replied["query_ns"]) == (forwarded["query_ns"], asked["query_ns"])


@pytest.fixture
def coredns(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts CoreDNS with a Corefile; the port."""
    program = os.environ.get("COREDNS")
    if not program:
        pytest.skip("the environment variable COREDNS names no program")
    processes = []

    def start(text: str) -> int:
        port = free_port()
        path = tmp_path / "Corefile.coredns"
        path.write_text(text.replace("PORT", str(port)))
        command = [program, "-conf", str(path)]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait(10)


def test_coredns_sends_the_same_fields(start_server: Any, coredns: Any, tmp_path: Path) -> None:
    one, two = Listening(str(tmp_path / "one")), Listening(str(tmp_path / "two"))
    with one as theirs, two as ours, UpstreamThread() as upstream:
        text = (
            ".:PORT {\n bind 127.0.0.1\n metadata\n dnstap TAP full {\n  identity me\n  version mine\n"
            f'  extra "{{name}} {{proto}} {{rcode}} {{/forward/upstream}}"\n }}\n forward . {upstream.address}\n}}\n'
        )
        port = coredns(text.replace("TAP", one.address))
        server = serve(start_server, tmp_path, text.replace("TAP", two.address))
        theirs.wait(lambda: theirs.connections)
        for place in (port, server.port):
            for ask_by, name in ((dns.query.udp, "www.example.test."), (dns.query.tcp, "nx.example.test.")):
                ask_by(dns.message.make_query(name, "A"), "127.0.0.1", port=place, timeout=5)
        names = ("www.example.test.", "nx.example.test.")
        ours.wait(lambda: all(len(of(each, name)) == 4 for each in (theirs, ours) for name in names))
        for name in names:
            for their, our in zip(of(theirs, name), of(ours, name), strict=True):
                same = ("type", "identity", "version", "extra", "socket_family", "socket_protocol", "query_address")
                assert [our.get(part, "127.0.0.1") for part in same] == [their[part] for part in same]
                more = {"response_address", "response_port", "query_address", "query_port"}  # see docs/differences.md
                assert our.keys() ^ their.keys() <= more


def test_a_question_that_nobody_answers_has_no_response(start_server: Any, tmp_path: Path) -> None:
    listening = Listening(("127.0.0.1", 0))
    with listening as collector, UpstreamThread() as upstream:
        server = serve(
            start_server,
            tmp_path,
            f".:PORT {{\n dnstap {place_of(listening)} full\n forward . {upstream.address} {{\n"
            "  max_connect_attempts 1\n  read_timeout 100ms\n }\n}\n",
        )
        assert server.ask("drop.example.test.", "A").rcode() == 2
        collector.wait(lambda: len(of(collector, "drop.example.test.")) == 3)
    types = [message["type"] for message in of(collector, "drop.example.test.")]
    assert types == ["CLIENT_QUERY", "FORWARDER_QUERY", "CLIENT_RESPONSE"]


def test_questions_over_tls_are_marked(start_server: Any, tmp_path: Path) -> None:
    listening = Listening(str(tmp_path / "tap.sock"))
    with listening as collector, UpstreamThread(tls=server_context()) as upstream:
        server = serve(
            start_server,
            tmp_path,
            f".:PORT {{\n dnstap {listening.address} full\n forward . tls://{upstream.address} {{\n"
            f"  tls {CERTIFICATE}\n  tls_servername dns.example.test\n }}\n}}\n",
        )
        server.ask("www.example.test.", "A")
        collector.wait(lambda: len(of(collector, "www.example.test.")) == 4)
    _, forwarded, answered, _ = of(collector, "www.example.test.")
    assert (forwarded["socket_protocol"], answered["socket_protocol"]) == (3, 3)
    assert answered["query_port"] > 0, "the connection is there by then"


def test_nothing_is_lost_over_a_reload_and_at_the_end(start_server: Any, tmp_path: Path) -> None:
    listening = Listening(str(tmp_path / "tap.sock"))
    text = ".:PORT {\n bind 127.0.0.1\n dnstap TAP full\n whoami\n}\n".replace("TAP", listening.address)
    with listening as collector:
        server = serve(start_server, tmp_path, text)
        names = [f"n{number}.example.test." for number in range(300)]
        for number, name in enumerate(names):
            server.ask(name, "A")
            if number == 100:
                path = tmp_path / "Corefile"
                path.write_text(path.read_text().replace("whoami", "any\n whoami"))
                server.process.send_signal(signal.SIGUSR1)
        collector.wait(lambda: collector.connections == 2)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        collector.wait(lambda: collector.finished == 2)
    for name in names:
        assert [message["type"] for message in of(collector, name)] == ["CLIENT_QUERY", "CLIENT_RESPONSE"]
    assert collector.faults == []


def test_the_metrics_of_a_process(start_server: Any, tmp_path: Path) -> None:
    port = free_port()
    place = f"unix {tmp_path}/tap.sock"
    server = serve(
        start_server,
        tmp_path,
        f".:PORT {{\n dnstap {tmp_path}/tap.sock\n prometheus 127.0.0.1:{port}\n whoami\n}}\n",
    )
    server.ask("www.example.test.", "A")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        text = reply.read().decode()
    assert f'coredns_dnstap_messages_total{{to="{place}"}} 0' in text
    assert f'coredns_dnstap_dropped_messages_total{{to="{place}"}} 0' in text
    assert f"No connection to dnstap endpoint: dial {place}: connect: no such file or directory" in server.output()
