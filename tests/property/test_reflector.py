# SPDX-License-Identifier: Apache-2.0
"""Any order of changes, faults and restarts ends in the store that a fresh list gives."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from support.model_apiserver import Answer, Replica, revisions
from support.reflecting import Reflection

from clusterdns.cluster.changes import Change
from clusterdns.cluster.objects import Service

RESYNC_SECONDS = 300.0
HEALED_SECONDS = 2500.0

namespaces = st.sampled_from(["dev", "prod"])
names = st.sampled_from(["a", "b", "c", "d", "e"])
replicas = st.integers(0, 1)
answers = st.sampled_from(
    [
        (429, b"Too many requests", "clean"),
        (403, b"{}", "clean"),
        (500, b"{}", "clean"),
        (410, b"{}", "clean"),
        (422, b"{}", "clean"),
        (200, b"", "clean"),
        (200, b"", "broken"),
        (200, b'{"metadata":{"resourceVersion":"9999"},"it', "clean"),
        (200, b'{"type":"ADDED","object":{"metadata":{"name":', "broken"),
        (200, b'{"type":"ERROR","object":{"code":410,"metadata":{}}}\n', "clean"),
        (200, b'{"type":"ERROR","object":{"code":500,"metadata":{}}}\n', "broken"),
        (200, b"garbage\n", ""),
    ]
)


class ApiServers(RuleBasedStateMachine):
    """Two API servers over one storage, and a reflector that may come to either."""

    resync_seconds = 0.0

    @initialize(seed=st.integers(0, 2**16), piece_bytes=st.sampled_from([1, 7, 100, 1 << 20]), streams=st.booleans())
    def begin(self, seed: int, piece_bytes: int, streams: bool) -> None:
        self.found = Reflection(seed=seed, replicas=2, resync_seconds=self.resync_seconds, piece_bytes=piece_bytes)
        self.restored = False
        self.judged = 0
        self.latest: dict[tuple[str, str], int] = {}
        for replica in self.found.replicas:
            replica.streams = streams
        for name in "abc":
            self.found.storage.put("dev", name)
        self.found.pump()

    @rule(namespace=namespaces, name=names)
    def put(self, namespace: str, name: str) -> None:
        if not self.found.storage.down:
            self.found.storage.put(namespace, name)

    @rule(namespace=namespaces, name=names)
    def delete(self, namespace: str, name: str) -> None:
        if not self.found.storage.down:
            self.found.storage.delete(namespace, name)

    @rule(count=st.integers(1, 20))
    def write_others(self, count: int) -> None:
        for _ in range(count):
            self.found.storage.other_write()

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0, 12.0, 40.0, 80.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.found.advance(seconds)
        self.judge()

    @rule(steps=st.integers(1, 12))
    def step(self, steps: int) -> None:
        for _ in range(steps):
            self.found.conversations[0].step(self.found.now, self.found.store.apply_all)

    @rule(seconds=st.sampled_from([100.0, 10_000.0]))
    def sleep(self, seconds: float) -> None:
        self.found.jump(seconds)

    @rule(number=replicas)
    def balance(self, number: int) -> None:
        self.found.use = number

    @rule()
    def compact(self) -> None:
        self.found.storage.compact()

    @rule(number=replicas, lags=st.booleans())
    def lag(self, number: int, lags: bool) -> None:
        self.found.replicas[number].lags = lags

    @rule(down=st.booleans())
    def storage_down(self, down: bool) -> None:
        self.found.storage.down = down

    @rule(number=replicas, down=st.booleans())
    def server_down(self, number: int, down: bool) -> None:
        replica = self.found.replicas[number]
        if down:
            replica.end_watches("broken")
        replica.down = down

    @rule(number=replicas)
    def stop(self, number: int) -> None:
        self.found.replicas[number].hangs = True

    @rule(number=replicas)
    def go_on(self, number: int) -> None:
        self.found.replicas[number].wake(self.found.now)

    @rule(number=replicas, torn=st.booleans())
    def restart(self, number: int, torn: bool) -> None:
        self.found.replicas[number].restart(torn=torn)

    @rule(number=replicas, end=st.sampled_from(["clean", "broken"]), half_line=st.booleans())
    def end_watches(self, number: int, end: str, half_line: bool) -> None:
        self.found.replicas[number].end_watches(end, half_line)

    @rule(number=replicas)
    def lose_connections(self, number: int) -> None:
        self.found.replicas[number].watches.clear()

    @rule(number=replicas, name=names)
    def lose_the_storage_on_a_server_that_lags(self, number: int, name: str) -> None:
        self.found.advance(1)
        self.found.replicas[number].lags = True
        self.put("dev", name)
        self.found.pump()
        self.found.use = number
        self.found.storage.down = True
        self.found.reflector.relist("gap", self.found.now)
        self.found.advance(40)
        self.judge()

    @rule(number=replicas, name=names, steps=st.integers(4, 12))
    def compact_while_pages_come(self, number: int, name: str, steps: int) -> None:
        server = self.found.replicas[number]
        self.found.use, server.streams, server.page_items = number, False, 1
        self.found.advance(1)
        self.found.reflector.relist("gap", self.found.now)
        self.step(steps)
        for _ in range(2):
            self.put("dev", name)
            self.put("prod", name)
        self.delete("dev", "a")
        self.found.storage.compact()
        self.found.advance(1)
        self.judge()

    @rule(number=replicas, items=st.integers(0, 3))
    def change_pages(self, number: int, items: int) -> None:
        self.found.replicas[number].page_items = items

    @rule(number=replicas, streams=st.booleans())
    def update_server(self, number: int, streams: bool) -> None:
        self.found.replicas[number].streams = streams

    @rule(number=replicas, fault=answers)
    def fault(self, number: int, fault: tuple[int, bytes, str]) -> None:
        status, body, end = fault
        self.found.replicas[number].faults.append(Answer(status, body, end))

    @rule()
    def relist(self) -> None:
        self.found.reflector.relist("gap", self.found.now)

    def judge(self) -> None:
        """As long as the storage is the same, no object goes back to what it was before."""
        if self.restored:
            return
        for change in self.found.changes[self.judged :]:
            self.judge_change(change)
        self.judged = len(self.found.changes)

    def judge_change(self, change: Change) -> None:
        if isinstance(change.new, Service) and change.old is not None:
            assert revisions(change.new) > self.latest.get(change.key, 0)
        if isinstance(change.new, Service):
            self.latest[change.key] = revisions(change.new)

    def teardown(self) -> None:
        if not hasattr(self, "found"):
            return
        found = self.found
        found.storage.down = False
        for replica in found.replicas:
            heal(replica, found.now)
        found.advance(HEALED_SECONDS)
        fresh = Reflection()
        fresh.storage.changes, fresh.storage.revision = found.storage.changes, found.storage.revision
        fresh.advance(1)
        assert fresh.services == found.storage.services()
        assert found.services == fresh.services
        assert found.store.synced == {"Service"}
        assert found.reflector.state.connected
        assert found.reflector.state.problem is None
        assert found.reflector.ledger.known.count == len(found.services)
        assert tuple(found.seen[key] for key in sorted(found.seen)) == found.services
        for namespace in ("dev", "prod"):
            assert found.store.services_in(namespace) == fresh.store.services_in(namespace)
        self.judge()


def heal(replica: Replica, now: float) -> None:
    """Nothing is wrong with it any more."""
    replica.down = replica.lags = False
    replica.faults.clear()
    replica.wake(now)


class UnreliableApiServers(ApiServers):
    """The same with what only the watchdog notices: events that are lost, and storages that were restored."""

    resync_seconds = RESYNC_SECONDS

    @rule(number=replicas, namespace=namespaces, name=names, gone=st.booleans())
    def lose_an_event(self, number: int, namespace: str, name: str, gone: bool) -> None:
        self.found.advance(1)
        if gone:
            self.delete(namespace, name)
        else:
            self.put(namespace, name)
        self.found.replicas[number].skip()

    @rule(back=st.integers(1, 30), torn=st.booleans())
    def restore(self, back: int, torn: bool) -> None:
        storage = self.found.storage
        storage.restore(max(100, storage.revision - back))
        self.restored = True
        for replica in self.found.replicas:
            replica.restart(torn=torn)


LIMITS = settings(max_examples=60, stateful_step_count=30, deadline=None)
ApiServers.TestCase.settings = UnreliableApiServers.TestCase.settings = LIMITS
TestApiServers = ApiServers.TestCase
TestUnreliableApiServers = UnreliableApiServers.TestCase
