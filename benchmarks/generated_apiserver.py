# SPDX-License-Identifier: Apache-2.0
"""An API server with a generated cluster, as a process that takes commands.

Arguments: how many Services, headless ones among them, endpoints of each, Pods. It prints its port. A line ``relist``
on standard input makes it forget its history and end all watches, and it prints how many there were.
"""

from __future__ import annotations

import gc
import sys

from clusterdns.testing.apiserver import ApiServer, Storage, generate


def main() -> None:
    """Serve until the input ends."""
    services, headless, endpoints, pods = map(int, sys.argv[1:])
    storage = Storage()
    generate(storage, services=services, endpoints=endpoints, headless=headless, pods=pods)
    gc.freeze()
    with ApiServer(storage) as server:
        print(server.port, flush=True)
        for line in sys.stdin:
            if line.strip() == "relist":
                storage.advance()
                server.forget_history()
                print(server.end_watches(), flush=True)


if __name__ == "__main__":
    main()
