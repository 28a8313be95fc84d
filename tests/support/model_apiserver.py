# SPDX-License-Identifier: Apache-2.0
"""A model of API servers over one storage, without I/O: Services, revisions, replicas, and what goes wrong.

It answers requests as values, at the time that it is told, so that tests run in virtual time. What it does is what
kube-apiserver does with etcd; clusterdns.testing has a server that speaks HTTP.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from clusterdns.cluster.objects import Service
from clusterdns.cluster.reflector.requests import METADATA, Request

BOOKMARK_SECONDS = 60.0
GONE = {"kind": "Status", "metadata": {}, "status": "Failure", "message": "too old resource version", "code": 410}

Key = tuple[str, str]
Change = tuple[int, str, Key, dict[str, Any]]
"""Revision, ADDED, MODIFIED or DELETED, key, and the object: the old one of what is deleted, with the new revision."""


class Answer:
    """An answer on its way.

    status: 0 while the header hasn't come. parts: of the body, not yet read.
    end: ``""`` while more may come; "broken" without a status for a connection that is closed without an answer.
    """

    def __init__(self, status: int = 200, body: bytes = b"", end: Literal["", "clean", "broken"] = "clean") -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.parts: deque[bytes] = deque([body] if body else [])
        self.end: str = end
        self.closed = False


class Watch:
    """An open watch of one replica: it has been told of everything up to ``at``."""

    def __init__(self, answer: Answer, at: int, now: float, seconds: float, bookmarks: bool) -> None:
        self.answer = answer
        self.at = at
        self.bookmarks = bookmarks
        self.next_bookmark = now + BOOKMARK_SECONDS
        self.until = now + seconds
        self.initial = False
        self.deaf = False


class Storage:
    """etcd: the objects now, and every change since the beginning."""

    def __init__(self) -> None:
        self.revision = 100
        self.compacted = 0
        self.down = False
        self.changes: list[Change] = []

    def put(self, namespace: str, name: str, address: str = "") -> None:
        """Create or change a Service. Without an address it gets one of its revision."""
        old = self.objects().get((namespace, name))
        self.revision += 1
        value = service_value(namespace, name, self.revision, address)
        self.changes.append((self.revision, "ADDED" if old is None else "MODIFIED", (namespace, name), value))

    def delete(self, namespace: str, name: str) -> None:
        """Delete a Service, if it is there."""
        old = self.objects().get((namespace, name))
        if old is not None:
            self.revision += 1
            gone = {**old, "metadata": old["metadata"] | {"resourceVersion": str(self.revision)}}
            self.changes.append((self.revision, "DELETED", (namespace, name), gone))

    def other_write(self) -> None:
        """A change of another resource."""
        self.revision += 1

    def compact(self) -> None:
        """Forget all but the present."""
        self.compacted = self.revision

    def restore(self, revision: int) -> None:
        """Be what it was at an earlier revision."""
        self.revision = revision
        self.compacted = min(self.compacted, revision)
        self.changes = [change for change in self.changes if change[0] <= revision]

    def objects(self, revision: int | None = None) -> dict[Key, dict[str, Any]]:
        """All objects as they were at a revision."""
        found: dict[Key, dict[str, Any]] = {}
        for at, kind, key, value in self.changes:
            if revision is not None and at > revision:
                break
            if kind == "DELETED":
                found.pop(key, None)
            else:
                found[key] = value
        return dict(sorted(found.items()))

    def services(self) -> tuple[Service, ...]:
        """What a store must have of it."""
        return tuple(service_of(value) for value in self.objects().values())


class Replica:
    """One API server. Its cache is at the revision ``at``, and stays there while it lags.

    streams: whether it streams lists. hangs: it accepts connections and says nothing. down: it refuses them.
    cuts_streams: it, or a proxy in front, closes the connection instead of streaming a list.
    faults: answers instead of real ones, for the requests to come.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.at = storage.revision
        self.oldest = storage.revision
        self.lags = self.hangs = self.down = False
        self.streams = True
        self.cuts_streams = False
        self.page_items = 0
        self.faults: deque[Answer] = deque()
        self.watches: list[Watch] = []
        self.held: list[tuple[Request, Answer]] = []
        self.requests: list[Request] = []

    def ask(self, request: Request, now: float) -> Answer | None:
        """The answer to a request; None for a connection that is refused."""
        self.requests.append(request)
        if self.down:
            return None
        answer = Answer(0, end="")
        if self.hangs:
            self.held.append((request, answer))
        elif self.faults:
            return self.faults.popleft()
        elif self.cuts_streams and "sendInitialEvents" in request.query:
            answer.end = "broken"
        else:
            self._answer(request, answer, now)
        return answer

    def wake(self, now: float) -> None:
        """Go on after having hung."""
        self.hangs = False
        held, self.held = self.held, []
        for request, answer in held:
            if not answer.closed:
                self._answer(request, answer, now)
        self.tick(now)

    def restart(self, *, torn: bool) -> None:
        """Start anew: watches end, and the cache begins at what the storage has now."""
        for watch in self.watches:
            watch.answer.end = "broken" if torn else "clean"
        self.watches = []
        self.at = self.oldest = self.storage.revision

    def end_watches(self, end: Literal["clean", "broken"], half_line: bool = False) -> None:
        """All open watches end."""
        for watch in self.watches:
            if half_line:
                watch.answer.parts.append(b'{"type":"ADDED","object":{"meta')
            watch.answer.end = end
        self.watches = []

    def skip(self) -> None:
        """Let all open watches miss what has happened: the gap that no one tells of."""
        for watch in self.watches:
            watch.at = max(watch.at, self.storage.revision)
        self.at = max(self.at, self.storage.revision)

    def tick(self, now: float) -> None:
        """Let the cache and the watches come up to date."""
        if self.hangs or self.down:
            return
        if not self.lags and not self.storage.down:
            self.at = self.storage.revision
        for watch in list(self.watches):
            self._tell(watch, now)

    def next_time(self) -> float:
        """When ``tick`` has something to do, if nothing happens before."""
        return min((min(watch.next_bookmark, watch.until) for watch in self.watches), default=float("inf"))

    def _answer(self, request: Request, answer: Answer, now: float) -> None:
        query = request.query
        if request.verb == "watch":
            self._open_watch(request, answer, now)
        elif query.get("resourceVersion") == "0":
            self._send_list(answer, request, self.storage.objects(self.at), self.at)
        elif self.storage.down:
            return  # a consistent list hangs
        else:
            self._send_page(request, answer)

    def _send_page(self, request: Request, answer: Answer) -> None:
        limit = int(request.query["limit"])
        limit = min(limit, self.page_items) if self.page_items else limit
        revision, after = self.storage.revision, ("", "")
        if token := request.query.get("continue"):
            revision, *rest = json.loads(base64.b64decode(token))
            after = (rest[0], rest[1])
            if revision != -1 and revision < self.storage.compacted:
                fresh = base64.b64encode(json.dumps([-1, *after]).encode()).decode()
                body = GONE | {"metadata": {"continue": fresh}, "reason": "Expired"}
                answer.status, answer.end = 410, "clean"
                answer.parts.append(json.dumps(body).encode())
                return
            revision = self.storage.revision if revision == -1 else revision
        rest_of = [(key, value) for key, value in self.storage.objects(revision).items() if key > after]
        more = None
        if len(rest_of) > limit:
            more = base64.b64encode(json.dumps([revision, *rest_of[limit - 1][0]]).encode()).decode()
        self._send_list(answer, request, dict(rest_of[:limit]), revision, more, len(rest_of) - limit)

    def _send_list(
        self,
        answer: Answer,
        request: Request,
        objects: dict[Key, dict[str, Any]],
        revision: int,
        token: str | None = None,
        remaining: int = 0,
    ) -> None:
        meta: dict[str, Any] = {"resourceVersion": str(revision)}
        if token:
            meta |= {"continue": token, "remainingItemCount": remaining}
        items = list(objects.values())
        if request.accept == METADATA:
            items = [{"metadata": item["metadata"]} for item in items]
        body = {"kind": "ServiceList", "apiVersion": "v1", "metadata": meta, "items": items}
        answer.status, answer.end = 200, "clean"
        answer.parts.append(json.dumps(body, separators=(",", ":")).encode() + b"\n")

    def _open_watch(self, request: Request, answer: Answer, now: float) -> None:
        query = request.query
        watch = Watch(answer, 0, now, float(query["timeoutSeconds"]), bool(query.get("allowWatchBookmarks")))
        if query.get("sendInitialEvents"):
            if not self.streams:
                body = GONE | {"code": 422, "message": "sendInitialEvents is forbidden"}
                answer.status, answer.end = 422, "clean"
                answer.parts.append(json.dumps(body).encode())
                return
            answer.status = 200
            watch.initial = True
        else:
            answer.status = 200
            watch.at = int(query["resourceVersion"])
            if watch.at < self.oldest:
                answer.parts.append(_line("ERROR", GONE))
                answer.end = "clean"
                return
        self.watches.append(watch)
        self._tell(watch, now)

    def _tell(self, watch: Watch, now: float) -> None:
        answer = watch.answer
        if answer.closed:
            self.watches.remove(watch)
            return
        if watch.initial:
            if self.storage.down or self.at < self.storage.revision:
                return
            for value in self.storage.objects().values():
                answer.parts.append(_line("ADDED", value))
            watch.at, watch.initial = self.at, False
            answer.parts.append(_bookmark(self.at, {"k8s.io/initial-events-end": "true"}))
        if watch.at <= self.at:
            for revision, kind, _, value in self.storage.changes:
                if watch.at < revision <= self.at and not watch.deaf:
                    answer.parts.append(_line(kind, value))
            watch.at = self.at
            if now >= watch.next_bookmark and watch.bookmarks:
                answer.parts.append(_bookmark(self.at, {}))
        while watch.next_bookmark <= now:
            watch.next_bookmark += BOOKMARK_SECONDS
        if now >= watch.until:
            answer.end = "clean"
            self.watches.remove(watch)


