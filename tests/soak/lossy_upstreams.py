# SPDX-License-Identifier: Apache-2.0
"""lossy_upstreams.py [--delay SECONDS] PORT...: upstreams that lose 5 % of the replies, and duplicate and reorder them.

Each reply is late by a random part of the delay (default: 0.05 s).

They are those of the other tests, in a process of their own so that they don't slow down who asks them.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.upstream import Faults, Upstream


async def serve(ports: list[int], delay_seconds: float) -> None:
    """Answer until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    faults = Faults(lost=0.05, twice=0.05, delay_seconds=delay_seconds)
    upstreams = [Upstream(faults) for _ in ports]
    for upstream, port in zip(upstreams, ports, strict=True):
        upstream.questions = cast(Any, deque(maxlen=1))  # millions come
        await upstream.start(port)
    print("ready", flush=True)
    await stopped.wait()
    for upstream in upstreams:
        await upstream.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("ports", type=int, nargs="+")
    options = parser.parse_args()
    asyncio.run(serve(options.ports, options.delay))
