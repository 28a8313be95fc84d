# SPDX-License-Identifier: Apache-2.0
"""``clusterdns explain`` on a Corefile and against a running server, and who can reach that."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.ports import free_port
from support.upstream import UpstreamThread, address_text

from clusterdns.cli import main

REPOSITORY = Path(__file__).resolve().parents[2]
MANIFESTS = REPOSITORY / "zones" / "manifests"

COREFILE = """\
.:PORT {{
    bind 127.0.0.1
    log
    prometheus 127.0.0.1:0
    explain unix:{socket}
    kubernetes cluster.local {{
        manifests {manifests}
        pods verified
    }}
    cache
    forward . 127.0.0.1:{upstream} {{
        read_timeout 300ms
    }}
}}
"""

Explain = Callable[..., tuple[int, Any]]


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Explain:
    """Runs the command; its exit code, and its report, or what it printed if that is none."""

    def run(*words: str) -> tuple[int, Any]:
        code = main.main(["explain", "--json", *words])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else captured.err

    return run


@pytest.fixture(scope="module")
def upstream() -> Any:
    with UpstreamThread() as server:
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explain") / "explain.sock"


@pytest.fixture(scope="module")
def server(start_server: Any, upstream: Any, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that explains itself."""
    directory = tmp_path_factory.mktemp("explained")
    shutil.copytree(MANIFESTS, directory / "manifests")
    corefile = directory / "Corefile"
    corefile.write_text(COREFILE.format(socket=place, manifests=directory / "manifests", upstream=upstream.port))
    running = start_server("-conf", str(corefile))
    wait_until(place.exists)
    return running


def write(path: Path, text: str) -> str:
    corefile = path / "Corefile"
    corefile.write_text(text)
    return str(corefile)


