# SPDX-License-Identifier: Apache-2.0
"""``clusterdns explain``: why a name resolves as it does, or doesn't."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from clusterdns.app.corefile import STDIN, Corefile
from clusterdns.app.explain.asking import explain
from clusterdns.app.explain.report import Report
from clusterdns.app.explain.request import Request
from clusterdns.app.explain.search import parse_resolv_conf
from clusterdns.app.rehearsal import rehearse
from clusterdns.cli.explanation import explanation
from clusterdns.cli.printing import print_failure, print_json
from clusterdns.errors import ClusterDNSError, ExplainError
from clusterdns.observability.log import configure
from clusterdns.transports.control import ask_control

EXIT_ANSWER = 0
EXIT_NO_ANSWER = 1
EXIT_FAILED = 2

_DESCRIPTION = """\
Tell what a client's resolver would ask for a name, which server block and which directives decide about it and why,
and the objects and servers that the answer comes from. Without --server a Corefile is started for this one question,
without listeners; with --server a running server is asked, which needs the directive `explain` for that."""

_EPILOG = """\
exit codes: 0 the name has an answer; 1 it has none; 2 it could not be found out"""

_ANSWER_SECONDS = 60.0


def run(words: Sequence[str]) -> int:
    """Explain; the exit code."""
    options = _parser().parse_args(words)
    try:
        request = _request(options)
        report = _ask_server(options.server, request) if options.server else _ask_corefile(options, request)
    except (ClusterDNSError, OSError) as error:
        print_failure(error)
        return EXIT_FAILED
    if options.json:
        print_json(report)
    else:
        sys.stdout.write(explanation(report, verbose=options.verbose))
    return EXIT_ANSWER if report.outcome == "answer" else EXIT_NO_ANSWER


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clusterdns explain",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="the name, as a program would ask for it; an IP address means its reverse name")
    parser.add_argument("type", nargs="?", default="A", help="the record type (default A)")
    where = parser.add_argument_group("which server")
    where.add_argument("--conf", metavar="FILE", help="Corefile (default ./Corefile)")
    where.add_argument("--manifests", metavar="DIR", default="", help="these manifests stand in for the API server")
    where.add_argument("--server", metavar="PLACE", help="a running server: unix:PATH or LOOPBACK-ADDRESS:PORT")
    where.add_argument(
        "--listen", metavar="PLACE", default="", help="its listener, ADDRESS:PORT or PORT (default: first)"
    )
    who = parser.add_argument_group("which client")
    who.add_argument("--pod", metavar="NS/NAME", default="", help="as this Pod: its address, its search list, ndots 5")
    who.add_argument("--namespace", metavar="NS", default="", help="as some Pod in there")
    who.add_argument("--client", metavar="IP", default="", help="from this address")
    who.add_argument("--resolv-conf", metavar="FILE", help="search list and ndots from this file")
    who.add_argument("--search", metavar="DOMAIN", action="append", default=[], help="a search domain; may be repeated")
    who.add_argument("--ndots", metavar="N", type=int, help="a name with as many dots is tried as written first")
    who.add_argument("--tcp", action="store_true", help="ask over TCP")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell everything about the steps in vain, too")
    parser.add_argument("--json", action="store_true", help="the whole report as JSON")
    return parser


def _request(options: argparse.Namespace) -> Request:
    if options.server and (options.conf or options.manifests):
        other = "--conf" if options.conf else "--manifests"
        raise ExplainError(
            f"--server and {other} exclude each other: a running server has its own Corefile and cluster"
        )
    given = [flag for flag in ("pod", "namespace", "resolv_conf", "search") if getattr(options, flag)]
    if len(given) > 1:
        flags = " and ".join(f"--{flag.replace('_', '-')}" for flag in given)
        raise ExplainError(f"{flags} exclude each other: each of them says what the search list is")
    search, ndots = tuple(options.search), options.ndots
    if options.resolv_conf:
        rules = parse_resolv_conf(Path(options.resolv_conf).read_text("utf-8", "replace"))
        search, ndots = rules.domains, rules.ndots if ndots is None else ndots
    return Request(
        name=options.name,
        type=options.type,
        client=options.client,
        pod=options.pod,
        namespace=options.namespace,
        search=search,
        ndots=ndots,
        protocol="tcp" if options.tcp else "udp",
        listen=options.listen,
    )


def _ask_corefile(options: argparse.Namespace, request: Request) -> Report:
    configure(2)
    path = STDIN if options.conf == "-" else options.conf or "Corefile"
    corefile = Corefile(path, manifests=options.manifests)

    async def ask() -> Report:
        async with rehearse(corefile) as instance:
            return await explain(instance, request)

    return asyncio.run(ask())


def _ask_server(place: str, request: Request) -> Report:
    reply = ask_control(place, msgspec.json.encode(request), _ANSWER_SECONDS)
    try:
        answer = msgspec.json.decode(reply, type=dict[str, msgspec.Raw])
        if "error" in answer:
            raise ExplainError(msgspec.json.decode(answer["error"], type=str))
        return msgspec.json.decode(reply, type=Report)
    except msgspec.DecodeError as error:
        raise ExplainError(f"{place} speaks another language: {error}") from None
