# SPDX-License-Identifier: Apache-2.0
"""``clusterdns diff``: what another Corefile would change, in what is served and in the answers."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from clusterdns.app.answers import Answer, Comparison, Difference, Question, own_questions
from clusterdns.app.corefile import STDIN, Corefile
from clusterdns.app.rehearsal import rehearse
from clusterdns.cli.printing import print_failure, print_json
from clusterdns.config.diff import BlockChange, DirectiveChange, TextChange, diff_plans
from clusterdns.config.plan import Plan
from clusterdns.dns import names
from clusterdns.dns.types import parse_type
from clusterdns.errors import ClusterDNSError, ExplainError, WireError
from clusterdns.observability.log import configure

EXIT_SAME = 0
EXIT_DIFFERENT = 1
EXIT_FAILED = 2

_MARKS = {"added": "+", "removed": "-", "changed": "~"}

_DESCRIPTION = """\
Tell what changes from one Corefile to another: server blocks, zones, addresses, directives and their options, by
meaning and not by text. With --queries or --names also the answers that differ: both Corefiles are started for that,
without listeners, and asked the same questions."""

_EPILOG = """\
exit codes: 0 nothing differs; 1 something does; 2 it could not be found out"""


class Report(msgspec.Struct, frozen=True):
    """What ``--json`` prints. ``asked`` counts questions."""

    plan: tuple[BlockChange, ...]
    asked: int = 0
    answers: tuple[Difference, ...] = ()


def run(words: Sequence[str]) -> int:
    """Compare; the exit code."""
    options = _parser().parse_args(words)
    try:
        report = _compare(options)
    except (ClusterDNSError, OSError) as error:
        print_failure(error)
        return EXIT_FAILED
    if options.json:
        print_json(report)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(report))
    return EXIT_DIFFERENT if report.plan or report.answers else EXIT_SAME


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clusterdns diff",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", help="the Corefile as it is; - is standard input")
    parser.add_argument("new", help="the Corefile as it is to be; - is standard input")
    parser.add_argument("--queries", metavar="FILE", help="ask these questions, one `NAME [TYPE]` on each line")
    parser.add_argument("--names", action="store_true", help="ask for every name that the two have themselves")
    parser.add_argument("--manifests", metavar="DIR", default="", help="these manifests stand in for the API server")
    parser.add_argument("--client", metavar="IP", default="", help="ask from this address (default 127.0.0.1)")
    parser.add_argument("--listen", metavar="PLACE", default="", help="ask this listener, ADDRESS:PORT or PORT")
    parser.add_argument("--ttl", action="store_true", help="compare the TTLs of answers, too")
    parser.add_argument("--json", action="store_true", help="the differences as JSON")
    return parser


def _compare(options: argparse.Namespace) -> Report:
    if options.old == options.new == "-":
        raise ExplainError("only one of the two Corefiles can come from standard input")
    configure(2)
    paths = [STDIN if path == "-" else path for path in (options.old, options.new)]
    old, new = [Corefile(path, manifests=options.manifests) for path in paths]
    plans = old.plan(), new.plan()
    changes = diff_plans(*plans)
    if not (options.queries or options.names):
        return Report(changes)
    questions: list[Question] = []
    if options.queries:
        text = sys.stdin.read() if options.queries == "-" else Path(options.queries).read_text("utf-8")
        questions += read_questions(text.splitlines(), options.queries)
    return asyncio.run(_with_answers((old, new), plans, questions, options, changes))


async def _with_answers(
    corefiles: tuple[Corefile, Corefile],
    plans: tuple[Plan, Plan],
    questions: list[Question],
    options: argparse.Namespace,
    changes: tuple[BlockChange, ...],
) -> Report:
    async with AsyncExitStack() as stack:
        old, new = [
            await stack.enter_async_context(rehearse(corefile, plan))
            for corefile, plan in zip(corefiles, plans, strict=True)
        ]
        if options.names:
            questions += own_questions(old, new)
        comparison = Comparison(old, new, listen=options.listen, client=options.client, ttl=options.ttl)
        found = await comparison.differences(dict.fromkeys(questions))
        return Report(changes, comparison.asked, tuple(found))


def read_questions(lines: Iterable[str], file: str) -> Iterator[Question]:
    """``NAME [TYPE]`` on each line; what follows ``#`` is a comment. Raises ExplainError."""
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        qtype = parse_type(words[1].upper() if words[1:] else "A")
        if qtype is None or words[2:]:
            raise ExplainError(f"{file}:{number}: write NAME [TYPE], as in www.example.com AAAA")
        try:
            yield names.from_text(words[0] if words[0].endswith(".") else f"{words[0]}.").lower(), qtype
        except WireError as error:
            raise ExplainError(f"{file}:{number}: {error}") from None


def _lines(report: Report) -> Iterator[str]:
    for block in report.plan:
        yield from _block(block)
    if not report.plan:
        yield "the Corefiles mean the same"
    if report.asked:
        count = len(report.answers)
        yield f"{count or 'none'} of {report.asked} answers differ{'s' if count == 1 else ''}"
    for each in report.answers:
        yield f"    {each.name} {each.type}"
        yield from (f"        - {text}" for text in _answer(each.old))
        yield from (f"        + {text}" for text in _answer(each.new))


def _block(block: BlockChange) -> Iterator[str]:
    places = " -> ".join(filter(None, (block.old, block.new)))
    yield f"{_MARKS[block.kind]} server block {block.block} ({places})"
    if block.order:
        yield "    ~ stands before a block of the same zone that stood before it"
    for what, changes in (("zone", block.keys), ("bind", block.binds)):
        yield from (f"    {_MARKS[change.kind]} {what} {change.text}" for change in changes)
    for directive in block.directives:
        yield from _directive(directive)


def _directive(change: DirectiveChange) -> Iterator[str]:
    if change.kind == "changed":
        yield f"    ~ {change.name} ({change.old} -> {change.new})"
        yield from (_text(line, 8) for line in change.lines)
        if change.note:
            yield f"        {change.note}"
    else:
        yield from (_text(line, 4) for line in change.lines)


def _text(line: TextChange, indent: int) -> str:
    return f"{' ' * indent}{_MARKS[line.kind]} {line.text}"


def _answer(answer: Answer) -> Iterator[str]:
    if not answer.rcode:
        yield "no reply"
        return
    yield f"{answer.rcode}{f' ({answer.flags})' if answer.flags else ''}"
    yield from (record.replace("\t", " ") for record in answer.records)
