# SPDX-License-Identifier: Apache-2.0
"""What ``clusterdns explain`` finds out, as it goes over the socket and as ``--json`` prints it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from clusterdns.app.explain.search import Outcome
from clusterdns.serving.trace import Origin, Trace

MAX_HINTS: Final = 4
_SHOWN_DATA: Final = 4
_PROPOSAL: Final = re.compile(r"(?:ask for|did you mean) ([^\s?]+)")

_FAILURES: Final[dict[Outcome, str]] = {
    "no data": "there is no {type} record: the name exists, but not with this type",
    "no name": "there is no such name (NXDOMAIN)",
    "failure": "the server could not find out (SERVFAIL)",
    "refusal": "the query was refused ({rcode})",
    "no reply": "there is no reply",
}

# The same of an alias's target.
_TARGETS: Final[dict[Outcome, str]] = {
    "no data": "of which there is no {type} record here",
    "no name": "which does not exist (NXDOMAIN)",
    "failure": "which could not be looked up (SERVFAIL)",
}


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One name that was tried.

    reason: why it was, at this place.
    protocol: that of the last query; after a truncated reply over UDP there is a second one over TCP.
    data: what the records of the wanted type say.
    alias: the name that the answer leads to.
    message: the reply in the form of dig, empty where there was none.
    traces: one for each query.
    """

    name: str
    reason: str
    outcome: Outcome
    rcode: str
    protocol: Literal["udp", "tcp"]
    seconds: float
    data: tuple[str, ...]
    message: str
    traces: tuple[Trace, ...]
    alias: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """All there is to say about one question.

    conclusion: what came of it, in one line. hints: what to do about it.
    reason: what the directive says that denied or failed, where there are no hints.
    outcome: what glibc tells the program that asks.
    client: the address that was asked from, and why it is that; listener: the address that was asked.
    search, ndots: the search list.
    """

    name: str
    type: str
    outcome: Outcome
    conclusion: str
    hints: tuple[str, ...]
    origins: tuple[Origin, ...]
    client: str
    client_reason: str
    listener: str
    search: tuple[str, ...]
    ndots: int
    steps: tuple[Step, ...]
    reason: str = ""


def conclude(name: str, rtype: str, outcome: Outcome, steps: tuple[Step, ...]) -> str:
    """The first line of the report."""
    last = steps[-1]
    if outcome == "answer":
        shown = ", ".join(last.data[:_SHOWN_DATA]) or "an alias"
        more = len(last.data) - _SHOWN_DATA
        shown += f" and {more} more" if more > 0 else ""
        through = "" if last.name == name else f", found as {last.name}"
        return f"{name} {rtype} is {shown}{through}"
    if last.alias and len(steps) == 1 and outcome in _TARGETS:
        return f"{name} {rtype} has no answer: it is an alias of {last.alias}, {_TARGETS[outcome].format(type=rtype)}"
    if len(steps) == 1:
        return f"{name} {rtype} has no answer: {_FAILURES[outcome].format(type=rtype, rcode=last.rcode)}"
    replies = Counter("no reply" if step.outcome == "no reply" else _reply(step) for step in steps)
    counts = ", ".join(f"{count} {reply}" for reply, count in replies.items())
    return f"{name} {rtype} has no answer: {len(steps)} names were tried ({counts})"


def _reply(step: Step) -> str:
    return f"without {step.traces[0].question.rpartition(' ')[2]}" if step.outcome == "no data" else step.rcode


def collect_hints(outcome: Outcome, steps: Iterable[Step], search_hints: Iterable[str]) -> tuple[str, ...]:
    """Those of the directives, of the step that answered or of all, and those of the search list; each once.

    Aliases that lead nowhere come first. To ask for a name that was tried is no hint.
    """
    all_steps = tuple(steps)
    relevant = all_steps[-1:] if outcome == "answer" else all_steps
    found = dict.fromkeys(_alias_hints(relevant) if len(relevant) > 1 else ())
    tried = {step.name.lower() for step in all_steps}
    for step in relevant:
        for trace in step.traces:
            found.update(dict.fromkeys(hint for hint in _hints(trace) if _proposed(hint) not in tried))
    found.update(dict.fromkeys(search_hints))
    return tuple(found)[:MAX_HINTS]


def find_reason(step: Step) -> str:
    """What decided about a step that brought nothing: the error of the reply, else what the directive said last."""
    for trace in reversed(step.traces):
        for visit in reversed(trace.visits):
            if not visit.passed_on and visit.plugin:
                said = visit.notes[-1].text if visit.notes else ""
                reason = visit.reply.error if visit.reply is not None and visit.reply.error else said
                return f"{visit.plugin}: {reason.removeprefix(f'plugin/{visit.plugin}: ')}" if reason else ""
    return ""


def _alias_hints(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        if step.alias and step.outcome in _TARGETS:
            name, rtype = step.traces[0].question.split(" ")[:2]
            yield f"{name} is an alias of {step.alias}, {_TARGETS[step.outcome].format(type=rtype)}"


def _proposed(hint: str) -> str:
    """The name that a hint says to ask for, lower case; empty if there is none."""
    found = _PROPOSAL.search(hint)
    return found[1].lower() if found else ""


def collect_origins(step: Step) -> tuple[Origin, ...]:
    """The objects that an answer was made from."""
    return tuple(dict.fromkeys(origin for trace in step.traces for origin in _origins(trace)))


def _hints(trace: Trace) -> Iterator[str]:
    notes = [note for visit in trace.visits for note in visit.notes]
    notes += [note for candidate in trace.considered for note in candidate.notes]
    yield from (note.hint for note in (*notes, *trace.notes) if note.hint)
    if trace.question and not (trace.place or trace.visits):
        yield f"no server block has {trace.question.split(' ')[0]} in its zones, so nobody is asked"
    for inner in trace.inner:
        yield from _hints(inner)


def _origins(trace: Trace) -> Iterator[Origin]:
    for visit in trace.visits:
        for note in visit.notes:
            yield from note.origins
    for inner in trace.inner:
        yield from _origins(inner)
