# SPDX-License-Identifier: Apache-2.0
"""A server with a generated cluster: ``python -m clusterdns.testing.apiserver --port 8001 --services 10000``.

kubectl, a cluster DNS or a benchmark can then use http://127.0.0.1:8001. It prints one line when it is there, and ends
on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import signal
import sys

from clusterdns.testing.apiserver.generate import generate
from clusterdns.testing.apiserver.instance import Settings
from clusterdns.testing.apiserver.server import ApiServer, Tls
from clusterdns.testing.apiserver.storage import Storage


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clusterdns.testing.apiserver", description="A Kubernetes API server for tests."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8001, help="port to listen on; 0 takes a free one")
    parser.add_argument("--services", type=int, default=0, help="how many Services there are")
    parser.add_argument("--headless", type=int, default=0, help="how many of them are headless")
    parser.add_argument("--endpoints", type=int, default=0, help="how many endpoints each has")
    parser.add_argument("--pods", type=int, default=0, help="how many Pods there are")
    parser.add_argument("--bookmark-seconds", type=float, default=60.0, help="time between bookmarks of a watch")
    parser.add_argument(
        "--streamed-lists", choices=("on", "refused", "ignored"), default="on", help="what becomes of sendInitialEvents"
    )
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve HTTPS")
    parser.add_argument("--client-ca", default="", metavar="CA", help="know clients by certificates that it signed")
    parser.add_argument("--token", action="append", default=[], metavar="TOKEN=USER", help="know a user by a token")
    chosen = parser.parse_args(arguments)
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    storage = Storage()
    generate(storage, services=chosen.services, endpoints=chosen.endpoints, headless=chosen.headless, pods=chosen.pods)
    server = ApiServer(
        storage,
        host=chosen.host,
        port=chosen.port,
        tls=Tls(chosen.tls[0], chosen.tls[1], chosen.client_ca) if chosen.tls else None,
        tokens=dict(token.split("=", 1) for token in chosen.token),
        settings=Settings(streamed_lists=chosen.streamed_lists, bookmark_seconds=chosen.bookmark_seconds),
    )
    with server:
        print(f"serving {server.url}", flush=True)
        signal.sigwait(signals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
