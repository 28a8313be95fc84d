# SPDX-License-Identifier: Apache-2.0
"""Directives whose work is done outside of the chain, in a real process: they hold for the whole listener or block."""

import os
import socket
import time

import dns.flags
import dns.message
import dns.query
import pytest
from support.ports import free_port


@pytest.fixture
def serve(start_server, tmp_path):
    """Starts a server for a Corefile."""

    def start(corefile, **options):
        path = tmp_path / "Corefile"
        path.write_text(corefile.replace(":PORT {", ":PORT {\n bind 127.0.0.1"))
        return start_server("-conf", str(path), **options)

    return start


def test_header_changes_replies_from_the_cache_too(serve):
    upstream = free_port()
    server = serve(
        f"""\
.:PORT {{
    cache 30
    header {{
        response set ra
        response clear aa rd
    }}
    forward . 127.0.0.1:{upstream}
}}
.:{upstream} {{
    bind 127.0.0.1
    template IN A {{
        answer "{{{{ .Name }}}} 60 IN A 192.0.2.7"
    }}
}}
"""
    )
    replies = [server.ask("a.test.", "A") for _ in range(5)]
    assert {dns.flags.to_text(reply.flags) for reply in replies} == {"QR RA"}
    assert all(reply.answer for reply in replies)


def ask_chaos(server, name):
    query = dns.message.make_query(name, "TXT", "CH")
    reply = dns.query.udp(query, "127.0.0.1", port=server.port, timeout=5)
    return reply.rcode(), [rrset.to_text() for rrset in reply.answer]


def test_other_classes_are_for_listeners_with_chaos(serve):
    others = '.:PORT {\n template CH TXT {\n answer "{{ .Name }} 5 CH TXT ok"\n }\n}\n'
    server = serve("bind:PORT {\n chaos v1\n}\n" + others)
    assert ask_chaos(server, "version.bind.") == (0, ['version.bind. 0 CH TXT "v1"'])
    assert ask_chaos(server, "other.test.") == (0, ['other.test. 5 CH TXT "ok"'])
    assert ask_chaos(serve(others), "other.test.") == (5, [])


def connected(server):
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    query = dns.message.make_query("a.test.", "A").to_wire()
    sock.sendall((len(query).to_bytes(2, "big") + query) * 3)
    return sock


def read_to_the_end(sock):
    """The octets of replies, and the seconds between the last of them and the end."""
    octets, last = b"", time.monotonic()
    while data := sock.recv(4096):
        octets += data
        last = time.monotonic()
    return octets, time.monotonic() - last


def test_timeouts_of_the_last_block_hold_for_the_listener(serve):
    server = serve(
        "a.test:PORT {\n timeouts {\n idle 9s\n maxtcpqueries 2\n }\n whoami\n}\n"
        ".:PORT {\n timeouts {\n idle 1s\n maxtcpqueries -1\n }\n whoami\n}\n",
    )
    with connected(server) as sock:
        octets, seconds = read_to_the_end(sock)
    assert octets.count(b"\x01a\x04test") == 3
    assert 0.7 < seconds < 3


def test_a_connection_is_closed_after_its_queries(serve):
    server = serve(".:PORT {\n timeouts {\n maxtcpqueries 2\n }\n whoami\n}\n")
    with connected(server) as sock:
        octets, seconds = read_to_the_end(sock)
    assert octets.count(b"\x01a\x04test") == 2
    assert seconds < 0.7


def test_a_hosts_file_is_read_again_while_the_server_answers(serve, tmp_path):
    hosts = tmp_path / "NodeHosts"
    hosts.write_text("10.0.0.1 node-1\n")
    server = serve(f".:PORT {{\n hosts {hosts} {{\n ttl 60\n reload 50ms\n fallthrough\n }}\n whoami\n}}\n")
    assert [server.ask("node-1.", "A").answer[0].to_text() for _ in range(4)] == ["node-1. 60 IN A 10.0.0.1"] * 4
    replacement = tmp_path / "new"
    replacement.write_text("10.0.0.2 node-1\n")
    os.replace(replacement, hosts)
    end = time.monotonic() + 5
    while server.ask("node-1.", "A").answer[0].to_text() != "node-1. 60 IN A 10.0.0.2":
        assert time.monotonic() < end
        time.sleep(0.02)
    assert server.ask("node-2.", "A").answer == []
