# SPDX-License-Identifier: Apache-2.0
"""Texts with placeholders, where there is no reply yet. What they say of replies is tested with ``log``."""

from support.serving import client
from support.serving import query as make_query

from clusterdns.serving.metadata import QueryMetadata
from clusterdns.serving.placeholders import Event, compile_format


def test_what_is_about_the_reply_is_empty_before_there_is_one():
    line = compile_format("{rcode} {rsize} {>rflags} {duration}")
    assert line(Event(make_query())) == "- - - -"


def test_what_is_about_the_query_is_there():
    query = make_query("WWW.Example.org.", "AAAA")
    query.client = client("udp", "2001:db8::1")
    line = compile_format("{type} {name} {proto} {remote}:{port} {>bufsize} {nosuch}")
    assert line(Event(query)) == "AAAA www.example.org. udp [2001:db8::1]:4242 512 {nosuch}"


def test_metadata_is_asked_for():
    query = make_query()
    line = compile_format("upstream={/forward/upstream}")
    assert line(Event(query)) == "upstream=-"
    query.metadata = QueryMetadata(query, {})
    query.metadata.set("forward/upstream", "192.0.2.1:53")
    assert line(Event(query)) == "upstream=192.0.2.1:53"