def service_value(namespace: str, name: str, revision: int, address: str = "") -> dict[str, Any]:
    """A Service as an API server writes it."""
    address = address or f"10.{revision >> 16 & 255}.{revision >> 8 & 255}.{revision & 255}"
    meta = {"name": name, "namespace": namespace, "resourceVersion": str(revision), "labels": {"a": "b"}}
    return {"metadata": meta, "spec": {"clusterIP": address, "clusterIPs": [address], "type": "ClusterIP"}}


def service_of(value: dict[str, Any]) -> Service:
    """The same as a value."""
    meta = value["metadata"]
    return Service(meta["namespace"], meta["name"], cluster_ips=tuple(value["spec"]["clusterIPs"]))


def revisions(service: Service) -> int:
    """The revision in the address of a Service."""
    parts: Iterator[int] = map(int, service.cluster_ips[0].split("."))
    _, high, middle, low = parts
    return high << 16 | middle << 8 | low


def _line(kind: str, value: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": value}, separators=(",", ":")).encode() + b"\n"


def _bookmark(revision: int, annotations: dict[str, str]) -> bytes:
    meta = {"resourceVersion": str(revision), "creationTimestamp": None, "annotations": annotations}
    return _line("BOOKMARK", {"kind": "Service", "apiVersion": "v1", "metadata": meta})
