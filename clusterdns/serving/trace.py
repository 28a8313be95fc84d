# SPDX-License-Identifier: Apache-2.0
"""What happens to one query on its way through the server, for ``clusterdns explain``.

A query that is explained has a ``trace``, which is told which server blocks were considered, which directives it came
to, what each of them says about it, and what came back. Other queries have none, and no directive of theirs is
watched: the chains are linked with watchers only while a query is explained, so a normal query pays for none of this
but the question whether it has a trace, in the few places that ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from clusterdns.dns import names
from clusterdns.dns.types import DS, rcode_text, type_text
from clusterdns.serving.capabilities import HitObserver, Observer, Tap
from clusterdns.serving.plugin import Handler, Plugin, Result, after
from clusterdns.serving.query import Query
from clusterdns.serving.reply import Reply

if TYPE_CHECKING:
    from clusterdns.serving.chain import Block
    from clusterdns.serving.router import Route, Router

MAX_NOTES: Final = 200
"""Of one look-up; what a directive says beyond that is left out."""

Fact: TypeAlias = str | int | float | bool


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object that an answer was made from.

    kind, name: as in ``Service``, ``dev/web``.
    revision: how far its store had come when it was looked at: ``revision 1234`` of an API server, ``change 7``.
    place: the file and line that it was read from, empty where it comes from elsewhere or was computed.
    """

    kind: str
    name: str
    revision: str = ""
    place: str = ""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a directive says about a query: a sentence without a full stop.

    hint: what to do about it, where the answer surely isn't what was hoped for.
    facts: the same for programs.
    """

    text: str
    hint: str = ""
    origins: tuple[Origin, ...] = ()
    facts: dict[str, Fact] = {}


@runtime_checkable
class Explainer(Protocol):
    """A plugin that can say what it decides about a query, and why."""

    def explain(self, query: Query) -> Iterable[Note]:
        """Asked just before the query is handed to it, or to a ``view`` before it is asked whether it admits the query.

        Nothing may be changed by it: neither the plugin nor the query.
        """


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server block that was considered. ``place`` is where it stands; ``view`` the name of its view."""

    zone: str
    place: str
    chosen: bool = False
    view: str = ""
    notes: tuple[Note, ...] = ()


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reply as a directive gave it: records in answer, authority and additional; ``plugin`` is whose it is."""

    rcode: str
    records: tuple[int, int, int] = (0, 0, 0)
    plugin: str = ""
    reusable: bool = False
    error: str = ""
    dropped: bool = False


class Visit(msgspec.Struct, omit_defaults=True):
    """A directive that the query came to, in the order of arrival; ``plugin`` is empty for the end of the chain.

    question: as it was asked here.
    passed_on: True if the next directive was asked.
    reply: None if nothing came back.
    seconds: from the query's arrival to the reply, what is behind included.
    """

    plugin: str
    question: str
    notes: list[Note] = []
    passed_on: bool = False
    reply: Summary | None = None
    seconds: float = 0.0


class Trace(msgspec.Struct, omit_defaults=True):
    """One look-up: the query of a client, or one that a directive makes on the way (``by``).

    zone, place: the zone and server block that answer, empty if none does.
    by_client: True if the client, not only the query's octets, decided on the block.
    skipped: directives of the block that it did not come to, in their order.
    fast_path: True if the same octets will be answered from memory; ``fast_path_reason`` says why, or why not.
    """

    question: str = ""
    by: str = ""
    zone: str = ""
    place: str = ""
    by_client: bool = False
    considered: list[Candidate] = []
    visits: list[Visit] = []
    notes: list[Note] = []
    inner: list[Trace] = []
    skipped: list[str] = []
    reply: Summary | None = None
    seconds: float = 0.0
    fast_path: bool = False
    fast_path_reason: str = ""

    def follow(self, query: Query, router: Router, route: Route | None) -> None:
        """The server block is chosen."""
        self.question = question_text(query)
        self.considered = list(_considered(query, router, route))
        if route is not None:
            self.zone = names.to_text(route[0])
            self.place = route[1].place
            self.by_client = route[2]
            self.skipped = [plugin.name for plugin in route[1].plugins if plugin.in_chain]

    def lead_to(self, query: Query, router: Router, route: Route | None) -> Trace:
        """A directive asks this server itself; the trace of that."""
        by = next((visit.plugin for visit in reversed(self.visits) if visit.reply is None), "")
        trace = Trace(by=by)
        trace.follow(query, router, route)
        self.inner.append(trace)
        return trace

    def note(self, plugin: str, text: str, *, hint: str = "", **facts: Fact) -> None:
        """What a directive learns while it works on the query."""
        notes = next((visit.notes for visit in reversed(self.visits) if visit.plugin == plugin), self.notes)
        if len(notes) < MAX_NOTES:
            notes.append(Note(text, hint, (), facts))

    def arrive(self, plugin: Plugin | None, query: Query) -> Visit:
        """The query has come to a directive, or to the end of the chain."""
        visit = Visit(plugin.name if plugin is not None else "", question_text(query))
        waiting = next((before for before in reversed(self.visits) if before.reply is None), None)
        if waiting is not None:
            waiting.passed_on = True
        self.visits.append(visit)
        if visit.plugin in self.skipped:
            self.skipped.remove(visit.plugin)
        if isinstance(plugin, Explainer):
            visit.notes.extend(plugin.explain(query))
        return visit

    def conclude(self, query: Query, block: Block | None, reply: Reply, seconds: float) -> None:
        """The reply is written. ``block`` is None where the query was refused before one was asked."""
        self.reply = summarize(query, reply)
        self.seconds = seconds
        self.fast_path, self.fast_path_reason = self._fast_path(block, reply)
        if block is None and self.place:
            self.skipped = []
            self.notes.append(Note("refused before any directive was asked: this listener answers no such queries"))

    def _fast_path(self, block: Block | None, reply: Reply) -> tuple[bool, str]:
        if block is None:
            return False, "no server block answers"
        if not block.reuse:
            strict = [
                each.name
                for each in block.plugins
                if isinstance(each, Tap) or (isinstance(each, Observer) and not isinstance(each, HitObserver))
            ]
            return False, f"{' and '.join(strict)} must see every query"
        if reply.error:
            return False, "a failure isn't remembered"
        if reply.stream is not None:
            return False, "it takes several messages"
        if reply.reusable:
            span = "until an answer changes"
            if reply.transient:
                span = "for at most a second" if reply.ages is None else "with TTLs that count down"
            return True, f"asked again, the same octets are answered from memory, {span}"
        if self.by_client:
            return False, "the view of the server block depends on the client"
        return False, self._culprit(block)

    def _culprit(self, block: Block) -> str:
        """Which directive made the reply one for this query alone: the one deepest in the chain."""
        for visit in reversed(self.visits):
            if visit.reply is None or visit.reply.reusable:
                continue
            plugin = next((plugin for plugin in block.plugins if plugin.name == visit.plugin), None)
            if plugin is None:
                return "no directive answered"
            if not plugin.pure:
                return f"what {plugin.name} does depends on more than the octets of the query"
            if visit.passed_on:
                return f"{plugin.name} took more into account than the octets of the query"
            return f"this reply of {plugin.name} is for this query alone"
        return "something changed while the query was under way"


def watch(plugin: Plugin | None, handle: Handler) -> Handler:
    """The handler of a directive (None: the end of the chain), which tells the traces of the queries that have one."""

    def handler(query: Query) -> Result:
        trace = query.trace
        if trace is None:
            return handle(query)
        visit = trace.arrive(plugin, query)
        started = perf_counter()

        def leave(reply: Reply) -> Reply:
            visit.reply = summarize(query, reply)
            visit.seconds = perf_counter() - started
            return reply

        try:
            result = handle(query)
        except Exception as error:
            visit.notes.append(Note(f"failed: {type(error).__name__}: {error}"))
            raise
        return after(result, leave)

    return handler


def question_text(query: Query) -> str:
    """``www.example.org. A``."""
    return f"{names.to_text(query.name)} {type_text(query.qtype)}"


def summarize(query: Query, reply: Reply) -> Summary:
    """The reply in short."""
    sections = reply.records(query)
    numbers = (len(sections.answer), len(sections.authority), len(sections.additional))
    return Summary(rcode_text(reply.rcode), numbers, reply.plugin, reply.reusable, reply.error, reply.dropped)


def _considered(query: Query, router: Router, route: Route | None) -> Iterable[Candidate]:
    """The server blocks of the zones that the name is in, as far as the router looks."""
    for zone in names.suffixes(query.key):
        for block in router.blocks.get(zone, ()):
            chosen = route is not None and route[0] == zone and route[1] is block
            notes = block.explain_view(query)
            if not chosen and block.view is None:
                notes = (_passed_over(query, zone),)
            yield Candidate(names.to_text(zone), block.place, chosen, block.view_name, notes)
            if chosen:
                return


def _passed_over(query: Query, zone: bytes) -> Note:
    if query.qtype == DS and query.key == zone:
        return Note("DS records at the top of a zone belong to the zone above")
    return Note("another block comes first")
