# SPDX-License-Identifier: Apache-2.0
"""What becomes of queries and replies, without a collector."""

import socket

import pytest
from support.directives import FakeSetup, client, finished, make, metric, parse, query
from support.dnstap_collector import decode

from clusterdns._version import __version__
from clusterdns.plugins import dnstap
from clusterdns.plugins.dnstap.message import Envelope, Kind, Message, SocketProtocol
from clusterdns.serving.capabilities import HitObserver, Hop, Observer, Tap
from clusterdns.serving.metadata import QueryMetadata


@pytest.fixture
def tapped(monkeypatch):
    """A plugin, and what it has put into the backlogs of its channels, decoded."""

    def begin(text, setup=None):
        plugin = make(text, setup=setup)
        found = []
        for number, channel in enumerate(plugin._channels):
            monkeypatch.setattr(
                channel._collectors,
                "put",
                lambda message, extra, number=number: found.append(
                    (number, decode(Envelope(b"", b"").encode(message, extra)))
                ),
            )
        return plugin, found

    return begin


def ask(plugin, question=None):
    question = question or query("www.example.org.")
    plugin.tap_query(question)
    plugin.tap_reply(question, b"the reply")
    return question


def test_it_wants_octets_and_observes_nothing_else():
    plugin = make("dnstap /x")
    assert isinstance(plugin, Tap)
    assert not isinstance(plugin, Observer | HitObserver)


def test_a_query_and_its_reply_share_the_time_of_the_query(tapped):
    plugin, found = tapped("dnstap /x full")
    question = ask(plugin)
    (_, asked), (_, answered) = found
    assert asked == {
        "type": "CLIENT_QUERY",
        "socket_family": 1,
        "socket_protocol": 1,
        "query_address": "192.0.2.1",
        "query_port": 4242,
        "response_address": "192.0.2.53",
        "response_port": 53,
        "query_ns": question.received_ns,
        "query_message": question.packet,
    }
    assert answered["type"] == "CLIENT_RESPONSE"
    assert answered["query_ns"] == question.received_ns <= answered["response_ns"]
    assert answered["response_message"] == b"the reply"
    assert "query_message" not in answered


def test_messages_are_left_out_unless_they_are_asked_for(tapped):
    plugin, found = tapped("dnstap /x\ndnstap /y full")
    ask(plugin)
    assert [number for number, message in found if {"query_message", "response_message"} & set(message)] == [1, 1]
    assert [number for number, _ in found] == [0, 1, 0, 1]


def test_tcp_and_ipv6(tapped):
    plugin, found = tapped("dnstap /x")
    question = query("www.example.org.")
    question.client = client("tcp", "2001:db8::1")
    ask(plugin, question)
    assert found[0][1]["socket_protocol"] == 2
    assert found[0][1]["query_address"] == "2001:db8::1"
    assert "response_address" not in found[0][1], "a message has one family"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", ""])
def test_a_local_address_that_is_not_known_is_left_out(tapped, address):
    plugin, found = tapped("dnstap /x")
    question = query("www.example.org.")
    question.client.local_address = address
    ask(plugin, question)
    assert not {"response_address", "response_port"} & set(found[0][1])


def test_questions_to_other_servers(tapped):
    plugin, found = tapped("dnstap /x full")
    hop = Hop("tls", "192.0.2.9", 853, "192.0.2.53", 40000)
    plugin.tap_exchange(query("www.example.org."), hop, b"question", 5, 0)
    plugin.tap_exchange(query("www.example.org."), hop, b"answer", 5, 7)
    (_, asked), (_, answered) = found
    assert (asked["type"], asked["query_message"], asked["query_ns"]) == ("FORWARDER_QUERY", b"question", 5)
    assert (answered["type"], answered["response_message"], answered["response_ns"]) == (
        "FORWARDER_RESPONSE",
        b"answer",
        7,
    )
    assert (asked["socket_protocol"], asked["response_address"], asked["query_port"]) == (3, "192.0.2.9", 40000)


def test_extra_text_knows_the_query_and_its_metadata(tapped):
    plugin, found = tapped('dnstap /x {\n extra "{type} {name} {rcode} up={/forward/upstream} é"\n}')
    question = query("www.example.org.", "AAAA")
    question.metadata = QueryMetadata(question, {})
    plugin.tap_query(question)
    question.metadata.set("forward/upstream", "192.0.2.9:53")
    plugin.tap_reply(question, b"")
    assert [message["extra"].decode() for _, message in found] == [
        "AAAA www.example.org. - up=- é",
        "AAAA www.example.org. - up=192.0.2.9:53 é",
    ]


def test_who_we_are_unless_something_else_is_written(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node-1")
    message = Message(Kind.CLIENT_QUERY, SocketProtocol.UDP)
    found = decode(dnstap._envelope(parse("dnstap /x")[0]).encode(message))
    assert (found["identity"], found["version"]) == (b"node-1", f"clusterdns-{__version__}".encode())
    written = parse('dnstap /x {\n identity me\n version ""\n}')[0]
    found = decode(dnstap._envelope(written).encode(message))
    assert found["identity"] == b"me"
    assert "version" not in found


def test_a_start_begins_the_work_of_each_use():
    setup = FakeSetup()
    plugin = make("dnstap /nowhere/x\ndnstap listen /nowhere/y", setup=setup)
    ask(plugin)
    finished(plugin.start())
    assert len(setup.services.spawned) == 2
    for place in ("unix /nowhere/x", "unix /nowhere/y"):
        assert metric(setup.services, "coredns_dnstap_messages_total", place) == 0
        assert metric(setup.services, "coredns_dnstap_dropped_messages_total", place) == 0