def say(place: Path, octets: bytes, *, wait_seconds: float = 5.0) -> bytes:
    """What the server answers to some octets before it hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(wait_seconds)
        sock.connect(str(place))
        try:
            sock.sendall(octets)
            received = b""
            while piece := sock.recv(65536):
                received += piece
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return received


def notes(report: Any, plugin: str, step: int = -1) -> list[str]:
    trace = report["steps"][step]["traces"][0]
    return [note["text"] for visit in trace["visits"] if visit["plugin"] == plugin for note in visit["notes"]]


def test_a_name_is_found_as_a_pod_would_find_it(explain: Explain, tmp_path: Path) -> None:
    corefile = write(tmp_path, f"cluster.local {{\n    kubernetes {{\n        manifests {MANIFESTS}\n    }}\n}}\n")
    code, report = explain("service-clusterip", "--pod", "dev/nginx-1", "--conf", corefile)
    assert (code, report["outcome"]) == (0, "answer")
    assert report["steps"][0]["name"] == "service-clusterip.dev.svc.cluster.local."
    assert report["steps"][0]["data"] == ["10.10.97.97"]
    assert report["client"] == "10.244.1.11"
    assert report["origins"][0]["place"].endswith("03-clusterip.yaml:9")


def test_manifests_stand_in_for_the_api_server(explain: Explain, tmp_path: Path) -> None:
    corefile = write(tmp_path, "cluster.local {\n    kubernetes\n}\n")
    code, report = explain("my-service", "--namespace", "dev", "--conf", corefile, "--manifests", str(MANIFESTS))
    assert (code, report["origins"][0]["name"]) == (0, "dev/my-service")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pod", "dev"), "write NAMESPACE/NAME"),
        (("--client", "10.0.0"), "is no IP address"),
        (("--ndots", "99"), "ndots is from 0 to 15"),
        (("--search", "a..b"), "is no name"),
        (("--listen", "5"), "there is no listener '5': there is :53"),
        (("--namespace", "a", "--pod", "a/b"), "exclude each other"),
        (("--server", "unix:/nowhere/explain.sock"), "--server and --conf exclude each other"),
        (("NOTYPE",), "is no record type"),
    ],
)
def test_what_can_not_be_explained_says_why(
    explain: Explain, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    code, text = explain("www.example.org", *words, "--conf", write(tmp_path, ". {\n    whoami\n}\n"))
    assert code == 2
    assert said in text


def test_a_corefile_with_faults_is_refused(explain: Explain, tmp_path: Path) -> None:
    code, text = explain("www.example.org", "--conf", write(tmp_path, ". {\n    whoamy\n}\n"))
    assert code == 2
    assert "Unknown directive 'whoamy'" in text


def test_a_name_without_an_answer_is_exit_code_1(explain: Explain, tmp_path: Path) -> None:
    code, report = explain("www.example.org.", "--conf", write(tmp_path, "example.com {\n    whoami\n}\n"))
    assert (code, report["outcome"]) == (1, "refusal")


def test_nothing_listens_while_a_corefile_is_explained(explain: Explain, tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    with socket.socket() as taken, socket.socket() as taken_too:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        taken_too.bind(("127.0.0.1", admin))
        taken_too.listen()
        text = (
            f". {{\n    bind 127.0.0.1\n    health 127.0.0.1:{admin}\n    ready 127.0.0.1:{admin}\n    loop\n"
            f"    explain unix:{tmp_path}/no.sock\n    whoami\n}}\n".replace(". {", f".:{port} {{", 1)
        )
        code, _ = explain("www.example.org.", "--conf", write(tmp_path, text))
    assert code == 1
    assert not (tmp_path / "no.sock").exists()


def test_a_silent_upstream_is_named(explain: Explain, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        text = f". {{\n    forward . {place} {{\n        read_timeout 100ms\n    }}\n}}\n"
        code, report = explain("www.example.org.", "--conf", write(tmp_path, text))
    assert (code, report["outcome"]) == (1, "failure")
    assert report["hints"][0].startswith(f"{place} does not answer forward")
    assert any("i/o timeout" in each for each in notes(report, "forward"))


def test_a_running_server_tells_of_its_cluster_its_cache_and_its_upstreams(
    server: Any, upstream: Any, place: Path, explain: Explain
) -> None:
    where = ("--server", f"unix:{place}")
    code, report = explain("once.example.org.", *where)
    assert (code, report["steps"][0]["data"]) == (0, [address_text("once.example.org.")])
    assert notes(report, "cache") == [
        "miss: nothing is kept for this name, type and flags", "the reply is kept for 60 s",
    ]  # fmt: skip
    asked, answered = notes(report, "forward")
    assert asked == f"forward ., policy random: 127.0.0.1:{upstream.port}"
    assert answered.startswith(f"127.0.0.1:{upstream.port} answered NOERROR in ")
    _, report = explain("once.example.org.", *where)
    assert notes(report, "cache")[0].startswith("hit: an answer of forward, ")
    code, report = explain("service-clusterip.dev.svc.cluster.local.", *where)
    assert (code, report["origins"][0]["name"]) == (0, "dev/service-clusterip")


def test_an_explained_query_is_nobodys(server: Any, place: Path, explain: Explain) -> None:
    explain("unseen.example.org.", "--server", f"unix:{place}")
    server.ask("seen.example.org.", "A")
    wait_until(lambda: "A IN seen.example.org." in server.output())
    assert "unseen.example.org." not in server.output()


def test_only_the_owner_can_open_the_socket(server: Any, place: Path) -> None:
    mode = place.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"error"),
        (b"\n", b"error"),
        (b"{}\n", b"error"),
        (b"[" * 10_000 + b"\n", b"error"),
        (b'{"name": 5}\n', b"error"),
        (b'{"name": "a", "other": 1}\n', b"error"),
        (b'{"name": "a..b"}\n', b"is no name"),
        (b'{"name": "a", "type": "%s"}\n' % (b"x" * 5000), b"is no record type"),
        (b'{"name": "' + b"\\u0000" * 300 + b'."}\n', b"is no name"),
        (b"x" * 100_000, b""),
        (b"", b""),
        (b"no end of line", b""),
    ],
)
def test_hostile_input_gets_an_error_or_nothing(server: Any, place: Path, octets: bytes, says: bytes) -> None:
    assert says in say(place, octets)
    assert server.process.poll() is None


def test_one_question_at_a_time_and_a_bounded_number_of_connections(server: Any, place: Path, explain: Explain) -> None:
    replies: list[bytes] = []
    question = b'{"name": "drop.example.org."}\n'
    threads = [
        threading.Thread(target=lambda: replies.append(say(place, question, wait_seconds=20))) for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    explained = [reply for reply in replies if b'"steps"' in reply]
    refused = [reply for reply in replies if reply == b'{"error":"another name is being explained: try again"}\n']
    assert 1 <= len(explained) <= 2
    assert len(explained) + len(refused) + replies.count(b"") == 30
    assert explain("after.example.org.", "--server", f"unix:{place}")[0] == 0


def test_a_client_that_says_nothing_is_left_after_a_while(server: Any, place: Path) -> None:
    began = time.monotonic()
    assert say(place, b'{"name"') == b""
    assert 1.5 < time.monotonic() - began < 4


def test_loopback_serves_too_and_the_place_outlives_a_reload(
    start_server: Any, tmp_path: Path, explain: Explain
) -> None:
    port, path = free_port(), tmp_path / "explain.sock"
    text = f".:PORT {{\n    bind 127.0.0.1\n    explain 127.0.0.1:{port}\n    whoami\n}}\n"
    corefile = tmp_path / "Corefile"
    corefile.write_text(text)
    running = start_server("-conf", str(corefile))
    wait_until(lambda: "asks this server" in running.output())  # DNS doesn't wait for that
    assert explain("www.example.org.", "TXT", "--server", f"127.0.0.1:{port}")[1]["outcome"] == "no data"
    corefile.write_text(corefile.read_text().replace(f"127.0.0.1:{port}", f"unix:{path}"))
    reload(running)
    assert explain("www.example.org.", "TXT", "--server", f"unix:{path}")[1]["outcome"] == "no data"
    assert "connection refused" in explain("www.example.org.", "--server", f"127.0.0.1:{port}")[1]
    corefile.write_text(corefile.read_text().replace("whoami", "whoami\n    minimal"))
    reload(running)
    assert explain("www.example.org.", "TXT", "--server", f"unix:{path}")[1]["outcome"] == "no data"
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert not path.exists()


def reload(running: Any) -> None:
    before = running.output().count("Reloading complete")
    os.kill(running.process.pid, signal.SIGUSR1)
    wait_until(lambda: running.output().count("Reloading complete") > before)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("keep me")
    corefile = write(tmp_path, f".:0 {{\n    bind 127.0.0.1\n    explain unix:{path}\n    whoami\n}}\n")
    assert main.main(["serve", "--conf", corefile, "--quiet"]) == 1
    assert path.read_text() == "keep me"
