# SPDX-License-Identifier: Apache-2.0
"""What ``clusterdns explain`` found out, as text for a person: the conclusion first, then how it came to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clusterdns.app.explain.report import Report, Step
from clusterdns.serving.trace import Candidate, Note, Origin, Summary, Trace, Visit

_COLUMN: Final = 14
_MILLISECONDS: Final = 1000


def explanation(report: Report, *, verbose: bool = False) -> str:
    """The report as lines. Steps in vain are told in short unless it is ``verbose``."""
    lines = [report.conclusion]
    lines += [f"    from {origin_text(origin)}" for origin in report.origins]
    lines += [f"    hint: {hint}" for hint in report.hints]
    lines += [f"    by {report.reason}"] if report.reason else []
    lines += ["", f"asked from {report.client} ({report.client_reason}), at {report.listener}"]
    if report.search:
        lines.append(f"search {' '.join(report.search)} ndots {report.ndots}")
    for number, step in enumerate(report.steps, 1):
        last = number == len(report.steps)
        lines += ["", *_step(number, step, whole=verbose or last)]
        if verbose or last:
            lines += ["", *(f"    {line}" for line in step.message.splitlines())]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def origin_text(origin: Origin) -> str:
    """``Service dev/web (manifests/web.yaml:3), change 17``."""
    place = f" ({origin.place})" if origin.place else ""
    revision = f", {origin.revision}" if origin.revision else ""
    return f"{origin.kind} {origin.name}{place}{revision}"


def _step(number: int, step: Step, *, whole: bool) -> Iterator[str]:
    outcome = step.rcode or "no reply"
    yield f"{number}. {step.traces[0].question} ({step.reason}): {outcome} in {_time(step.seconds)}"
    for trace in step.traces:
        yield from (f"    {line}" for line in (_trace(trace) if whole else _essence(trace)))


def _trace(trace: Trace) -> Iterator[str]:
    """Everything about one query."""
    for candidate in trace.considered:
        yield from _candidate(candidate)
    if not trace.place:
        yield _line("server block", "none has the name in its zones, so the query is refused")
    inner_of = {
        name: [inner for inner in trace.inner if inner.by == name] for name in {each.by for each in trace.inner}
    }
    for position, visit in enumerate(trace.visits):
        behind = trace.visits[position + 1] if position + 1 < len(trace.visits) else None
        yield from _visit(visit, behind)
        for inner in inner_of.pop(visit.plugin, ()):
            yield _line("", f"asks this server itself: {inner.question}")
            yield from (f"    {line}" for line in _trace(inner))
    yield from _notes("", trace.notes)
    if trace.skipped and trace.visits:
        yield _line("not reached", " ".join(trace.skipped))
    if trace.fast_path_reason:
        yield _line("fast path", f"{'yes' if trace.fast_path else 'no'}: {trace.fast_path_reason}")


def _essence(trace: Trace) -> Iterator[str]:
    """Only what decided."""
    if not trace.place:
        yield _line("server block", "none has the name in its zones, so the query is refused")
    for visit in trace.visits:
        if not visit.passed_on:
            yield from _visit(visit, None)


def _candidate(candidate: Candidate) -> Iterator[str]:
    view = f", view {candidate.view}" if candidate.view else ""
    chosen = "" if candidate.chosen else ": not this one"
    yield _line("server block", f"{candidate.place}, zone {candidate.zone}{view}{chosen}")
    yield from _notes("", candidate.notes)


def _visit(visit: Visit, behind: Visit | None) -> Iterator[str]:
    title = visit.plugin or "end of chain"
    if behind is not None and behind.question != visit.question:
        yield from _notes(title, (*visit.notes, Note(f"passes on {behind.question}")))
    elif visit.notes:
        yield from _notes(title, visit.notes)
    else:
        yield _line(title, "passes it on" if visit.passed_on else "answers")
    if visit.reply is None:
        yield _line("", "no reply came back")
    elif not visit.passed_on:
        yield _line("", f"-> {_reply(visit.reply)} in {_time(visit.seconds)}")
    elif behind is not None and behind.reply is not None and _differs(visit.reply, behind.reply):
        yield _line("", f"changes the reply: {_reply(behind.reply)} -> {_reply(visit.reply)}")


def _notes(title: str, notes: tuple[Note, ...] | list[Note]) -> Iterator[str]:
    for note in notes:
        yield _line(title, note.text)
        title = ""
        yield from (_line("", f"from {origin_text(origin)}") for origin in note.origins)


def _differs(one: Summary, other: Summary) -> bool:
    return (one.rcode, one.records, one.dropped) != (other.rcode, other.records, other.dropped)


def _reply(summary: Summary) -> str:
    if summary.dropped:
        return "no reply"
    answer, authority, additional = summary.records
    counts = [
        f"{number} {section}"
        for number, section in (
            (answer, "answer" if answer == 1 else "answers"),
            (authority, "authority"),
            (additional, "additional"),
        )
        if number
    ]
    error = f" ({summary.error})" if summary.error else ""
    return f"{summary.rcode}, {' + '.join(counts) or 'no records'}{error}"


def _line(title: str, text: str) -> str:
    return f"{title:<{_COLUMN}} {text}"


def _time(seconds: float) -> str:
    return f"{seconds * _MILLISECONDS:.1f} ms"
