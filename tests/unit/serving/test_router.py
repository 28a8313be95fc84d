# SPDX-License-Identifier: Apache-2.0
"""Server blocks that share zones: views, what they may know, and what is remembered of their replies."""

import dns.message
import pytest
from support.serving import Answering, Plugin, client, wire

from clusterdns.dns import types
from clusterdns.dns.masterfile import parse_record
from clusterdns.dns.names import to_text
from clusterdns.serving.metadata import NO_METADATA, QueryMetadata, is_label
from clusterdns.serving.reply import Reply


class Only(Plugin):
    """A view."""

    name = "view"

    def __init__(self, condition, *, asks_client=False):
        self.condition = condition
        self.asks_client = asks_client

    def admits(self, query):
        return self.condition(query)


class Collecting(Plugin):
    """``metadata`` over one source."""

    name = "metadata"

    def __init__(self, **values):
        self.values = values

    def collect(self, query):
        return QueryMetadata(query, {"source": self})

    def metadata(self, query, key):
        return self.values.get(key, "")


def answering(address):
    def answer(query):
        record = parse_record(f"{to_text(query.name)} 5 IN A {address}")
        reply = Reply.authoritative("answering", types.NOERROR, (record,))
        reply.reusable = True
        return reply

    return Answering(answer)


def by_client(address):
    return Only(lambda query: query.client.address == address, asks_client=True)


def ask(engine, name="www.example.org.", rtype="A", address="192.0.2.1"):
    reply = dns.message.from_wire(engine.handle(wire(name, rtype), client(address=address)))
    return reply.answer[0][0].to_text() if reply.answer else dns.rcode.to_text(reply.rcode())


def remembered(engine):
    return len(engine.memo("udp", 1).entries)


def test_the_first_block_whose_view_admits_the_query_answers(make_engine):
    engine = make_engine(
        {
            "example.org.": [
                [by_client("192.0.2.7"), answering("10.0.0.1")],
                [Only(lambda query: query.qtype == types.A), answering("10.0.0.2")],
                [answering("10.0.0.3")],
            ]
        }
    )
    assert [ask(engine, address=f"192.0.2.{last}") for last in (7, 8)] == ["10.0.0.1", "10.0.0.2"]
    assert ask(engine, rtype="TXT") == "10.0.0.3"


def test_a_block_without_view_hides_those_behind_it(make_engine):
    engine = make_engine({".": [[answering("10.0.0.1")], [Only(lambda query: True), answering("10.0.0.2")]]})
    assert ask(engine) == "10.0.0.1"


def test_a_zone_that_admits_nothing_leaves_the_query_to_the_zones_above(make_engine):
    engine = make_engine(
        {
            "example.org.": [[Only(lambda query: False), answering("10.0.0.1")]],
            "org.": [answering("10.0.0.2")],
        }
    )
    assert ask(engine) == "10.0.0.2"


def test_a_query_that_no_view_admits_is_refused(make_engine, faults):
    engine = make_engine({".": [[Only(lambda query: False), answering("10.0.0.1")]]})
    assert ask(engine) == "REFUSED"
    assert faults.refused == [("www.example.org.", types.REFUSED)]


def test_ds_at_a_cut_goes_to_the_zone_above_that_admits_it(make_engine):
    above = [[Only(lambda query: query.qtype == types.DS), answering("10.0.0.1")]]
    engine = make_engine({"example.org.": [answering("10.0.0.2")], "org.": above})
    assert ask(engine, "example.org.", "DS") == "10.0.0.1"
    above[0][0].condition = lambda query: False
    assert ask(engine, "example.org.", "DS") == "10.0.0.2"


def test_replies_are_remembered_where_only_the_querys_bytes_choose_the_view(make_engine):
    engine = make_engine(
        {".": [[Only(lambda query: query.qtype == types.A), answering("10.0.0.1")], [answering("10.0.0.2")]]}
    )
    for _ in range(3):
        assert ask(engine) == "10.0.0.1"
        assert ask(engine, rtype="TXT") == "10.0.0.2"
    assert remembered(engine) == 2


@pytest.mark.parametrize("first", ["192.0.2.7", "192.0.2.8"])
def test_no_client_gets_what_was_remembered_of_another_view(make_engine, first):
    engine = make_engine({".": [[by_client("192.0.2.7"), answering("10.0.0.1")], [answering("10.0.0.2")]]})
    expected = {"192.0.2.7": "10.0.0.1", "192.0.2.8": "10.0.0.2"}
    for address in [first] * 3 + list(expected) * 2:
        assert ask(engine, address=address) == expected[address]
    assert not remembered(engine)


def test_a_client_that_no_view_admits_here_gets_nothing_remembered_in_the_zone_above(make_engine):
    engine = make_engine(
        {"example.org.": [[by_client("192.0.2.7"), answering("10.0.0.1")]], "org.": [answering("10.0.0.2")]}
    )
    for address, answer in [("192.0.2.8", "10.0.0.2")] * 3 + [("192.0.2.7", "10.0.0.1")]:
        assert ask(engine, address=address) == answer
    assert ask(engine, "other.org.") == "10.0.0.2"


def test_what_a_view_decides_about_an_internal_look_up_is_not_remembered(make_engine):
    def look_up(query):
        return query.resolve(query, b"\3www\7example\3org\0", query.qtype)

    engine = make_engine(
        {
            "example.org.": [[by_client("192.0.2.7"), answering("10.0.0.1")], [answering("10.0.0.2")]],
            "test.": [Answering(look_up)],
        }
    )
    for address, answer in [("192.0.2.8", "10.0.0.2")] * 3 + [("192.0.2.7", "10.0.0.1")]:
        assert ask(engine, "a.test.", address=address) == answer


def test_plugins_know_what_the_sources_of_their_own_block_know(make_engine):
    seen = []

    def look(query):
        seen.append(query.metadata.get("source/key"))
        seen.append(query.derive(name=b"\0").metadata.get("source/key"))
        return Reply()

    view = Only(lambda query: query.metadata.get("source/key") == "mine", asks_client=True)
    engine = make_engine(
        {
            ".": [
                [Collecting(key="other"), view, answering("10.0.0.1")],
                [view, answering("10.0.0.2")],
                [Collecting(key="mine"), view, Answering(look)],
            ]
        }
    )
    ask(engine)
    assert seen == ["mine", "mine"]


def test_a_block_without_metadata_knows_nothing(make_engine):
    seen = []
    engine = make_engine({".": [Answering(lambda query: seen.append(query.metadata) or Reply())]})
    ask(engine)
    assert seen == [NO_METADATA]
    NO_METADATA.set("a/b", "c")
    assert NO_METADATA.get("a/b") == ""


def test_what_is_told_later_is_known_by_all_derived_queries():
    metadata = QueryMetadata(None, {"source": Collecting(key="value")})
    metadata.set("forward/upstream", "10.0.0.53:53")
    labels = ("forward/upstream", "source/key", "source/other", "nobody/key", "source")
    assert [metadata.get(label) for label in labels] == ["10.0.0.53:53", "value", "", "", ""]


@pytest.mark.parametrize(
    ("text", "verdict"), [("a/b", True), ("a/b/c", True), ("ab", False), ("/b", False), ("a/", False), ("/", False)]
)
def test_labels_are_a_plugin_and_a_key(text, verdict):
    assert is_label(text) is verdict
