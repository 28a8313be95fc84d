# SPDX-License-Identifier: Apache-2.0
"""What the store needs of a source: a directory of manifests, the API server, a snapshot.

A source turns what it reads into events and hands them to a sink, the store's ``apply_all``. Per kind:

- first a ``Replace`` with everything there is (the result of a list), or ``Apply`` for each object of a list that comes
  in parts, with a ``Prune`` at its end; the kind is synced from then on,
- then ``Apply`` and ``Delete`` in the order in which they happened, as many in one call as belong to one step,
- a ``Bookmark`` where only the revision has moved on,
- a list again, in either form, wherever events may have been missed (a relist),
- a ``Forget`` if the source stops to speak for the kind.

While it can't read, a source says nothing: the store keeps the last picture, and ``problems`` tells why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias, runtime_checkable

from clusterdns.cluster.changes import Event
from clusterdns.cluster.objects import Key, Kind
from clusterdns.errors import ClusterError

Sink: TypeAlias = Callable[[Iterable[Event], float], object]
"""Takes the events of one step and time.monotonic() of their arrival. Called on the event loop's thread."""


class Source(Protocol):
    """Where events come from."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds that it speaks for; a store has one source per kind."""

    @property
    def synced(self) -> frozenset[Kind]:
        """The kinds whose first list has been handed to the sink."""

    @property
    def problems(self) -> tuple[ClusterError, ...]:
        """What is wrong now; empty when all is read and understood."""

    def start(self, sink: Sink) -> None:
        """Begin to read and watch, in tasks of the running event loop. Raises ClusterError for what only the operator
        can mend, such as a directory that isn't there.
        """

    async def stop(self) -> None:
        """End all tasks; afterwards the sink is not called again."""


@runtime_checkable
class Written(Protocol):
    """A source whose objects are written in files."""

    def place_of(self, kind: Kind, key: Key) -> str:
        """Where an object is written, as ``file:line``; empty for one that was computed."""
