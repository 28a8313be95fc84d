# SPDX-License-Identifier: Apache-2.0
"""What is sent to the JSON gateway, and what is made of its replies."""

import asyncio
import base64
import json
from dataclasses import dataclass

import pytest

from clusterdns.errors import UpstreamError
from clusterdns.plugins.etcd import gateway
from clusterdns.plugins.etcd.gateway import Gateway, KeyValue, range_end

HEADER = {"cluster_id": "1", "revision": "2"}
INVALID_TOKEN = (401, {"error": "etcdserver: invalid auth token", "code": 16})


@dataclass
class Answer:
    status: int
    body: bytes


class Poster:
    """Answers as ``replies`` say: a status and JSON or octets, an exception, or a function of the request."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.requests = []

    async def post(self, url, body, *, headers, seconds):
        self.seconds = seconds
        self.requests.append((url, json.loads(body), headers))
        reply = self.replies.pop(0)
        if callable(reply):
            reply = await reply()
        if isinstance(reply, Exception):
            raise reply
        status, content = reply
        return Answer(status, content if isinstance(content, bytes) else json.dumps(content).encode())

    def urls(self):
        return [url for url, _, _ in self.requests]


def found(*pairs, **more):
    kvs = [{"key": encode(key), "value": encode(value), "mod_revision": "3", **more} for key, value in pairs]
    return 200, {"header": HEADER, "kvs": kvs, "count": str(len(kvs))}


def encode(octets):
    return base64.b64encode(octets).decode()


def run(poster, ask, *, endpoints=("http://a:1",), **credentials):
    async def steps():
        return await ask(Gateway(poster, endpoints, **credentials))

    return asyncio.run(steps())


def test_a_key():
    poster = Poster(found((b"/k\xff", b"v\0"), lease="9"))
    assert run(poster, lambda store: store.get(b"/k\xff")) == (KeyValue(b"/k\xff", b"v\0", "9"),)
    assert poster.requests == [("http://a:1/v3/kv/range", {"key": encode(b"/k\xff")}, {})]


def test_keys_below_a_prefix():
    poster = Poster(found((b"/p/a", b""), (b"/p/b", b"")))
    assert [each.key for each in run(poster, lambda store: store.get_below(b"/p/"))] == [b"/p/a", b"/p/b"]
    assert poster.requests[0][1] == {"key": encode(b"/p/"), "range_end": encode(b"/p0")}


def test_nothing_there():
    assert run(Poster((200, {"header": HEADER})), lambda store: store.get(b"/k")) == ()
    assert not run(Poster((200, {"header": HEADER})), lambda store: store.has_below(b"/k"))
    poster = Poster(found((b"/k/a", b"")))
    assert run(poster, lambda store: store.has_below(b"/k/"))
    assert poster.requests[0][1]["limit"] == 1


@pytest.mark.parametrize(("prefix", "end"), [(b"/a/", b"/a0"), (b"a\xff\xff", b"b"), (b"\xff", b"\0"), (b"", b"\0")])
def test_the_end_of_a_range(prefix, end):
    assert range_end(prefix) == end


def test_leases():
    poster = Poster((200, {"header": HEADER, "ID": "7587", "TTL": "99", "grantedTTL": "100"}))
    assert run(poster, lambda store: store.remaining_seconds("7587")) == 99
    assert poster.requests[0][:2] == ("http://a:1/v3/lease/timetolive", {"ID": "7587"})
    assert run(Poster((200, {"ID": "5", "TTL": "-1"})), lambda store: store.remaining_seconds("5")) == -1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((400, {"error": "etcdserver: user name is empty", "code": 3}), "etcdserver: user name is empty"),
        ((403, {"message": "etcdserver: permission denied"}), "etcdserver: permission denied"),
        ((404, b"404 page not found"), "HTTP status 404"),
        ((200, b"<html>"), "not a reply of etcd"),
        ((200, {"kvs": [{"key": "!"}]}), "not a reply of etcd"),
        ((503, {"error": "etcdserver: no leader"}), "http://a:1: etcdserver: no leader"),
        (UpstreamError("http://a:1: connection refused"), "http://a:1: connection refused"),
    ],
)
def test_failures_are_told(reply, reason):
    with pytest.raises(UpstreamError, match=reason):
        run(Poster(reply), lambda store: store.get(b"/k"))


def test_the_next_endpoint_is_asked_and_stays_the_first():
    refused = UpstreamError("connection refused")

    async def ask(store):
        await store.get(b"/k")
        await store.get(b"/k")
        await store.get(b"/k")

    poster = Poster(refused, (503, {}), found(), found(), refused, found())
    run(poster, ask, endpoints=("http://a", "http://b", "http://c"))
    assert poster.seconds == pytest.approx(5 / 3), "one that hangs leaves time for the others"
    hosts = [url.split("/")[2] for url in poster.urls()]
    assert hosts == ["a", "b", "c", "c", "c", "a"]


def test_when_all_fail_the_last_reason_is_told():
    poster = Poster(UpstreamError("one"), UpstreamError("two"))
    with pytest.raises(UpstreamError, match="two"):
        run(poster, lambda store: store.get(b"/k"), endpoints=("http://a", "http://b"))


def test_the_time_is_bounded(monkeypatch):
    monkeypatch.setattr(gateway, "GET_SECONDS", 0.05)

    async def never():
        await asyncio.sleep(5)

    with pytest.raises(UpstreamError, match="context deadline exceeded"):
        run(Poster(never), lambda store: store.get(b"/k"))


TOKEN = (200, {"header": HEADER, "token": "one.1"})


def test_credentials_are_shown_once():
    async def ask(store):
        await asyncio.gather(store.get(b"/a"), store.get(b"/b"))

    poster = Poster(TOKEN, found(), found())
    run(poster, ask, user="dns", password="secret")
    assert poster.requests[0] == ("http://a:1/v3/auth/authenticate", {"name": "dns", "password": "secret"}, {})
    assert [headers for _, _, headers in poster.requests[1:]] == [{"Authorization": "one.1"}] * 2


def test_a_token_that_has_run_out_is_replaced():
    async def ask(store):
        await store.get(b"/a")
        return await store.get(b"/a")

    poster = Poster(TOKEN, found(), INVALID_TOKEN, (200, {"token": "two.2"}), found((b"/a", b"")))
    assert len(run(poster, ask, user="dns", password="secret")) == 1
    assert poster.requests[-1][2] == {"Authorization": "two.2"}


def test_a_token_that_is_never_valid_is_a_failure():
    with pytest.raises(UpstreamError, match="invalid auth token"):
        run(
            Poster(TOKEN, INVALID_TOKEN, TOKEN, INVALID_TOKEN),
            lambda store: store.get(b"/a"),
            user="dns",
            password="secret",
        )


def test_wrong_credentials_are_a_failure_every_time():
    failure = (400, {"error": "etcdserver: authentication failed, invalid user ID or password", "code": 3})

    async def ask(store):
        for _ in range(2):
            with pytest.raises(UpstreamError, match="authentication failed"):
                await store.get(b"/a")

    poster = Poster(failure, failure)
    run(poster, ask, user="dns", password="wrong")
    assert poster.replies == []


def test_credentials_without_need_do_no_harm():
    off = (412, {"error": "etcdserver: authentication is not enabled", "code": 9})
    poster = Poster(off, found(), found())

    async def ask(store):
        await store.get(b"/a")
        await store.get(b"/a")

    run(poster, ask, user="dns", password="secret")
    assert [headers for _, _, headers in poster.requests] == [{}, {}, {}]
