# SPDX-License-Identifier: Apache-2.0
"""What is known about the watch of one kind: for metrics, readiness and those who ask why."""

from __future__ import annotations

from collections import Counter

from clusterdns.cluster.objects import Kind
from clusterdns.errors import ClusterError


class WatchState:
    """Plain values, kept up to date by the reflector.

    synced: a list has been handed out.
    connected: a watch is open, and no silence makes it doubtful.
    last_event_seconds: time.monotonic() of the last line of a watch or end of a list, None before the first: when the
        API server was last heard of.
    relists: lists after the first that were handed out.
    gaps_repaired: objects that the watch had failed to tell, found by comparison and mended.
    discarded_stale_lists: lists out of a server's memory that were older than what is known.
    decode_errors: objects and lines that couldn't be read.
    kept_out: objects that couldn't be read and so aren't in the store, now.
    watch_restarts: how often a watch ended, by reason: ``end`` (as asked for), ``expired`` (410), ``silence``,
        ``broken`` (off, by a reset, a half line or an error), ``refused`` (couldn't be opened), ``throttled`` (429),
        ``unreadable``, ``older`` (the storage is an older one), ``gap``, ``details`` (more is read of each object).
    problem: what is wrong with the watch now, with the cure where there is one; None while all is well.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.synced = False
        self.connected = False
        self.last_event_seconds: float | None = None
        self.relists = 0
        self.gaps_repaired = 0
        self.discarded_stale_lists = 0
        self.decode_errors = 0
        self.kept_out = 0
        self.watch_restarts: Counter[str] = Counter()
        self.problem: ClusterError | None = None
